//! "Kill a worker": a real process works on tasks, is ended by a real SIGKILL, and its tasks come back.
//!
//! The tasks have a queue of their own with a short lease, so that one need not wait for half a minute. What a process holds
//! that is gone is told by the fence: it stays the dead one's until the lease ends, and another delivery has a larger one.

mod process;
mod step;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use russet::{Queue, Russet, TaskId, TaskState, TaskStatus};
use russet_axum::ApiError;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use crate::Failure;
use process::WorkerProcess;
use step::Step;

pub use process::Launcher;
pub use step::{QUEUE, worker};

/// The tasks of a run.
const TASKS: u32 = 12;
/// How many must be done before the worker is killed.
const DONE_BEFORE: usize = 4;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long each half of a run may take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demonstration; one run at a time. A cheap clone.
#[derive(Debug, Clone)]
pub struct KilledWorker {
    queue: Queue,
    launcher: Option<Launcher>,
    room: Arc<Semaphore>,
    story: Arc<Mutex<Story>>,
    stop: CancellationToken,
    runs: TaskTracker,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Story {
    phase: Phase,
    tasks: Vec<TaskId>,
    workers: Vec<Worked>,
    /// What the dead worker held, with the fence of its delivery.
    held: HashMap<TaskId, u64>,
    killed_at: Option<Instant>,
    back_after: Option<Duration>,
    error: Option<String>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// There was none yet.
    #[default]
    Idle,
    /// The first worker works.
    Working,
    /// It was killed, and another one goes on.
    Killed,
    /// Every task is done.
    Done,
    /// It could not be shown.
    Failed,
}

/// A process of a run.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Worked {
    /// Its process id.
    pid: u32,
    /// `working`, `killed` or `stopped`.
    state: &'static str,
}

/// A run, as it stands now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Show {
    phase: Phase,
    /// The processes, in their order.
    workers: Vec<Worked>,
    /// The tasks, in their order.
    tasks: Vec<Shown>,
    /// How many tasks the dead worker held.
    held: usize,
    /// From the kill until the last task that the dead worker held was with another one, in ms.
    back_ms: Option<f64>,
    /// Why it could not be shown.
    error: Option<String>,
}

/// A task of a run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shown {
    /// `waiting`, `running`, `lost` (with the dead worker, until its lease ends) or `done`.
    state: &'static str,
    /// How many attempts were counted.
    attempts: u32,
    /// The process that did it.
    by: Option<u32>,
}

/// Why no run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// This process starts no workers.
    #[error("this process starts no workers: `russet serve` does")]
    NoLauncher,
    /// Another run is under way.
    #[error("another run is under way")]
    Busy,
}

impl KilledWorker {
    pub(crate) fn new(russet: &Russet) -> russet::Result<Self> {
        Ok(Self {
            queue: step::queue(russet)?,
            launcher: None,
            room: Arc::new(Semaphore::new(1)),
            story: Arc::default(),
            stop: CancellationToken::new(),
            runs: TaskTracker::new(),
        })
    }

    /// With worker processes that are started like this.
    #[must_use]
    pub fn with_launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = Some(launcher);
        self
    }

    /// Starts a run, which goes on by itself.
    ///
    /// # Errors
    /// When none can be started.
    pub fn start(&self) -> Result<(), NotStarted> {
        let launcher = self.launcher.clone().ok_or(NotStarted::NoLauncher)?;
        let room = self.room.clone().try_acquire_owned().map_err(|_| NotStarted::Busy)?;
        *self.story() = Story { phase: Phase::Working, ..Story::default() };
        self.runs.spawn(self.clone().run(launcher, room));
        Ok(())
    }

    /// The last run.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn show(&self) -> russet::Result<Show> {
        let tasks = self.story().tasks.clone();
        let statuses = self.statuses(&tasks).await?;
        let story = self.story();
        let tasks =
            tasks.iter().zip(&statuses).map(|(id, status)| story.shown(id, status.as_ref()));
        Ok(Show {
            phase: story.phase,
            workers: story.workers.clone(),
            tasks: tasks.collect(),
            held: story.held.len(),
            back_ms: story.back_after.map(|after| after.as_secs_f64() * 1e3),
            error: story.error.clone(),
        })
    }

    /// Ends a run that is under way, with its processes.
    pub async fn close(&self) {
        self.stop.cancel();
        self.runs.close();
        self.runs.wait().await;
    }

    async fn run(self, launcher: Launcher, _room: OwnedSemaphorePermit) {
        let played = tokio::select! {
            played = self.play(&launcher) => played,
            // The processes are killed with the run.
            () = self.stop.cancelled() => Err("the server stops".into()),
        };
        let mut story = self.story();
        match played {
            Ok(()) => story.phase = Phase::Done,
            Err(error) => {
                tracing::warn!(%error, "the kill of a worker could not be shown");
                story.phase = Phase::Failed;
                // What a client learns of Redis is the same everywhere.
                let told = error.downcast_ref::<russet::Error>().cloned().map(ApiError::from);
                story.error = Some(told.map_or_else(|| error.to_string(), |told| told.to_string()));
            }
        }
    }

    async fn play(&self, launcher: &Launcher) -> Result<(), Failure> {
        let first = self.started(launcher)?;
        let put = self.queue.enqueue_many((1..=TASKS).map(|number| Step { number })).await?;
        self.story().tasks = put.ids.clone();
        self.until(&put.ids, "the first worker did not work", |statuses| {
            let done = statuses.iter().filter(|one| is_done(one)).count();
            done >= DONE_BEFORE && statuses.iter().any(|one| fence(one).is_some())
        })
        .await?;

        first.kill().await?;
        // It is gone: what runs is what it held.
        let statuses = self.statuses(&put.ids).await?;
        let held = put.ids.iter().zip(&statuses).filter_map(|(id, one)| Some((*id, fence(one)?)));
        {
            let mut story = self.story();
            story.held = held.collect();
            story.killed_at = Some(Instant::now());
            story.phase = Phase::Killed;
            story.workers.iter_mut().for_each(|worker| worker.state = "killed");
        }
        let second = self.started(launcher)?;
        self.until(&put.ids, "the tasks did not come back", |statuses| {
            let mut story = self.story();
            let is_back = |id, one: &Option<TaskStatus>| {
                is_done(one) || fence(one).is_some_and(|fence| Some(&fence) != story.held.get(id))
            };
            let mut held =
                put.ids.iter().zip(statuses).filter(|(id, _)| story.held.contains_key(id));
            if story.back_after.is_none() && held.all(|(id, one)| is_back(id, one)) {
                story.back_after = story.killed_at.map(|since| since.elapsed());
            }
            statuses.iter().all(is_done)
        })
        .await?;
        second.stop().await?;
        if let Some(worker) = self.story().workers.last_mut() {
            worker.state = "stopped";
        }
        Ok(())
    }

    fn started(&self, launcher: &Launcher) -> Result<WorkerProcess, Failure> {
        let process = launcher.start()?;
        self.story().workers.push(Worked { pid: process.pid(), state: "working" });
        Ok(process)
    }

    /// Looks at the tasks again and again, also over an outage.
    async fn until(
        &self,
        tasks: &[TaskId],
        otherwise: &str,
        wanted: impl Fn(&[Option<TaskStatus>]) -> bool,
    ) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.statuses(tasks).await.is_ok_and(|statuses| wanted(&statuses)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(format!("{otherwise} within {PATIENCE:?}").into())
    }

    async fn statuses(&self, tasks: &[TaskId]) -> russet::Result<Vec<Option<TaskStatus>>> {
        try_join_all(tasks.iter().map(|id| self.queue.status(*id))).await
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Story {
    fn shown(&self, id: &TaskId, status: Option<&TaskStatus>) -> Shown {
        let Some(status) = status else {
            return Shown { state: "waiting", attempts: 0, by: None };
        };
        let state = match status.state {
            TaskState::Running { fence } if self.held.get(id) == Some(&fence) => "lost",
            TaskState::Running { .. } => "running",
            TaskState::Completed { .. } => "done",
            _ => "waiting",
        };
        let by = status.result.as_deref().and_then(|pid| serde_json::from_slice(pid).ok());
        Shown { state, attempts: status.attempts, by }
    }
}

fn is_done(status: &Option<TaskStatus>) -> bool {
    status.as_ref().is_some_and(|one| matches!(one.state, TaskState::Completed { .. }))
}

/// The fence of a task that runs.
fn fence(status: &Option<TaskStatus>) -> Option<u64> {
    match status.as_ref()?.state {
        TaskState::Running { fence } => Some(fence),
        _ => None,
    }
}
