//! Fails calls at once while the server is away, so that a service does not queue up behind timeouts.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Failures within [`WINDOW`] that open the breaker.
const FAILURES: usize = 3;
const WINDOW: Duration = Duration::from_secs(1);

/// Open after three failures within a second, or at once for a server that is silent; closed by the first success of the reconnecter.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    recent: Mutex<VecDeque<Instant>>,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a failure; answers whether this one opened the breaker.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            recent.pop_front();
        }
        recent.len() >= FAILURES && !self.open.swap(true, Ordering::Relaxed)
    }

    /// Opens it without counting; answers whether it was closed.
    pub(super) fn trip(&self) -> bool {
        !self.open.swap(true, Ordering::Relaxed)
    }

    /// Closes the breaker; answers whether it was open.
    pub(super) fn recovered(&self) -> bool {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.open.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_second_open_it_and_a_success_closes_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert!(!breaker.failed(start));
        assert!(!breaker.failed(start + Duration::from_millis(1_500)));
        assert!(!breaker.failed(start + Duration::from_millis(2_000)));
        assert!(breaker.failed(start + Duration::from_millis(2_400)));
        assert!(breaker.is_open());
        assert!(!breaker.failed(start + Duration::from_millis(2_450)), "open already");
        assert!(breaker.recovered());
        assert!(!breaker.is_open());
        assert!(!breaker.failed(start + Duration::from_millis(2_500)), "starts from zero");
    }
}
