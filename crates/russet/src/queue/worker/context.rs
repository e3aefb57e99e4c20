use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::{
    error::{Advice, BoxError, Error, ErrorKind, Result},
    names::check_name,
    queue::{
        Queue, TaskId,
        record::Record,
        scripts::{self, Recorded},
    },
};

/// What a handler knows of the task that it does. A cheap clone.
pub struct TaskContext<S = ()> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    shared: Arc<Shared<S>>,
    id: TaskId,
    fence: u64,
    attempt: u32,
    keeps_result: bool,
    cancelled: CancellationToken,
}

impl<S> TaskContext<S> {
    pub(super) fn new(
        shared: &Arc<Shared<S>>,
        id: TaskId,
        fence: u64,
        record: &Record,
        cancelled: CancellationToken,
    ) -> Self {
        let inner = Inner {
            shared: shared.clone(),
            id,
            fence,
            attempt: record.attempts + 1,
            keeps_result: record.keep_result.is_some(),
            cancelled,
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn keeps_result(&self) -> bool {
        self.inner.keeps_result
    }

    /// What all handlers of the worker share.
    pub fn state(&self) -> &S {
        &self.inner.shared.state
    }

    /// The queue that the task is of, for further tasks.
    pub fn queue(&self) -> &Queue {
        &self.inner.shared.queue
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.inner.id
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// A number that is larger than that of every earlier delivery of this task. A store that keeps the largest one it saw,
    /// as by `UPDATE … WHERE fence <= $1`, refuses a worker that was overtaken.
    pub fn fence(&self) -> u64 {
        self.inner.fence
    }

    /// The same at every delivery of this task, and at that of no other one: for another side that knows such keys.
    pub fn idempotency_key(&self) -> String {
        self.inner.id.to_string()
    }

    /// Ends when somebody cancels the task, in whatever process. A handler that cares selects on it and returns an error: then
    /// the task is cancelled. One that completes all the same is completed.
    pub async fn cancelled(&self) {
        self.inner.cancelled.cancelled().await;
    }

    /// Whether somebody has cancelled the task.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.is_cancelled()
    }

    /// Runs a step of the task whose effect must not be repeated, and records its result; when the task is delivered again,
    /// the recorded result is returned and the step is not run. The name, 1 to 256 bytes, is the step's within this task.
    ///
    /// What is left: a process that dies after the step's effect and before its record runs the step again. Give
    /// [`idempotency_key`](Self::idempotency_key) to the other side for that.
    ///
    /// Two round trips; one when it was recorded. Nothing else is stored than the results, as JSON in the task's own field,
    /// until the task is completed, or deleted when dead.
    ///
    /// # Errors
    /// The step's own error, which is not recorded; `Refused` when the task's lease is lost; when the result does not encode
    /// or the recorded one does not decode; when the server cannot be asked.
    pub async fn once<T, F>(&self, name: &str, step: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned,
        F: AsyncFnOnce() -> Result<T, BoxError>,
    {
        check_name("name of a step", name)?;
        let (russet, place) = (&self.queue().inner.russet, &self.queue().inner.place);
        let (id, fence) = (self.id(), self.fence());
        let recorded = match scripts::record(russet, place, id, fence, name, None).await? {
            Recorded::Nothing => {
                let result = serde_json::to_vec(&step().await?)?;
                scripts::record(russet, place, id, fence, name, Some(&result)).await?
            }
            recorded => recorded,
        };
        match recorded {
            Recorded::Result(result) => Ok(serde_json::from_slice(&result)?),
            Recorded::Nothing | Recorded::Lost => {
                let message = format_args!("the lease of task {id} is lost: somebody else has it");
                Err(Error::new(ErrorKind::Refused, Advice::GiveUp, message).into())
            }
        }
    }
}

impl<S> Clone for TaskContext<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S> fmt::Debug for TaskContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.inner.id)
            .field("attempt", &self.inner.attempt)
            .field("fence", &self.inner.fence)
            .finish_non_exhaustive()
    }
}
