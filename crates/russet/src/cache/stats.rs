use std::sync::atomic::{AtomicU64, Ordering};

/// What one handle of a cache and its clones have done, as numbers that only grow; see
/// [`Cache::stats`](super::Cache::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Keys found in this process, nulls included.
    pub near_hits: u64,
    /// Copies that this process dropped for want of room.
    pub near_evictions: u64,
    /// Keys found in Redis, nulls and stale ones included.
    pub hits: u64,
    /// Values that were served after their end.
    pub stale: u64,
    /// Entries that were loaded anew behind the callers.
    pub refreshes: u64,
    /// Keys that were not there, or could not be read because Redis was away.
    pub misses: u64,
    /// Loads that were run by this process; a [`load_many`](super::Loader::load_many) is one.
    pub loads: u64,
    /// Loads that failed.
    pub load_errors: u64,
    /// Callers that waited for a load of another caller, here or in another process.
    pub waits: u64,
    /// Keys that were loaded past the cache, because Redis was away.
    pub bypasses: u64,
    /// Values that were put, by callers.
    pub puts: u64,
    /// Keys whose copy callers dropped.
    pub invalidations: u64,
    /// Records that were written or removed through the writer, or by an `update_with`, while the caller waited.
    pub writes: u64,
    /// Such writes that failed.
    pub write_errors: u64,
    /// Writes that were queued.
    pub queued: u64,
    /// Queued writes that this process brought to the store.
    pub flushed: u64,
    /// Batches and single queued writes that the store did not take from this process.
    pub flush_errors: u64,
    /// Queued writes that this process gave up.
    pub dead: u64,
    /// Loaded values that were not stored: the lease was revoked or lost, Redis went away, or they were too large.
    pub unstored: u64,
    /// Keys that the Bloom filter did not know: answered without a load.
    pub filtered: u64,
    /// Absences that were not stored, being more than [`max_nulls_per_second`](super::CacheBuilder::max_nulls_per_second).
    pub nulls_unstored: u64,
}

/// The same, counted while it happens; also told as metrics, by the names below.
pub(super) struct Counting {
    near_hits: Count,
    near_evictions: Count,
    hits: Count,
    stale: Count,
    refreshes: Count,
    misses: Count,
    loads: Count,
    load_errors: Count,
    waits: Count,
    bypasses: Count,
    puts: Count,
    invalidations: Count,
    writes: Count,
    write_errors: Count,
    queued: Count,
    flushed: Count,
    flush_errors: Count,
    dead: Count,
    unstored: Count,
    filtered: Count,
    nulls_unstored: Count,
}

/// One number, for [`CacheStats`] and for the metrics recorder that was installed when the cache was built.
pub(super) struct Count {
    total: AtomicU64,
    metric: metrics::Counter,
}

macro_rules! counting {
    ($($field:ident $metric:literal)*) => {
        impl Counting {
            pub(super) fn new(cache: &str) -> Self {
                Self {$(
                    $field: Count {
                        total: AtomicU64::new(0),
                        metric: metrics::counter!($metric, "cache" => cache.to_owned()),
                    },
                )*}
            }

            pub(super) fn read(&self) -> CacheStats {
                CacheStats { $($field: self.$field.total.load(Ordering::Relaxed),)* }
            }

            $(pub(super) fn $field(&self, n: usize) {
                self.$field.add(n as u64);
            })*
        }
    };
}
counting! {
    near_hits "russet_cache_near_hits_total"
    near_evictions "russet_cache_near_evictions_total"
    hits "russet_cache_hits_total"
    stale "russet_cache_stale_total"
    refreshes "russet_cache_refreshes_total"
    misses "russet_cache_misses_total"
    loads "russet_cache_loads_total"
    load_errors "russet_cache_load_errors_total"
    waits "russet_cache_waits_total"
    bypasses "russet_cache_bypasses_total"
    puts "russet_cache_puts_total"
    invalidations "russet_cache_invalidations_total"
    writes "russet_cache_writes_total"
    write_errors "russet_cache_write_errors_total"
    queued "russet_cache_queued_writes_total"
    flushed "russet_cache_flushed_writes_total"
    flush_errors "russet_cache_flush_errors_total"
    dead "russet_cache_dead_writes_total"
    unstored "russet_cache_unstored_total"
    filtered "russet_cache_filtered_total"
    nulls_unstored "russet_cache_nulls_unstored_total"
}

impl Count {
    fn add(&self, n: u64) {
        self.total.fetch_add(n, Ordering::Relaxed);
        self.metric.increment(n);
    }
}
