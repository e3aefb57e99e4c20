use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, Histogram};

use super::{Queue, scripts::Verdict};

/// What one handle of a queue and its clones, their workers included, have done in this process, as numbers that only grow;
/// see [`Queue::stats`].
///
/// A rate is the difference of two looks by the time between them. The same by kind of task, with histograms of both times,
/// goes to the metrics recorder; what all processes do together is in [`QueueCounts`](super::QueueCounts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Tasks that were enqueued.
    pub enqueued: u64,
    /// Tasks that were claimed.
    pub claimed: u64,
    /// Tasks that were completed.
    pub completed: u64,
    /// Attempts that failed and are followed by another one.
    pub failed: u64,
    /// Tasks that are dead after their attempt here.
    pub dead: u64,
    /// Running tasks that ended because they were cancelled.
    pub cancelled: u64,
    /// Tasks that were given back without an attempt.
    pub released: u64,
    /// Tasks whose lease was lost before they were settled.
    pub lost: u64,
    /// From when a task was ready to its claim, by the server's clock; first attempts only.
    pub waited: Times,
    /// How long handlers ran.
    pub ran: Times,
}

/// Some times, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// How many.
    pub count: u64,
    /// All together.
    pub total: Duration,
    /// The longest one.
    pub longest: Duration,
}

impl Times {
    /// Their mean; zero when there is none.
    pub fn mean(&self) -> Duration {
        self.total.checked_div(u32::try_from(self.count).unwrap_or(u32::MAX)).unwrap_or_default()
    }
}

impl Queue {
    /// What this handle and its clones have done in this process. Asks nobody.
    pub fn stats(&self) -> QueueStats {
        self.inner.counting.read()
    }
}

/// More kinds of task than these are told together, so that no one can make labels without end.
const MOST_KINDS: usize = 100;

/// [`QueueStats`] while it happens.
pub(super) struct Counting {
    queue: String,
    totals: Arc<Totals>,
    kinds: RwLock<HashMap<String, Arc<Kind>>>,
    enqueued: Counter,
}

#[derive(Default)]
struct Totals {
    enqueued: AtomicU64,
    claimed: AtomicU64,
    /// In the order of [`ENDS`].
    ends: [AtomicU64; 6],
    waited: Timing,
    ran: Timing,
}

#[derive(Default)]
struct Timing {
    count: AtomicU64,
    micros: AtomicU64,
    longest: AtomicU64,
}

/// How an attempt ends.
const ENDS: [&str; 6] = ["completed", "failed", "dead", "cancelled", "released", "lost"];

/// The metrics of one kind of task.
pub(super) struct Kind {
    totals: Arc<Totals>,
    claimed: Counter,
    ends: [Counter; 6],
    waited: Histogram,
    ran: Histogram,
}

impl Counting {
    pub(super) fn new(queue: &str) -> Self {
        let enqueued =
            metrics::counter!("russet_queue_enqueued_total", "queue" => queue.to_owned());
        let (queue, kinds) = (queue.to_owned(), RwLock::default());
        Self { queue, totals: Arc::default(), kinds, enqueued }
    }

    pub(super) fn enqueued(&self, tasks: u64) {
        self.totals.enqueued.fetch_add(tasks, Ordering::Relaxed);
        self.enqueued.increment(tasks);
    }

    /// Where tasks of this name are counted.
    pub(super) fn kind(&self, name: &str) -> Arc<Kind> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get(name) {
            return kind.clone();
        }
        drop(kinds);
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        let name = if kinds.len() < MOST_KINDS { name } else { "other" };
        let kind = kinds.entry(name.to_owned());
        kind.or_insert_with(|| Arc::new(Kind::new(&self.queue, name, &self.totals))).clone()
    }

    fn read(&self) -> QueueStats {
        let Totals { enqueued, claimed, ends, waited, ran } = &*self.totals;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let [completed, failed, dead, cancelled, released, lost] = ends.each_ref().map(read);
        QueueStats {
            enqueued: read(enqueued),
            claimed: read(claimed),
            completed,
            failed,
            dead,
            cancelled,
            released,
            lost,
            waited: waited.read(),
            ran: ran.read(),
        }
    }
}

impl Kind {
    fn new(queue: &str, task: &str, totals: &Arc<Totals>) -> Self {
        let labels = [("queue", queue.to_owned()), ("task", task.to_owned())];
        let end = |end: &'static str| metrics::counter!("russet_queue_attempts_total", "queue" => queue.to_owned(), "task" => task.to_owned(), "end" => end);
        Self {
            totals: totals.clone(),
            claimed: metrics::counter!("russet_queue_claimed_total", &labels),
            ends: ENDS.map(end),
            waited: metrics::histogram!("russet_queue_wait_seconds", &labels),
            ran: metrics::histogram!("russet_queue_run_seconds", &labels),
        }
    }

    /// A task was claimed; on its first attempt, so long after it was ready.
    pub(super) fn claimed(&self, after: Option<Duration>) {
        self.totals.claimed.fetch_add(1, Ordering::Relaxed);
        self.claimed.increment(1);
        if let Some(after) = after {
            self.totals.waited.add(after);
            self.waited.record(after);
        }
    }

    pub(super) fn ran(&self, time: Duration) {
        self.totals.ran.add(time);
        self.ran.record(time);
    }

    /// An attempt was settled so.
    pub(super) fn settled(&self, verdict: &Verdict) {
        self.end(match verdict {
            Verdict::Ack { .. } | Verdict::Keep { .. } => 0,
            Verdict::Retry { .. } => 1,
            Verdict::Dead { .. } => 2,
            Verdict::Cancelled => 3,
            Verdict::Release => 4,
        });
    }

    /// An attempt was completed together with its effects.
    pub(super) fn completed(&self) {
        self.end(0);
    }

    pub(super) fn lost(&self) {
        self.end(5);
    }

    fn end(&self, end: usize) {
        self.totals.ends[end].fetch_add(1, Ordering::Relaxed);
        self.ends[end].increment(1);
    }
}

impl Timing {
    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.longest.fetch_max(micros, Ordering::Relaxed);
    }

    fn read(&self) -> Times {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Times {
            count: read(&self.count),
            total: Duration::from_micros(read(&self.micros)),
            longest: Duration::from_micros(read(&self.longest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_without_end_share_a_label() {
        let counting = Counting::new("mail");
        for n in 0..300 {
            counting.kind(&n.to_string()).claimed(Some(Duration::from_millis(2)));
        }
        assert_eq!(counting.kinds.read().unwrap().len(), MOST_KINDS + 1);
        let stats = counting.read();
        assert_eq!((stats.claimed, stats.waited.count), (300, 300));
        assert_eq!(stats.waited.mean(), Duration::from_millis(2));
        assert_eq!(Times::default().mean(), Duration::ZERO);
    }
}
