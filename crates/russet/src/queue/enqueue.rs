use std::{
    future::IntoFuture,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Inner, Queue, Task, TaskId,
    builder::{check_attempts, check_time},
    record::Record,
    scripts::{self, Single, Taken, When},
    task::check_task_name,
};
use crate::{
    client::Reached,
    clock,
    error::{Error, Result},
    names::{check_name, encode},
};

/// The most tasks of one call.
const MOST: usize = 1_000;

/// A task on its way to a queue; made by [`Queue::enqueue`], sent by `.await`.
#[must_use = "nothing is enqueued before it is awaited"]
pub struct Enqueue<'a, T> {
    queue: &'a Queue,
    task: T,
    when: When,
    priority: u8,
    unique: Option<String>,
    request: Option<String>,
    max_attempts: Option<u32>,
    timeout: Option<Duration>,
    keep_result: Option<Duration>,
}

/// What became of a task that was enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The task's id; that of the other one when it is not new.
    pub id: TaskId,
    /// Whether this call put it there. Not so when its request was done before, or when another task has its unique key.
    pub is_new: bool,
    /// What the write had reached, by the handle's [durability](crate::Russet::durability).
    pub reached: Reached,
}

/// What became of the tasks of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnqueuedMany {
    /// Their ids, in their order.
    pub ids: Vec<TaskId>,
    /// What the write had reached; none when there was nothing to write.
    pub reached: Option<Reached>,
}

impl Queue {
    /// Puts a task on the queue. One round trip; the task is ready at once unless the call says otherwise.
    ///
    /// # Errors
    /// `Invalid` for an option that is out of its range or a task that is too large: nothing was written. `Refused` when the
    /// server is full: nothing was written. `Unknown` when the answer was lost: the task may be there; with a
    /// [`request_id`](Enqueue::request_id) the call finds out by itself.
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<'_, T> {
        Enqueue {
            queue: self,
            task,
            when: When::default(),
            priority: 0,
            unique: None,
            request: None,
            max_attempts: None,
            timeout: None,
            keep_result: None,
        }
    }

    /// Puts up to 1,000 tasks on the queue, all or none, in their order. One round trip.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_many<T: Task>(
        &self,
        tasks: impl IntoIterator<Item = T>,
    ) -> Result<EnqueuedMany> {
        let inner = &self.inner;
        let plain = inner.record::<T>();
        let mut records = Vec::new();
        for task in tasks {
            let body = Bytes::from(inner.encode(&task)?);
            records.push((inner.new_id(0), Record { body, ..plain.clone() }.write()));
        }
        check_task_name(T::NAME)?;
        if records.len() > MOST {
            return Err(Error::invalid(format_args!(
                "queue {}: {} tasks in one call, more than the {MOST} allowed",
                inner.name,
                records.len()
            )));
        }
        if records.is_empty() {
            return Ok(EnqueuedMany { ids: Vec::new(), reached: None });
        }
        let single = Single::default();
        let (_, _, reached) =
            scripts::enqueue(&inner.russet, &inner.place, single, When::default(), &records)
                .await?;
        inner.enqueued.increment(records.len() as u64);
        let ids = records.into_iter().map(|(id, _)| id).collect();
        Ok(EnqueuedMany { ids, reached: Some(reached) })
    }
}

impl Inner {
    fn new_id(&self, priority: u8) -> TaskId {
        TaskId::new(self.russet.clock().now_ms(), priority)
    }

    fn record<T: Task>(&self) -> Record {
        Record {
            name: T::NAME.to_owned(),
            attempts: 0,
            max_attempts: self.settings.max_attempts,
            timeout: self.settings.task_timeout,
            keep_result: self.settings.keep_results,
            unique: None,
            body: Bytes::new(),
        }
    }
}

impl<T> Enqueue<'_, T> {
    /// The task waits for so long before it is ready; the server's clock decides. None unless set.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.when.delay = delay;
        self
    }

    /// The task is ready at this time by the server's clock; at once when it has passed. At once unless set.
    pub fn execute_at(mut self, time: SystemTime) -> Self {
        self.when.at = clock::millis(time);
        self
    }

    /// 0 to 9: higher comes first, and within one priority who came first. Defaults to 0.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Nothing is enqueued while another task with this key waits or runs: the answer is its id. The key, 1 to 256 bytes, is
    /// free when the task is completed, dead or cancelled. None unless set.
    pub fn unique(mut self, key: &str) -> Self {
        self.unique = Some(key.to_owned());
        self
    }

    /// A name of this call, 1 to 256 bytes, that is remembered for the queue's
    /// [`request_window`](super::QueueBuilder::request_window): the same call with the same name enqueues nothing and gives
    /// the first answer, and a lost answer is asked for again. None unless set.
    pub fn request_id(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }

    /// How many attempts the task has, 1 to 1,000. Defaults to the queue's.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How long an attempt may take. Defaults to the queue's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the result is kept when the task is completed. Defaults to the queue's.
    pub fn keep_result(mut self, keep: Duration) -> Self {
        self.keep_result = Some(keep);
        self
    }
}

impl<'a, T: Task> IntoFuture for Enqueue<'a, T> {
    type Output = Result<Enqueued>;
    type IntoFuture = BoxFuture<'a, Result<Enqueued>>;

    fn into_future(self) -> Self::IntoFuture {
        let inner = &self.queue.inner;
        let prepared = self.prepare();
        async move {
            let Prepared { task, when, unique, request } = prepared?;
            let single = Single {
                request: request.as_deref(),
                window: inner.settings.request_window,
                unique: unique.as_deref(),
            };
            let (id, taken, reached) =
                scripts::enqueue(&inner.russet, &inner.place, single, when, &[task]).await?;
            let is_new = taken == Taken::New;
            inner.enqueued.increment(u64::from(is_new));
            Ok(Enqueued { id, is_new, reached })
        }
        .boxed()
    }
}

/// A task as it is sent.
struct Prepared {
    task: (TaskId, Vec<u8>),
    when: When,
    unique: Option<String>,
    request: Option<String>,
}

impl<T: Task> Enqueue<'_, T> {
    fn prepare(self) -> Result<Prepared> {
        let inner = &self.queue.inner;
        check_task_name(T::NAME)?;
        if self.priority > 9 {
            return Err(Error::invalid(format_args!(
                "queue {}: the priority must be 0 to 9, not {}",
                inner.name, self.priority
            )));
        }
        let brief = Duration::from_millis(1);
        check_time("the delay", Some(self.when.delay), Duration::ZERO)?;
        check_time("the timeout", self.timeout, brief)?;
        check_time("keep_result", self.keep_result, brief)?;
        let mut record = inner.record::<T>();
        record.max_attempts = self.max_attempts.unwrap_or(record.max_attempts);
        check_attempts(record.max_attempts)?;
        record.timeout = self.timeout.or(record.timeout);
        record.keep_result = self.keep_result.or(record.keep_result);
        for (what, name) in [("unique key", &self.unique), ("request id", &self.request)] {
            if let Some(name) = name {
                check_name(what, name)?;
            }
        }
        record.unique = self.unique.as_deref().map(encode);
        record.body = Bytes::from(inner.encode(&self.task)?);
        Ok(Prepared {
            task: (inner.new_id(self.priority), record.write()),
            when: self.when,
            unique: record.unique,
            request: self.request.as_deref().map(encode),
        })
    }
}
