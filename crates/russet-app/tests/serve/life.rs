//! From the first start to an orderly stop.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use axum::http::Method;
use russet::testing::{WorkerProcess, is_running};
use serde_json::{Value, json};

use crate::support::program::{DataFolder, Serve, call, ended, signal};

async fn overview(serve: &Serve) -> Value {
    serve.get("/api/overview").await.json()
}

#[tokio::test]
async fn the_first_start_has_100_users_and_10_players_and_the_second_the_same() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let first = overview(&serve).await;
    assert_eq!(first["database"]["users"], 100);
    let best = first["leaderboard"].as_array().unwrap().clone();
    assert_eq!(best.len(), 10);
    let user = serve.get("/api/users/100").await.json();
    assert!(serve.get("/").await.text().contains("russet"));
    assert!(serve.stop().await.success());

    let serve = Serve::start(&folder).await;
    let second = overview(&serve).await;
    assert_eq!(second["database"]["users"], 100);
    assert_eq!(second["leaderboard"], json!(best));
    assert_eq!(serve.get("/api/users/100").await.json(), user);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn users_that_were_all_deleted_do_not_come_back() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    for id in 1..=100 {
        let deleted =
            call(serve.address, Method::DELETE, &format!("/api/users/{id}"), None).await.unwrap();
        assert_eq!(deleted.status, 204);
    }
    assert!(serve.stop().await.success());
    let serve = Serve::start(&folder).await;
    assert_eq!(serve.get("/api/users").await.json(), json!([]));
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_stop_ends_the_private_server_and_keeps_everything() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    serve.put("/api/users/1", json!({"name": "Kept", "email": "kept@example.com"})).await.json();
    serve.post("/api/leaderboard/update", json!({"player": "kept", "score": 7})).await.json();
    for _ in 0..3 {
        serve.get("/api/stats/page_views").await.json();
    }
    let server = folder.server();
    assert!(serve.stop().await.success());
    assert!(!is_running(server));
    assert_eq!(folder.servers(), [0_u32; 0]);

    let serve = Serve::start(&folder).await;
    assert_eq!(serve.get("/api/users/1").await.json()["name"], "Kept");
    assert_eq!(serve.get("/api/leaderboard/kept").await.json()["score"], 7);
    assert_eq!(overview(&serve).await["page_views"]["total_views"], 3);
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn every_way_of_asking_stops_it_in_order() {
    for name in ["INT", "TERM", "HUP"] {
        let folder = DataFolder::new();
        let serve = Serve::start(&folder).await;
        signal(serve.process.pid(), name);
        assert!(ended(&serve.process).await.success(), "{name}: {}", serve.process.output());
        assert_eq!(folder.servers(), [0_u32; 0], "{name}");
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_the_start_leaves_no_server() {
    let folder = DataFolder::new();
    let command = Serve::command(&folder, &[]);
    for _ in 0..5 {
        let process = WorkerProcess::command(&command).unwrap();
        // From the moment the program listens to signals; each round hits another step of its start.
        russet::testing::eventually(Duration::from_secs(20), async || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))
                .unwrap_or_default();
            let caught =
                status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
            let term = u64::from_str_radix(caught, 16).unwrap_or(0) & (1 << 14);
            if term != 0 { Ok(()) } else { Err("no signal is caught yet") }
        })
        .await;
        process.terminate().unwrap();
        assert!(ended(&process).await.success(), "{}", process.output());
        assert_eq!(folder.servers(), [0_u32; 0]);
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let folder = DataFolder::new();
    let serve = Serve::run(&Serve::command(&folder, &["--slow-database", "1s"])).await;
    let address = serve.address;
    let under_way =
        tokio::spawn(async move { call(address, Method::GET, "/api/users/5", None).await });
    russet::testing::eventually(Duration::from_secs(20), async || {
        let metrics = serve.get("/metrics").await;
        let missed = metrics.text().contains("russet_cache_misses_total{cache=\"users\"} 1");
        if missed { Ok(()) } else { Err(metrics.text().to_owned()) }
    })
    .await;
    assert!(serve.stop().await.success());
    assert_eq!(under_way.await.unwrap().unwrap().json()["id"], 5);
}

#[tokio::test]
async fn a_slow_database_is_slow_once_and_then_the_cache_answers() {
    let folder = DataFolder::new();
    let serve = Serve::run(&Serve::command(&folder, &["--slow-database", "400ms"])).await;
    let timed = async || {
        let start = Instant::now();
        let answer = serve.get("/api/users/5").await;
        (answer.header("x-cache").to_owned(), start.elapsed())
    };
    let (source, took) = timed().await;
    assert!(source == "miss" && took >= Duration::from_millis(400), "{source} in {took:?}");
    let (source, took) = timed().await;
    assert!(
        ["near", "hit"].contains(&&*source) && took < Duration::from_millis(400),
        "{source} in {took:?}"
    );
    assert_eq!(overview(&serve).await["database"]["slowed_by_ms"], 400);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn only_the_owner_can_read_what_it_keeps() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    assert_eq!(mode(&folder.path().join("redis")), 0o700);
    for file in
        [folder.redis("password"), folder.redis("redis.conf"), folder.path().join("secret-key")]
    {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn the_private_server_is_on_a_socket_or_asks_for_a_password() {
    // The path of a socket may have a little more than 100 bytes.
    let folder = DataFolder::named(&"long".repeat(30));
    let serve = Serve::start(&folder).await;
    let port = std::fs::read_to_string(folder.redis("port")).unwrap();
    let url = format!("redis://127.0.0.1:{}", port.trim());
    let stranger = russet::Russet::connect(&url).await;
    let refused = match stranger {
        Ok(russet) => russet.health().await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert_eq!(refused.unwrap_err().kind(), russet::ErrorKind::Refused);
    assert!(serve.stop().await.success());

    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    assert!(folder.redis("redis.sock").exists() && !folder.redis("port").exists());
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn its_log_goes_to_standard_error_without_colours_and_without_secrets() {
    let folder = DataFolder::new();
    let serve = Serve::run(&Serve::command(&folder, &["--debug"])).await;
    serve.put("/api/users/1", json!({"name": "Ada", "email": "private@example.com"})).await.json();
    serve.process.terminate().unwrap();
    ended(&serve.process).await;
    let log = serve.process.output();
    assert!(log.contains("DEBUG") && log.contains("stopping"), "{log}");
    let password = std::fs::read_to_string(folder.redis("password")).unwrap();
    let key = std::fs::read_to_string(folder.path().join("secret-key")).unwrap();
    for secret in ["\u{1b}[", "private@example.com", password.trim(), key.trim()] {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
}
