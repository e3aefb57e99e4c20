use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Queue, Task, TaskId,
    options::{Options, task_options},
    record::Record,
    scripts::{self, Single},
};
use crate::{
    client::Reached,
    error::{Error, Result},
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
    /// Puts up to 1,000 tasks on the queue, all or none, in their order. One round trip.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_many<T: Task>(&self, tasks: impl IntoIterator<Item = T>) -> EnqueueMany<'_, T> {
        // One more than allowed says that they are too many; an endless iterator ends.
        let tasks = tasks.into_iter().take(MOST + 1).collect();
        EnqueueMany { queue: self, tasks, options: Options::default() }
    }
}

impl<T> EnqueueMany<'_, T> {
    task_options!();
}

impl<'a, T: Task> IntoFuture for EnqueueMany<'a, T> {
    type Output = Result<EnqueuedMany>;
    type IntoFuture = BoxFuture<'a, Result<EnqueuedMany>>;

    fn into_future(self) -> Self::IntoFuture {
        let inner = &self.queue.inner;
        let (prepared, when) = (self.prepare(), self.options.when);
        async move {
            let records = prepared?;
            if records.is_empty() {
                return Ok(EnqueuedMany { ids: Vec::new(), reached: None });
            }
            let (_, _, reached) =
                scripts::enqueue(&inner.russet, &inner.place, Single::default(), when, &records)
                    .await?;
            inner.counting.enqueued(records.len() as u64);
            let ids = records.into_iter().map(|(id, _)| id).collect();
            Ok(EnqueuedMany { ids, reached: Some(reached) })
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
        let prepared = self.tasks.iter().map(|task| {
            let (id, delay) = self.options.id(inner);
            let body = Bytes::from(inner.encode(task)?);
            Ok((id, Record { body, delay, ..plain.clone() }.write()))
        });
        prepared.collect()
    }
}
