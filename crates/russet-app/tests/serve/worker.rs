//! `russet worker`: beside `serve`, killed, and stopped in order.

use std::process::Command;
use std::time::Duration;

use rand::RngExt as _;
use russet::testing::{Proxy, TestServer, WorkerProcess, eventually};
use russet_app::db::Database;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::program::{DataFolder, Serve, ended, finished};

const LONG: Duration = Duration::from_secs(60);

fn command(folder: &DataFolder, arguments: &[&str]) -> Command {
    folder.command("worker", arguments)
}

async fn start(folder: &DataFolder, arguments: &[&str]) -> WorkerProcess {
    let mut process = WorkerProcess::command(&command(folder, arguments)).unwrap();
    loop {
        let line = process.line_starting("").await.unwrap();
        if line.contains("working on the queue tasks") {
            return process;
        }
    }
}

fn mail(number: usize) -> Value {
    let body =
        json!({"email": format!("{number}@example.com"), "subject": "Hi", "content": "Hello"});
    json!({"name": "send_email", "body": body})
}

async fn put(serve: &Serve, task: Value) -> String {
    let put = serve.post("/api/tasks", task).await;
    assert_eq!(put.status, 201, "{}", put.text());
    put.json()["id"].as_str().unwrap().to_owned()
}

async fn until(serve: &Serve, id: &str, state: &str) -> Value {
    eventually(LONG, async || {
        let task = serve.get(&format!("/api/tasks/{id}")).await.json();
        if task["state"] == state { Ok(task) } else { Err(task.to_string()) }
    })
    .await
}

async fn database(folder: &DataFolder) -> Database {
    let url = format!("sqlite:{}", folder.path().join("russet.db").display());
    Database::open(&url).await.unwrap()
}

/// `serve` that leaves the tasks to workers, on a server that can be seen.
async fn serve_without_worker(folder: &DataFolder, server: &TestServer) -> Serve {
    let url = server.url();
    Serve::run(&Serve::command(folder, &["--redis-url", &url, "--concurrency", "0"])).await
}

#[tokio::test]
async fn serve_and_a_worker_share_the_queue() {
    let folder = DataFolder::new();
    let serve = Serve::run(&Serve::command(&folder, &["--concurrency", "0"])).await;
    assert_eq!(serve.get("/readyz").await.status, 200);
    let id = put(&serve, mail(1)).await;
    assert_eq!(serve.get(&format!("/api/tasks/{id}")).await.json()["state"], "ready");

    // On the private server of the running serve, with nothing configured.
    let worker = start(&folder, &[]).await;
    let done = until(&serve, &id, "completed").await;
    assert_eq!(done["result"], json!({"to": "1@example.com", "is_new": true}));
    let outbox = database(&folder).await.outbox(10).await.unwrap();
    assert_eq!((outbox.len(), outbox[0].task.as_str()), (1, id.as_str()));

    worker.terminate().unwrap();
    assert!(ended(&worker).await.success(), "{}", worker.output());
    assert!(worker.output().contains("stopping"), "{}", worker.output());
    let id = put(&serve, mail(2)).await;
    assert!(serve.stop().await.success());

    // And serve works on what a worker left.
    let serve = Serve::start(&folder).await;
    until(&serve, &id, "completed").await;
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn an_order_a_picture_and_old_files_are_really_worked_on() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let order = json!({"order_id": "A-1", "user_id": 7, "email": "ada@example.com"});
    let order = put(&serve, json!({"name": "order", "body": order})).await;
    let again = json!({"name": "order", "body": {"order_id": "A-1", "user_id": 7}});
    let done = until(&serve, &order, "completed").await;
    assert_eq!(done["result"], json!({"order_id": "A-1", "is_first": true}));
    let second = put(&serve, again).await;
    assert_eq!(until(&serve, &second, "completed").await["result"]["is_first"], false);
    let db = database(&folder).await;
    let outbox = eventually(LONG, async || {
        let outbox = db.outbox(10).await.unwrap();
        if outbox.len() == 2 { Ok(outbox) } else { Err(format!("{outbox:?}")) }
    })
    .await;
    let mut to: Vec<_> =
        outbox.iter().map(|one| (one.kind.as_str(), one.recipient.as_str())).collect();
    to.sort_unstable();
    assert_eq!(to, [("email", "ada@example.com"), ("notification", "7")]);

    let picture = json!({"image_path": "/uploads/photo.jpg", "operations": ["resize", "watermark"], "width": 300});
    let picture = put(&serve, json!({"name": "process_image", "body": picture})).await;
    let made = until(&serve, &picture, "completed").await["result"].clone();
    assert_eq!((&made["width"], &made["height"]), (&json!(300), &json!(200)));
    let file = std::fs::read(folder.path().join(made["path"].as_str().unwrap())).unwrap();
    assert!(file.starts_with(&[0xff, 0xd8]) && json!(file.len()) == made["bytes"]);

    std::fs::write(folder.path().join("temp/old"), "12345").unwrap();
    let old = std::fs::File::open(folder.path().join("temp/old")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).unwrap();
    std::fs::write(folder.path().join("temp/new"), "12345").unwrap();
    let clean = json!({"name": "cleanup_temp_files", "body": {"older_than": 3_600}});
    let cleaned = until(&serve, &put(&serve, clean).await, "completed").await;
    assert_eq!(cleaned["result"], json!({"deleted": 1, "bytes": 5, "is_complete": true}));
    assert!(folder.path().join("temp/new").exists() && !folder.path().join("temp/old").exists());
    assert!(serve.stop().await.success());
}

/// The last step fails, so how far it was stays to be seen.
#[tokio::test]
async fn a_picture_tells_how_far_it_is() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    std::fs::remove_dir(folder.path().join("images")).unwrap();
    let body = json!({"image_path": "photo.jpg", "operations": ["resize", "watermark"]});
    let id = put(&serve, json!({"name": "process_image", "body": body})).await;
    let task = until(&serve, &id, "dead").await;
    assert_eq!(task["progress"], json!({"step": "write", "percent": 75}), "{task}");
    // One that cannot be read comes no further.
    std::fs::write(folder.path().join("uploads/text.png"), "no picture").unwrap();
    let body = json!({"image_path": "text.png", "operations": ["resize"]});
    let id = put(&serve, json!({"name": "process_image", "body": body})).await;
    let task = until(&serve, &id, "dead").await;
    assert_eq!(task["progress"], json!({"step": "read", "percent": 0}), "{task}");
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_not_followed() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let secret = folder.beside("secret.png");
    std::fs::copy(folder.path().join("uploads/photo.jpg"), &secret).unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("uploads/link.png")).unwrap();
    let body = json!({"image_path": "link.png", "operations": ["resize"]});
    let id = put(&serve, json!({"name": "process_image", "body": body})).await;
    let task = eventually(LONG, async || {
        let task = serve.get(&format!("/api/tasks/{id}")).await.json();
        if task["errors"] == json!([]) { Err(task.to_string()) } else { Ok(task) }
    })
    .await;
    assert_eq!(task["errors"][0]["error"], "link.png is no file of the folder");
    assert_eq!(std::fs::read_dir(folder.path().join("images")).unwrap().count(), 0);
    assert!(serve.stop().await.success());
}

/// The row is written and the worker killed before it could say so: the task is delivered again, and the row is there
/// once.
#[tokio::test]
async fn a_worker_killed_between_its_effect_and_its_ack_leaves_one_email() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let serve = serve_without_worker(&folder, &server).await;
    let url = format!("sqlite:{}", folder.path().join("russet.db").display());
    let mut lock = SqliteConnection::connect(&url).await.unwrap();
    let worker = start(&folder, &["--redis-url", &proxy.url(), "--lease", "10s"]).await;

    // The handler waits for the database, then nothing reaches Redis any more, then it goes on.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let id = put(&serve, mail(1)).await;
    until(&serve, &id, "running").await;
    proxy.hang().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    let db = database(&folder).await;
    eventually(LONG, async || match db.outbox(10).await.unwrap().len() {
        1 => Ok(()),
        other => Err(format!("{other} rows")),
    })
    .await;
    worker.kill().await.unwrap();
    assert_eq!(serve.get(&format!("/api/tasks/{id}")).await.json()["state"], "running");

    let worker = start(&folder, &["--redis-url", &server.url(), "--lease", "10s"]).await;
    let done = until(&serve, &id, "completed").await;
    assert_eq!(done["attempts"], 2, "{done}");
    assert_eq!(done["result"], json!({"to": "1@example.com", "is_new": false}));
    assert_eq!(db.outbox(10).await.unwrap().len(), 1);
    worker.terminate().unwrap();
    assert!(ended(&worker).await.success(), "{}", worker.output());
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn workers_killed_at_any_moment_leave_each_email_once() {
    const MAILS: usize = 300;
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let serve = serve_without_worker(&folder, &server).await;
    let arguments = ["--redis-url", &server.url(), "--lease", "2s"];
    let db = database(&folder).await;
    let mut workers = [start(&folder, &arguments).await, start(&folder, &arguments).await];
    for number in 0..MAILS {
        put(&serve, mail(number)).await;
        if number % 60 == 59 {
            // At another moment of the work each time.
            let moment = Duration::from_millis(rand::rng().random_range(0..30));
            let _ = tokio::time::timeout(moment, workers[0].wait()).await;
            workers[0].kill().await.unwrap();
            workers.swap(0, 1);
            workers[1] = start(&folder, &arguments).await;
        }
    }
    let counts = eventually(LONG, async || {
        let counts = serve.get("/api/tasks").await.json()["counts"].clone();
        if counts["completed"] == MAILS { Ok(counts) } else { Err(counts.to_string()) }
    })
    .await;
    assert_eq!(
        (&counts["dead"], &counts["running"], &counts["ready"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let outbox = db.outbox(1_000).await.unwrap();
    let to: std::collections::BTreeSet<_> = outbox.iter().map(|one| &one.recipient).collect();
    assert_eq!((outbox.len(), to.len()), (MAILS, MAILS));
    println!("5 workers killed, {} attempts of {MAILS} tasks failed", counts["failed"]);
    for worker in &workers {
        worker.terminate().unwrap();
        assert!(ended(worker).await.success(), "{}", worker.output());
    }
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn without_a_server_it_says_what_to_name_and_takes_no_odd_settings() {
    let folder = DataFolder::new();
    let (code, output) = finished(&command(&folder, &[])).await;
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("there is no data folder") && output.contains("--redis-url"),
        "{output}"
    );
    for (flag, value) in [("--concurrency", "0"), ("--concurrency", "x"), ("--lease", "2 weeks")] {
        let (code, output) = finished(&command(&folder, &[flag, value])).await;
        assert_eq!(code, 2, "{output}");
    }
    let server = TestServer::start().await.unwrap();
    let short = ["--redis-url", &server.url(), "--lease", "10ms"];
    let (code, output) = finished(&command(&folder, &short)).await;
    assert!(code == 1 && output.contains("lease must be"), "{output}");
}

#[tokio::test]
async fn a_worker_waits_out_a_server_that_is_away() {
    let folder = DataFolder::new();
    let server = TestServer::builder().append_only().start().await.unwrap();
    let serve = serve_without_worker(&folder, &server).await;
    let worker = start(&folder, &["--redis-url", &server.url()]).await;
    server.kill().await.unwrap();
    serve.post("/api/tasks", mail(1)).await.error(503);
    server.restart().await.unwrap();
    let id = eventually(LONG, async || {
        let put = serve.post("/api/tasks", mail(2)).await;
        if put.status == 201 {
            Ok(put.json()["id"].as_str().unwrap().to_owned())
        } else {
            Err(put.text().to_owned())
        }
    })
    .await;
    until(&serve, &id, "completed").await;
    worker.terminate().unwrap();
    assert!(ended(&worker).await.success(), "{}", worker.output());
    assert!(serve.stop().await.success());
}

/// A worker of the home page's demonstration must not outlive the process that started it.
#[tokio::test]
async fn a_worker_of_the_demonstration_ends_with_its_parent() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let mut worker =
        WorkerProcess::command(&command(&folder, &["--demo", "--redis-url", &server.url()]))
            .unwrap();
    worker.close_stdin();
    assert!(ended(&worker).await.success(), "{}", worker.output());
}
