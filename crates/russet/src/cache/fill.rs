//! The leader's way: take the fleet's lease, or wait for who has it; load; store what was loaded.
//!
//! The argument that no older value comes back is in `docs/design/fill-lease.md`.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Inner, Loaded, Source,
    entry::Entry,
    lease::{self, HeldLease},
    scripts::{self, Acquired, LeaseId, Place, Waiting},
};
use crate::{
    client::Pulse,
    error::{Advice, BoxError, Error, ErrorKind, Result},
    wake::News,
};

/// What was seen where the entry stands, which says how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Lease,
    /// A format that this version neither uses nor overwrites.
    Foreign,
    /// Redis did not answer.
    Outage,
}

/// What a loader brought, encoded; `None` when the system of record has no such thing.
pub(super) type Payload = Option<Bytes>;

enum Step {
    Found(Loaded),
    Ours(LeaseId),
    GoOn(Seen),
}

impl Inner {
    /// Finds or loads the value of a key, for all callers of this process.
    pub(super) async fn lead<L>(&self, place: &Place, mut seen: Seen, load: L) -> Result<Loaded>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        loop {
            let step = match seen {
                Seen::Nothing => self.acquire(place).await,
                Seen::Lease => self.wait_for_fill(place).await,
                Seen::Outage | Seen::Foreign => return self.bypass(load).await,
            };
            match step {
                Ok(Step::Found(loaded)) => return Ok(loaded),
                Ok(Step::Ours(lease)) => return self.load_and_fill(place, lease, load).await,
                Ok(Step::GoOn(next)) => seen = next,
                Err(error) if error.is_outage() => {
                    tracing::debug!(cache = %self.name, %error, "loading past the cache");
                    seen = Seen::Outage;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn acquire(&self, place: &Place) -> Result<Step> {
        Ok(match scripts::acquire(&self.russet, place, self.fill_lease).await? {
            Acquired::Lease(lease) => Step::Ours(lease),
            Acquired::Taken(entry) => Step::after(Some(entry), Source::Hit),
        })
    }

    /// Waits until another process has filled the entry, or has given up.
    async fn wait_for_fill(&self, place: &Place) -> Result<Step> {
        self.counting.waits(1);
        // Registered before the script records it: the other order could lose the wake-up.
        let mut waiter = self.russet.inbox().waiter(self.fill_lease).await;
        let address = waiter.address();
        match scripts::wait(&self.russet, place, &address, self.fill_lease).await? {
            Waiting::Absent => Ok(Step::GoOn(Seen::Nothing)),
            Waiting::Entry(entry) => Ok(Step::after(Some(entry), Source::Hit)),
            Waiting::Leased(left) => {
                let entry = match waiter.news(left).await {
                    News::Message(entry) if !entry.is_empty() => Some(Entry::read(entry)),
                    News::Message(_) | News::Unsure => scripts::read(&self.russet, place).await?,
                };
                Ok(Step::after(entry, Source::Miss))
            }
        }
    }

    /// Runs the loader under the lease, and stores its outcome while the lease is current.
    async fn load_and_fill<L>(&self, place: &Place, lease: LeaseId, load: L) -> Result<Loaded>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        let pulse = Arc::new(Pulse::new(self.fill_lease));
        let held = HeldLease::new(&self.russet, place, lease, self.fill_lease, &pulse);
        match pulse.of(self.load(load)).await {
            Ok(payload) => {
                self.store(vec![(held, &payload)]).await;
                Ok(Loaded { payload, source: Source::Miss })
            }
            Err(error) => {
                held.release().await;
                Err(error)
            }
        }
    }

    /// Stores what was loaded, under its leases. That something could not be stored is no error of the caller's,
    /// who has the value.
    pub(super) async fn store(&self, loaded: Vec<(HeldLease, &Payload)>) {
        let (small, large): (Vec<_>, Vec<_>) = loaded.into_iter().partition(|(_, payload)| {
            payload.as_ref().is_none_or(|payload| payload.len() <= self.max_value_bytes)
        });
        self.counting.unstored(large.len());
        for (held, _) in large {
            tracing::warn!(cache = %self.name, limit = self.max_value_bytes, "a loaded value is too large to cache");
            held.release().await;
        }
        let fillings = small.into_iter().map(|(held, payload)| {
            let ttl = if payload.is_some() { self.ttl.draw() } else { self.null_ttl.draw() };
            (held, payload.as_deref(), ttl)
        });
        let fillings: Vec<_> = fillings.collect();
        let most = fillings.len();
        let stored = lease::fill(&self.russet, fillings).await.unwrap_or_else(|error| {
            tracing::warn!(cache = %self.name, %error, "a loaded value was not cached");
            0
        });
        self.counting.unstored(most - stored);
    }

    /// Loads without Redis. Not more at a time than the limit: the store must survive the loss of its cache.
    async fn bypass<L>(&self, load: L) -> Result<Loaded>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        // The semaphore is never closed, so that this waits and does not fail.
        let _permit = self.bypass_permits.acquire().await;
        self.counting.bypasses(1);
        Ok(Loaded { payload: self.load(load).await?, source: Source::Bypass })
    }

    async fn load<L>(&self, load: L) -> Result<Payload>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        self.counting.loads(1);
        load().await.map_err(|cause| self.load_failed(cause))
    }

    /// The loader's error as its callers get it.
    pub(super) fn load_failed(&self, cause: BoxError) -> Error {
        self.counting.load_errors(1);
        let message = format_args!("cache {}: the loader failed", self.name);
        Error::caused_by(ErrorKind::Load, Advice::GiveUp, message, cause)
    }
}

impl Step {
    fn after(entry: Option<Entry>, source: Source) -> Self {
        match entry {
            None => Self::GoOn(Seen::Nothing),
            Some(Entry::Value(payload)) => Self::Found(Loaded { payload: Some(payload), source }),
            Some(Entry::Null) => Self::Found(Loaded { payload: None, source }),
            Some(Entry::Lease) => Self::GoOn(Seen::Lease),
            Some(Entry::Foreign) => Self::GoOn(Seen::Foreign),
        }
    }
}
