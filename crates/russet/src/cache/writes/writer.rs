use std::{marker::PhantomData, sync::Arc};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use crate::{cache::key::CacheKey, error::BoxError};

/// Writes to the system of record what goes through the cache.
///
/// A write must be an upsert: it can be made again after a lost answer, and with
/// [`WritePolicy::Behind`](super::WritePolicy::Behind) it is made at least once.
///
/// ```
/// use russet::{BoxError, Write, Writer};
///
/// struct UserTable;
///
/// impl Writer<u64, String> for UserTable {
///     async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
///         match write.value {
///             Some(_name) => {} // INSERT … ON CONFLICT (id) DO UPDATE …
///             None => {}        // DELETE …
///         }
///         Ok(None) // or the version of the row, as RETURNING tells it
///     }
/// }
/// ```
pub trait Writer<K: ?Sized + Sync, V: Sync>: Send + Sync + 'static {
    /// Writes one record, or deletes it, and answers the record's version if it has one: a number that grows with each
    /// change of the record, also when it is deleted and made again.
    ///
    /// # Errors
    /// Whatever the system of record reports.
    fn write(
        &self,
        write: Write<'_, K, V>,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send;

    /// Writes many records, each key once, and answers their versions in the same order, or an empty list. Writes them
    /// one after the other unless implemented.
    ///
    /// # Errors
    /// As [`write`](Self::write); an error is every write's, whatever was written.
    fn write_many(
        &self,
        writes: &[Write<'_, K, V>],
    ) -> impl Future<Output = Result<Vec<Option<u64>>, BoxError>> + Send {
        async move {
            let mut versions = Vec::with_capacity(writes.len());
            for write in writes {
                versions.push(self.write(*write).await?);
            }
            Ok(versions)
        }
    }
}

/// One write to the system of record.
#[derive(Debug)]
#[non_exhaustive]
pub struct Write<'a, K: ?Sized, V> {
    /// Whose record it is.
    pub key: &'a K,
    /// The new value; `None` to delete the record.
    pub value: Option<&'a V>,
    /// The order number of a queued write, which grows for each key. A process that was taken for dead may come back and
    /// write late, so let the store compare it: `… ON CONFLICT (id) DO UPDATE SET … WHERE excluded.seq > users.seq`, and
    /// leave a row that says "deleted, seq" for a while instead of deleting it. At most 2⁵³. `None` unless
    /// [`WritePolicy::Behind`](super::WritePolicy::Behind).
    pub sequence: Option<u64>,
}

impl<K: ?Sized, V> Clone for Write<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V> Copy for Write<'_, K, V> {}

/// How bytes become a value.
pub(in crate::cache) type Decode<V> = Arc<dyn Fn(&[u8]) -> Result<V, BoxError> + Send + Sync>;

/// A writer whose type is forgotten, so that it is no part of the cache's.
pub(in crate::cache) trait DynWriter<K: ?Sized, V>: Send + Sync {
    fn write<'a>(&'a self, write: Write<'a, K, V>) -> BoxFuture<'a, Result<Option<u64>, BoxError>>;

    fn write_many<'a>(
        &'a self,
        writes: &'a [Write<'a, K, V>],
    ) -> BoxFuture<'a, Result<Vec<Option<u64>>, BoxError>>;

    /// The same for queued writes, with all types forgotten.
    fn flow(self: Arc<Self>, decode: Decode<V>) -> Arc<dyn Flow>;
}

impl<K, V, W> DynWriter<K, V> for W
where
    K: CacheKey + ?Sized + Send + Sync + 'static,
    V: Send + Sync + 'static,
    W: Writer<K, V>,
{
    fn write<'a>(&'a self, write: Write<'a, K, V>) -> BoxFuture<'a, Result<Option<u64>, BoxError>> {
        Writer::write(self, write).boxed()
    }

    fn write_many<'a>(
        &'a self,
        writes: &'a [Write<'a, K, V>],
    ) -> BoxFuture<'a, Result<Vec<Option<u64>>, BoxError>> {
        async move {
            let mut versions = Writer::write_many(self, writes).await?;
            if versions.is_empty() {
                versions = vec![None; writes.len()];
            }
            if versions.len() != writes.len() {
                let (asked, told) = (writes.len(), versions.len());
                return Err(
                    format!("write_many had {asked} writes and told {told} versions").into()
                );
            }
            Ok(versions)
        }
        .boxed()
    }

    fn flow(self: Arc<Self>, decode: Decode<V>) -> Arc<dyn Flow> {
        Arc::new(Typed { writer: self, decode, key: PhantomData::<fn(&K)> })
    }
}

/// A write as it is queued.
#[derive(Clone, Debug)]
pub(in crate::cache) struct Encoded {
    pub(in crate::cache) key: String,
    pub(in crate::cache) payload: Option<Bytes>,
    pub(in crate::cache) sequence: u64,
}

/// Where queued writes go.
pub(in crate::cache) trait Flow: Send + Sync {
    /// Whether the key that this text stands for can be told from it.
    fn reads_back(&self, key: &str) -> bool;

    /// Writes one record, or several at once.
    fn write<'a>(&'a self, writes: &'a [&'a Encoded]) -> BoxFuture<'a, Result<(), BoxError>>;
}

struct Typed<K: ?Sized, V, W> {
    writer: Arc<W>,
    decode: Decode<V>,
    key: PhantomData<fn(&K)>,
}

impl<K, V, W> Flow for Typed<K, V, W>
where
    K: CacheKey + ?Sized + Send + Sync + 'static,
    V: Send + Sync + 'static,
    W: Writer<K, V>,
{
    fn reads_back(&self, key: &str) -> bool {
        K::from_cache_key(key).is_some_and(|read| read.cache_key() == key)
    }

    fn write<'a>(&'a self, writes: &'a [&'a Encoded]) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            let mut records = Vec::with_capacity(writes.len());
            for write in writes {
                let key = K::from_cache_key(&write.key).ok_or("its key cannot be read back")?;
                let value = match &write.payload {
                    Some(payload) => Some((self.decode)(payload)?),
                    None => None,
                };
                records.push((key, value, write.sequence));
            }
            let records: Vec<_> = records
                .iter()
                .map(|(key, value, sequence)| Write {
                    key: &**key,
                    value: value.as_ref(),
                    sequence: Some(*sequence),
                })
                .collect();
            match records.as_slice() {
                [one] => self.writer.write(*one).await.map(drop),
                many => self.writer.write_many(many).await.map(drop),
            }
        }
        .boxed()
    }
}
