//! The home page's button that kills a worker.

use russet::testing::is_running;

use crate::browser;

/// The cells of the tasks, by class.
const CELLS: &str =
    "return [...document.querySelectorAll('#kill .tasks li')].map((cell) => cell.className)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_tasks_come_back_on_screen() {
    let Some((app, page)) = browser::open("/").await else { return };
    // What is seen on the way, before the page has another state to show.
    page.run::<()>(
        "window.seen = new Set();
         new MutationObserver(() => {
             for (const cell of document.querySelectorAll('#kill .tasks li')) window.seen.add(cell.className);
             for (const one of document.querySelectorAll('#kill .workers li')) window.seen.add(one.className);
         }).observe(document.querySelector('#kill'), { subtree: true, childList: true })",
    )
    .await;
    page.run_killed_worker().await;
    let cells: Vec<String> = page.run(CELLS).await;
    assert_eq!(cells.len(), 12);
    let again = cells.iter().filter(|state| *state == "again").count();
    assert!((1..=4).contains(&again), "{cells:?}");
    assert!(cells.iter().all(|state| state == "done" || state == "again"), "{cells:?}");
    let workers = page.text("#kill .workers").await;
    let lines: Vec<_> = workers.lines().collect();
    assert!(lines[0].ends_with("killed by SIGKILL") && lines[1].ends_with("finished"), "{workers}");
    for line in lines {
        let pid = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(!is_running(pid), "{line} is still there");
    }
    let message = page.text("#kill .message").await;
    assert!(message.ends_with("None is lost."), "{message}");
    let seen: Vec<String> = page.run("return [...window.seen]").await;
    for state in ["working", "killed", "lost"] {
        assert!(seen.iter().any(|one| one == state), "{state} was not seen: {seen:?}");
    }
    // By the server's own account, too: those that the dead one held were done by the second one.
    let show: serde_json::Value =
        serde_json::from_str(&app.get("/api/demo/killed_worker").await).unwrap();
    assert_eq!((&show["phase"], &show["held"]), (&"done".into(), &again.into()));
    let second = &show["workers"][1]["pid"];
    let tasks = show["tasks"].as_array().unwrap();
    assert!(tasks.iter().filter(|task| task["attempts"] == 2).all(|task| task["by"] == *second));
}

#[tokio::test]
async fn a_run_that_cannot_be_shown_says_why() {
    let Some((app, page)) = browser::open("/").await else { return };
    app.redis.kill().await.unwrap();
    page.run_killed_worker().await;
    let message = page.text("#kill .message").await;
    assert!(message.starts_with("That did not work: the Redis server is away"), "{message}");
}
