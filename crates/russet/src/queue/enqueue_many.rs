use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Queue, Task, TaskId,
    options::{Options, task_options},
    record::Record,
    scripts::{self, Single, Taken},
};
use crate::{
    client::Reached,
    error::{Error, Result},
    names::{check_name, encode},
};

/// The most tasks of one call.
const MOST: usize = 1_000;

/// A batch of tasks on its way to a queue; made by [`Queue::enqueue_many`], sent by `.await`. What it says is said of each of
/// its tasks. There is no unique key for a batch: of two tasks with one key only one would be enqueued, and a batch is
/// enqueued as a whole or not at all.
#[must_use = "nothing is enqueued before it is awaited"]
pub struct EnqueueMany<'a, T> {
    queue: &'a Queue,
    tasks: Vec<T>,
    options: Options,
    request: Option<String>,
}

/// What became of the tasks of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnqueuedMany {
    /// Their ids, in their order.
    pub ids: Vec<TaskId>,
    /// Whether this call put them there: not so when its request was done before.
    pub is_new: bool,
    /// What the write had reached; none when there was nothing to write.
    pub reached: Option<Reached>,
}

impl Queue {
    /// Puts up to 1,000 tasks on the queue, all or none, in their order. One round trip.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_many<T: Task>(&self, tasks: impl IntoIterator<Item = T>) -> EnqueueMany<'_, T> {
        // One more than allowed says that they are too many; an endless iterator ends.
        let tasks = tasks.into_iter().take(MOST + 1).collect();
        EnqueueMany { queue: self, tasks, options: Options::default(), request: None }
    }
}

impl<T> EnqueueMany<'_, T> {
    task_options!();

    /// A name of this call, 1 to 256 bytes, that is remembered for the queue's
    /// [`request_window`](super::QueueBuilder::request_window): the same call with the same name and as many tasks enqueues
    /// nothing and gives the first answer, and a lost answer is asked for again. None unless set.
    pub fn request_id(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }
}

impl<'a, T: Task> IntoFuture for EnqueueMany<'a, T> {
    type Output = Result<EnqueuedMany>;
    type IntoFuture = BoxFuture<'a, Result<EnqueuedMany>>;

    fn into_future(self) -> Self::IntoFuture {
        let inner = &self.queue.inner;
        let (prepared, when) = (self.prepare(), self.options.when);
        let request = self.request.as_deref().map(encode);
        async move {
            let records = prepared?;
            if records.is_empty() {
                return Ok(EnqueuedMany { ids: Vec::new(), is_new: false, reached: None });
            }
            let window = inner.settings.request_window;
            let single = Single { request: request.as_deref(), window, unique: None };
            let (first, taken, reached) =
                scripts::enqueue(&inner.russet, &inner.place, single, when, &records).await?;
            let is_new = taken == Taken::New;
            if is_new {
                inner.counting.enqueued(records.len() as u64);
            }
            let ids = (0..records.len()).map(|number| first.following(number)).collect();
            Ok(EnqueuedMany { ids, is_new, reached: Some(reached) })
        }
        .boxed()
    }
}

impl<T: Task> EnqueueMany<'_, T> {
    fn prepare(&self) -> Result<Vec<(TaskId, Vec<u8>)>> {
        let inner = &self.queue.inner;
        let plain = self.options.record::<T>(inner)?;
        if self.tasks.len() > MOST {
            return Err(Error::invalid(format_args!(
                "queue {}: more tasks in one call than the {MOST} allowed",
                inner.name
            )));
        }
        if let Some(request) = &self.request {
            check_name("request id", request)?;
        }
        // Each id is the one after the one before: the first one tells all, also to who asks again.
        let (first, delay) = self.options.id(inner);
        let prepared = self.tasks.iter().enumerate().map(|(number, task)| {
            let body = Bytes::from(inner.encode(task)?);
            Ok((first.following(number), Record { body, delay, ..plain.clone() }.write()))
        });
        prepared.collect()
    }
}
