use std::time::{Duration, SystemTime};

use super::Scheduler;
use crate::{
    clock,
    error::{Error, Result},
    queue::{
        TaskId,
        builder::check_time,
        scripts::{self, When},
    },
};

/// What became of a task that was to have another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rescheduled {
    /// It waits for its new time.
    Done,
    /// It is ready, among more than 10,000 others, which are not searched for it: [cancel](Scheduler::cancel) it instead.
    Ready,
    /// A worker has it.
    Running,
    /// It is dead.
    Dead,
    /// It was completed or cancelled, or there never was such a task.
    Gone,
}

impl Scheduler {
    /// Gives a task that waits another time, before or after the one it had; at once when it has passed. Against a claim, one of
    /// the two wins. One that waits for its next attempt keeps the attempts that were counted. One round trip.
    ///
    /// # Errors
    /// `Refused` when the server is full; `Unknown` when the answer was lost: doing it again does no harm.
    pub async fn reschedule(&self, id: TaskId, time: SystemTime) -> Result<Rescheduled> {
        self.when(id, When { delay: Duration::ZERO, at: clock::millis(time) }).await
    }

    /// The same with a time from now on, by the server's clock.
    ///
    /// # Errors
    /// `Invalid` for more than 366 days; otherwise as [`reschedule`](Self::reschedule).
    pub async fn reschedule_after(&self, id: TaskId, delay: Duration) -> Result<Rescheduled> {
        check_time("the delay", Some(delay), Duration::ZERO)?;
        self.when(id, When { delay, at: 0 }).await
    }

    async fn when(&self, id: TaskId, when: When) -> Result<Rescheduled> {
        let inner = &self.queue.inner;
        let told = scripts::reschedule(&inner.russet, &inner.place, id, when).await?;
        Ok(match told.as_str() {
            "done" => Rescheduled::Done,
            "ready" => Rescheduled::Ready,
            "running" => Rescheduled::Running,
            "dead" => Rescheduled::Dead,
            "ended" | "unknown" => Rescheduled::Gone,
            other => {
                return Err(Error::internal(format_args!("queue/reschedule answered {other}")));
            }
        })
    }
}
