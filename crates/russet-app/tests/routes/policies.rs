//! `/api/users` under each write policy, and what each of them promises.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Method;
use russet::testing::{Proxy, TestServer, eventually};
use russet_app::users::{UserWrites, UsersSettings};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Answer, App, request, server};

const LONG: Duration = Duration::from_secs(30);
const POLICIES: [UserWrites; 3] = [UserWrites::Around, UserWrites::Through, UserWrites::Behind];

fn user(name: &str) -> Value {
    json!({"name": name, "email": "user@example.com"})
}

fn writing(writes: UserWrites) -> UsersSettings {
    UsersSettings { writes, ..UsersSettings::default() }
}

/// With a filter that is soon built.
fn filtering(writes: UserWrites) -> UsersSettings {
    UsersSettings { settle: Duration::from_secs(1), ..writing(writes) }
}

async fn started(settings: UsersSettings) -> App {
    App::with_users(&server().await.url(), settings).await
}

/// Waits until the filter of the ids answers: an id that was never asked for is no miss any more. Answers the next one.
async fn filter_is_there(app: &App) -> i64 {
    let mut id = 1_000_000;
    eventually(LONG, async || {
        id += 1;
        let answer = app.get(&format!("/api/users/{id}")).await;
        answer.error(404);
        if answer.header("x-cache") == "hit" { Ok(()) } else { Err("a query") }
    })
    .await;
    id + 1
}

#[tokio::test]
async fn users_are_made_replaced_deleted_and_seen_at_once_under_each_policy() {
    for writes in POLICIES {
        let app = started(writing(writes)).await;
        let name = async |path: &str| app.get(path).await.json()["name"].clone();
        let made = app.post("/api/users", user("Ada")).await;
        assert_eq!(made.status, 201, "{writes:?}: {}", made.text());
        let path = made.header("location").to_owned();
        assert_eq!(app.get(&path).await.json(), made.json(), "{writes:?}");

        for round in 0..5 {
            let new = format!("Ada {round}");
            let replaced = app.put(&path, user(&new)).await;
            assert_eq!(replaced.status, 200, "{writes:?}: {}", replaced.text());
            assert_eq!(replaced.json()["created_at"], made.json()["created_at"], "{writes:?}");
            assert_eq!(app.get(&path).await.json(), replaced.json(), "{writes:?}");
        }
        app.get("/api/users/70").await.error(404);
        let chosen = app.put("/api/users/70", user("Grace")).await;
        assert_eq!((chosen.status.as_u16(), chosen.header("location")), (201, "/api/users/70"));
        assert_eq!(name("/api/users/70").await, "Grace", "{writes:?}");

        assert_eq!(app.delete("/api/users/70").await.status, 204, "{writes:?}");
        app.get("/api/users/70").await.error(404);
        app.delete("/api/users/70").await.error(404);
        assert_eq!(app.put("/api/users/70", user("Again")).await.status, 201, "{writes:?}");
        app.state.users.close(LONG).await;
        let listed = app.get("/api/users").await.json();
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|user| &user["name"]).collect();
        assert_eq!(names, ["Ada 4", "Again"], "{writes:?}");
        assert_eq!(name("/api/users/70").await, "Again", "{writes:?}");
    }
}

async fn of(router: &Router, method: Method, path: &str, body: Option<Value>) -> Answer {
    let answer = router.clone().oneshot(request(method, path, body)).await.unwrap();
    Answer::read(answer.map(Body::new)).await.unwrap()
}

#[tokio::test]
async fn two_processes_see_each_others_writes_under_each_policy() {
    for writes in POLICIES {
        let url = server().await.url();
        let app = started(writing(writes)).await;
        let (_other, router) = app.beside(&url, writing(writes)).await;
        let seen = async |name: &str| {
            eventually(LONG, async || {
                let answer = of(&router, Method::GET, "/api/users/5", None).await;
                let body: Value = serde_json::from_slice(&answer.body).unwrap();
                if body["name"] == name { Ok(()) } else { Err(body.to_string()) }
            })
            .await;
        };
        for round in 0..20 {
            let name = format!("Name {round}");
            assert!(app.put("/api/users/5", user(&name)).await.status.is_success());
            seen(&name).await;
            let name = format!("Other {round}");
            let put = of(&router, Method::PUT, "/api/users/5", Some(user(&name))).await;
            assert!(put.status.is_success(), "{writes:?}");
            assert_eq!(
                of(&router, Method::GET, "/api/users/5", None).await.json()["name"],
                name,
                "{writes:?}: its own write"
            );
        }
        assert_eq!(app.delete("/api/users/5").await.status, 204);
        eventually(LONG, async || {
            match of(&router, Method::GET, "/api/users/5", None).await.status.as_u16() {
                404 => Ok(()),
                status => Err(status),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_id_that_was_never_made_costs_no_query_and_a_new_one_is_known_at_once() {
    for writes in POLICIES {
        let app = started(filtering(writes)).await;
        app.put("/api/users/1", user("First")).await.json();
        let rebuilder = app.state.users.keep_ids().unwrap();
        let unknown = filter_is_there(&app).await;

        let made = app.post("/api/users", user("Made")).await;
        assert_eq!(app.get(made.header("location")).await.json()["name"], "Made", "{writes:?}");
        app.put("/api/users/4711", user("Chosen")).await.json();
        assert_eq!(app.get("/api/users/4711").await.json()["name"], "Chosen", "{writes:?}");
        app.state.users.close(LONG).await;

        // Whoever asks the database now gets an error.
        app.state.db.close().await;
        for id in unknown..unknown + 50 {
            let answer = app.get(&format!("/api/users/{id}")).await;
            answer.error(404);
            assert_eq!(answer.header("x-cache"), "hit", "{writes:?}");
        }
        rebuilder.stop().await;
    }
}

#[tokio::test]
async fn seeded_users_are_found_at_once_though_the_filter_was_built_before() {
    let app = started(filtering(UserWrites::Around)).await;
    let _rebuilder = app.state.users.keep_ids().unwrap();
    filter_is_there(&app).await;
    russet_app::seed::users(&app.state, 50, |_| {}).await.unwrap();
    for id in 1..=50 {
        assert_eq!(app.get(&format!("/api/users/{id}")).await.json()["id"], id);
    }
}

#[tokio::test]
async fn what_was_written_through_is_served_without_the_database() {
    let app = started(writing(UserWrites::Through)).await;
    app.put("/api/users/1", user("Made")).await.json();
    for id in 1..=20 {
        app.put(&format!("/api/users/{id}"), user("Made")).await.json();
    }
    app.put("/api/users/1", user("Replaced")).await.json();
    app.state.db.close().await;
    for id in 1..=20 {
        let answer = app.get(&format!("/api/users/{id}")).await;
        let name = if id == 1 { "Replaced" } else { "Made" };
        assert_eq!(answer.json()["name"], name);
        assert!(answer.is_cached(), "{}", answer.header("x-cache"));
    }
}

#[tokio::test]
async fn without_the_database_a_user_is_served_past_its_time() {
    let settings = UsersSettings { ttl: Duration::from_millis(50), ..UsersSettings::default() };
    let app = started(settings).await;
    app.put("/api/users/1", user("Kept")).await.json();
    app.get("/api/users/1").await.json();
    app.state.db.close().await;
    eventually(LONG, async || {
        let answer = app.get("/api/users/1").await;
        assert_eq!(answer.json()["name"], "Kept");
        if answer.header("x-cache") == "stale" {
            Ok(())
        } else {
            Err(answer.header("x-cache").to_owned())
        }
    })
    .await;
}

#[tokio::test]
async fn through_without_redis_writes_to_sql_and_nothing_old_is_served_later() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let app = App::with_users(&proxy.url(), writing(UserWrites::Through)).await;
    app.put("/api/users/1", user("Old")).await.json();
    assert_eq!(app.get("/api/users/1").await.json()["name"], "Old");
    proxy.refuse().await.unwrap();
    assert_eq!(app.put("/api/users/1", user("New")).await.status, 200);
    assert_eq!(app.put("/api/users/2", user("Made")).await.status, 201);
    assert_eq!(app.get("/api/users/1").await.json()["name"], "New");
    proxy.heal().await.unwrap();
    eventually(LONG, async || {
        let answer = app.get("/api/users/1").await;
        assert_eq!(answer.json()["name"], "New", "as a {}", answer.header("x-cache"));
        if answer.is_cached() { Ok(()) } else { Err(answer.header("x-cache").to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn behind_without_redis_refuses_every_write_and_serves_look_ups() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let app = App::with_users(&proxy.url(), writing(UserWrites::Behind)).await;
    app.put("/api/users/1", user("Kept")).await.json();
    eventually(LONG, async || match app.get("/api/users").await.json().as_array().unwrap().len() {
        1 => Ok(()),
        _ => Err("it is not in the database"),
    })
    .await;
    proxy.refuse().await.unwrap();
    for answer in [
        app.put("/api/users/1", user("New")).await,
        app.put("/api/users/2", user("New")).await,
        app.post("/api/users", user("New")).await,
        app.delete("/api/users/1").await,
    ] {
        let text = answer.error(503);
        assert!(text.starts_with("the Redis server is away: "), "{text}");
        assert!(!answer.header("retry-after").is_empty());
    }
    let found = app.get("/api/users/1").await;
    assert_eq!(found.json()["name"], "Kept");
    assert_eq!(app.get("/api/users").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn behind_a_new_user_never_gets_the_id_of_a_queued_write() {
    let app = started(writing(UserWrites::Behind)).await;
    for round in 0..15 {
        let next = app.get("/api/users?limit=100").await.json();
        let next =
            next.as_array().unwrap().last().map_or(1, |user| user["id"].as_i64().unwrap() + 1);
        let path = format!("/api/users/{next}");
        assert_eq!(app.put(&path, user("Queued")).await.status, 201);
        if round % 2 == 1 {
            assert_eq!(app.delete(&path).await.status, 204);
        }
        let made = app.post("/api/users", user("Made")).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let location = made.header("location").to_owned();
        eventually(LONG, async || {
            let listed = app.get("/api/users?limit=100").await.json();
            let listed = listed.as_array().unwrap();
            match listed.iter().any(|user| user["id"] == next) != (round % 2 == 1)
                || location == path
            {
                true => Ok(()),
                false => Err("what was queued is not in the database"),
            }
        })
        .await;
        assert_eq!(app.get(&location).await.json()["name"], "Made", "{round}");
        if location != path && round % 2 == 0 {
            assert_eq!(app.get(&path).await.json()["name"], "Queued", "{round}");
        }
        app.delete(&location).await;
        if location != path {
            app.delete(&path).await;
        }
    }
}

#[tokio::test]
async fn what_was_queued_is_in_the_database_after_a_start_with_another_policy() {
    let app = started(writing(UserWrites::Behind)).await;
    for id in 1..=20 {
        app.put(&format!("/api/users/{id}"), user("Queued")).await.json();
    }
    let url = server().await.url();
    let (state, router) = app.beside(&url, writing(UserWrites::Around)).await;
    drop(app.router);
    state.users.recover().await.unwrap();
    let listed = of(&router, Method::GET, "/api/users?limit=100", None).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 20);
}
