//! Single flight inside the process: of many callers that miss one key, one goes to Redis and the loader.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::Loaded;
use crate::error::Result;

/// The loads of this process that are under way, by key.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<String, Flight>>,
    last: AtomicU64,
}

struct Flight {
    number: u64,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
enum State {
    Loading,
    Landed(Result<Loaded>),
    /// The leader was dropped, or panicked: somebody else has to lead.
    Abandoned,
}

/// What a caller is to do.
pub(super) enum Role {
    /// Load, for all.
    Leader(Leader),
    /// Wait for the leader.
    Follower(Follower),
}

impl Flights {
    /// Joins the flight of this key, or starts one.
    pub(super) fn join(self: &Arc<Self>, key: &str) -> Role {
        let mut under_way = self.lock();
        if let Some(flight) = under_way.get(key) {
            let flights = self.clone();
            let (number, state) = (flight.number, flight.state.clone());
            return Role::Follower(Follower { flights, key: key.to_owned(), number, state });
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (sender, state) = watch::channel(State::Loading);
        under_way.insert(key.to_owned(), Flight { number, state });
        Role::Leader(Leader { flights: self.clone(), key: key.to_owned(), number, state: sender })
    }

    /// Lets nobody else join the flight of this key: who asks next starts a new one.
    pub(super) fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    /// Takes this flight off the list; a later one of the same key stays.
    fn end(&self, key: &str, number: u64) {
        let mut under_way = self.lock();
        if under_way.get(key).is_some_and(|flight| flight.number == number) {
            under_way.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Leader {
    flights: Arc<Flights>,
    key: String,
    number: u64,
    state: watch::Sender<State>,
}

impl Leader {
    /// Gives all followers the outcome.
    pub(super) fn land(self, outcome: Result<Loaded>) {
        self.state.send_replace(State::Landed(outcome));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Off the list first: who joins from now on starts anew instead of reading an old outcome.
        self.flights.end(&self.key, self.number);
        self.state.send_if_modified(|state| {
            let abandoned = matches!(state, State::Loading);
            if abandoned {
                *state = State::Abandoned;
            }
            abandoned
        });
    }
}

pub(super) struct Follower {
    flights: Arc<Flights>,
    key: String,
    number: u64,
    state: watch::Receiver<State>,
}

impl Follower {
    /// The leader's outcome; `None` when it was abandoned, or did not land in time because
    /// nobody polls the leader's future any more.
    pub(super) async fn outcome(mut self, patience: Duration) -> Option<Result<Loaded>> {
        let ended = self.state.wait_for(|state| !matches!(state, State::Loading));
        let in_time = match timeout(patience, ended).await {
            Ok(Ok(state)) => match &*state {
                State::Landed(outcome) => return Some(outcome.clone()),
                State::Loading | State::Abandoned => true,
            },
            Ok(Err(_)) => true,
            Err(_) => false,
        };
        if !in_time {
            self.flights.end(&self.key, self.number);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Source;

    const LONG: Duration = Duration::from_secs(60);

    fn leader(flights: &Arc<Flights>) -> Leader {
        match flights.join("k") {
            Role::Leader(leader) => leader,
            Role::Follower(_) => panic!("there is a leader already"),
        }
    }

    fn follower(flights: &Arc<Flights>) -> Follower {
        match flights.join("k") {
            Role::Follower(follower) => follower,
            Role::Leader(_) => panic!("there is no leader"),
        }
    }

    #[tokio::test]
    async fn a_dropped_leader_lets_a_follower_lead() {
        let flights = Arc::<Flights>::default();
        let first = leader(&flights);
        let waiting = follower(&flights);
        drop(first);
        assert!(waiting.outcome(LONG).await.is_none());
        leader(&flights);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_nobody_polls_is_given_up() {
        let flights = Arc::<Flights>::default();
        let forgotten = leader(&flights);
        assert!(follower(&flights).outcome(LONG).await.is_none());
        let second = leader(&flights);
        drop(forgotten);
        let waiting = follower(&flights);
        second.land(Ok(Loaded {
            payload: None,
            source: Source::Miss,
            fresh_until: None,
            is_due: false,
        }));
        assert!(
            waiting.outcome(LONG).await.is_some(),
            "the forgotten leader ended the second flight"
        );
    }
}
