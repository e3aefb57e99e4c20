use std::{sync::Arc, time::Duration};

use super::{
    Inner, Queue,
    record::DEFAULT_ATTEMPTS,
    scripts::{Kept, Place},
    stats::Counting,
};
use crate::{
    backoff::Backoff,
    client::Russet,
    error::{Error, Result},
    keys::Slot,
};

/// The most attempts that a task can have: each leaves a line of its error.
const MOST_ATTEMPTS: u32 = 1_000;
/// A lease is renewed at each third of its time: it must be longer than a few round trips.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The settings of a [`Queue`]; made by [`Queue::builder`].
///
/// Settings of attempts, backoff and time are of the handle that enqueues or works, not of the queue: processes of one queue
/// may differ.
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueBuilder {
    russet: Russet,
    name: String,
    pub(super) settings: Settings,
    keep_cancelled: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) lease: Duration,
    pub(super) max_task_bytes: usize,
    pub(super) keep_dead: Duration,
    pub(super) keep_results: Option<Duration>,
    pub(super) kept: Kept,
    pub(super) task_timeout: Option<Duration>,
    pub(super) request_window: Duration,
}

impl QueueBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        let settings = Settings {
            max_attempts: DEFAULT_ATTEMPTS,
            backoff: Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(300) },
            lease: Duration::from_secs(30),
            max_task_bytes: 1 << 20,
            keep_dead: Duration::from_secs(7 * 86_400),
            keep_results: None,
            kept: Kept { cancelled: Duration::ZERO, most: 100_000, most_bytes: 64 << 20 },
            task_timeout: None,
            request_window: Duration::from_secs(600),
        };
        Self { russet: russet.clone(), name: name.to_owned(), settings, keep_cancelled: None }
    }

    /// How many attempts a task has before it is dead, 1 to 1,000; a call can say otherwise. A process that dies with a task
    /// uses one up. Defaults to 5.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// How long a failed task waits: after its n-th attempt a random time up to `base` · 2ⁿ⁻¹, at most `cap`. Defaults to 2
    /// seconds and 5 minutes.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.settings.backoff = Backoff { base, cap };
        self
    }

    /// How long a claimed task is its worker's without a heartbeat, at least 100 ms. Workers beat at each third of it; what
    /// [`receive`](Queue::receive) gives is the caller's for so long. Defaults to 30 seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// The largest encoded task, in bytes; a larger result of one is not kept. Defaults to 1 MiB.
    pub fn max_task_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_task_bytes = bytes;
        self
    }

    /// How long dead tasks are kept, at least a second. Defaults to 7 days.
    pub fn keep_dead(mut self, keep: Duration) -> Self {
        self.settings.keep_dead = keep;
        self
    }

    /// How long cancelled tasks are known to be so; not at all with zero. Defaults to as long as dead tasks are kept.
    pub fn keep_cancelled(mut self, keep: Duration) -> Self {
        self.keep_cancelled = Some(keep);
        self
    }

    /// How long a completed task and its result are kept, for [`status`](Queue::status); a call can say otherwise. Not kept
    /// unless set.
    pub fn keep_results(mut self, keep: Duration) -> Self {
        self.settings.keep_results = Some(keep);
        self
    }

    /// How many completed and cancelled tasks are kept at most, and how many bytes of them, results included; those whose time
    /// ends first make room. Defaults to 100,000 and 64 MiB.
    pub fn keep_at_most(mut self, outcomes: u64, bytes: u64) -> Self {
        (self.settings.kept.most, self.settings.kept.most_bytes) = (outcomes, bytes);
        self
    }

    /// How long an attempt may take before it has failed; a call can say otherwise. No limit unless set.
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        self.settings.task_timeout = Some(timeout);
        self
    }

    /// How long a [`request_id`](super::Enqueue::request_id) is remembered. Defaults to 10 minutes.
    pub fn request_window(mut self, window: Duration) -> Self {
        self.settings.request_window = window;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, or a setting is out of its range.
    pub fn build(self) -> Result<Queue> {
        let mut settings = self.settings;
        settings.kept.cancelled = self.keep_cancelled.unwrap_or(settings.keep_dead);
        check_attempts(settings.max_attempts)?;
        let Backoff { base, cap } = settings.backoff;
        if base > cap || base < Duration::from_millis(1) {
            return Err(Error::invalid(format_args!(
                "a backoff base of {base:?} must be a millisecond or more and at most its cap, {cap:?}"
            )));
        }
        for (what, time, least) in [
            ("lease", Some(settings.lease), SHORTEST_LEASE),
            ("backoff cap", Some(cap), Duration::from_millis(1)),
            ("keep_dead", Some(settings.keep_dead), Duration::from_secs(1)),
            ("keep_cancelled", Some(settings.kept.cancelled), Duration::ZERO),
            ("keep_results", settings.keep_results, Duration::from_millis(1)),
            ("task_timeout", settings.task_timeout, Duration::from_millis(1)),
            ("request_window", Some(settings.request_window), Duration::from_millis(1)),
        ] {
            check_time(what, time, least)?;
        }
        if settings.kept.most == 0 || settings.kept.most_bytes == 0 {
            return Err(Error::invalid("keep_at_most must be 1 outcome and 1 byte or more"));
        }
        if settings.max_task_bytes == 0 {
            return Err(Error::invalid("max_task_bytes must be 1 or more"));
        }
        let slot = Slot::of(self.russet.names(), "queue", &self.name)?;
        let place = Place::new(slot);
        let counting = Counting::new(&self.name);
        let inner = Inner { russet: self.russet, name: self.name, place, settings, counting };
        Ok(Queue { inner: Arc::new(inner) })
    }
}

pub(super) fn check_attempts(attempts: u32) -> Result<()> {
    if (1..=MOST_ATTEMPTS).contains(&attempts) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("max_attempts must be 1 to {MOST_ATTEMPTS}, not {attempts}")))
}

pub(super) fn check_time(what: &str, time: Option<Duration>, least: Duration) -> Result<()> {
    match time {
        Some(time) if time < least || time > LONGEST => {
            Err(Error::invalid(format_args!("{what} must be {least:?} to 366 days, not {time:?}")))
        }
        _ => Ok(()),
    }
}
