//! The right to fill an entry, held while the loader runs.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::scripts::{self, LeaseId, Place};
use crate::{
    client::{Kept, Pulse, Russet},
    error::Result,
};

/// Renewed at each third of its time by the control thread, as long as the pulse of the load beats; ended by [`fill`] or [`release`](Self::release). Dropped otherwise (the
/// caller was cancelled, the loader panicked) it is released in the background; after a kill it ends with its time.
pub(super) struct HeldLease {
    russet: Russet,
    place: Place,
    lease: LeaseId,
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
        Self { russet, place, lease, _kept, settled: false }
    }

    /// Gives the lease back, so that a waiter can load at once.
    pub(super) async fn release(mut self) {
        self.settled = scripts::release(&self.russet, &self.place, self.lease).await.is_ok();
    }
}

/// Stores what was loaded, in one round trip; answers how many leases were still current.
pub(super) async fn fill(
    russet: &Russet,
    mut loaded: Vec<(HeldLease, Option<&[u8]>, Duration)>,
) -> Result<usize> {
    let fillings: Vec<_> = loaded
        .iter()
        .map(|(held, payload, ttl)| (&held.place, held.lease, *payload, *ttl))
        .collect();
    let stored = scripts::fill(russet, &fillings).await?;
    for (held, ..) in &mut loaded {
        held.settled = true;
    }
    Ok(stored.into_iter().filter(|stored| *stored).count())
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (russet, place, lease) = (self.russet.clone(), self.place.clone(), self.lease);
        runtime.spawn(async move {
            if let Err(error) = scripts::release(&russet, &place, lease).await {
                tracing::debug!(%error, "a fill lease was left to its time");
            }
        });
    }
}
