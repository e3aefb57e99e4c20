use std::{future::IntoFuture, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};

use super::{NodeAnswer, ShardedCache};
use crate::{cache_key::CacheKey, codec::Codec, error::Result};

/// A value on its way into a sharded cache; made by [`ShardedCache::put`], sent by `.await`.
#[must_use = "nothing is stored before it is awaited"]
pub struct PutSharded<'a, K: ?Sized, V, C> {
    cache: &'a ShardedCache<K, V, C>,
    key: &'a K,
    value: &'a V,
    ttl: Option<Duration>,
}

impl<'a, K: ?Sized, V, C> PutSharded<'a, K, V, C> {
    pub(super) fn new(cache: &'a ShardedCache<K, V, C>, key: &'a K, value: &'a V) -> Self {
        Self { cache, key, value, ttl: None }
    }

    /// A time to live for this entry alone, without jitter; at least a millisecond. Defaults to the cache's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<'a, K, V, C> IntoFuture for PutSharded<'a, K, V, C>
where
    K: CacheKey + ?Sized,
    V: Serialize + DeserializeOwned + Sync + 'static,
    C: Codec,
{
    type Output = Result<NodeAnswer>;
    type IntoFuture = BoxFuture<'a, Result<NodeAnswer>>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let answers = self.cache.store(&[(self.key, self.value)], self.ttl).await?;
            Ok(answers.first().copied().unwrap_or(NodeAnswer::Away))
        }
        .boxed()
    }
}
