//! `russet seed`.

use russet::testing::TestServer;
use serde_json::{Value, json};

use crate::support::program::{DataFolder, Serve, finished};

async fn seed(folder: &DataFolder, arguments: &[&str]) -> String {
    let (code, output) = finished(&folder.command("seed", arguments)).await;
    assert_eq!(code, 0, "{output}");
    output.lines().last().unwrap_or_default().to_owned()
}

async fn contents(serve: &Serve) -> (Value, Value, Value) {
    let users = serve.get("/api/overview").await.json()["database"]["users"].clone();
    let page = serve.get("/api/users?after=90&limit=100").await.json();
    (users, page, serve.get("/api/leaderboard?limit=100").await.json())
}

#[tokio::test]
async fn alone_it_fills_the_stores_and_a_second_run_changes_nothing() {
    let folder = DataFolder::new();
    let wanted = ["--users", "2500", "--players", "1500"];
    assert_eq!(seed(&folder, &wanted).await, "2500 users and 1500 players were new");
    assert_eq!(folder.servers(), [0_u32; 0], "the server that it started is ended");
    let serve = Serve::start(&folder).await;
    let first = contents(&serve).await;
    assert_eq!(first.0, 2_500);
    assert!(serve.stop().await.success());

    assert_eq!(seed(&folder, &wanted).await, "0 users and 0 players were new");
    let serve = Serve::start(&folder).await;
    assert_eq!(contents(&serve).await, first);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn beside_a_running_serve_it_adds_what_is_missing_and_changes_nothing_else() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    serve.put("/api/users/5", json!({"name": "Mine", "email": "mine@example.com"})).await.json();
    serve
        .post("/api/leaderboard/update", json!({"player": "player5", "score": 1_000_000}))
        .await
        .json();
    // It remembers that there is no such user, until there is.
    serve.get("/api/users/150").await.error(404);
    let server = folder.server();
    assert_eq!(
        seed(&folder, &["--users", "150", "--players", "30"]).await,
        "50 users and 20 players were new"
    );
    assert_eq!(
        seed(&folder, &["--users", "150", "--players", "30"]).await,
        "0 users and 0 players were new"
    );
    assert_eq!(folder.server(), server);
    assert_eq!(serve.get("/api/users/150").await.json()["id"], 150);
    assert_eq!(serve.get("/api/users/5").await.json()["name"], "Mine");
    assert_eq!(serve.get("/api/leaderboard?limit=1").await.json()[0]["player"], "player5");
    assert_eq!(serve.get("/api/overview").await.json()["database"]["users"], 150);
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn two_folders_get_the_same_data() {
    let (one, two) = (DataFolder::new(), DataFolder::new());
    seed(&one, &["--users", "200", "--players", "100"]).await;
    seed(&two, &["--users", "200", "--players", "100"]).await;
    let (first, second) = (Serve::start(&one).await, Serve::start(&two).await);
    assert_eq!(contents(&first).await, contents(&second).await);
    assert!(first.stop().await.success() && second.stop().await.success());
}

#[tokio::test]
async fn it_fills_a_configured_server_and_says_when_that_is_away() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let url = server.url();
    assert_eq!(
        seed(&folder, &["--users", "10", "--players", "5", "--redis-url", &url]).await,
        "10 users and 5 players were new"
    );
    assert!(!folder.path().join("redis").exists());
    server.kill().await.unwrap();
    let (code, output) = finished(&folder.command("seed", &["--redis-url", &url])).await;
    assert_eq!(code, 1);
    assert!(output.contains("russet: no connection to the Redis server"), "{output}");
}
