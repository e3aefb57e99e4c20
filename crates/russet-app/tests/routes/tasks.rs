//! `/api/tasks`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russet::testing::eventually;
use russet::{Cancelled, TaskState};
use russet_app::jobs::{self, Files, Work};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::App;

const LONG: Duration = Duration::from_secs(30);

fn mail() -> Value {
    let body = json!({"email": "ada@example.com", "subject": "Hi", "content": "Hello\nAda"});
    json!({"name": "send_email", "body": body})
}

fn with(mut task: Value, field: &str, value: impl Into<Value>) -> Value {
    task[field] = value.into();
    task
}

async fn put(app: &App, task: Value) -> String {
    let put = app.post("/api/tasks", task).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let id = put.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(put.header("location"), format!("/api/tasks/{id}"));
    assert_eq!(put.json()["is_new"], true);
    id
}

async fn find(app: &App, id: &str) -> Value {
    app.get(&format!("/api/tasks/{id}")).await.json()
}

async fn until(app: &App, id: &str, state: &str) -> Value {
    eventually(LONG, async || {
        let task = find(app, id).await;
        if task["state"] == state { Ok(task) } else { Err(task.to_string()) }
    })
    .await
}

/// The application's worker, in this process.
fn work(app: &App) -> JoinHandle<russet::Result<()>> {
    let files = Files::open(app.folder.path()).unwrap();
    let work = Work::new(app.state.db.clone(), files);
    let worker = Arc::new(jobs::worker(&app.state.tasks, work, 4).unwrap());
    tokio::spawn(async move { worker.run_until(std::future::pending()).await })
}

#[tokio::test]
async fn a_task_waits_is_done_and_its_result_is_kept() {
    let app = App::start().await;
    let id = put(&app, mail()).await;
    let task = find(&app, &id).await;
    assert_eq!(
        task,
        json!({"id": id, "name": "send_email", "state": "ready", "at": null, "attempts": 0, "errors": [], "progress": null, "result": null})
    );
    let working = work(&app);
    let task = until(&app, &id, "completed").await;
    assert_eq!((&task["attempts"], &task["result"]["to"]), (&json!(1), &json!("ada@example.com")));
    assert!(task["at"].as_f64() > Some(1_700_000_000.0), "{task}");
    let counts = app.get("/api/tasks").await.json()["counts"].clone();
    assert_eq!(
        (&counts["completed"], &counts["kept"], &counts["ready"]),
        (&json!(1), &json!(1), &json!(0))
    );
    // It is kept for a day.
    let kept = app.state.tasks.status(id.parse().unwrap()).await.unwrap().unwrap();
    assert!(matches!(kept.state, TaskState::Completed { .. }));
    assert_eq!(jobs::KEEP_RESULTS, Duration::from_secs(86_400));
    working.abort();
}

#[tokio::test]
async fn a_delayed_task_says_when_it_is_due() {
    let app = App::start().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let delayed = find(&app, &put(&app, with(mail(), "delay", 3_600.5)).await).await;
    let at = find(&app, &put(&app, with(mail(), "execute_at", now + 7_200.0)).await).await;
    for (task, due) in [(&delayed, now + 3_600.5), (&at, now + 7_200.0)] {
        assert_eq!(task["state"], "scheduled");
        let told = task["at"].as_f64().unwrap();
        // The two clocks are one machine's here, and the test may be slow.
        assert!((due - 5.0..due + 60.0).contains(&told), "{told} for {due}");
    }
    let soon = put(&app, with(mail(), "delay", 0.2)).await;
    let past = put(&app, with(mail(), "execute_at", 1)).await;
    assert_eq!(find(&app, &past).await["state"], "ready");
    let working = work(&app);
    until(&app, &soon, "completed").await;
    until(&app, &past, "completed").await;
    assert_eq!(app.get("/api/tasks").await.json()["counts"]["scheduled"], 2);
    working.abort();
}

#[tokio::test]
async fn higher_priorities_come_first() {
    let app = App::start().await;
    let low = put(&app, mail()).await;
    let high = put(&app, with(mail(), "priority", 9)).await;
    let taken = app.state.tasks.receive(LONG).await.unwrap().unwrap();
    assert_eq!(taken.id().to_string(), high);
    let taken = app.state.tasks.receive(LONG).await.unwrap().unwrap();
    assert_eq!(taken.id().to_string(), low);
}

#[tokio::test]
async fn a_unique_task_and_a_repeated_call_are_there_once() {
    let app = App::start().await;
    for (field, key) in [("unique", "welcome:ada"), ("request_id", "signup 42")] {
        let id = put(&app, with(mail(), field, key)).await;
        let again = app.post("/api/tasks", with(mail(), field, key)).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.json(), json!({"id": id, "is_new": false}));
        assert_eq!(again.header("location"), format!("/api/tasks/{id}"));
    }
    assert_eq!(app.get("/api/tasks").await.json()["counts"]["ready"], 2);
}

#[tokio::test]
async fn a_task_is_cancelled_before_it_runs_and_not_after() {
    let app = App::start().await;
    let id = put(&app, mail()).await;
    let path = format!("/api/tasks/{id}");
    let cancelled = app.delete(&path).await;
    assert_eq!(
        (cancelled.status.as_u16(), cancelled.json()["state"].clone()),
        (200, json!("cancelled"))
    );
    assert_eq!(find(&app, &id).await["state"], "cancelled");
    assert_eq!(app.delete(&path).await.error(409), "the task has ended already");
    assert!(app.state.tasks.receive(Duration::ZERO).await.unwrap().is_none());

    let id = put(&app, mail()).await;
    let running = app.state.tasks.receive(LONG).await.unwrap().unwrap();
    let path = format!("/api/tasks/{id}");
    let asked = app.delete(&path).await;
    assert_eq!((asked.status.as_u16(), asked.json()["state"].clone()), (202, json!("running")));
    assert_eq!(running.dead_letter("cancelled").await.unwrap(), russet::Settled::Done);
    assert_eq!(app.delete(&path).await.error(409), "the task has ended already");
    assert!(matches!(
        app.state.tasks.cancel(id.parse().unwrap()).await.unwrap(),
        Cancelled::Dead | Cancelled::Gone
    ));
}

#[tokio::test]
async fn the_tasks_that_died_last_are_listed_first() {
    let app = App::start().await;
    for number in 0..4 {
        put(&app, mail()).await;
        let taken = app.state.tasks.receive(LONG).await.unwrap().unwrap();
        assert_eq!(
            taken.dead_letter(&format!("reason {number}")).await.unwrap(),
            russet::Settled::Done
        );
    }
    let queue = app.get("/api/tasks?dead=2").await.json();
    assert_eq!(queue["counts"]["dead"], 4);
    let dead = queue["dead"].as_array().unwrap();
    let reasons: Vec<_> =
        dead.iter().map(|task| task["errors"][0]["error"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["reason 3", "reason 2"]);
    assert_eq!((&dead[0]["state"], &dead[0]["name"]), (&json!("dead"), &json!("send_email")));
    assert_eq!(app.get("/api/tasks?dead=0").await.json()["dead"], json!([]));
    app.get("/api/tasks?dead=101").await.error(400);
}

#[tokio::test]
async fn bad_input_is_400_and_names_the_field() {
    let app = App::start().await;
    let body = |field: &str, value: Value| {
        let mut task = mail();
        task["body"][field] = value;
        task
    };
    for (task, word) in [
        (json!({}), "missing field `name`"),
        (with(mail(), "name", "send_sms"), "name must be one of send_email,"),
        (with(mail(), "name", 1), "name: "),
        (with(mail(), "priority", 10), "priority must be 0 to 9"),
        (with(mail(), "priority", -1), "priority: "),
        (with(mail(), "priority", "high"), "priority: "),
        (with(mail(), "delay", -1), "delay must be 0 to"),
        (with(mail(), "delay", 1e300), "delay must be 0 to"),
        (with(mail(), "execute_at", -5), "execute_at must be seconds"),
        (with(mail(), "execute_at", 1e15), "execute_at must be seconds"),
        (with(mail(), "execute_at", "tomorrow"), "execute_at: "),
        (with(with(mail(), "delay", 1), "execute_at", 1), "delay and execute_at exclude"),
        (with(mail(), "unique", ""), "unique must have 1 to"),
        (with(mail(), "unique", "x".repeat(201)), "unique must have 1 to"),
        (with(mail(), "request_id", ""), "request_id must have 1 to"),
        (with(mail(), "delay_seconds", 5), "unknown field `delay_seconds`"),
        (with(mail(), "body", "x"), "body: "),
        (body("email", json!("nobody")), "body: email has no @"),
        (body("subject", json!("a\nb")), "body: subject has a line break"),
        (body("content", json!(7)), "body: content: "),
        (body("bcc", json!("x@y.co")), "body: bcc: unknown field"),
        (
            json!({"name": "process_image", "body": {"image_path": "../secret-key", "operations": ["resize"]}}),
            "body: image_path leads out of uploads",
        ),
        (
            json!({"name": "process_image", "body": {"image_path": "a.png", "operations": ["explode"]}}),
            "body: operations[0]: unknown variant",
        ),
        (
            json!({"name": "process_image", "body": {"image_path": "a.png", "operations": ["resize"], "width": 0}}),
            "body: width must be 1 to",
        ),
        (
            json!({"name": "cleanup_temp_files", "body": {"directory": "/etc"}}),
            "body: directory leads out of temp",
        ),
    ] {
        let error = app.post("/api/tasks", task.clone()).await.error(400);
        assert!(error.contains(word), "{task}: {error}");
    }
    for id in ["1", "x", "000000000000000000000x", "00000000000000000000000"] {
        app.get(&format!("/api/tasks/{id}")).await.error(400);
        app.delete(&format!("/api/tasks/{id}")).await.error(400);
    }
    let nobody = "/api/tasks/0000000000000000000000";
    app.get(nobody).await.error(404);
    app.delete(nobody).await.error(404);
    let counts = app.get("/api/tasks").await.json()["counts"].clone();
    assert_eq!((&counts["ready"], &counts["scheduled"]), (&json!(0), &json!(0)), "nothing was put");
}
