use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Inner, Node,
    round::{self, end_in_background},
    votes::{NoMajority, NodeVote, Sum, sum},
};
use crate::{
    client::Kept,
    error::Result,
    id::Id,
    lock::{
        self, Extended, Released,
        builder::check_time,
        holding::{Holding, Watched},
        scripts,
    },
};

/// A [`Redlock`](super::Redlock) that is ours. Dropped, it is given back at every server in the background.
#[must_use = "a guard that is dropped gives the lock back"]
pub struct RedlockGuard {
    lock: Arc<Inner>,
    owner: Id,
    holding: Arc<Holding>,
    kept: Vec<Kept>,
    is_released: bool,
}

impl RedlockGuard {
    pub(super) fn new(lock: &Arc<Inner>, owner: Id, holding: Arc<Holding>) -> Self {
        let keep = |(server, Node { russet, place }): (usize, &Node)| {
            let watched = Arc::new(Watched { holding: holding.clone(), server });
            let renewal = scripts::vote_extension(place, owner, lock.lease, true);
            russet.control().keep(lock.lease / 3, renewal, &watched)
        };
        let watched = if lock.watchdog { lock.nodes.as_slice() } else { &[] };
        let kept = watched.iter().enumerate().map(keep).collect();
        Self { lock: lock.clone(), owner, holding, kept, is_released: false }
    }

    /// How long a majority keeps the lock for us without a renewal: the lease, less what asking took and what clocks may drift.
    pub fn validity(&self) -> Duration {
        self.holding.until().saturating_duration_since(Instant::now())
    }

    /// Waits until the lock is not ours any more: a majority said so, or does not keep it any longer by this machine's steady
    /// clock.
    pub async fn lost(&self) {
        self.holding.lost().await;
    }

    /// Whether [`lost`](Self::lost) would return at once.
    pub fn is_lost(&self) -> bool {
        self.holding.is_lost()
    }

    /// Sets the time that the lock is ours from now on, 1 ms to a day, at a majority of the servers; the watchdog only makes it
    /// longer.
    ///
    /// # Errors
    /// `Invalid` for a time out of range; `Unreachable` when too few servers answered, with [`NoMajority`] as its source: the lock
    /// is ours for what was left of it.
    pub async fn extend(&self, time: Duration) -> Result<Extended> {
        check_time(time)?;
        let sent = Instant::now();
        let call = |node: &Node| scripts::vote_extension(&node.place, self.owner, time, false);
        let votes = round::all(&self.lock, call, |is_ours: bool| is_ours).await;
        for (server, vote) in votes.iter().enumerate() {
            match vote {
                NodeVote::Voted => self.holding.set(server, sent, time),
                NodeVote::Refused => self.holding.lose(server),
                NodeVote::TimedOut(_) | NodeVote::Failed(_) => {
                    self.holding.unsure(server, sent, time);
                }
            }
        }
        if self.holding.is_lost() {
            return Ok(Extended::Lost);
        }
        match sum(&votes, self.lock.quorum) {
            Sum::Yes => Ok(Extended::Done),
            Sum::No | Sum::Unknown => Err(self.no_majority(votes)),
        }
    }

    /// Does this while the lock is ours, and gives it back, as [`Lock::with`](crate::Lock::with) does.
    ///
    /// # Errors
    /// `Lost` when the lock was not ours until the end of the body.
    pub async fn with<T>(self, body: impl AsyncFnOnce(&Self) -> T) -> Result<T> {
        let done = self.holding.hold(body(&self)).await;
        let object = self.lock.clone();
        let Some(done) = done else { return Err(lock::lost(object.object())) };
        match self.release().await {
            Ok(Released::Lost) => Err(lock::lost(object.object())),
            // It was ours until the end of the body, by our clock; the rest is done in the background.
            Ok(Released::Done) | Err(_) => Ok(done),
        }
    }

    /// Gives the lock back at every server; those that do not answer are asked again in the background.
    ///
    /// # Errors
    /// `Unreachable` when too few servers answered, with [`NoMajority`] as its source.
    pub async fn release(mut self) -> Result<Released> {
        self.kept.clear();
        let (lock, owner) = (self.lock.clone(), self.owner);
        let end = |node: &Node| scripts::vote_end(&node.place, owner);
        let votes = round::all(&lock, end, |was_ours: bool| was_ours).await;
        self.is_released = true;
        for (server, vote) in votes.iter().enumerate() {
            if matches!(vote, NodeVote::TimedOut(_) | NodeVote::Failed(_)) {
                end_in_background(&lock, owner, server);
            }
        }
        match sum(&votes, lock.quorum) {
            Sum::Yes => Ok(Released::Done),
            Sum::No => Ok(Released::Lost),
            Sum::Unknown => Err(self.no_majority(votes)),
        }
    }

    fn no_majority(&self, votes: Vec<NodeVote>) -> crate::error::Error {
        NoMajority::error(self.lock.object(), votes, self.lock.quorum)
    }
}

impl Drop for RedlockGuard {
    fn drop(&mut self) {
        self.kept.clear();
        if !self.is_released {
            for server in 0..self.lock.nodes.len() {
                end_in_background(&self.lock, self.owner, server);
            }
        }
    }
}

impl fmt::Debug for RedlockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockGuard")
            .field("lock", &self.lock.object())
            .field("validity", &self.validity())
            .finish_non_exhaustive()
    }
}
