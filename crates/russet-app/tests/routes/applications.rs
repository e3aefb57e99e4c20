//! `/app/shop` and `/app/chat` under one sign-on, without a browser: what it would not send.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request};

use super::accounts::{PASSWORD, add};
use crate::support::{Answer, App};

/// Somebody with a jar of cookies, who is led nowhere by redirects.
#[derive(Clone)]
struct Visitor<'a> {
    app: &'a App,
    jar: BTreeMap<String, String>,
    agent: &'static str,
}

impl<'a> Visitor<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, jar: BTreeMap::new(), agent: "Firefox" }
    }

    async fn signed_in(app: &'a App, name: &str) -> Self {
        let mut visitor = Self::new(app);
        let form = format!("username={name}&password={}", PASSWORD.replace(' ', "+"));
        assert_eq!(visitor.form("/login", &form).await.status, 303);
        visitor
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    async fn form(&mut self, path: &str, form: &str) -> Answer {
        let kind = "application/x-www-form-urlencoded";
        self.send(
            Request::builder().method(Method::POST).uri(path).header("content-type", kind),
            form,
        )
        .await
    }

    async fn send(&mut self, mut request: axum::http::request::Builder, body: &str) -> Answer {
        request = request.header("user-agent", self.agent);
        for (name, value) in &self.jar {
            request = request.header("cookie", format!("{name}={value}"));
        }
        let answer = self.app.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        for line in answer.headers.get_all("set-cookie") {
            let cookie = cookie::Cookie::parse(line.to_str().unwrap()).unwrap();
            if cookie.value().is_empty() {
                self.jar.remove(cookie.name());
            } else {
                self.jar.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        answer
    }

    /// The link with a ticket that the sign-on answers a visit with.
    async fn ticket(&mut self, path: &str) -> String {
        let asks = self.get(path).await;
        assert_eq!(asks.status, 303);
        let given = self.get(asks.header("location")).await;
        assert_eq!((given.status.as_u16(), given.header("cache-control")), (303, "no-store"));
        given.header("location").to_owned()
    }

    async fn enters(&mut self, path: &str) {
        let link = self.ticket(path).await;
        let answer = self.get(&link).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, path));
        assert_eq!(self.get(path).await.status, 200);
    }

    /// The token of the forms on a page.
    async fn csrf(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        let rest = page.text().split("name=\"_csrf\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_ticket_opens_an_application_once_for_the_browser_that_has_asked() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Visitor::signed_in(&app, "ada").await;
    let link = ada.ticket("/app/shop").await;
    // Sent to somebody else, who would be signed in as Ada without knowing.
    let mut victim = Visitor::new(&app);
    victim.get("/app/shop").await;
    let refused = victim.get(&link).await;
    assert_eq!(refused.status, 403);
    assert!(!victim.jar.contains_key("shop"));
    // For another application, and from another device.
    let mut other = ada.clone();
    let to_chat = link.replace("/app/shop/", "/app/chat/");
    other.jar.insert("chat-state".to_owned(), ada.jar["shop-state"].clone());
    assert_eq!(other.get(&to_chat).await.status, 403);
    let mut thief = Visitor { agent: "curl", ..ada.clone() };
    assert_eq!(thief.get(&link).await.status, 403);

    let mut again = ada.clone();
    assert_eq!(ada.get(&link).await.header("location"), "/app/shop");
    assert_eq!(again.get(&link).await.status, 403);
    let page = ada.get("/app/shop").await;
    assert!(page.text().contains("<strong>ada</strong>"), "{}", page.text());
}

#[tokio::test]
async fn leaving_one_application_leaves_the_others_and_signing_out_of_one_closes_all() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Visitor::signed_in(&app, "ada").await;
    ada.enters("/app/shop").await;
    ada.enters("/app/chat").await;
    let (shop, chat) = (ada.csrf("/app/shop").await, ada.csrf("/app/chat").await);
    // The token of one is not that of the other.
    let refused = ada.form("/app/chat/leave", &format!("_csrf={shop}")).await;
    assert_eq!(refused.status, 403);
    assert_eq!(ada.form("/app/shop/leave", &format!("_csrf={shop}")).await.status, 303);
    assert_eq!(ada.get("/app/shop").await.status, 303);
    assert_eq!(ada.get("/app/chat").await.status, 200);

    ada.enters("/app/shop").await;
    let out = ada.form("/app/chat/logout", &format!("_csrf={chat}")).await;
    assert_eq!(out.header("location"), "/login");
    for path in ["/app/shop", "/app/chat", "/sessions"] {
        assert_eq!(ada.get(path).await.status, 303, "{path}");
    }
}

#[tokio::test]
async fn the_token_of_one_application_is_none_in_another_nor_above() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Visitor::signed_in(&app, "ada").await;
    ada.enters("/app/shop").await;
    for (cookie, path) in [("chat", "/app/chat"), ("id", "/sessions")] {
        let mut shop = Visitor::new(&app);
        shop.jar.insert(cookie.to_owned(), ada.jar["shop"].clone());
        assert_eq!(shop.get(path).await.status, 303, "{path}");
        let mut above = Visitor::new(&app);
        above.jar.insert("shop".to_owned(), ada.jar["id"].clone());
        assert_eq!(above.get("/app/shop").await.status, 303);
    }
}

#[tokio::test]
async fn what_comes_back_with_a_ticket_is_one_parameter() {
    let app = App::start().await;
    add(&app, "ada", PASSWORD, &[]).await;
    let mut ada = Visitor::signed_in(&app, "ada").await;
    for state in ["%26ticket=x", "%0D%0ASet-Cookie:+a=b", "%23", "//evil.example", "a+b"] {
        let answer = ada.get(&format!("/sso/shop?state={state}")).await;
        assert_eq!(answer.status, 303, "{state}");
        let location = answer.header("location");
        let query = location.strip_prefix("/app/shop/enter?state=").unwrap();
        assert_eq!(query.matches(['&', '#']).count(), 1, "{location}");
        assert!(!query.starts_with('&') || state.is_empty(), "{location}");
    }
    assert_eq!(ada.get("/sso/bank").await.status, 404);
}
