//! A lock that its holder can enter once more: the holder is a guard, not a thread and not a task.

mod builder;
mod guard;
mod owner;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Inner, Lock,
    held::Held,
    scripts::{self, Entered},
    take::Patience,
};
use crate::{
    client::Russet,
    error::{Error, Result},
    id::Id,
};

pub use builder::ReentrantLockBuilder;
pub use guard::ReentrantGuard;
pub use owner::Owner;

/// A [`Lock`] that its holder can enter once more, up to 255 deep; it is free when each entry was given back.
///
/// Who holds it is the [`ReentrantGuard`]: [`reenter`](ReentrantGuard::reenter) works on it from any task, and from another
/// process for the [`Owner`] that it names. So a task that happens to run on the same thread cannot enter, as it can with
/// locks that go by threads, and a guard that is passed on keeps its rights. What a [`Lock`] promises and does
/// not promise holds here too.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use russet::{Released, ReentrantLock};
///
/// let lock = ReentrantLock::builder(&russet, "recursive_resource").build()?;
/// let outer = lock.acquire().await?;
/// let inner = outer.reenter().await?;
/// assert_eq!(inner.fence(), outer.fence());
/// assert!(lock.try_acquire().await?.is_none()); // without the guard nobody enters
/// assert_eq!(inner.release().await?, Released::Done);
/// assert_eq!(outer.release().await?, Released::Done);
/// assert!(lock.try_acquire().await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ReentrantLock {
    inner: Arc<Inner>,
}

impl ReentrantLock {
    /// Starts the settings of the lock `name`, which has 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> ReentrantLockBuilder {
        ReentrantLockBuilder::new(Lock::builder(russet, name))
    }

    /// As [`Lock::acquire`]: waits behind other holders, the caller's own guards included.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn acquire(&self) -> Result<ReentrantGuard> {
        let guard = self.take(Patience::Endless).await?;
        guard.ok_or_else(|| Error::internal("a wait without an end ended"))
    }

    /// As [`Lock::try_acquire`].
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn try_acquire(&self) -> Result<Option<ReentrantGuard>> {
        self.take(Patience::None).await
    }

    /// As [`Lock::try_acquire_for`].
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn try_acquire_for(&self, time: Duration) -> Result<Option<ReentrantGuard>> {
        self.take(Patience::Until(Instant::now() + time)).await
    }

    /// As [`Lock::with`]; the body can [`reenter`](ReentrantGuard::reenter).
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body; otherwise when the server cannot be asked for it.
    pub async fn with<T>(&self, body: impl AsyncFnOnce(&ReentrantGuard) -> T) -> Result<T> {
        self.acquire().await?.with(body).await
    }

    /// Enters for an owner that holds the lock, in this process or in another one; `None` when it does not. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use russet::{Owner, ReentrantLock};
    ///
    /// let lock = ReentrantLock::builder(&russet, "recursive_resource").build()?;
    /// let outer = lock.acquire().await?;
    /// let sent_along: String = outer.owner().to_string(); // to a process that works for this one
    ///
    /// let owner: Owner = sent_along.parse()?;
    /// let inner = lock.enter_as(&owner).await?.expect("it still has the lock");
    /// assert_eq!(inner.fence(), outer.fence());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Refused` when it was entered 255 times; otherwise when the server cannot be asked.
    pub async fn enter_as(&self, owner: &Owner) -> Result<Option<ReentrantGuard>> {
        let entered = Entering::new(&self.inner, owner.id())?.enter().await?;
        Ok(entered.map(|(entry, fence, sent)| {
            let held = Held::new(&self.inner, owner.id(), Some(entry), fence, sent);
            ReentrantGuard::new(held)
        }))
    }

    async fn take(&self, patience: Patience) -> Result<Option<ReentrantGuard>> {
        let held = self.inner.take(Some(Id::random()?), patience).await?;
        Ok(held.map(ReentrantGuard::new))
    }
}

/// An entry that was asked for. Dropped before it was answered, it is given back in the background.
pub(super) struct Entering<'a> {
    lock: &'a Arc<Inner>,
    owner: Id,
    entry: Id,
    is_answered: bool,
}

impl<'a> Entering<'a> {
    pub(super) fn new(lock: &'a Arc<Inner>, owner: Id) -> Result<Self> {
        Ok(Self { lock, owner, entry: Id::random()?, is_answered: false })
    }

    /// The entry, the fence and when it was asked for; none when the lock is not this owner's.
    pub(super) async fn enter(mut self) -> Result<Option<(Id, u64, Instant)>> {
        let Inner { russet, place, lease, .. } = &**self.lock;
        let sent = Instant::now();
        let entered = scripts::enter(russet, place, self.owner, self.entry, *lease).await?;
        self.is_answered = true;
        match entered {
            Entered::Again { fence } => Ok(Some((self.entry, fence, sent))),
            Entered::NotHeld => Ok(None),
            Entered::TooDeep => Err(owner::too_deep(place.object())),
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            super::held::release_in_background(self.lock, self.owner, Some(self.entry));
        }
    }
}

impl fmt::Debug for ReentrantLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantLock")
            .field("name", &self.inner.place.object())
            .field("lease", &self.inner.lease)
            .finish_non_exhaustive()
    }
}
