//! Writes that the store did not take: when each is tried again, and when it is dead.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{backoff::Backoff, cache::writes::Encoded};

const PAUSES: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) };
/// While the store takes nothing at all.
const OUTAGE: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// What this process knows; one that takes over begins anew.
#[derive(Default)]
pub(super) struct Failing {
    failures: HashMap<String, Failure>,
    /// Writes that the store has taken.
    successes: u64,
    rounds_without: u32,
}

struct Failure {
    sequence: u64,
    attempts: u32,
    due: Instant,
    /// How many successes there were at the first failure.
    since: u64,
}

/// What to do with a write that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    TryAgain,
    /// It failed so often, while the store took others.
    Dead(u32),
}

impl Failing {
    /// When a write may be tried; none when it may be at once.
    pub(super) fn not_before(&self, write: &Encoded) -> Option<Instant> {
        let failure = self.failures.get(&write.key)?;
        (failure.sequence == write.sequence).then_some(failure.due)
    }

    pub(super) fn count(&self) -> usize {
        self.failures.len()
    }

    pub(super) fn succeeded(&mut self, write: &Encoded) {
        self.failures.remove(&write.key);
        self.successes += 1;
        self.rounds_without = 0;
    }

    /// A store that takes nothing is taken to be away, and then nothing dies.
    pub(super) fn failed(&mut self, write: &Encoded, most: u32) -> Verdict {
        let successes = self.successes;
        let failure = self.failures.entry(write.key.clone()).or_insert_with(|| Failure {
            sequence: write.sequence,
            attempts: 0,
            due: Instant::now(),
            since: successes,
        });
        if failure.sequence != write.sequence {
            *failure =
                Failure { sequence: write.sequence, attempts: 0, since: successes, ..*failure };
        }
        failure.attempts += 1;
        failure.due = Instant::now() + PAUSES.delay(failure.attempts);
        match failure.attempts {
            attempts if attempts >= most && successes > failure.since => {
                self.failures.remove(&write.key);
                Verdict::Dead(attempts)
            }
            _ => Verdict::TryAgain,
        }
    }

    /// After a round in which the store took nothing: how long to leave it alone.
    pub(super) fn outage(&mut self) -> Duration {
        self.rounds_without += 1;
        OUTAGE.delay(self.rounds_without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, sequence: u64) -> Encoded {
        Encoded { key: key.to_owned(), payload: None, sequence }
    }

    #[tokio::test]
    async fn nothing_dies_while_the_store_takes_nothing() {
        let mut failing = Failing::default();
        for _ in 0..100 {
            assert_eq!(failing.failed(&write("a", 1), 3), Verdict::TryAgain);
        }
        failing.succeeded(&write("b", 1));
        assert_eq!(failing.failed(&write("a", 1), 3), Verdict::Dead(101));
    }

    #[tokio::test]
    async fn a_later_put_begins_anew() {
        let mut failing = Failing::default();
        assert_eq!(failing.failed(&write("a", 1), 2), Verdict::TryAgain);
        failing.succeeded(&write("b", 1));
        assert_eq!(failing.failed(&write("a", 2), 2), Verdict::TryAgain);
        failing.succeeded(&write("b", 2));
        assert_eq!(failing.failed(&write("a", 2), 2), Verdict::Dead(2));
    }
}
