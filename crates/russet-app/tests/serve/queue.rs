//! `russet queue`: what an operator sees and does.

use russet::testing::{TestServer, eventually};
use russet::{Queue, Russet, Task, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

use crate::support::program::{DataFolder, Serve, finished};

#[derive(Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl Task for Mail {
    const NAME: &'static str = "mail";
}

/// Far beyond the end of a test.
const HOUR: Duration = Duration::from_secs(3_600);

struct Stage {
    folder: DataFolder,
    server: TestServer,
    russet: Russet,
    queue: Queue,
}

async fn stage() -> Stage {
    let server = TestServer::start().await.unwrap();
    let russet = Russet::connect(&server.url()).await.unwrap();
    let queue = Queue::builder(&russet, "mail").build().unwrap();
    Stage { folder: DataFolder::new(), server, russet, queue }
}

impl Stage {
    async fn run(&self, words: &[&str]) -> (i32, String) {
        let url = self.server.url();
        let arguments = [words, &["--redis-url", &url]].concat();
        finished(&self.folder.command("queue", &arguments)).await
    }

    async fn text(&self, words: &[&str]) -> String {
        let (code, output) = self.run(words).await;
        assert_eq!(code, 0, "{words:?}: {output}");
        output.trim_end().to_owned()
    }

    async fn json(&self, words: &[&str]) -> Value {
        let text = self.text(&[words, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    async fn enqueue(&self) -> TaskId {
        self.queue.enqueue(Mail { to: "ada@example.com".into() }).await.unwrap().id
    }

    /// A task that died of this.
    async fn dead(&self, reason: &str) -> TaskId {
        let id = self.enqueue().await;
        let delivery = self.queue.receive(Duration::from_secs(9)).await.unwrap().unwrap();
        assert_eq!(delivery.id(), id);
        let settled = delivery.dead_letter(reason).await.unwrap();
        assert_eq!(settled, russet::Settled::Done);
        id
    }
}

#[tokio::test]
async fn ls_lists_every_queue_with_its_counts() {
    let stage = stage().await;
    stage.dead("no such mailbox").await;
    stage.enqueue().await;
    stage.queue.pause().await.unwrap();
    let listed = stage.json(&["ls"]).await;
    assert_eq!(listed["is_complete"], true);
    let names: Vec<_> =
        listed["queues"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["demo", "mail", "tasks"]);
    let mail = &listed["queues"][1];
    assert_eq!(
        (&mail["ready"], &mail["dead"], &mail["is_paused"]),
        (&json!(1), &json!(1), &json!(true))
    );
    let text = stage.text(&["ls"]).await;
    let lines: Vec<_> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        lines[0],
        ["queue", "ready", "scheduled", "running", "retrying", "dead", "oldest", "waits"]
    );
    assert_eq!(lines[2][..6], ["mail", "1", "0", "0", "0", "1"]);
    assert_eq!((lines[2][7], lines[2][8]), ("s", "paused"));
    assert_eq!(lines[1], ["demo", "0", "0", "0", "0", "0"]);
    assert!(mail["oldest_waits"].as_f64() >= Some(0.0), "{mail}");
    assert_eq!(
        (&mail["rate_limit"], &listed["queues"][0]["oldest_waits"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(lines.len(), 4);
    let stats = stage.json(&["stats", "mail"]).await;
    assert_eq!((&stats["ready"], &stats["failed"]), (&json!(1), &mail["failed"]));
    assert!(stage.text(&["stats", "mail"]).await.ends_with("paused"));
}

#[tokio::test]
async fn dead_tasks_are_seen_and_brought_back_or_deleted() {
    let stage = stage().await;
    let ids =
        [stage.dead("first\u{1b}[2J").await, stage.dead("second").await, stage.dead("third").await];
    let [first, second, third] = ids.map(|id| id.to_string());
    let begun = stage.json(&["peek", "mail", "--limit", "1"]).await;
    assert_eq!((&begun["tasks"][0]["id"], begun["tasks"][1].is_null()), (&json!(first), true));
    let next = begun["next"].to_string();
    let peeked = stage.json(&["peek", "mail", "--from", &next, "--limit", "1"]).await;
    let one = &peeked["tasks"][0];
    assert_eq!(
        (&one["id"], &one["state"], one["attempts"].as_u64()),
        (&json!(second), &json!("dead"), Some(1))
    );
    assert_eq!(one["body"], json!({"to": "ada@example.com"}));
    assert_eq!(one["errors"][0]["error"], "second");
    let text = stage.text(&["peek", "mail"]).await;
    assert!(text.contains(&first) && text.contains("third") && !text.contains('\u{1b}'), "{text}");

    let inspected = stage.json(&["inspect", "mail", &third]).await;
    assert_eq!((&inspected["state"], &inspected["name"]), (&json!("dead"), &json!("mail")));
    assert!(stage.text(&["inspect", "mail", &third]).await.contains("third"));

    assert_eq!(stage.json(&["redrive", "mail", &first]).await, json!({"redriven": true}));
    let (code, output) = stage.run(&["redrive", "mail", &first]).await;
    assert_eq!((code, output.trim()), (3, "there is no dead task with this id"));
    assert_eq!(stage.json(&["inspect", "mail", &first]).await["state"], "ready");
    assert_eq!(stage.text(&["delete", "mail", &second]).await, "deleted");
    let (code, output) = stage.run(&["inspect", "mail", &second]).await;
    assert!(code == 3 && output.contains("there is no task with this id"), "{output}");
    assert_eq!(stage.json(&["redrive-all", "mail"]).await, json!({"redriven": 1}));
    assert_eq!(stage.text(&["peek", "mail"]).await, "no dead tasks");

    let taken = stage.queue.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(taken.dead_letter("again").await.unwrap(), russet::Settled::Done);
    assert_eq!(stage.text(&["purge", "mail", "--older-than", "1h"]).await, "0 deleted");
    assert_eq!(stage.json(&["purge", "mail", "--older-than", "0"]).await, json!({"deleted": 1}));
}

#[tokio::test]
async fn tasks_of_every_state_are_seen() {
    let stage = stage().await;
    let dead = stage.dead("no such mailbox").await;
    let running = stage.enqueue().await;
    // A lease that does not end with the test.
    let lasting = Queue::builder(&stage.russet, "mail").lease(HOUR).build().unwrap();
    let taken = lasting.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(taken.id(), running);
    let mail = || Mail { to: "ada@example.com".into() };
    let done = stage.queue.enqueue(mail()).keep_result(HOUR).await.unwrap().id;
    let delivery = stage.queue.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!((delivery.id(), delivery.ack().await.unwrap()), (done, russet::Settled::Done));
    let scheduled = stage.queue.enqueue(mail()).delay(HOUR).await.unwrap().id;
    let cancelled = stage.enqueue().await;
    assert_eq!(stage.queue.cancel(cancelled).await.unwrap(), russet::Cancelled::Done);
    let ready = [stage.enqueue().await, stage.enqueue().await].map(|id| id.to_string());
    for (state, ids) in [
        ("dead", &[dead.to_string()][..]),
        ("running", &[running.to_string()]),
        ("scheduled", &[scheduled.to_string()]),
        ("cancelled", &[cancelled.to_string()]),
        ("ready", &ready),
        ("retrying", &[]),
        ("completed", &[done.to_string()]),
    ] {
        let peeked = stage.json(&["peek", "mail", "--state", state]).await;
        let tasks = peeked["tasks"].as_array().unwrap();
        let mut seen: Vec<_> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
        let mut ids: Vec<_> = ids.iter().map(String::as_str).collect();
        seen.sort_unstable();
        ids.sort_unstable();
        assert_eq!(seen, ids, "{state}");
        assert!(tasks.iter().all(|task| task["state"] == state), "{peeked}");
        let text = stage.text(&["peek", "mail", "--state", state]).await;
        assert!(ids.iter().all(|id| text.contains(id)), "{text}");
        assert_eq!(text == format!("no {state} tasks"), ids.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn inspect_tells_a_tasks_body_attempts_errors_and_how_far_it_is() {
    let stage = stage().await;
    let (release, released) = tokio::sync::watch::channel(false);
    let queue = Queue::builder(&stage.russet, "mail")
        .backoff(Duration::from_millis(1), Duration::from_millis(1))
        .max_attempts(4)
        .build()
        .unwrap();
    let id = queue
        .enqueue(Mail { to: "ada@example.com".into() })
        .unique("ada")
        .header("trace", "0af7")
        .priority(3)
        .timeout(Duration::from_secs(300))
        .await
        .unwrap()
        .id
        .to_string();
    let worker =
        russet::Worker::builder(&queue).state(released).handler(slow_mail).build().unwrap();
    let working = tokio::spawn(async move { worker.run_until(std::future::pending()).await });
    let task = eventually(Duration::from_secs(60), async || {
        let task = stage.json(&["inspect", "mail", &id]).await;
        if task["progress"].is_null() { Err(task.to_string()) } else { Ok(task) }
    })
    .await;
    assert_eq!((&task["state"], &task["progress"]), (&json!("running"), &json!({"percent": 40})));
    assert_eq!((&task["attempts"], &task["max_attempts"]), (&json!(1), &json!(4)));
    assert_eq!((&task["unique"], &task["priority"]), (&json!("ada"), &json!(3)));
    assert_eq!((&task["headers"], &task["timeout"]), (&json!({"trace": "0af7"}), &json!(300.0)));
    assert_eq!(task["body"], json!({"to": "ada@example.com"}));
    let error = &task["errors"][0];
    assert_eq!((&error["attempt"], &error["error"]), (&json!(1), &json!("the line is busy")));
    assert!(error["at"].as_f64() > Some(1_700_000_000.0), "{error}");
    let text = stage.text(&["inspect", "mail", &id]).await;
    for part in
        ["1 of 4", r#"{"percent":40}"#, "trace: 0af7", "the line is busy", "ada@example.com"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let peeked = stage.text(&["peek", "mail", "--state", "running"]).await;
    assert!(peeked.contains(r#"{"percent":40}"#), "{peeked}");
    release.send(true).unwrap();
    working.abort();
}

/// Fails once, then tells how far it is and waits.
async fn slow_mail(
    _: Mail,
    ctx: russet::TaskContext<tokio::sync::watch::Receiver<bool>>,
) -> Result<(), russet::BoxError> {
    if ctx.attempt() == 1 {
        return Err("the line is busy".into());
    }
    let _ = ctx.progress(&json!({"percent": 40})).await?;
    ctx.state().clone().wait_for(|released| *released).await?;
    Ok(())
}

#[tokio::test]
async fn a_queue_gives_tasks_no_faster_than_its_limit_says() {
    let stage = stage().await;
    let limited = stage.json(&["limit", "mail", "1/h"]).await;
    assert_eq!(limited["rate_limit"], json!({"tasks": 1, "seconds": 3600.0, "at_once": 1}));
    stage.enqueue().await;
    stage.enqueue().await;
    assert!(stage.queue.receive(Duration::from_secs(9)).await.unwrap().is_some());
    assert!(stage.queue.receive(Duration::ZERO).await.unwrap().is_none());
    let stats = stage.text(&["stats", "mail"]).await;
    assert!(stats.contains("limit 1 in 3600s, 1 at once"), "{stats}");
    assert!(stats.contains("the oldest ready one waits "), "{stats}");
    assert!(stage.text(&["ls"]).await.contains("limit 1 in 3600s"));
    let limited = stage.json(&["limit", "mail", "600/10m", "--burst", "50"]).await;
    assert_eq!(limited["rate_limit"]["at_once"], 50);
    assert_eq!(stage.text(&["limit", "mail", "off"]).await, "no limit");
    assert!(stage.queue.receive(Duration::from_secs(9)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_queue_is_paused_and_goes_on() {
    let stage = stage().await;
    assert_eq!(stage.text(&["pause", "mail"]).await, "paused");
    assert_eq!(stage.json(&["pause", "mail"]).await, json!({"is_paused": true, "changed": false}));
    stage.enqueue().await;
    assert!(stage.queue.receive(Duration::ZERO).await.unwrap().is_none());
    assert_eq!(stage.text(&["resume", "mail"]).await, "resumed");
    assert_eq!(stage.text(&["resume", "mail"]).await, "it was not paused");
    assert!(stage.queue.receive(Duration::from_secs(9)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_task_that_is_enqueued_is_worked_on_by_the_application() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let body = r#"{"user_id": 7, "content": "Hello"}"#;
    let words = ["enqueue", "tasks", "notification", body, "--request-id", "once", "--json"];
    let mut ids = Vec::new();
    for is_new in [true, false] {
        // On the private server of the running serve.
        let (code, output) = finished(&folder.command("queue", &words)).await;
        assert_eq!(code, 0, "{output}");
        let put: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(put["is_new"], is_new);
        ids.push(put["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    eventually(Duration::from_secs(30), async || {
        let task = serve.get(&format!("/api/tasks/{}", ids[0])).await.json();
        if task["state"] == "completed" { Ok(()) } else { Err(task.to_string()) }
    })
    .await;
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn wrong_usage_is_2_and_a_server_that_is_away_is_1() {
    let stage = stage().await;
    for words in [
        &["stats"][..],
        &["inspect", "mail", "no-id"],
        &["peek", "mail", "--limit", "0"],
        &["peek", "mail", "--state", "lost"],
        &["limit", "mail", "fast"],
        &["purge", "mail"],
        &["purge", "mail", "--older-than", "soon"],
        &["enqueue", "tasks", "send_sms"],
        &["enqueue", "tasks", "notification", "{"],
        &["enqueue", "tasks", "notification", r#"{"user_id": 0, "content": "x"}"#],
        &["enqueue", "tasks", "order", "{}", "--priority", "10"],
    ] {
        let (code, output) = stage.run(words).await;
        assert_eq!(code, 2, "{words:?}: {output}");
    }
    let (code, output) = finished(&stage.folder.command("queue", &["ls"])).await;
    assert!(code == 1 && output.contains("there is no data folder"), "{output}");
    stage.server.kill().await.unwrap();
    let (code, output) = stage.run(&["ls"]).await;
    assert!(code == 1 && output.contains("no connection to the Redis server"), "{output}");
}
