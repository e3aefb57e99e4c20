//! `/healthz`, `/readyz`, `/metrics`, `/api/overview` and `/api/demo/cold_key`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use russet::testing::eventually;
use russet_app::http;
use russet_app::jobs::{self, Files, Work};
use serde_json::json;

use crate::support::App;

#[tokio::test]
async fn with_both_stores_it_is_alive_and_ready() {
    let app = App::start().await;
    assert_eq!(app.get("/healthz").await.json(), json!({"status": "alive"}));
    assert_eq!(app.get("/readyz").await.json(), json!({"status": "ready"}));
}

#[tokio::test]
async fn with_a_worker_that_does_not_turn_it_is_not_ready() {
    let app = App::start().await;
    let files = Files::open(app.folder.path()).unwrap();
    let work = Work::new(app.state.db.clone(), files);
    let worker = Arc::new(jobs::worker(&app.state.tasks, work, 1).unwrap());
    let mut state = app.state.clone();
    state.worker = Some(worker.clone());
    let app = App { router: http::app(state), ..app };
    assert_eq!(app.get("/readyz").await.error(503), "the worker does not work");
    assert_eq!(app.get("/healthz").await.status, 200);

    let working = tokio::spawn(async move { worker.run_until(std::future::pending()).await });
    eventually(Duration::from_secs(20), async || {
        let answer = app.get("/readyz").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text().to_owned()) }
    })
    .await;
    working.abort();
}

#[tokio::test]
async fn the_overview_tells_what_runs_and_counts_no_view() {
    let app = App::start().await;
    app.get("/api/stats/page_views").await.json();
    app.post("/api/leaderboard/update", json!({"player": "ada", "score": 5})).await.json();
    app.put("/api/users/1", json!({"name": "Ada", "email": "a@b.co"})).await.json();
    for _ in 0..2 {
        let now = app.get("/api/overview").await.json();
        assert_eq!(now["page_views"], json!({"total_views": 1, "daily_views": 1}));
        assert_eq!(now["leaderboard"], json!([{"rank": 1, "player": "ada", "score": 5}]));
        assert_eq!(
            (&now["database"]["kind"], &now["database"]["users"]),
            (&json!("sqlite"), &json!(1))
        );
        assert!(now["database"]["version"].as_str().unwrap().starts_with("3."), "{now}");
        assert!(["redis", "valkey"].contains(&now["redis"]["server"].as_str().unwrap()), "{now}");
        assert!(now["redis"]["commands"].as_u64() > Some(0), "{now}");
        assert!(now["redis"]["used_memory"].as_u64() > Some(0), "{now}");
    }
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_make_up_no_labels() {
    http::metrics::collect();
    let app = App::start().await;
    app.get("/api/users/123456").await.error(404);
    app.get("/nothing/123456").await.error(404);
    app.get("/api/users/0").await.error(400);
    let answer = app.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for line in [
        r#"http_requests_total{method="GET",route="/api/users/{id}",status="404"}"#,
        r#"http_requests_total{method="GET",route="none",status="404"}"#,
        r#"http_request_duration_seconds_bucket{method="GET",route="/api/users/{id}",le="0.001"}"#,
        r#"russet_cache_misses_total{cache="users"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("123456"), "a path is no label");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit_once(' ').expect(line).1;
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a_thousand_callers_of_a_cold_key_make_one_query_with_protection() {
    let app = App::start().await;
    app.put("/api/users/9", json!({"name": "Ada", "email": "a@b.co"})).await.json();
    // As slow as a database is: a query takes longer than it takes the callers to ask.
    let app = app.with_slow_database(Duration::from_millis(100));
    let answer = app.call(axum::http::Method::POST, "/api/demo/cold_key", None).await.json();
    assert_eq!(
        (&answer["callers"], &answer["protected"]["sql_queries"]),
        (&json!(1_000), &json!(1))
    );
    assert!(answer["unprotected"]["sql_queries"].as_u64() > Some(1), "{answer}");
    for run in ["unprotected", "protected"] {
        assert!(answer[run]["ms"].as_f64() >= Some(100.0), "{answer}");
    }
}

#[tokio::test]
async fn the_demonstration_needs_a_user_and_runs_once_at_a_time() {
    let app = App::start().await;
    assert_eq!(
        app.post("/api/demo/cold_key", json!({})).await.error(404),
        "there is no user to ask for"
    );
    app.put("/api/users/9", json!({"name": "Ada", "email": "a@b.co"})).await.json();
    let mut answers = join_all((0..4).map(|_| app.post("/api/demo/cold_key", json!({})))).await;
    answers.sort_by_key(|answer| answer.status);
    answers[0].json();
    for busy in &answers[1..] {
        assert_eq!(busy.error(429), "another run is under way");
        assert_eq!(busy.header("retry-after"), "1");
    }
}
