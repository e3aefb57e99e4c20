//! `/api/counters` and `/api/windows`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::App;

async fn add(app: &App, name: &str, body: Value) -> Value {
    app.post(&format!("/api/counters/{name}"), body).await.json()
}

/// Noon of a day, in seconds.
const NOON: u64 = 1_700_049_600;

#[tokio::test]
async fn what_is_counted_is_in_all_five_places() {
    let app = App::start().await;
    let nothing =
        json!({"name": "visits", "total": 0, "minute": 0, "hour": 0, "day": 0, "month": 0});
    assert_eq!(app.get("/api/counters/visits").await.json(), nothing);
    assert_eq!(add(&app, "visits", json!({})).await["total"], 1);
    let two = add(&app, "visits", json!({"amount": 2})).await;
    assert_eq!((&two["name"], &two["total"]), (&json!("visits"), &json!(3)));
    // What happened another time is in the total, and in that time's buckets.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let then = add(&app, "visits", json!({"amount": 4, "at": now - 600})).await;
    assert_eq!((&then["total"], &then["minute"]), (&json!(7), &json!(4)));
    assert_eq!(app.get("/api/counters/visits").await.json()["total"], 7);
    assert_eq!(app.get("/api/stats/page_views").await.json()["total_views"], 1, "another group");
}

#[tokio::test]
async fn a_series_has_each_bucket_of_its_stretch() {
    let app = App::start().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = now / 86_400 * 86_400;
    for (amount, at) in [(2, day - 86_400), (3, day - 3 * 86_400 + 86_399)] {
        add(&app, "visits", json!({"amount": amount, "at": at})).await;
    }
    let series = async |query: String| {
        let path = format!("/api/counters/visits/series?granularity={query}");
        let points = app.get(&path).await.json();
        let points = points.as_array().unwrap().clone();
        let count = |point: &Value| {
            (point["start"].as_f64().unwrap() as u64, point["count"].as_u64().unwrap())
        };
        points.iter().map(count).collect::<Vec<_>>()
    };
    let days = series(format!("day&from={}&to={day}", day - 3 * 86_400)).await;
    let expected = [(3, 3), (2, 0), (1, 2)].map(|(ago, count)| (day - ago * 86_400, count));
    assert_eq!(days, expected);
    assert_eq!(series(format!("hour&from={}&to={day}", day - 86_400)).await.len(), 24);
    assert!((1..=2).contains(&series(format!("minute&from={now}")).await.len()));
    assert!(series("month".to_owned()).await.len() >= 12, "as far back as they are kept");
}

#[tokio::test]
async fn the_largest_are_listed_of_a_period_and_of_all_times() {
    let app = App::start().await;
    for (name, amount) in [("a", 1), ("b", 3), ("c", 2)] {
        add(&app, name, json!({"amount": amount})).await;
    }
    add(&app, "old", json!({"amount": 9, "at": NOON})).await;
    let names = async |query: &str| {
        let lines = app.get(&format!("/api/counters{query}")).await.json();
        let name = |line: &Value| line["name"].as_str().unwrap().to_owned();
        lines.as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("").await, "old b c a");
    assert_eq!(names("?limit=2").await, "old b");
    assert_eq!(names("?granularity=month").await, "b c a");
    assert_eq!(app.get("/api/counters?limit=1").await.json(), json!([{"name": "old", "count": 9}]));
}

#[tokio::test]
async fn what_is_no_count_is_refused_and_says_why() {
    let app = App::start().await;
    for (body, word) in [
        (json!({"amount": 0}), "amount"),
        (json!({"amount": -1}), "integer"),
        (json!({"amount": 1.5}), "floating"),
        (json!({"amount": "1"}), "string"),
        (json!({"amount": 9_007_199_254_740_993_u64}), "2^53"),
        (json!({"at": -1}), "1970"),
        (json!({"at": 1e300}), "9998"),
        (json!({"times": 1}), "times"),
        (json!([]), "invalid"),
    ] {
        let refused = app.post("/api/counters/a", body.clone()).await.error(400);
        assert!(refused.contains(word), "{body}: {refused}");
    }
    let long = "x".repeat(257);
    for path in ["%20", "a%00", "%FF", &long] {
        app.post(&format!("/api/counters/{path}"), json!({})).await.error(400);
        app.post(&format!("/api/windows/{path}"), json!({})).await.error(400);
    }
    for (query, word) in [
        ("", "granularity"),
        ("granularity=year", "year"),
        ("granularity=minute&from=0&to=60001", "1000"),
        ("granularity=day&from=-1", "from"),
        ("granularity=day&to=1e99", "to"),
        ("granularity=day&from=x", "float"),
    ] {
        let refused = app.get(&format!("/api/counters/a/series?{query}")).await.error(400);
        assert!(refused.contains(word), "{query}: {refused}");
    }
    for query in ["limit=0", "limit=101", "granularity=year"] {
        app.get(&format!("/api/counters?{query}")).await.error(400);
    }
    assert_eq!(app.get("/api/counters").await.json(), json!([]), "nothing was counted");
}

#[tokio::test]
async fn a_window_counts_what_came_and_each_length_is_one_of_its_own() {
    let app = App::start().await;
    // So long that nothing leaves while the test runs.
    let path = "/api/windows/requests?seconds=86400";
    assert_eq!(app.post(path, json!({})).await.json()["count"], 1);
    assert_eq!(app.post(path, json!({"amount": 86_399})).await.json()["count"], 86_400);
    let expected = json!({"name": "requests", "seconds": 86_400, "count": 86_400, "rate": 1.0});
    assert_eq!(app.get(path).await.json(), expected);
    assert_eq!(app.get("/api/windows/requests").await.json()["count"], 0);
    for seconds in [1, 2, 3, 7, 59, 60, 61, 3_600, 86_399] {
        let path = format!("/api/windows/requests?seconds={seconds}");
        assert_eq!(app.get(&path).await.json()["count"], 0);
    }
    for query in ["0", "86401", "-1", "1.5", "x", ""] {
        app.get(&format!("/api/windows/requests?seconds={query}")).await.error(400);
    }
    for body in [json!({"amount": 0}), json!({"amount": -1}), json!({"many": 1})] {
        app.post(path, body).await.error(400);
    }
}

#[tokio::test]
async fn windows_of_any_name_make_up_no_labels() {
    russet_app::http::metrics::collect();
    let app = App::start().await;
    app.post("/api/windows/of-a-client-123456", json!({})).await.json();
    let metrics = app.get("/metrics").await;
    assert!(metrics.text().contains(r#"russet_window_additions_total{window="api"}"#));
    assert!(!metrics.text().contains("of-a-client-123456"));
}
