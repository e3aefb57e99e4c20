//! The application, with stores of its own, on a free port.

use std::future;
use std::time::Duration;

use hyper::{Method, Request, StatusCode};
use russet::Russet;
use russet::testing::TestServer;
use russet_app::db::Database;
use russet_app::killed_worker::Launcher;
use russet_app::{AppState, http, seed};
use russet_axum::Server;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client;

pub struct App {
    pub url: String,
    pub state: AppState,
    pub redis: TestServer,
    serving: JoinHandle<()>,
    _data: TempDir,
}

impl App {
    /// Starts one with the users and players of a first start. Every look-up in its database takes `slow` longer.
    pub async fn start(slow: Duration) -> Self {
        http::metrics::collect();
        let redis = TestServer::start().await.unwrap();
        let data = TempDir::new().unwrap();
        let db = Database::open(&Database::url_in(data.path())).await.unwrap().slowed_by(slow);
        let russet = Russet::builder().url(redis.url()).connect().await.unwrap();
        let mut state = AppState::new(russet, db).unwrap();
        let url = ("REDIS_URL", redis.url().into());
        let launcher = Launcher::new(env!("CARGO_BIN_EXE_russet"), [""; 0], vec![url]);
        state.killed_worker = state.killed_worker.with_launcher(launcher);
        seed::first_start(&state).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = http::app(state.clone());
        let serving = tokio::spawn(async {
            Server::new().serve(listener, router, future::pending()).await;
        });
        Self { url, state, redis, serving, _data: data }
    }

    /// A request of somebody else.
    pub async fn get(&self, path: &str) -> String {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// A request of somebody else, with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> String {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> String {
        self.send(Method::PUT, path, body.to_string().into()).await
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> String {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        let answer = client::exchange(request).await.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {text}");
        text
    }

    /// From now on nobody answers.
    pub async fn stop(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}
