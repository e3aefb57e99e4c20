//! Locks whose holder learns that they are lost, with a fence for the store.

mod builder;
mod force;
mod guard;
mod held;
mod holding;
mod line;
mod names;
mod redlock;
mod reentrant;
mod scripts;
mod status;
mod take;

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use tokio::time::Instant;

use crate::{
    client::Russet,
    error::{Advice, Error, ErrorKind, Result},
};

use line::Line;
use scripts::Place;
use take::Patience;

pub use builder::LockBuilder;
pub use guard::LockGuard;
pub use names::LockNames;
pub use redlock::{NoMajority, NodeVote, Redlock, RedlockBuilder, RedlockGuard};
pub use reentrant::{Owner, ReentrantGuard, ReentrantLock, ReentrantLockBuilder};
pub use status::{Holder, LockStatus};

/// A lock on one server, or on one Cluster: one holder at a time among all processes, for as long as its lease lasts.
///
/// What it does not promise: a holder whose process stands still beyond the lease (a stopped process, a paused virtual machine)
/// cannot be told that the lock is another one's by now, and a failover of the server may forget who held it. So what the
/// lock protects has to look at the [`fence`](LockGuard::fence), a number that is larger with each holder, and refuse a smaller
/// one than it has seen; `docs/design/lock-safety.md` shows how. What runs under [`with`](Self::with) is cancelled
/// when the lock is lost, and before another one can have it, as long as this process runs at all.
///
/// - **Lease.** The lock is the holder's for the [`lease`](LockBuilder::lease), which a watchdog renews while the guard lives, on
///   a thread of its own: work that blocks its thread does not lose it. A process that dies holds it for one lease more.
/// - **Waiting.** The release hands the lock to the process that waits longest and wakes it; in each process callers take turns
///   in the order in which they came. Who waits sends nothing but a renewal of its place.
/// - **Cost.** A round trip to acquire, one to release.
///
/// A [`Lock`] and a [`ReentrantLock`] of one name are the same lock. The handle is a cheap clone.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// # async fn save(row: u64, fence: u64) -> u64 { row }
/// use russet::{Lock, Released};
///
/// let lock = Lock::builder(&russet, "resource_1").build()?;
/// let saved = lock.with(async |held| save(7, held.fence()).await).await?; // the store refuses an older fence
///
/// let guard = lock.try_acquire().await?.expect("nobody has it");
/// assert!(lock.try_acquire().await?.is_none());
/// assert_eq!(guard.release().await?, Released::Done);
/// # assert_eq!(saved, 7);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Lock {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    russet: Russet,
    place: Place,
    lease: Duration,
    watchdog: bool,
    line: Arc<Line>,
    meters: Meters,
}

struct Meters {
    acquired: Counter,
    lost: Counter,
    waited: Histogram,
}

/// What became of a lock that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Released {
    /// It was ours until now, and is the next one's or free.
    Done,
    /// It was not ours any more: its lease had ended, or it was taken away.
    Lost,
}

/// What became of a lock whose time was to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Extended {
    /// It is ours for that time.
    Done,
    /// It was not ours any more.
    Lost,
}

impl Lock {
    /// Starts the settings of the lock `name`, which has 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> LockBuilder {
        LockBuilder::new(russet, name)
    }

    /// Waits until the lock is ours, for as long as that takes. A round trip when it is free; otherwise one to get in line,
    /// and one when it is handed over.
    ///
    /// A caller that is dropped gives up its place; what may have been granted to it meanwhile is given back.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let lock = russet::Lock::builder(&russet, "resource_1").build()?;
    /// let first = lock.acquire().await?;
    /// let fence = first.fence();
    /// drop(first); // is released in the background
    /// assert!(lock.acquire().await?.fence() > fence);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the server cannot be asked.
    #[tracing::instrument(name = "lock.acquire", level = "debug", skip_all, fields(lock = self.name()))]
    pub async fn acquire(&self) -> Result<LockGuard> {
        let held = self.inner.take(None, Patience::Endless).await?;
        held.map(LockGuard::new).ok_or_else(|| Error::internal("a wait without an end ended"))
    }

    /// Takes the lock if nobody has it or waits for it; does not wait. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        Ok(self.inner.take(None, Patience::None).await?.map(LockGuard::new))
    }

    /// Waits until the lock is ours, but no longer than this.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use std::time::Duration;
    /// let lock = russet::Lock::builder(&russet, "resource_1").build()?;
    /// let first = lock.acquire().await?;
    /// assert!(lock.try_acquire_for(Duration::from_millis(20)).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn try_acquire_for(&self, time: Duration) -> Result<Option<LockGuard>> {
        let until = Patience::Until(Instant::now() + time);
        Ok(self.inner.take(None, until).await?.map(LockGuard::new))
    }

    /// Waits for the lock, does this while it is ours, and gives it back. When the lock is lost, the body is cancelled at the
    /// point at which it waits, before another one can have the lock.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let lock = russet::Lock::builder(&russet, "resource_1").build()?;
    /// let sum = lock.with(async |held| held.fence().min(1) + 2).await?;
    /// assert_eq!(sum, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body; otherwise when the server cannot be asked for it.
    pub async fn with<T>(&self, body: impl AsyncFnOnce(&LockGuard) -> T) -> Result<T> {
        self.acquire().await?.with(body).await
    }

    fn name(&self) -> &str {
        self.inner.place.object()
    }
}

/// What a body that lost its lock ends with.
fn lost(object: &str) -> Error {
    let message = format_args!("{object} was lost before the work under it had ended");
    Error::new(ErrorKind::Lost, Advice::GiveUp, message)
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name())
            .field("lease", &self.inner.lease)
            .finish_non_exhaustive()
    }
}
