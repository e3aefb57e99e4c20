//! Many keys at a time.

use std::{borrow::Borrow, collections::HashMap, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{Written, change::Change};
use crate::{
    cache::{Cache, key::CacheKey, read_many::MAX_BATCH, scripts::Place},
    codec::Codec,
    error::{Error, Result},
};

/// One value of a [`put_many`](Cache::put_many); a pair `(&key, &value)` is one too.
#[must_use = "it is stored by put_many"]
pub struct PutItem<'a, K: ?Sized, V> {
    key: &'a K,
    value: &'a V,
    ttl: Option<Duration>,
}

impl<'a, K: ?Sized, V> PutItem<'a, K, V> {
    /// A value and its key.
    pub fn new(key: &'a K, value: &'a V) -> Self {
        Self { key, value, ttl: None }
    }

    /// A time to live for this entry alone, without jitter; at least a millisecond. Defaults to the cache's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<'a, K: ?Sized, V> From<(&'a K, &'a V)> for PutItem<'a, K, V> {
    fn from((key, value): (&'a K, &'a V)) -> Self {
        Self::new(key, value)
    }
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned, C: Codec> Cache<K, V, C> {
    /// Puts up to 1,000 values, by the policy of the cache: as many round trips as one [`put`](Self::put), at one node at
    /// least, and one [`write_many`](super::Writer::write_many) where there is a writer. Of a key that comes twice the
    /// last value counts.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use std::time::Duration;
    /// use russet::{Cache, PutItem};
    ///
    /// let pages: Cache<str, String> = Cache::builder(&russet, "pages").build()?;
    /// let (home, news) = ("<h1>Home</h1>".to_owned(), "<h1>News</h1>".to_owned());
    /// pages.put_many([("/home", &home), ("/about", &home)]).await?;
    /// pages.put_many([PutItem::new("/news", &news).ttl(Duration::from_secs(10))]).await?;
    /// assert_eq!(pages.get_many(&["/home", "/news"]).await?, [Some(home), Some(news)]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`put`](Self::put); `Invalid` for more than 1,000. The error is one for all: some may have been put.
    #[tracing::instrument(name = "cache.put_many", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn put_many<'a, I>(&self, items: I) -> Result<Vec<Written>>
    where
        K: 'a,
        V: 'a,
        I: IntoIterator,
        I::Item: Into<PutItem<'a, K, V>>,
    {
        let changes = items.into_iter().map(|item| {
            let PutItem { key, value, ttl } = item.into();
            self.change(key, Some(value), ttl)
        });
        self.apply_many(changes.collect::<Result<_>>()?).await
    }

    /// Removes up to 1,000 keys, as [`remove`](Self::remove) does one.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// users.remove_many(&[42, 43]).await?;
    /// assert_eq!(users.get(&42).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many).
    #[tracing::instrument(name = "cache.remove_many", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn remove_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<Vec<Written>> {
        let changes = keys.iter().map(|key| self.change(key.borrow(), None, None));
        self.apply_many(changes.collect::<Result<_>>()?).await
    }

    /// Drops the cached copies of up to 1,000 keys, as [`invalidate`](Self::invalidate) does one: one round trip for each
    /// node that is needed.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// users.invalidate_many(&[42, 43]).await?;
    /// assert_eq!(users.get(&42).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`invalidate`](Self::invalidate); `Invalid` for more than 1,000. After an error some may have been dropped;
    /// doing it again is always safe.
    #[tracing::instrument(name = "cache.invalidate_many", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn invalidate_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<()> {
        self.check_batch(keys.len())?;
        let places = keys.iter().map(|key| self.inner.place(&key.borrow().cache_key()));
        let places = places.collect::<Result<Vec<_>>>()?;
        self.inner.counting.invalidations(places.len());
        let calls: Vec<_> = places.iter().map(Place::invalidate).collect();
        let done = self.inner.russet.run_many::<i64>(&calls).await;
        // As in `invalidate`.
        for place in &places {
            self.inner.flights.forget(place.key());
            self.forget_near(place.key());
        }
        done.map(drop)
    }

    async fn apply_many(&self, changes: Vec<Change<'_, K, V>>) -> Result<Vec<Written>> {
        self.check_batch(changes.len())?;
        // A statement that writes many rows may have each row once.
        let mut last = HashMap::with_capacity(changes.len());
        let mut order = Vec::with_capacity(changes.len());
        let mut different: Vec<Change<'_, K, V>> = Vec::with_capacity(changes.len());
        for change in changes {
            let at = *last.entry(change.place.key().to_owned()).or_insert(different.len());
            order.push(at);
            match different.get_mut(at) {
                Some(earlier) => *earlier = change,
                None => different.push(change),
            }
        }
        if different.is_empty() {
            return Ok(Vec::new());
        }
        let written = self.apply(different).await?;
        Ok(order.into_iter().filter_map(|at| written.get(at).copied()).collect())
    }

    fn check_batch(&self, keys: usize) -> Result<()> {
        if keys <= MAX_BATCH {
            return Ok(());
        }
        let name = &self.inner.name;
        Err(Error::invalid(format_args!(
            "cache {name}: {keys} keys in one call, more than the {MAX_BATCH} allowed"
        )))
    }
}
