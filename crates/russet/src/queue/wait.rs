use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Queue, TaskError, TaskId, TaskState, receive::LONGEST_WAIT, scripts};
use crate::{
    error::{Error, Result},
    wake::News,
};

/// What became of a task that was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It was done.
    Completed {
        /// Its result as it stands in Redis, JSON; none when the task does not keep it.
        result: Option<Vec<u8>>,
    },
    /// It has no attempts left, or none would help.
    Dead {
        /// What went wrong, the oldest first.
        errors: Vec<TaskError>,
    },
    /// It was cancelled.
    Cancelled,
    /// It has not ended in this time.
    Pending,
    /// Nothing is known of it: it ended and nothing is kept of it, or there never was such a task.
    Gone,
}

impl Waited {
    /// The result of a completed task, decoded; none when there is none.
    ///
    /// # Errors
    /// `Codec` when it is of another type.
    pub fn result<R: DeserializeOwned>(&self) -> Result<Option<R>> {
        let Self::Completed { result: Some(result) } = self else { return Ok(None) };
        serde_json::from_slice(result)
            .map(Some)
            .map_err(|cause| Error::codec("the result of a task cannot be decoded", cause.into()))
    }
}

impl Queue {
    /// Waits for the end of a task, up to this long: whoever ends it wakes the caller, and nobody polls. Two round trips; each 5
    /// seconds another one, for a message can be lost.
    ///
    /// The result comes from what is kept: enqueue with [`keep_result`](super::Enqueue::keep_result), or the queue with
    /// [`keep_results`](super::QueueBuilder::keep_results). Without it the message alone says that the task was completed, and
    /// when that one is lost with its connection, or the wait begins after the end, the answer is [`Waited::Gone`].
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn wait_for(&self, id: TaskId, timeout: Duration) -> Result<Waited> {
        let (russet, place) = (&self.inner.russet, &self.inner.place);
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let look = left.min(LONGEST_WAIT);
            // Registered here before the script records it: a message in between would find nobody.
            let mut waiter = russet.inbox().waiter(look).await;
            let word = match scripts::watch(russet, place, id, &waiter.address(), look).await? {
                true => match waiter.news(look).await {
                    News::Message(word) => Some(word),
                    News::Unsure => None,
                },
                false => Some(Vec::new()),
            };
            if let Some(word) = word
                && let Some(ended) = self.has_ended(id, &word).await?
            {
                return Ok(ended);
            }
            if Instant::now() >= end {
                return Ok(Waited::Pending);
            }
        }
    }

    /// How a task has ended, by what is kept of it and what a message said; none when it has not.
    async fn has_ended(&self, id: TaskId, word: &[u8]) -> Result<Option<Waited>> {
        let Some(status) = self.status(id).await? else {
            return Ok(Some(match word {
                b"completed" => Waited::Completed { result: None },
                b"cancelled" => Waited::Cancelled,
                b"dead" => Waited::Dead { errors: Vec::new() },
                _ => Waited::Gone,
            }));
        };
        Ok(match status.state {
            TaskState::Completed { .. } => Some(Waited::Completed { result: status.result }),
            TaskState::Cancelled { .. } => Some(Waited::Cancelled),
            TaskState::Dead { .. } => Some(Waited::Dead { errors: status.errors }),
            // Brought back meanwhile: it died all the same.
            _ if word == b"dead" => Some(Waited::Dead { errors: status.errors }),
            _ => None,
        })
    }
}
