//! `/api/login`, `/api/logout`, `/api/session`, `/api/sessions`, and their pages.

use std::collections::BTreeSet;

use axum::http::Method;
use futures_util::future::join_all;
use russet::testing::TestServer;
use russet_app::accounts::Password;
use serde_json::json;

use crate::support::client::Client;
use crate::support::{Answer, App};

pub const PASSWORD: &str = "correct horse battery";

pub async fn add(app: &App, name: &str, password: &str, roles: &[&str]) {
    let password = Password::typed(password.to_owned());
    assert!(app.state.accounts.add(&name.parse().unwrap(), password, roles).await.unwrap());
}

/// An answer of each operation for each status that it can be made to answer with.
pub async fn each_answer(app: &App) -> Vec<(&'static str, &'static str, Answer)> {
    const LOGIN: (&str, &str) = ("POST", "/api/login");
    add(app, "eve", PASSWORD, &[]).await;
    let mut all = Vec::new();
    let mut add = |(method, route), answer| all.push((method, route, answer));
    let mut nobody = Client::new(app);
    add(LOGIN, nobody.login("eve", "wrong").await);
    add(LOGIN, nobody.post("/api/login", json!({})).await);
    add(LOGIN, nobody.post("/api/login", json!("x".repeat(3 << 20))).await);
    add(LOGIN, nobody.call(Method::POST, "/api/login", None).await);
    add(("POST", "/api/logout"), nobody.post("/api/logout", json!({})).await);
    add(("GET", "/api/session"), nobody.get("/api/session").await);
    add(("GET", "/api/sessions"), nobody.get("/api/sessions").await);
    let one = "/api/sessions/0123456789abcdef0123456789abcdef";
    let deletes = [
        ("/api/sessions/{id}", one),
        ("/api/sessions/others", "/api/sessions/others"),
        ("/api/sessions", "/api/sessions"),
    ];
    for (route, path) in deletes {
        add(("DELETE", route), nobody.delete(path).await);
    }
    let mut eve = Client::new(app);
    add(LOGIN, eve.login("eve", PASSWORD).await);
    add(("GET", "/api/sessions"), eve.get("/api/sessions").await);
    let token = eve.csrf.take();
    add(LOGIN, eve.post("/api/login", json!({})).await);
    add(("POST", "/api/logout"), eve.post("/api/logout", json!({})).await);
    for (route, path) in deletes {
        add(("DELETE", route), eve.delete(path).await);
    }
    eve.csrf = token;
    add(("DELETE", "/api/sessions/{id}"), eve.delete(one).await);
    let other = Client::signed_in(app, "eve", PASSWORD).await.get("/api/session").await.json();
    let path = format!("/api/sessions/{}", other["session_id"].as_str().unwrap());
    add(("DELETE", "/api/sessions/{id}"), eve.delete(&path).await);
    add(("DELETE", "/api/sessions/others"), eve.delete("/api/sessions/others").await);
    add(("DELETE", "/api/sessions"), eve.delete("/api/sessions").await);
    all
}

#[tokio::test]
async fn a_login_gives_a_session_by_a_cookie_and_a_logout_ends_it() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &["admin"]).await;
    let mut ada = Client::new(&app);
    let before = ada.get("/api/session").await.json();
    assert_eq!((&before["user"], &before["csrf_token"]), (&json!(null), &json!(null)));

    let answer = ada.login("Ada", PASSWORD).await;
    let cookie = answer.header("set-cookie");
    for part in ["id=", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["roles"], json!(["admin"]));
    let who = ada.get("/api/session").await.json();
    assert_eq!((&who["user"], &who["needs_login"]), (&json!("ada"), &json!(false)));

    let old = ada.cookie.clone();
    assert_eq!(ada.post("/api/logout", json!({})).await.status, 204);
    assert_eq!(ada.cookie, None, "the cookie is cleared");
    ada.cookie = old;
    assert_eq!(ada.get("/api/session").await.json()["user"], json!(null), "and good for nothing");
}

#[tokio::test]
async fn a_form_is_taken_as_well_as_json() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let fields = "username=ada&password=correct+horse+battery";
    let answer = Client::new(&app).form("/api/login", fields).await;
    assert_eq!(answer.json()["user"], "ada");
    let wrong = Client::new(&app).form("/api/login", "username=ada").await;
    assert_eq!(wrong.error(400), "a field is missing or wrong");
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_one_and_the_same_answer() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let tries =
        [("ada", "wrong"), ("bob", PASSWORD), ("no name!", PASSWORD), ("", ""), ("字", "x")];
    let mut answers = BTreeSet::new();
    for (name, password) in tries {
        let answer = Client::new(&app).login(name, password).await;
        let mut headers: Vec<_> = answer.headers.keys().map(|name| name.to_string()).collect();
        headers.sort();
        answers.insert((answer.error(401), headers));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn of_64_tries_at_once_for_one_account_exactly_ten_are_looked_at() {
    let app = App::patient().await;
    add(&app, "ada", PASSWORD, &[]).await;
    // The right password: those that are looked at are seen by their success.
    let tries = (0..64).map(|_| async { Client::new(&app).login("ada", PASSWORD).await });
    let answers = join_all(tries).await;
    let count = |status: u16| answers.iter().filter(|one| one.status == status).count();
    // On a very busy machine some do not get their turn to be compared: they were let through all the same.
    assert_eq!((count(200) + count(503), count(429)), (10, 54));
    let refused = answers.iter().find(|one| one.status == 429).unwrap();
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_000).contains(&wait), "{wait}");
    // An answer of 200 later would tell who guesses that it was right.
    assert_eq!(Client::new(&app).login("ada", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn of_64_accounts_tried_at_once_from_one_address_exactly_50_are_looked_at() {
    let app = App::patient().await;
    let names: Vec<_> = (0..64).map(|number| format!("user{number}")).collect();
    let answers =
        join_all(names.iter().map(|name| async { Client::new(&app).login(name, "wrong").await }));
    let answers = answers.await;
    let count = |status: u16| answers.iter().filter(|one| one.status == status).count();
    assert_eq!((count(401) + count(503), count(429)), (50, 14));
}

#[tokio::test]
async fn nobody_is_signed_in_while_redis_is_away() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Client::signed_in(&app, "ada", PASSWORD).await;
    server.kill().await.unwrap();
    Client::new(&app).login("ada", PASSWORD).await.error(503);
    let page =
        Client::new(&app).form("/login", "username=ada&password=correct+horse+battery").await;
    assert_eq!((page.status.as_u16(), page.header("set-cookie")), (503, ""));
    // And who was is not believed meanwhile.
    ada.get("/api/session").await.error(503);
    ada.get("/api/sessions").await.error(503);
    ada.delete("/api/sessions").await.error(503);
}

#[tokio::test]
async fn a_login_ends_the_session_that_the_browser_had_before() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    add(&app, "eve", PASSWORD, &[]).await;
    // Planted by Eve, who knows it.
    let planted = Client::signed_in(&app, "eve", PASSWORD).await;
    let mut ada = Client::new(&app);
    (ada.cookie, ada.csrf) = (planted.cookie.clone(), planted.csrf.clone());
    ada.login("ada", PASSWORD).await.json();
    assert_ne!(ada.cookie, planted.cookie);
    let mut eve = planted;
    assert_eq!(eve.get("/api/session").await.json()["user"], json!(null));
    assert_eq!(ada.get("/api/session").await.json()["user"], "ada");
}

#[tokio::test]
async fn sessions_of_others_are_neither_seen_nor_ended() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &["admin"]).await;
    add(&app, "eve", PASSWORD, &[]).await;
    let mut ada = Client::signed_in(&app, "ada", PASSWORD).await;
    let mut eve = Client::signed_in(&app, "eve", PASSWORD).await;
    let id = ada.get("/api/session").await.json()["session_id"].as_str().unwrap().to_owned();
    let seen = eve.get("/api/sessions").await.json();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_ne!(seen[0]["id"], id);
    for path in [&format!("/api/sessions/{id}"), "/api/sessions/x", "/api/sessions/%00"] {
        assert_eq!(eve.delete(path).await.error(404), "you have no such session");
    }
    let form = eve.form("/sessions", &format!("end={id}")).await;
    assert_eq!((form.status.as_u16(), form.header("location")), (303, "/sessions"));
    eve.delete("/api/sessions").await;
    assert_eq!(ada.get("/api/session").await.json()["user"], "ada");
    // An administrator is no exception here: operators have commands.
    let mut eve = Client::signed_in(&app, "eve", PASSWORD).await;
    let id = eve.get("/api/session").await.json()["session_id"].as_str().unwrap().to_owned();
    ada.delete(&format!("/api/sessions/{id}")).await.error(404);
}

#[tokio::test]
async fn one_session_the_others_or_all_are_ended_by_their_owner() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut clients = Vec::new();
    for device in ["Firefox/1 Linux", "<b>phone</b>", "curl/8"] {
        let mut client = Client::new(&app);
        client.headers.push(("user-agent", device.to_owned()));
        client.login("ada", PASSWORD).await.json();
        clients.push(client);
    }
    let listed = clients[0].get("/api/sessions").await.json();
    let agents: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["user_agent"].as_str().unwrap()).collect();
    assert_eq!(agents, ["Firefox/1 Linux", "<b>phone</b>", "curl/8"]);
    assert_eq!(listed[0]["current"], true);
    assert_eq!(listed[1]["current"], false);
    let page = clients[0].get("/sessions").await;
    assert!(page.text().contains("Firefox, Linux") && !page.text().contains("<b>phone"));

    let id = listed[1]["id"].as_str().unwrap();
    assert_eq!(clients[0].delete(&format!("/api/sessions/{id}")).await.status, 204);
    clients[1].get("/api/sessions").await.error(401);
    assert_eq!(clients[0].delete("/api/sessions/others").await.status, 204);
    clients[2].get("/api/sessions").await.error(401);
    let csrf = clients[0].csrf.take().unwrap();
    assert_eq!(clients[0].form("/sessions", "end=all").await.status, 403, "without the token");
    let all = clients[0].form("/sessions", &format!("end=all&_csrf={csrf}")).await;
    assert_eq!((all.status.as_u16(), all.header("location")), (303, "/login"));
    clients[0].get("/api/sessions").await.error(401);
}

#[tokio::test]
async fn a_removed_account_and_one_with_another_password_are_signed_out() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Client::signed_in(&app, "ada", PASSWORD).await;
    let (accounts, name) = (&app.state.accounts, "ada".parse().unwrap());
    let other = Password::typed("another long one".to_owned());
    assert!(accounts.set_password(&name, other).await.unwrap());
    ada.get("/api/sessions").await.error(401);
    Client::new(&app).login("ada", PASSWORD).await.error(401);
    let mut ada = Client::signed_in(&app, "ada", "another long one").await;
    assert!(accounts.remove(&name).await.unwrap() && !accounts.remove(&name).await.unwrap());
    ada.get("/api/sessions").await.error(401);
}

#[tokio::test]
async fn the_login_page_leads_to_own_paths_only_and_needs_no_script() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let form = |next: &str| format!("username=ada&password=correct+horse+battery&next={next}");
    for (next, location) in [
        ("%2Fchat%3Froom%3Da", "/chat?room=a"),
        ("", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2Fx%0D%0ASet-Cookie%3A+a%3Db", "/"),
    ] {
        let answer = Client::new(&app).form("/login", &form(next)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, location), "{next}");
        assert!(answer.header("set-cookie").contains("HttpOnly"));
    }
    let page = app.get("/login?next=//evil.example").await;
    assert!(page.text().contains(r#"name="next" value="/""#), "{}", page.text());
    assert_eq!(page.header("cache-control"), "no-store");
    let wrong = Client::new(&app).form("/login", "username=ada&password=x&next=%2Fchat").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("The name or the password is wrong."), "{}", wrong.text());
    assert!(
        wrong.text().contains(r#"name="next" value="/chat""#) && !wrong.text().contains("\"x\"")
    );
    let mut zh = Client::new(&app);
    zh.headers.push(("accept-language", "zh-CN".to_owned()));
    assert!(zh.form("/login", "username=ada&password=x").await.text().contains("用户名或密码错误"));
}
