//! The rate-limit layer, with real requests and a real Redis server.
#![cfg(feature = "rate_limit")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, Request, Response, StatusCode};
use axum::routing::get;
use axum::{Router, middleware};
use http_body_util::BodyExt as _;
use russet::testing::TestServer;
use russet::{Limit, RateLimiter, Russet, WhenAway};
use russet_axum::rate_limit::{Key, RateLimitLayer, by, by_async, by_header, by_ip};
use russet_axum::{ApiError, Server, request_id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

const DAY: Duration = Duration::from_secs(86_400);

async fn start() -> (TestServer, Russet) {
    let server = TestServer::start().await.unwrap();
    let long = Duration::from_secs(60);
    let builder = Russet::builder().url(server.url()).timeout(long).connect_timeout(long);
    (server, builder.connect().await.unwrap())
}

fn limiter(russet: &Russet, name: &str, limits: &[Limit]) -> RateLimiter {
    let builder = RateLimiter::builder(russet, name);
    limits.iter().fold(builder, |builder, limit| builder.limit(*limit)).build().unwrap()
}

/// A day has one border; within a test of a minute around it a client would have twice as much. A sliding one has none.
fn a_day(most: u64) -> Limit {
    Limit::sliding(most, DAY)
}

/// Answers how often the handler was reached.
fn app(layer: RateLimitLayer) -> (Router, Arc<AtomicU32>) {
    let reached = Arc::new(AtomicU32::new(0));
    let counted = reached.clone();
    let handler = get(async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        "hello"
    });
    let router = Router::new().route("/", handler).layer(layer);
    (router.layer(middleware::from_fn(request_id::propagate)), reached)
}

/// From an address, with these headers.
async fn ask(app: &Router, from: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let address: SocketAddr = from.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    app.clone().oneshot(request).await.unwrap()
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Vec<&'a str> {
    answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// `r` and `t` of a member of `RateLimit` with this name.
fn left(answer: &Response<Body>, policy: &str) -> (u64, u64) {
    let line = header(answer, "ratelimit")
        .into_iter()
        .find(|line| line.starts_with(&format!("\"{policy}\";")));
    let (remaining, reset) = line.unwrap().split_once(";r=").unwrap().1.split_once(";t=").unwrap();
    (remaining.parse().unwrap(), reset.parse().unwrap())
}

const ADA: &str = "192.0.2.1:4000";
const BOB: &str = "192.0.2.2:4000";

#[tokio::test]
async fn each_address_may_call_so_often_and_is_told_what_is_left() {
    let (_server, russet) = start().await;
    let (app, reached) = app(RateLimitLayer::new(limiter(&russet, "api", &[a_day(2)]), by_ip()));
    for remaining in [1, 0] {
        let answer = ask(&app, ADA, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "ratelimit-policy"), ["\"api\";q=2;w=86400"]);
        let (r, t) = left(&answer, "api");
        assert_eq!(r, remaining);
        assert!((1..=2 * 86_400).contains(&t), "{t}");
        assert!(answer.headers().get("retry-after").is_none());
    }
    // Another port is the same client.
    let refused = ask(&app, "192.0.2.1:4001", &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(left(&refused, "api").0, 0);
    let wait: u64 = header(&refused, "retry-after")[0].parse().unwrap();
    assert!((3_600..=2 * 86_400).contains(&wait), "{wait}");
    assert_eq!(header(&refused, "content-type"), ["application/json"]);
    let id = header(&refused, "x-request-id")[0].to_owned();
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["request_id"], id);
    assert!(body["error"].as_str().unwrap().contains("too often"), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(reached.load(Ordering::Relaxed), 2);
    // Another address is another client.
    assert_eq!(ask(&app, BOB, &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_told_to_come_again_too_early() {
    let (_server, russet) = start().await;
    let slow = limiter(&russet, "slow", &[Limit::gcra(1, Duration::from_millis(100_900))]);
    let (app, _) = app(RateLimitLayer::new(slow.clone(), by_ip()));
    assert_eq!(ask(&app, ADA, &[]).await.status(), StatusCode::OK);
    let refused = ask(&app, ADA, &[]).await;
    let wait = Duration::from_secs(header(&refused, "retry-after")[0].parse().unwrap());
    // What the limiter says afterwards is a little less.
    let left = slow.check("192.0.2.1").await.unwrap().retry_after;
    assert!(wait >= left && wait <= Duration::from_secs(101), "{wait:?} {left:?}");
}

#[tokio::test]
async fn all_limits_are_listed_and_the_narrowest_is_told() {
    let (_server, russet) = start().await;
    let bucket = Limit::gcra(1_000, DAY).burst(10);
    let (app, _) = app(RateLimitLayer::new(limiter(&russet, "api", &[a_day(3), bucket]), by_ip()));
    let answer = ask(&app, ADA, &[]).await;
    let policies = header(&answer, "ratelimit-policy");
    assert_eq!(policies, ["\"api-1\";q=3;w=86400, \"api-2\";q=10;w=864"]);
    assert_eq!(left(&answer, "api-1").0, 2);
    assert_eq!(header(&answer, "ratelimit").len(), 1);
}

#[tokio::test]
async fn several_subjects_are_several_checks_and_the_first_that_denies_ends_it() {
    let (_server, russet) = start().await;
    let keys = limiter(&russet, "key", &[a_day(1)]);
    let addresses = limiter(&russet, "address", &[a_day(3)]);
    let layer = RateLimitLayer::new(keys, by_header(HeaderName::from_static("x-api-key")))
        .and(addresses.clone(), by_ip());
    let (app, reached) = app(layer);
    let first = ask(&app, ADA, &[("x-api-key", "one")]).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!((left(&first, "key").0, left(&first, "address").0), (0, 2));
    let again = ask(&app, ADA, &[("x-api-key", "one")]).await;
    assert_eq!(again.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&again, "ratelimit").len(), 1, "the second check was not made");
    assert_eq!(addresses.remaining("192.0.2.1").await.unwrap(), 2);
    assert_eq!(ask(&app, ADA, &[("x-api-key", "two")]).await.status(), StatusCode::OK);
    // Without the header, or with one that is too long, one is a subject like another.
    assert_eq!(ask(&app, ADA, &[]).await.status(), StatusCode::OK);
    let long = "x".repeat(300);
    let longer = ask(&app, BOB, &[("x-api-key", &long)]).await;
    assert_eq!(longer.status(), StatusCode::TOO_MANY_REQUESTS);
    // The address has had its three.
    let over = ask(&app, ADA, &[("x-api-key", "three")]).await;
    assert_eq!(
        (over.status(), reached.load(Ordering::Relaxed)),
        (StatusCode::TOO_MANY_REQUESTS, 3)
    );
}

#[tokio::test]
async fn a_key_of_ones_own_may_let_through_look_up_and_refuse() {
    let (_server, russet) = start().await;
    let writes = by(|parts| parts.headers.contains_key("x-write").then(|| "all".to_owned()));
    let (free, _) = app(RateLimitLayer::new(limiter(&russet, "writes", &[a_day(1)]), writes));
    for _ in 0..3 {
        let answer = ask(&free, ADA, &[]).await;
        assert_eq!((answer.status(), header(&answer, "ratelimit").len()), (StatusCode::OK, 0));
    }
    let write = [("x-write", "1")];
    assert_eq!(ask(&free, ADA, &write).await.status(), StatusCode::OK);
    assert_eq!(ask(&free, BOB, &write).await.status(), StatusCode::TOO_MANY_REQUESTS);

    let users: Key = by_async(|parts| {
        let name = parts.headers.get("x-user").map(|name| name.to_str().unwrap().to_owned());
        async move {
            tokio::task::yield_now().await;
            let name =
                name.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "who are you?"))?;
            Ok(Some(name))
        }
    });
    let (known, _) = app(RateLimitLayer::new(limiter(&russet, "users", &[a_day(1)]), users));
    assert_eq!(ask(&known, ADA, &[]).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&known, ADA, &[("x-user", "ada")]).await.status(), StatusCode::OK);
    assert_eq!(
        ask(&known, BOB, &[("x-user", "ada")]).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    // A subject that is none.
    assert_eq!(ask(&known, BOB, &[("x-user", "")]).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_cost_counts_as_so_many_calls() {
    let (_server, russet) = start().await;
    let (app, _) = app(RateLimitLayer::new(limiter(&russet, "api", &[a_day(10)]), by_ip()).cost(4));
    for remaining in [6, 2] {
        assert_eq!(left(&ask(&app, ADA, &[]).await, "api").0, remaining);
    }
    let refused = ask(&app, ADA, &[]).await;
    assert_eq!((refused.status(), left(&refused, "api").0), (StatusCode::TOO_MANY_REQUESTS, 2));
}

#[tokio::test]
async fn layers_inside_each_other_tell_both() {
    let (_server, russet) = start().await;
    let outer = RateLimitLayer::new(limiter(&russet, "outer", &[a_day(5)]), by_ip());
    let (app, _) = app(RateLimitLayer::new(limiter(&russet, "inner", &[a_day(3)]), by_ip()));
    let app = app.layer(outer);
    let answer = ask(&app, ADA, &[]).await;
    assert_eq!((left(&answer, "inner").0, left(&answer, "outer").0), (2, 4));
}

#[tokio::test]
async fn while_redis_is_away_the_limiters_policy_decides() {
    let (server, russet) = start().await;
    let brief = Russet::builder().url(server.url()).timeout(Duration::from_millis(500));
    let brief = brief.connect().await.unwrap();
    let with = |policy| {
        let builder = RateLimiter::builder(&brief, "api").limit(a_day(1)).when_away(policy);
        app(RateLimitLayer::new(builder.build().unwrap(), by_ip()))
    };
    let policies = [WhenAway::Fail, WhenAway::Allow, WhenAway::Deny].map(with);
    drop(russet);
    server.kill().await.unwrap();
    let expected =
        [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
    for ((app, reached), status) in policies.iter().zip(expected) {
        let answer = ask(app, ADA, &[]).await;
        assert_eq!((answer.status(), header(&answer, "ratelimit").len()), (status, 0));
        let was_reached = u32::from(status == StatusCode::OK);
        assert_eq!(reached.load(Ordering::Relaxed), was_reached);
        assert_eq!(answer.headers().contains_key("retry-after"), was_reached == 0);
    }
}

#[tokio::test]
async fn without_an_address_a_limit_by_address_is_a_fault_of_the_service() {
    let (_server, russet) = start().await;
    let (app, reached) = app(RateLimitLayer::new(limiter(&russet, "api", &[a_day(1)]), by_ip()));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn behind_the_server_connections_of_one_machine_are_one_client() {
    let (_server, russet) = start().await;
    let (app, _) = app(RateLimitLayer::new(limiter(&russet, "api", &[a_day(2)]), by_ip()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
        };
        Server::new().serve(listener, app, stop).await
    });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        statuses.push(answer.split(' ').nth(1).unwrap().to_owned());
        assert!(answer.contains("ratelimit-policy: \"api\";q=2;w=86400"), "{answer}");
    }
    assert_eq!(statuses, ["200", "200", "429"]);
    stop.send(()).unwrap();
    serving.await.unwrap();
}
