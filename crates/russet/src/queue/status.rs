use std::time::SystemTime;

use super::{
    Queue, TaskId,
    dead::{TaskError, errors},
    record::Record,
    scripts,
};
use crate::{
    clock::from_millis,
    error::{Error, Result},
};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for its time.
    Scheduled {
        /// When it will be ready.
        due: SystemTime,
    },
    /// It waits for a worker.
    Ready,
    /// A worker has it.
    Running {
        /// The number of the delivery.
        fence: u64,
    },
    /// An attempt failed, and it waits for the next one.
    Retrying {
        /// When it will be ready.
        due: SystemTime,
    },
    /// It was done; known for as long as the result is kept.
    Completed {
        /// When.
        at: SystemTime,
    },
    /// It has no attempts left, or none would help.
    Dead {
        /// Since when.
        since: SystemTime,
    },
    /// It was cancelled; known for as long as cancelled ones are kept.
    Cancelled {
        /// When.
        at: SystemTime,
    },
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStatus {
    /// Its id.
    pub id: TaskId,
    /// What kind of task it is.
    pub name: String,
    /// Where it is.
    pub state: TaskState,
    /// How many attempts were counted; of a completed task, that which did it too.
    pub attempts: u32,
    /// What went wrong so far, the oldest first.
    pub errors: Vec<TaskError>,
    /// What the handler of a task that has not ended said last of its [progress](super::TaskContext::progress), as it stands
    /// in Redis: JSON.
    pub progress: Option<Vec<u8>>,
    /// The result of a completed task, as it stands in Redis: JSON.
    pub result: Option<Vec<u8>>,
}

/// What became of a task that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and will not run.
    Done,
    /// It runs; its handler was asked to end.
    Asked,
    /// It is dead already.
    Dead,
    /// It was completed or cancelled before, or there never was such a task.
    Gone,
}

impl Queue {
    /// Where a task is. None when there is none of this id, or when it ended and nothing is kept of it. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked, or another version of russet wrote what stands there.
    pub async fn status(&self, id: TaskId) -> Result<Option<TaskStatus>> {
        let told = scripts::status(&self.inner.russet, &self.inner.place, id).await?;
        Ok(read(id, told)?.map(|(status, _)| status))
    }

    /// Cancels a task. One that waits will not run, at once and for good: claim and cancel have one winner. The handler of one
    /// that runs is asked to end, in whatever process ([`TaskContext::cancelled`](super::TaskContext::cancelled)); if it then
    /// fails, or its process dies, the task is cancelled. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; `Unknown` when its answer was lost: cancelling again does no harm.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancelled> {
        let inner = &self.inner;
        let kept = inner.settings.kept;
        let told = scripts::cancel(&inner.russet, &inner.place, id, kept).await?;
        Ok(match told.as_str() {
            "cancelled" => Cancelled::Done,
            "asked" => Cancelled::Asked,
            "dead" => Cancelled::Dead,
            _ => Cancelled::Gone,
        })
    }
}

/// A task as the script tells it, and its record when it has not ended.
pub(super) fn read(id: TaskId, told: Vec<Vec<u8>>) -> Result<Option<(TaskStatus, Record)>> {
    let mut told = told.into_iter();
    let mut next = || told.next().unwrap_or_default();
    let state = next();
    match state.as_slice() {
        b"unknown" => Ok(None),
        b"ended" => Ok(Some((ended(id, next())?, Record::default()))),
        place => {
            let number: i64 = text(next())?.parse().map_err(|_| unreadable())?;
            let record = Record::read(next()).ok_or_else(unreadable)?;
            let status =
                living(id, &text(place.to_vec())?, number, &record, &text(next())?, next());
            Ok(Some((status, record)))
        }
    }
}

/// A task that has not ended, or is dead.
pub(super) fn living(
    id: TaskId,
    place: &str,
    number: i64,
    record: &Record,
    failures: &str,
    progress: Vec<u8>,
) -> TaskStatus {
    let time = from_millis(number);
    TaskStatus {
        id,
        name: record.name.clone(),
        state: match place {
            "dead" => TaskState::Dead { since: time },
            "running" => TaskState::Running { fence: number.unsigned_abs() },
            "scheduled" => TaskState::Scheduled { due: time },
            "retrying" => TaskState::Retrying { due: time },
            _ => TaskState::Ready,
        },
        attempts: record.attempts,
        errors: errors(failures),
        progress: (!progress.is_empty()).then_some(progress),
        result: None,
    }
}

/// `<state> <ms> <name> <attempts> <result>`
pub(super) fn ended(id: TaskId, outcome: Vec<u8>) -> Result<TaskStatus> {
    let mut words = outcome.splitn(5, |byte| *byte == b' ');
    let mut next = || words.next().unwrap_or_default().to_vec();
    let (state, ms) = (text(next())?, text(next())?);
    let at = from_millis(ms.parse().map_err(|_| unreadable())?);
    let (name, attempts) = (text(next())?, text(next())?);
    let result = next();
    Ok(TaskStatus {
        id,
        name,
        state: match state.as_str() {
            "completed" => TaskState::Completed { at },
            _ => TaskState::Cancelled { at },
        },
        attempts: attempts.parse().map_err(|_| unreadable())?,
        errors: Vec::new(),
        progress: None,
        result: (state == "completed").then_some(result),
    })
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::codec("the status of a task", "another version of russet wrote what stands there".into())
}
