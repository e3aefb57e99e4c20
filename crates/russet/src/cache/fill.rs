//! The leader's way: take the fleet's lease, or wait for who has it; load; store what was loaded.
//!
//! The argument that no older value comes back is in `docs/design/fill-lease.md`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    Inner, Loaded, Source,
    entry::Entry,
    lease::{self, HeldLease},
    read::Read,
    scripts::{self, Acquired, LeaseId, On, Place, Refresh, Waiting},
    ttl::Life,
};
use crate::{
    client::Pulse,
    error::{Advice, BoxError, Error, ErrorKind, Result},
    wake::News,
};

/// What was seen where the entry stands, which says how to go on.
#[derive(Clone)]
pub(super) enum Seen {
    Nothing,
    Lease,
    /// An entry whose time is over, and what it is good for when it cannot be loaded anew.
    Expired(Option<Loaded>),
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
        let mut expired = None;
        let loaded = loop {
            let step = match seen {
                Seen::Nothing => self.acquire(place).await,
                Seen::Lease => self.wait_for_fill(place).await,
                Seen::Expired(stale) => {
                    expired = stale.clone();
                    match &stale {
                        Some(stale) if self.refreshes.has_failed(place.key()) => {
                            return Ok(self.served(stale.clone()));
                        }
                        _ => {}
                    }
                    self.acquire_refresh(place, stale).await
                }
                Seen::Outage | Seen::Foreign => break self.bypass(load).await,
            };
            match step {
                Ok(Step::Found(loaded)) => return Ok(loaded),
                Ok(Step::Ours(lease)) => break self.load_and_fill(place, lease, load).await,
                Ok(Step::GoOn(next)) => seen = next,
                Err(error) if error.is_outage() => {
                    tracing::debug!(cache = %self.name, %error, "loading past the cache");
                    seen = Seen::Outage;
                }
                Err(error) => return Err(error),
            }
        };
        match (loaded, expired) {
            (Err(error), Some(stale)) if error.kind() == ErrorKind::Load => {
                tracing::debug!(cache = %self.name, %error, "an old value is served");
                self.refreshes.failed(place.key());
                Ok(self.served(stale))
            }
            (loaded, _) => loaded,
        }
    }

    fn served(&self, stale: Loaded) -> Loaded {
        self.counting.stale(1);
        stale
    }

    async fn acquire(&self, place: &Place) -> Result<Step> {
        Ok(match scripts::acquire(&self.russet, place, self.fill_lease).await? {
            Acquired::Lease(lease) => Step::Ours(lease),
            Acquired::Taken(entry) => self.after(Some(entry), Source::Hit),
        })
    }

    /// Takes the lease for loading an old entry anew, or waits for who has it.
    async fn acquire_refresh(&self, place: &Place, stale: Option<Loaded>) -> Result<Step> {
        let ours = scripts::refresh(&self.russet, place, Duration::ZERO, self.fill_lease).await?;
        Ok(match ours {
            Refresh::Ours(lease) => Step::Ours(lease),
            Refresh::Absent => Step::GoOn(Seen::Nothing),
            // The server's clock decides.
            Refresh::Fresh => match scripts::read(&self.russet, place).await? {
                Some(Entry::Stored(stored)) => Step::Found(Loaded::fresh(stored, Source::Hit)),
                entry => self.after(entry, Source::Hit),
            },
            Refresh::Taken => {
                let (entry, source) = self.news(place, On::Refresh).await?;
                match (self.after(entry, source), stale) {
                    // Whoever loaded it could not.
                    (Step::GoOn(Seen::Expired(_)), Some(stale)) => Step::Found(self.served(stale)),
                    (step, _) => step,
                }
            }
        })
    }

    /// Waits until another process has filled the entry, or has given up.
    async fn wait_for_fill(&self, place: &Place) -> Result<Step> {
        let (entry, source) = self.news(place, On::Entry).await?;
        Ok(self.after(entry, source))
    }

    /// What stands there when a lease has ended.
    async fn news(&self, place: &Place, on: On) -> Result<(Option<Entry>, Source)> {
        self.counting.waits(1);
        // Registered before the script records it: the other order could lose the wake-up.
        let mut waiter = self.russet.inbox().waiter(self.fill_lease).await;
        let address = waiter.address();
        match scripts::wait(&self.russet, place, on, &address, self.fill_lease).await? {
            Waiting::Absent if on == On::Entry => Ok((None, Source::Hit)),
            Waiting::Absent => Ok((scripts::read(&self.russet, place).await?, Source::Miss)),
            Waiting::Entry(entry) => Ok((Some(entry), Source::Hit)),
            Waiting::Leased(left) => match waiter.news(left).await {
                News::Message(entry) if !entry.is_empty() => {
                    Ok((Some(Entry::read(entry)), Source::Miss))
                }
                News::Message(_) | News::Unsure => {
                    Ok((scripts::read(&self.russet, place).await?, Source::Miss))
                }
            },
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
                let life = self.life(payload.is_some(), None);
                self.store(vec![(held, &payload, life)]).await;
                Ok(self.loaded(payload, life))
            }
            Err(error) => {
                held.release().await;
                Err(error)
            }
        }
    }

    /// What was loaded a moment ago.
    pub(super) fn loaded(&self, payload: Payload, life: Life) -> Loaded {
        let fresh = life.fresh.and_then(|fresh| i64::try_from(fresh.as_millis()).ok());
        let fresh_until = fresh.map(|fresh| self.russet.clock().now_ms().saturating_add(fresh));
        Loaded { payload, source: Source::Miss, fresh_until, is_due: false }
    }

    /// The times of an entry, with a time to live of its own or the cache's. That there is no such thing ends at its end.
    pub(super) fn life(&self, is_value: bool, ttl: Option<Duration>) -> Life {
        if !is_value {
            return Life { fresh: None, kept: self.null_ttl.draw() };
        }
        let ttl = ttl.unwrap_or_else(|| self.ttl.draw());
        let fresh = self.says_until_when.then_some(ttl);
        Life { fresh, kept: ttl.saturating_add(self.freshness.grace()) }
    }

    /// Stores what was loaded, under its leases. That something could not be stored is no error of the caller's,
    /// who has the value.
    pub(super) async fn store(&self, loaded: Vec<(HeldLease, &Payload, Life)>) {
        let (small, large): (Vec<_>, Vec<_>) = loaded.into_iter().partition(|(_, payload, _)| {
            payload.as_ref().is_none_or(|payload| payload.len() <= self.max_value_bytes)
        });
        self.counting.unstored(large.len());
        for (held, ..) in large {
            tracing::warn!(cache = %self.name, limit = self.max_value_bytes, "a loaded value is too large to cache");
            held.release().await;
        }
        // More unknown keys than a second may have are not remembered.
        let (small, beyond): (Vec<_>, Vec<_>) = small.into_iter().partition(|(_, payload, _)| {
            payload.is_some() || self.guard.nulls.take(Instant::now())
        });
        self.counting.nulls_unstored(beyond.len());
        join_all(beyond.into_iter().map(|(held, ..)| held.release())).await;
        let fillings =
            small.into_iter().map(|(held, payload, life)| (held, payload.as_deref(), life));
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
        let payload = self.load(load).await?;
        Ok(Loaded { payload, source: Source::Bypass, fresh_until: None, is_due: false })
    }

    pub(super) async fn load<L>(&self, load: L) -> Result<Payload>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        self.counting.loads(1);
        self.in_time(load()).await
    }

    /// The outcome of a loader that may take so long and no longer.
    pub(super) async fn in_time<T>(
        &self,
        loading: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T> {
        let loaded = match self.load_timeout {
            Some(time) => timeout(time, loading).await.unwrap_or_else(|_| {
                Err(format!("it took longer than {time:?}, the load_timeout").into())
            }),
            None => loading.await,
        };
        loaded.map_err(|cause| self.load_failed(cause))
    }

    /// The loader's error as its callers get it.
    fn load_failed(&self, cause: BoxError) -> Error {
        self.counting.load_errors(1);
        let message = format_args!("cache {}: the loader failed", self.name);
        Error::caused_by(ErrorKind::Load, Advice::GiveUp, message, cause)
    }
}

impl Inner {
    fn after(&self, entry: Option<Entry>, source: Source) -> Step {
        match self.see(entry, source) {
            Read::Found(loaded) => Step::Found(loaded),
            Read::Missing(seen) => Step::GoOn(seen),
        }
    }
}
