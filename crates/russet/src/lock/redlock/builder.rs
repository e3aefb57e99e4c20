use std::{sync::Arc, time::Duration};

use super::{Inner, Node, Redlock};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::Slot,
    lock::{
        builder::{DEFAULT_LEASE, check_lease},
        scripts::VotePlace,
    },
};

/// Fewer survive nothing; more cost more round trips than they are worth.
const NODES: std::ops::RangeInclusive<usize> = 3..=15;

/// The settings of a [`Redlock`]; made by [`Redlock::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedlockBuilder {
    nodes: Vec<Russet>,
    name: String,
    lease: Duration,
    watchdog: bool,
    node_timeout: Option<Duration>,
    retry_delay: Duration,
}

impl RedlockBuilder {
    pub(super) fn new(nodes: &[Russet], name: &str) -> Self {
        Self {
            nodes: nodes.to_vec(),
            name: name.to_owned(),
            lease: DEFAULT_LEASE,
            watchdog: true,
            node_timeout: None,
            retry_delay: Duration::from_millis(100),
        }
    }

    /// How long the lock is its holder's without a renewal, 100 ms to a day. Defaults to 30 seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Whether the votes are renewed at each third of the lease, for as long as the guard lives. Defaults to true.
    pub fn watchdog(mut self, renews: bool) -> Self {
        self.watchdog = renews;
        self
    }

    /// How long one server is waited for, up to half of the lease: a server that hangs costs so much, once for all. Defaults
    /// to 50 ms, or a twentieth of the lease if that is shorter.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = Some(timeout);
        self
    }

    /// The longest time between two tries; each waits a random part of it. Defaults to 100 ms.
    pub fn retry_delay(mut self, at_most: Duration) -> Self {
        self.retry_delay = at_most;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when there are not 3 to 15 servers, when two of them are clones of one handle, when the name is not 1 to 256 bytes
    /// long, or when a time is out of its range.
    pub fn build(self) -> Result<Redlock> {
        check_lease(self.lease)?;
        if !NODES.contains(&self.nodes.len()) {
            let count = self.nodes.len();
            return Err(Error::invalid(format_args!("a Redlock has 3 to 15 servers, not {count}")));
        }
        for (nth, node) in self.nodes.iter().enumerate() {
            if self.nodes.iter().take(nth).any(|earlier| earlier.is_clone_of(node)) {
                return Err(Error::invalid("two servers of the Redlock are one handle"));
            }
        }
        let node_timeout =
            self.node_timeout.unwrap_or(Duration::from_millis(50).min(self.lease / 20));
        if node_timeout.is_zero() || node_timeout > self.lease / 2 {
            return Err(Error::invalid(format_args!(
                "the node timeout must be more than zero and at most half of the lease of {:?}, not {node_timeout:?}",
                self.lease
            )));
        }
        let nodes = self.nodes.into_iter().map(|russet| {
            let place = VotePlace::new(Slot::of(russet.names(), "redlock", &self.name)?);
            Ok(Node { russet, place })
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let inner = Inner {
            quorum: nodes.len() / 2 + 1,
            nodes,
            lease: self.lease,
            watchdog: self.watchdog,
            node_timeout,
            retry_delay: self.retry_delay,
        };
        Ok(Redlock { inner: Arc::new(inner) })
    }
}
