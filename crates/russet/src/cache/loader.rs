use futures_util::future::{BoxFuture, FutureExt};

use crate::error::BoxError;

/// Reads from the system of record what the cache does not have.
///
/// ```
/// use russet::{BoxError, Loader};
///
/// struct UserTable;
///
/// impl Loader<u64, String> for UserTable {
///     async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
///         Ok((*id < 100).then(|| format!("User {id}")))
///     }
/// }
/// ```
pub trait Loader<K: ?Sized + Sync, V>: Send + Sync + 'static {
    /// The value of a key; `None` when there is no such thing, which is cached too, for a shorter time.
    ///
    /// # Errors
    /// Whatever the system of record reports; it goes to the callers and is not cached.
    fn load(&self, key: &K) -> impl Future<Output = Result<Option<V>, BoxError>> + Send;

    /// The values of many keys, one for each, in their order. Loads them one after the other unless implemented.
    ///
    /// # Errors
    /// As [`load`](Self::load); an error is every key's.
    fn load_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Vec<Option<V>>, BoxError>> + Send
    where
        V: Send,
    {
        async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.load(key).await?);
            }
            Ok(values)
        }
    }
}

/// A loader whose type is forgotten, so that it is no part of the cache's.
pub(super) trait DynLoader<K: ?Sized, V>: Send + Sync {
    fn load<'a>(&'a self, key: &'a K) -> BoxFuture<'a, Result<Option<V>, BoxError>>;
    fn load_many<'a>(
        &'a self,
        keys: &'a [&'a K],
    ) -> BoxFuture<'a, Result<Vec<Option<V>>, BoxError>>;
}

impl<K: ?Sized + Sync, V: Send + 'static, L: Loader<K, V>> DynLoader<K, V> for L {
    fn load<'a>(&'a self, key: &'a K) -> BoxFuture<'a, Result<Option<V>, BoxError>> {
        Loader::load(self, key).boxed()
    }

    fn load_many<'a>(
        &'a self,
        keys: &'a [&'a K],
    ) -> BoxFuture<'a, Result<Vec<Option<V>>, BoxError>> {
        Loader::load_many(self, keys).boxed()
    }
}
