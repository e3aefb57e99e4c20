//! Who must be signed in for what: on a loopback address, with `--require-login`, and behind a proxy.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use russet_app::access::Access;
use russet_app::http;
use russet_app::http::rules::ADMINISTRATORS;
use serde_json::json;

use super::accounts::{PASSWORD, add};
use crate::support::client::Client;
use crate::support::{App, request};

async fn with(access: Access) -> App {
    let mut app = App::start().await;
    app.state.access = access;
    app.router = http::app(app.state.clone());
    app
}

fn some(path: &str) -> String {
    ["id", "player", "room", "product", "name"].iter().fold(path.to_owned(), |path, name| {
        let value = if *name == "id" { "1" } else { "lobby" };
        path.replace(&format!("{{{name}}}"), value)
    })
}

/// The methods of a route, as it names them itself.
async fn methods(
    app: &App,
    path: &str,
    route: axum::routing::MethodRouter<russet_app::AppState>,
) -> Vec<Method> {
    let one = Router::new().route(path, route).with_state(app.state.clone());
    let asked = App { router: one, ..App::start().await };
    let refused = asked.call(Method::TRACE, &some(path), None).await;
    let allowed = refused.header("allow").split(',').map(|method| method.parse().unwrap());
    allowed.collect()
}

#[tokio::test]
async fn where_a_login_is_needed_everything_that_changes_something_asks_for_one() {
    let closed = with(Access::on_loopback(true)).await;
    let mut asked = 0;
    for (path, route) in http::api() {
        for method in methods(&closed, path, route).await {
            let answer = closed.send(request(method.clone(), &some(path), None)).await;
            let is_way_in = ["/api/login", "/api/logout"].contains(&path);
            let needs = (!method.is_safe() && !is_way_in) || path.ends_with("/ws");
            let is_own = path.starts_with("/api/sessions");
            if needs && method == Method::HEAD {
                assert_eq!(answer.status, 401, "{method} {path}");
            } else if needs {
                assert_eq!(answer.error(401), "you are not signed in", "{method} {path}");
                asked += 1;
            } else if !is_own {
                assert_ne!(answer.status, 401, "{method} {path}");
            }
        }
    }
    assert!(asked >= 12, "{asked}");
    // Nothing was done.
    assert_eq!(closed.get("/api/users").await.json(), json!([]));
    assert_eq!(closed.get("/api/session").await.json()["needs_login"], true);
}

#[tokio::test]
async fn who_is_signed_in_changes_things_with_the_token_of_the_session_and_not_without() {
    let closed = with(Access::on_loopback(true)).await;
    add(&closed, "ada", PASSWORD, &[]).await;
    add(&closed, "eve", PASSWORD, &[]).await;
    let mut ada = Client::signed_in(&closed, "ada", PASSWORD).await;
    let eve = Client::signed_in(&closed, "eve", PASSWORD).await;
    let user = json!({"name": "Ada", "email": "a@b.co"});
    assert_eq!(ada.post("/api/users", user.clone()).await.status, 201);
    for token in [None, Some("x".to_owned()), eve.csrf.clone()] {
        ada.csrf = token;
        ada.post("/api/users", user.clone()).await.error(403);
    }
    assert_eq!(closed.get("/api/users").await.json().as_array().unwrap().len(), 1);
    // On a loopback address the door is open, and yet nobody can be made to act by his cookie.
    let open = with(Access::default()).await;
    add(&open, "ada", PASSWORD, &[]).await;
    assert_eq!(open.post("/api/users", user.clone()).await.status, 201);
    let mut ada = Client::signed_in(&open, "ada", PASSWORD).await;
    ada.csrf = None;
    ada.post("/api/users", user).await.error(403);
}

#[tokio::test]
async fn the_total_of_the_stock_is_an_administrators() {
    let closed = with(Access::on_loopback(true)).await;
    add(&closed, "ada", PASSWORD, &["admin"]).await;
    add(&closed, "eve", PASSWORD, &[]).await;
    let mut eve = Client::signed_in(&closed, "eve", PASSWORD).await;
    let mut ada = Client::signed_in(&closed, "ada", PASSWORD).await;
    let routed: Vec<_> = http::api().into_iter().map(|(path, _)| path).collect();
    for (method, path) in ADMINISTRATORS {
        if routed.contains(&path) {
            let refused = eve.call(method.clone(), &some(path), Some(json!({}))).await;
            assert_eq!(refused.error(403), "you may not do this", "{method} {path}");
            let answer = ada.call(method, &some(path), Some(json!({}))).await;
            assert!(![401, 403].contains(&answer.status.as_u16()), "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn who_is_signed_in_buys_for_nobody_else_and_settles_its_own_alone() {
    let closed = with(Access::on_loopback(true)).await;
    add(&closed, "ada", PASSWORD, &["admin"]).await;
    add(&closed, "eve", PASSWORD, &[]).await;
    add(&closed, "bob", PASSWORD, &[]).await;
    let mut ada = Client::signed_in(&closed, "ada", PASSWORD).await;
    let mut eve = Client::signed_in(&closed, "eve", PASSWORD).await;
    let mut bob = Client::signed_in(&closed, "bob", PASSWORD).await;
    assert_eq!(
        ada.call(Method::PUT, "/api/stock/cider", Some(json!({"total": 9}))).await.status,
        200
    );
    let wish = |id: &str| json!({"product": "cider", "user": "bob", "request_id": id});
    for id in ["one", "two"] {
        let made = eve.post("/api/reservations", wish(id)).await;
        assert_eq!((made.status.as_u16(), &made.json()["user"]), (201, &json!("eve")));
    }
    for (method, path) in
        [(Method::POST, "/api/reservations/one/confirm"), (Method::DELETE, "/api/reservations/one")]
    {
        bob.call(method, path, None).await.error(404);
    }
    let extension = Some(json!({"hold": 600}));
    bob.call(Method::POST, "/api/reservations/one/extend", extension).await.error(404);
    let sold = eve.call(Method::POST, "/api/reservations/one/confirm", None).await;
    assert_eq!(sold.json()["state"], "sold");
    let cancelled = ada.call(Method::DELETE, "/api/reservations/two", None).await;
    assert_eq!(cancelled.json()["state"], "cancelled");
}

/// A request over a connection from this address.
fn from(peer: &str, host: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get("/api/users").header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer: SocketAddr = format!("{peer}:1234").parse().unwrap();
    request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn behind_a_proxy_it_answers_to_the_proxy_and_to_its_name() {
    let access = Access::public("https://russet.example", &["10.0.0.1"]).unwrap();
    let app = with(access).await;
    assert_eq!(app.send(from("10.0.0.1", "russet.example", &[])).await.status, 200);
    assert_eq!(app.send(from("127.0.0.1", "localhost:5000", &[])).await.status, 200);
    for (peer, host) in [
        ("10.0.0.1", "evil.example"),
        ("10.0.0.1", "russet.example.evil.example"),
        ("10.0.0.2", "russet.example"),
        ("192.168.1.1", "localhost"),
    ] {
        app.send(from(peer, host, &[("x-forwarded-for", "10.0.0.1")])).await.error(403);
    }
}

#[tokio::test]
async fn behind_a_proxy_cookies_are_secure_and_addresses_are_the_clients() {
    let access = Access::public("https://russet.example", &["10.0.0.1"]).unwrap();
    let app = with(access).await;
    add(&app, "ada", PASSWORD, &[]).await;
    let login = |client: &str, password: &str| {
        let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let body = json!({"username": "ada", "password": password}).to_string();
        Request::post("/api/login")
            .header("host", "russet.example")
            .header("content-type", "application/json")
            .header("x-forwarded-for", format!("203.0.113.9, {client}"))
            .extension(ConnectInfo(peer))
            .body(Body::from(body))
            .unwrap()
    };
    let answer = app.send(login("198.51.100.1", PASSWORD)).await;
    let cookie = answer.header("set-cookie");
    for part in ["__Host-id=", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // Whoever tries too often locks out no other address.
    for _ in 0..10 {
        app.send(login("198.51.100.2", "wrong")).await.error(401);
    }
    app.send(login("198.51.100.2", PASSWORD)).await.error(429);
    assert_eq!(app.send(login("198.51.100.3", PASSWORD)).await.status, 200);
}
