use std::{future::IntoFuture, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use tracing::Instrument as _;

use super::{Written, change::one};
use crate::{
    cache::{Cache, key::CacheKey},
    codec::Codec,
    error::Result,
};

/// A value on its way into a cache; made by [`Cache::put`], sent by `.await`.
#[must_use = "nothing is stored before it is awaited"]
pub struct Put<'a, K: ?Sized, V, C> {
    cache: &'a Cache<K, V, C>,
    key: &'a K,
    value: &'a V,
    ttl: Option<Duration>,
}

impl<'a, K: ?Sized, V, C> Put<'a, K, V, C> {
    pub(in crate::cache) fn new(cache: &'a Cache<K, V, C>, key: &'a K, value: &'a V) -> Self {
        Self { cache, key, value, ttl: None }
    }

    /// A time to live for this entry alone, without jitter; at least a millisecond. Defaults to the cache's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<'a, K, V, C> IntoFuture for Put<'a, K, V, C>
where
    K: CacheKey + ?Sized,
    V: Serialize + Sync,
    C: Codec,
{
    type Output = Result<Written>;
    type IntoFuture = BoxFuture<'a, Result<Written>>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let change = self.cache.change(self.key, Some(self.value), self.ttl)?;
            one(self.cache.apply(vec![change]).await?)
        }
        .instrument(tracing::debug_span!("cache.put", cache = self.cache.inner.name))
        .boxed()
    }
}
