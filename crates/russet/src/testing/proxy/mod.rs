//! A network that a test can break and measure: a TCP proxy in front of a server.

mod counts;
mod lane;
mod listener;
mod relay;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use self::counts::Counts;
use self::listener::{Listener, Order};
use super::server::TestServer;

/// What a [`Proxy`] does with the bytes that reach it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Hands everything on. This is the default.
    #[default]
    Forward,
    /// Hands everything on, each byte this much later, in each direction. Order and rate stay as they are.
    Delay(Duration),
    /// Takes connections and bytes and hands nothing on, in either direction, and notices no end of the server:
    /// a peer that vanished without a word.
    Hang,
    /// No connection is open, and new ones are refused.
    Refuse,
    /// Hands the next request on, waits for its reply, and then cuts that connection instead of delivering it.
    /// Other connections, and that connection's successors, are forwarded.
    DropNextReply,
    /// As [`DropNextReply`](Self::DropNextReply), after so many other requests. For a client that sends one after the
    /// other, on one connection.
    DropReplyAfter(usize),
    /// Hands everything on, at most so many bytes at a time.
    Slice(usize),
    /// Hands the next request on, and so many bytes of what the server answers; then closes that connection. Others
    /// are forwarded.
    CutReplyAt(usize),
    /// Hands the next request on, and so many bytes of what the server answers; then nothing any more, without a word.
    /// Others are forwarded.
    StallReplyAt(usize),
}

/// A TCP proxy in front of a [`TestServer`], which counts what passes and can fail in several ways.
///
/// It listens on a free port of 127.0.0.1 and connects to the server once for each client. It runs on a thread of
/// its own, so it goes on while the test blocks. The server may be killed and restarted behind it; while the
/// server is away, connections are accepted and closed at once.
///
/// Dropping the proxy closes its connections and its port.
///
/// # Examples
///
/// ```
/// use russet::testing::{Proxy, TestServer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let server = TestServer::start().await?;
/// let proxy = Proxy::to(&server).await?;
/// let url = proxy.url();             // for the client under test
/// proxy.reset_counts();
/// // … one call through the client …
/// assert_eq!(proxy.round_trips(), 0);
/// proxy.refuse().await?;             // an outage
/// proxy.heal().await?;               // and its end
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    password: Option<String>,
    secure: bool,
    counts: Arc<Counts>,
    orders: Option<mpsc::UnboundedSender<(Order, oneshot::Sender<io::Result<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy to this server.
    ///
    /// # Errors
    ///
    /// When no port or thread can be had.
    pub async fn to(server: &TestServer) -> io::Result<Proxy> {
        let counts = Arc::new(Counts::default());
        let listener = Listener::bind(server.endpoint(), Arc::clone(&counts))?;
        let address = listener.address();
        let (orders, received) = mpsc::unbounded_channel();
        let thread =
            thread::Builder::new().name("russet-test-proxy".to_owned()).spawn(move || {
                // Without a runtime the channel closes, which the first order finds.
                if let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() {
                    runtime.block_on(listener.run(received));
                }
            })?;
        let proxy = Proxy {
            address,
            password: server.password().map(str::to_owned),
            secure: server.speaks_tls(),
            counts,
            orders: Some(orders),
            thread: Some(thread),
        };
        proxy.set(Mode::Forward).await?;
        Ok(proxy)
    }

    /// The URL for the client: the server's, with the proxy's address.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "rediss" } else { "redis" };
        match &self.password {
            None => format!("{scheme}://{}", self.address),
            Some(password) => format!("{scheme}://:{password}@{}", self.address),
        }
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many round trips passed: how often the server began to answer a client that had sent something since
    /// the answer before it, summed over the connections.
    ///
    /// A call that sends and then waits is one. A pipeline is one, however many commands, segments and replies it
    /// has, as long as the client sends nothing more after the first byte of the answer has reached it. Exact
    /// for one caller at a time, and for pipelines that fit into the socket's buffers (about 64 KB; of a larger
    /// one the server may answer the start while the client still writes).
    ///
    /// Concurrent callers of one connection: requests that leave together count once, so the number is at most
    /// that of the calls. Messages of a subscription count only when they come as the first bytes after a request.
    pub fn round_trips(&self) -> u64 {
        self.counts.round_trips()
    }

    /// Bytes that went from clients to the server.
    pub fn bytes_sent(&self) -> u64 {
        self.counts.sent()
    }

    /// Bytes that went from the server to clients.
    pub fn bytes_received(&self) -> u64 {
        self.counts.received()
    }

    /// How many connections were accepted, those included that are closed by now.
    pub fn connections(&self) -> u64 {
        self.counts.connections()
    }

    /// Sets all counts to zero.
    pub fn reset_counts(&self) {
        self.counts.reset();
    }

    /// Changes the mode. See [`Mode`], and the methods named after each one.
    ///
    /// The mode holds for everything that reaches the proxy after this returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be listened on again.
    pub async fn set(&self, mode: Mode) -> io::Result<()> {
        self.order(Order::Set(mode)).await
    }

    /// Resets all open connections; new ones work. When this returns, they are closed.
    ///
    /// # Errors
    ///
    /// When the proxy's thread has ended.
    pub async fn cut(&self) -> io::Result<()> {
        self.order(Order::Cut).await
    }

    /// [`Mode::Refuse`]: resets all open connections and refuses new ones.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn refuse(&self) -> io::Result<()> {
        self.set(Mode::Refuse).await
    }

    /// [`Mode::Hang`]: swallows everything.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn hang(&self) -> io::Result<()> {
        self.set(Mode::Hang).await
    }

    /// [`Mode::Delay`]: hands everything on this much later in each direction, so a round trip takes twice that.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn delay(&self, each_direction: Duration) -> io::Result<()> {
        self.set(Mode::Delay(each_direction)).await
    }

    /// [`Mode::DropNextReply`]: the server executes the next request, and its client never learns of it.
    ///
    /// The request is the first bytes that reach the proxy after this call. If replies to earlier requests of the
    /// same connection are on their way, they are lost too.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn drop_next_reply(&self) -> io::Result<()> {
        self.set(Mode::DropNextReply).await
    }

    /// [`Mode::DropReplyAfter`]: as [`drop_next_reply`](Self::drop_next_reply), after so many other requests.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn drop_reply_after(&self, requests: usize) -> io::Result<()> {
        self.set(Mode::DropReplyAfter(requests)).await
    }

    /// [`Mode::Slice`]: at most so many bytes at a time, at least 1.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn slice(&self, bytes: usize) -> io::Result<()> {
        self.set(Mode::Slice(bytes.max(1))).await
    }

    /// [`Mode::CutReplyAt`]: the next reply ends after so many bytes.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn cut_reply_at(&self, bytes: usize) -> io::Result<()> {
        self.set(Mode::CutReplyAt(bytes)).await
    }

    /// [`Mode::StallReplyAt`]: the next reply stops after so many bytes, and its connection is silent from then on.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn stall_reply_at(&self, bytes: usize) -> io::Result<()> {
        self.set(Mode::StallReplyAt(bytes)).await
    }

    /// Ends the direction to the client of all open connections: it reads end of file, and may still write.
    ///
    /// # Errors
    ///
    /// When the proxy's thread has ended.
    pub async fn half_close(&self) -> io::Result<()> {
        self.order(Order::HalfClose).await
    }

    /// [`Mode::Forward`]: everything works again.
    ///
    /// After [`hang`](Self::hang), connections that were opened meanwhile or lost bytes are reset, because their
    /// streams have a hole; untouched ones go on.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn heal(&self) -> io::Result<()> {
        self.set(Mode::Forward).await
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        if let Some(orders) = &self.orders {
            // A closed channel shows below: nobody answers.
            let _ = orders.send((order, done));
        }
        answer.await.map_err(|_| io::Error::other("the thread of the proxy has ended"))?
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread ends when the channel is closed.
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
