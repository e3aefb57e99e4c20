//! Languages, themes, small screens, contrast.

use serde_json::json;

use crate::browser::{self, App, PHONE, Page};

const CONTRAST: &str = include_str!("../browser/contrast.js");

/// Makes a page show all it has: long names and messages, look-ups, both runs, a killed worker's tasks, open descriptions
/// with answers.
async fn show_everything(page: &Page, path: &str) {
    if path == "/docs" {
        page.until("document.querySelector('#operations details') !== null").await;
        page.run::<()>(
            "for (const one of document.querySelectorAll('#operations details')) one.open = true;
             for (const form of document.querySelectorAll('#operations form')) {
               if (form.parentElement.querySelector('.get')) form.requestSubmit();
             }",
        )
        .await;
        page.until(
            "[...document.querySelectorAll('details')].every((one) => !one.querySelector('.get') ||
                /\\n\\n[24]\\d\\d\\n/.test(one.querySelector('form + pre').textContent) ||
                one.querySelector('form:invalid'))",
        )
        .await;
        return;
    }
    if path == "/chat" {
        page.fill("#chat input[name=name]", &"W".repeat(40)).await;
        page.click("#chat .join button").await;
        page.until("document.querySelector('#chat .room').checkVisibility()").await;
        for text in
            ["W".repeat(1_000), "很长的消息".repeat(200), "short".to_owned(), " ".to_owned()]
        {
            page.run::<()>(&format!("document.querySelector('#text').value = {}", json!(text)))
                .await;
            page.run::<()>("document.querySelector('#chat .say button').click()").await;
        }
        page.run::<()>("socket.send('no message'); earlier.hidden = false").await;
        page.until("document.querySelectorAll('#chat .messages li[data-id]').length >= 3").await;
        page.shows("#chat .refused", |text| !text.is_empty()).await;
        return;
    }
    if path == "/shop" {
        page.fill("#buyer", &"W".repeat(40)).await;
        page.run::<()>(
            "for (const state of ['held', 'sold', 'cancelled', 'expired']) {
                 showHold({ id: state, product: 'W'.repeat(256), quantity: 9007199254740992, state, left: 86400 });
                 remember([state, ...remembered()]);
             }
             listMine();
             failed({ message: 'W'.repeat(256), said: { available: 9007199254740992 } })",
        )
        .await;
        return;
    }
    // Every state of a buyer at once.
    page.run::<()>(
        "showSale({ buyers: 'whbcesf'.repeat(150).slice(0, 1000), bought: 100, error: null,
             stock: { free: 3e15, reserved: 3e15, sold: 3e15, total: 9e15 } });
         sale.querySelector('.message').textContent = sale.dataset.over",
    )
    .await;
    // Every state of a killed worker's tasks at once.
    page.run::<()>(
        "const task = (state, attempts) => ({ state, attempts, by: null });
         showKill({ held: 3, back_ms: 2000, error: null,
             workers: ['killed', 'working', 'stopped'].map((state, nth) => ({ pid: 4194300 + nth, state })),
             tasks: ['waiting', 'running', 'lost', 'done'].flatMap((state) => [task(state, 1), task(state, 2), task(state, 1)]) })",
    )
    .await;
    for (count, id) in ["1", "1", "0"].into_iter().enumerate() {
        page.fill("#user-id", id).await;
        page.click("#lookup button").await;
        page.until(&format!("document.querySelectorAll('#lookup tbody tr').length > {count}"))
            .await;
    }
    page.run_cold_key().await;
    page.fill("#leaderboard input[name=player]", &"player".repeat(10)).await;
    page.click("#leaderboard button").await;
    page.shows("#leaderboard .message", |text| text.contains("playerplayer")).await;
    page.run::<()>("document.querySelector('#lost').hidden = false").await;
}

async fn fill_with_long_names(app: &App) {
    for (player, score) in
        [("W".repeat(256), 9_007_199_254_740_000_i64), ("很长的名字".repeat(17), -1)]
    {
        app.post("/api/leaderboard/update", json!({ "player": player, "score": score })).await;
    }
    for player in 1..=10 {
        let points =
            json!({ "player": format!("player{player}"), "score": -9_000_000_000_000_i64 });
        app.post("/api/leaderboard/update", points).await;
    }
    for (product, total) in [("W".repeat(256), 1_u64 << 53), ("%E5%BE%88".repeat(80), 0)] {
        app.put(&format!("/api/stock/{product}"), json!({ "total": total })).await;
    }
    let user = json!({ "name": "W".repeat(100), "email": format!("{}@{}.com", "w".repeat(64), "w".repeat(60)) });
    app.put("/api/users/1", user).await;
}

/// Elements that reach beyond the window, or have to be scrolled sideways by themselves. (A field may hold a longer
/// text than it shows, and the skip link waits outside.)
const TOO_WIDE: &str = "
    if (innerWidth !== 375) throw new Error(`the window is ${innerWidth} wide`);
    return [...document.querySelectorAll('html, body, body *')]
        .filter((one) => one.checkVisibility() && !one.matches('.skip') &&
            (one.getBoundingClientRect().right > innerWidth ||
                (one.scrollWidth > innerWidth && !one.matches('input, textarea'))))
        .map((one) => one.outerHTML.slice(0, 120))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_scrolls_sideways_on_a_phone() {
    let Some((app, page)) = browser::open("/").await else { return };
    fill_with_long_names(&app).await;
    page.resize(PHONE, 1.0).await;
    for path in ["/", "/chat", "/shop", "/docs"] {
        for language in ["en", "zh"] {
            page.go(&format!("{path}?lang={language}&theme=light")).await;
            show_everything(&page, path).await;
            for theme in ["light", "dark"] {
                let wide: Vec<String> = page.run(TOO_WIDE).await;
                assert!(wide.is_empty(), "{path} {language} {theme}: {wide:#?}");
                page.click("#theme").await;
            }
        }
    }
    // What is too wide is found.
    page.run::<()>("document.querySelector('footer').style.inlineSize = '380px'").await;
    assert!(!page.run::<Vec<String>>(TOO_WIDE).await.is_empty());
}

/// The texts whose contrast is below 4.5, whatever their size.
async fn poor_contrasts(page: &Page) -> Vec<String> {
    let seen = page.execute(CONTRAST, [json!(4.5)]).await.unwrap();
    let texts = seen.json()["texts"].as_u64().unwrap();
    assert!(texts > 25, "only {texts} texts were looked at");
    serde_json::from_value(seen.json()["poor"].clone()).unwrap()
}

/// New lines are lit up for a moment, here all of them, at the beginning of it; buttons that wait are disabled.
const LIGHT_UP: &str = "
    for (const line of document.querySelectorAll('tbody tr')) {
        line.classList.remove('fresh');
        line.getBoundingClientRect();
        line.classList.add('fresh');
    }
    for (const one of document.getAnimations()) { one.pause(); one.currentTime = 0; }
    for (const button of document.querySelectorAll('main button')) button.disabled = true";
const CALM_DOWN: &str = "
    for (const line of document.querySelectorAll('.fresh')) line.classList.remove('fresh');
    for (const button of document.querySelectorAll('main button')) button.disabled = false";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_has_a_contrast_of_at_least_4_5() {
    let Some((_app, page)) = browser::open("/").await else { return };
    for path in ["/", "/chat", "/shop", "/docs"] {
        page.go(&format!("{path}?theme=light")).await;
        show_everything(&page, path).await;
        for theme in ["light", "dark"] {
            page.run::<()>(LIGHT_UP).await;
            assert_eq!(poor_contrasts(&page).await, [""; 0], "{path} {theme}, new lines");
            page.run::<()>(CALM_DOWN).await;
            assert_eq!(poor_contrasts(&page).await, [""; 0], "{path} {theme}");
            page.click("#theme").await;
        }
    }
    // A text that is hard to read is found.
    page.run::<()>("document.querySelector('.lead').style.color = 'color-mix(in srgb, currentcolor, transparent 60%)'")
        .await;
    assert_eq!(poor_contrasts(&page).await.len(), 1);
}

#[tokio::test]
async fn the_browsers_language_is_used_until_another_is_chosen() {
    let Some((_app, page)) = browser::open_in("zh-CN,zh", "/").await else { return };
    assert_eq!(page.text("h1").await, "Redis 之上的应用层");
    assert_eq!(page.run::<String>("return document.documentElement.lang").await, "zh-CN");

    page.click("#language").await;
    page.shows("h1", |text| text == "The application layer on top of Redis").await;
    assert_eq!(page.run::<String>("return document.documentElement.lang").await, "en");
    assert_eq!(page.run::<String>("return location.search").await, "");
    // The choice is kept, on the other page as well.
    page.refresh().await.unwrap();
    assert_eq!(page.text("h1").await, "The application layer on top of Redis");
    page.go("/docs").await;
    assert_eq!(page.text("h1").await, "API");

    page.click("#language").await;
    page.shows("h1", |text| text == "接口文档").await;
    page.go("/").await;
    assert_eq!(page.text("h1").await, "Redis 之上的应用层");
}

/// Whether the page is dark.
async fn is_dark(page: &Page) -> bool {
    page.run("return getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).every((part) => part < 64)")
        .await
}

#[tokio::test]
async fn the_systems_theme_is_used_until_another_is_chosen() {
    let Some((_app, page)) = browser::open("/").await else { return };
    for (system, dark) in [("dark", true), ("light", false)] {
        page.prefer(&[("prefers-color-scheme", system)]).await;
        assert_eq!(is_dark(&page).await, dark, "{system}");
    }
    page.click("#theme").await;
    assert!(is_dark(&page).await, "the button turns the system's light to dark");
    page.refresh().await.unwrap();
    assert!(is_dark(&page).await, "the choice is kept over a reload");
    page.go("/docs").await;
    assert!(is_dark(&page).await, "and on the other page");

    page.click("#theme").await;
    page.prefer(&[("prefers-color-scheme", "dark")]).await;
    page.refresh().await.unwrap();
    assert!(!is_dark(&page).await, "light was chosen, whatever the system prefers");
}
