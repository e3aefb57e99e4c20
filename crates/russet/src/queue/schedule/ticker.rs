//! Who sees to it that ticks become tasks: every worker of the queue, and whoever asks a scheduler to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use rand::RngExt;
use tokio::{pin, time::Instant};

use super::{
    Scheduler,
    entry::Entry,
    scripts::{self, Due, Fire, Tick},
};
use crate::{
    error::Result,
    listen::{Heard, Listener},
    queue::{Queue, TaskId, record::Record},
    service::{Rest, Service},
};

/// For how long one process has what is due to itself.
const MOMENT: Duration = Duration::from_secs(1);
/// How much later one comes that was overtaken once.
const LEAST_PATIENCE: Duration = Duration::from_millis(10);
/// Nobody rests longer without looking: a message can be lost.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// What came of a look at the recurring tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticked {
    /// The tasks that this call enqueued; its id [tells](TaskId::time) for which time each one is.
    pub tasks: Vec<TaskId>,
    /// How long it is until something is due; none when nothing recurs, or all is paused.
    pub wait: Option<Duration>,
    /// Whether something was due, enqueued or not.
    found: bool,
}

/// Enqueues what is due until it is dropped; it ends a round that has begun.
pub(in crate::queue) struct Ticking {
    service: Arc<Service>,
    _changes: Listener,
}

impl Ticking {
    pub(in crate::queue) fn start(queue: &Queue) -> Self {
        let ticking = queue.clone();
        let turn = Arc::new(Mutex::new(Turn { patience: Duration::ZERO, due: None }));
        let service = Arc::new(Service::start("schedule", move |_| {
            let (queue, turn) = (ticking.clone(), turn.clone());
            async move {
                let looked = Instant::now();
                let ticked = round(&queue, 0).await?;
                let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(Rest::For(turn.rest(looked, &ticked)))
            }
        }));
        let woken = service.clone();
        let inner = &queue.inner;
        let changes = inner.russet.listeners().listen(&inner.place.ticking(), move |heard| {
            // What was changed before the channel was live has been heard by nobody.
            if !matches!(heard, Heard::Gap) {
                woken.wake();
            }
        });
        Self { service, _changes: changes }
    }
}

/// Who finds nothing when something was due, because another process was faster, comes a little later the next time, and in
/// the end as late as it would be given to it anyway. So one process does it, without having been chosen, and the others see
/// soon that it is gone.
struct Turn {
    patience: Duration,
    /// When something was to be due.
    due: Option<Instant>,
}

impl Turn {
    fn rest(&mut self, looked: Instant, ticked: &Ticked) -> Duration {
        if ticked.found {
            self.patience = Duration::ZERO;
        } else if self.due.is_some_and(|due| looked >= due) {
            self.patience = (2 * self.patience).clamp(LEAST_PATIENCE, MOMENT);
        }
        self.due = ticked.wait.map(|wait| looked + wait);
        let part = rand::rng().random_range(0.5..=1.0);
        let rest = ticked.wait.map_or(LONGEST_REST, |wait| wait + self.patience.mul_f64(part));
        rest.min(LONGEST_REST)
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.service.stop();
    }
}

impl Scheduler {
    /// Enqueues what is due of the recurring tasks, once for all processes, and tells how long it is until the next one. A
    /// [`Worker`](crate::Worker) does so by itself; this is for a loop of one's own. A round trip, and one more for what is due.
    ///
    /// # Errors
    /// When the server cannot be asked, or is full. Then nothing is lost: what was not enqueued is due a second later.
    pub async fn tick(&self) -> Result<Ticked> {
        round(&self.queue, 0).await
    }

    /// The same as if the server's clock showed this time: a test need not wait for it. What has no jitter is ready at once.
    ///
    /// # Errors
    /// As [`tick`](Self::tick).
    #[cfg(feature = "testing")]
    pub async fn tick_at(&self, time: std::time::SystemTime) -> Result<Ticked> {
        round(&self.queue, crate::clock::millis(time).max(1)).await
    }

    /// Enqueues what is due of the recurring tasks until the future ends, for a queue whose tasks are taken with
    /// [`receive`](Queue::receive): a [`Worker`](crate::Worker) does so by itself. Any number of processes may do it. Outages of
    /// the server are waited out.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) {
        let ticking = Ticking::start(&self.queue);
        pin!(shutdown);
        shutdown.await;
        ticking.service.join().await;
    }
}

/// Fires all that is due; `now` is 0 for the server's time.
async fn round(queue: &Queue, now: i64) -> Result<Ticked> {
    let inner = &queue.inner;
    let mut ticked = Ticked::default();
    loop {
        let due = scripts::tick(&inner.russet, &inner.place, MOMENT, now).await?;
        ticked.wait = due.wait;
        if due.entries.is_empty() {
            return Ok(ticked);
        }
        let fires = due.entries.iter().map(|(name, record)| fire(queue, &due, name, record));
        ticked.found = true;
        for tasks in try_join_all(fires).await? {
            ticked.tasks.extend(tasks);
        }
    }
}

/// Enqueues the ticks of an entry that is due.
async fn fire(queue: &Queue, due: &Due, name: &str, record: &[u8]) -> Result<Vec<TaskId>> {
    let inner = &queue.inner;
    let entry = match Entry::read(name, record) {
        Ok(entry) => entry,
        Err(error) => {
            tracing::warn!(queue = %inner.name, %error, "a recurring task is left to another process");
            return Ok(Vec::new());
        }
    };
    let Some(plan) = entry.missed.plan(&entry.times, entry.due, due.now) else {
        tracing::warn!(queue = %inner.name, name, times = %entry.times, "its times are over");
        return Ok(Vec::new());
    };
    let ticks: Vec<_> = plan.run.iter().map(|at| entry.tick(name, *at, due.now)).collect();
    let task = Record::read(entry.task.clone()).unwrap_or_default();
    let fire = Fire {
        name,
        due: entry.due,
        next: plan.next,
        last: plan.run.last().copied().unwrap_or(entry.last),
        remembered: inner.settings.request_window,
        unique: task.unique.as_deref(),
        task: &entry.task,
        ticks: &ticks,
    };
    let tasks = scripts::fire(&inner.russet, &inner.place, fire).await?.unwrap_or_default();
    inner.counting.enqueued(tasks.len() as u64);
    let late = Duration::from_millis(due.now.abs_diff(entry.due));
    tracing::debug!(queue = %inner.name, name, ?late, tasks = tasks.len(), "a recurring task was due");
    Ok(tasks)
}

impl Entry {
    /// The task of a time. Its id is made of the name and the time, so that it is the same one whoever enqueues it.
    fn tick(&self, name: &str, at: i64, now: i64) -> Tick {
        let request = ["cron:", name, ":", &at.to_string()].concat();
        let digest = sha1_smol::Sha1::from(&request).digest().bytes();
        let (random, jitter) = digest.split_at(16);
        let random = random.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        let part = jitter.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        let jitter = self.jitter.mul_f64(f64::from(part) / f64::from(u32::MAX));
        let passed = Duration::from_millis(u64::try_from(now - at).unwrap_or(0));
        Tick {
            request,
            delay: jitter.saturating_sub(passed),
            id: TaskId::of(at, random, self.priority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_overtaken_comes_later_and_who_finds_something_in_time() {
        let mut turn = Turn { patience: Duration::ZERO, due: None };
        let (mut now, wait) = (Instant::now(), Duration::from_millis(100));
        let nothing = Ticked { wait: Some(wait), ..Ticked::default() };
        let something = Ticked { found: true, ..nothing.clone() };
        assert_eq!(turn.rest(now, &nothing), wait, "nothing was to be due");
        // Woken by a change, before it was due.
        assert_eq!(turn.rest(now + wait / 2, &nothing), wait);
        for overtaken in 1..20 {
            now += 2 * wait;
            let rest = turn.rest(now, &nothing) - wait;
            let patience = (LEAST_PATIENCE * (1 << (overtaken - 1).min(10))).min(MOMENT);
            assert!(rest >= patience / 2 && rest <= patience, "{overtaken}: {rest:?}");
        }
        assert_eq!(turn.rest(now + wait, &something), wait);
        assert_eq!(turn.rest(now, &Ticked::default()), LONGEST_REST);
    }
}
