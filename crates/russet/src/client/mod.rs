//! The one handle over the server; the only folder that names the driver.

mod address;
mod breaker;
mod builder;
mod call;
mod cluster;
mod connection;
mod control;
mod dial;
mod doctor;
mod durability;
mod fault;
mod health;
mod link;
mod meter;
#[cfg(any(feature = "lock", feature = "queue"))]
mod objects;
mod places;
pub mod raw;
mod replies;
mod router;
mod send;
mod sentinel;
mod settings;
mod subscription;
mod tls;
mod url;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::runtime::Handle;

pub use builder::RussetBuilder;
pub(crate) use call::Call;
pub(crate) use control::{Control, Heartbeat, Keeper, Kept, Pulse};
pub use doctor::{Finding, Severity};
pub use durability::{Durability, Reached};
pub use health::Health;
pub use meter::{Sent, metered};
pub(crate) use send::FromReply;
pub(crate) use subscription::{Channels, Message, Messages, News, Placed, Post, Subscription};

use crate::{
    clock::ServerClock, error::Result, id::Id, keys::Namespace, listen::Listeners, wake::Inbox,
};
use places::Places;
use router::Router;
use settings::{Settings, Topology};

/// A connection to Redis or Valkey that every block is built on.
///
/// The server may be a single one, the primary that sentinels name, or a Cluster. A cheap clone; all clones share one
/// multiplexed connection for calls (on a Cluster one for each node that is needed), and one for messages that is opened
/// when a block first waits for something. It reconnects by itself, with backoff and jitter, and every call
/// ends by its deadline. After three failures within a second calls fail at once, until the server answers a probe.
///
/// Needs a tokio runtime that lives as long as the handle.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let url = server.url();
/// use russet::Russet;
///
/// let russet = Russet::connect(&url).await?; // such as redis://127.0.0.1
/// println!("{}", russet.health().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Russet {
    inner: Arc<Inner>,
    durability: Durability,
}

struct Inner {
    namespace: Namespace,
    clock: Arc<ServerClock>,
    settings: Arc<Settings>,
    places: Arc<Places>,
    runtime: Handle,
    data: Router,
    /// Made when the first write waits for more than its answer.
    durable: OnceLock<Router>,
    closed: AtomicBool,
    control: Control,
    listeners: Arc<Listeners>,
    inbox: Inbox,
}

impl Russet {
    /// Connects to the server at this URL, with the defaults of the [builder](Self::builder).
    ///
    /// # Errors
    /// `Invalid` for a malformed URL, `Refused` for a wrong login, `Unreachable` when the server
    /// does not answer within a second.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().url(url).connect().await
    }

    /// For everything that a URL does not say.
    pub fn builder() -> RussetBuilder {
        RussetBuilder::new()
    }

    /// The first part of every key, as it is written there.
    pub fn namespace(&self) -> &str {
        self.inner.namespace.as_str()
    }

    /// Closes the connections and waits until the background work has ended; every later call of this handle and its
    /// clones fails. For an orderly end: dropping the last clone closes them too, without waiting.
    pub async fn close(&self) {
        self.inner.listeners.close().await;
        self.inner.control.close().await;
        self.inner.closed.store(true, Ordering::Relaxed);
        if let Some(durable) = self.inner.durable.get() {
            durable.close().await;
        }
        self.inner.data.close().await;
        self.inner.places.close().await;
    }

    fn start(settings: Settings, namespace: Namespace) -> Result<Self> {
        let clock = Arc::new(ServerClock::default());
        let settings = Arc::new(settings);
        let places = Arc::new(Places::start(&settings));
        let subscription = Subscription::new(settings.clone(), places.clone());
        let runtime = Handle::current();
        let listeners = Arc::new(Listeners::new(subscription, &runtime));
        let inbox = Inbox::new(&namespace, Id::random()?, &listeners)?;
        let control = Control::new(&places, &settings, &clock);
        let data = Router::start(&places, &settings, &clock, &runtime);
        let inner = Inner {
            namespace,
            clock,
            settings,
            places,
            runtime,
            data,
            durable: OnceLock::new(),
            closed: AtomicBool::new(false),
            control,
            listeners,
            inbox,
        };
        Ok(Self { inner: Arc::new(inner), durability: Durability::default() })
    }

    pub(crate) fn names(&self) -> &Namespace {
        &self.inner.namespace
    }

    #[cfg(any(
        feature = "cache",
        feature = "counters",
        feature = "leaderboard",
        feature = "queue",
        feature = "session"
    ))]
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.inner.clock
    }

    #[cfg(any(feature = "cache", feature = "lock", feature = "pubsub", feature = "queue"))]
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    /// Where background work runs.
    #[cfg(any(
        feature = "bloom",
        feature = "cache",
        feature = "inventory",
        feature = "lock",
        feature = "pubsub",
        feature = "session"
    ))]
    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    #[cfg(any(feature = "cache", feature = "pubsub", feature = "queue"))]
    pub(crate) fn listeners(&self) -> &Listeners {
        &self.inner.listeners
    }

    /// Whether they are clones of one handle.
    #[cfg(any(feature = "cache", feature = "lock"))]
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether the keys are spread over the nodes of a Cluster.
    #[cfg(any(feature = "cache", feature = "lock"))]
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.inner.settings.topology, Topology::Cluster(_))
    }

    #[cfg(any(feature = "bloom", feature = "cache", feature = "lock", feature = "queue"))]
    pub(crate) fn control(&self) -> &Control {
        &self.inner.control
    }

    fn router(&self) -> &Router {
        &self.inner.data
    }

    fn durable_router(&self) -> &Router {
        let Inner { places, settings, clock, runtime, .. } = &*self.inner;
        if self.inner.closed.load(Ordering::Relaxed) {
            // It refuses; a new one would connect.
            return self.router();
        }
        self.inner.durable.get_or_init(|| Router::start(places, settings, clock, runtime))
    }
}

impl fmt::Debug for Russet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Russet")
            .field("server", &format_args!("{}", self.router().settings().topology))
            .field("namespace", &self.namespace())
            .finish()
    }
}
