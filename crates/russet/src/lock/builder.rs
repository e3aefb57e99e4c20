use std::{sync::Arc, time::Duration};

use super::{Inner, Lock, Meters, line::Line, scripts::Place};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::Slot,
};

/// A lease is renewed at each third of its time: it must be longer than a few round trips.
pub(super) const SHORTEST_LEASE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(86_400);
pub(super) const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// The settings of a [`Lock`]; made by [`Lock::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::Duration;
/// use russet::Lock;
///
/// let lock = Lock::builder(&russet, "nightly_report").lease(Duration::from_secs(10)).build()?;
/// # lock.acquire().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LockBuilder {
    russet: Russet,
    name: String,
    lease: Duration,
    watchdog: bool,
}

impl LockBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self { russet: russet.clone(), name: name.to_owned(), lease: DEFAULT_LEASE, watchdog: true }
    }

    /// How long the lock is its holder's without a renewal, 100 ms to a day: for so long others wait for a process that died.
    /// Defaults to 30 seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Whether the lease is renewed at each third of its time, for as long as the guard lives. Without it the lock is lost with
    /// its lease, unless [`extend`](super::LockGuard::extend) is called. Defaults to true.
    pub fn watchdog(mut self, renews: bool) -> Self {
        self.watchdog = renews;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, or the lease out of its range.
    pub fn build(self) -> Result<Lock> {
        Ok(Lock { inner: self.inner()? })
    }

    pub(super) fn inner(self) -> Result<Arc<Inner>> {
        let slot = Slot::of(self.russet.names(), "lock", &self.name)?;
        check_lease(self.lease)?;
        let place = Place::new(slot, !self.russet.is_cluster());
        let meters = Meters {
            acquired: metrics::counter!("russet_lock_acquired_total", "lock" => self.name.clone()),
            lost: metrics::counter!("russet_lock_lost_total", "lock" => self.name.clone()),
            waited: metrics::histogram!("russet_lock_wait_seconds", "lock" => self.name),
        };
        let line = Line::of(&self.russet, &place);
        let (russet, lease, watchdog) = (self.russet, self.lease, self.watchdog);
        Ok(Arc::new(Inner { russet, place, lease, watchdog, line, meters }))
    }
}

pub(super) fn check_lease(lease: Duration) -> Result<()> {
    if (SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
        return Ok(());
    }
    Err(Error::invalid(format_args!(
        "the lease must be {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, not {lease:?}"
    )))
}

/// What [`LockGuard::extend`](super::LockGuard::extend) may set.
pub(super) fn check_time(time: Duration) -> Result<()> {
    if (Duration::from_millis(1)..=LONGEST_LEASE).contains(&time) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("the time must be 1 ms to {LONGEST_LEASE:?}, not {time:?}")))
}
