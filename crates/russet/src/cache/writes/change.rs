//! The writers' way: what is put or removed goes to the record and the cache, by policy.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    CachedCopy, DynWriter, Write, WritePolicy, Written, announce::Announced, scripts::Record,
};
use crate::{
    cache::{Cache, key::CacheKey, scripts::Place, ttl::Life},
    codec::Codec,
    error::{Advice, BoxError, Error, ErrorKind, Result},
};

/// One key's new value, checked and encoded.
pub(in crate::cache) struct Change<'a, K: ?Sized, V> {
    pub(in crate::cache) key: &'a K,
    pub(in crate::cache) place: Place,
    /// None to remove it.
    pub(in crate::cache) value: Option<&'a V>,
    pub(in crate::cache) payload: Option<Vec<u8>>,
    pub(in crate::cache) life: Life,
}

impl<K: CacheKey + ?Sized, V: Serialize, C: Codec> Cache<K, V, C> {
    /// Checks and encodes a change; nothing is sent.
    pub(super) fn change<'a>(
        &self,
        key: &'a K,
        value: Option<&'a V>,
        ttl: Option<Duration>,
    ) -> Result<Change<'a, K, V>> {
        let inner = &self.inner;
        let refuse = |what| Err(Error::invalid(format_args!("cache {}: {what}", inner.name)));
        let place = inner.place(&key.cache_key())?;
        if ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            return refuse("a ttl below a millisecond".to_owned());
        }
        let Some(value) = value else {
            let life = inner.life(false, None);
            return Ok(Change { key, place, value: None, payload: None, life });
        };
        let payload = self.codec.encode(value).map_err(|cause| {
            Error::codec(format_args!("cache {}: a value cannot be encoded", inner.name), cause)
        })?;
        if payload.len() > inner.max_value_bytes {
            let (bytes, most) = (payload.len(), inner.max_value_bytes);
            return refuse(format!("a value of {bytes} bytes, more than the {most} allowed"));
        }
        let life = inner.life(true, ttl);
        Ok(Change { key, place, value: Some(value), payload: Some(payload), life })
    }

    /// Makes the changes, each key's once, by the policy of the cache.
    pub(super) async fn apply(&self, changes: Vec<Change<'_, K, V>>) -> Result<Vec<Written>> {
        let puts = changes.iter().filter(|change| change.payload.is_some()).count();
        let known: Vec<_> = changes.iter().filter(|one| one.payload.is_some()).collect();
        self.inner
            .make_all_known(&known.iter().map(|one| one.place.key()).collect::<Vec<_>>())
            .await?;
        self.inner.counting.puts(puts);
        let keys: Vec<_> = self
            .near
            .iter()
            .flat_map(|_| changes.iter().map(|one| one.place.key().to_owned()))
            .collect();
        let written = match (&self.writer, &self.behind) {
            (Some(_), Some(behind)) => behind.queue(&changes).await,
            (Some(writer), None) => self.record_first(&**writer, changes).await,
            (None, _) => self.store_alone(&changes).await,
        };
        keys.iter().for_each(|key| self.forget_near(key));
        written
    }

    /// Without a system of record the cache is all there is.
    async fn store_alone(&self, changes: &[Change<'_, K, V>]) -> Result<Vec<Written>> {
        let calls: Vec<_> = changes
            .iter()
            .map(|change| match &change.payload {
                Some(payload) => change.place.put(payload, change.life),
                None => change.place.invalidate(),
            })
            .collect();
        let stored = self.inner.russet.run_many::<bool>(&calls).await;
        // Also when the answer was lost; see `invalidate`.
        for change in changes.iter().filter(|change| change.payload.is_none()) {
            self.inner.flights.forget(change.place.key());
        }
        let outcomes = stored?.into_iter().zip(changes);
        Ok(outcomes
            .map(|(stored, change)| match stored && change.payload.is_some() {
                true => Written { copy: CachedCopy::Stored, reached: None },
                false => Written { copy: CachedCopy::Dropped, reached: None },
            })
            .collect())
    }

    /// The record, then the copy.
    async fn record_first(
        &self,
        writer: &dyn DynWriter<K, V>,
        changes: Vec<Change<'_, K, V>>,
    ) -> Result<Vec<Written>> {
        let inner = &self.inner;
        let through = inner.write_policy == WritePolicy::Through;
        let places = changes.iter().map(|change| change.place.clone()).collect();
        let announced = Announced::new(inner, places, through).await?;
        let written = announced.during(write(writer, &changes)).await;
        let versions = match written {
            Ok(versions) => {
                inner.counting.writes(changes.len());
                versions
            }
            Err(cause) => {
                // It may have been written all the same.
                let nothing: Vec<_> = changes.iter().map(|_| None).collect();
                announced.settle(&nothing).await;
                return Err(inner.write_failed(cause));
            }
        };
        let records: Vec<_> = changes
            .iter()
            .zip(versions)
            .map(|(change, version)| {
                let (payload, life) = (change.payload.as_deref(), change.life);
                version.filter(|_| through).map(|version| Record { payload, version, life })
            })
            .collect();
        let copies = announced.settle(&records).await;
        Ok(copies.into_iter().map(|copy| Written { copy, reached: None }).collect())
    }
}

async fn write<K: ?Sized, V>(
    writer: &dyn DynWriter<K, V>,
    changes: &[Change<'_, K, V>],
) -> Result<Vec<Option<u64>>, BoxError> {
    // One by the single verb, whose statement may be another one.
    if let [change] = changes {
        let write = Write { key: change.key, value: change.value, sequence: None };
        return Ok(vec![writer.write(write).await?]);
    }
    let writes: Vec<_> = changes
        .iter()
        .map(|change| Write { key: change.key, value: change.value, sequence: None })
        .collect();
    writer.write_many(&writes).await
}

impl crate::cache::Inner {
    /// The writer's error as its caller gets it.
    pub(super) fn write_failed(&self, cause: BoxError) -> Error {
        self.counting.write_errors(1);
        let message = format_args!("cache {}: the writer failed", self.name);
        Error::caused_by(ErrorKind::Write, Advice::GiveUp, message, cause)
    }
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned, C: Codec> Cache<K, V, C> {
    /// Deletes the record by the policy of the cache; what stands in the cache afterwards, if anything, is that there is
    /// no such thing. Without a writer it drops the cached copy, as [`invalidate`](Self::invalidate) does.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// users.remove(&42).await?;
    /// assert_eq!(users.get(&42).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`put`](Self::put).
    #[tracing::instrument(name = "cache.remove", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn remove(&self, key: &K) -> Result<Written> {
        let change = self.change(key, None, None)?;
        one(self.apply(vec![change]).await?)
    }
}

pub(super) fn one(written: Vec<Written>) -> Result<Written> {
    written.into_iter().next().ok_or_else(|| Error::internal("a write without an outcome"))
}
