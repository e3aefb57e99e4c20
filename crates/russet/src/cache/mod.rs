mod behind;
mod builder;
mod entry;
mod fill;
mod flight;
mod freshness;
mod known;
mod lease;
mod loader;
mod near;
mod nulls;
mod read;
mod read_many;
mod refresh;
mod scripts;
mod sharded;
mod stats;
mod ttl;
mod writes;

use std::{borrow::Borrow, fmt, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

pub use behind::{DeadWrite, Flushed};
pub use builder::CacheBuilder;
pub use loader::Loader;
pub use sharded::{
    DeadNode, NodeAnswer, NodeStatus, PutSharded, ShardedCache, ShardedCacheBuilder,
};
pub use stats::CacheStats;
pub use writes::{Backlog, CachedCopy, Put, PutItem, Write, WritePolicy, Writer, Written};

use crate::{
    cache_key::{self as key, CacheKey},
    client::Russet,
    codec::{Codec, Json},
    error::{BoxError, Result},
    keys::Slot,
    names::check_length,
};
use behind::Behind;
use entry::Stored;
use flight::Flights;
use freshness::Freshness;
use known::Guard;
use loader::DynLoader;
use near::Copies;
use read::Nulls;
use refresh::{LoadApart, Refreshes};
use scripts::Place;
use stats::Counting;
use ttl::Ttl;
use writes::{Debts, DynWriter};

/// A cache in front of a system of record: every miss is loaded once in the whole fleet.
///
/// A hit is one `GET`. On a miss one caller of all processes gets the *fill lease* and loads; the others wait, and
/// are woken with the value. What it loaded is stored only while its lease is current, and
/// [`put`](Self::put) and [`invalidate`](Self::invalidate) revoke it: a slow load can never bring back a value
/// that is older than the last invalidation. A loader that fails, panics or is cancelled frees the others at once;
/// one whose process is killed frees them when the lease ends.
///
/// While Redis is away the loader is asked directly, for a bounded number of callers at a time.
///
/// Every key that a cache makes in Redis ends by itself. A process that dies leaves a lease at most, and the old copy of
/// a record that it had changed and not yet invalidated, until its TTL.
///
/// `K` is any [`CacheKey`] (`Cache<str, Page>` takes `&str`), `V` any serde type, `C` how values become bytes.
/// A cheap clone. Processes that share a cache must share its name, value type and codec.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let url = server.url();
/// use std::time::Duration;
/// use russet::{Cache, Russet};
///
/// let russet = Russet::connect(&url).await?;
/// let names = Cache::builder(&russet, "names").ttl(Duration::from_secs(600)).build()?;
///
/// // The closure runs on a miss, once for all who ask at the same time.
/// let name: String = names.get_with(&42, async || Ok::<_, std::io::Error>("Ada".to_owned())).await?;
///
/// // After the record has changed:
/// names.invalidate(&42).await?;
/// # assert_eq!(name, "Ada");
/// # Ok(()) }
/// ```
pub struct Cache<K: ?Sized, V, C = Json> {
    inner: Arc<Inner>,
    loader: Option<Arc<dyn DynLoader<K, V>>>,
    writer: Option<Arc<dyn DynWriter<K, V>>>,
    behind: Option<Arc<Behind>>,
    load_apart: Option<LoadApart<K, V>>,
    near: Option<Arc<dyn Copies<V>>>,
    codec: C,
    types: PhantomData<fn(&K) -> V>,
}

/// What a look-up brought, and where from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<V> {
    /// The value; `None` when the system of record has no such thing.
    pub value: Option<V>,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It was in this process; see [`near_entries`](CacheBuilder::near_entries).
    Near,
    /// It stood in Redis.
    Hit,
    /// It stood in Redis and was past its end; see [`stale_while_revalidate`](CacheBuilder::stale_while_revalidate) and
    /// [`stale_if_error`](CacheBuilder::stale_if_error).
    Stale,
    /// It was loaded, by this caller or by the one it waited for.
    Miss,
    /// It was loaded past the cache, because Redis is away.
    Bypass,
}

/// Over how many slots the entries of a cache are spread. Part of the layout: it never changes.
const PARTITIONS: u32 = 256;

/// The longest text of a key, in bytes.
const MAX_KEY: usize = 1024;

struct Inner {
    russet: Russet,
    name: String,
    slots: Arc<[Slot]>,
    /// The channel on which changes are told.
    changes: Arc<str>,
    ttl: Ttl,
    null_ttl: Ttl,
    freshness: Freshness,
    /// Whether values say until when they are fresh.
    says_until_when: bool,
    fill_lease: Duration,
    load_timeout: Option<Duration>,
    soft_timeout: Option<Duration>,
    max_value_bytes: usize,
    bypass_permits: Semaphore,
    flights: Arc<Flights>,
    refreshes: Refreshes,
    guard: Guard,
    counting: Arc<Counting>,
    write_policy: WritePolicy,
    strict: bool,
    debts: Debts,
}

/// A value as it is stored, on its way to a caller.
#[derive(Clone)]
struct Loaded {
    payload: Option<Bytes>,
    source: Source,
    /// By the server's clock, in milliseconds.
    fresh_until: Option<i64>,
    /// It is to be loaded anew behind the caller.
    is_due: bool,
}

impl Loaded {
    fn fresh(stored: Stored, source: Source) -> Self {
        let Stored { payload, fresh_until } = stored;
        Self { payload, source, fresh_until, is_due: false }
    }
}

impl<K: ?Sized, V> Cache<K, V, Json> {
    /// A cache of this name, 1 to 256 bytes, with JSON values unless another codec is set.
    pub fn builder(russet: &Russet, name: &str) -> CacheBuilder<K, V, Json> {
        CacheBuilder::new(russet, name)
    }
}

impl<K: CacheKey + ?Sized, V: Serialize + DeserializeOwned + 'static, C: Codec> Cache<K, V, C> {
    /// The value of a key: from Redis, or else from the `loader`; without one a miss is `None`.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Cache, Loader};
    /// # struct UserTable;
    /// # impl Loader<u64, String> for UserTable {
    /// #     async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
    /// #         Ok((*id < 100).then(|| format!("User {id}")))
    /// #     }
    /// # }
    /// let users = Cache::builder(&russet, "users").loader(UserTable).build()?;
    /// assert_eq!(users.get(&42).await?.as_deref(), Some("User 42"));
    /// assert_eq!(users.get(&404).await?, None); // asked for once, then remembered for the `null_ttl`
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Load` when the loader failed, `Invalid` for a key that is empty or over 1 KiB, `Codec` when there is no loader and
    /// what is stored is of another type. Redis being away is none: the loader is asked, or the answer is `None`.
    pub async fn get(&self, key: &K) -> Result<Option<V>> {
        Ok(self.get_with_source(key).await?.and_then(|found| found.value))
    }

    /// As [`get`](Self::get), and where the value came from; `None` for a miss without a loader.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Cache, Loader};
    /// # struct UserTable;
    /// # impl Loader<u64, String> for UserTable {
    /// #     async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
    /// #         Ok((*id < 100).then(|| format!("User {id}")))
    /// #     }
    /// # }
    /// use russet::Source;
    ///
    /// let users = Cache::builder(&russet, "users").loader(UserTable).build()?;
    /// let first = users.get_with_source(&42).await?.expect("there is a loader");
    /// let second = users.get_with_source(&42).await?.expect("there is a loader");
    /// assert_eq!((first.source, second.source), (Source::Miss, Source::Hit));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_with_source(&self, key: &K) -> Result<Option<Found<V>>> {
        match &self.loader {
            Some(loader) => {
                self.find_with_source(key, async || loader.load(key).await).await.map(Some)
            }
            None => self.peek(key).await,
        }
    }

    /// The value of a key: from Redis, or else from the closure. Wraps any async function.
    ///
    /// The closure runs in the caller's task, and only when no other caller in the fleet is loading the key. For
    /// something that may not exist use [`find_with`](Self::find_with).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use std::error::Error as _;
    /// use russet::{Cache, ErrorKind};
    ///
    /// let users: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    /// let failed = users.get_with(&42, async || Err(std::io::Error::other("no such table"))).await;
    /// let error = failed.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Load);
    /// assert!(error.source().is_some_and(|cause| cause.is::<std::io::Error>()));
    ///
    /// let name = users.get_with(&42, async || std::io::Result::Ok("Ada".to_owned())).await?;
    /// assert_eq!(name, "Ada");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Load` when the closure failed, here or in the caller of this process that loaded for both; `Invalid` for a
    /// key that is empty or over 1 KiB. Redis being away is none.
    pub async fn get_with<F, E>(&self, key: &K, load: F) -> Result<V>
    where
        F: AsyncFnOnce() -> Result<V, E>,
        E: Into<BoxError>,
    {
        let found = self.look_up(key, Nulls::Dropped, async || load().await.map(Some)).await?;
        self.present(found)
    }

    /// As [`get_with`](Self::get_with), for something that may not exist: `None` is cached too, for the `null_ttl`.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// # struct Db;
    /// # impl Db { async fn find_user(&self, _: u64) -> std::io::Result<Option<String>> { Ok(None) } }
    /// # let db = Db;
    /// assert_eq!(users.find_with(&404, async || db.find_user(404).await).await?, None);
    /// assert_eq!(users.find_with(&404, async || db.find_user(404).await).await?, None);
    /// assert_eq!(users.stats().loads, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`get_with`](Self::get_with).
    pub async fn find_with<F, E>(&self, key: &K, load: F) -> Result<Option<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        Ok(self.find_with_source(key, load).await?.value)
    }

    /// As [`find_with`](Self::find_with), and where the value came from.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// use russet::Source;
    ///
    /// let found = users.find_with_source(&42, async || std::io::Result::Ok(Some("Ada".into()))).await?;
    /// assert_eq!((found.value.as_deref(), found.source), (Some("Ada"), Source::Miss));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`get_with`](Self::get_with).
    pub async fn find_with_source<F, E>(&self, key: &K, load: F) -> Result<Found<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        self.look_up(key, Nulls::Accepted, load).await
    }

    /// The values of up to 1,000 keys, in their order: one round trip for what is cached, and one
    /// [`load_many`](Loader::load_many) for what is not.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{BoxError, Cache, Loader};
    /// # struct UserTable;
    /// # impl Loader<u64, String> for UserTable {
    /// #     async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
    /// #         Ok((*id < 100).then(|| format!("User {id}")))
    /// #     }
    /// # }
    /// let users = Cache::builder(&russet, "users").loader(UserTable).build()?;
    /// let names = users.get_many(&[7, 404, 8]).await?;
    /// assert_eq!(names, [Some("User 7".to_owned()), None, Some("User 8".to_owned())]);
    /// # Ok(()) }
    /// ```
    ///
    /// Keys that others are loading are waited for, as [`get`](Self::get) does. A key may come twice.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Invalid` for more than 1,000 keys, `Load` also when `load_many` answers another number of
    /// values than it was asked for. One failed load fails the call.
    pub async fn get_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<Vec<Option<V>>>
    where
        V: Send,
    {
        self.look_up_many(keys).await
    }

    /// Puts a value: into the cache, and before that to the record if there is a [`writer`](CacheBuilder::writer), by the
    /// [policy](WritePolicy) of the cache. A look-up after this sees it, whatever the policy. A load that is under way can
    /// no longer store its own; who waits for it gets this, or loads again.
    ///
    /// Without a writer it is one round trip, and for a value that only you produce: of two processes that change one
    /// record, the later `put` stays, which need not be the later change. There, give the cache a writer, or
    /// [`invalidate`](Self::invalidate).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let pages: russet::Cache<str, String> = russet::Cache::builder(&russet, "pages").build()?;
    /// pages.put("/home", &"<h1>Home</h1>".to_owned()).await?;
    /// pages.put("/news", &"<h1>News</h1>".to_owned()).ttl(std::time::Duration::from_secs(10)).await?;
    /// assert_eq!(pages.get("/home").await?.as_deref(), Some("<h1>Home</h1>"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1 KiB and for a value over the limit. Without a writer and with
    /// [`WritePolicy::Behind`]: `Unknown` when the answer was lost, `Unreachable` or `Refused` when Redis is away or full, or
    /// the backlog is. With another writer: `Write` when it failed, after which the record may have changed all the same;
    /// Redis being away is none unless the cache is [`strict`](CacheBuilder::strict), see [`CachedCopy::Late`].
    pub fn put<'a>(&'a self, key: &'a K, value: &'a V) -> Put<'a, K, V, C> {
        Put::new(self, key, value)
    }

    /// Drops the cached copy: one round trip. A load that is under way can no longer store what it read.
    ///
    /// Call it after the record has changed. When it fails, or the process dies before it, the old copy lives until
    /// its TTL; calling it again is always safe.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// # users.put(&42, &"Ada".to_owned()).await?;
    /// // UPDATE users SET name = 'Ada Lovelace' WHERE id = 42; and only then:
    /// users.invalidate(&42).await?;
    /// assert_eq!(users.get(&42).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1 KiB, `Unreachable` or `Unknown` when Redis is away.
    #[tracing::instrument(name = "cache.invalidate", level = "debug", skip_all, fields(cache = self.inner.name))]
    pub async fn invalidate(&self, key: &K) -> Result<()> {
        let place = self.inner.place(&key.cache_key())?;
        self.inner.counting.invalidations(1);
        let done = scripts::invalidate(&self.inner.russet, &place).await;
        // Also when the answer was lost: the record has changed, and who asks from now on must not share a load
        // that may have read it before.
        self.inner.flights.forget(place.key());
        self.forget_near(place.key());
        done
    }

    /// What this handle and its clones have done since it was built. The same numbers are metrics:
    /// `russet_cache_hits_total{cache}`, and so on for each field.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let users: russet::Cache<u64, String> = russet::Cache::builder(&russet, "users").build()?;
    /// users.put(&42, &"Ada".to_owned()).await?;
    /// users.get(&42).await?;
    /// users.get(&43).await?;
    /// let stats = users.stats();
    /// assert_eq!((stats.hits, stats.misses), (1, 1));
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> CacheStats {
        self.inner.counting.read()
    }
}

impl Inner {
    fn place(&self, key: &str) -> Result<Place> {
        check_length("cache key", key, MAX_KEY)?;
        let slot = self.slots[partition_of(key) as usize].clone();
        let place = Place::new(slot, key.to_owned(), self.changes.clone());
        Ok(place.behind(self.write_policy == WritePolicy::Behind))
    }
}

impl<K: ?Sized, V, C> Cache<K, V, C> {
    /// After a change by this process, whatever came of it.
    fn forget_near(&self, key: &str) {
        if let Some(near) = &self.near {
            near.forget(key);
        }
    }
}

/// Part of the layout, as the number of partitions is: a fixed hash of the key's bytes.
fn partition_of(key: &str) -> u32 {
    (xxhash_rust::xxh3::xxh3_64(key.as_bytes()) % u64::from(PARTITIONS)) as u32
}

impl<K: ?Sized, V, C: Clone> Clone for Cache<K, V, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            loader: self.loader.clone(),
            load_apart: self.load_apart,
            near: self.near.clone(),
            writer: self.writer.clone(),
            behind: self.behind.clone(),
            codec: self.codec.clone(),
            types: PhantomData,
        }
    }
}

impl<K: ?Sized, V, C> fmt::Debug for Cache<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
