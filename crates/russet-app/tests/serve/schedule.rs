//! `russet schedule`, and what the application has recur by itself.

use std::fs::{File, create_dir, write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russet::testing::{TestServer, WorkerProcess, eventually};
use russet::{Queue, Russet, Settled};
use russet_app::jobs::QUEUE;
use serde_json::{Value, json};

use crate::support::program::{DataFolder, Serve, ended, finished};

const LONG: Duration = Duration::from_secs(60);

struct Stage {
    folder: DataFolder,
    server: TestServer,
}

async fn stage() -> Stage {
    Stage { folder: DataFolder::new(), server: TestServer::start().await.unwrap() }
}

impl Stage {
    async fn run(&self, words: &[&str]) -> (i32, String) {
        let url = self.server.url();
        let arguments = [words, &["--redis-url", &url]].concat();
        finished(&self.folder.command("schedule", &arguments)).await
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

    async fn queue(&self) -> Queue {
        let russet = Russet::connect(&self.server.url()).await.unwrap();
        russet_app::jobs::queue(&russet).unwrap()
    }

    /// `serve` that leaves the tasks to workers.
    async fn serve(&self, cleanup: &[&str]) -> Serve {
        let url = self.server.url();
        let words = [&["--redis-url", &url, "--concurrency", "0"], cleanup].concat();
        Serve::run(&Serve::command(&self.folder, &words)).await
    }

    /// What recurs by itself, once it is so.
    async fn until_recurring(&self, names: &[&str]) -> Value {
        eventually(LONG, async || {
            let recurring = self.json(&["ls", QUEUE]).await["recurring"].clone();
            let listed: Vec<_> =
                recurring.as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
            if listed == names { Ok(recurring.clone()) } else { Err(recurring.to_string()) }
        })
        .await
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn old_file(path: &Path) {
    write(path, "12345").unwrap();
    let days = SystemTime::now() - Duration::from_secs(2 * 86_400);
    File::open(path).unwrap().set_modified(days).unwrap();
}

const MAIL: &str = r#"{"email": "ada@example.com", "subject": "Hi", "content": "Hello"}"#;

#[tokio::test]
async fn what_recurs_is_added_listed_run_and_ended() {
    let stage = stage().await;
    assert_eq!(stage.text(&["ls", QUEUE]).await, "nothing is scheduled");
    let times = ["--cron", "0 8 * * MON-FRI", "--zone", "Asia/Shanghai"];
    let words = [&["add", QUEUE, "send_email", MAIL, "--name", "report"][..], &times].concat();
    let added = stage.json(&words).await;
    assert_eq!((&added["name"], &added["is_new"]), (&json!("report"), &json!(true)));
    assert!(added["next"].as_f64() > Some(now()), "{added}");
    // The same again is the same.
    let again = stage.json(&words).await;
    assert_eq!((&again["is_new"], &again["next"]), (&json!(false), &added["next"]));
    let words =
        ["add", QUEUE, "cleanup_temp_files", "--every", "10m", "--alone", "--jitter", "30s"];
    assert!(stage.text(&words).await.starts_with("cleanup_temp_files, next in "));

    let listed = stage.json(&["ls", QUEUE]).await;
    let [cleanup, report] = [0, 1].map(|number| &listed["recurring"][number]);
    assert_eq!(
        (&cleanup["name"], &cleanup["task"]),
        (&json!("cleanup_temp_files"), &cleanup["name"])
    );
    assert_eq!(cleanup["body"], json!({"directory": "", "older_than": 86_400}));
    assert_eq!((&report["task"], &report["next"]), (&json!("send_email"), &added["next"]));
    assert_eq!((&report["last"], &report["body"]["subject"]), (&Value::Null, &json!("Hi")));
    let told = report["times"].as_str().unwrap();
    assert!(told.contains("0 8 * * MON-FRI") && told.contains("Asia/Shanghai"), "{told}");
    assert_eq!(listed["tasks"], json!([]));
    assert!(stage.text(&["ls", QUEUE]).await.contains("report"));

    let put = stage.json(&["run-now", QUEUE, "report"]).await;
    let delivery = stage.queue().await.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(json!(delivery.id().to_string()), put["id"]);
    assert_eq!((delivery.name(), &put["is_new"]), ("send_email", &json!(true)));
    // One that is alone is there once.
    let first = stage.json(&["run-now", QUEUE, "cleanup_temp_files"]).await;
    let second = stage.json(&["run-now", QUEUE, "cleanup_temp_files"]).await;
    assert_eq!((&second["id"], &second["is_new"]), (&first["id"], &json!(false)));

    let ended = json!({"what": "recurring", "state": "ended"});
    assert_eq!(stage.json(&["cancel", QUEUE, "report"]).await, ended);
    stage.until_recurring(&["cleanup_temp_files"]).await;
    for words in [["cancel", QUEUE, "report"], ["run-now", QUEUE, "report"]] {
        let (code, output) = stage.run(&words).await;
        assert_eq!((code, output.trim()), (3, "there is no such task: report"));
    }
}

#[tokio::test]
async fn a_task_for_later_is_added_listed_and_cancelled_by_its_id() {
    let stage = stage().await;
    let start = now();
    let first =
        stage.json(&["add", QUEUE, "order", r#"{"order_id": "A-1"}"#, "--after", "1h"]).await;
    let at = ["add", QUEUE, "send_email", MAIL, "--at", "2099-12-24T18:00:00+08:00"];
    let second = stage.text(&[&at[..], &["--priority", "9"]].concat()).await;
    let listed = stage.json(&["ls", QUEUE]).await;
    let tasks = listed["tasks"].as_array().unwrap();
    assert_eq!((tasks.len(), &listed["recurring"]), (2, &json!([])));
    assert_eq!((&tasks[0]["id"], &tasks[0]["body"]["order_id"]), (&first["id"], &json!("A-1")));
    let due = tasks[0]["at"].as_f64().unwrap();
    // The two clocks are one machine's here, and the test may be slow.
    assert!((start + 3_595.0..start + 3_720.0).contains(&due), "{due} after {start}");
    assert_eq!((&tasks[1]["id"], &tasks[1]["at"]), (&json!(second), &json!(4_101_789_600.0)));
    let one = stage.json(&["ls", QUEUE, "--limit", "1"]).await;
    assert_eq!((one["tasks"].as_array().unwrap().len(), &one["is_complete"]), (1, &json!(false)));

    let cancelled = json!({"what": "task", "state": "cancelled"});
    assert_eq!(stage.json(&["cancel", QUEUE, &second]).await, cancelled);
    let (code, output) = stage.run(&["cancel", QUEUE, &second]).await;
    assert!(code == 3 && output.contains(&second), "{output}");
    // One that runs is asked to end.
    let queue = stage.queue().await;
    let put = stage.json(&["add", QUEUE, "send_email", MAIL, "--after", "0"]).await;
    let taken = queue.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(json!(taken.id().to_string()), put["id"]);
    let asked = json!({"what": "task", "state": "running"});
    assert_eq!(stage.json(&["cancel", QUEUE, put["id"].as_str().unwrap()]).await, asked);
}

#[tokio::test]
async fn what_recurs_is_paused_and_goes_on_and_says_what_it_does_about_missed_times() {
    let stage = stage().await;
    let words = ["add", QUEUE, "send_email", MAIL, "--every", "1h", "--name", "mail"];
    let recurring = async || stage.json(&["ls", QUEUE]).await["recurring"][0].clone();
    for (policy, told) in [("all:3", "all:3"), ("skip:2m", "skip:120s"), ("once", "once")] {
        stage.json(&[&words[..], &["--missed", policy]].concat()).await;
        assert_eq!(recurring().await["missed"], told);
    }
    let next = recurring().await["next"].clone();
    let said = |state, is_new| json!({"what": "recurring", "name": "mail", "state": state, "is_new": is_new});
    assert_eq!(stage.json(&["pause", QUEUE, "mail"]).await, said("paused", true));
    assert_eq!(stage.json(&["pause", QUEUE, "mail"]).await, said("paused", false));
    assert_eq!(recurring().await["next"], Value::Null);
    assert!(stage.text(&["ls", QUEUE]).await.contains("paused"));
    assert_eq!(stage.text(&["resume", QUEUE, "mail"]).await, "resumed");
    assert_eq!(stage.text(&["resume", QUEUE, "mail"]).await, "resumed (it was so before)");
    // An hour is longer than this test, unless it began at the end of one.
    assert!(recurring().await["next"].as_f64() >= next.as_f64(), "{next}");
    for verb in ["pause", "resume"] {
        let (code, output) = stage.run(&[verb, QUEUE, "other"]).await;
        assert_eq!((code, output.trim()), (3, "there is no such task: other"));
    }
}

#[tokio::test]
async fn a_task_that_waits_has_another_time_and_one_that_does_not_has_none() {
    let stage = stage().await;
    let put = stage.json(&["add", QUEUE, "send_email", MAIL, "--after", "1h"]).await;
    let id = put["id"].as_str().unwrap();
    let done = json!({"what": "task", "state": "scheduled"});
    let at = ["reschedule", QUEUE, id, "--at", "2099-12-24T18:00:00+08:00"];
    assert_eq!(stage.json(&at).await, done);
    assert_eq!(stage.json(&["ls", QUEUE]).await["tasks"][0]["at"], json!(4_101_789_600.0));
    assert_eq!(stage.json(&["reschedule", QUEUE, id, "--after", "0"]).await, done);
    let taken = stage.queue().await.receive(Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(taken.id().to_string(), id);
    let (code, output) = stage.run(&["reschedule", QUEUE, id, "--after", "1m"]).await;
    assert_eq!((code, output.trim()), (3, "too late: it runs"));
    let (code, output) = stage.run(&["reschedule", QUEUE, id, "--after", "1m", "--json"]).await;
    let json: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &json["state"]), (3, &json!("running")));
    assert_eq!(taken.ack().await.unwrap(), Settled::Done);
    let (code, output) = stage.run(&["reschedule", QUEUE, id, "--after", "1m"]).await;
    assert_eq!((code, output.trim()), (3, format!("there is no such task: {id}").as_str()));
}

#[tokio::test]
async fn wrong_usage_is_2_and_a_server_that_is_away_is_1() {
    let stage = stage().await;
    let long = "x".repeat(257);
    for words in [
        &["ls"][..],
        &["ls", QUEUE, "--limit", "0"],
        &["add", QUEUE, "cleanup_temp_files"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "1h", "--after", "1h"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "0"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "1h", "--zone", "UTC"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "1h", "--name", &long],
        &["add", QUEUE, "cleanup_temp_files", "--cron", "often"],
        &["add", QUEUE, "cleanup_temp_files", "--cron", "0 0 31 2 *"],
        &["add", QUEUE, "cleanup_temp_files", "--cron", "@daily", "--zone", "Mars/Olympus"],
        &["add", QUEUE, "cleanup_temp_files", "--after", "1h", "--name", "once"],
        &["add", QUEUE, "cleanup_temp_files", "--at", "tomorrow"],
        &["add", QUEUE, "cleanup_temp_files", r#"{"directory": "../uploads"}"#, "--cron", "@daily"],
        &["add", QUEUE, "send_sms", "--cron", "@daily"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "1h", "--missed", "all:0"],
        &["add", QUEUE, "cleanup_temp_files", "--every", "1h", "--missed", "skip"],
        &["add", QUEUE, "cleanup_temp_files", "--after", "1h", "--missed", "all:2"],
        &["pause", QUEUE],
        &["reschedule", QUEUE, "0NslGn9JKMUnRy1vGCOc30"],
        &["reschedule", QUEUE, "0NslGn9JKMUnRy1vGCOc30", "--after", "1h", "--at", "1798106400"],
        &["reschedule", QUEUE, "mail", "--after", "1h"],
    ] {
        let (code, output) = stage.run(words).await;
        assert_eq!(code, 2, "{words:?}: {output}");
    }
    assert_eq!(stage.text(&["ls", QUEUE]).await, "nothing is scheduled");
    stage.server.kill().await.unwrap();
    let (code, output) = stage.run(&["ls", QUEUE]).await;
    assert!(code == 1 && output.contains("no connection to the Redis server"), "{output}");
}

#[tokio::test]
async fn any_number_of_processes_have_one_cleanup_which_a_setting_changes_and_turns_off() {
    let stage = stage().await;
    let url = stage.server.url();
    // What they do when nothing is set.
    let usual = |mut command: Command| {
        command.env_remove("TEMP_CLEANUP");
        command
    };
    let words = ["--listen", "127.0.0.1:0", "--redis-url", &url, "--concurrency", "0"];
    let serve = Serve::run(&usual(stage.folder.command("serve", &words))).await;
    let first = stage.until_recurring(&["temp_cleanup"]).await;
    assert_eq!(
        (&first[0]["task"], &first[0]["body"]["older_than"]),
        (&json!("cleanup_temp_files"), &json!(86_400))
    );
    assert_eq!(first[0]["times"], "cron \"30 3 * * *\" in UTC");
    let worker = usual(stage.folder.command("worker", &["--redis-url", &url]));
    let worker = WorkerProcess::command(&worker).unwrap();
    // A run beside its times shows that the worker works; the entry is what it was.
    let id = stage.json(&["run-now", QUEUE, "temp_cleanup"]).await["id"].clone();
    eventually(LONG, async || {
        let task = serve.get(&format!("/api/tasks/{}", id.as_str().unwrap())).await.json();
        if task["state"] == "completed" { Ok(()) } else { Err(task.to_string()) }
    })
    .await;
    assert_eq!(stage.until_recurring(&["temp_cleanup"]).await, first);
    worker.terminate().unwrap();
    assert!(ended(&worker).await.success(), "{}", worker.output());
    assert!(serve.stop().await.success());

    let serve =
        stage.serve(&["--temp-cleanup", "@weekly", "--temp-cleanup-zone", "Asia/Shanghai"]).await;
    eventually(LONG, async || {
        let times = stage.until_recurring(&["temp_cleanup"]).await[0]["times"].clone();
        if times == "cron \"@weekly\" in Asia/Shanghai" { Ok(()) } else { Err(times.to_string()) }
    })
    .await;
    assert!(serve.stop().await.success());
    let serve = stage.serve(&["--temp-cleanup", "off"]).await;
    stage.until_recurring(&[]).await;
    assert!(serve.stop().await.success());
    for odd in [["--temp-cleanup", "often"], ["--temp-cleanup-zone", "Mars/Olympus"]] {
        let (code, output) = finished(&Serve::command(&stage.folder, &odd)).await;
        assert_eq!(code, 2, "{output}");
    }
}

#[tokio::test]
async fn at_its_times_the_folder_temp_is_cleaned_and_nothing_beside_it() {
    let folder = DataFolder::new();
    let serve = Serve::run(&Serve::command(&folder, &["--temp-cleanup", "* * * * * *"])).await;
    let temp = folder.path().join("temp");
    create_dir(folder.beside("outside")).unwrap();
    let outside = folder.beside("outside").join("secret");
    old_file(&outside);
    let upload = folder.path().join("uploads/old.png");
    old_file(&upload);
    std::os::unix::fs::symlink(folder.beside("outside"), temp.join("link")).unwrap();
    write(temp.join("new"), "12345").unwrap();
    // Each is seen by a tick of its own.
    for name in ["first", "second"] {
        old_file(&temp.join(name));
        eventually(LONG, async || {
            if temp.join(name).exists() { Err(format!("{name} is there")) } else { Ok(()) }
        })
        .await;
    }
    assert!(temp.join("new").exists() && outside.exists() && upload.exists());
    assert!(serve.stop().await.success());
}

/// It starts while its server is away, so the times are registered when the server comes.
#[tokio::test]
async fn the_cleanup_is_registered_once_the_server_is_there() {
    let stage = stage().await;
    stage.server.kill().await.unwrap();
    let serve = stage.serve(&["--temp-cleanup", "@daily"]).await;
    stage.server.restart().await.unwrap();
    stage.until_recurring(&["temp_cleanup"]).await;
    assert!(serve.stop().await.success());
}
