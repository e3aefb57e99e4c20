//! `/api/chat/…` without a socket; the conversation itself is in `tests/serve/chat.rs`.

use russet_app::chat::Speaker;
use serde_json::{Value, json};

use crate::support::App;

async fn say(app: &App, room: &str, text: &str) -> String {
    let room = room.parse().unwrap();
    let ada = Speaker { name: "Ada".parse().unwrap(), signed_in: false };
    let said = app.state.chat.say(&room, &ada, text.parse().unwrap()).await;
    said.unwrap().id
}

async fn messages(app: &App, path: &str) -> Vec<Value> {
    app.get(path).await.json().as_array().unwrap().clone()
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|one| one["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_history_is_read_page_by_page() {
    let app = App::start().await;
    assert_eq!(messages(&app, "/api/chat/lobby/messages").await, [json!(null); 0]);
    for number in 0..7 {
        say(&app, "lobby", &format!("{number}")).await;
    }
    say(&app, "other", "elsewhere").await;
    let newest = messages(&app, "/api/chat/lobby/messages?limit=3").await;
    assert_eq!(texts(&newest), ["4", "5", "6"]);
    let before = newest[0]["id"].as_str().unwrap();
    let earlier =
        messages(&app, &format!("/api/chat/lobby/messages?limit=3&before={before}")).await;
    assert_eq!(texts(&earlier), ["1", "2", "3"]);
    assert_eq!(messages(&app, "/api/chat/lobby/messages").await.len(), 7);
    assert_eq!(newest[2]["name"], "Ada");
    assert!(newest[2]["at"].as_f64() > Some(1_700_000_000.0));
}

#[tokio::test]
async fn odd_rooms_and_pages_are_refused() {
    let app = App::start().await;
    for room in ["Lobby", "a%20b", "a%2Fb", "%E6%88%BF", "*", &"x".repeat(41)] {
        let error = app.get(&format!("/api/chat/{room}/messages")).await.error(400);
        assert!(error.starts_with("room must be"), "{room}: {error}");
    }
    for (query, word) in [
        ("limit=0", "limit must be"),
        ("limit=101", "limit must be"),
        ("limit=x", "limit"),
        ("before=1", "before is no id"),
        ("before=$", "before is no id"),
    ] {
        let error = app.get(&format!("/api/chat/lobby/messages?{query}")).await.error(400);
        assert!(error.contains(word), "{query}: {error}");
    }
    let plain = app.get("/api/chat/lobby/ws?name=Ada").await.error(400);
    assert_eq!(plain, "this route speaks WebSocket only");
}

#[tokio::test]
async fn who_joins_too_often_is_told_when_to_come_again_and_may_go_on_reading() {
    let app = App::start().await;
    let limits = async |answer: &crate::support::Answer| {
        assert_eq!(answer.header("ratelimit-policy"), r#""chat-joins";q=60;w=30"#);
        answer.header("ratelimit").to_owned()
    };
    let first = app.get("/api/chat/lobby/ws?name=Ada").await;
    assert_eq!(limits(&first).await, r#""chat-joins";r=59;t=1"#);
    // Two more are allowed each second, and this is faster.
    let refused = loop {
        let answer = app.get("/api/chat/another/ws?name=Ada").await;
        if answer.status == 429 {
            break answer;
        }
        answer.error(400);
    };
    refused.error(429);
    assert!(limits(&refused).await.starts_with(r#""chat-joins";r=0;"#));
    assert_eq!(refused.header("retry-after"), "1");
    let history = app.get("/api/chat/lobby/messages").await;
    assert_eq!((history.status.as_u16(), history.header("ratelimit")), (200, ""));
}
