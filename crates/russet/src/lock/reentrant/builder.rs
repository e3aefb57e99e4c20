use std::time::Duration;

use super::ReentrantLock;
use crate::{error::Result, lock::LockBuilder};

/// The settings of a [`ReentrantLock`]; made by [`ReentrantLock::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ReentrantLockBuilder {
    lock: LockBuilder,
}

impl ReentrantLockBuilder {
    pub(super) fn new(lock: LockBuilder) -> Self {
        Self { lock }
    }

    /// As [`LockBuilder::lease`]. Defaults to 30 seconds.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lock: self.lock.lease(lease) }
    }

    /// As [`LockBuilder::watchdog`]. Defaults to true.
    pub fn watchdog(self, renews: bool) -> Self {
        Self { lock: self.lock.watchdog(renews) }
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, or the lease out of its range.
    pub fn build(self) -> Result<ReentrantLock> {
        Ok(ReentrantLock { inner: self.lock.inner()? })
    }
}
