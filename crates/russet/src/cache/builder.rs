use std::{marker::PhantomData, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    Cache, Inner, PARTITIONS,
    flight::Flights,
    loader::{DynLoader, Loader},
    stats::Counting,
    ttl::Ttl,
};
use crate::{
    client::Russet,
    codec::{Codec, Json},
    error::{Error, Result},
    keys::Slot,
};

/// The settings of a [`Cache`]; made by [`Cache::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// # struct UserTable;
/// # impl russet::Loader<u64, String> for UserTable {
/// #     async fn load(&self, _: &u64) -> Result<Option<String>, russet::BoxError> { Ok(None) }
/// # }
/// use std::time::Duration;
/// use russet::Cache;
///
/// let users: Cache<u64, String> = Cache::builder(&russet, "users")
///     .ttl(Duration::from_secs(600))
///     .ttl_jitter(0.2)                      // 8 to 12 minutes
///     .null_ttl(Duration::from_secs(10))
///     .loader(UserTable)
///     .build()?;
/// # assert_eq!(users.get(&1).await?, None);
/// # Ok(()) }
/// ```
#[must_use]
pub struct CacheBuilder<K: ?Sized, V, C = Json> {
    russet: Russet,
    name: String,
    ttl: Duration,
    null_ttl: Duration,
    ttl_jitter: f64,
    fill_lease: Duration,
    max_value_bytes: usize,
    max_bypass: usize,
    loader: Option<Arc<dyn DynLoader<K, V>>>,
    codec: C,
}

impl<K: ?Sized, V> CacheBuilder<K, V, Json> {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self {
            russet: russet.clone(),
            name: name.to_owned(),
            ttl: Duration::from_secs(300),
            null_ttl: Duration::from_secs(30),
            ttl_jitter: 0.1,
            fill_lease: Duration::from_secs(5),
            max_value_bytes: 1024 * 1024,
            max_bypass: 64,
            loader: None,
            codec: Json,
        }
    }
}

impl<K: ?Sized, V, C: Codec> CacheBuilder<K, V, C> {
    /// How long a value lives; at least a millisecond. Defaults to 5 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long it is remembered that there is no such thing; at least a millisecond, at most the `ttl`.
    /// Short, since whoever creates the thing must [`invalidate`](Cache::invalidate) its key. Defaults to 30 seconds,
    /// or the `ttl` when that is shorter.
    pub fn null_ttl(mut self, ttl: Duration) -> Self {
        self.null_ttl = ttl;
        self
    }

    /// The part of its time to live by which an entry may end earlier or later, 0 to below 1, so that entries that
    /// were stored together do not end together. Defaults to 0.1.
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.ttl_jitter = part;
        self
    }

    /// How long others wait for a loader that died before one of them loads, 100 ms to 5 minutes. It bounds no
    /// load: the lease is renewed while the loader runs. Defaults to 5 seconds.
    pub fn fill_lease(mut self, time: Duration) -> Self {
        self.fill_lease = time;
        self
    }

    /// The largest encoded value in bytes, 1 to 512 MiB. A larger one is an error of `put`; a loaded one
    /// goes to its callers and is not cached. Defaults to 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// How many loads run at a time past the cache while Redis is away, at least 1. Defaults to 64.
    pub fn max_bypass(mut self, loads: usize) -> Self {
        self.max_bypass = loads;
        self
    }

    /// Reads what is missing from the system of record, for [`get`](Cache::get) and [`get_many`](Cache::get_many).
    /// Defaults to none: what is missing is `None`.
    pub fn loader(mut self, loader: impl Loader<K, V>) -> Self
    where
        K: Sync,
        V: Send + 'static,
    {
        self.loader = Some(Arc::new(loader));
        self
    }

    /// How values become bytes. Defaults to [`Json`].
    pub fn codec<D: Codec>(self, codec: D) -> CacheBuilder<K, V, D> {
        CacheBuilder {
            russet: self.russet,
            name: self.name,
            ttl: self.ttl,
            null_ttl: self.null_ttl,
            ttl_jitter: self.ttl_jitter,
            fill_lease: self.fill_lease,
            max_value_bytes: self.max_value_bytes,
            max_bypass: self.max_bypass,
            loader: self.loader,
            codec,
        }
    }

    /// The cache.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty or over 256 bytes and for a setting out of range, naming it.
    pub fn build(self) -> Result<Cache<K, V, C>> {
        let name = &self.name;
        let slots =
            (0..PARTITIONS).map(|at| Slot::partition(self.russet.names(), "cache", name, at));
        let slots = slots.collect::<Result<_>>()?;
        self.check()?;
        let ttl = |base| Ttl { base, jitter: self.ttl_jitter };
        let inner = Inner {
            slots,
            ttl: ttl(self.ttl),
            null_ttl: ttl(self.null_ttl.min(self.ttl)),
            fill_lease: self.fill_lease,
            max_value_bytes: self.max_value_bytes,
            bypass_permits: Semaphore::new(self.max_bypass),
            flights: Arc::<Flights>::default(),
            counting: Counting::new(name),
            russet: self.russet,
            name: self.name,
        };
        Ok(Cache {
            inner: Arc::new(inner),
            loader: self.loader,
            codec: self.codec,
            types: PhantomData,
        })
    }

    fn check(&self) -> Result<()> {
        let refuse =
            |what: String| Err(Error::invalid(format_args!("cache {}: {what}", self.name)));
        let shortest = Duration::from_millis(1);
        let (ttl, null_ttl, lease) = (self.ttl, self.null_ttl, self.fill_lease);
        if ttl < shortest || null_ttl < shortest {
            return refuse(format!(
                "ttl {ttl:?} and null_ttl {null_ttl:?} must be a millisecond or more"
            ));
        }
        if !(0.0..1.0).contains(&self.ttl_jitter) {
            return refuse(format!("ttl_jitter {} must be 0 to below 1", self.ttl_jitter));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(300)).contains(&lease) {
            return refuse(format!("fill_lease {lease:?} must be 100 ms to 5 minutes"));
        }
        if !(1..=512 * 1024 * 1024).contains(&self.max_value_bytes) {
            return refuse(format!(
                "max_value_bytes {} must be 1 to 512 MiB",
                self.max_value_bytes
            ));
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.max_bypass) {
            return refuse(format!("max_bypass {} must be 1 or more", self.max_bypass));
        }
        Ok(())
    }
}
