//! An HTTP/1 server whose every wait has an end.
//!
//! `axum::serve` sets no limit on how long a client may take to send a request, so one slow client holds a
//! connection for ever. [`Server`] bounds the head, the body, the response and the number of connections, and
//! stops within a deadline.

mod body;
mod stall;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

pub use body::BodyTooSlow;

use body::{BodyLimits, GuardedBody};
use stall::StallTimeout;

/// The smallest buffer that hyper can work with.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Serves a [`Router`] on a TCP listener, with a limit for everything that a client can make last.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use axum::{Router, routing::get};
/// use russet_axum::Server;
///
/// let app = Router::new().route("/", get(async || "hello"));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
/// let stop = async { let _ = tokio::signal::ctrl_c().await; };
/// let closed = Server::new().max_connections(200).serve(listener, app, stop).await;
/// println!("{} connections were cut", closed.cut);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Server {
    head_timeout: Duration,
    max_head_bytes: usize,
    max_headers: usize,
    body: BodyLimits,
    write_timeout: Duration,
    max_connections: usize,
    shutdown_deadline: Duration,
}

/// How [`Server::serve`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Connections that were still busy at the shutdown deadline and were cut.
    pub cut: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(15),
            max_head_bytes: 16 * 1024,
            max_headers: 100,
            body: BodyLimits {
                max_bytes: 1024 * 1024,
                min_bytes_per_second: 1024,
                grace: Duration::from_secs(10),
            },
            write_timeout: Duration::from_secs(30),
            max_connections: 1024,
            shutdown_deadline: Duration::from_secs(10),
        }
    }
}

impl Server {
    /// A server with the limits that each setter names as its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a client may take to send a whole request head (request line and headers).
    ///
    /// The time runs from the moment the connection is accepted, or the previous response was written; so this
    /// is the limit for an idle kept-alive connection as well. The connection is closed without an answer.
    /// Default: 15 seconds.
    #[must_use]
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// The most bytes a request head may have; a longer one is answered with 431 and the connection closed.
    /// Default: 16 KiB.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// The most headers a request may have; more are answered with 431 and the connection closed. Default: 100.
    #[must_use]
    pub fn max_headers(mut self, headers: usize) -> Self {
        self.max_headers = headers;
        self
    }

    /// The most bytes a request body may have.
    ///
    /// Reading a longer one fails, which the extractors of [`crate::extract`] answer with 413. This limit takes
    /// the place of axum's own of 2 MB; a route can still set a smaller one with `DefaultBodyLimit`.
    /// Default: 1 MiB.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.body.max_bytes = bytes;
        self
    }

    /// The slowest a request body may arrive, after a grace period at its start.
    ///
    /// Only the time spent waiting for the client counts. Reading a slower body fails with [`BodyTooSlow`],
    /// which the extractors of [`crate::extract`] answer with 408. A rate of 0 counts as 1.
    /// Default: 1,024 bytes a second after 10 seconds.
    #[must_use]
    pub fn min_body_rate(mut self, bytes_per_second: u32, grace: Duration) -> Self {
        self.body.min_bytes_per_second = bytes_per_second.max(1);
        self.body.grace = grace;
        self
    }

    /// How long the client may leave the response unread before the connection is closed. The time starts
    /// again with every byte that it takes. Default: 30 seconds.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The most connections open at once; 0 counts as 1.
    ///
    /// Further clients are not refused: they wait in the listener's backlog until a connection is closed.
    /// Default: 1,024.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long requests that are under way at shutdown may take to finish before they are cut.
    /// Default: 10 seconds.
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.shutdown_deadline = deadline;
        self
    }

    /// Serves `app` until `stop` resolves, then closes idle connections, lets requests that are under way
    /// finish within the shutdown deadline, and cuts the rest.
    ///
    /// The client's address is in the request's extensions as `ConnectInfo<SocketAddr>`.
    ///
    /// A connection that a handler upgrades, to a WebSocket, is the handler's own from then on: it counts no more among the
    /// connections, and is neither waited for nor cut at the end. Its writes still end by the write timeout.
    pub async fn serve(
        &self,
        listener: TcpListener,
        app: Router,
        stop: impl Future<Output = ()>,
    ) -> Closed {
        let app = app.layer(DefaultBodyLimit::disable());
        let (closing, open) = watch::channel(());
        let permits = Arc::new(Semaphore::new(self.max_connections));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let (stream, peer, permit) = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &permits) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            connections.spawn(self.clone().connection(
                stream,
                peer,
                permit,
                app.clone(),
                open.clone(),
            ));
        }
        drop(listener);
        closing.send_replace(());
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shutdown_deadline, all).await.is_ok() {
            return Closed { cut: 0 };
        }
        let cut = connections.len();
        tracing::warn!(cut, "requests were still running at the shutdown deadline");
        connections.shutdown().await;
        Closed { cut }
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        _permit: OwnedSemaphorePermit,
        app: Router,
        mut open: watch::Receiver<()>,
    ) {
        // Answers are small and complete: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let body = self.body;
        let service = app.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(|incoming| Body::new(GuardedBody::new(incoming, body)));
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let io = TokioIo::new(StallTimeout::new(stream, self.write_timeout));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_header_size(self.max_head_bytes)
            .max_buf_size(self.max_head_bytes.max(SMALLEST_BUFFER))
            .max_headers(self.max_headers)
            .serve_connection(io, TowerToHyperService::new(service))
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            // Told once; a request that is under way is answered first.
            _ = open.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                // Out of file descriptors, mostly: those only come back when connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
