use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Effects, Inner, Queue, Task, TaskId,
    builder::check_time,
    record::Record,
    scripts::{self, Completed, Completion, Settlement, Turn, Verdict, Waits},
    stats::Kind,
};
use crate::error::{Advice, Error, ErrorKind, Result};

/// A task that was claimed with [`Queue::receive`]; it is the caller's until its lease ends.
///
/// The last verb takes the delivery, so that settling twice does not compile. One that is dropped comes back when its lease
/// ends, and an attempt is counted.
#[must_use = "a delivery that is not settled comes back when its lease ends"]
pub struct Delivery {
    pub(super) queue: Queue,
    pub(super) id: TaskId,
    pub(super) fence: u64,
    pub(super) record: Record,
    pub(super) claimant: String,
    pub(super) kind: Arc<Kind>,
}

/// What became of a claimed task when it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// As it was asked for.
    Done,
    /// Nothing: the lease had ended, and the task is somebody else's.
    LeaseLost,
}

impl Delivery {
    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What kind of task it is: its [`NAME`](Task::NAME).
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.record.attempts + 1
    }

    /// A number that is larger than that of every earlier delivery of the task: a store that keeps the largest one it saw can
    /// refuse a worker that was overtaken.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// What was said under this name when the task was enqueued.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.record.headers.get(name).map(String::as_str)
    }

    /// The body as it stands in Redis.
    pub fn body(&self) -> &[u8] {
        &self.record.body
    }

    /// The task.
    ///
    /// # Errors
    /// `Codec` when it is another kind of task, or does not decode as this one.
    pub fn task<T: Task>(&self) -> Result<T> {
        decode(&self.record.name, &self.record.body)
    }

    /// The task is completed. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; the task comes back when its lease ends.
    pub async fn ack(self) -> Result<Settled> {
        let attempt = self.attempt();
        let verdict = match self.record.keep_result {
            None => Verdict::Ack { attempt },
            Some(keep) => Verdict::Keep {
                ms: scripts::millis(keep),
                name: self.record.name.clone(),
                attempt,
                result: b"null".to_vec(),
            },
        };
        self.settle(verdict).await
    }

    /// The task is completed, and its effects are written, in one step: both or neither. The result is kept when the task says
    /// so. One round trip. What it does not cover: [`TaskContext::complete_with`](super::TaskContext::complete_with).
    ///
    /// # Errors
    /// As [`TaskContext::complete_with`](super::TaskContext::complete_with); the task comes back when its lease ends.
    pub async fn complete_with<R: Serialize>(self, result: R, effects: Effects) -> Result<Settled> {
        let Self { queue, id, fence, record, claimant, kind } = self;
        let settled = queue.inner.complete(id, fence, &claimant, &record, &result, effects).await?;
        match settled {
            Settled::Done => kind.completed(),
            Settled::LeaseLost => kind.lost(),
        }
        Ok(settled)
    }

    /// The attempt failed: the task is tried again after its backoff, or is dead when it has no attempts left. One round trip.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn retry(self, error: &str) -> Result<Settled> {
        let verdict = self.queue.inner.failed(&self.record, error);
        self.settle(verdict).await
    }

    /// The attempt failed, and no other one would help: the task is dead. One round trip.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn dead_letter(self, reason: &str) -> Result<Settled> {
        self.settle(Verdict::Dead { error: shortened(reason) }).await
    }

    /// Gives the task back, as if it had not been claimed: it is ready, before the others of its priority. One round trip.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn release(self) -> Result<Settled> {
        self.settle(Verdict::Release).await
    }

    /// Sets the remaining time of the lease. One round trip.
    ///
    /// # Errors
    /// `Invalid` for less than a millisecond or more than a year; otherwise when the server cannot be asked.
    pub async fn extend(&mut self, lease: Duration) -> Result<Settled> {
        check_time("the lease", Some(lease), Duration::from_millis(1))?;
        let Inner { russet, place, .. } = &*self.queue.inner;
        let ours = scripts::extend(russet, place, lease, self.fence, &self.claimant).await?;
        Ok(if ours { Settled::Done } else { Settled::LeaseLost })
    }

    async fn settle(self, verdict: Verdict) -> Result<Settled> {
        let inner = &self.queue.inner;
        let (unique, kind) = (self.record.unique, self.kind);
        let settlement = Settlement { id: self.id, fence: self.fence, unique, verdict, kind };
        let is_done = inner.settle(&self.claimant, &settlement).await?;
        Ok(match is_done {
            true => Settled::Done,
            false => Settled::LeaseLost,
        })
    }
}

impl Inner {
    /// Settles one task; answers whether its lease was current.
    pub(super) async fn settle(&self, claimant: &str, settlement: &Settlement) -> Result<bool> {
        let turn = Turn {
            most: 0,
            lease: self.settings.lease,
            claimant,
            waits: Waits::default(),
            kept: self.settings.kept,
            settlements: std::slice::from_ref(settlement),
            is_whole: &|_, _| false,
        };
        let turned = scripts::turn(&self.russet, &self.place, turn).await?;
        let is_done = turned.settled.first() == Some(&true);
        match is_done {
            true => settlement.kind.settled(&settlement.verdict),
            false => settlement.kind.lost(),
        }
        Ok(is_done)
    }

    /// Completes a task and writes its effects.
    pub(super) async fn complete<R: Serialize>(
        &self,
        id: TaskId,
        fence: u64,
        claimant: &str,
        record: &Record,
        result: &R,
        effects: Effects,
    ) -> Result<Settled> {
        let effects = effects.checked(self.settings.max_task_bytes)?;
        let result = match record.keep_result {
            Some(_) => self.kept(serde_json::to_vec(result).map_err(|cause| {
                Error::codec("the result of a task cannot be encoded", cause.into())
            })?),
            None => Vec::new(),
        };
        let kept = self.settings.kept;
        let completion =
            Completion { id, fence, claimant, record, result: &result, kept, effects: &effects };
        match scripts::complete(&self.russet, &self.place, completion).await? {
            Completed::Done => Ok(Settled::Done),
            Completed::Lost => Ok(Settled::LeaseLost),
            Completed::NoNumber(field) => {
                let message = format_args!(
                    "queue {}: an effect adds to {field:?}, where no whole number stands, or the sum is too large",
                    self.name
                );
                Err(Error::new(ErrorKind::Refused, Advice::GiveUp, message))
            }
        }
    }

    /// A result as it is kept: not at all when it is too large, for the task is done.
    pub(super) fn kept(&self, result: Vec<u8>) -> Vec<u8> {
        if result.len() <= self.settings.max_task_bytes {
            return result;
        }
        let (queue, bytes) = (&self.name, result.len());
        tracing::warn!(%queue, bytes, "the result of a task is too large, and is not kept");
        b"null".to_vec()
    }

    /// What a failed attempt of this task leads to.
    pub(super) fn failed(&self, record: &Record, error: &str) -> Verdict {
        let attempt = record.attempts + 1;
        let error = shortened(error);
        if attempt >= record.max_attempts {
            Verdict::Dead { error }
        } else {
            Verdict::Retry { delay: self.backoff(attempt), error }
        }
    }
}

/// The most of an error that is kept, in bytes.
const LONGEST_ERROR: usize = 1_000;

/// An error on one line, and not too long.
pub(super) fn shortened(error: &str) -> String {
    let mut end = error.len().min(LONGEST_ERROR);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    error[..end].replace(['\n', '\r'], " ")
}

pub(super) fn decode<T: Task>(name: &str, body: &[u8]) -> Result<T> {
    if name != T::NAME {
        let why = format!("it is a task {name}, not {}", T::NAME);
        return Err(Error::codec("a task cannot be decoded", why.into()));
    }
    decode_body(body)
}

pub(super) fn decode_body<T: Task>(body: &[u8]) -> Result<T> {
    T::decode_body(body).map_err(|cause| Error::codec("a task cannot be decoded", cause))
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("name", &self.record.name)
            .field("attempt", &self.attempt())
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
