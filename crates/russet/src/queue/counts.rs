use super::{Queue, scripts};
use crate::error::Result;

/// How many tasks are in which state. Each count is O(1).
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
}

impl Queue {
    /// How many tasks are in which state, all at the same moment. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn counts(&self) -> Result<QueueCounts> {
        let counts = scripts::counts(&self.inner.russet, &self.inner.place).await?;
        let [scheduled, ready, running, retrying, dead, completed, failed, paused, kept] =
            counts.map(|count| u64::try_from(count).unwrap_or_default());
        let is_paused = paused == 1;
        Ok(QueueCounts {
            scheduled,
            ready,
            running,
            retrying,
            dead,
            kept,
            completed,
            failed,
            is_paused,
        })
    }
}
