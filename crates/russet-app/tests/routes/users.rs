//! `/api/users`.

use axum::http::Method;
use futures_util::future::join_all;
use russet::testing::TestServer;
use serde_json::{Value, json};

use crate::support::{App, request};

fn ada() -> Value {
    json!({"name": "Ada Lovelace", "email": "ada@example.com"})
}

async fn created(app: &App, body: Value) -> i64 {
    let answer = app.post("/api/users", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_new_user_is_answered_with_201_and_its_place() {
    let app = App::start().await;
    let answer = app.post("/api/users", ada()).await;
    assert_eq!(answer.status, 201);
    let user = answer.json();
    assert_eq!(answer.header("location"), format!("/api/users/{}", user["id"]));
    assert_eq!(
        (&user["name"], &user["email"]),
        (&json!("Ada Lovelace"), &json!("ada@example.com"))
    );
    assert!(user["created_at"].as_f64().unwrap() > 1_700_000_000.0, "{user}");
    assert_eq!(user.as_object().unwrap().len(), 4, "{user}");
    assert_eq!(app.get(answer.header("location")).await.json(), user);
}

#[tokio::test]
async fn two_users_may_have_one_address() {
    let app = App::start().await;
    assert_ne!(created(&app, ada()).await, created(&app, ada()).await);
}

#[tokio::test]
async fn the_second_look_up_is_a_hit_with_the_same_body() {
    let app = App::start().await;
    let path = format!("/api/users/{}", created(&app, ada()).await);
    let (first, second) = (app.get(&path).await, app.get(&path).await);
    assert_eq!(first.header("x-cache"), "miss");
    assert!(second.is_cached(), "{}", second.header("x-cache"));
    let commands = if second.header("x-cache") == "near" { "0" } else { "1" };
    assert_eq!(second.header("x-redis-commands"), commands);
    assert_eq!(first.body, second.body);
    for answer in [first, second] {
        let timing = answer.header("server-timing");
        let ms = timing.strip_prefix("lookup;dur=").expect(timing).parse::<f64>().unwrap();
        assert!(ms > 0.0, "{timing}");
    }
}

#[tokio::test]
async fn a_hit_is_one_get_at_the_server_at_most_and_nothing_else() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    let path = format!("/api/users/{}", created(&app, ada()).await);
    assert_eq!(app.get(&path).await.header("x-cache"), "miss");
    let before = commands(&server).await;
    let mut gets = 0;
    for _ in 0..10 {
        let answer = app.get(&path).await;
        assert!(answer.is_cached(), "{}", answer.header("x-cache"));
        gets += u64::from(answer.header("x-cache") == "hit");
    }
    assert_eq!(commands(&server).await - before, gets);
}

/// The calls of all commands but the one that asks, and what a connection for messages says when it is opened.
async fn commands(server: &TestServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok();
    let lines = stats.text().unwrap().lines().filter(|line| {
        let said = ["info", "hello", "client", "subscribe", "ssubscribe", "ping"];
        let name = line.strip_prefix("cmdstat_").unwrap_or_default();
        !said.iter().any(|said| name.starts_with(said))
    });
    lines.filter_map(calls).sum()
}

#[tokio::test]
async fn a_remembered_absence_is_a_hit_and_ends_when_the_user_is_made() {
    let app = App::start().await;
    let (first, second) = (app.get("/api/users/5").await, app.get("/api/users/5").await);
    assert_eq!(first.header("x-cache"), "miss");
    assert!(second.is_cached(), "{}", second.header("x-cache"));
    assert_eq!(first.error(404), "there is no user with this id");
    assert_eq!(second.error(404), "there is no user with this id");

    assert_eq!(app.put("/api/users/5", ada()).await.status, 201);
    let found = app.get("/api/users/5").await;
    assert_eq!((found.header("x-cache"), &found.json()["id"]), ("miss", &json!(5)));
}

#[tokio::test]
async fn a_new_user_is_found_where_its_absence_was_remembered() {
    let app = App::start().await;
    app.get("/api/users/1").await.error(404);
    assert_eq!(created(&app, ada()).await, 1);
    assert_eq!(app.get("/api/users/1").await.json()["name"], "Ada Lovelace");
}

#[tokio::test]
async fn put_makes_or_replaces_a_user_and_the_next_look_up_sees_it() {
    let app = App::start().await;
    let made = app.put("/api/users/7", ada()).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/users/7"));
    let made = made.json();
    app.get("/api/users/7").await;

    let grace = json!({"id": 7, "name": "Grace Hopper", "email": "grace@example.com"});
    let replaced = app.put("/api/users/7", grace).await;
    assert_eq!((replaced.status.as_u16(), replaced.header("location")), (200, ""));
    let replaced = replaced.json();
    assert_eq!(replaced["name"], "Grace Hopper");
    assert_eq!(replaced["created_at"], made["created_at"], "kept, since none was sent");
    let found = app.get("/api/users/7").await;
    assert_eq!((found.header("x-cache"), found.json()), ("miss", replaced));
}

#[tokio::test]
async fn put_takes_a_time_and_no_other_id_than_the_paths() {
    let app = App::start().await;
    let mut body = json!({"name": "Ada", "email": "a@b.co", "created_at": 12.5});
    assert_eq!(app.put("/api/users/7", body.clone()).await.json()["created_at"], 12.5);
    body["id"] = json!(8);
    assert!(app.put("/api/users/7", body).await.error(400).contains("id in the body"));
    app.get("/api/users/8").await.error(404);
}

#[tokio::test]
async fn a_deleted_user_is_gone() {
    let app = App::start().await;
    let path = format!("/api/users/{}", created(&app, ada()).await);
    app.get(&path).await.json();
    let deleted = app.delete(&path).await;
    assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""));
    assert_eq!(app.get(&path).await.error(404), "there is no user with this id");
    assert_eq!(app.delete(&path).await.error(404), "there is no user with this id");
}

#[tokio::test]
async fn the_list_goes_by_id_in_pages() {
    let app = App::start().await;
    assert_eq!(app.get("/api/users").await.json(), json!([]));
    for id in [3, 1, 5, 2, 4] {
        app.put(&format!("/api/users/{id}"), ada()).await.json();
    }
    let ids = async |query: &str| -> Vec<i64> {
        let page = app.get(&format!("/api/users{query}")).await.json();
        page.as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [1, 2, 3, 4, 5]);
    assert_eq!(ids("?limit=2").await, [1, 2]);
    assert_eq!(ids("?after=2&limit=2").await, [3, 4]);
    assert_eq!(ids("?after=4").await, [5]);
    assert_eq!(ids("?after=5").await, [0_i64; 0]);
    assert_eq!(ids("?after=9223372036854775807&limit=100").await, [0_i64; 0]);
}

#[tokio::test]
async fn a_page_has_20_users_unless_it_is_asked_for_up_to_100() {
    let app = App::start().await;
    join_all((0..101).map(|_| created(&app, ada()))).await;
    let length = async |query: &str| {
        app.get(&format!("/api/users{query}")).await.json().as_array().unwrap().len()
    };
    assert_eq!(length("").await, 20);
    assert_eq!(length("?limit=100").await, 100);
    for wrong in ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=99999999999"] {
        app.get(&format!("/api/users?{wrong}")).await.error(400);
    }
    for wrong in ["after=-1", "after=x", "after=", "after=1.5", "after=9223372036854775808"] {
        app.get(&format!("/api/users?{wrong}")).await.error(400);
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused_by_every_verb() {
    let app = App::start().await;
    let overlong = "9".repeat(5_000);
    let zeros = format!("{}1", "0".repeat(100));
    for id in [
        "0",
        "-1",
        "+5",
        "abc",
        "5x",
        "5.0",
        "1e3",
        "0x10",
        "%20",
        "%205",
        "5%00",
        "%D9%A3",
        "%FF",
        "05",
        &zeros,
        "9223372036854775808",
        "18446744073709551617",
        &overlong,
    ] {
        let path = format!("/api/users/{id}");
        for (method, body) in
            [(Method::GET, None), (Method::PUT, Some(ada())), (Method::DELETE, None)]
        {
            app.call(method, &path, body).await.error(400);
        }
    }
    assert_eq!(app.get("/api/users").await.json(), json!([]), "nothing was stored");
}

#[tokio::test]
async fn the_largest_id_is_an_id_and_does_not_end_new_ones() {
    let app = App::start().await;
    let path = "/api/users/9223372036854775807";
    assert_eq!(app.put(path, ada()).await.status, 201);
    assert_eq!(app.get(path).await.json()["id"], json!(i64::MAX));
    assert!(created(&app, ada()).await > 0);
}

#[tokio::test]
async fn a_body_that_is_no_user_is_refused_and_says_why() {
    let app = App::start().await;
    let long = "x".repeat(101);
    let user = |name: &str, email: &str| json!({"name": name, "email": email});
    for (body, word) in [
        (json!({}), "name"),
        (json!({"name": "Ada"}), "email"),
        (json!({"email": "a@b.co"}), "name"),
        (json!({"name": 5, "email": "a@b.co"}), "string"),
        (json!({"name": null, "email": "a@b.co"}), "string"),
        (json!({"name": ["Ada"], "email": "a@b.co"}), "string"),
        (json!([]), "invalid"),
        (json!("Ada"), "invalid"),
        (json!(null), "invalid"),
        (user("", "a@b.co"), "name is empty"),
        (user(" \u{3000}", "a@b.co"), "name is empty"),
        (user(&long, "a@b.co"), "100 characters"),
        (user("a\u{0}b", "a@b.co"), "control"),
        (user("a\nb", "a@b.co"), "control"),
        (user("Ada", ""), "email"),
        (user("Ada", "ada"), "email"),
        (user("Ada", "ada@localhost"), "email"),
        (user("Ada", "<ada@b.co>"), "email"),
        (user("Ada", &format!("{}@b.co", "x".repeat(250))), "email"),
        (json!({"name": "Ada", "email": "a@b.co", "created_at": -1}), "created_at"),
        (json!({"name": "Ada", "email": "a@b.co", "created_at": 1e12}), "created_at"),
        (json!({"name": "Ada", "email": "a@b.co", "created_at": "now"}), "string"),
        (json!({"name": "Ada", "email": "a@b.co", "id": "x"}), "string"),
    ] {
        let posted = app.post("/api/users", body.clone()).await.error(400);
        assert!(posted.contains(word), "{body}: {posted}");
        let put = app.put("/api/users/1", body.clone()).await.error(400);
        assert!(put.contains(word), "{body}: {put}");
    }
    let chosen = json!({"id": 5, "name": "Ada", "email": "a@b.co"});
    assert!(app.post("/api/users", chosen).await.error(400).contains("PUT"));
    assert_eq!(app.get("/api/users").await.json(), json!([]), "nothing was stored");
}

#[tokio::test]
async fn names_of_all_scripts_and_markup_come_back_as_they_were_sent() {
    let app = App::start().await;
    let longest = "李".repeat(100);
    for name in [
        "José María",
        "李小龙",
        "O'Brien; DROP TABLE users",
        "<script>alert(1)</script>",
        "NULL",
        "\u{202e}x",
        &longest,
    ] {
        let id = created(&app, json!({"name": name, "email": "用户@例子.公司"})).await;
        for is_cached in [false, true] {
            let answer = app.get(&format!("/api/users/{id}")).await;
            assert_eq!(answer.is_cached(), is_cached, "{}", answer.header("x-cache"));
            assert_eq!(answer.json()["name"], name, "also not sniffed as markup: it is JSON");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let app = App::start().await;
    let path = format!("/api/users/{}", created(&app, ada()).await);
    let whole = app.get(&path).await;
    let head = app.send(request(Method::HEAD, &path, None)).await;
    assert!(head.status == 200 && head.text().is_empty() && head.is_cached());
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
}
