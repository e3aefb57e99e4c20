//! A browser and a served application, for tests of what stands between them.
#![allow(dead_code, reason = "each test program uses a part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use cookie::Cookie;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use russet::testing::TestServer;
use russet::{Russet, Sessions, SessionsBuilder};
use russet_axum::Server;
use tokio::net::TcpListener;

pub const SECRET: [u8; 32] = [7; 32];

/// Settings of sessions on a server of the test's own.
pub async fn sessions_on(server: &TestServer) -> SessionsBuilder {
    let russet = Russet::connect(&server.url()).await.unwrap();
    Sessions::builder(&russet, "web")
}

/// Serves it on a free port until the test ends.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { Server::new().serve(listener, app, std::future::pending()).await });
    address
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The whole header that sets a cookie.
    pub fn set_cookie(&self) -> Option<&str> {
        self.headers.get("set-cookie").map(|value| value.to_str().unwrap())
    }
}

/// Somebody with a jar of cookies.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    pub jar: BTreeMap<String, String>,
    pub headers: HeaderMap,
}

impl Browser {
    pub fn at(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (jar, headers) = Default::default();
        Self { address, client, jar, headers }.with("user-agent", "Firefox")
    }

    /// The same with this header in each request.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// The same at another address.
    pub fn move_to(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&mut self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], "").await
    }

    pub async fn delete(&mut self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// Sends a form, as a page does.
    pub async fn form(&mut self, path: &str, form: &str) -> Answer {
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, path, &form_type, form).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.jar {
            request = request.header("cookie", format!("{name}={value}"));
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        for line in head.headers.get_all("set-cookie") {
            let cookie = Cookie::parse(line.to_str().unwrap()).unwrap();
            if cookie.max_age().is_some_and(|age| age.is_zero()) {
                self.jar.remove(cookie.name());
            } else {
                self.jar.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// What is logged by this thread since it was made.
pub struct Log(());

thread_local! {
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Log {
    pub fn capture() -> Self {
        // One for the whole program: with one for each thread, what another thread has come by first is not logged.
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Writer)
            .finish();
        let _ = tracing::subscriber::set_global_default(subscriber);
        LOGGED.set(Some(Vec::new()));
        Self(())
    }

    pub fn text(&self) -> String {
        LOGGED.with_borrow(|logged| {
            String::from_utf8_lossy(logged.as_deref().unwrap_or_default()).into_owned()
        })
    }
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| {
            logged.as_mut().map(|logged| logged.extend_from_slice(bytes))
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
