//! Tasks that are done once somebody has time for them, and that no crash loses.
//!
//! The states of a task, and why each step is one script, are in `docs/design/queue-states.md`.

mod builder;
mod counts;
mod dead;
mod delivery;
mod effects;
mod enqueue;
mod enqueue_many;
mod lease;
mod limit;
mod list;
mod options;
mod peek;
mod receive;
mod record;
mod schedule;
mod scripts;
mod stats;
mod status;
mod task;
mod wait;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

pub use builder::QueueBuilder;
pub use counts::QueueCounts;
pub use dead::{DeadTask, TaskError};
pub use delivery::{Delivery, Settled};
pub use effects::Effects;
pub use enqueue::{Enqueue, Enqueued};
pub use enqueue_many::{EnqueueMany, EnqueuedMany};
pub use limit::RateLimit;
pub use list::QueueNames;
pub use peek::{Peek, TaskDetails, TaskPage};
pub use schedule::{
    Missed, Recurring, RecurringTask, Registered, Rescheduled, Scheduler, Ticked, Timetable,
};
pub use stats::{QueueStats, Times};
pub use status::{Cancelled, TaskState, TaskStatus};
pub use task::{Task, TaskId};
pub use wait::Waited;
pub use worker::{TaskContext, Worker, WorkerBuilder};

use crate::{
    client::Russet,
    error::{Error, Result},
};
use builder::Settings;
use scripts::Place;
use stats::Counting;

/// A queue of tasks in Redis: durable, with priorities, delays, retries, unique tasks and dead ones that can be brought back.
///
/// A task is delivered at least once. Claiming moves it to running in the script that returns it, under a lease that ends
/// when its worker dies; then it is ready again by itself, and each delivery has a [fence](Delivery::fence) larger than all
/// before. A cheap clone; all handles of one name are the same queue. Tasks are worked on by a [`Worker`], or taken one by
/// one with [`receive`](Self::receive).
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::Duration;
/// use russet::{Queue, Task};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendEmail { email: String }
/// impl Task for SendEmail { const NAME: &'static str = "send_email"; }
///
/// let queue = Queue::builder(&russet, "mail").max_attempts(3).build()?;
/// let sent = queue.enqueue(SendEmail { email: "ada@example.com".into() }).priority(5).await?;
///
/// let delivery = queue.receive(Duration::from_secs(1)).await?.ok_or("nothing there")?;
/// assert_eq!(delivery.id(), sent.id);
/// let mail: SendEmail = delivery.task()?;
/// # assert_eq!(mail.email, "ada@example.com");
/// delivery.ack().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    name: String,
    place: Place,
    settings: Settings,
    counting: Counting,
}

impl Queue {
    /// Settings for the queue of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> QueueBuilder {
        QueueBuilder::new(russet, name)
    }

    /// Stops the queue from giving tasks; what runs goes on, and tasks can be enqueued. Answers whether it was not paused
    /// before. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; `Unknown` when its answer was lost: pausing again does no harm.
    pub async fn pause(&self) -> Result<bool> {
        scripts::pause(&self.inner.russet, &self.inner.place, true).await
    }

    /// Lets a paused queue go on. Answers whether it was paused. One round trip.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<bool> {
        scripts::pause(&self.inner.russet, &self.inner.place, false).await
    }
}

impl Inner {
    /// How long a task waits that failed in this attempt.
    fn backoff(&self, attempt: u32) -> Duration {
        self.settings.backoff.delay(attempt)
    }

    /// The body of a task.
    fn encode<T: Task>(&self, task: &T) -> Result<Vec<u8>> {
        let body = task.encode_body().map_err(|cause| {
            Error::codec(format_args!("queue {}: a task cannot be encoded", self.name), cause)
        })?;
        if body.len() > self.settings.max_task_bytes {
            return Err(Error::invalid(format_args!(
                "queue {}: a task of {} bytes, more than the {} allowed",
                self.name,
                body.len(),
                self.settings.max_task_bytes
            )));
        }
        Ok(body)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
