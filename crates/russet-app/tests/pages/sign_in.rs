//! Who is signed in, in tabs of a real browser.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use russet_app::accounts::Password;

use crate::browser::{self, App, Page};

const PASSWORD: &str = "correct horse battery";

async fn add(app: &App, name: &str) {
    let password = Password::typed(PASSWORD.to_owned());
    assert!(app.state.accounts.add(&name.parse().unwrap(), password, &[]).await.unwrap());
}

/// Fills in the form of the login that is shown.
async fn sign_in(page: &Page, name: &str) {
    page.until("!!document.querySelector('#login input[name=username]')").await;
    page.fill("#login input[name=username]", name).await;
    page.fill("#login input[name=password]", PASSWORD).await;
    page.click("#login button[type=submit]").await;
}

/// Waits until the browser has gone to this path.
async fn arrives(page: &Page, path: &str) {
    page.until(&format!("location.pathname === '{path}' && document.readyState === 'complete'"))
        .await;
}

#[tokio::test]
async fn signing_out_everywhere_in_one_tab_signs_the_other_out() {
    let Some((app, page)) = browser::open("/login?next=/sessions").await else { return };
    add(&app, "ada").await;
    sign_in(&page, "ada").await;
    arrives(&page, "/sessions").await;
    let first = page.window().await.unwrap();
    let second = page.new_tab().await.unwrap();
    page.switch_to_window(second.clone()).await.unwrap();
    page.go("/sessions").await;
    page.shows("#sessions .good", |text| !text.is_empty()).await;

    page.switch_to_window(first.clone()).await.unwrap();
    page.click("#sessions button[value=all]").await;
    arrives(&page, "/login").await;

    page.switch_to_window(second).await.unwrap();
    page.go("/sessions").await;
    arrives(&page, "/login").await;
    page.shows("#login", |text| text.contains("Password")).await;
    page.close_window().await.unwrap();
    page.switch_to_window(first).await.unwrap();
}

#[tokio::test]
async fn a_form_on_a_page_of_another_origin_changes_nothing() {
    let Some((app, page)) = browser::open("/login?next=/sessions").await else { return };
    add(&app, "ada").await;
    sign_in(&page, "ada").await;
    arrives(&page, "/sessions").await;
    // Another port of the same host: the browser sends the cookie with it, so that nothing but our own check stands in the way.
    let form = format!(
        "<!doctype html><form method=post action='{}/sessions'>\
         <input name=end value=all><button>You have won</button></form>",
        app.url
    );
    let evil = Router::new().route("/", get(async move || Html(form)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, evil).await });
    page.goto(format!("http://{address}/")).await.unwrap();
    page.click("button").await;
    page.until(&format!("location.origin === '{}'", app.url)).await;
    let body = page.shows("body", |text| text.contains("error")).await;
    assert!(body.contains("other sites") || body.contains("not sent by a page"), "{body}");
    page.go("/sessions").await;
    page.shows("#sessions .good", |text| !text.is_empty()).await;
    serving.abort();
}

#[tokio::test]
async fn one_sign_in_opens_both_applications_and_one_sign_out_closes_both() {
    let Some((app, page)) = browser::open("/app/shop").await else { return };
    add(&app, "ada").await;
    arrives(&page, "/login").await;
    sign_in(&page, "ada").await;
    arrives(&page, "/app/shop").await;
    page.shows("#application", |text| text.contains("ada")).await;
    page.fill("#application input[name=note]", "apples <b>").await;
    page.click("#application form:first-of-type button").await;
    page.until("document.querySelector('#application input[name=note]')?.value === 'apples <b>'")
        .await;
    // Nobody types a password again.
    page.go("/app/chat").await;
    arrives(&page, "/app/chat").await;
    page.shows("#application", |text| text.contains("ada")).await;
    assert_eq!(page.text("#application input[name=note]").await, "");

    page.click("#application form[action$=logout] button").await;
    arrives(&page, "/login").await;
    for path in ["/app/shop", "/app/chat", "/sessions"] {
        page.go(path).await;
        arrives(&page, "/login").await;
    }
    page.go("/login").await;
    assert_eq!(page.log().await, [""; 0]);
}
