use std::time::{Duration, SystemTime};

use super::{Queue, TaskId, builder::check_time, record::Record, scripts};
use crate::{
    clock::from_millis,
    error::{Error, Result},
};

/// The most tasks of one page.
const MOST: u64 = 1_000;

/// A task that has no attempts left, or that no attempt would help.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadTask {
    /// Its id.
    pub id: TaskId,
    /// Since when it is dead.
    pub since: SystemTime,
    /// What kind of task it is; empty when another version of russet wrote it.
    pub name: String,
    /// How many attempts were counted.
    pub attempts: u32,
    /// The body as it stands in Redis: JSON.
    pub body: Vec<u8>,
    /// What went wrong, the oldest first.
    pub errors: Vec<TaskError>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskError {
    /// When.
    pub at: SystemTime,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The error, on one line.
    pub message: String,
}

impl Queue {
    /// Dead tasks with all that is known of them, those that died first at the beginning: this many, up to 1,000, after the
    /// first `skip`. One round trip.
    ///
    /// # Errors
    /// `Invalid` for a page of none or more than 1,000; otherwise when the server cannot be asked.
    pub async fn dead(&self, skip: u64, most: u64) -> Result<Vec<DeadTask>> {
        if !(1..=MOST).contains(&most) || skip > 1 << 40 {
            return Err(Error::invalid(format_args!(
                "queue {}: a page of {most} dead tasks after {skip}: it is 1 to {MOST}",
                self.inner.name
            )));
        }
        let rows = scripts::dead(&self.inner.russet, &self.inner.place, skip, most).await?;
        let dead = rows.into_iter().map(|(id, since, record, failures)| {
            let record = Record::read(record).unwrap_or_default();
            DeadTask {
                id,
                since: from_millis(since),
                name: record.name,
                attempts: record.attempts,
                body: record.body.to_vec(),
                errors: errors(&failures),
            }
        });
        Ok(dead.collect())
    }

    /// Brings a dead task back: it is ready, with all its attempts before it. Answers whether there was such a dead task. One
    /// round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; `Unknown` when the answer was lost.
    pub async fn redrive(&self, id: TaskId) -> Result<bool> {
        let (count, _) =
            scripts::redrive(&self.inner.russet, &self.inner.place, Some(id), 0).await?;
        Ok(count == 1)
    }

    /// Brings back all tasks that are dead now, and answers how many: a round trip for each 100. Those that die meanwhile are
    /// left.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive); some may be back then.
    pub async fn redrive_all(&self) -> Result<u64> {
        let (mut total, mut until) = (0, 0);
        loop {
            let (count, now) =
                scripts::redrive(&self.inner.russet, &self.inner.place, None, until).await?;
            (total, until) = (total + count, now);
            if count < 100 {
                return Ok(total);
            }
        }
    }

    /// Deletes a dead task. Answers whether there was such a dead task. One round trip.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive).
    pub async fn delete(&self, id: TaskId) -> Result<bool> {
        let Self { inner } = self;
        let keep = Duration::ZERO;
        Ok(scripts::sweep(&inner.russet, &inner.place, Some(id), keep).await?.0 == 1)
    }

    /// Deletes the tasks that have been dead for so long, and answers how many: a round trip for each 100. What is over of
    /// kept outcomes and requests goes with them; a [`Worker`](super::Worker) does the same by itself.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive); some may be deleted then.
    pub async fn purge(&self, dead_for: Duration) -> Result<u64> {
        check_time("the age", Some(dead_for), Duration::ZERO)?;
        let mut total = 0;
        loop {
            let Self { inner } = self;
            let (buried, over) =
                scripts::sweep(&inner.russet, &inner.place, None, dead_for).await?;
            total += buried;
            if buried < 100 && over < 100 {
                return Ok(total);
            }
        }
    }
}

/// `<ms> <attempt> <message>`, line by line.
pub(super) fn errors(lines: &str) -> Vec<TaskError> {
    let error = |line: &str| {
        let mut words = line.splitn(3, ' ');
        Some(TaskError {
            at: from_millis(words.next()?.parse().ok()?),
            attempt: words.next()?.parse().ok()?,
            message: words.next()?.to_owned(),
        })
    };
    lines.lines().filter_map(error).collect()
}
