use serde::{Serialize, de::DeserializeOwned};

use super::{DeadWrite, scripts};
use crate::{
    cache::{Cache, key::CacheKey},
    codec::Codec,
    error::{Error, Result},
};

/// What a [`flush`](Cache::flush) left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// How many writes of the cache are dead: not in the store, and not tried again by themselves.
    pub dead: u64,
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned, C: Codec> Cache<K, V, C> {
    /// Waits until every write that was queued before this call, by any process, is in the store or dead. As long as the
    /// store is away it waits: the deadline is the caller's. Without [`WritePolicy::Behind`](crate::WritePolicy::Behind)
    /// there is nothing to wait for.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Cache, Write, WritePolicy, Writer};
    /// # struct UserTable;
    /// # impl Writer<u64, String> for UserTable {
    /// #     async fn write(&self, _: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> { Ok(None) }
    /// # }
    /// let users = Cache::builder(&russet, "users").writer(UserTable).write_policy(WritePolicy::Behind).build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// assert_eq!(users.flush().await?.dead, 0); // all that was put is in the store
    /// assert_eq!(users.backlog().await?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` after [`close`](Self::close), `Unreachable` or `Timeout` when Redis is away.
    #[tracing::instrument(name = "cache.flush", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn flush(&self) -> Result<Flushed> {
        let Some(behind) = &self.behind else { return Ok(Flushed { dead: 0 }) };
        behind.flush().await?;
        Ok(Flushed { dead: behind.queue.of_each::<u64>(scripts::count_dead).await?.iter().sum() })
    }

    /// For an orderly end: [`flush`](Self::flush), then this process's flusher stops. What is put after that waits for
    /// another process. Dropping the last clone of the cache stops the flusher too, without flushing.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); then the flusher goes on.
    pub async fn close(&self) -> Result<Flushed> {
        let flushed = self.flush().await?;
        if let Some(behind) = &self.behind {
            behind.close().await;
        }
        Ok(flushed)
    }

    /// How many keys have a queued write, whoever put it: one round trip.
    ///
    /// # Errors
    /// `Unreachable` or `Timeout` when Redis is away.
    pub async fn backlog(&self) -> Result<u64> {
        let Some(behind) = &self.behind else { return Ok(0) };
        Ok(behind.queue.of_each::<u64>(scripts::backlog).await?.iter().sum())
    }

    /// The writes that the store refused [too often](crate::CacheBuilder::write_attempts), up to so many. Look-ups still see their
    /// values; the store does not have them. A later `put` of the key, or [`redrive`](Self::redrive), tries again.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Cache, Write, WritePolicy, Writer};
    /// # struct UserTable;
    /// # impl Writer<u64, String> for UserTable {
    /// #     async fn write(&self, _: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> { Ok(None) }
    /// # }
    /// let users = Cache::builder(&russet, "users").writer(UserTable).write_policy(WritePolicy::Behind).build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// for dead in users.dead_writes(100).await? {
    ///     println!("{}: {} after {} attempts", dead.key, dead.error, dead.attempts);
    /// }
    /// assert_eq!(users.redrive_all().await?, 0);
    /// # users.close().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unreachable` or `Timeout` when Redis is away, `Codec` for a value of another form.
    pub async fn dead_writes(&self, most: usize) -> Result<Vec<DeadWrite<V>>> {
        let Some(behind) = &self.behind else { return Ok(Vec::new()) };
        let mut writes = Vec::new();
        for stored in behind.queue.list_dead(most).await? {
            writes.push(stored.decode(|payload| self.codec.decode(payload), &self.inner.name)?);
        }
        Ok(writes)
    }

    /// Tries a dead write again; answers whether there was one.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1 KiB, `Unreachable` or `Unknown` when Redis is away.
    pub async fn redrive(&self, key: &K) -> Result<bool> {
        match self.dead_place(key)? {
            Some((behind, place)) => behind.redrive(&place).await,
            None => Ok(false),
        }
    }

    /// Tries all dead writes again; answers how many there were.
    ///
    /// # Errors
    /// `Unreachable` or `Unknown` when Redis is away; some may have been brought back then.
    pub async fn redrive_all(&self) -> Result<usize> {
        match &self.behind {
            Some(behind) => behind.redrive_all().await,
            None => Ok(0),
        }
    }

    /// Forgets a dead write and drops its copy, so that look-ups load what the store has; answers whether there was one.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive).
    pub async fn discard(&self, key: &K) -> Result<bool> {
        match self.dead_place(key)? {
            Some((behind, place)) => {
                let discarded = behind.discard(&place).await;
                self.inner.flights.forget(place.key());
                self.forget_near(place.key());
                discarded
            }
            None => Ok(false),
        }
    }

    fn dead_place(
        &self,
        key: &K,
    ) -> Result<Option<(&super::Behind, crate::cache::scripts::Place)>> {
        let place = self.inner.place(&key.cache_key())?;
        Ok(self.behind.as_deref().map(|behind| (behind, place)))
    }

    /// Refuses what the queue would overtake.
    pub(in crate::cache) fn refuse_behind(&self, verb: &str) -> Result<()> {
        match &self.behind {
            None => Ok(()),
            Some(_) => Err(Error::invalid(format_args!(
                "cache {}: {verb} and write_policy Behind: put and remove keep the order",
                self.inner.name
            ))),
        }
    }
}
