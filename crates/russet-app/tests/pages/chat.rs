//! The page `/chat`, in two tabs.

use russet_app::chat::Speaker;
use serde_json::json;

use crate::browser::{self, Page};

const MESSAGES: &str = "#chat .messages";

async fn join(page: &Page, name: &str, room: &str) {
    page.fill("#chat input[name=name]", name).await;
    page.fill("#chat input[name=room]", room).await;
    page.click("#chat .join button").await;
    page.shows("#chat .state", |text| text == format!("You are in the room {room}.")).await;
}

async fn say(page: &Page, text: &str) {
    page.fill("#text", text).await;
    page.click("#chat .say button").await;
}

/// Waits until a page shows these messages, name and text each.
async fn shows(page: &Page, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(name, text)| vec![name.to_string(), text.to_string()]).collect();
    russet::testing::eventually(browser::PATIENCE, async || {
        let shown: Vec<Vec<String>> = page
            .run(&format!(
                "return [...document.querySelectorAll('{MESSAGES} li[data-id]')]
                    .map((one) => [one.querySelector('strong').innerText, one.querySelector('.said').innerText])"
            ))
            .await;
        if shown == wanted { Ok(()) } else { Err(format!("{shown:?}")) }
    })
    .await;
}

#[tokio::test]
async fn two_tabs_hear_each_other() {
    let Some((app, ada)) = browser::open("/chat").await else { return };
    join(&ada, "Ada", "lobby").await;
    assert_eq!(ada.text(MESSAGES).await, "Nobody has said anything here yet.");
    let bob = Page::open(&app, "en").await;
    bob.go("/chat").await;
    join(&bob, "Bob", "lobby").await;

    say(&ada, "Hello, Bob").await;
    shows(&bob, &[("Ada", "Hello, Bob")]).await;
    shows(&ada, &[("Ada", "Hello, Bob")]).await;
    say(&bob, "Hello, Ada").await;
    let both = [("Ada", "Hello, Bob"), ("Bob", "Hello, Ada")];
    for page in [&ada, &bob] {
        shows(page, &both).await;
    }

    // Who comes back finds what was said; another room is empty.
    ada.go("/chat").await;
    join(&ada, "Ada", "lobby").await;
    shows(&ada, &both).await;
    ada.click("#chat .join button").await;
    ada.shows("#chat .state", str::is_empty).await;
    join(&ada, "Ada", "other").await;
    ada.shows(MESSAGES, |text| text == "Nobody has said anything here yet.").await;
}

#[tokio::test]
async fn names_and_messages_with_markup_are_shown_as_text() {
    let Some((_app, page)) = browser::open("/chat").await else { return };
    let markup = "<img src=x onerror=document.title='run'><b>&amp;";
    let name = "<b>Ada</b>";
    join(&page, name, "lobby").await;
    say(&page, markup).await;
    // By the live message, then by the history.
    for _ in 0..2 {
        shows(&page, &[(name, markup)]).await;
        assert!(page.run::<bool>("return !document.querySelector('main img, main b')").await);
        assert_ne!(page.title().await.unwrap(), "run");
        page.go("/chat").await;
        join(&page, name, "lobby").await;
    }
}

#[tokio::test]
async fn what_is_not_taken_is_said() {
    let Some((app, page)) = browser::open("/chat").await else { return };
    page.run::<()>("for (const one of document.querySelectorAll('#chat input')) one.removeAttribute('pattern')").await;
    page.fill("#chat input[name=name]", "Ada").await;
    page.fill("#chat input[name=room]", "No Room").await;
    page.click("#chat .join button").await;
    page.shows("#chat .state", |text| text.contains("room must be 1 to 40")).await;
    join(&page, "Ada", "lobby").await;
    page.run::<()>("document.querySelector('#text').removeAttribute('maxlength')").await;
    let long = json!("x".repeat(1_001));
    page.run::<()>(&format!("document.querySelector('#text').value = {long}; document.querySelector('#chat .say').requestSubmit()")).await;
    page.shows("#chat .refused", |text| text.contains("more than 1,000 characters")).await;

    // A server that is away is said, and comes back by itself with what was missed.
    app.redis.kill().await.unwrap();
    say(&page, "lost").await;
    page.shows("#chat .refused", |text| text.contains("the Redis server is away")).await;
    app.redis.restart().await.unwrap();
    page.shows("#chat .state", |text| text.starts_with("The connection to Redis was lost")).await;
    say(&page, "back again").await;
    shows(&page, &[("Ada", "back again")]).await;
}

#[tokio::test]
async fn a_lost_connection_is_said_and_tried_again() {
    let Some((app, page)) = browser::open("/chat").await else { return };
    join(&page, "Ada", "lobby").await;
    say(&page, "before").await;
    shows(&page, &[("Ada", "before")]).await;
    app.state.chat.close().await;
    page.shows("#chat .state", |text| text.starts_with("The connection is lost")).await;
}

#[tokio::test]
async fn earlier_messages_are_read_on_demand() {
    let Some((app, page)) = browser::open("/chat").await else { return };
    let room = "lobby".parse().unwrap();
    let ada = Speaker { name: "Ada".parse().unwrap(), signed_in: false };
    for number in 0..120 {
        let text = number.to_string().parse().unwrap();
        app.state.chat.say(&room, &ada, text).await.unwrap();
    }
    join(&page, "Bob", "lobby").await;
    let count = format!("document.querySelectorAll('{MESSAGES} li[data-id]').length");
    for shown in [50, 100] {
        page.until(&format!("{count} === {shown}")).await;
        page.click("#chat .earlier").await;
    }
    page.until(&format!("{count} === 120")).await;
    assert_eq!(page.text("#chat .earlier").await, "", "there are no more");
    let said: Vec<String> = page
        .run(&format!(
            "return [...document.querySelectorAll('{MESSAGES} .said')].map((one) => one.innerText)"
        ))
        .await;
    assert_eq!(said, (0..120).map(|number| number.to_string()).collect::<Vec<_>>());
}
