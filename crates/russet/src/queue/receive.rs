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
            let mut asked = Asked {
                queue: self,
                claimant: &claimant,
                address: waits.address.clone(),
                step: Step::Asking,
            };
            let turn = Turn {
                most: 1,
                lease: inner.settings.lease,
                claimant: &claimant,
                waits,
                kept: inner.settings.kept,
                settlements: &[],
                is_whole: &|_, _| false,
            };
            let turned = scripts::turn(&inner.russet, &inner.place, turn).await?;
            asked.step = Step::Waiting;
            let wait = turned.wait.min(left);
            match turned.claimed.into_iter().next() {
                Some((id, Some(record))) => {
                    asked.over();
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
                Some((id, None)) => {
                    asked.over();
                    inner.bury_unreadable(id, turned.fence, &claimant).await?;
                }
                None if Instant::now() >= end => {
                    asked.over();
                    return Ok(None);
                }
                None => {
                    if let Some(mut waiter) = waiting.take() {
                        waiter.news(wait).await;
                    }
                    asked.over();
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

/// A claim that was asked for, or a wait for one. Dropped in the middle (the answer was lost, or the caller was cancelled while
/// it waited), what it was given is given back in the background, and its address is taken off the list: nobody is woken who is
/// not there.
struct Asked<'a> {
    queue: &'a Queue,
    claimant: &'a str,
    address: String,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Asking,
    Waiting,
    Over,
}

impl Asked<'_> {
    fn over(mut self) {
        self.step = Step::Over;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.step == Step::Over {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (queue, claimant) = (self.queue.clone(), self.claimant.to_owned());
        let (address, is_asking) = (std::mem::take(&mut self.address), self.step == Step::Asking);
        runtime.spawn(async move {
            let inner = &*queue.inner;
            if is_asking && !inner.give_back(&claimant).await {
                return;
            }
            if !address.is_empty() {
                let waits = Waits { address, is_registered: true, at_most: LONGEST_WAIT };
                let lease = inner.settings.lease;
                let claimant = &claimant;
                let kept = inner.settings.kept;
                let (settlements, is_whole) = (&[], &|_, _| false);
                let turn = Turn { most: 0, lease, claimant, waits, kept, settlements, is_whole };
                let _ = scripts::turn(&inner.russet, &inner.place, turn).await;
            }
        });
    }
}

impl Inner {
    /// Gives back what an answer that was lost may have given; answers whether the server has heard of it.
    async fn give_back(&self, claimant: &str) -> bool {
        let end = Instant::now() + self.settings.lease;
        while let Err(error) = scripts::recover(&self.russet, &self.place, claimant, &[]).await {
            if Instant::now() >= end || !error.is_outage() {
                tracing::debug!(%error, "a claim was left to its lease");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        true
    }
}
