//! Requests that another site has made the browser send, and those of our own pages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use russet::Sessions;
use russet::testing::TestServer;
use russet_axum::{ApiError, CsrfLayer, Session, SessionLayer, Visitor};
use support::{Answer, Browser, SECRET, serve, sessions_on};

const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn routes() -> Router {
    Router::new()
        .route(
            "/login",
            post(async |visitor: Visitor, name: String| {
                visitor.sign_in(&name).await.map(|_| "welcome")
            }),
        )
        .route("/token", get(async |session: Session| session.csrf_token().map_err(ApiError::from)))
        .route("/change", get(async || "unchanged").fallback(async |body: String| body))
}

fn app(sessions: &Sessions, csrf: CsrfLayer) -> Router {
    routes().layer(csrf).layer(SessionLayer::new(sessions.clone()))
}

struct Served {
    server: TestServer,
    sessions: Sessions,
    address: SocketAddr,
}

impl Served {
    async fn start() -> Self {
        let server = TestServer::start().await.unwrap();
        let sessions = sessions_on(&server).await.secret(SECRET).build().unwrap();
        let address = serve(app(&sessions, CsrfLayer::new())).await;
        Self { server, sessions, address }
    }

    /// A browser and the token of its session.
    async fn signed_in(&self, name: &str) -> (Browser, String) {
        let mut browser = Browser::at(self.address);
        let answer = browser.send(Method::POST, "/login", &[OWN], name).await;
        assert_eq!(answer.body, "welcome");
        let token = browser.get("/token").await.body;
        (browser, token)
    }

    async fn noted(&self) -> Vec<String> {
        let activity = self.sessions.activity(100).await.unwrap();
        activity.into_iter().rev().map(|entry| entry.what).collect()
    }
}

async fn change(browser: &mut Browser, headers: &[(&str, &str)], body: &str) -> Answer {
    browser.send(Method::POST, "/change", headers, body).await
}

#[tokio::test]
async fn a_change_with_the_token_of_its_session_goes_on_with_its_whole_body() {
    let app = Served::start().await;
    let (mut ann, token) = app.signed_in("ann").await;
    let header = [OWN, ("x-csrf-token", token.as_str())];
    assert_eq!(change(&mut ann, &header, "{\"a\": 1}").await.body, "{\"a\": 1}");
    let form = format!("a=1&_csrf={token}&b=2");
    assert_eq!(change(&mut ann, &[OWN, FORM], &form).await.body, form);
    let utf8 = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    assert_eq!(change(&mut ann, &[OWN, utf8], &form).await.body, form);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(ann.send(method, "/change", &header, "x").await.status, StatusCode::OK);
    }
    // Each is written otherwise, and all are good.
    let other = ann.get("/token").await.body;
    assert_ne!(other, token);
    assert_eq!(change(&mut ann, &[OWN, ("x-csrf-token", &other)], "x").await.body, "x");
    assert_eq!(app.noted().await, [""; 0]);
}

#[tokio::test]
async fn a_change_with_no_token_a_wrong_one_or_another_sessions_is_refused() {
    let app = Served::start().await;
    let (mut ann, token) = app.signed_in("ann").await;
    let (_, of_bob) = app.signed_in("bob").await;
    let (_, of_other_tab) = app.signed_in("ann").await;
    let missing = change(&mut ann, &[OWN], "x").await;
    assert_eq!(missing.status, StatusCode::FORBIDDEN);
    let wrong = ["", "x", &token[1..], &of_bob, &of_other_tab, &format!("{token}{token}")];
    for token in wrong {
        let answer = change(&mut ann, &[OWN, ("x-csrf-token", token)], "x").await;
        assert_eq!((answer.status, &answer.body), (missing.status, &missing.body), "{token}");
        let form = format!("_csrf={token}");
        let answer = change(&mut ann, &[OWN, FORM], &form).await;
        assert_eq!((answer.status, &answer.body), (missing.status, &missing.body), "{token}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(ann.send(method, "/change", &[OWN], "x").await.status, StatusCode::FORBIDDEN);
    }
    // In the address, where others could read it, it is no token; nor in a body that is no form.
    let form = format!("_csrf={token}");
    let path = format!("/change?{form}");
    let answer = ann.send(Method::POST, &path, &[OWN, FORM], "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let plain = [OWN, ("content-type", "text/plain")];
    assert_eq!(change(&mut ann, &plain, &form).await.status, StatusCode::FORBIDDEN);

    let noted = app.noted().await;
    assert_eq!(noted[0], "csrf_token_missing");
    assert_eq!(noted.iter().filter(|what| *what == "csrf_token_wrong").count(), wrong.len() * 2);
}

#[tokio::test]
async fn a_token_of_a_session_before_is_refused() {
    let app = Served::start().await;
    let (mut ann, before) = app.signed_in("ann").await;
    let login = [OWN, ("x-csrf-token", before.as_str())];
    assert_eq!(ann.send(Method::POST, "/login", &login, "ann").await.body, "welcome");
    assert_eq!(change(&mut ann, &login, "x").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_another_site_sends_is_refused_even_with_a_token() {
    let app = Served::start().await;
    let (mut ann, token) = app.signed_in("ann").await;
    let token = ("x-csrf-token", token.as_str());
    let host = app.address.to_string();
    let cross = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ];
    for header in cross {
        let answer = change(&mut ann, &[header, token], "x").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{header:?}");
        // The form of a login too: nobody is signed in as somebody else without knowing.
        let answer = Browser::at(app.address).send(Method::POST, "/login", &[header], "eve").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{header:?}");
    }
    assert_eq!(app.noted().await, ["csrf_cross_site"; 4]);
    // The browser's word of its own page counts more than what it calls the origin, and without both it is a program.
    let own = format!("http://{host}");
    assert_eq!(change(&mut ann, &[("origin", &own), token], "x").await.body, "x");
    assert_eq!(change(&mut ann, &[token], "x").await.body, "x");
    let answer = change(&mut ann, &[("origin", "http://evil.example"), OWN, token], "x").await;
    assert_eq!(answer.body, "x");
}

#[tokio::test]
async fn what_only_reads_needs_no_token() {
    let app = Served::start().await;
    let (mut ann, _) = app.signed_in("ann").await;
    let cross = [("sec-fetch-site", "cross-site")];
    for method in [Method::GET, Method::HEAD] {
        let answer = ann.send(method, "/change", &cross, "").await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn another_site_opens_no_websocket() {
    let app = Served::start().await;
    let (mut ann, _) = app.signed_in("ann").await;
    let upgrade =
        [("upgrade", "websocket"), ("connection", "upgrade"), ("origin", "https://evil.example")];
    let answer = ann.send(Method::GET, "/change", &upgrade, "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = ann.send(Method::GET, "/change", &upgrade[..2], "").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn whoever_is_not_signed_in_needs_no_token() {
    let app = Served::start().await;
    let mut nobody = Browser::at(app.address);
    assert_eq!(change(&mut nobody, &[OWN], "x").await.body, "x");
    nobody.jar.insert("__Host-id".to_owned(), "of a session that has ended".to_owned());
    assert_eq!(change(&mut nobody, &[OWN], "x").await.body, "x");
}

#[tokio::test]
async fn a_form_that_is_too_long_to_be_read_for_its_token_is_refused() {
    let app = Served::start().await;
    let (mut ann, token) = app.signed_in("ann").await;
    let long = format!("_csrf={token}&a={}", "x".repeat(64 * 1024));
    assert_eq!(change(&mut ann, &[OWN, FORM], &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let header = [OWN, FORM, ("x-csrf-token", token.as_str())];
    assert_eq!(change(&mut ann, &header, &long).await.body, long);
    let small = serve(self::app(&app.sessions, CsrfLayer::new().max_form_bytes(8))).await;
    let mut ann = ann.move_to(small);
    let form = format!("_csrf={token}");
    assert_eq!(change(&mut ann, &[OWN, FORM], &form).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn no_change_of_somebody_is_let_through_while_redis_is_away() {
    let app = Served::start().await;
    let (mut ann, token) = app.signed_in("ann").await;
    app.server.kill().await.unwrap();
    let answer = change(&mut ann, &[OWN, ("x-csrf-token", &token)], "x").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = change(&mut ann, &[("sec-fetch-site", "cross-site")], "x").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(ann.get("/change").await.body, "unchanged");
}

#[tokio::test]
async fn only_a_method_that_says_so_turns_tokens_off_and_the_origin_counts_still() {
    let app = Served::start().await;
    let (ann, _) = app.signed_in("ann").await;
    let csrf = CsrfLayer::new().dangerously_without_tokens();
    let mut ann = ann.move_to(serve(self::app(&app.sessions, csrf)).await);
    assert_eq!(change(&mut ann, &[OWN], "x").await.body, "x");
    let answer = change(&mut ann, &[("sec-fetch-site", "cross-site")], "x").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn layers_in_the_wrong_order_let_nothing_through() {
    let app = Served::start().await;
    let wrong = routes().layer(SessionLayer::new(app.sessions.clone())).layer(CsrfLayer::new());
    let mut browser = Browser::at(serve(wrong).await);
    let answer = change(&mut browser, &[OWN], "x").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(browser.get("/change").await.body, "unchanged");
}
