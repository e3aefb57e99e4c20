//! Tasks at a time, after a while, and again and again.
//!
//! How ticks of recurring tasks come to be tasks, and why none is lost or doubled, is in `docs/design/schedule.md`.

mod entry;
mod missed;
mod recurring;
mod reschedule;
mod scripts;
mod table;
mod ticker;
mod timetable;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

pub use missed::Missed;
pub use recurring::{Recurring, Registered};
pub use reschedule::Rescheduled;
pub use table::RecurringTask;
pub use ticker::Ticked;
pub use timetable::Timetable;

pub(super) use ticker::Ticking;

use super::{Cancelled, Enqueue, Queue, Task, TaskId, TaskStatus};
use crate::error::Result;

/// How long results are kept unless the scheduler or the queue says otherwise.
const KEEP: Duration = Duration::from_secs(86_400);

/// The queue as a timetable: tasks at a time, after a while, and recurring ones, by interval or cron expression.
///
/// A face of its queue, as cheap as the queue's handle, and of no effect by itself: what it schedules is done by the
/// [workers](super::Worker) of the queue, and any of them enqueues the next tick of a recurring task. There is no process that
/// must run beside them, and none that must run alone. The server's clock decides what is due.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::{Duration, SystemTime};
/// use russet::{Cancelled, Queue, Scheduler, Task};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct CleanupTempFiles { directory: String }
/// impl Task for CleanupTempFiles { const NAME: &'static str = "cleanup_temp_files"; }
/// # let cleanup = |directory: &str| CleanupTempFiles { directory: directory.into() };
///
/// let queue = Queue::builder(&russet, "chores").build()?;
/// let scheduler = Scheduler::new(&queue);
/// let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
/// let once = scheduler.at(tomorrow, cleanup("uploads")).await?.id;
/// scheduler.cron("nightly", "30 3 * * *", "Asia/Shanghai", cleanup("downloads")).await?;
///
/// assert_eq!(scheduler.cancel(once).await?, Cancelled::Done);
/// println!("{:?}", scheduler.list().await?[0].next);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Scheduler {
    queue: Queue,
    keep: Option<Duration>,
}

impl Scheduler {
    /// The scheduler of a queue; nothing is sent.
    pub fn new(queue: &Queue) -> Self {
        let keep = queue.inner.settings.keep_results.is_none().then_some(KEEP);
        Self { queue: queue.clone(), keep }
    }

    /// How long results are kept of tasks that are scheduled [at](Self::at) a time or [after](Self::after) a while, for
    /// [`status`](Self::status). Defaults to the queue's [`keep_results`](super::QueueBuilder::keep_results), and to a day
    /// when it has none. Errors are kept as long as a task is dead.
    pub fn keep_results(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    /// The queue on which its tasks are.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Schedules a task at this time; at once when it has passed. One round trip. All options of
    /// [`enqueue`](Queue::enqueue) are there.
    pub fn at<T: Task>(&self, time: SystemTime, task: T) -> Enqueue<'_, T> {
        self.kept(task).execute_at(time)
    }

    /// Schedules a task after so long. One round trip. All options of [`enqueue`](Queue::enqueue) are there.
    pub fn after<T: Task>(&self, delay: Duration, task: T) -> Enqueue<'_, T> {
        self.kept(task).delay(delay)
    }

    fn kept<T: Task>(&self, task: T) -> Enqueue<'_, T> {
        let enqueue = self.queue.enqueue(task);
        match self.keep {
            Some(keep) => enqueue.keep_result(keep),
            None => enqueue,
        }
    }

    /// Cancels a task that waits or runs, as [`Queue::cancel`] does: against a claim, one of the two wins. One round trip. A
    /// recurring one is ended by [`remove`](Self::remove).
    ///
    /// # Errors
    /// As [`Queue::cancel`].
    pub async fn cancel(&self, id: TaskId) -> Result<Cancelled> {
        self.queue.cancel(id).await
    }

    /// What became of a task, as [`Queue::status`] tells it. One round trip.
    ///
    /// # Errors
    /// As [`Queue::status`].
    pub async fn status(&self, id: TaskId) -> Result<Option<TaskStatus>> {
        self.queue.status(id).await
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("queue", &self.queue).finish_non_exhaustive()
    }
}
