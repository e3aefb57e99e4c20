//! The pages by keyboard, without JavaScript, and without the rest of the internet.

use serde_json::json;
use thirtyfour::Key;

use crate::browser::{self, Page};

/// What can be focused and is to be seen; the skip link shows itself when it is focused.
const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, textarea, summary')].filter((one) => one.checkVisibility())";

async fn press(page: &Page, key: Key) {
    page.action_chain().send_keys(key).perform().await.unwrap();
}

/// What is wrong with the focus as it is: it must be on a control that says so and is in the window.
const FOCUS: &str = "
    const one = document.activeElement;
    window.missing.delete(one);
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    const wrong = [];
    if (!one.matches(':focus-visible')) wrong.push('no focus-visible');
    if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) wrong.push('no outline');
    if (box.width < 8 || box.height < 8 || box.left < 0 || box.top < 0 || box.right > innerWidth) wrong.push('out of sight');
    return wrong.map((what) => `${what}: ${one.outerHTML.slice(0, 80)}`)";

async fn everything_is_reached(page: &Page) {
    page.run::<()>(&format!("window.missing = new Set({CONTROLS})")).await;
    let controls: usize = page.run("return window.missing.size").await;
    assert!(controls > 8, "only {controls} controls");
    for _ in 0..controls {
        press(page, Key::Tab).await;
        assert_eq!(page.run::<Vec<String>>(FOCUS).await, [""; 0]);
    }
    let missing: Vec<String> =
        page.run("return [...window.missing].map((one) => one.outerHTML.slice(0, 80))").await;
    assert_eq!(missing, [""; 0]);
}

/// Controls without a name that a screen reader could say.
const NAMELESS: &str = "
    const name = (one) => one.labels?.length ? [...one.labels].map((label) => label.innerText.trim()).join('')
        : one.getAttribute('aria-label') ?? one.innerText.trim();
    return CONTROLS.filter((one) => !name(one)).map((one) => one.outerHTML.slice(0, 80))";

#[tokio::test]
async fn everything_can_be_reached_and_used_by_keyboard() {
    let Some((_app, page)) = browser::open("/").await else { return };
    everything_is_reached(&page).await;
    let nameless = NAMELESS.replace("CONTROLS", CONTROLS);
    assert_eq!(page.run::<Vec<String>>(&nameless).await, [""; 0]);

    page.go("/").await;
    press(&page, Key::Tab).await;
    assert_eq!(
        page.run::<String>("return document.activeElement.innerText").await,
        "Skip to the content"
    );
    page.run::<()>("document.querySelector('#user-id').focus()").await;
    press(&page, Key::Enter).await;
    page.shows("#lookup tbody", |text| text.contains("Donald Fuji")).await;

    page.go("/chat").await;
    everything_is_reached(&page).await;
    page.fill("#chat input[name=name]", "Ada").await;
    press(&page, Key::Enter).await;
    page.until("document.activeElement.id === 'text'").await;
    assert_eq!(page.run::<Vec<String>>(&nameless).await, [""; 0]);
    page.action_chain().send_keys("Hello").perform().await.unwrap();
    press(&page, Key::Enter).await;
    page.shows("#chat .messages", |text| text.contains("Hello")).await;

    page.go("/shop").await;
    everything_is_reached(&page).await;
    assert_eq!(page.run::<Vec<String>>(&nameless).await, [""; 0]);
    page.fill("#buyer", "Ada").await;
    page.run::<()>("document.querySelector('[data-product=cider] input').focus()").await;
    press(&page, Key::Enter).await;
    page.shows("#shop .mine", |text| text.contains("1 × cider")).await;
    assert_eq!(page.run::<Vec<String>>(&nameless).await, [""; 0]);
    page.run::<()>("document.querySelector('.mine button').focus()").await;
    press(&page, Key::Enter).await;
    page.shows("#shop .mine", |text| text.contains("bought")).await;

    page.go("/docs").await;
    page.until("document.querySelector('#operations details') !== null").await;
    page.run::<()>("document.querySelector('#operations details:nth-of-type(4) summary').focus()")
        .await;
    press(&page, Key::Enter).await;
    page.until("document.querySelector('#operations details:nth-of-type(4)').open").await;
    // The next Tab starts where the focus was last: at the top again.
    page.go("/docs").await;
    page.until("document.querySelector('#operations details') !== null").await;
    page.run::<()>("for (const one of document.querySelectorAll('details')) one.open = true").await;
    assert_eq!(page.run::<Vec<String>>(&nameless).await, [""; 0]);
    everything_is_reached(&page).await;
}

#[tokio::test]
async fn the_figures_are_there_without_javascript() {
    let Some((_app, page)) = browser::open("/").await else { return };
    page.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    page.go("/").await;
    assert!(page.text("noscript").await.starts_with("The buttons on this page need JavaScript"));
    assert_eq!(page.text("#total-views").await, "2");
    assert_eq!(page.text("#users").await, "100");
    let board = page.table("#leaderboard table").await;
    assert_eq!(
        (board.len(), &board[0][..]),
        (10, &["1", "player8", "9,310"].map(str::to_owned)[..])
    );
    // What would do nothing is not offered.
    for css in ["#theme", ".crates"] {
        let seen = format!("return document.querySelector('{css}').checkVisibility()");
        assert!(!page.run::<bool>(&seen).await, "{css}");
    }
    page.click("#language").await;
    page.shows("h1", |text| text == "Redis 之上的应用层").await;
    page.go("/shop?lang=en").await;
    assert_eq!(page.table("#shop .products").await[1], ["apple-pie", "5", "0", "0", "5", ""]);
    page.go("/docs").await;
    assert!(page.text("main").await.contains("/openapi.json"));
}

/// What was loaded from elsewhere, and what the content policy refused.
async fn strayed(page: &Page) -> Vec<String> {
    page.run(
        "const loaded = performance.getEntries().filter(({ entryType }) => /resource|navigation/.test(entryType));
         if (loaded.length < 4) throw new Error(`only ${loaded.length} loads were recorded`);
         return loaded.map(({ name }) => name).filter((name) => !name.startsWith(`${location.origin}/`)).concat(window.refused)",
    )
    .await
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere_and_the_browser_has_no_complaint() {
    let Some((_app, page)) = browser::open("/").await else { return };
    let listen = "window.refused = []; addEventListener('securitypolicyviolation', (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`))";
    page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": listen })).await;
    page.go("/").await;
    page.click("#lookup button").await;
    page.shows("#lookup tbody", |text| text.contains("Donald Fuji")).await;
    page.run_cold_key().await;
    page.fill("#leaderboard input[name=player]", "Ada").await;
    page.click("#leaderboard button").await;
    page.shows("#leaderboard tbody, #leaderboard .message", |text| text.contains("Ada")).await;
    page.click("#theme").await;
    assert_eq!(strayed(&page).await, [""; 0]);

    page.go("/chat").await;
    page.fill("#chat input[name=name]", "Ada").await;
    page.click("#chat .join button").await;
    page.until("document.querySelector('#chat .room').checkVisibility()").await;
    page.fill("#text", "Hello").await;
    page.click("#chat .say button").await;
    page.shows("#chat .messages", |text| text.contains("Hello")).await;
    assert_eq!(strayed(&page).await, [""; 0]);

    page.go("/shop").await;
    page.fill("#buyer", "Ada").await;
    page.click("[data-product=cider] button").await;
    page.shows("#shop .mine", |text| text.contains("1 × cider")).await;
    assert_eq!(strayed(&page).await, [""; 0]);

    page.go("/docs").await;
    page.until("document.querySelector('#operations details') !== null").await;
    page.click("#operations summary").await;
    page.click("#operations button").await;
    page.shows("#operations form + pre", |text| text.contains("\n200\n")).await;
    assert_eq!(strayed(&page).await, [""; 0]);
    assert_eq!(page.log().await, [""; 0]);

    // The policy is in force, and a breach of it would be seen here.
    page.run::<()>("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = true' }))").await;
    page.run::<()>(
        "document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.2/' }))",
    )
    .await;
    page.until("window.refused.length === 2").await;
    assert!(page.run::<bool>("return window.ran === undefined").await);
    assert_eq!(page.log().await.len(), 2);
}
