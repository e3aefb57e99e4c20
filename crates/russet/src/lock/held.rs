//! A lock that is ours: what every guard on one server is made of.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Extended, Inner, Released, builder,
    holding::{Holding, Watched},
    scripts,
};
use crate::{client::Kept, error::Result, id::Id};

/// Between two tries to give a lock back.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Given back by [`release`](Self::release); dropped otherwise, it is given back in the background. After a kill it ends with
/// its lease.
pub(super) struct Held {
    pub(super) lock: Arc<Inner>,
    pub(super) owner: Id,
    entry: Option<Id>,
    pub(super) fence: u64,
    pub(super) holding: Arc<Holding>,
    kept: Option<Arc<Kept>>,
    is_released: bool,
}

impl Held {
    /// Held by a call that was sent at this moment.
    pub(super) fn new(
        lock: &Arc<Inner>,
        owner: Id,
        entry: Option<Id>,
        fence: u64,
        sent: Instant,
    ) -> Self {
        let holding = Holding::of_one(sent, lock.lease);
        let kept = lock.watchdog.then(|| {
            let watched = Arc::new(Watched { holding: holding.clone(), server: 0 });
            let renewal = scripts::renewal(&lock.place, owner, lock.lease);
            Arc::new(lock.russet.control().keep(lock.lease / 3, renewal, &watched))
        });
        lock.meters.acquired.increment(1);
        Self { lock: lock.clone(), owner, entry, fence, holding, kept, is_released: false }
    }

    /// One more entry of the same holder, by a call that was sent at this moment.
    pub(super) fn entered(&self, entry: Id, sent: Instant) -> Self {
        self.holding.renewed(0, sent, true);
        Self {
            lock: self.lock.clone(),
            owner: self.owner,
            entry: Some(entry),
            fence: self.fence,
            holding: self.holding.clone(),
            kept: self.kept.clone(),
            is_released: false,
        }
    }

    pub(super) async fn extend(&self, time: Duration) -> Result<Extended> {
        builder::check_time(time)?;
        let Inner { russet, place, .. } = &*self.lock;
        let sent = Instant::now();
        match scripts::extend(russet, place, self.owner, time).await {
            Ok(true) => self.holding.set(0, sent, time),
            Ok(false) => self.holding.lose(0),
            Err(error) => {
                self.holding.unsure(0, sent, time);
                return Err(error);
            }
        }
        Ok(if self.holding.is_lost() { Extended::Lost } else { Extended::Done })
    }

    /// A release whose answer is lost is made once more in the background: done twice, it ends the same.
    pub(super) async fn release(mut self) -> Result<Released> {
        // No renewal finds it gone.
        self.kept = None;
        let Inner { russet, place, .. } = &*self.lock;
        let freed = scripts::release(russet, place, self.owner, self.entry).await?;
        self.is_released = true;
        if freed.was_handed_over {
            self.lock.line.handed_over(&self.lock, self.owner);
        }
        Ok(if freed.was_ours { Released::Done } else { Released::Lost })
    }

    /// The end of the work under the lock, which is given back; an error when it was not ours until then.
    pub(super) async fn finish<T>(self, done: Option<T>) -> Result<T> {
        let lock = self.lock.clone();
        let lost = || {
            lock.meters.lost.increment(1);
            super::lost(lock.place.object())
        };
        let Some(done) = done else { return Err(lost()) };
        match self.release().await {
            Ok(Released::Lost) => Err(lost()),
            Ok(Released::Done) => Ok(done),
            // It was ours until the end of the work, by our clock; it is given back in the background.
            Err(error) => {
                tracing::debug!(lock = lock.place.object(), %error, "a lock is not given back yet");
                Ok(done)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kept = None;
        if !self.is_released {
            release_in_background(&self.lock, self.owner, self.entry);
        }
    }
}

/// Gives a lock back that nobody uses any more, and tries again for as long as it could still be there.
pub(super) fn release_in_background(lock: &Arc<Inner>, owner: Id, entry: Option<Id>) {
    let lock = lock.clone();
    lock.russet.clone().runtime().spawn(async move {
        let Inner { russet, place, .. } = &*lock;
        let end = Instant::now() + lock.lease;
        loop {
            match scripts::release(russet, place, owner, entry).await {
                Ok(freed) => {
                    if freed.was_handed_over {
                        lock.line.handed_over(&lock, owner);
                    }
                    return;
                }
                Err(error) if Instant::now() >= end || !error.is_outage() => {
                    tracing::debug!(lock = place.object(), %error, "a lock was left to its lease");
                    return;
                }
                Err(_) => sleep(TRY_AGAIN).await,
            }
        }
    });
}
