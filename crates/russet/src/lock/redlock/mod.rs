//! A lock by the votes of several independent servers.

mod builder;
mod guard;
mod round;
mod votes;

use std::{fmt, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::scripts::VotePlace;
use crate::{client::Russet, error::Result};

pub use builder::RedlockBuilder;
pub use guard::RedlockGuard;
pub use votes::{NoMajority, NodeVote};

/// A lock that is held by a majority of several independent servers, so that it survives the loss of a minority of them.
///
/// The servers must know nothing of each other: no replicas, no Cluster. All are asked at the same time, each with a
/// [time of its own](RedlockBuilder::node_timeout); the lock is ours when a majority voted for us, for the lease less the time
/// that took and less what clocks may drift. It is given back at every server, also at those that did not answer.
///
/// What it does not promise: it has no fence, so nothing protects from a holder that stood still beyond its lease; a server that
/// comes back without its data may vote twice; clocks that jump break it. Nobody is handed the lock: who waits asks again
/// after a random time. Where what is protected can look at a fence, a [`Lock`](super::Lock) protects it better, with one server;
/// `docs/design/lock-safety.md` says when to take which.
///
/// ```
/// # use russet::testing::TestServer;
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let servers = [TestServer::start().await?, TestServer::start().await?, TestServer::start().await?];
/// # let [a, b, c] = [servers[0].url(), servers[1].url(), servers[2].url()];
/// use std::time::Duration;
/// use russet::{Redlock, Released, Russet};
///
/// let nodes = [Russet::connect(&a).await?, Russet::connect(&b).await?, Russet::connect(&c).await?];
/// let redlock = Redlock::builder(&nodes, "critical_resource").build()?;
/// let guard = redlock.try_acquire_for(Duration::from_secs(5)).await?.expect("nobody has it");
/// assert!(redlock.try_acquire().await?.is_none());
/// assert_eq!(guard.release().await?, Released::Done);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Redlock {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    nodes: Vec<Node>,
    quorum: usize,
    lease: Duration,
    watchdog: bool,
    node_timeout: Duration,
    retry_delay: Duration,
}

struct Node {
    russet: Russet,
    place: VotePlace,
}

impl Redlock {
    /// Starts the settings of the lock `name`, which has 1 to 256 bytes, by the votes of these servers, 3 to 15.
    pub fn builder(nodes: &[Russet], name: &str) -> RedlockBuilder {
        RedlockBuilder::new(nodes, name)
    }

    /// Waits until the lock is ours, for as long as that takes.
    ///
    /// # Errors
    /// `Unreachable` when so many servers did not answer that no majority could come together; its source is [`NoMajority`], with
    /// what became of each.
    #[tracing::instrument(name = "redlock.acquire", level = "debug", skip_all, fields(lock = self.name()))]
    pub async fn acquire(&self) -> Result<RedlockGuard> {
        loop {
            if let Some(guard) = self.try_acquire().await? {
                return Ok(guard);
            }
            sleep(self.delay()).await;
        }
    }

    /// Asks every server once. `None` when others have the votes.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<RedlockGuard>> {
        round::vote(&self.inner).await
    }

    /// Waits until the lock is ours, but no longer than this, and until a majority of the servers answers. The round that is
    /// under way when the time ends is not cut short.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), when that was so in the last round.
    pub async fn try_acquire_for(&self, time: Duration) -> Result<Option<RedlockGuard>> {
        let end = Instant::now() + time;
        loop {
            let outcome = self.try_acquire().await;
            let delay = self.delay();
            if matches!(outcome, Ok(Some(_))) || Instant::now() + delay >= end {
                return outcome;
            }
            sleep(delay).await;
        }
    }

    /// Waits for the lock, does this while it is ours, and gives it back, as [`Lock::with`](super::Lock::with) does.
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body; otherwise as [`acquire`](Self::acquire).
    pub async fn with<T>(&self, body: impl AsyncFnOnce(&RedlockGuard) -> T) -> Result<T> {
        self.acquire().await?.with(body).await
    }

    /// Random, so that those who took votes from each other do not come back together.
    fn delay(&self) -> Duration {
        rand::rng().random_range(Duration::ZERO..=self.inner.retry_delay)
    }

    fn name(&self) -> &str {
        self.inner.object()
    }
}

impl Inner {
    fn object(&self) -> &str {
        self.nodes.first().map_or("", |node| node.place.object())
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock")
            .field("name", &self.name())
            .field("nodes", &self.inner.nodes.len())
            .field("lease", &self.inner.lease)
            .finish_non_exhaustive()
    }
}
