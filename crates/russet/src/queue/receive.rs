//! Taking tasks one by one: the pull consumer.

use std::time::Duration;

use tokio::{runtime::Handle, time::Instant};

use super::{
    Delivery, Inner, Queue, TaskId,
    record::Record,
    scripts::{self, Settlement, Turn, Verdict, Waits},
};
use crate::{error::Result, id::Id};

/// Nobody waits longer without looking: a message can be lost.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Queue {
    /// Claims the next task: waits for one up to this long, and is woken when there is one. The task is the caller's for the
    /// queue's [`lease`](super::QueueBuilder::lease), which nothing renews but [`extend`](Delivery::extend). A round trip, and
    /// one more for each time it is woken.
    ///
    /// # Errors
    /// When the server cannot be asked. What it may have given in an answer that was lost is given back.
    pub async fn receive(&self, timeout: Duration) -> Result<Option<Delivery>> {
        let inner = &self.inner;
        let end = Instant::now() + timeout;
        let claimant = Id::random()?.to_string();
        let mut waiting = None;
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
            let mut waits = Waits { at_most: left, ..Waits::default() };
            if waiting.is_none() && !left.is_zero() {
                // Registered here before the script records it: a message in between would find nobody.
                waiting = Some(inner.russet.inbox().waiter(left).await);
            }
            if let Some(waiter) = waiting.as_ref().filter(|_| !left.is_zero()) {
                waits.address = waiter.address();
            }
            let asked = Asked { queue: self, claimant: &claimant, is_answered: false };
            let turn = Turn {
                most: 1,
                lease: inner.settings.lease,
                claimant: &claimant,
                waits,
                kept: inner.settings.kept,
                settlements: &[],
            };
            let turned = scripts::turn(&inner.russet, &inner.place, turn).await?;
            asked.answered();
            let wait = turned.wait.min(left);
            match turned.claimed.into_iter().next() {
                Some((id, Some(record))) => {
                    let kind = inner.counting.kind(&record.name);
                    kind.claimed(inner.waited(id, &record));
                    return Ok(Some(Delivery {
                        queue: self.clone(),
                        id,
                        fence: turned.fence,
                        record,
                        claimant,
                        kind,
                    }));
                }
                Some((id, None)) => inner.bury_unreadable(id, turned.fence, &claimant).await?,
                None if Instant::now() >= end => return Ok(None),
                None => {
                    if let Some(mut waiter) = waiting.take() {
                        waiter.news(wait).await;
                    }
                }
            }
        }
    }
}

impl Inner {
    /// A record that this version cannot read is dead, and kept as it is.
    async fn bury_unreadable(&self, id: TaskId, fence: u64, claimant: &str) -> Result<()> {
        let error = "its record is of another version".to_owned();
        let (verdict, kind) = (Verdict::Dead { error }, self.counting.kind("other"));
        let settlement = Settlement { id, fence, unique: None, verdict, kind };
        self.settle(claimant, &settlement).await.map(|_| ())
    }

    /// From when a task was ready for the first time until now; none when it has been tried before.
    pub(super) fn waited(&self, id: TaskId, record: &Record) -> Option<Duration> {
        let ready = id.made_ms() + i64::try_from(record.delay.as_millis()).ok()?;
        let waited = u64::try_from(self.russet.clock().now_ms() - ready).unwrap_or_default();
        (record.attempts == 0).then_some(Duration::from_millis(waited))
    }
}

/// A claim that was asked for. Dropped before the answer is there, it is given back in the background: the answer was lost,
/// or the caller was cancelled while it waited.
struct Asked<'a> {
    queue: &'a Queue,
    claimant: &'a str,
    is_answered: bool,
}

impl Asked<'_> {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (queue, claimant) = (self.queue.clone(), self.claimant.to_owned());
        runtime.spawn(async move {
            let Inner { russet, place, settings, .. } = &*queue.inner;
            let end = Instant::now() + settings.lease;
            while let Err(error) = scripts::recover(russet, place, &claimant, &[]).await {
                if Instant::now() >= end || !error.is_outage() {
                    tracing::debug!(%error, "a claim was left to its lease");
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
}
