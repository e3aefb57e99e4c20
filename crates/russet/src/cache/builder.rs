use std::{marker::PhantomData, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{
    Cache, Inner, PARTITIONS, WritePolicy,
    behind::{Behind, Places},
    flight::Flights,
    freshness::Freshness,
    known::Guard,
    loader::{DynLoader, Loader},
    near::{Bounds, Copies, Near},
    refresh::{LoadApart, Refreshes, load_apart},
    stats::Counting,
    ttl::Ttl,
    writes::{Debts, DynWriter, WriteSettings},
};
use crate::{
    client::Russet,
    codec::{Codec, Json},
    error::{Error, Result},
    keys::{self, Slot},
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
    refresh_ahead: f64,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
    load_timeout: Option<Duration>,
    soft_timeout: Option<Duration>,
    near_bounds: Bounds,
    pub(super) guard: Guard,
    near: Option<StartNear<V>>,
    loader: Option<Arc<dyn DynLoader<K, V>>>,
    pub(super) writer: Option<Arc<dyn DynWriter<K, V>>>,
    pub(super) writes: WriteSettings,
    load_apart: Option<LoadApart<K, V>>,
    codec: C,
}

type StartNear<V> = fn(&Russet, &str, Bounds, Arc<Counting>) -> Arc<dyn Copies<V>>;

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
            refresh_ahead: 0.0,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            load_timeout: None,
            soft_timeout: None,
            near_bounds: Bounds {
                entries: 0,
                bytes: 64 * 1024 * 1024,
                max_age: Duration::from_secs(5),
            },
            near: None,
            guard: Guard::default(),
            loader: None,
            writer: None,
            writes: WriteSettings::default(),
            load_apart: None,
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

    /// Loads an entry anew when a caller reads it in the last part of its time to live, 0 to below 1: one caller in the
    /// fleet starts the load, and nobody waits for it. So what is asked for often never ends. With 0.2 and a `ttl` of ten
    /// minutes, an entry that is read in its last two minutes is loaded anew. Needs a [`loader`](Self::loader), since the
    /// load outlives its caller. Defaults to 0: an entry is loaded when it has ended.
    pub fn refresh_ahead(mut self, part: f64) -> Self
    where
        K: ToOwned + Sync + 'static,
        K::Owned: Send + Sync,
        V: Send + 'static,
    {
        self.refresh_ahead = part;
        self.load_apart = Some(load_apart);
        self
    }

    /// Serves an entry for so long after its end while it is loaded anew, by one process of the fleet. The callers do not
    /// wait, and [`get_with_source`](Cache::get_with_source) tells them. Needs a [`loader`](Self::loader). Invalidation
    /// is at once, as ever. Defaults to zero.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self
    where
        K: ToOwned + Sync + 'static,
        K::Owned: Send + Sync,
        V: Send + 'static,
    {
        self.stale_while_revalidate = time;
        self.load_apart = Some(load_apart);
        self
    }

    /// Serves an entry for so long after its end when it cannot be loaded: the loader failed, or took longer than the
    /// [`load_timeout`](Self::load_timeout). The load is tried again by the first caller a second later. Defaults to zero:
    /// the callers get the error.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = time;
        self
    }

    /// How long a load may take, at least a millisecond; then it is dropped, and its callers get an error of the kind
    /// `Load`, or the old value (see [`stale_if_error`](Self::stale_if_error)). Defaults to no bound.
    pub fn load_timeout(mut self, time: Duration) -> Self {
        self.load_timeout = Some(time);
        self
    }

    /// How long a caller waits for a load while there is an old value that [`stale_if_error`](Self::stale_if_error)
    /// allows; then it gets the old one, and the load goes on for the next. At least a millisecond, shorter than the
    /// `load_timeout`. Needs a [`loader`](Self::loader). Defaults to as long as the load takes.
    pub fn soft_timeout(mut self, time: Duration) -> Self
    where
        K: ToOwned + Sync + 'static,
        K::Owned: Send + Sync,
        V: Send + 'static,
    {
        self.soft_timeout = Some(time);
        self.load_apart = Some(load_apart);
        self
    }

    /// Keeps copies of up to so many entries in the process, at least 1: a hit there costs no round trip. Every change by
    /// a call of any process drops the copies in all of them, by a message on a connection for messages, which the cache
    /// opens; without it nothing is kept. Defaults to none.
    ///
    /// A copy may be older than the last change by the way of the message; the process that made the change never sees it.
    /// What is lost with a connection empties the copies. What a failover loses without a trace is bounded by the
    /// [`near_max_age`](Self::near_max_age).
    pub fn near_entries(mut self, entries: usize) -> Self
    where
        V: Clone + Send + Sync + 'static,
    {
        self.near_bounds.entries = entries;
        self.near = Some(Near::start);
        self
    }

    /// The most that the copies in the process take, by their encoded values and keys, at least 1 KiB. Defaults to 64 MiB.
    pub fn near_bytes(mut self, bytes: usize) -> Self {
        self.near_bounds.bytes = bytes;
        self
    }

    /// How long a copy in the process is used, at least a millisecond. Defaults to 5 seconds.
    pub fn near_max_age(mut self, time: Duration) -> Self {
        self.near_bounds.max_age = time;
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
            refresh_ahead: self.refresh_ahead,
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            load_timeout: self.load_timeout,
            soft_timeout: self.soft_timeout,
            near_bounds: self.near_bounds,
            near: self.near,
            guard: self.guard,
            loader: self.loader,
            writer: self.writer,
            writes: self.writes,
            load_apart: self.load_apart,
            codec,
        }
    }

    /// The cache.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty or over 256 bytes and for a setting out of range, naming it.
    pub fn build(self) -> Result<Cache<K, V, C>>
    where
        V: DeserializeOwned,
    {
        let name = &self.name;
        let slots =
            (0..PARTITIONS).map(|at| Slot::partition(self.russet.names(), "cache", name, at));
        let slots: Arc<[Slot]> = slots.collect::<Result<Vec<_>>>()?.into();
        self.check()?;
        self.writes.check(name, self.writer.is_some())?;
        let counting = Arc::new(Counting::new(name));
        let changes: Arc<str> = keys::cache::changes(self.russet.names(), name)?.into();
        let behind = match &self.writer {
            Some(writer) if self.writes.policy() == WritePolicy::Behind => {
                let codec = self.codec.clone();
                let flow = writer.clone().flow(Arc::new(move |bytes| codec.decode(bytes)));
                let (settings, counting) = (self.writes.behind(), counting.clone());
                let places = Places { slots: slots.clone(), changes: changes.clone() };
                let behind = Behind::start(&self.russet, name, places, settings, counting, flow)?;
                Some(Arc::new(behind))
            }
            _ => None,
        };
        let ttl = |base| Ttl { base, jitter: self.ttl_jitter };
        let freshness = Freshness {
            ahead: self.ttl.mul_f64(self.refresh_ahead),
            while_revalidating: self.stale_while_revalidate,
            if_error: self.stale_if_error,
        };
        let near = self
            .near
            .map(|start| start(&self.russet, &changes, self.near_bounds, counting.clone()));
        let longest = self.ttl.mul_f64(1.0 + self.ttl_jitter).saturating_add(freshness.grace());
        let inner = Inner {
            slots,
            changes,
            ttl: ttl(self.ttl),
            null_ttl: ttl(self.null_ttl.min(self.ttl)),
            freshness,
            says_until_when: freshness.is_wanted() || near.is_some(),
            load_timeout: self.load_timeout,
            soft_timeout: self.soft_timeout,
            fill_lease: self.fill_lease,
            max_value_bytes: self.max_value_bytes,
            bypass_permits: Semaphore::new(self.max_bypass),
            flights: Arc::<Flights>::default(),
            write_policy: self.writes.policy(),
            strict: self.writes.is_strict(),
            debts: Debts::new(&self.russet, name, longest),
            refreshes: Refreshes::default(),
            guard: self.guard,
            counting,
            russet: self.russet,
            name: self.name,
        };
        Ok(Cache {
            inner: Arc::new(inner),
            loader: self.loader,
            writer: self.writer,
            behind,
            load_apart: self.load_apart,
            near,
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
        self.check_freshness().and_then(|()| self.check_near()).or_else(refuse)
    }

    fn check_freshness(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.refresh_ahead) {
            return Err(format!("refresh_ahead {} must be 0 to below 1", self.refresh_ahead));
        }
        let behind = [
            ("refresh_ahead", self.refresh_ahead > 0.0),
            ("stale_while_revalidate", !self.stale_while_revalidate.is_zero()),
            ("soft_timeout", self.soft_timeout.is_some()),
        ];
        if let (None, Some((name, _))) = (&self.loader, behind.iter().find(|(_, is_set)| *is_set)) {
            return Err(format!("{name} needs a loader, since its loads outlive their callers"));
        }
        let shortest = Duration::from_millis(1);
        let timeouts = [("load_timeout", self.load_timeout), ("soft_timeout", self.soft_timeout)];
        for (name, time) in timeouts {
            if time.is_some_and(|time| time < shortest) {
                return Err(format!("{name} must be a millisecond or more"));
            }
        }
        if let Some(soft) = self.soft_timeout {
            if self.stale_if_error.is_zero() {
                return Err("soft_timeout needs stale_if_error, for a value to fall back on".into());
            }
            if self.load_timeout.is_some_and(|hard| soft >= hard) {
                return Err(format!("soft_timeout {soft:?} must be shorter than load_timeout"));
            }
        }
        Ok(())
    }

    fn check_near(&self) -> Result<(), String> {
        if self.near.is_none() {
            return Ok(());
        }
        let Bounds { entries, bytes, max_age } = self.near_bounds;
        if entries == 0 {
            return Err("near_entries must be 1 or more".into());
        }
        if bytes < 1024 {
            return Err(format!("near_bytes {bytes} must be 1 KiB or more"));
        }
        if max_age < Duration::from_millis(1) {
            return Err("near_max_age must be a millisecond or more".into());
        }
        Ok(())
    }
}
