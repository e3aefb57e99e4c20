use std::{
    future::IntoFuture,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Scheduler,
    entry::Entry,
    missed::Missed,
    scripts::{self, Put},
    timetable::Timetable,
};
use crate::{
    client::Reached,
    clock::from_millis,
    error::{Advice, Error, ErrorKind, Result},
    names::{check_name, encode},
    queue::{Inner, Task, builder::check_time, options::Options},
};

/// How often a change is tried that others overtake.
const TRIES: usize = 100;

/// A recurring task on its way to a queue; made by [`Scheduler::cron`] and [`Scheduler::every`], sent by `.await`.
#[must_use = "nothing is scheduled before it is awaited"]
pub struct Recurring<'a, T> {
    scheduler: &'a Scheduler,
    name: String,
    times: Result<Timetable>,
    task: T,
    missed: Missed,
    jitter: Duration,
    priority: u8,
    is_alone: bool,
    max_attempts: Option<u32>,
    timeout: Option<Duration>,
    keep_result: Option<Duration>,
}

/// What became of a recurring task that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// Whether this call has changed anything. Not so when the same was registered before.
    pub is_new: bool,
    /// When it is due next; none while it is paused.
    pub next: Option<SystemTime>,
    /// What the write had reached; none when there was nothing to write.
    pub reached: Option<Reached>,
}

impl Scheduler {
    /// Enqueues a task of this kind at each time of a [cron expression](Timetable::cron), on the clock of that time zone, once for
    /// all processes. The name, 1 to 256 bytes, is its own within the queue.
    ///
    /// To be called at each start of each process: what is registered already is left as it is, with its next time and whatever
    /// it has missed. Another task or other options under the same name replace it; other times begin now. One round trip, two when
    /// something changes.
    ///
    /// # Errors
    /// `Invalid` for a name, an expression, a zone or an option that is none, and beyond 1,000 recurring tasks: nothing was
    /// written. `Refused` when the server is full. `Unknown` when the answer was lost: doing it again does no harm.
    pub fn cron<T: Task>(
        &self,
        name: &str,
        expression: &str,
        zone: &str,
        task: T,
    ) -> Recurring<'_, T> {
        self.recurring(name, Timetable::cron(expression, zone), task)
    }

    /// Enqueues a task of this kind once in each interval, of 100 milliseconds to 366 days, for the first time after one. The
    /// times are reckoned from the moment at which it was registered first: a late tick makes no later one late.
    ///
    /// Otherwise as [`cron`](Self::cron).
    pub fn every<T: Task>(&self, name: &str, interval: Duration, task: T) -> Recurring<'_, T> {
        self.recurring(name, Timetable::every(interval, SystemTime::UNIX_EPOCH), task)
    }

    fn recurring<T>(&self, name: &str, times: Result<Timetable>, task: T) -> Recurring<'_, T> {
        Recurring {
            scheduler: self,
            name: name.to_owned(),
            times,
            task,
            missed: Missed::default(),
            jitter: Duration::ZERO,
            priority: 0,
            is_alone: false,
            max_attempts: None,
            timeout: None,
            keep_result: None,
        }
    }
}

impl<T> Recurring<'_, T> {
    /// What becomes of ticks that nobody saw at their time. Defaults to [`Missed::RunOnce`].
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Each tick comes up to so much later, by a part that its name and time decide: tasks of many queues that recur at the full
    /// hour do not all begin with it. None unless set.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// 0 to 9, as that of [`enqueue`](crate::Enqueue::priority). Defaults to 0.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// A tick is left out while the task of an earlier one waits or runs. Not so unless set.
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// How many attempts each task has, 1 to 1,000. Defaults to the queue's.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How long an attempt may take. Defaults to the queue's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the result of each task is kept. Defaults to the queue's.
    pub fn keep_result(mut self, keep: Duration) -> Self {
        self.keep_result = Some(keep);
        self
    }
}

impl<T: Task> Recurring<'_, T> {
    /// The entry, as if it began at the beginning of time.
    fn prepare(self) -> Result<(String, Entry)> {
        let inner = &self.scheduler.queue.inner;
        check_name("name of a recurring task", &self.name)?;
        let name = encode(&self.name);
        let unique = self.is_alone.then(|| unique(&name));
        let entry = self.entry(inner, unique);
        entry.map(|entry| (name, entry))
    }

    fn entry(self, inner: &Inner, unique: Option<String>) -> Result<Entry> {
        check_time("the jitter", Some(self.jitter), Duration::ZERO)?;
        self.missed.check()?;
        let options = Options {
            priority: self.priority,
            max_attempts: self.max_attempts,
            timeout: self.timeout,
            keep_result: self.keep_result,
            ..Options::default()
        };
        let mut record = options.record::<T>(inner)?;
        record.body = Bytes::from(inner.encode(&self.task)?);
        record.unique = unique;
        Ok(Entry {
            due: 0,
            last: 0,
            from: 0,
            times: self.times?,
            missed: self.missed,
            jitter: self.jitter,
            priority: self.priority,
            is_alone: self.is_alone,
            task: record.write(),
        })
    }
}

impl<'a, T: Task> IntoFuture for Recurring<'a, T> {
    type Output = Result<Registered>;
    type IntoFuture = BoxFuture<'a, Result<Registered>>;

    fn into_future(self) -> Self::IntoFuture {
        let inner = &self.scheduler.queue.inner;
        let of = format!("queue {}, recurring task {:?}", inner.name, self.name);
        let prepared = self.prepare();
        async move {
            let (name, entry) = prepared.map_err(|error| {
                Error::new(error.kind(), error.advice(), format_args!("{of}: {error}"))
            })?;
            inner.change(&name, |seen, now| entry.clone().beside(seen, now)).await
        }
        .boxed()
    }
}

impl Entry {
    /// The new entry, with what is to be kept of the one that stands there.
    fn beside(mut self, stands: Option<&Entry>, now: i64) -> Result<Self> {
        self.last = stands.map_or(0, |stands| stands.last);
        (self.from, self.due) = match stands {
            Some(stands) if stands.has_times_of(&self) => (stands.from, stands.due),
            _ => (now, 0),
        };
        let is_paused = stands.is_some_and(|stands| stands.due == 0);
        self.times = self.times.from(self.from);
        if self.due == 0 && !is_paused {
            self.due = self.next_after(now)?;
        }
        Ok(self)
    }

    /// The first time that is after this one and after its last tick: a clock that went back repeats none.
    pub(super) fn next_after(&self, now: i64) -> Result<i64> {
        let next = self.times.next(now.max(self.last));
        next.ok_or_else(|| Error::invalid(format_args!("{}: its times are over", self.times)))
    }
}

/// The unique key of the tasks of an entry that are to be alone. No application's key has a colon in it as it stands there.
fn unique(name: &str) -> String {
    ["cron:", name].concat()
}

impl Inner {
    /// Writes what becomes of an entry, in the place of the one that was seen; nothing when it stays what it is. Whoever is
    /// overtaken looks again.
    pub(super) async fn change(
        &self,
        name: &str,
        becomes: impl Fn(Option<&Entry>, i64) -> Result<Entry>,
    ) -> Result<Registered> {
        for _ in 0..TRIES {
            let (now, seen) = scripts::look(&self.russet, &self.place, name).await?;
            let stands = match seen.as_slice() {
                [] => None,
                record => match Entry::read(name, record) {
                    Ok(entry) => Some(entry),
                    // With times that this program does not know: they are written anew. Another version's is left alone.
                    Err(error) if error.kind() == ErrorKind::Invalid => None,
                    Err(error) => return Err(error),
                },
            };
            let new = becomes(stands.as_ref(), now)?;
            let next = (new.due > 0).then(|| from_millis(new.due));
            let record = new.write();
            if record == seen {
                return Ok(Registered { is_new: false, next, reached: None });
            }
            let put =
                scripts::put(&self.russet, &self.place, name, &seen, &record, new.due).await?;
            match put {
                Put::Done(reached) => {
                    return Ok(Registered { is_new: true, next, reached: Some(reached) });
                }
                Put::Changed => {}
                Put::Full => {
                    return Err(Error::invalid(format_args!(
                        "queue {}: more than {} recurring tasks",
                        self.name,
                        scripts::MOST
                    )));
                }
            }
        }
        let message = format_args!(
            "queue {}: the recurring task {name} is changed by others all the time",
            self.name
        );
        Err(Error::new(ErrorKind::Refused, Advice::Retry, message))
    }
}
