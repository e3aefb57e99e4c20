//! What is refused before a route's own work: wrong paths, methods, bodies, and other sites.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use crate::support::{App, request};

#[tokio::test]
async fn a_path_without_a_route_is_404() {
    let app = App::start().await;
    for path in [
        "/nothing",
        "/api",
        "/api/users/",
        "/api/users/1/x",
        "/api/leaderboard/",
        "/assets/",
        "/console",
        "//",
    ] {
        assert_eq!(app.get(path).await.error(404), "there is nothing at this path", "{path}");
    }
    app.delete("/nothing").await.error(404);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_405_and_names_those_it_does() {
    let app = App::start().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/users", "GET,HEAD,POST"),
        (Method::POST, "/api/users/1", "GET,HEAD,PUT,DELETE"),
        (Method::PATCH, "/api/users/1", "GET,HEAD,PUT,DELETE"),
        (Method::POST, "/api/stats/page_views", "GET,HEAD"),
        (Method::DELETE, "/api/leaderboard", "GET,HEAD"),
        (Method::PUT, "/api/leaderboard/update", "GET,HEAD,POST"),
        (Method::POST, "/api/leaderboard/ada", "GET,HEAD"),
        (Method::PUT, "/api/tasks", "GET,HEAD,POST"),
        (Method::POST, "/api/tasks/1", "GET,HEAD,DELETE"),
        (Method::POST, "/api/chat/lobby/messages", "GET,HEAD"),
        (Method::GET, "/api/demo/cold_key", "POST"),
        (Method::DELETE, "/api/demo/killed_worker", "GET,HEAD,POST"),
        (Method::POST, "/", "GET,HEAD"),
        (Method::OPTIONS, "/healthz", "GET,HEAD"),
    ] {
        let answer = app.call(method.clone(), path, None).await;
        assert_eq!(answer.error(405), "this path does not take this method");
        let sorted = |list: &str| {
            let mut methods: Vec<_> = list.split(',').map(str::to_owned).collect();
            methods.sort_unstable();
            methods
        };
        assert_eq!(sorted(answer.header("allow")), sorted(allowed), "{method} {path}");
    }
}

fn bodies() -> [(Method, &'static str); 3] {
    [
        (Method::POST, "/api/users"),
        (Method::PUT, "/api/users/1"),
        (Method::POST, "/api/leaderboard/update"),
    ]
}

fn with_body(
    method: Method,
    path: &str,
    kind: Option<&str>,
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    request.body(body.into()).unwrap()
}

const GOOD: &str = r#"{"name": "Ada", "email": "ada@example.com", "player": "ada"}"#;

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_415() {
    let app = App::start().await;
    for (method, path) in bodies() {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data"),
        ] {
            let answer = app.send(with_body(method.clone(), path, kind, GOOD)).await;
            assert_eq!(answer.error(415), "the content-type must be application/json");
        }
        for kind in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
            app.send(with_body(method.clone(), path, Some(kind), GOOD)).await.json();
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    let app = App::start().await;
    for (method, path) in bodies() {
        let trailing = format!("{GOOD} x");
        let twice = format!("{GOOD}{GOOD}");
        let deep = "[".repeat(100_000);
        for body in ["", " ", "{", "x", "{'name': 1}", "\u{0}", &trailing, &twice, &deep] {
            let answer = app
                .send(with_body(method.clone(), path, Some("application/json"), body.to_owned()))
                .await;
            answer.error(400);
        }
        let answer = app
            .send(with_body(method, path, Some("application/json"), &b"{\"name\": \"\xff\"}"[..]))
            .await;
        answer.error(400);
    }
    assert_eq!(app.get("/api/users").await.json(), json!([]));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_413() {
    let app = App::start().await;
    for (method, path) in bodies() {
        let body = format!(r#"{{"name": "{}"}}"#, "x".repeat(3 * 1024 * 1024));
        let answer = app.send(with_body(method, path, Some("application/json"), body)).await;
        assert_eq!(answer.error(413), "the body is too long");
    }
}

#[tokio::test]
async fn every_answer_carries_the_request_id_that_was_sent_or_a_new_one() {
    let app = App::start().await;
    let ask = async |path: &str, id: &str| {
        let mut request = request(Method::GET, path, None);
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        app.send(request).await
    };
    for path in ["/healthz", "/nothing", "/api/users/0", "/"] {
        assert_eq!(ask(path, "trace-7").await.header("x-request-id"), "trace-7");
        let made = ask(path, "forged id=1").await;
        assert_eq!(made.header("x-request-id").len(), 32, "{path}");
        assert_ne!(app.get(path).await.header("x-request-id"), made.header("x-request-id"));
    }
    ask("/nothing", "trace-7").await.error(404);
}

#[tokio::test]
async fn a_host_that_is_not_this_machine_is_refused() {
    let app = App::start().await;
    let ask = async |host: &str, path: &str| {
        let mut request = request(Method::GET, path, None);
        request.headers_mut().insert("host", host.parse().unwrap());
        app.send(request).await
    };
    for path in ["/", "/api/users/1", "/healthz", "/nothing"] {
        for host in
            ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"]
        {
            assert!(ask(host, path).await.error(403).contains("loopback"), "{host} {path}");
        }
    }
    for host in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
        assert_eq!(ask(host, "/healthz").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_write_that_another_sites_page_makes_a_browser_send_is_refused() {
    let app = App::start().await;
    let send = async |method: Method, path: &str, headers: &[(&'static str, &str)]| {
        let mut request =
            request(method, path, Some(json!({"name": "Eve", "email": "e@b.co", "player": "eve"})));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        app.send(request).await
    };
    let host = ("host", "127.0.0.1:5000");
    let writes = [
        (Method::POST, "/api/users"),
        (Method::PUT, "/api/users/1"),
        (Method::DELETE, "/api/users/1"),
        (Method::POST, "/api/leaderboard/update"),
        (Method::POST, "/api/demo/cold_key"),
    ];
    for (method, path) in writes {
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:8000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let refused = send(method.clone(), path, &[host, foreign]).await.error(403);
            assert!(refused.contains("other sites"), "{refused}");
        }
    }
    assert_eq!(app.get("/api/users").await.json(), json!([]));
    for own in [("origin", "http://127.0.0.1:5000"), ("sec-fetch-site", "same-origin")] {
        send(Method::POST, "/api/leaderboard/update", &[host, own]).await.json();
    }
}

#[tokio::test]
async fn every_answer_forbids_what_a_page_has_no_use_for() {
    let app = App::start().await;
    for path in [
        "/",
        "/docs",
        "/assets/style.css",
        "/api/users/1",
        "/api/users/0",
        "/nothing",
        "/openapi.json",
    ] {
        let answer = app.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}
