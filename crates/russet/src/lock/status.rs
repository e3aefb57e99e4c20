use std::time::{Duration, SystemTime};

use super::{Inner, Lock, scripts};
use crate::{clock::from_millis, error::Result};

/// Who has a lock at one moment, as [`Lock::status`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStatus {
    /// The holder; `None` when the lock is free.
    pub holder: Option<Holder>,
    /// How many processes wait.
    pub waiting: u64,
    /// The fence of the last holder; 0 when nobody had the lock for a day.
    pub last_fence: u64,
}

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its fence.
    pub fence: u64,
    /// Since when it has the lock, by the server's clock.
    pub since: SystemTime,
    /// How long its lease has left.
    pub left: Duration,
    /// How often it has entered the lock: once, unless it is a [`ReentrantLock`](super::ReentrantLock).
    pub entries: u64,
}

impl Lock {
    /// Who has the lock, and how many wait for it. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let lock = russet::Lock::builder(&russet, "resource_1").build()?;
    /// let guard = lock.acquire().await?;
    /// let holder = lock.status().await?.holder.expect("it is held");
    /// assert_eq!(holder.fence, guard.fence());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn status(&self) -> Result<LockStatus> {
        let Inner { russet, place, .. } = &*self.inner;
        let (held, fence, since, left, waiting, entries) = scripts::status(russet, place).await?;
        let holder = (held == 1).then(|| Holder {
            fence,
            since: from_millis(since),
            left: Duration::from_millis(left),
            entries,
        });
        Ok(LockStatus { holder, waiting, last_fence: fence })
    }
}
