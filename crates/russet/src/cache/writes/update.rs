use serde::{Serialize, de::DeserializeOwned};

use super::{CachedCopy, announce::Announced};
use crate::{
    cache::{Cache, key::CacheKey},
    codec::Codec,
    error::{BoxError, Result},
};

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned, C: Codec> Cache<K, V, C> {
    /// Changes the record by the closure and drops the cached copy, in this order: the tutorials' cache-aside update.
    /// Answers what the closure did, and what has become of the copy.
    ///
    /// The copy is dropped too when the closure fails, since a write whose answer was lost may have been done, and when
    /// the caller is cancelled meanwhile. A process that dies between the two leaves the old copy until its TTL, unless the
    /// cache is [`strict`](crate::CacheBuilder::strict).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// # struct Db; impl Db { async fn rename(&self, _: u64, _: &str) -> std::io::Result<u64> { Ok(1) } } let db = Db;
    /// let (rows, _) = users.update_with(&42, async || db.rename(42, "Ada Lovelace").await).await?;
    /// assert_eq!(rows, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Write` when the closure failed, `Invalid` for a key that is empty or over 1 KiB, and for
    /// [`WritePolicy::Behind`](super::WritePolicy::Behind), whose queued writes could come later than the closure's. Of a
    /// strict cache also when Redis is away: nothing has been written then. Otherwise Redis being away is none; the copy
    /// is [`Late`](CachedCopy::Late).
    #[tracing::instrument(name = "cache.update", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn update_with<F, T, E>(&self, key: &K, write: F) -> Result<(T, CachedCopy)>
    where
        F: AsyncFnOnce() -> Result<T, E>,
        E: Into<BoxError>,
    {
        let inner = &self.inner;
        self.refuse_behind("update_with")?;
        let text = key.cache_key();
        let place = inner.place(&text)?;
        let announced = Announced::new(inner, vec![place], false).await?;
        let written = announced.during(write()).await;
        let copy = announced.settle(&[None]).await;
        self.forget_near(&text);
        match written {
            Ok(outcome) => {
                inner.counting.writes(1);
                Ok((outcome, copy.first().copied().unwrap_or(CachedCopy::Late)))
            }
            Err(cause) => Err(inner.write_failed(cause.into())),
        }
    }
}
