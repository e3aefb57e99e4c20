use std::time::Duration;

use super::{Queue, RateLimit, TaskId, scripts};
use crate::error::Result;

/// How many tasks are in which state, for all processes together. Each count is O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Waiting for their time.
    pub scheduled: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// With a worker.
    pub running: u64,
    /// Waiting for their next attempt.
    pub retrying: u64,
    /// Out of attempts, or given up.
    pub dead: u64,
    /// Outcomes that are kept: completed and cancelled tasks.
    pub kept: u64,
    /// How many were ever completed.
    pub completed: u64,
    /// How many attempts ever failed.
    pub failed: u64,
    /// Whether the queue gives no tasks.
    pub is_paused: bool,
    /// The rate at which it gives tasks.
    pub rate_limit: Option<RateLimit>,
    /// How long the next task has been ready, that of the priority where it is longest. A task that came back counts from its
    /// first time.
    pub oldest_waits: Option<Duration>,
}

impl Queue {
    /// How many tasks are in which state, all at the same moment. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn counts(&self) -> Result<QueueCounts> {
        let inner = &self.inner;
        let (counts, limit, first) = scripts::counts(&inner.russet, &inner.place).await?;
        let [scheduled, ready, running, retrying, dead, completed, failed, paused, kept] =
            counts.map(|count| u64::try_from(count).unwrap_or_default());
        let now = inner.russet.clock().now_ms();
        let waits = first.iter().filter_map(|first| {
            let (id, delay) = first.split_once(' ')?;
            let since = id.parse::<TaskId>().ok()?.made_ms() + delay.parse::<i64>().ok()?;
            Some(Duration::from_millis(u64::try_from(now - since).unwrap_or_default()))
        });
        Ok(QueueCounts {
            scheduled,
            ready,
            running,
            retrying,
            dead,
            kept,
            completed,
            failed,
            is_paused: paused == 1,
            rate_limit: RateLimit::read(&limit),
            oldest_waits: waits.max(),
        })
    }
}
