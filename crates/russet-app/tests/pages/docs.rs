//! What the API's page does.

use serde_json::Value;

use crate::browser::{self, Page};

/// Opens the description of an operation and answers its selector.
async fn unfold(page: &Page, method: &str, path: &str) -> String {
    page.until("document.querySelector('#operations details') !== null").await;
    let number: usize = page
        .run(&format!(
            "return [...document.querySelectorAll('#operations details')].findIndex((one) =>
                one.querySelector('.method').innerText === '{method}' && one.querySelector('.path').innerText === '{path}')"
        ))
        .await;
    page.run::<()>(&format!(
        "document.querySelectorAll('#operations details')[{number}].id = 'unfolded'"
    ))
    .await;
    page.click("#unfolded summary").await;
    "#unfolded".to_owned()
}

#[tokio::test]
async fn the_docs_send_a_request_and_show_the_answer() {
    let Some((_app, page)) = browser::open("/docs").await else { return };
    let one = unfold(&page, "GET", "/api/users/{id}").await;
    page.click(&format!("{one} button")).await;
    let answer = page.shows(&format!("{one} form + pre"), |text| text.contains('}')).await;
    assert!(answer.starts_with("GET /api/users/1\n\n200\n"), "{answer}");
    assert!(answer.contains("\nx-cache: miss\n"), "{answer}");
    assert!(answer.contains("\n  \"name\": \"Donald Fuji\",\n"), "{answer}");
}

#[tokio::test]
async fn the_docs_send_a_body_and_show_numbers_as_they_came() {
    let Some((_app, page)) = browser::open("/docs").await else { return };
    let one = unfold(&page, "PUT", "/api/users/{id}").await;
    page.fill(&format!("{one} input"), &i64::MAX.to_string()).await;
    page.fill(&format!("{one} textarea"), r#"{"name": "{\"a\": [1]}", "email": "a@example.com"}"#)
        .await;
    page.click(&format!("{one} button")).await;
    let answer = page.shows(&format!("{one} form + pre"), |text| text.contains('}')).await;
    assert!(answer.contains("\n\n201\n"), "{answer}");
    assert!(answer.contains("\n  \"id\": 9223372036854775807,\n"), "{answer}");
    assert!(answer.contains(r#"  "name": "{\"a\": [1]}","#), "{answer}");
}

#[tokio::test]
async fn the_docs_ask_before_they_delete() {
    let Some((app, page)) = browser::open("/docs").await else { return };
    let one = unfold(&page, "DELETE", "/api/users/{id}").await;
    page.click(&format!("{one} button")).await;
    page.dismiss_alert().await.unwrap();
    assert_eq!(page.text(&format!("{one} form + pre")).await, "");
    app.get("/api/users/1").await;
    page.click(&format!("{one} button")).await;
    page.accept_alert().await.unwrap();
    page.shows(&format!("{one} form + pre"), |text| text.contains("\n204\n")).await;
    assert_eq!(app.state.db.find_user(1).await.unwrap(), None);
}

#[tokio::test]
async fn the_docs_show_every_operation_of_the_document() {
    let Some((app, page)) = browser::open("/docs").await else { return };
    let document: Value = serde_json::from_str(&app.get("/openapi.json").await).unwrap();
    let mut wanted: Vec<String> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        wanted.extend(
            methods.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())),
        );
    }
    page.until("document.querySelector('#operations details') !== null").await;
    let mut shown: Vec<String> = page
        .run("return [...document.querySelectorAll('summary')].map((one) => `${one.querySelector('.method').innerText} ${one.querySelector('.path').innerText}`)")
        .await;
    wanted.sort();
    shown.sort();
    assert_eq!(shown, wanted);
}
