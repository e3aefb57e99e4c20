//! A worker's life: it claims until it is told to end, then finishes what runs.

use std::sync::Arc;

use tokio::{pin, select, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Worker, claimer::Claimer};
use crate::{
    error::Result,
    queue::{QueueCounts, schedule::Ticking},
};

/// A claim loop serves so many tasks at a time before a second one is worth it.
const A_LOOP: usize = 50;
const MOST_LOOPS: usize = 4;

/// Ends the handlers when the worker is dropped in the middle.
struct End(CancellationToken);

impl Drop for End {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Works until the future ends; then claims nothing more, waits for the running handlers up to the
    /// [`shutdown_timeout`](super::WorkerBuilder::shutdown_timeout), drops those that are left, and gives their tasks back
    /// without counting an attempt. Outages of the server are waited out.
    ///
    /// A future of this that is dropped drops its handlers too, at their next `await`; their tasks come back when their
    /// leases end.
    ///
    /// # Errors
    /// When it cannot begin: the operating system gives no random bytes.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let shared = &self.shared;
        let (stop, end) = (CancellationToken::new(), End(CancellationToken::new()));
        let loops = (shared.concurrency / A_LOOP).clamp(1, MOST_LOOPS);
        // In tasks of their own: they would all be polled for news of one of them, on a thread that runs no handler.
        let mut claimers = JoinSet::new();
        for number in 0..loops {
            let slots =
                shared.concurrency * (number + 1) / loops - shared.concurrency * number / loops;
            claimers.spawn(Claimer::new(Arc::clone(shared), slots, &stop, &end.0)?.run());
        }
        // A worker that ends leaves the ticks to others: tasks that nobody is there for would only wait.
        let ticking = Ticking::start(&shared.queue);
        let working = claimers.join_all();
        pin!(working, shutdown);
        select! {
            _ = &mut working => return Ok(()),
            () = &mut shutdown => stop.cancel(),
        }
        drop(ticking);
        select! {
            _ = &mut working => return Ok(()),
            () = tokio::time::sleep(shared.shutdown_timeout) => {}
        }
        tracing::warn!(
            "handlers still run at the end of the shutdown timeout: their tasks are given back"
        );
        end.0.cancel();
        // A handler that blocks its thread is not waited for: its task comes back when its lease ends.
        let _ = tokio::time::timeout(LAST_TURN, working).await;
        Ok(())
    }

    /// Works until no task is ready and none runs, in this process or elsewhere; then it ends, and says how the queue stands.
    /// For tests and for jobs that empty a queue: with a paused queue it ends at once.
    ///
    /// What waits for a time stays, be it a task's first time or that of its next attempt: `scheduled` and `retrying` tell.
    /// It looks when a claim loop has found nothing, and does not poll.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Queue, Task, TaskContext, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Report {}
    /// # impl Task for Report { const NAME: &'static str = "report"; }
    /// # async fn report(_: Report, _: TaskContext) -> Result<(), BoxError> { Ok(()) }
    /// # let queue = Queue::builder(&russet, "reports").build()?;
    /// queue.enqueue_many([Report {}, Report {}]).await?;
    /// let counts = Worker::builder(&queue).handler(report).build()?.run_until_empty().await?;
    /// assert_eq!((counts.completed, counts.ready, counts.retrying), (2, 0, 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    pub async fn run_until_empty(&self) -> Result<QueueCounts> {
        let mut at_the_end = QueueCounts::default();
        let is_empty = async {
            loop {
                self.shared.idle.notified().await;
                match self.shared.queue.counts().await {
                    Ok(counts)
                        if counts.running == 0 && (counts.ready == 0 || counts.is_paused) =>
                    {
                        at_the_end = counts;
                        return;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "whether the queue is empty is not known")
                    }
                }
            }
        };
        self.run_until(is_empty).await?;
        Ok(at_the_end)
    }

    /// Whether its claim loops turn: false before it runs, and when none has reached the server for 15 seconds.
    pub fn is_alive(&self) -> bool {
        self.shared.alive.is_recent()
    }
}

/// How long the last turn may take, after the handlers were dropped.
const LAST_TURN: std::time::Duration = std::time::Duration::from_secs(2);
