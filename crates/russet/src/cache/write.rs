use std::{future::IntoFuture, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use tracing::Instrument as _;

use super::{Cache, key::CacheKey, scripts};
use crate::{
    codec::Codec,
    error::{Error, Result},
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
    pub(super) fn new(cache: &'a Cache<K, V, C>, key: &'a K, value: &'a V) -> Self {
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
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'a, Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let inner = &self.cache.inner;
            let place = inner.place(&self.key.cache_key())?;
            if self.ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
                return Err(Error::invalid(format_args!(
                    "cache {}: a ttl below a millisecond",
                    inner.name
                )));
            }
            let payload = self.cache.codec.encode(self.value).map_err(|cause| {
                Error::codec(format_args!("cache {}: a value cannot be encoded", inner.name), cause)
            })?;
            if payload.len() > inner.max_value_bytes {
                return Err(Error::invalid(format_args!(
                    "cache {}: a value of {} bytes, more than the {} allowed",
                    inner.name,
                    payload.len(),
                    inner.max_value_bytes
                )));
            }
            inner.make_known(place.key()).await?;
            inner.counting.puts(1);
            let done =
                scripts::put(&inner.russet, &place, &payload, inner.life(true, self.ttl)).await;
            self.cache.forget_near(place.key());
            done
        }
        .instrument(tracing::debug_span!("cache.put", cache = self.cache.inner.name))
        .boxed()
    }
}
