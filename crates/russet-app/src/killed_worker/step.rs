//! The tasks of the demonstration, and the worker that does them.

use std::convert::Infallible;
use std::time::Duration;

use russet::{BoxError, Queue, Russet, Task, TaskContext, Worker};
use serde::{Deserialize, Serialize};

/// The name of the queue.
pub const QUEUE: &str = "demo";
/// How long a dead worker's tasks are waited for.
const LEASE: Duration = Duration::from_secs(2);
/// How long a task takes.
const WORK: Duration = Duration::from_millis(700);
/// How many a worker does at the same time.
const AT_A_TIME: usize = 4;
/// How long its result is looked at.
const KEEP: Duration = Duration::from_secs(600);

/// Something that takes its time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) number: u32,
}

impl Task for Step {
    const NAME: &'static str = "demo_step";
}

pub(super) fn queue(russet: &Russet) -> russet::Result<Queue> {
    Queue::builder(russet, QUEUE).lease(LEASE).keep_results(KEEP).build()
}

/// The worker that a process of the demonstration runs.
///
/// # Errors
/// None but of the library's own: the settings are fixed.
pub fn worker(russet: &Russet) -> russet::Result<Worker> {
    Worker::builder(&queue(russet)?).concurrency(AT_A_TIME).handler(work).build()
}

/// Takes its time, and says who did it.
async fn work(step: Step, ctx: TaskContext) -> Result<u32, BoxError> {
    tracing::debug!(number = step.number, attempt = ctx.attempt(), "a step of the demonstration");
    tokio::time::sleep(WORK).await;
    Ok::<_, Infallible>(std::process::id()).map_err(Into::into)
}
