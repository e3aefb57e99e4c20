//! What recurs in a queue, to look at and to change.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use super::{Missed, Registered, Scheduler, Timetable, entry::Entry, scripts};
use crate::{
    clock::from_millis,
    error::{Error, Result},
    names::{check_name, encode},
    queue::{
        Enqueued, TaskId,
        record::Record,
        scripts::{Single, Taken, When, enqueue},
    },
};

/// A recurring task as it stands in the queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecurringTask {
    /// Its name.
    pub name: String,
    /// What kind of task is enqueued: its [`NAME`](crate::Task::NAME).
    pub task: String,
    /// The body of each task, as it stands in Redis: JSON.
    pub body: Vec<u8>,
    /// When.
    pub times: Timetable,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// When it is due next; none while it is paused.
    pub next: Option<SystemTime>,
    /// For which time a task was enqueued last; none when none was.
    pub last: Option<SystemTime>,
}

impl Scheduler {
    /// All recurring tasks of the queue, by name. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked. One that another version of russet wrote, or whose times this program cannot reckon, is
    /// left out, with a line in the log.
    pub async fn list(&self) -> Result<Vec<RecurringTask>> {
        let inner = &self.queue.inner;
        let mut all = Vec::new();
        for (name, record) in scripts::list(&inner.russet, &inner.place).await? {
            match Entry::read(&name, &record) {
                Ok(entry) => all.push(RecurringTask::new(&name, entry)),
                Err(error) => tracing::warn!(queue = %inner.name, %error, "it is left out"),
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Ends a recurring task; what it has enqueued stays. Answers whether there was one of this name. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; `Unknown` when the answer was lost.
    pub async fn remove(&self, name: &str) -> Result<bool> {
        let inner = &self.queue.inner;
        scripts::remove(&inner.russet, &inner.place, &checked(name)?).await
    }

    /// Stops a recurring task: it is not due until it is resumed. Answers whether it was not paused before. Two round trips.
    ///
    /// # Errors
    /// `Invalid` when there is none of this name; otherwise when the server cannot be asked.
    pub async fn pause(&self, name: &str) -> Result<bool> {
        let paused = self.change(name, |entry, _| Ok(Entry { due: 0, ..entry }));
        Ok(paused.await?.is_new)
    }

    /// Lets a paused recurring task go on with its next time: what it would have done meanwhile is not missed. Answers whether
    /// it was paused. Two round trips.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, name: &str) -> Result<bool> {
        let resumed = self.change(name, |entry, now| match entry.due {
            0 => Ok(Entry { due: entry.next_after(now)?, ..entry }),
            _ => Ok(entry),
        });
        Ok(resumed.await?.is_new)
    }

    /// Enqueues a task of a recurring one now, paused or not, beside those of its times. Two round trips.
    ///
    /// # Errors
    /// `Invalid` when there is none of this name. `Refused` when the server is full. `Unknown` when the answer was lost: the task
    /// may be there.
    pub async fn run_now(&self, name: &str) -> Result<Enqueued> {
        let inner = &self.queue.inner;
        let (now, record) = scripts::look(&inner.russet, &inner.place, &checked(name)?).await?;
        if record.is_empty() {
            return Err(self.unknown(name));
        }
        let entry = Entry::read(name, &record)?;
        let task = Record::read(entry.task.clone()).unwrap_or_default();
        let single = Single { unique: task.unique.as_deref(), ..Single::default() };
        let tasks = [(TaskId::new(now, entry.priority), entry.task)];
        let (id, taken, reached) =
            enqueue(&inner.russet, &inner.place, single, When::default(), &tasks).await?;
        let is_new = taken == Taken::New;
        inner.counting.enqueued(u64::from(is_new));
        Ok(Enqueued { id, is_new, reached })
    }

    async fn change(
        &self,
        name: &str,
        becomes: impl Fn(Entry, i64) -> Result<Entry>,
    ) -> Result<Registered> {
        let becomes = |seen: Option<&Entry>, now| match seen {
            Some(entry) => becomes(entry.clone(), now),
            None => Err(self.unknown(name)),
        };
        self.queue.inner.change(&checked(name)?, becomes).await
    }

    fn unknown(&self, name: &str) -> Error {
        let queue = &self.queue.inner.name;
        Error::invalid(format_args!("queue {queue}: there is no recurring task {name:?}"))
    }
}

impl RecurringTask {
    fn new(name: &str, entry: Entry) -> Self {
        let record = Record::read(entry.task).unwrap_or_default();
        let time = |ms| (ms > 0).then(|| from_millis(ms));
        Self {
            name: percent_decode_str(name).decode_utf8_lossy().into_owned(),
            task: record.name,
            body: record.body.to_vec(),
            times: entry.times,
            missed: entry.missed,
            next: time(entry.due),
            last: time(entry.last),
        }
    }
}

fn checked(name: &str) -> Result<String> {
    check_name("name of a recurring task", name)?;
    Ok(encode(name))
}
