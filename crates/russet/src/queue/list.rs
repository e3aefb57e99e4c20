use super::Queue;
use crate::{client::Russet, error::Result};

/// Which queues there are, as far as one look goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueNames {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// Whether all keys were looked at.
    pub is_complete: bool,
}

impl Queue {
    /// The queues of this namespace, for operators: a look at the keys of each primary of at most 200 ms, in steps of 500
    /// keys. A server with millions of other keys takes longer than that, and then some queues may be left out. A queue to
    /// which nothing was ever enqueued is not there.
    ///
    /// Enqueueing keeps no list of queues, because every task would pay for it; so this is not for a path that serves
    /// requests.
    ///
    /// # Errors
    /// When a server cannot be asked, or does not let this user look (`SCAN`).
    pub async fn names(russet: &Russet) -> Result<QueueNames> {
        let (names, is_complete) = russet.objects("queue").await?;
        Ok(QueueNames { names, is_complete })
    }
}
