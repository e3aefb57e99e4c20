//! Callers that call all the time and check every answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russet::testing::eventually;
use russet::{Counters, ErrorKind, Russet, raw};
use tokio::task::JoinHandle;

use crate::support::{Timed, beside_a_timer};
use crate::{LONG, SLACK, TIMEOUT};

const CALLERS: usize = 8;

pub struct Load {
    over: Arc<AtomicBool>,
    pub seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

/// What came of the calls.
#[derive(Default)]
pub struct Seen {
    calls: AtomicU64,
    errors: AtomicU64,
    /// Questions that were answered.
    echoed: AtomicU64,
    /// Counts that were acknowledged, and that may be there.
    counted: AtomicU64,
    unknown: AtomicU64,
    slowest_ms: AtomicU64,
    beyond_ms: AtomicU64,
    texts: Mutex<BTreeSet<String>>,
}

impl Load {
    pub fn start(russet: &Russet) -> Result<Self, russet::Error> {
        let (over, seen) = (Arc::<AtomicBool>::default(), Arc::<Seen>::default());
        let counters = Counters::builder(russet, "load").build()?;
        let tasks = (0..CALLERS).map(|caller| {
            let (russet, counters) = (russet.clone(), counters.clone());
            let (over, seen) = (over.clone(), seen.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    call(&russet, &counters, &seen, caller, n).await;
                }
            })
        });
        Ok(Self { over: over.clone(), seen: seen.clone(), tasks: tasks.collect() })
    }

    /// Waits until so many more questions and counts were answered.
    pub async fn progress(&self, name: &str, more: u64) {
        let now = || [Seen::read(&self.seen.echoed), Seen::read(&self.seen.counted)];
        let from = now();
        eventually(LONG, async || {
            let done = [now()[0] - from[0], now()[1] - from[1]];
            let is_over = done.iter().all(|done| *done >= more);
            if is_over { Ok(()) } else { Err(format!("{name}: {done:?}, {:?}", self.seen.texts())) }
        })
        .await;
    }

    pub async fn end(self) -> Arc<Seen> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            if let Err(error) = task.await {
                panic!("a caller: {error}");
            }
        }
        self.seen
    }
}

/// One question and one count, with everything that is promised of them.
async fn call(russet: &Russet, counters: &Counters, seen: &Seen, caller: usize, n: u32) {
    let question = format!("caller {caller} asks {n}");
    let words = ["ECHO", &question];
    let echo = seen.timed(&question, beside_a_timer(TIMEOUT, raw::command(russet, &words)).await);
    let echo = echo.map(|answer| {
        assert_eq!(answer.into_text().as_deref(), Some(question.as_str()));
        seen.echoed.fetch_add(1, Ordering::Relaxed);
    });
    let counted = seen.timed(&question, beside_a_timer(TIMEOUT, counters.add("n", 1)).await);
    match &counted {
        Ok(_) => seen.counted.fetch_add(1, Ordering::Relaxed),
        Err(error) if error.kind() == ErrorKind::Unknown => {
            seen.unknown.fetch_add(1, Ordering::Relaxed)
        }
        Err(_) => 0,
    };
    for error in [echo.err(), counted.err()].into_iter().flatten() {
        let typed =
            [ErrorKind::Unreachable, ErrorKind::Timeout, ErrorKind::Unknown, ErrorKind::Refused];
        assert!(typed.contains(&error.kind()), "{question}: {error:?}");
        seen.errors.fetch_add(1, Ordering::Relaxed);
        seen.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(error.to_string());
        // Not a loop of failures at full speed.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Seen {
    fn timed<T>(&self, question: &str, timed: Timed<T>) -> T {
        let Timed { answer, took, beyond } = timed;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.slowest_ms.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
        self.beyond_ms.fetch_max(beyond.as_millis() as u64, Ordering::Relaxed);
        assert!(beyond < SLACK, "{question}: {took:?}, {beyond:?} after a plain timer");
        answer
    }

    pub fn read(number: &AtomicU64) -> u64 {
        number.load(Ordering::Relaxed)
    }

    /// What the errors said.
    pub fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The least and the most that the counter may have grown by.
    pub fn growth(&self) -> (u64, u64) {
        let counted = Self::read(&self.counted);
        (counted, counted + Self::read(&self.unknown))
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [calls, errors, slowest, beyond] =
            [&self.calls, &self.errors, &self.slowest_ms, &self.beyond_ms].map(Self::read);
        write!(
            f,
            "n = {calls} calls, {errors} errors, the slowest {slowest} ms, at most {beyond} ms after a plain timer"
        )
    }
}
