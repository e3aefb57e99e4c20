//! What is killed comes back: the private server while russet runs, and russet while the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{WorkerProcess, eventually, is_running};
use serde_json::json;

use crate::support::program::{DataFolder, Serve, finished, signal, write};

const LONG: Duration = Duration::from_secs(30);

async fn write_all(serve: &Serve) {
    serve.put("/api/users/1", json!({"name": "Kept", "email": "kept@example.com"})).await.json();
    serve.post("/api/leaderboard/update", json!({"player": "kept", "score": 7})).await.json();
    serve.get("/api/stats/page_views").await.json();
}

async fn assert_all_kept(serve: &Serve) {
    assert_eq!(serve.get("/api/users/1").await.json()["name"], "Kept");
    assert_eq!(serve.get("/api/leaderboard/kept").await.json()["score"], 7);
    assert_eq!(serve.get("/api/overview").await.json()["page_views"]["total_views"], 1);
}

/// Looks for servers on the data all the time, and keeps the most that it saw at once.
struct Lookout {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Lookout {
    fn over(folder: &Arc<DataFolder>) -> Lookout {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (folder, until, seen) = (folder.clone(), stop.clone(), most.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                seen.fetch_max(folder.servers().len(), Ordering::Relaxed);
            }
        });
        Lookout { stop, most, thread: Some(thread) }
    }

    fn most(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_killed_private_server_is_started_again_with_everything_that_was_acknowledged() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    write_all(&serve).await;
    for round in 0..3 {
        let server = folder.server();
        signal(server, "KILL");
        let killed = Instant::now();
        eventually(LONG, async || {
            let answer = serve.get("/readyz").await;
            // The first answers may still come before the end is noticed.
            let fresh = folder.servers().first().is_some_and(|pid| *pid != server);
            if answer.status == 200 && fresh { Ok(()) } else { Err(answer.text().to_owned()) }
        })
        .await;
        assert!(killed.elapsed() < Duration::from_secs(3), "round {round}: {:?}", killed.elapsed());
        assert_all_kept(&serve).await;
        folder.server();
    }
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn after_a_kill_of_russet_the_next_start_takes_its_server_over() {
    let folder = Arc::new(DataFolder::new());
    let mut serve = Serve::start(&folder).await;
    write_all(&serve).await;
    let lookout = Lookout::over(&folder);
    let server = folder.server();
    for _ in 0..3 {
        serve.kill().await;
        assert_eq!(folder.server(), server, "it outlives russet");
        serve = Serve::start(&folder).await;
        assert_eq!(folder.server(), server, "it is taken over");
        assert_all_kept(&serve).await;
    }
    assert!(serve.stop().await.success());
    assert!(!is_running(server));
    assert_eq!(folder.servers(), [0_u32; 0]);
    assert_eq!(lookout.most(), 1, "servers on the data at the same moment");
}

#[tokio::test]
async fn a_server_that_was_taken_over_is_started_again_too() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    write_all(&serve).await;
    serve.kill().await;
    let serve = Serve::start(&folder).await;
    let server = folder.server();
    signal(server, "KILL");
    eventually(LONG, async || {
        let fresh = folder.servers().first().is_some_and(|pid| *pid != server);
        let answer = serve.get("/readyz").await;
        if answer.status == 200 && fresh { Ok(()) } else { Err(answer.text().to_owned()) }
    })
    .await;
    assert_all_kept(&serve).await;
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn when_both_are_killed_the_next_start_has_everything() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    write_all(&serve).await;
    let server = folder.server();
    // Russet first, or it would start another one.
    serve.kill().await;
    signal(server, "KILL");
    let serve = Serve::start(&folder).await;
    assert_all_kept(&serve).await;
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn kills_in_the_middle_of_the_start_leave_one_server_at_most() {
    let folder = Arc::new(DataFolder::new());
    let lookout = Lookout::over(&folder);
    for round in 0..12_u64 {
        let process = WorkerProcess::command(&Serve::command(&folder, &[])).unwrap();
        // Not a wait for something: the kill is to come at another moment of each start.
        let moment = Duration::from_millis(10 * round);
        let _ = tokio::time::timeout(moment, process.wait()).await;
        process.kill().await.unwrap();
        if round % 3 == 2 {
            folder.servers().iter().for_each(|pid| signal(*pid, "KILL"));
        }
    }
    let serve = Serve::start(&folder).await;
    assert_eq!(serve.get("/api/overview").await.json()["database"]["users"], 100);
    folder.server();
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
    assert_eq!(lookout.most(), 1, "servers on the data at the same moment");
}

#[tokio::test]
async fn a_server_whose_password_was_lost_is_ended_and_its_data_kept() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    write_all(&serve).await;
    let server = folder.server();
    serve.kill().await;
    std::fs::remove_file(folder.redis("password")).unwrap();
    let serve = Serve::start(&folder).await;
    assert_ne!(folder.server(), server);
    assert!(!is_running(server));
    assert_all_kept(&serve).await;
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn a_second_serve_on_the_folder_is_refused_and_the_first_goes_on() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let (code, output) = finished(&Serve::command(&folder, &[])).await;
    assert_eq!(code, 1);
    let first = serve.process.pid();
    assert!(output.contains(&format!("another russet (process {first}) is using")), "{output}");
    assert!(output.contains("--data-dir"), "{output}");
    assert_eq!(serve.get("/readyz").await.status, 200);
    folder.server();
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_its_log_and_not_left_behind() {
    let folder = DataFolder::new();
    assert!(Serve::start(&folder).await.stop().await.success());
    let files = std::fs::read_dir(folder.redis("appendonlydir")).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        write(&file, "this is no append-only file\n");
    }
    let (code, output) = finished(&Serve::command(&folder, &[])).await;
    assert_eq!(code, 1);
    assert!(output.contains("its log ends with"), "{output}");
    assert_eq!(folder.servers(), [0_u32; 0]);
}
