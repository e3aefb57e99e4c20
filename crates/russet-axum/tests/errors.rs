//! Every refusal has one shape and the right status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http_body_util::BodyExt as _;
use russet_axum::extract::{Json, Path, Query};
use russet_axum::{ApiError, error, panic, request_id};
use serde::Deserialize;
use tower::ServiceExt as _;

#[derive(Deserialize)]
struct Page {
    limit: u8,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn app() -> Router {
    Router::new()
        .route("/users/{id}", get(async |Path(id): Path<u64>| id.to_string()))
        .route("/list", get(async |Query(page): Query<Page>| page.limit.to_string()))
        .route("/name", post(async |Json(named): Json<Named>| named.name))
        .route("/broken", get(async || -> String { panic!("out of cheese") }))
        .route(
            "/away",
            get(async || {
                ApiError::unavailable("the Redis server is away").caused_by("secret detail")
            }),
        )
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(middleware::from_fn(panic::catch))
        .layer(middleware::from_fn(request_id::propagate))
}

async fn send(request: Request<Body>) -> Response<Body> {
    app().oneshot(request).await.unwrap()
}

/// The status and the message of an answer that has the shape of an error and names its request.
async fn refusal(request: Request<Body>) -> (StatusCode, String) {
    let response = send(request).await;
    let status = response.status();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.len(), 2, "{body:?}");
    assert_eq!(body["request_id"], id);
    (status, body["error"].as_str().unwrap().to_owned())
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn json_request(body: &'static str) -> Request<Body> {
    Request::post("/name")
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let refused = refusal(get_request("/nowhere")).await;
    assert_eq!(refused, (StatusCode::NOT_FOUND, "there is nothing at this path".into()));
}

#[tokio::test]
async fn a_method_that_the_path_does_not_take_is_405_and_names_those_it_takes() {
    let delete = || Request::delete("/list").body(Body::empty()).unwrap();
    assert_eq!(send(delete()).await.headers()["allow"], "GET,HEAD");
    assert_eq!(refusal(delete()).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_path_part_of_the_wrong_type_is_400() {
    for path in ["/users/abc", "/users/-1", "/users/99999999999999999999999", "/users/%ff"] {
        assert_eq!(refusal(get_request(path)).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_query_is_400_and_says_why() {
    let (status, message) = refusal(get_request("/list?limit=many")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.contains("limit"), "{message}");
    assert_eq!(refusal(get_request("/list")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    for body in ["", "{", "not json", "{\"name\": }"] {
        let (status, message) = refusal(json_request(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(message.starts_with("the body is not JSON: "), "{message}");
    }
}

#[tokio::test]
async fn json_of_the_wrong_form_is_400_and_names_the_field() {
    for body in ["{}", "{\"name\": 1}", "[]"] {
        let (status, message) = refusal(json_request(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {message}");
    }
    assert!(refusal(json_request("{}")).await.1.contains("missing field `name`"));
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_415() {
    let request = Request::post("/name").body(Body::from("{\"name\":\"x\"}")).unwrap();
    assert_eq!(refusal(request).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_handler_that_panics_answers_500_without_its_message() {
    let (status, message) = refusal(get_request("/broken")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(message, "something went wrong on the server");
}

#[tokio::test]
async fn what_is_away_answers_503_with_retry_after_and_without_the_cause() {
    assert_eq!(send(get_request("/away")).await.headers()["retry-after"], "1");
    let refused = refusal(get_request("/away")).await;
    assert_eq!(refused, (StatusCode::SERVICE_UNAVAILABLE, "the Redis server is away".into()));
}

#[tokio::test]
async fn a_sane_request_id_of_the_client_comes_back_and_another_does_not() {
    let with_id =
        |id: &str| Request::get("/nowhere").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(send(with_id("mine-1")).await.headers()["x-request-id"], "mine-1");
    assert_ne!(send(with_id("a b")).await.headers()["x-request-id"], "a b");
}

#[tokio::test]
async fn the_kinds_of_library_errors_have_their_status() {
    let invalid = russet::Russet::connect("http://example").await.err().unwrap();
    assert_eq!(ApiError::from(invalid).status(), StatusCode::BAD_REQUEST);
    // Nothing listens on the discard port of loopback.
    let away = russet::Russet::connect("redis://127.0.0.1:9").await.err().unwrap();
    assert_eq!(ApiError::from(away).status(), StatusCode::SERVICE_UNAVAILABLE);
}
