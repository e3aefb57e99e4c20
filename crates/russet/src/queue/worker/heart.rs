//! What a claim loop holds, renewed on the control thread.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Call, Heartbeat},
    queue::{
        TaskId,
        lease::Lease,
        scripts::{self, Place, Told},
    },
};

/// The claims of a loop, and what cancels their tasks.
pub(super) struct Heart {
    place: Place,
    length: Duration,
    claimant: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    claims: HashMap<u64, Claim>,
    /// When the call that is under way was made, and what it renews.
    asked: Option<(Instant, Vec<u64>)>,
}

struct Claim {
    lease: Arc<Lease>,
    /// What cancels each of its tasks.
    tasks: Vec<(TaskId, CancellationToken)>,
    /// How many of them are not settled.
    left: usize,
}

impl State {
    fn cancel(&self, id: TaskId) {
        let tasks = self.claims.values().flat_map(|claim| &claim.tasks);
        for (_, cancelled) in tasks.filter(|(task, _)| *task == id) {
            cancelled.cancel();
        }
    }
}

impl Heart {
    pub(super) fn new(place: &Place, length: Duration, claimant: &str) -> Self {
        let (place, claimant) = (place.clone(), claimant.to_owned());
        Self { place, length, claimant, state: Mutex::default() }
    }

    /// Keeps a claim of these tasks, which may be cancelled.
    pub(super) fn keep(&self, lease: &Arc<Lease>, tasks: Vec<(TaskId, CancellationToken)>) {
        let (lease, left) = (lease.clone(), tasks.len());
        self.lock().claims.insert(lease.fence, Claim { lease, tasks, left });
    }

    /// A task is settled; the claim is not kept beyond the last one of its.
    pub(super) fn settled(&self, fence: u64) {
        let mut state = self.lock();
        if let Some(claim) = state.claims.get_mut(&fence) {
            claim.left = claim.left.saturating_sub(1);
            if claim.left == 0 {
                state.claims.remove(&fence);
            }
        }
    }

    /// Whether so many tasks are all of a claim's, and none of them is settled yet.
    pub(super) fn is_whole(&self, fence: u64, tasks: usize) -> bool {
        let state = self.lock();
        state
            .claims
            .get(&fence)
            .is_some_and(|claim| claim.left == tasks && claim.tasks.len() == tasks)
    }

    pub(super) fn cancel(&self, id: &str) {
        if let Ok(id) = id.parse() {
            self.lock().cancel(id);
        }
    }

    /// The claims that are ours as far as we know.
    pub(super) fn claims(&self) -> Vec<u64> {
        self.lock().claims.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat for Heart {
    fn call(&self) -> Option<Call> {
        let mut state = self.lock();
        let claims: Vec<_> = state.claims.keys().copied().take(1_000).collect();
        if claims.is_empty() {
            return None;
        }
        let call = scripts::renewal(&self.place, self.length, &claims, &self.claimant);
        state.asked = Some((Instant::now(), claims));
        Some(call)
    }

    fn answered(&self, answer: Vec<String>) {
        let mut state = self.lock();
        let Some((asked, claims)) = state.asked.take() else { return };
        let told: Vec<_> = answer.iter().filter_map(|line| Told::read(line)).collect();
        let is_lost =
            |claim: u64| told.iter().any(|told| matches!(told, Told::Lost(lost) if *lost == claim));
        for fence in claims {
            if is_lost(fence) {
                // One that was settled while the call was under way is no longer here.
                if let Some(claim) = state.claims.remove(&fence) {
                    tracing::warn!(fence, tasks = claim.left, "a lease was lost");
                    claim.lease.lose();
                }
            } else if let Some(claim) = state.claims.get(&fence) {
                claim.lease.renewed(asked, self.length);
            }
        }
        for told in told {
            if let Told::Cancel(id) = told {
                state.cancel(id);
            }
        }
    }
}
