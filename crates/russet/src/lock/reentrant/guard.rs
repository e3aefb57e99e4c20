use std::{fmt, time::Duration};

use super::{Entering, Owner};
use crate::{
    error::Result,
    lock::{self, Extended, Released, held::Held},
};

/// An entry of a [`ReentrantLock`](super::ReentrantLock) that is ours. Dropped, it is given back in the background; the lock is
/// free when all its entries are.
#[must_use = "a guard that is dropped gives its entry back"]
pub struct ReentrantGuard {
    held: Held,
}

impl ReentrantGuard {
    pub(super) fn new(held: Held) -> Self {
        Self { held }
    }

    /// Enters the lock once more. One round trip.
    ///
    /// # Errors
    /// `Lost` when the lock is not ours any more; `Refused` when it was entered 255 times; otherwise when the server cannot be
    /// asked.
    pub async fn reenter(&self) -> Result<Self> {
        let Held { lock, owner, .. } = &self.held;
        match Entering::new(lock, *owner)?.enter().await? {
            Some((entry, _, sent)) => Ok(Self { held: self.held.entered(entry, sent) }),
            None => {
                self.held.holding.lose(0);
                Err(lock::lost(lock.place.object()))
            }
        }
    }

    /// Who holds the lock, for another process that is to enter with
    /// [`enter_as`](super::ReentrantLock::enter_as).
    pub fn owner(&self) -> Owner {
        Owner::new(self.held.owner)
    }

    /// As [`LockGuard::fence`](crate::LockGuard::fence); the same for all entries.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// As [`LockGuard::lost`](crate::LockGuard::lost).
    pub async fn lost(&self) {
        self.held.holding.lost().await;
    }

    /// Whether [`lost`](Self::lost) would return at once.
    pub fn is_lost(&self) -> bool {
        self.held.holding.is_lost()
    }

    /// As [`LockGuard::extend`](crate::LockGuard::extend), for all entries.
    ///
    /// # Errors
    /// `Invalid` for a time out of range; otherwise when the server cannot be asked.
    pub async fn extend(&self, time: Duration) -> Result<Extended> {
        self.held.extend(time).await
    }

    /// Does this while the lock is ours, and gives the entry back.
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body.
    pub async fn with<T>(self, body: impl AsyncFnOnce(&Self) -> T) -> Result<T> {
        let done = self.held.holding.hold(body(&self)).await;
        self.held.finish(done).await
    }

    /// Gives the entry back, and the lock with the last one. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; it is tried again in the background.
    pub async fn release(self) -> Result<Released> {
        self.held.release().await
    }
}

impl fmt::Debug for ReentrantGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantGuard")
            .field("lock", &self.held.lock.place.object())
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}
