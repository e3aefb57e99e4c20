//! A client that keeps its cookie and sends the token that belongs to it, as a browser and our pages do.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::{Answer, App};

pub struct Client<'a> {
    app: &'a App,
    /// `name=value`, as the browser sends it.
    pub cookie: Option<String>,
    pub csrf: Option<String>,
    pub headers: Vec<(&'static str, String)>,
}

impl<'a> Client<'a> {
    pub fn new(app: &'a App) -> Self {
        Self { app, cookie: None, csrf: None, headers: Vec::new() }
    }

    /// Of an account that is signed in.
    pub async fn signed_in(app: &'a App, name: &str, password: &str) -> Self {
        let mut client = Self::new(app);
        let answer = client.login(name, password).await;
        assert_eq!(answer.json()["user"], name);
        client
    }

    pub async fn login(&mut self, name: &str, password: &str) -> Answer {
        let answer =
            self.post("/api/login", json!({ "username": name, "password": password })).await;
        if answer.status.is_success() {
            self.csrf = answer.json()["csrf_token"].as_str().map(str::to_owned);
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&mut self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    pub async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let kind = "application/json";
        self.send(method, path, kind, body.map(|body| body.to_string()).unwrap_or_default()).await
    }

    /// The fields of a form, as a page sends them.
    pub async fn form(&mut self, path: &str, fields: &str) -> Answer {
        let kind = "application/x-www-form-urlencoded";
        self.send(Method::POST, path, kind, fields.to_owned()).await
    }

    async fn send(&mut self, method: Method, path: &str, kind: &str, body: String) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", kind);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(token) = &self.csrf {
            request = request.header("x-csrf-token", token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = self.app.send(request.body(Body::from(body)).unwrap()).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(cookie.to_owned()).filter(|cookie| !cookie.ends_with('='));
        }
        answer
    }
}
