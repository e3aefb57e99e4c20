//! The callers' way: a hit at once, and one flight for all who miss.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Cache, Found, Inner, Loaded, Source,
    behind::scripts as behind,
    entry::{Entry, Stored},
    fill::{Payload, Seen},
    flight::Role,
    freshness::Verdict,
    key::CacheKey,
    near::{Answer, Reader},
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

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned + 'static, C: Codec> Cache<K, V, C> {
    pub(super) async fn look_up<F, E>(&self, key: &K, nulls: Nulls, load: F) -> Result<Found<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        let text = key.cache_key();
        match self.look_near(key, &text, nulls) {
            Some(found) => Ok(found),
            None => self.look_far(key, &text, nulls, load).await,
        }
    }

    #[tracing::instrument(name = "cache.get", level = "debug", skip_all, fields(cache = self.inner.name))]
    async fn look_far<F, E>(&self, key: &K, text: &str, nulls: Nulls, load: F) -> Result<Found<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        let reader = self.reader(text);
        let place = self.inner.place(text)?;
        let seen = match self.inner.read(&place).await? {
            Read::Found(Loaded { payload: None, .. }) if nulls == Nulls::Dropped => {
                self.inner.discard(&place).await?
            }
            Read::Found(loaded) => match self.decode(&loaded) {
                Ok(found) => {
                    if loaded.is_due {
                        self.refresh_soon(key, &place);
                    }
                    self.keep_near(reader.as_ref(), &loaded, &found);
                    return Ok(found);
                }
                Err(_) => {
                    // Written by an older form of the type: loading again heals it. The error is not logged, since
                    // serde's text quotes the value.
                    tracing::warn!(cache = %self.inner.name, "a cached value of another form is dropped");
                    self.inner.discard(&place).await?
                }
            },
            Read::Missing(seen) => {
                if nulls == Nulls::Accepted
                    && let Some(nothing) = self.inner.filtered(text, &seen).await
                {
                    return self.decode(&nothing);
                }
                seen
            }
        };
        let loaded = match self.refresh_apart(key, &place, &seen) {
            Some(apart) => apart.await?,
            None => {
                let load = async || {
                    let payload = self.encode(load().await.map_err(Into::into)?)?;
                    if nulls == Nulls::Dropped {
                        self.inner.make_found_known(text).await;
                    }
                    Ok(payload)
                };
                self.inner.fly(&place, seen, load).await?
            }
        };
        let found = self.decode(&loaded)?;
        self.keep_near(reader.as_ref(), &loaded, &found);
        Ok(found)
    }

    /// What is there, without loading what is not.
    pub(super) async fn peek(&self, key: &K) -> Result<Option<Found<V>>> {
        let text = key.cache_key();
        match self.look_near(key, &text, Nulls::Accepted) {
            Some(found) => Ok(Some(found)),
            None => self.peek_far(&text).await,
        }
    }

    #[tracing::instrument(name = "cache.get", level = "debug", skip_all, fields(cache = self.inner.name))]
    async fn peek_far(&self, text: &str) -> Result<Option<Found<V>>> {
        let reader = self.reader(text);
        let place = self.inner.place(text)?;
        let mut read = self.inner.read(&place).await?;
        if place.is_behind() && matches!(read, Read::Missing(Seen::Nothing | Seen::Lease)) {
            // Nobody takes a lease here, which would have shown what is queued.
            let queued = behind::queued(&self.inner.russet, &place).await?;
            read = self.inner.see(queued, Source::Hit);
        }
        match read {
            Read::Found(loaded) => {
                let found = self.decode(&loaded)?;
                self.keep_near(reader.as_ref(), &loaded, &found);
                Ok(Some(found))
            }
            Read::Missing(_) => Ok(None),
        }
    }

    /// The copy of this process, if it is there and fresh.
    pub(super) fn look_near(&self, key: &K, text: &str, nulls: Nulls) -> Option<Found<V>> {
        let kept = self.near.as_ref()?.get(text)?;
        if kept.value.is_none() && nulls == Nulls::Dropped {
            return None;
        }
        match self.inner.verdict(kept.fresh_until) {
            Verdict::Fresh => {}
            Verdict::Early => self.refresh_soon(key, &self.inner.place(text).ok()?),
            // Redis knows better.
            Verdict::Stale | Verdict::Expired | Verdict::Over => return None,
        }
        self.inner.counting.near_hits(1);
        Some(Found { value: kept.value, source: Source::Near })
    }

    /// Taken before an entry is read that may be kept in the process.
    pub(super) fn reader(&self, text: &str) -> Option<Reader<V>> {
        Reader::begin(self.near.as_ref()?, text)
    }

    pub(super) fn keep_near(&self, reader: Option<&Reader<V>>, loaded: &Loaded, found: &Found<V>) {
        if let Some(reader) = reader
            && matches!(loaded.source, Source::Hit | Source::Miss)
        {
            reader.keep(&Answer {
                value: found.value.as_ref(),
                payload: loaded.payload.as_deref().unwrap_or_default(),
                fresh_until: loaded.fresh_until,
                undue_for: self.inner.undue_for(loaded.fresh_until),
            });
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
            Ok(entry) => self.see(entry, Source::Hit),
            Err(error) if error.is_outage() => {
                tracing::debug!(cache = %self.name, %error, "loading past the cache");
                Read::Missing(Seen::Outage)
            }
            Err(error) => return Err(error),
        };
        match &read {
            Read::Found(loaded) => {
                self.counting.hits(1);
                self.counting.stale(usize::from(loaded.source == Source::Stale));
            }
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
    pub(super) async fn fly<L>(&self, place: &Place, seen: Seen, load: L) -> Result<Loaded>
    where
        L: AsyncFnOnce() -> Result<Payload, BoxError>,
    {
        let mut seen = seen;
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
                    if !matches!(seen, Seen::Outage) {
                        seen = Seen::Nothing;
                    }
                }
            }
        }
    }
}

impl Inner {
    /// What an entry is good for, by the server's clock as this process knows it.
    pub(super) fn verdict(&self, fresh_until: Option<i64>) -> Verdict {
        match fresh_until {
            None => Verdict::Fresh,
            until => self.freshness.judge(until, self.russet.clock().now_ms()),
        }
    }

    /// How long an entry needs no verdict.
    fn undue_for(&self, fresh_until: Option<i64>) -> Duration {
        match fresh_until {
            None => Duration::MAX,
            Some(until) => self.freshness.undue_for(until, self.russet.clock().now_ms()),
        }
    }

    pub(super) fn see(&self, entry: Option<Entry>, source: Source) -> Read {
        let Stored { payload, fresh_until } = match entry {
            Some(Entry::Stored(stored)) => stored,
            Some(Entry::Lease) => return Read::Missing(Seen::Lease),
            Some(Entry::Foreign) => return Read::Missing(Seen::Foreign),
            None => return Read::Missing(Seen::Nothing),
        };
        let loaded = |source, is_due| Loaded { payload, source, fresh_until, is_due };
        match self.verdict(fresh_until) {
            Verdict::Fresh => Read::Found(loaded(source, false)),
            Verdict::Early => Read::Found(loaded(source, true)),
            Verdict::Stale => Read::Found(loaded(Source::Stale, true)),
            Verdict::Expired => Read::Missing(Seen::Expired(Some(loaded(Source::Stale, false)))),
            Verdict::Over => Read::Missing(Seen::Expired(None)),
        }
    }
}
