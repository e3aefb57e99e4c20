//! Whether a thing may exist, without asking the system of record.

mod ask;
mod builder;
mod config;
mod rebuild;
mod scripts;
mod shape;
mod source;
mod status;

use std::{fmt, sync::Arc, time::Duration};

pub use builder::BloomFilterBuilder;
pub use rebuild::{Rebuilder, Rebuilt};
pub use source::ItemSource;
pub use status::FilterStatus;

use crate::{
    cache_key::CacheKey,
    client::Russet,
    error::{Advice, Error, ErrorKind, Result},
};
use config::Known;
use scripts::Places;
use shape::Shape;

/// A set that says of a thing "certainly not" or "maybe", in a few bits for each: a million ids at 1 % take 1.2 MB.
///
/// Whoever asks for ids that do not exist reaches neither cache nor record store ([`CacheBuilder::bloom`](crate::CacheBuilder::bloom)).
/// The bits of an item are a fixed hash (xxh3-128) of its [`CacheKey`] text, the same in every process and version.
///
/// **It never hides what exists.** A filter that was never built, is half built, or has lost a shard by eviction, an operator's `DEL` or a server
/// without persistence says "maybe" to everything ([`Verdict::Unready`]) until it is rebuilt. For that you keep one order:
/// **insert first, then make the row visible** (commit), and no later than [`settle`](BloomFilterBuilder::settle) after it.
/// A write that was acknowledged and then lost in a failover is the one exception, and ends with the next rebuild.
///
/// **It is built from the record store**, at the start and again on a schedule, beside the live one, which goes on to
/// answer; [`rebuild_every`](Self::rebuild_every). So it finds rows that other programs wrote, and forgets
/// those that were deleted. A rebuild may change the size.
///
/// A cheap clone. `insert` and `might_contain`, one or many, are one round trip.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// # use std::time::Duration;
/// use russet::BloomFilter;
///
/// let known = BloomFilter::builder(&russet, "user_ids")
///     .expected_items(1_000_000)
///     .false_positive_rate(0.01)
/// #   .settle(Duration::ZERO)
///     .build()?;
/// assert!(known.might_contain(&1).await?); // nobody has built it: it hides nothing
///
/// known.rebuild_from([1, 2, 3]).await?;
/// assert!(known.might_contain(&1).await?);
/// assert!(!known.might_contain(&404).await?);
///
/// known.insert(&404).await?; // and only then: INSERT INTO users …
/// assert!(known.might_contain(&404).await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BloomFilter {
    inner: Arc<Inner>,
}

/// What a filter says of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was never inserted.
    Absent,
    /// It was inserted, or its bits happen to be those of others.
    Possible,
    /// The filter cannot say: it was never built, has lost this item's shard, or is of another version. Take it as
    /// [`Possible`](Self::Possible).
    Unready,
}

struct Inner {
    russet: Russet,
    name: String,
    /// For what is built from now on; a generation that is there has its own.
    shape: Shape,
    settle: Duration,
    places: Places,
    known: Known,
    metrics: Metrics,
}

struct Metrics {
    absent: metrics::Counter,
    possible: metrics::Counter,
    unready: metrics::Counter,
    inserts: metrics::Counter,
    rebuilds: metrics::Counter,
}

impl BloomFilter {
    /// A filter of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> BloomFilterBuilder {
        BloomFilterBuilder::new(russet, name)
    }

    /// Whether the item may have been inserted: one round trip. `false` is certain; `true` is wrong for about the
    /// `false_positive_rate` of those that were not, and the answer to everything while the filter is
    /// [not ready](Verdict::Unready).
    ///
    /// # Errors
    /// `Invalid` for an item that is empty or over 1 KiB; `Unreachable` or `Timeout` when Redis is away, which says
    /// nothing about the item.
    pub async fn might_contain<K: CacheKey + ?Sized>(&self, item: &K) -> Result<bool> {
        Ok(self.verdict(item).await?.is_possible())
    }

    /// As [`might_contain`](Self::might_contain), for up to 1,000 items in their order: one round trip, on a Cluster one
    /// for each node that is needed.
    ///
    /// # Errors
    /// As [`might_contain`](Self::might_contain); `Invalid` for more than 1,000.
    pub async fn might_contain_many<K: CacheKey>(&self, items: &[K]) -> Result<Vec<bool>> {
        Ok(self.verdicts(items).await?.into_iter().map(Verdict::is_possible).collect())
    }

    /// As [`might_contain`](Self::might_contain), and tells a filter that cannot say from one that knows the item.
    ///
    /// # Errors
    /// As [`might_contain`](Self::might_contain).
    pub async fn verdict<K: CacheKey + ?Sized>(&self, item: &K) -> Result<Verdict> {
        let verdicts = self.inner.verdicts(&[item.cache_key()]).await?;
        Ok(verdicts.first().copied().unwrap_or(Verdict::Unready))
    }

    /// As [`verdict`](Self::verdict), for up to 1,000 items in their order.
    ///
    /// # Errors
    /// As [`might_contain_many`](Self::might_contain_many).
    pub async fn verdicts<K: CacheKey>(&self, items: &[K]) -> Result<Vec<Verdict>> {
        let texts: Vec<_> = items.iter().map(CacheKey::cache_key).collect();
        self.inner.verdicts(&texts).await
    }

    /// Inserts an item, before its row becomes visible: one round trip. Answers whether the filter did not have it, which
    /// is certain for `true`, unless the answer of the first try was lost and it was sent again.
    ///
    /// While nothing was ever built there is nothing to insert into, and the first rebuild finds the row.
    ///
    /// # Errors
    /// `Invalid` for an item that is empty or over 1 KiB; `Unreachable`, `Unknown` or `Refused` when Redis is away or
    /// full: insert again before you make the row visible. `Codec` when a newer version of russet keeps the filter.
    pub async fn insert<K: CacheKey + ?Sized>(&self, item: &K) -> Result<bool> {
        let new = self.inner.insert(&[item.cache_key()]).await?;
        Ok(new.first().copied().unwrap_or(false))
    }

    /// As [`insert`](Self::insert), for up to 1,000 items in their order: one round trip, on a Cluster one for each node
    /// that is needed.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); some may have been inserted. `Invalid` for more than 1,000.
    pub async fn insert_many<K: CacheKey>(&self, items: &[K]) -> Result<Vec<bool>> {
        let texts: Vec<_> = items.iter().map(CacheKey::cache_key).collect();
        self.inner.insert(&texts).await
    }
}

impl BloomFilter {
    /// Deletes the filter. What goes on to use it finds one that was never built; who inserts at the same moment may leave
    /// bits behind that end within a minute.
    ///
    /// # Errors
    /// `Unreachable`, `Unknown` or `Refused` when Redis is away: delete it again.
    pub async fn delete(&self) -> Result<()> {
        let inner = &*self.inner;
        let Some(config) = inner.config().await? else { return Ok(()) };
        for generation in config.written() {
            scripts::unlink(&inner.russet, &inner.places, generation).await?;
        }
        scripts::delete_config(&inner.russet, &inner.places).await
    }
}

impl Verdict {
    /// Whether the item may be there: everything but [`Absent`](Self::Absent).
    pub fn is_possible(self) -> bool {
        self != Self::Absent
    }
}

impl fmt::Debug for BloomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shape) = (&self.inner.name, &self.inner.shape);
        f.debug_struct("BloomFilter").field("name", name).field("shape", shape).finish()
    }
}

impl Metrics {
    fn new(filter: &str) -> Self {
        let verdict = |verdict: &'static str| metrics::counter!("russet_bloom_verdicts_total", "filter" => filter.to_owned(), "verdict" => verdict);
        Self {
            absent: verdict("absent"),
            possible: verdict("possible"),
            unready: verdict("unready"),
            inserts: metrics::counter!("russet_bloom_inserts_total", "filter" => filter.to_owned()),
            rebuilds: metrics::counter!("russet_bloom_rebuilds_total", "filter" => filter.to_owned()),
        }
    }
}

/// What is to be said of a record that this version does not understand.
fn foreign(filter: &str) -> Error {
    let message = format_args!("{filter}: the filter is kept by another version of russet");
    Error::new(ErrorKind::Codec, Advice::GiveUp, message)
}
