use std::{fmt, time::Duration};

use super::{Extended, Released, held::Held};
use crate::error::Result;

/// A [`Lock`](super::Lock) that is ours. Dropped, it is given back in the background.
#[must_use = "a guard that is dropped gives the lock back"]
pub struct LockGuard {
    held: Held,
}

impl LockGuard {
    pub(super) fn new(held: Held) -> Self {
        Self { held }
    }

    /// A number that is larger than that of every earlier holder of the lock, also after the lock's keys were lost, as long as
    /// the server's clock is right. A store that keeps the largest one it saw can refuse a holder that was overtaken.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// Waits until the lock is not ours any more: the server said so, or its lease has ended by this machine's steady clock
    /// without a renewal, a little before it ends at the server.
    pub async fn lost(&self) {
        self.held.holding.lost().await;
    }

    /// Whether [`lost`](Self::lost) would return at once.
    pub fn is_lost(&self) -> bool {
        self.held.holding.is_lost()
    }

    /// Sets the time that the lock is ours from now on, 1 ms to a day; the watchdog only makes it longer. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use std::time::Duration;
    /// use russet::{Extended, Lock};
    ///
    /// let guard = Lock::builder(&russet, "resource_1").watchdog(false).build()?.acquire().await?;
    /// assert_eq!(guard.extend(Duration::from_secs(300)).await?, Extended::Done);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a time out of range; otherwise when the server cannot be asked.
    pub async fn extend(&self, time: Duration) -> Result<Extended> {
        self.held.extend(time).await
    }

    /// Does this while the lock is ours, and gives it back, as [`Lock::with`](super::Lock::with) does.
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body.
    pub async fn with<T>(self, body: impl AsyncFnOnce(&Self) -> T) -> Result<T> {
        let done = self.held.holding.hold(body(&self)).await;
        self.held.finish(done).await
    }

    /// Gives the lock back: to the process that waits longest, if there is one. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; it is tried again in the background.
    pub async fn release(self) -> Result<Released> {
        self.held.release().await
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("lock", &self.held.lock.place.object())
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}
