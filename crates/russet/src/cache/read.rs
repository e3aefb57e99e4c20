//! The callers' way: a hit at once, and one flight for all who miss.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Cache, Found, Inner, Loaded, Source,
    entry::Entry,
    fill::{Payload, Seen},
    flight::Role,
    key::CacheKey,
    scripts::{self, Place},
};
use crate::{
    codec::Codec,
    error::{Advice, BoxError, Error, ErrorKind, Result},
};

/// What the first read brought.
pub(super) enum Read {
    Found(Loaded),
    Missing(Seen),
}

/// Whether the absence of a thing is an answer that the caller can take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    Accepted,
    /// Drop them and load.
    Dropped,
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned, C: Codec> Cache<K, V, C> {
    #[tracing::instrument(name = "cache.get", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub(super) async fn look_up<F, E>(&self, key: &K, nulls: Nulls, load: F) -> Result<Found<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        let place = self.inner.place(&key.cache_key())?;
        let seen = match self.inner.read(&place).await? {
            Read::Found(Loaded { payload: None, .. }) if nulls == Nulls::Dropped => {
                self.inner.discard(&place).await?
            }
            Read::Found(loaded) => match self.decode(&loaded) {
                Ok(found) => return Ok(found),
                Err(_) => {
                    // Written by an older form of the type: loading again heals it. The error is not logged, since
                    // serde's text quotes the value.
                    tracing::warn!(cache = %self.inner.name, "a cached value of another form is dropped");
                    self.inner.discard(&place).await?
                }
            },
            Read::Missing(seen) => seen,
        };
        let load = async move || self.encode(load().await.map_err(Into::into)?);
        self.decode(&self.inner.fly(&place, seen, load).await?)
    }

    /// What is there, without loading what is not.
    #[tracing::instrument(name = "cache.get", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub(super) async fn peek(&self, key: &K) -> Result<Option<Found<V>>> {
        match self.inner.read(&self.inner.place(&key.cache_key())?).await? {
            Read::Found(loaded) => self.decode(&loaded).map(Some),
            Read::Missing(_) => Ok(None),
        }
    }

    pub(super) fn encode(&self, value: Option<V>) -> Result<Payload, BoxError> {
        value.map(|value| Ok(self.codec.encode(&value)?.into())).transpose()
    }

    pub(super) fn decode(&self, loaded: &Loaded) -> Result<Found<V>> {
        let value = match &loaded.payload {
            Some(payload) => Some(self.codec.decode(payload).map_err(|cause| {
                let message = format_args!("cache {}: a value of another form", self.inner.name);
                Error::codec(message, cause)
            })?),
            None => None,
        };
        Ok(Found { value, source: loaded.source })
    }

    /// A value where the caller has no use for its absence.
    pub(super) fn present(&self, found: Found<V>) -> Result<V> {
        // Only when another caller of the same key, with `find_with`, loaded at the same time.
        found.value.ok_or_else(|| {
            let message =
                format_args!("cache {}: another caller found no such thing", self.inner.name);
            Error::new(ErrorKind::Load, Advice::Retry, message)
        })
    }
}

impl Inner {
    /// One `GET`.
    pub(super) async fn read(&self, place: &Place) -> Result<Read> {
        let read = match scripts::read(&self.russet, place).await {
            Ok(entry) => Read::from(entry),
            Err(error) if error.is_outage() => {
                tracing::debug!(cache = %self.name, %error, "loading past the cache");
                Read::Missing(Seen::Outage)
            }
            Err(error) => return Err(error),
        };
        match read {
            Read::Found(_) => self.counting.hits(1),
            Read::Missing(_) => self.counting.misses(1),
        }
        Ok(read)
    }

    /// Drops an entry that its reader cannot use. A server that takes no writes is as good as away.
    async fn discard(&self, place: &Place) -> Result<Seen> {
        match scripts::invalidate(&self.russet, place).await {
            Ok(()) => Ok(Seen::Nothing),
            Err(error) if error.is_outage() => {
                tracing::debug!(cache = %self.name, %error, "loading past the cache");
                Ok(Seen::Outage)
            }
            Err(error) => Err(error),
        }
    }

    /// After a miss: leads the load of this key, or shares the one that is under way in this process.
    pub(super) async fn fly<L>(&self, place: &Place, mut seen: Seen, load: L) -> Result<Loaded>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        loop {
            match self.flights.join(place.key()) {
                Role::Leader(leader) => {
                    let outcome = self.lead(place, seen, load).await;
                    leader.land(outcome.clone());
                    return outcome;
                }
                Role::Follower(follower) => {
                    self.counting.waits(1);
                    if let Some(outcome) = follower.outcome(self.fill_lease).await {
                        return outcome;
                    }
                    if seen != Seen::Outage {
                        seen = Seen::Nothing;
                    }
                }
            }
        }
    }
}

impl Read {
    pub(super) fn from(entry: Option<Entry>) -> Self {
        let source = Source::Hit;
        match entry {
            Some(Entry::Value(payload)) => Self::Found(Loaded { payload: Some(payload), source }),
            Some(Entry::Null) => Self::Found(Loaded { payload: None, source }),
            Some(Entry::Lease) => Self::Missing(Seen::Lease),
            Some(Entry::Foreign) => Self::Missing(Seen::Foreign),
            None => Self::Missing(Seen::Nothing),
        }
    }
}
