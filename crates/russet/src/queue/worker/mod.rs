//! Handlers and what runs them.

mod claimer;
mod context;
mod endings;
mod handler;
mod heart;
mod run;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::Notify, time::Instant};

pub use context::TaskContext;

use super::{Queue, Task, builder::check_time, task::check_task_name};
use crate::error::{BoxError, Error, Result};
use handler::{Handler, of};

/// The most tasks that one worker runs at a time.
const MOST: usize = 10_000;

/// Runs the handlers of a queue's tasks in this process; made by [`Worker::builder`].
///
/// Each task is run by the handler of its name, in a tokio task of its own. A handler's error, panic or timeout is a failed
/// attempt: the task is tried again after its backoff, and is dead after its last attempt. A task whose name has no handler
/// here, or whose body does not decode, is dead at once, with the reason and the body kept.
///
/// Leases are renewed on a thread of the library's own, so that a handler that blocks keeps its task. When a lease is lost
/// all the same (the process was stopped, the server out of reach for long), the handler is dropped at its next `await`,
/// before another worker can have the task. What it does without one in between nobody can stop: give
/// [`fence`](TaskContext::fence) to the store.
///
/// ```
/// # use russet::{BoxError, Queue, Task, TaskContext, Worker};
/// # use serde::{Deserialize, Serialize};
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// # let queue = Queue::builder(&russet, "mail").build()?;
/// # #[derive(Serialize, Deserialize)] struct SendEmail { email: String }
/// # impl Task for SendEmail { const NAME: &'static str = "send_email"; }
/// # #[derive(Clone)] struct App { sent: tokio::sync::mpsc::UnboundedSender<String> }
/// async fn send_email(mail: SendEmail, ctx: TaskContext<App>) -> Result<(), BoxError> {
///     Ok(ctx.state().sent.send(mail.email)?)
/// }
///
/// # let (sent, mut sending) = tokio::sync::mpsc::unbounded_channel();
/// # let app = App { sent };
/// # queue.enqueue(SendEmail { email: "ada@example.com".into() }).await?;
/// # let shutdown = async move { assert_eq!(sending.recv().await.as_deref(), Some("ada@example.com")) };
/// let worker = Worker::builder(&queue).state(app).concurrency(50).handler(send_email).build()?;
/// worker.run_until(shutdown).await?; // stops claiming, finishes or hands back what runs
/// # Ok(()) }
/// ```
pub struct Worker<S = ()> {
    shared: Arc<Shared<S>>,
}

/// The settings and handlers of a [`Worker`].
#[must_use]
pub struct WorkerBuilder<S = ()> {
    queue: Queue,
    state: S,
    concurrency: usize,
    shutdown_timeout: Duration,
    handlers: HashMap<&'static str, Handler<S>>,
    fault: Option<Error>,
}

/// What the parts of a worker share.
struct Shared<S> {
    queue: Queue,
    state: S,
    concurrency: usize,
    shutdown_timeout: Duration,
    handlers: HashMap<&'static str, Handler<S>>,
    alive: Alive,
    /// A claim loop found nothing to do, and nothing of its runs.
    idle: Notify,
}

/// When a claim loop turned last.
struct Alive {
    since: Instant,
    last_ms: AtomicU64,
}

/// A loop that has not turned for so long is stuck: an idle one turns each 5 seconds.
const STUCK: Duration = Duration::from_secs(15);

impl Alive {
    fn new() -> Self {
        Self { since: Instant::now(), last_ms: AtomicU64::new(u64::MAX) }
    }

    fn turned(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    fn is_recent(&self) -> bool {
        let last = self.last_ms.load(Ordering::Relaxed);
        last != u64::MAX && self.since.elapsed() < Duration::from_millis(last) + STUCK
    }
}

impl Worker {
    /// A worker of this queue.
    pub fn builder(queue: &Queue) -> WorkerBuilder {
        WorkerBuilder {
            queue: queue.clone(),
            state: (),
            concurrency: 10,
            shutdown_timeout: Duration::from_secs(25),
            handlers: HashMap::new(),
            fault: None,
        }
    }
}

impl<S> WorkerBuilder<S> {
    /// What the handlers share: they get a reference to it by [`TaskContext::state`]. Comes before the handlers. `()` unless
    /// set.
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> WorkerBuilder<T> {
        let mut fault = self.fault;
        if !self.handlers.is_empty() && fault.is_none() {
            fault = Some(Error::invalid("the state of a worker comes before its handlers"));
        }
        WorkerBuilder {
            queue: self.queue,
            state,
            concurrency: self.concurrency,
            shutdown_timeout: self.shutdown_timeout,
            handlers: HashMap::new(),
            fault,
        }
    }

    /// How many tasks run at a time, 1 to 10,000. No more are claimed than can run. Defaults to 10.
    pub fn concurrency(mut self, tasks: usize) -> Self {
        self.concurrency = tasks;
        self
    }

    /// How long the end waits for running handlers, before it drops them and gives their tasks back. Defaults to 25 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }
}

impl<S: Send + Sync + 'static> WorkerBuilder<S> {
    /// An async function that does the tasks of one kind: it takes the task and its [`TaskContext`], and returns a result,
    /// which is kept when the task says so.
    pub fn handler<T, F, Fut, R, E>(mut self, handler: F) -> Self
    where
        T: Task,
        F: Fn(T, TaskContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Serialize,
        E: Into<BoxError>,
    {
        if let Err(error) = check_task_name(T::NAME) {
            self.fault.get_or_insert(error);
        }
        if self.handlers.insert(T::NAME, of(handler)).is_some() {
            let twice = Error::invalid(format_args!("two handlers for tasks {}", T::NAME));
            self.fault.get_or_insert(twice);
        }
        self
    }

    /// Checks the settings; nothing is sent, and nothing runs yet.
    ///
    /// # Errors
    /// `Invalid` when a setting is out of its range, there is no handler, or two are for one kind of task.
    pub fn build(self) -> Result<Worker<S>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !(1..=MOST).contains(&self.concurrency) {
            return Err(Error::invalid(format_args!(
                "the concurrency must be 1 to {MOST}, not {}",
                self.concurrency
            )));
        }
        check_time("shutdown_timeout", Some(self.shutdown_timeout), Duration::ZERO)?;
        if self.handlers.is_empty() {
            return Err(Error::invalid("a worker without a handler"));
        }
        let shared = Shared {
            queue: self.queue,
            state: self.state,
            concurrency: self.concurrency,
            shutdown_timeout: self.shutdown_timeout,
            handlers: self.handlers,
            alive: Alive::new(),
            idle: Notify::new(),
        };
        Ok(Worker { shared: Arc::new(shared) })
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queue", &self.shared.queue)
            .field("concurrency", &self.shared.concurrency)
            .finish_non_exhaustive()
    }
}
