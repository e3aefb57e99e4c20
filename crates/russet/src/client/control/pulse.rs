//! Whether a piece of work goes on: so long its leases are kept.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::Keeper;

/// How many times its leases' time a piece of work may lie there without being polled. Then its caller holds on to it
/// and has forgotten it, and others have waited long enough.
const FORGOTTEN: u32 = 10;

/// Beats while the work is polled, and at least each third of its leases' time as long as its runtime is not blocked.
pub(crate) struct Pulse {
    lease: Duration,
    state: Mutex<State>,
}

struct State {
    /// The work is running on its thread at this moment, or blocking it.
    polled: bool,
    last: Instant,
}

impl Pulse {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::new(State { polled: false, last: Instant::now() }) }
    }

    /// Does the work, and feels its pulse.
    pub(crate) async fn of<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut beat = interval(self.lease / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll_fn(|context| {
            self.is_polled(true);
            let polled = work.as_mut().poll(context);
            self.is_polled(false);
            if polled.is_pending() {
                // Wakes this task for the next beat; one that is due makes the next one follow.
                while beat.poll_tick(context).is_ready() {}
            }
            polled
        })
        .await
    }

    fn is_polled(&self, polled: bool) {
        *self.lock() = State { polled, last: Instant::now() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Pulse {
    /// Also when the work blocks its thread.
    fn goes_on(&self) -> bool {
        let state = self.lock();
        state.polled || state.last.elapsed() < self.lease.saturating_mul(FORGOTTEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_blocks_its_thread_lives_and_forgotten_work_does_not() {
        let pulse = Pulse::new(Duration::from_millis(1));
        let long_ago = Instant::now().checked_sub(Duration::from_millis(11)).unwrap();
        *pulse.lock() = State { polled: true, last: long_ago };
        assert!(pulse.goes_on());
        *pulse.lock() = State { polled: false, last: long_ago };
        assert!(!pulse.goes_on());
    }

    #[tokio::test]
    async fn waiting_work_beats() {
        let pulse = Pulse::new(Duration::from_millis(3));
        // It lasts as long as the checks, however long those take on a busy machine.
        let (over, end) = tokio::sync::oneshot::channel::<()>();
        let pulse = &pulse;
        let checks = async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(pulse.goes_on());
            }
            drop(over);
        };
        let _ = tokio::join!(pulse.of(end), checks);
    }
}
