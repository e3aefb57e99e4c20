//! `/api/stats/page_views` and `/api/leaderboard`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::App;

async fn add(app: &App, player: &str, score: f64) -> Value {
    app.post("/api/leaderboard/update", json!({"player": player, "score": score})).await.json()
}

#[tokio::test]
async fn each_view_counts_once() {
    let app = App::start().await;
    let first = app.get("/api/stats/page_views").await.json();
    assert_eq!(first, json!({"total_views": 1, "daily_views": 1}));
    let mut totals: Vec<u64> = join_all((0..100).map(async |_| {
        app.get("/api/stats/page_views").await.json()["total_views"].as_u64().unwrap()
    }))
    .await;
    totals.sort_unstable();
    assert_eq!(totals, (2..=101).collect::<Vec<_>>(), "each caller learns a number of its own");
}

#[tokio::test]
async fn points_add_up_and_say_where_the_player_stands() {
    let app = App::start().await;
    assert_eq!(add(&app, "ada", 10.0).await, json!({"player": "ada", "new_score": 10, "rank": 1}));
    assert_eq!(add(&app, "bob", 20.0).await, json!({"player": "bob", "new_score": 20, "rank": 1}));
    assert_eq!(add(&app, "ada", 15.0).await, json!({"player": "ada", "new_score": 25, "rank": 1}));
    assert_eq!(
        add(&app, "ada", -7.5).await,
        json!({"player": "ada", "new_score": 17.5, "rank": 2})
    );
    let none = app.post("/api/leaderboard/update", json!({"player": "cy"})).await.json();
    assert_eq!(none, json!({"player": "cy", "new_score": 0, "rank": 3}));
    assert_eq!(
        app.get("/api/leaderboard").await.json(),
        json!([
            {"rank": 1, "player": "bob", "score": 20},
            {"rank": 2, "player": "ada", "score": 17.5},
            {"rank": 3, "player": "cy", "score": 0},
        ])
    );
}

#[tokio::test]
async fn the_board_shows_10_players_unless_it_is_asked_for_up_to_100() {
    let app = App::start().await;
    assert_eq!(app.get("/api/leaderboard").await.json(), json!([]));
    join_all((0..101).map(async |n| add(&app, &format!("player{n}"), f64::from(n)).await)).await;
    let lines = async |query: &str| {
        app.get(&format!("/api/leaderboard{query}")).await.json().as_array().unwrap().clone()
    };
    assert_eq!(lines("").await.len(), 10);
    let all = lines("?limit=100").await;
    assert_eq!(
        (all.len(), &all[0]["player"], &all[99]["rank"]),
        (100, &json!("player100"), &json!(100))
    );
    for wrong in ["0", "101", "-1", "x", "", "1.5"] {
        app.get(&format!("/api/leaderboard?limit={wrong}")).await.error(400);
    }
}

#[tokio::test]
async fn a_player_is_found_with_its_neighbours() {
    let app = App::start().await;
    for (player, score) in [("a", 5.0), ("b", 4.0), ("c", 3.0), ("d", 2.0), ("e", 1.0), ("f", 0.0)]
    {
        add(&app, player, score).await;
    }
    let standing = async |path: &str| app.get(&format!("/api/leaderboard/{path}")).await.json();
    let names = |standing: &Value| -> String {
        let around = standing["around"].as_array().unwrap();
        around.iter().map(|line| line["player"].as_str().unwrap()).collect()
    };
    let c = standing("c").await;
    assert_eq!((&c["player"], &c["rank"], &c["score"]), (&json!("c"), &json!(3), &json!(3)));
    assert_eq!(names(&c), "abcde");
    assert_eq!(names(&standing("a?around=1").await), "ab");
    assert_eq!(names(&standing("f?around=50").await), "abcdef");
    assert_eq!(names(&standing("c?around=0").await), "c");
    for wrong in ["51", "-1", "x", ""] {
        app.get(&format!("/api/leaderboard/c?around={wrong}")).await.error(400);
    }
    assert_eq!(
        app.get("/api/leaderboard/nobody").await.error(404),
        "there is no player with this name"
    );
}

#[tokio::test]
async fn players_may_have_any_name_that_can_be_shown() {
    let app = App::start().await;
    let longest = "x".repeat(256);
    for (name, path) in [
        ("李小龙", "%E6%9D%8E%E5%B0%8F%E9%BE%99"),
        ("a/b", "a%2Fb"),
        ("..", "%2e%2e"),
        ("a b", "a%20b"),
        ("<b>bold</b>", "%3Cb%3Ebold%3C%2Fb%3E"),
        ("update", "update"),
        ("{player}", "%7Bplayer%7D"),
        ("50%", "50%25"),
        (&longest, &longest),
    ] {
        assert_eq!(add(&app, name, 1.0).await["player"], name);
        assert_eq!(app.get(&format!("/api/leaderboard/{path}")).await.json()["player"], name);
    }
}

#[tokio::test]
async fn a_missing_or_wrong_player_is_refused_and_says_so() {
    let app = App::start().await;
    let long = "x".repeat(257);
    for (body, word) in [
        (json!({}), "player"),
        (json!({"score": 5}), "player"),
        (json!({"player": null, "score": 5}), "player"),
        (json!({"player": "", "score": 5}), "player"),
        (json!({"player": " \t"}), "player"),
        (json!({"player": "a\u{0}"}), "control"),
        (json!({"player": "a\nb"}), "control"),
        (json!({"player": long}), "256"),
        (json!({"player": 5}), "string"),
        (json!({"player": ["a"]}), "string"),
        (json!([]), "invalid"),
    ] {
        let refused = app.post("/api/leaderboard/update", body.clone()).await.error(400);
        assert!(refused.contains(word), "{body}: {refused}");
    }
    for path in ["%20", "a%00", "%FF", &long] {
        app.get(&format!("/api/leaderboard/{path}")).await.error(400);
    }
    assert_eq!(app.get("/api/leaderboard").await.json(), json!([]), "nothing was written");
}

#[tokio::test]
async fn what_is_no_score_is_refused() {
    let app = App::start().await;
    add(&app, "rich", 9_007_199_254_740_992.0).await;
    let send = async |body: String| {
        let request = axum::http::Request::post("/api/leaderboard/update")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        app.send(request).await
    };
    for score in [
        "\"10\"",
        "\"NaN\"",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "true",
        "[]",
        "{}",
        "1e400",
        "-1e400",
        "1e308",
        "9007199254740994",
        "-9007199254740994",
        "010",
        "+1",
        ".5",
        "0x1",
    ] {
        send(format!(r#"{{"player": "ada", "score": {score}}}"#)).await.error(400);
    }
    let over = send(r#"{"player": "rich", "score": 1}"#.to_owned()).await.error(400);
    assert!(over.contains("2^53"), "{over}");
    app.get("/api/leaderboard/ada").await.error(404);
    assert_eq!(
        app.get("/api/leaderboard/rich").await.json()["score"].as_f64(),
        Some(9_007_199_254_740_992.0)
    );
}

#[tokio::test]
async fn concurrent_points_are_all_counted() {
    let app = App::start().await;
    join_all((0..200).map(async |_| add(&app, "ada", 1.0).await)).await;
    assert_eq!(app.get("/api/leaderboard/ada").await.json()["score"], 200);
}
