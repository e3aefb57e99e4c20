//! `/`, `/docs` and what they load.

use axum::http::Method;
use serde_json::json;

use crate::support::{Answer, App, request};

async fn page(app: &App, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = request(Method::GET, path, None);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = app.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    answer
}

#[tokio::test]
async fn the_home_page_shows_what_runs_and_counts_one_view() {
    let app = App::start().await;
    app.put("/api/users/42", json!({"name": "Ada", "email": "a@b.co"})).await.json();
    app.post("/api/leaderboard/update", json!({"player": "ada", "score": 1234.5})).await.json();
    let first = page(&app, "/", &[]).await;
    let html = first.text();
    for part in
        [r#"id="total-views">1</p>"#, "SQLite 3.", r#"value="42""#, ">ada</span>", "1,234.5"]
    {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
    assert_eq!(first.header("cache-control"), "no-store");
    assert!(page(&app, "/", &[]).await.text().contains(r#"id="total-views">2</p>"#));
    assert_eq!(app.get("/api/overview").await.json()["page_views"]["total_views"], 2);
}

#[tokio::test]
async fn a_players_name_is_shown_as_text_never_as_markup() {
    let app = App::start().await;
    for name in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{ t.home }}",
        "&lt;b&gt;",
    ] {
        app.post("/api/leaderboard/update", json!({"player": name, "score": 1})).await.json();
    }
    let home = page(&app, "/", &[]).await;
    let html = home.text();
    for markup in ["<script>alert", "<img src=x", "<td>&lt;b&gt;</td>"] {
        assert!(!html.contains(markup), "{markup} is in\n{html}");
    }
    assert!(html.contains("alert(1)") && html.contains("{{ t.home }}"), "{html}");
}

#[tokio::test]
async fn pages_come_in_the_language_of_the_browser_or_of_the_visitors_choice() {
    let app = App::start().await;
    for path in ["/", "/shop", "/docs"] {
        assert!(
            page(&app, path, &[]).await.text().contains(r#"<html lang="en" data-theme="auto">"#)
        );
        let chinese = page(&app, path, &[("accept-language", "zh-CN,zh;q=0.9")]).await;
        assert!(chinese.text().contains(r#"<html lang="zh-CN""#), "{path}");
        let chosen = [("accept-language", "zh-CN"), ("cookie", "lang=en; theme=dark")];
        assert!(
            page(&app, path, &chosen)
                .await
                .text()
                .contains(r#"<html lang="en" data-theme="dark">"#)
        );
    }
}

#[tokio::test]
async fn a_choice_is_remembered_and_leads_back_to_the_page() {
    let app = App::start().await;
    for path in ["/", "/shop", "/docs"] {
        let answer = app.get(&format!("{path}?lang=zh&theme=dark")).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, path));
        let cookies: Vec<_> =
            answer.headers.get_all("set-cookie").iter().map(|one| one.to_str().unwrap()).collect();
        assert_eq!(cookies.len(), 2, "{cookies:?}");
        assert!(
            cookies[0].starts_with("lang=zh; Path=/;")
                && cookies[1].starts_with("theme=dark; Path=/;")
        );
        app.get(&format!("{path}?lang=fr")).await.error(400);
    }
    assert_eq!(
        app.get("/api/overview").await.json()["page_views"]["total_views"],
        0,
        "no page was shown"
    );
}

/// What a page or style sheet loads or links to, as it is written there.
fn references(text: &str) -> Vec<String> {
    ["src=\"", "href=\"", " action=\"", "url(", "@import ", "fetch(\"", "import(\""]
        .iter()
        .flat_map(|start| text.split(start).skip(1))
        .map(|rest| rest.split(['"', ')', ' ', ';']).next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_everything_they_load_is_there() {
    let app = App::start().await;
    let mut seen = vec!["/".to_owned(), "/docs".to_owned()];
    let mut place = 0;
    while let Some(path) = seen.get(place).cloned() {
        place += 1;
        let answer = app.get(&path).await;
        if path == "/sessions" {
            // Which a visitor who is not signed in does not see.
            assert_eq!(answer.header("location"), "/login?next=%2Fsessions");
            seen.push("/login".to_owned());
            continue;
        }
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
        for found in references(answer.text()) {
            if found.starts_with('#') || found.starts_with('?') {
                continue;
            }
            assert!(found.starts_with('/') && !found.starts_with("//"), "{path} refers to {found}");
            if !seen.contains(&found) {
                seen.push(found);
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "/",
            "/api/session",
            "/assets/apple.svg",
            "/assets/chat.js",
            "/assets/docs.js",
            "/assets/home.js",
            "/assets/page.js",
            "/assets/shop.js",
            "/assets/style.css",
            "/chat",
            "/docs",
            "/login",
            "/metrics",
            "/openapi.json",
            "/readyz",
            "/sessions",
            "/shop",
        ]
    );
}

#[tokio::test]
async fn assets_have_their_types_and_others_do_not_exist() {
    let app = App::start().await;
    for (file, kind) in [
        ("style.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("home.js", "text/javascript; charset=utf-8"),
        ("docs.js", "text/javascript; charset=utf-8"),
        ("apple.svg", "image/svg+xml"),
    ] {
        let answer = app.get(&format!("/assets/{file}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
        assert!(!answer.body.is_empty());
    }
    for file in ["nothing.js", "home.html", "..%2fmod.rs", "%2e%2e", "style.css/"] {
        app.get(&format!("/assets/{file}")).await.error(404);
    }
}

#[tokio::test]
async fn the_shop_shows_what_there_is_as_text() {
    let app = App::start().await;
    assert!(page(&app, "/shop", &[]).await.text().contains("The shop has no products."));
    app.put("/api/stock/%3Cb%3Ecider", json!({"total": 1_234})).await.json();
    let shop = page(&app, "/shop", &[("accept-language", "zh")]).await;
    let html = shop.text();
    assert!(
        html.contains("1,234") && html.contains("商品") && !html.contains("<b>cider"),
        "{html}"
    );
    assert_eq!(shop.header("cache-control"), "no-store");
}
