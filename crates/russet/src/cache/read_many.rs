//! Many keys at a time: one pipeline to read, one for the leases, one load for all, one to fill.

use std::{borrow::Borrow, collections::HashMap, sync::Arc};

use futures_util::future::{join_all, try_join_all};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Cache, Loaded, Source,
    fill::{Payload, Seen},
    key::CacheKey,
    lease::HeldLease,
    loader::DynLoader,
    near::Reader,
    read::{Nulls, Read},
    scripts::{self, Acquired, Place},
};
use crate::{
    client::Pulse,
    codec::Codec,
    error::{BoxError, Error, Result},
};

/// The most keys of one call.
pub(super) const MAX_BATCH: usize = 1_000;

/// One of the different keys that were asked for.
struct Wanted<'a, K: ?Sized, V> {
    key: &'a K,
    place: Place,
    reader: Option<Reader<V>>,
    found: Option<Loaded>,
    seen: Seen,
}

/// What is wanted from Redis, and where the value of each key comes from, in the order of the call.
type Sorted<'a, K, V> = (Vec<Wanted<'a, K, V>>, Vec<From<V>>);

/// Where a value comes from.
enum From<V> {
    Near(Option<V>),
    /// One of those that are wanted.
    Redis(usize),
}

impl<K, V, C> Cache<K, V, C>
where
    K: CacheKey + ?Sized,
    V: Serialize + DeserializeOwned + Send + 'static,
    C: Codec,
{
    #[tracing::instrument(name = "cache.get_many", level = "debug", skip_all, fields(cache = self.inner.name, keys = keys.len()))]
    pub(super) async fn look_up_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<Vec<Option<V>>> {
        let (mut wanted, order) = self.sort_out(keys)?;
        let outage = self.read_all(&mut wanted).await?;
        for one in &wanted {
            if one.found.as_ref().is_some_and(|found| found.is_due) {
                self.refresh_soon(one.key, &one.place);
            }
        }
        if let Some(loader) = &self.loader {
            let mut missing: Vec<_> = wanted.iter_mut().filter(|one| one.found.is_none()).collect();
            if outage {
                self.bypass_all(&**loader, &mut missing).await?;
            } else {
                self.answer_unknown(&mut missing).await;
                // Our own first: who waited for others while it holds leases could wait in a circle.
                self.load_leased(&**loader, &mut missing).await?;
                self.await_others(&**loader, &mut missing).await?;
            }
        }
        let mut values = Vec::with_capacity(order.len());
        for from in order {
            values.push(match from {
                From::Near(value) => value,
                From::Redis(at) => self.value(&wanted[at]).await?,
            });
        }
        Ok(values)
    }

    async fn value(&self, wanted: &Wanted<'_, K, V>) -> Result<Option<V>> {
        let Some(loaded) = &wanted.found else { return Ok(None) };
        match (self.decode(loaded), &self.loader) {
            (Ok(found), _) => {
                self.keep_near(wanted.reader.as_ref(), loaded, &found);
                Ok(found.value)
            }
            // A hit of an older form of the type: the single look-up drops it and loads.
            (Err(_), Some(loader)) if loaded.source == Source::Hit => {
                let load = async || loader.load(wanted.key).await;
                Ok(self.look_up(wanted.key, Nulls::Accepted, load).await?.value)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The different keys that are not in this process, and where the value of each one asked for comes from.
    fn sort_out<'a, B: Borrow<K>>(&self, keys: &'a [B]) -> Result<Sorted<'a, K, V>> {
        if keys.len() > MAX_BATCH {
            return Err(Error::invalid(format_args!(
                "cache {}: {} keys in one call, more than the {MAX_BATCH} allowed",
                self.inner.name,
                keys.len()
            )));
        }
        let mut wanted = Vec::with_capacity(keys.len());
        let mut places = HashMap::with_capacity(keys.len());
        let mut order = Vec::with_capacity(keys.len());
        for key in keys {
            let (key, text) = (key.borrow(), key.borrow().cache_key());
            if let Some(found) = self.look_near(key, &text, Nulls::Accepted) {
                order.push(From::Near(found.value));
                continue;
            }
            let (place, reader) = (self.inner.place(&text)?, self.reader(&text));
            order.push(From::Redis(*places.entry(text).or_insert_with(|| {
                wanted.push(Wanted { key, place, reader, found: None, seen: Seen::Nothing });
                wanted.len() - 1
            })));
        }
        Ok((wanted, order))
    }

    /// One pipeline of `GET`; answers whether Redis was away.
    async fn read_all(&self, wanted: &mut [Wanted<'_, K, V>]) -> Result<bool> {
        let places: Vec<_> = wanted.iter().map(|one| one.place.clone()).collect();
        let entries = match scripts::read_many(&self.inner.russet, &places).await {
            Ok(entries) => entries,
            Err(error) if error.is_outage() => {
                tracing::debug!(cache = %self.inner.name, %error, "loading past the cache");
                self.inner.counting.misses(wanted.len());
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        for (one, entry) in wanted.iter_mut().zip(entries) {
            one.take(self.inner.see(entry, Source::Hit));
        }
        let hits = wanted.iter().filter(|one| one.found.is_some()).count();
        self.inner.counting.hits(hits);
        self.inner.counting.misses(wanted.len() - hits);
        Ok(false)
    }

    /// What the filter is certain of needs no load.
    async fn answer_unknown(&self, missing: &mut Vec<&mut Wanted<'_, K, V>>) {
        let keys: Vec<_> = missing.iter().map(|one| (one.place.key(), &one.seen)).collect();
        let answers = self.inner.filtered_many(&keys).await;
        for (one, answer) in missing.iter_mut().zip(answers) {
            one.found = answer;
        }
        missing.retain(|one| one.found.is_none());
    }

    /// Takes the leases that are free in one pipeline, loads what they are for at once, and stores it in one pipeline.
    async fn load_leased(
        &self,
        loader: &dyn DynLoader<K, V>,
        missing: &mut [&mut Wanted<'_, K, V>],
    ) -> Result<()> {
        let inner = &self.inner;
        let mut absent: Vec<_> = missing
            .iter_mut()
            .filter(|one| matches!(one.seen, Seen::Nothing))
            .map(|one| &mut **one)
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = absent.iter().map(|one| &one.place).collect();
        let acquired = match scripts::acquire_many(&inner.russet, &places, inner.fill_lease).await {
            Ok(acquired) => acquired,
            Err(error) if error.is_outage() => return self.bypass_all(loader, &mut absent).await,
            Err(error) => return Err(error),
        };
        let mut ours = Vec::new();
        let mut held = Vec::new();
        let pulse = Arc::new(Pulse::new(inner.fill_lease));
        for (one, acquired) in absent.into_iter().zip(acquired) {
            match acquired {
                Acquired::Taken(entry) => one.take(inner.see(Some(entry), Source::Hit)),
                Acquired::Lease(lease) => {
                    let (russet, time) = (&inner.russet, inner.fill_lease);
                    held.push(HeldLease::new(russet, &one.place, lease, time, &pulse));
                    ours.push(one);
                }
            }
        }
        if ours.is_empty() {
            return Ok(());
        }
        let loaded = pulse.of(self.load_many(loader, &ours)).await;
        let payloads = match loaded {
            Ok(payloads) => payloads,
            Err(error) => {
                join_all(held.into_iter().map(HeldLease::release)).await;
                return Err(error);
            }
        };
        let lives: Vec<_> =
            payloads.iter().map(|payload| inner.life(payload.is_some(), None)).collect();
        let stored = held.into_iter().zip(&payloads).zip(&lives);
        inner.store(stored.map(|((held, payload), life)| (held, payload, *life)).collect()).await;
        for ((one, payload), life) in ours.into_iter().zip(payloads).zip(lives) {
            one.found = Some(inner.loaded(payload, life));
        }
        Ok(())
    }

    /// The keys that somebody else is loading, each as a single look-up would.
    async fn await_others(
        &self,
        loader: &dyn DynLoader<K, V>,
        missing: &mut [&mut Wanted<'_, K, V>],
    ) -> Result<()> {
        let others = missing.iter_mut().filter(|one| one.found.is_none());
        try_join_all(others.map(async |one| {
            let load = async || self.encode(loader.load(one.key).await?);
            one.found = Some(self.inner.fly(&one.place, one.seen.clone(), load).await?);
            Ok(())
        }))
        .await?;
        Ok(())
    }

    /// One load of everything, past Redis.
    async fn bypass_all(
        &self,
        loader: &dyn DynLoader<K, V>,
        missing: &mut [&mut Wanted<'_, K, V>],
    ) -> Result<()> {
        let _permit = self.inner.bypass_permits.acquire().await;
        self.inner.counting.bypasses(missing.len());
        let payloads = self.load_many(loader, missing).await?;
        for (one, payload) in missing.iter_mut().zip(payloads) {
            let source = Source::Bypass;
            one.found = Some(Loaded { payload, source, fresh_until: None, is_due: false });
        }
        Ok(())
    }

    async fn load_many(
        &self,
        loader: &dyn DynLoader<K, V>,
        wanted: &[&mut Wanted<'_, K, V>],
    ) -> Result<Vec<Payload>> {
        self.inner.counting.loads(1);
        let keys: Vec<_> = wanted.iter().map(|one| one.key).collect();
        let loading = async {
            let values = loader.load_many(&keys).await?;
            if values.len() != keys.len() {
                let message = format!(
                    "load_many was asked for {} keys and answered {}",
                    keys.len(),
                    values.len()
                );
                return Err(BoxError::from(message));
            }
            values.into_iter().map(|value| self.encode(value)).collect()
        };
        self.inner.in_time(loading).await
    }
}

impl<K: ?Sized, V> Wanted<'_, K, V> {
    fn take(&mut self, read: Read) {
        match read {
            Read::Found(loaded) => self.found = Some(loaded),
            Read::Missing(seen) => self.seen = seen,
        }
    }
}
