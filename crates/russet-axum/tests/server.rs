//! The server's limits, seen from raw sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::{get, post};
use russet_axum::extract::Json;
use russet_axum::server::Closed;
use russet_axum::{ApiError, Server, error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    closed: JoinHandle<Closed>,
}

async fn start(server: Server, app: Router) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let closed = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
        };
        server.serve(listener, app, stop).await
    });
    Running { address, stop, closed }
}

fn echo() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(async |Json(value): Json<serde_json::Value>| Json(value)))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// One response: until its body is complete, or the end of the stream.
async fn response(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|line| {
                Some(line.strip_prefix("content-length: ")?.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    response(stream).await
}

const HELLO: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut() {
    let running = start(Server::new().head_timeout(Duration::from_millis(50)), echo()).await;
    let mut stream = connect(&running).await;
    assert_eq!(ask(&mut stream, "GET / HTTP/1.1\r\nhost: ").await, "", "closed without an answer");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_last_answer() {
    let running = start(Server::new().head_timeout(Duration::from_millis(50)), echo()).await;
    let mut stream = connect(&running).await;
    assert!(ask(&mut stream, HELLO).await.ends_with("hello"));
    assert_eq!(response(&mut stream).await, "", "closed without an answer");
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_answered_with_408() {
    let server = Server::new().min_body_rate(1_000_000, Duration::from_millis(50));
    let running = start(server, echo()).await;
    let mut stream = connect(&running).await;
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = ask(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with(r#"{"error":"the body arrived too slowly"}"#), "{answer}");
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_answered_with_413() {
    let running = start(Server::new().max_body_bytes(10), echo()).await;
    let mut stream = connect(&running).await;
    let request = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n\"123456789\"";
    let answer = ask(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with(r#"{"error":"the body is too long"}"#), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_long_is_answered_with_413() {
    let running = start(Server::new().max_body_bytes(10), echo()).await;
    let mut stream = connect(&running).await;
    let request = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
                   8\r\n\"1234567\r\n8\r\n8901234\"\r\n0\r\n\r\n";
    let answer = ask(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let running = start(Server::new().max_body_bytes(10), echo()).await;
    let mut stream = connect(&running).await;
    let request = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n\"12345678\"";
    assert!(ask(&mut stream, request).await.ends_with("\"12345678\""));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_with_431() {
    let running = start(Server::new().max_head_bytes(8 * 1024), echo()).await;
    let mut stream = connect(&running).await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(9 * 1024));
    let answer = ask(&mut stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn too_many_headers_are_answered_with_431() {
    let running = start(Server::new().max_headers(3), echo()).await;
    let mut stream = connect(&running).await;
    let answer =
        ask(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_is_closed() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let app = Router::new().route(
        "/",
        get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            "hello"
        }),
    );
    let running = start(Server::new().max_connections(1), app).await;
    let mut first = connect(&running).await;
    assert!(ask(&mut first, HELLO).await.ends_with("hello"));
    let mut second = connect(&running).await;
    second.write_all(HELLO.as_bytes()).await.unwrap();
    for _ in 0..200 {
        assert!(ask(&mut first, HELLO).await.ends_with("hello"));
    }
    assert_eq!(served.load(Ordering::SeqCst), 201, "only the first connection was served");
    drop(first);
    assert!(response(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let ended = Arc::new(Notify::new());
    struct TellsItsEnd(Arc<Notify>);
    impl Drop for TellsItsEnd {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let end = Arc::clone(&ended);
    let app = Router::new().route(
        "/",
        get(async move || {
            let owned_by_the_answer = TellsItsEnd(Arc::clone(&end));
            let endless = futures_util::stream::repeat_with(move || {
                let _ = &owned_by_the_answer;
                Ok::<_, std::io::Error>(vec![0_u8; 64 * 1024])
            });
            axum::body::Body::from_stream(endless)
        }),
    );
    let running = start(Server::new().write_timeout(Duration::from_millis(50)), app).await;
    let mut stream = connect(&running).await;
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    ended.notified().await;
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_finishes_what_is_under_way() {
    let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (Arc::clone(&entered), Arc::clone(&gate));
    let app = echo().route(
        "/slow",
        get(async move || {
            tell.notify_one();
            let _permit = wait.acquire().await;
            "finished"
        }),
    );
    let running = start(Server::new(), app).await;
    let mut idle = connect(&running).await;
    assert!(ask(&mut idle, HELLO).await.ends_with("hello"));
    let mut busy = connect(&running).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;

    running.stop.send(()).unwrap();
    assert_eq!(response(&mut idle).await, "", "the idle connection is closed");
    gate.add_permits(1);
    assert!(response(&mut busy).await.ends_with("finished"));
    assert_eq!(running.closed.await.unwrap(), Closed { cut: 0 });
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn shutdown_cuts_what_is_still_running_at_the_deadline() {
    let entered = Arc::new(Notify::new());
    let tell = Arc::clone(&entered);
    let app = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let running = start(Server::new().shutdown_deadline(Duration::from_millis(50)), app).await;
    let mut stream = connect(&running).await;
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    entered.notified().await;
    running.stop.send(()).unwrap();
    assert_eq!(running.closed.await.unwrap(), Closed { cut: 1 });
    assert_eq!(response(&mut stream).await, "");
}

#[tokio::test]
async fn the_handler_learns_the_client_address() {
    use axum::extract::ConnectInfo;
    let app = Router::new()
        .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()));
    let running = start(Server::new(), app).await;
    let mut stream = connect(&running).await;
    let local = stream.local_addr().unwrap().to_string();
    assert!(ask(&mut stream, HELLO).await.ends_with(&local));
}

#[tokio::test]
async fn errors_below_the_router_do_not_reach_other_connections() {
    let running = start(Server::new(), echo()).await;
    let mut broken = connect(&running).await;
    let answer = ask(&mut broken, "NOT HTTP AT ALL\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut fine = connect(&running).await;
    assert!(ask(&mut fine, HELLO).await.ends_with("hello"));
    let _: ApiError = error::no_route().await;
}

#[tokio::test]
async fn an_upgraded_connection_is_its_handlers_own_and_holds_up_no_end() {
    let upgrade = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(frame)) = socket.recv().await {
                if socket.send(frame).await.is_err() {
                    return;
                }
            }
        })
    };
    // It counts no more among the connections.
    let server = Server::new().max_connections(1);
    let running = start(server, echo().route("/ws", get(upgrade))).await;
    let mut upgraded = connect(&running).await;
    let head = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    upgraded.write_all(head.as_bytes()).await.unwrap();
    assert!(response(&mut upgraded).await.starts_with("HTTP/1.1 101 "));
    let mut other = connect(&running).await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(response(&mut other).await.ends_with("hello"));

    running.stop.send(()).unwrap();
    assert_eq!(running.closed.await.unwrap(), Closed { cut: 0 });
    // A text frame, as a client sends it: with a mask, here of zeros.
    upgraded.write_all(&[0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']).await.unwrap();
    let mut answer = [0; 7];
    upgraded.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x81\x05hello");
}
