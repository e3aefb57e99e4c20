use std::{collections::BTreeMap, time::Duration};

use percent_encoding::percent_decode_str;

use super::{
    Queue, Task, TaskId, TaskStatus,
    delivery::decode,
    record::Record,
    scripts::{self, Row},
    status::{ended, living, read},
};
use crate::error::{Error, Result};

/// The most tasks of one page.
const MOST: u64 = 100;

/// Which tasks to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Those that wait for their time, the next one first.
    Scheduled,
    /// Those that wait for a worker, in the order in which they are given.
    Ready,
    /// Those that a worker has, the longest first.
    Running,
    /// Those that wait for their next attempt, the next one first.
    Retrying,
    /// Those that were done, as far as they are kept; first that which is forgotten first.
    Completed,
    /// Those that are out of attempts, the longest first.
    Dead,
    /// Those that were cancelled, as far as they are kept; first that which is forgotten first.
    Cancelled,
}

/// Everything that is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskDetails {
    /// What it is, where it is, and what went wrong so far, each time with its moment.
    pub status: TaskStatus,
    /// How many attempts it has; 0 for one that has ended.
    pub max_attempts: u32,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How long its result will be kept.
    pub keep_result: Option<Duration>,
    /// The key beside which no other task may be.
    pub unique: Option<String>,
    /// What it carries beside its body.
    pub headers: BTreeMap<String, String>,
    /// The body as it stands in Redis: JSON. Empty for a task that has ended, unless it is dead.
    pub body: Vec<u8>,
}

/// Some tasks of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskPage {
    /// The tasks. There may be none although there is a next page.
    pub tasks: Vec<TaskDetails>,
    /// Where the next page begins; none when this is the last one.
    pub next: Option<u64>,
}

impl TaskDetails {
    /// The task.
    ///
    /// # Errors
    /// `Codec` when it is another kind of task, or does not decode as this one.
    pub fn task<T: Task>(&self) -> Result<T> {
        decode(&self.status.name, &self.body)
    }

    fn new(status: TaskStatus, record: Record) -> Self {
        let decoded = |key: String| percent_decode_str(&key).decode_utf8_lossy().into_owned();
        Self {
            status,
            max_attempts: record.max_attempts,
            timeout: record.timeout,
            keep_result: record.keep_result,
            unique: record.unique.map(decoded),
            headers: record.headers,
            body: record.body.to_vec(),
        }
    }
}

impl Queue {
    /// Looks at tasks of a state without touching them: a page of up to 100, from this place on; the first page begins at 0.
    /// One round trip. What comes and goes between two pages can be seen twice or not at all.
    ///
    /// # Errors
    /// `Invalid` for a page of none or more than 100; otherwise when the server cannot be asked.
    pub async fn peek(&self, state: Peek, from: u64, most: u64) -> Result<TaskPage> {
        let inner = &self.inner;
        if !(1..=MOST).contains(&most) || from > 1 << 40 {
            return Err(Error::invalid(format_args!(
                "queue {}: a page of {most} tasks from {from}: it is 1 to {MOST}",
                inner.name
            )));
        }
        let name = match state {
            Peek::Scheduled => "scheduled",
            Peek::Ready => "ready",
            Peek::Running => "running",
            Peek::Retrying => "retrying",
            Peek::Completed => "completed",
            Peek::Dead => "dead",
            Peek::Cancelled => "cancelled",
        };
        let (after, rows) = scripts::peek(&inner.russet, &inner.place, name, from, most).await?;
        let tasks = rows.into_iter().filter_map(|row| details(name, row).transpose());
        Ok(TaskPage { tasks: tasks.collect::<Result<_>>()?, next: u64::try_from(after).ok() })
    }

    /// The tasks of one kind that wait for a worker, in the order in which they are given: those among the first 100 of all
    /// kinds. What a test asks of code that enqueues. One round trip.
    ///
    /// # Errors
    /// `Codec` when one does not decode; otherwise when the server cannot be asked.
    pub async fn waiting<T: Task>(&self) -> Result<Vec<T>> {
        let page = self.peek(Peek::Ready, 0, MOST).await?;
        page.tasks
            .iter()
            .filter(|task| task.status.name == T::NAME)
            .map(|task| task.task())
            .collect()
    }

    /// Everything that is known of a task. None when there is none of this id, or when it ended and nothing is kept of it. One
    /// round trip.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn inspect(&self, id: TaskId) -> Result<Option<TaskDetails>> {
        let told = scripts::status(&self.inner.russet, &self.inner.place, id).await?;
        Ok(read(id, told)?.map(|(status, record)| TaskDetails::new(status, record)))
    }
}

/// None for what is not there any more, and for an outcome of the other kind.
fn details(state: &str, row: Row) -> Result<Option<TaskDetails>> {
    let Row { id, number, record, errors, progress } = row;
    if record.is_empty() {
        return Ok(None);
    }
    if ["completed", "cancelled"].contains(&state) {
        if !record.starts_with(state.as_bytes()) {
            return Ok(None);
        }
        return Ok(Some(TaskDetails::new(ended(id, record)?, Record::default())));
    }
    // Of another version: what can be said of it is its id, its place and its errors.
    let record = Record::read(record).unwrap_or_default();
    let status = living(id, state, number, &record, &errors, progress);
    Ok(Some(TaskDetails::new(status, record)))
}
