//! Whether a lock is still ours, by what this process knows: it gives up before another one could have it.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant as StdInstant},
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::Keeper;

/// Until when a lock is ours at each server that gave it: one, or several of which a quorum has to.
pub(super) struct Holding {
    lease: Duration,
    quorum: usize,
    state: Mutex<State>,
    over: CancellationToken,
}

struct State {
    until: Vec<Instant>,
    /// When the holder set the time last: a renewal that was sent before it says nothing about it.
    set: Instant,
}

impl Holding {
    /// Held at one server by a call that was sent at this moment: the server counts from a later one.
    pub(super) fn of_one(sent: Instant, lease: Duration) -> Arc<Self> {
        Self::of(1, vec![sent + safe(lease)], sent, lease)
    }

    /// Held until these times.
    pub(super) fn of(
        quorum: usize,
        until: Vec<Instant>,
        sent: Instant,
        lease: Duration,
    ) -> Arc<Self> {
        let state = Mutex::new(State { until, set: sent });
        Arc::new(Self { lease, quorum, state, over: CancellationToken::new() })
    }

    /// The time of one server is set by a call that was sent at this moment.
    pub(super) fn set(&self, server: usize, sent: Instant, time: Duration) {
        let mut state = self.lock();
        state.set = Instant::now();
        if let Some(until) = state.until.get_mut(server) {
            *until = sent + safe(time);
        }
    }

    /// A call that was to set the time of one server was not answered: the shorter of both times counts.
    pub(super) fn unsure(&self, server: usize, sent: Instant, time: Duration) {
        let mut state = self.lock();
        state.set = Instant::now();
        if let Some(until) = state.until.get_mut(server) {
            *until = (*until).min(sent + safe(time));
        }
    }

    /// One server says that it is not ours any more.
    pub(super) fn lose(&self, server: usize) {
        if let Some(until) = self.lock().until.get_mut(server) {
            *until = Instant::now();
        }
        self.is_lost();
    }

    /// Whether it may be another one's; once it may, it stays so.
    pub(super) fn is_lost(&self) -> bool {
        if !self.over.is_cancelled() && Instant::now() < self.until() {
            return false;
        }
        self.over.cancel();
        true
    }

    /// Until when a quorum of the servers keeps it for us.
    pub(super) fn until(&self) -> Instant {
        let mut until = self.lock().until.clone();
        until.sort_unstable_by(|a, b| b.cmp(a));
        until.get(self.quorum - 1).copied().unwrap_or_else(Instant::now)
    }

    /// Waits until it may be another one's.
    pub(super) async fn lost(&self) {
        while !self.is_lost() {
            tokio::select! {
                () = self.over.cancelled() => {}
                () = sleep_until(self.until()) => {}
            }
        }
    }

    /// Does the work while the lock is ours; none when it was lost before the end of the work. It is looked at before each poll,
    /// so that a process that stood still does not go on with the work.
    pub(super) async fn hold<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let mut lost = pin!(self.lost());
        poll_fn(|context| {
            if self.is_lost() || lost.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match work.as_mut().poll(context) {
                Poll::Ready(_) if self.is_lost() => Poll::Ready(None),
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// A renewal that was sent at this moment was answered.
    pub(super) fn renewed(&self, server: usize, asked: Instant, is_current: bool) {
        if !is_current {
            return self.lose(server);
        }
        let mut state = self.lock();
        if asked >= state.set
            && let Some(until) = state.until.get_mut(server)
        {
            *until = (*until).max(asked + safe(self.lease));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the watchdog keeps at one server.
pub(super) struct Watched {
    pub(super) holding: Arc<Holding>,
    pub(super) server: usize,
}

impl Keeper for Watched {
    fn goes_on(&self) -> bool {
        !self.holding.is_lost()
    }

    fn renewed(&self, asked: StdInstant, is_current: bool) {
        self.holding.renewed(self.server, asked.into(), is_current);
    }
}

/// What may be believed of a lease: two clocks do not go alike, and the server's has whole milliseconds.
pub(super) fn safe(length: Duration) -> Duration {
    length.saturating_sub(length / 100 + Duration::from_millis(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_the_lease_and_goes_on_with_a_renewed_one() {
        let holding = Holding::of_one(Instant::now(), SECOND);
        let began = Instant::now();
        assert_eq!(holding.hold(tokio::time::sleep(2 * SECOND)).await, None);
        assert!(began.elapsed() < SECOND);
        let holding = Holding::of_one(Instant::now(), SECOND);
        let renewing = async {
            for _ in 0..4 {
                tokio::time::sleep(SECOND / 2).await;
                holding.renewed(0, Instant::now(), true);
            }
        };
        let (done, ()) = tokio::join!(holding.hold(tokio::time::sleep(2 * SECOND)), renewing);
        assert_eq!(done, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_not_polled_once_more_when_the_lock_is_lost() {
        let holding = Holding::of_one(Instant::now(), SECOND);
        tokio::time::advance(SECOND).await;
        assert!(holding.hold(async { panic!("polled") }).await.is_none());
        // What comes too late brings nothing back.
        holding.renewed(0, Instant::now(), true);
        assert!(holding.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_renewal_ends_the_wait_at_once() {
        let holding = Holding::of_one(Instant::now(), 1_000 * SECOND);
        let began = Instant::now();
        let refusing = async {
            tokio::time::sleep(SECOND).await;
            holding.renewed(0, Instant::now(), false);
        };
        tokio::join!(holding.lost(), refusing);
        assert_eq!(began.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_from_before_the_time_was_set_does_not_undo_that() {
        let holding = Holding::of_one(Instant::now(), SECOND);
        let asked = Instant::now();
        tokio::time::advance(SECOND / 10).await;
        holding.set(0, Instant::now(), SECOND / 10);
        holding.renewed(0, asked, true);
        tokio::time::advance(SECOND / 10).await;
        assert!(holding.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quorum_keeps_it_and_less_does_not() {
        let now = Instant::now();
        let holding = Holding::of(2, vec![now + SECOND, now + 2 * SECOND, now], now, SECOND);
        assert_eq!(holding.until(), now + SECOND);
        holding.renewed(2, now, true);
        holding.lose(0);
        assert!(!holding.is_lost());
        holding.lose(1);
        assert!(holding.is_lost());
    }
}
