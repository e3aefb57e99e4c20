//! The leases that are held, and when each is to be renewed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep_until;

use crate::{
    client::Call,
    error::Result,
    service::{Rest, Signals},
};

/// The work that a lease is kept for; asked and told on the control thread: it must not wait.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// Whether the work goes on, so that its lease is to be renewed.
    fn goes_on(&self) -> bool;

    /// The server answered a renewal that was sent at this moment, and whether the lease was still current.
    fn renewed(&self, _asked: Instant, _is_current: bool) {}
}

/// All leases of a process that are kept by the control thread.
#[derive(Default)]
pub(super) struct Renewals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<u64, Held>,
    due: BTreeSet<(Instant, u64)>,
    last: u64,
    /// Until when the loop sleeps; none when it waits to be woken.
    sleeps_until: Option<Instant>,
}

#[derive(Clone)]
struct Held {
    call: Call,
    every: Duration,
    due: Instant,
    keeper: Arc<dyn Keeper>,
}

/// Keeps a lease until it is dropped, or lost.
pub(crate) struct Kept {
    renewals: Arc<Renewals>,
    id: u64,
}

impl Renewals {
    /// Adds a lease; the second value tells whether the loop has to be woken for it.
    pub(super) fn add(
        self: &Arc<Self>,
        every: Duration,
        call: Call,
        keeper: Arc<dyn Keeper>,
    ) -> (Kept, bool) {
        let due = Instant::now() + every;
        let mut state = self.lock();
        state.last += 1;
        let id = state.last;
        state.held.insert(id, Held { call, every, due, keeper });
        state.due.insert((due, id));
        // Most leases end before they are due, and cost the loop nothing: it is up only at its own times.
        let is_early = state.sleeps_until.is_none_or(|sleeps_until| due < sleeps_until);
        (Kept { renewals: self.clone(), id }, is_early)
    }

    /// Renews what is due, until it is told to stop. `renew` tells whether the lease was still current.
    pub(super) async fn run<F>(&self, signals: Signals, renew: impl Fn(Call) -> F) -> Result<Rest>
    where
        F: Future<Output = Result<bool>>,
    {
        // Side by side: one that is not answered must not hold up the others.
        let mut under_way = FuturesUnordered::new();
        loop {
            let (due, next) = self.take_due(Instant::now());
            for (id, call) in due {
                let (asked, renewed) = (Instant::now(), renew(call));
                under_way.push(async move { (id, asked, renewed.await) });
            }
            tokio::select! {
                () = signals.stop.cancelled() => return Ok(Rest::UntilWoken),
                () = signals.wake.notified() => {}
                () = at(next) => {}
                Some((id, asked, renewed)) = under_way.next() => self.renewed(id, asked, renewed),
            }
        }
    }

    fn take_due(&self, now: Instant) -> (Vec<(u64, Call)>, Option<Instant>) {
        let mut state = self.lock();
        let mut due = Vec::new();
        while let Some((at, id)) = state.due.first().copied().filter(|(at, _)| *at <= now) {
            state.due.remove(&(at, id));
            if let Some(held) = state.held.get(&id).filter(|held| held.keeper.goes_on()) {
                due.push((id, held.call.clone()));
            }
        }
        state.sleeps_until = state.due.first().map(|(at, _)| *at);
        (due, state.sleeps_until)
    }

    fn renewed(&self, id: u64, asked: Instant, renewed: Result<bool>) {
        let mut state = self.lock();
        let Some(held) = state.held.get(&id) else { return };
        if let Ok(is_current) = renewed {
            held.keeper.renewed(asked, is_current);
        }
        let again = match renewed {
            Ok(true) => held.every,
            // Revoked or expired: the work goes on for its caller, and what it wants to do is refused.
            Ok(false) => {
                state.held.remove(&id);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "a lease was not renewed yet");
                held.every / 4
            }
        };
        let due = Instant::now() + again;
        if let Some(held) = state.held.get_mut(&id) {
            held.due = due;
            state.due.insert((due, id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.renewals.lock();
        if let Some(held) = state.held.remove(&self.id) {
            state.due.remove(&(held.due, self.id));
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
