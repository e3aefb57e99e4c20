//! Loading anew behind the callers, while the entry is still served.

use std::{
    borrow::Borrow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::Instrument as _;

use super::{
    Cache, Inner, Loaded,
    fill::{Payload, Seen},
    key::CacheKey,
    lease::HeldLease,
    loader::DynLoader,
    scripts::{self, LeaseId, Place, Refresh},
};
use crate::{
    client::Pulse,
    codec::Codec,
    error::{BoxError, Result},
};

/// How long a key rests after a refresh that failed, or that somebody else is at.
const REST: Duration = Duration::from_secs(1);
/// How many refreshes of a cache run at a time in a process. What is over waits for the next caller.
const AT_A_TIME: usize = 64;
/// So many resting keys are remembered before those that rest no more are cleared away.
const REMEMBERED: usize = 1_024;

/// A load of a key of its own, which needs no caller.
pub(super) type LoadApart<K, V> =
    fn(Arc<dyn DynLoader<K, V>>, &K) -> BoxFuture<'static, Result<Option<V>, BoxError>>;

/// See [`LoadApart`].
pub(super) fn load_apart<K, V>(
    loader: Arc<dyn DynLoader<K, V>>,
    key: &K,
) -> BoxFuture<'static, Result<Option<V>, BoxError>>
where
    K: ToOwned + Sync + ?Sized + 'static,
    K::Owned: Send + Sync,
    V: Send + 'static,
{
    let key = key.to_owned();
    async move { loader.load(key.borrow()).await }.boxed()
}

/// The keys of this process that are being loaded anew, or rest.
pub(super) struct Refreshes {
    resting: Mutex<HashMap<String, Resting>>,
    permits: Arc<Semaphore>,
}

struct Resting {
    until: Instant,
    has_failed: bool,
}

/// The right of one task of this process to refresh a key.
struct Turn<'a> {
    refreshes: &'a Refreshes,
    key: &'a str,
    outcome: Outcome,
}

#[derive(Clone, Copy)]
enum Outcome {
    /// The next caller may ask again.
    Over,
    /// Somebody else is at it.
    Elsewhere,
    Failed,
}

impl Default for Refreshes {
    fn default() -> Self {
        Self { resting: Mutex::default(), permits: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Refreshes {
    /// Whether the key could not be loaded a moment ago.
    pub(super) fn has_failed(&self, key: &str) -> bool {
        let resting = self.lock();
        resting.get(key).is_some_and(|rest| rest.has_failed && Instant::now() < rest.until)
    }

    /// Lets a key that could not be loaded rest.
    pub(super) fn failed(&self, key: &str) {
        self.set(key, REST, true);
    }

    /// Marks a key for as long as its refresh may take; none when somebody is at it, or too many are.
    fn begin(&self, key: &str, at_most: Duration) -> Option<OwnedSemaphorePermit> {
        if self.lock().get(key).is_some_and(|rest| Instant::now() < rest.until) {
            return None;
        }
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        self.set(key, at_most, false);
        Some(permit)
    }

    fn set(&self, key: &str, time: Duration, has_failed: bool) {
        let now = Instant::now();
        let mut resting = self.lock();
        if resting.len() >= REMEMBERED {
            resting.retain(|_, rest| now < rest.until);
        }
        resting.insert(key.to_owned(), Resting { until: now + time, has_failed });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Over => {
                self.refreshes.lock().remove(self.key);
            }
            Outcome::Elsewhere => self.refreshes.set(self.key, REST, false),
            Outcome::Failed => self.refreshes.failed(self.key),
        }
    }
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned + 'static, C: Codec> Cache<K, V, C> {
    /// Loads an entry anew, unless somebody in the fleet is at it. The caller goes on.
    pub(super) fn refresh_soon(&self, key: &K, place: &Place) {
        let Some(permit) = self.inner.refreshes.begin(place.key(), self.inner.fill_lease) else {
            return;
        };
        let (inner, place) = (self.inner.clone(), place.clone());
        let load = self.apart(key);
        let refresh = async move {
            let _permit = permit;
            // Made here, so that it ends with this task, however that ends.
            let (refreshes, key) = (&inner.refreshes, place.key());
            let mut turn = Turn { refreshes, key, outcome: Outcome::Over };
            if let Some(load) = load {
                turn.outcome = inner.refresh(&place, load).await;
            }
        };
        let span = tracing::debug_span!("cache.refresh", cache = self.inner.name);
        tokio::spawn(refresh.instrument(span));
    }

    /// Loads an expired entry anew in a task of its own, which goes on when the caller has waited for the
    /// `soft_timeout` and takes the old value. None when there is nothing old, or no such setting.
    pub(super) fn refresh_apart(
        &self,
        key: &K,
        place: &Place,
        seen: &Seen,
    ) -> Option<impl Future<Output = Result<Loaded>> + use<K, V, C>> {
        let (Seen::Expired(Some(stale)), Some(patience)) = (seen, self.inner.soft_timeout) else {
            return None;
        };
        let load = self.apart(key)?;
        let (inner, place, stale) = (self.inner.clone(), place.clone(), stale.clone());
        let seen = Seen::Expired(Some(stale.clone()));
        let counted = inner.clone();
        let apart = tokio::spawn(async move { inner.fly(&place, seen, async || load.await).await });
        Some(async move {
            match timeout(patience, apart).await {
                Ok(Ok(loaded)) => loaded,
                // Too slow, or it panicked: that is the loader's matter.
                Ok(Err(_)) | Err(_) => {
                    counted.counting.stale(1);
                    Ok(stale)
                }
            }
        })
    }

    /// A load that needs no caller.
    fn apart(&self, key: &K) -> Option<BoxFuture<'static, Result<Payload, BoxError>>> {
        let (loader, load_apart) = (self.loader.clone()?, self.load_apart?);
        let (loading, codec) = (load_apart(loader, key), self.codec.clone());
        let encoded = async move {
            let value = loading.await?;
            value.map(|value| Ok(codec.encode(&value)?.into())).transpose()
        };
        Some(encoded.boxed())
    }
}

impl Inner {
    async fn refresh(
        &self,
        place: &Place,
        load: BoxFuture<'static, Result<Payload, BoxError>>,
    ) -> Outcome {
        let (russet, ahead, time) = (&self.russet, self.freshness.ahead, self.fill_lease);
        match scripts::refresh(russet, place, ahead, time).await {
            Ok(Refresh::Ours(lease)) => self.refill(place, lease, load).await,
            Ok(Refresh::Absent) => Outcome::Over,
            Ok(Refresh::Taken | Refresh::Fresh) => Outcome::Elsewhere,
            Err(error) => {
                tracing::debug!(cache = %self.name, %error, "an entry was not refreshed");
                Outcome::Elsewhere
            }
        }
    }

    async fn refill(
        &self,
        place: &Place,
        lease: LeaseId,
        load: BoxFuture<'static, Result<Payload, BoxError>>,
    ) -> Outcome {
        let pulse = Arc::new(Pulse::new(self.fill_lease));
        let held = HeldLease::new(&self.russet, place, lease, self.fill_lease, &pulse);
        match pulse.of(self.load(async || load.await)).await {
            Ok(payload) => {
                self.counting.refreshes(1);
                let life = self.life(payload.is_some(), None);
                self.store(vec![(held, &payload, life)]).await;
                Outcome::Over
            }
            Err(error) => {
                tracing::warn!(cache = %self.name, %error, "an entry was not refreshed");
                held.release().await;
                Outcome::Failed
            }
        }
    }
}
