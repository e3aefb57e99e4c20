use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Queue, Task, TaskId,
    options::{Options, task_options},
    scripts::{self, Single, Taken, When},
};
use crate::{
    client::Reached,
    error::Result,
    names::{check_name, encode},
};

/// A task on its way to a queue; made by [`Queue::enqueue`], sent by `.await`.
#[must_use = "nothing is enqueued before it is awaited"]
pub struct Enqueue<'a, T> {
    queue: &'a Queue,
    task: T,
    options: Options,
    unique: Option<String>,
    request: Option<String>,
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

impl Queue {
    /// Puts a task on the queue. One round trip; the task is ready at once unless the call says otherwise.
    ///
    /// # Errors
    /// `Invalid` for an option that is out of its range or a task that is too large: nothing was written. `Refused` when the
    /// server is full: nothing was written. `Unknown` when the answer was lost: the task may be there; with a
    /// [`request_id`](Enqueue::request_id) the call finds out by itself.
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<'_, T> {
        Enqueue { queue: self, task, options: Options::default(), unique: None, request: None }
    }
}

impl<T> Enqueue<'_, T> {
    task_options!();

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
            inner.counting.enqueued(u64::from(is_new));
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
        let mut record = self.options.record::<T>(inner)?;
        for (what, name) in [("unique key", &self.unique), ("request id", &self.request)] {
            if let Some(name) = name {
                check_name(what, name)?;
            }
        }
        let (id, delay) = self.options.id(inner);
        record.unique = self.unique.as_deref().map(encode);
        record.delay = delay;
        record.body = Bytes::from(inner.encode(&self.task)?);
        Ok(Prepared {
            task: (id, record.write()),
            when: self.options.when,
            unique: record.unique,
            request: self.request.as_deref().map(encode),
        })
    }
}
