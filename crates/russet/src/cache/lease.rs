//! The right to fill an entry, held while the loader runs.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use super::{
    scripts::{self, LeaseId, Place},
    ttl::Life,
};
use crate::{
    client::{Kept, Pulse, Russet},
    error::Result,
};

/// Between two tries to release a lease.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Renewed at each third of its time by the control thread, as long as the pulse of the load beats; ended by [`fill`]
/// or [`release`](Self::release). Dropped otherwise (the caller was cancelled, the loader panicked) it is released in
/// the background; after a kill it ends with its time.
pub(super) struct HeldLease {
    russet: Russet,
    place: Place,
    lease: LeaseId,
    time: Duration,
    /// Dropped with this one.
    _kept: Kept,
    settled: bool,
}

impl HeldLease {
    pub(super) fn new(
        russet: &Russet,
        place: &Place,
        lease: LeaseId,
        time: Duration,
        pulse: &Arc<Pulse>,
    ) -> Self {
        let renewal = scripts::renewal(place, lease, time);
        let _kept = russet.control().keep(time / 3, renewal, pulse);
        let (russet, place) = (russet.clone(), place.clone());
        Self { russet, place, lease, time, _kept, settled: false }
    }

    /// Gives the lease back, so that a waiter can load at once.
    pub(super) async fn release(mut self) {
        self.settled = scripts::release(&self.russet, &self.place, self.lease).await.is_ok();
    }
}

/// A lease that was asked for. Until the answer is there it may stand in Redis for nobody: the answer was lost, or the
/// caller was cancelled while it waited. Dropped before that, it is released in the background.
pub(super) struct Asked {
    russet: Russet,
    place: Place,
    lease: LeaseId,
    time: Duration,
    answered: bool,
}

impl Asked {
    pub(super) fn for_lease(
        russet: &Russet,
        place: &Place,
        lease: LeaseId,
        time: Duration,
    ) -> Self {
        let (russet, place) = (russet.clone(), place.clone());
        Self { russet, place, lease, time, answered: false }
    }

    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            release_in_background(&self.russet, &self.place, self.lease, self.time);
        }
    }
}

/// Stores what was loaded, in one round trip; answers how many leases were still current.
pub(super) async fn fill(
    russet: &Russet,
    mut loaded: Vec<(HeldLease, Option<&[u8]>, Life)>,
) -> Result<usize> {
    let fillings: Vec<_> = loaded
        .iter()
        .map(|(held, payload, life)| (&held.place, held.lease, *payload, *life))
        .collect();
    let stored = scripts::fill(russet, &fillings).await?;
    for (held, ..) in &mut loaded {
        held.settled = true;
    }
    Ok(stored.into_iter().filter(|stored| *stored).count())
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if !self.settled {
            release_in_background(&self.russet, &self.place, self.lease, self.time);
        }
    }
}

/// Releases a lease that nobody fills any more, and tries again as long as it could still be there: when Redis comes
/// back from an outage, who asks for the key must not wait for a load that ended long ago.
fn release_in_background(russet: &Russet, place: &Place, lease: LeaseId, time: Duration) {
    let Ok(runtime) = Handle::try_current() else { return };
    let (russet, place) = (russet.clone(), place.clone());
    runtime.spawn(async move {
        let end = Instant::now() + time;
        while let Err(error) = scripts::release(&russet, &place, lease).await {
            if Instant::now() >= end || !error.is_outage() {
                tracing::debug!(%error, "a fill lease was left to its time");
                return;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    });
}
