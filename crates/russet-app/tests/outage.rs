//! When a store is away: what is still served, what says so, and that nothing old is served afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

mod support;

use std::time::{Duration, Instant};

use axum::http::Method;
use russet::testing::{Proxy, TestServer, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use support::{Answer, App};

/// SPEC: recovered within this time of the server's return.
const RECOVERY: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

fn user(name: &str) -> Value {
    json!({"name": name, "email": "user@example.com"})
}

/// An application behind a proxy, both for this test alone.
async fn behind_proxy() -> (TestServer, Proxy, App) {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let app = App::on(&proxy.url()).await;
    (server, proxy, app)
}

/// What a client of a route that needs Redis is told.
#[track_caller]
fn refused(answer: &Answer) -> String {
    let text = answer.error(503);
    assert!(text.starts_with("the Redis server is away: "), "{text}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    text
}

/// Reads a user until its copy in the process has gone, with the connection or by its age; what is read on the way is the
/// same.
async fn bypassed_at_last(app: &App, path: &str) -> Answer {
    let found = app.get(path).await;
    eventually(LONG, async || {
        let answer = app.get(path).await;
        assert_eq!(answer.body, found.body);
        match answer.header("x-cache") {
            "bypass" => Ok(()),
            source => Err(source.to_owned()),
        }
    })
    .await;
    bypassed(app, path).await
}

/// A read that was not served from the cache.
async fn bypassed(app: &App, path: &str) -> Answer {
    let answer = app.get(path).await;
    assert_eq!(answer.header("x-cache"), "bypass", "{path}: {}", answer.text());
    answer
}

async fn assert_all_rules_of_a_redis_outage(app: &App) {
    assert_eq!(bypassed_at_last(app, "/api/users/1").await.json()["name"], "Cached");
    assert_eq!(bypassed(app, "/api/users/2").await.json()["name"], "Not cached");
    assert_eq!(bypassed(app, "/api/users/3").await.error(404), "there is no user with this id");
    assert_eq!(app.get("/api/users").await.json().as_array().unwrap().len(), 2);
    for path in [
        "/api/stats/page_views",
        "/api/leaderboard",
        "/api/leaderboard/ada",
        "/api/leaderboard/update",
        "/api/tasks",
        "/api/tasks/0000000000000000000000",
        "/api/chat/lobby/messages",
    ] {
        refused(&app.get(path).await);
    }
    let task = json!({"name": "order", "body": {"order_id": "1"}});
    refused(&app.post("/api/tasks", task).await);
    refused(&app.delete("/api/tasks/0000000000000000000000").await);
    assert_eq!(app.get("/chat").await.status, 200);
    refused(&app.post("/api/leaderboard/update", json!({"player": "ada", "score": 5})).await);
    refused(&app.post("/api/demo/cold_key", json!({})).await);
    assert_eq!(app.get("/readyz").await.error(503), "the Redis server is away");
    assert_eq!(app.get("/healthz").await.json(), json!({"status": "alive"}));
    let now = app.get("/api/overview").await.json();
    assert_eq!(
        (&now["redis"], &now["page_views"], &now["leaderboard"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(now["database"]["users"], 2);
    let home = app.get("/").await;
    assert!(
        home.status == 200 && home.text().contains(r#"id="total-views">away"#),
        "{}",
        home.text()
    );
    // What is wrong is told before what is away.
    app.get("/api/users/0").await.error(400);
    app.post("/api/leaderboard/update", json!({})).await.error(400);
    app.post("/api/tasks", json!({})).await.error(400);
}

async fn fill(app: &App) {
    app.put("/api/users/1", user("Cached")).await.json();
    app.put("/api/users/2", user("Not cached")).await.json();
    app.get("/api/users/1").await.json();
    assert!(app.get("/api/users/1").await.is_cached());
}

/// Waits until every route that needs Redis serves again; how long that took.
async fn recovery(app: &App) -> Duration {
    let start = Instant::now();
    eventually(LONG, async || {
        for path in ["/readyz", "/api/leaderboard", "/api/stats/page_views"] {
            let answer = app.get(path).await;
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.text()));
            }
        }
        Ok(())
    })
    .await;
    start.elapsed()
}

#[tokio::test]
async fn with_a_killed_server_users_come_from_sql_and_counting_is_refused() {
    let server = TestServer::builder().append_only().start().await.unwrap();
    let app = App::on(&server.url()).await;
    fill(&app).await;
    app.get("/api/stats/page_views").await.json();
    server.kill().await.unwrap();
    assert_all_rules_of_a_redis_outage(&app).await;
    server.restart().await.unwrap();
    let took = recovery(&app).await;
    assert!(took < RECOVERY, "recovered after {took:?}");
    assert!(app.get("/api/users/1").await.is_cached());
    assert_eq!(
        app.get("/api/stats/page_views").await.json()["total_views"],
        3,
        "none was lost or made up"
    );
}

#[tokio::test]
async fn with_a_server_that_refuses_connections_the_same_rules_hold() {
    let (_server, proxy, app) = behind_proxy().await;
    fill(&app).await;
    proxy.refuse().await.unwrap();
    assert_all_rules_of_a_redis_outage(&app).await;
    proxy.heal().await.unwrap();
    let took = recovery(&app).await;
    assert!(took < RECOVERY, "recovered after {took:?}");
    assert!(app.get("/api/users/1").await.is_cached());
}

#[tokio::test]
async fn with_a_server_that_hangs_the_same_rules_hold_and_no_answer_takes_long() {
    let (_server, proxy, app) = behind_proxy().await;
    fill(&app).await;
    proxy.hang().await.unwrap();
    let start = Instant::now();
    assert_eq!(bypassed(&app, "/api/users/2").await.json()["name"], "Not cached");
    // One look into the cache, given up after a second.
    assert!(start.elapsed() < Duration::from_millis(1_800), "{:?}", start.elapsed());
    let unknown = app.post("/api/leaderboard/update", json!({"player": "ada", "score": 5})).await;
    assert!(refused(&unknown).contains("not known whether"), "{}", unknown.text());
    assert_all_rules_of_a_redis_outage(&app).await;
    let start = Instant::now();
    for _ in 0..20 {
        bypassed(&app, "/api/users/2").await.json();
        refused(&app.get("/api/stats/page_views").await);
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "by now calls fail at once: {:?}",
        start.elapsed()
    );
    proxy.heal().await.unwrap();
    let took = recovery(&app).await;
    assert!(took < RECOVERY, "recovered after {took:?}");
}

#[tokio::test]
async fn with_a_paused_server_users_are_served_and_afterwards_nothing_is_old() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    fill(&app).await;
    server.pause().unwrap();
    assert_eq!(app.put("/api/users/1", user("New")).await.json()["name"], "New");
    assert_eq!(bypassed(&app, "/api/users/1").await.json()["name"], "New");
    server.resume().unwrap();
    never_old(&app, "/api/users/1", "New").await;
}

/// Reads until the cache answers again: every answer on the way is the new one.
async fn never_old(app: &App, path: &str, name: &str) {
    let mut hits = 0;
    eventually(LONG, async || {
        let answer = app.get(path).await;
        let found = if answer.status == 404 { Value::Null } else { answer.json()["name"].clone() };
        let expected = if name.is_empty() { Value::Null } else { json!(name) };
        assert_eq!(found, expected, "an old copy was served as a {}", answer.header("x-cache"));
        hits = if answer.is_cached() { hits + 1 } else { 0 };
        if hits >= 5 { Ok(()) } else { Err(answer.header("x-cache").to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn writes_work_without_redis_and_no_old_copy_is_served_when_it_is_back() {
    let (_server, proxy, app) = behind_proxy().await;
    for id in 1..=3 {
        app.put(&format!("/api/users/{id}"), user("Old")).await.json();
        app.get(&format!("/api/users/{id}")).await.json();
    }
    app.get("/api/users/4").await.error(404); // remembered as absent
    proxy.refuse().await.unwrap();

    assert_eq!(app.put("/api/users/1", user("New")).await.status, 200);
    assert_eq!(app.delete("/api/users/2").await.status, 204);
    assert_eq!(app.put("/api/users/3", user("First")).await.status, 200);
    assert_eq!(app.put("/api/users/3", user("Second")).await.status, 200);
    let made = app.post("/api/users", user("Made")).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/users/4"));
    for (id, name) in [(1, "New"), (3, "Second"), (4, "Made")] {
        assert_eq!(bypassed(&app, &format!("/api/users/{id}")).await.json()["name"], name);
    }
    bypassed(&app, "/api/users/2").await.error(404);

    proxy.heal().await.unwrap();
    let start = Instant::now();
    futures_util::join!(
        never_old(&app, "/api/users/1", "New"),
        never_old(&app, "/api/users/2", ""),
        never_old(&app, "/api/users/3", "Second"),
        never_old(&app, "/api/users/4", "Made"),
    );
    assert!(start.elapsed() < RECOVERY, "cached again after {:?}", start.elapsed());
}

#[tokio::test]
async fn a_write_without_redis_is_not_hidden_by_an_old_copy_after_a_new_start() {
    let (_server, proxy, app) = behind_proxy().await;
    app.put("/api/users/1", user("Old")).await.json();
    app.get("/api/users/1").await.json();
    proxy.refuse().await.unwrap();
    assert_eq!(app.put("/api/users/1", user("New")).await.status, 200);
    let app = app.started_again(&proxy.url()).await;
    assert_eq!(bypassed(&app, "/api/users/1").await.json()["name"], "New");
    proxy.heal().await.unwrap();
    never_old(&app, "/api/users/1", "New").await;
}

#[tokio::test]
async fn notes_of_stale_copies_do_not_pile_up() {
    let (_server, proxy, app) = behind_proxy().await;
    let notes = async || app.state.db.stale_copies().await.unwrap().len();
    for round in 0..50 {
        app.put(&format!("/api/users/{}", round % 5 + 1), user("Up")).await.json();
    }
    assert_eq!(notes().await, 1, "the one of the last write");
    proxy.refuse().await.unwrap();
    for round in 0..50 {
        app.put(&format!("/api/users/{}", round % 5 + 1), user("Away")).await.json();
    }
    assert!(
        (5..=6).contains(&notes().await),
        "one a user, and the one that the last write made needless"
    );
    proxy.heal().await.unwrap();
    for id in 1..=5 {
        never_old(&app, &format!("/api/users/{id}"), "Away").await;
    }
    app.put("/api/users/1", user("Back")).await.json();
    assert_eq!(notes().await, 1);
}

#[tokio::test]
async fn a_lost_reply_of_an_invalidation_serves_no_old_copy() {
    let (_server, proxy, app) = behind_proxy().await;
    for round in 0..10 {
        app.get("/api/users/1").await;
        proxy.drop_next_reply().await.unwrap();
        let name = format!("Name {round}");
        assert!(app.put("/api/users/1", user(&name)).await.status.is_success());
        assert_eq!(app.get("/api/users/1").await.json()["name"], name);
    }
}

#[tokio::test]
async fn points_whose_reply_was_lost_are_answered_with_not_known_and_not_added_twice() {
    let (_server, proxy, app) = behind_proxy().await;
    let add =
        async || app.post("/api/leaderboard/update", json!({"player": "ada", "score": 1})).await;
    add().await.json();
    proxy.drop_next_reply().await.unwrap();
    assert!(refused(&add().await).contains("not known whether"));
    // The first reply on the next connection would be the one to its greeting.
    recovery(&app).await;
    proxy.drop_next_reply().await.unwrap();
    assert!(refused(&app.get("/api/stats/page_views").await).contains("not known whether"));
    recovery(&app).await;
    assert_eq!(app.get("/api/leaderboard/ada").await.json()["score"], 2);
    assert_eq!(app.get("/api/overview").await.json()["page_views"]["total_views"], 3);
}

#[tokio::test]
async fn a_full_server_refuses_to_count_and_users_are_served_and_never_old() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    fill(&app).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let counted = app.get("/api/stats/page_views").await;
    assert_eq!(counted.error(503), "the Redis server refused: nothing was changed");
    assert!(app.get("/api/users/1").await.is_cached());
    assert_eq!(app.get("/api/users/2").await.json()["name"], "Not cached");
    assert_eq!(app.put("/api/users/1", user("New")).await.json()["name"], "New");
    assert_eq!(app.get("/api/users/1").await.json()["name"], "New");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    never_old(&app, "/api/users/1", "New").await;
    assert_eq!(app.get("/api/stats/page_views").await.json()["total_views"], 1);
}

#[tokio::test]
async fn a_server_that_lost_its_scripts_is_served_in_the_same_call() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    fill(&app).await;
    for _ in 0..2 {
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        app.get("/api/stats/page_views").await.json();
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        app.post("/api/leaderboard/update", json!({"player": "ada", "score": 1})).await.json();
        server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        app.put("/api/users/1", user("New")).await.json();
        assert_eq!(app.get("/api/users/1").await.header("x-cache"), "miss");
    }
}

#[track_caller]
fn database_is_away(answer: &Answer) {
    assert_eq!(answer.error(503), "the database is away");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

async fn assert_all_rules_of_a_database_outage(app: &App) {
    let cached = app.get("/api/users/1").await;
    assert!(cached.is_cached() && cached.json()["name"] == "Cached", "{}", cached.text());
    database_is_away(&app.get("/api/users/2").await);
    database_is_away(&app.get("/api/users").await);
    database_is_away(&app.post("/api/users", user("New")).await);
    database_is_away(&app.put("/api/users/1", user("New")).await);
    database_is_away(&app.delete("/api/users/1").await);
    database_is_away(&app.post("/api/demo/cold_key", json!({})).await);
    app.get("/api/stats/page_views").await.json();
    app.post("/api/leaderboard/update", json!({"player": "ada", "score": 1})).await.json();
    assert_eq!(app.get("/api/overview").await.json()["database"], Value::Null);
    assert_eq!(app.get("/").await.status, 200);
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn without_the_database_cached_users_are_served_and_others_refused() {
    let app = App::start().await;
    fill(&app).await;
    app.state.db.close().await;
    assert_all_rules_of_a_database_outage(&app).await;
    assert_eq!(app.get("/readyz").await.error(503), "the database is away");
}

#[tokio::test]
async fn a_database_that_fails_and_comes_back_leaves_nothing_wrong_in_the_cache() {
    let app = App::start().await;
    fill(&app).await;
    let mut other = SqliteConnection::connect(&app.database_url()).await.unwrap();
    sqlx::query("ALTER TABLE users RENAME TO gone").execute(&mut other).await.unwrap();
    assert_all_rules_of_a_database_outage(&app).await;
    sqlx::query("ALTER TABLE gone RENAME TO users").execute(&mut other).await.unwrap();
    assert_eq!(app.get("/api/users/1").await.json()["name"], "Cached");
    assert_eq!(app.get("/api/users/2").await.json()["name"], "Not cached");
    assert_eq!(app.put("/api/users/2", user("New")).await.json()["name"], "New");
    assert_eq!(app.get("/api/users/2").await.json()["name"], "New");
}

#[tokio::test]
async fn a_database_locked_by_another_writer_is_read_and_refuses_writes() {
    let app = App::start().await;
    fill(&app).await;
    let mut other = SqliteConnection::connect(&app.database_url()).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert_eq!(app.get("/api/users/2").await.json()["name"], "Not cached");
    assert_eq!(app.get("/api/users").await.json().as_array().unwrap().len(), 2);
    assert_eq!(app.get("/readyz").await.status, 200);
    let start = Instant::now();
    // At the same moment: each waits up to 5 seconds for the lock.
    let (put, made, deleted) = futures_util::join!(
        app.put("/api/users/1", user("New")),
        app.post("/api/users", user("New")),
        app.delete("/api/users/2"),
    );
    for answer in [put, made, deleted] {
        database_is_away(&answer);
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(
        app.get("/api/users").await.json().as_array().unwrap().len(),
        2,
        "nothing was stored"
    );
    assert_eq!(app.put("/api/users/1", user("New")).await.json()["name"], "New");
    assert_eq!(app.get("/api/users/1").await.json()["name"], "New");
}

#[tokio::test]
async fn without_both_stores_everything_says_what_is_away() {
    let (_server, proxy, app) = behind_proxy().await;
    fill(&app).await;
    proxy.refuse().await.unwrap();
    app.state.db.close().await;
    // The other one may still have its copy in the process.
    database_is_away(&app.get("/api/users/2").await);
    database_is_away(&app.put("/api/users/1", user("New")).await);
    refused(&app.get("/api/stats/page_views").await);
    assert_eq!(
        app.get("/readyz").await.error(503),
        "the Redis server is away; the database is away"
    );
    assert_eq!(app.get("/healthz").await.status, 200);
    assert_eq!(app.get("/").await.status, 200);
    assert_eq!(app.call(Method::GET, "/docs", None).await.status, 200);
}
