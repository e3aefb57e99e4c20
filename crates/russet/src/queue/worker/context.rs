use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::{
    error::{Advice, BoxError, Error, ErrorKind, Result},
    names::check_name,
    queue::{
        Effects, Queue, Settled, TaskId,
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
    claimant: Arc<str>,
    record: Record,
    cancelled: CancellationToken,
    /// It was completed together with its effects: the worker has nothing to settle.
    is_completed: AtomicBool,
}

/// The largest encoded progress, in bytes.
const LONGEST_PROGRESS: usize = 4_096;

impl<S> TaskContext<S> {
    pub(super) fn new(
        shared: &Arc<Shared<S>>,
        id: TaskId,
        fence: u64,
        claimant: &Arc<str>,
        record: Record,
        cancelled: CancellationToken,
    ) -> Self {
        let inner = Inner {
            shared: shared.clone(),
            id,
            fence,
            claimant: claimant.clone(),
            record,
            cancelled,
            is_completed: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn shared(&self) -> &Shared<S> {
        &self.inner.shared
    }

    pub(super) fn record(&self) -> &Record {
        &self.inner.record
    }

    pub(super) fn keeps_result(&self) -> bool {
        self.inner.record.keep_result.is_some()
    }

    pub(super) fn is_completed(&self) -> bool {
        self.inner.is_completed.load(Ordering::Acquire)
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
        self.inner.record.attempts + 1
    }

    /// What was said under this name when the task was enqueued.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.record.headers.get(name).map(String::as_str)
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

    /// Says how far the task is, as a percentage or in any other words: up to 4 KiB as JSON, which
    /// [`status`](Queue::status) shows until the task has ended. One round trip.
    ///
    /// # Errors
    /// `Invalid` when it is too large, `Codec` when it does not encode; otherwise when the server cannot be asked.
    pub async fn progress<P: Serialize + ?Sized>(&self, progress: &P) -> Result<Settled> {
        let encoded = serde_json::to_vec(progress).map_err(|cause| {
            Error::codec("the progress of a task cannot be encoded", cause.into())
        })?;
        if encoded.len() > LONGEST_PROGRESS {
            return Err(Error::invalid(format_args!(
                "a progress of {} bytes, more than the {LONGEST_PROGRESS} allowed",
                encoded.len()
            )));
        }
        let (russet, place) = (&self.queue().inner.russet, &self.queue().inner.place);
        let ours = scripts::progress(russet, place, self.id(), self.fence(), &encoded).await?;
        Ok(if ours { Settled::Done } else { Settled::LeaseLost })
    }

    /// Completes the task and writes its [`Effects`], in one step: when the lease is lost, nothing is written. The last thing
    /// that a handler does; what it returns afterwards is not looked at. The result is kept when the task says so. One round
    /// trip.
    ///
    /// These effects are there as often as the task is completed: once. It does **not** cover what a handler does elsewhere, in
    /// another database, over HTTP, in keys of another block, or in this call's own process: those happen before, and again
    /// when the process dies in between. It is no transaction of several tasks. And what a server loses, it loses of both:
    /// completion and effects are as durable as the server is.
    ///
    /// # Errors
    /// `Invalid` or `Codec` for effects that are out of their range, `Refused` when one adds to what is no number or the
    /// server is full: nothing was written, and the task runs on. `Unknown` when the answer was lost: return the error. If
    /// the task was completed, that changes nothing; if it was not, it is tried again.
    pub async fn complete_with<R: Serialize>(
        &self,
        result: R,
        effects: Effects,
    ) -> Result<Settled> {
        let Inner { id, fence, claimant, record, is_completed, .. } = &*self.inner;
        let queue = &self.queue().inner;
        let settled = queue.complete(*id, *fence, claimant, record, &result, effects).await?;
        if settled == Settled::Done {
            is_completed.store(true, Ordering::Release);
        }
        Ok(settled)
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
            .field("attempt", &self.attempt())
            .field("fence", &self.inner.fence)
            .finish_non_exhaustive()
    }
}
