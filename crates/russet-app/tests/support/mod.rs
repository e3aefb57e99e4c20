//! The application for a test: its router without a socket, on a real Redis server and an SQLite file.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod client;
pub mod program;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use russet::Russet;
use russet::testing::TestServer;
use russet_app::db::Database;
use russet_app::users::UsersSettings;
use russet_app::{AppState, http};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

/// The application in this process.
pub struct App {
    pub router: Router,
    pub state: AppState,
    pub folder: TempDir,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The server that the tests of a file share; the watchdog ends it with the test process.
pub async fn server() -> &'static TestServer {
    static SERVER: OnceCell<TestServer> = OnceCell::const_new();
    SERVER.get_or_init(async || TestServer::start().await.expect("a server")).await
}

impl App {
    /// On the shared server, with keys and records of its own.
    pub async fn start() -> App {
        App::on(&server().await.url()).await
    }

    /// On the server at this URL, with keys that no other application has.
    pub async fn on(url: &str) -> App {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().expect("a folder");
        let russet = Russet::builder().url(url).namespace(namespace).connect_lazily().unwrap();
        App::with(russet, folder, UsersSettings::default()).await
    }

    /// On the shared server, with calls that may take long: for many at once on a busy machine.
    pub async fn patient() -> App {
        let App { state, folder, .. } = App::start().await;
        let builder = Russet::builder().url(server().await.url());
        let builder = builder.namespace(state.russet.namespace()).timeout(Duration::from_secs(30));
        App::with(builder.connect_lazily().unwrap(), folder, UsersSettings::default()).await
    }

    /// On the server at this URL, with other settings for the users.
    pub async fn with_users(url: &str, settings: UsersSettings) -> App {
        let app = App::on(url).await;
        let (russet, db) = (app.state.russet.clone(), app.state.db.clone());
        let state = AppState::with_users(russet, db, settings).unwrap();
        App { router: http::app(state.clone()), state, folder: app.folder }
    }

    /// Another process on the same records and keys, with connections of its own.
    pub async fn beside(&self, url: &str, settings: UsersSettings) -> (AppState, Router) {
        let namespace = self.state.russet.namespace().to_owned();
        let russet = Russet::builder().url(url).namespace(namespace).connect_lazily().unwrap();
        let db = Database::open(&self.database_url()).await.expect("a database");
        let state = AppState::with_users(russet, db, settings).unwrap();
        (state.clone(), http::app(state))
    }

    /// The same records and keys once more, as another process would have them.
    pub async fn started_again(self, url: &str) -> App {
        let namespace = self.state.russet.namespace().to_owned();
        self.state.db.close().await;
        self.state.russet.close().await;
        let russet = Russet::builder().url(url).namespace(namespace).connect_lazily().unwrap();
        App::with(russet, self.folder, UsersSettings::default()).await
    }

    async fn with(russet: Russet, folder: TempDir, settings: UsersSettings) -> App {
        let db = Database::open(&Database::url_in(folder.path())).await.expect("a database");
        let state = AppState::with_users(russet, db, settings).unwrap();
        state.users.recover().await.expect("a database");
        App { router: http::app(state.clone()), state, folder }
    }

    /// With look-ups of users that take this much longer.
    pub fn with_slow_database(self, slow: Duration) -> App {
        let db = self.state.db.clone().slowed_by(slow);
        let state = AppState::new(self.state.russet.clone(), db).unwrap();
        App { router: http::app(state.clone()), state, folder: self.folder }
    }

    /// The URL of the records, for a second connection to them.
    pub fn database_url(&self) -> String {
        Database::url_in(self.folder.path())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.send(request(method, path, body)).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.expect("the router never fails");
        Answer::read(answer.map(Body::new)).await.expect("a whole body")
    }
}

/// A request of a program, with a JSON body if there is one.
pub fn request(method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

impl Answer {
    /// Whether it came from a copy: of the process, once that hears of changes, or of Redis.
    pub fn is_cached(&self) -> bool {
        ["near", "hit"].contains(&self.header("x-cache"))
    }

    /// Fails when the connection ends before the body does.
    pub async fn read(answer: axum::http::Response<Body>) -> std::io::Result<Answer> {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body of a success.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The text of an error with this status, which has the one shape of all errors.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        let fields = body.as_object().expect("an object");
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["error", "request_id"], "{body}");
        assert_eq!(fields["request_id"], self.header("x-request-id"), "{body}");
        let text = fields["error"].as_str().expect("a text").to_owned();
        assert!(!text.is_empty());
        text
    }
}
