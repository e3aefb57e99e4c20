//! How full a filter is.

use super::{BloomFilter, config::Generation, scripts, shape::MARKS};
use crate::{clock::from_millis, error::Result};
use std::time::SystemTime;

/// What a filter looks like; see [`BloomFilter::status`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FilterStatus {
    /// When the live filter was begun to be built, by the server's clock.
    pub built: SystemTime,
    /// Whether all of it is there; what a lost shard held is answered with "maybe".
    pub is_ready: bool,
    /// Whether a new one is being built.
    pub is_rebuilding: bool,
    /// How many bits it has.
    pub bits: u64,
    /// How many of them an item sets.
    pub hashes: u32,
    /// The part of the bits that is set. At the expected number of items it is one half.
    pub fill_ratio: f64,
    /// How many different items it most likely holds.
    pub estimated_items: u64,
    /// How often it says "maybe" to an item that was not inserted, when it is as full as this.
    pub false_positive_rate: f64,
}

impl BloomFilter {
    /// How full the live filter is; `None` when none was built. It counts the bits, about a millisecond of the server's
    /// time for each 4 MiB: for a console, not for a request.
    ///
    /// # Errors
    /// `Unreachable` or `Timeout` when Redis is away, `Codec` when another version of russet keeps the filter.
    pub async fn status(&self) -> Result<Option<FilterStatus>> {
        let inner = &*self.inner;
        let Some(config) = inner.config().await? else { return Ok(None) };
        if config.foreign {
            return Err(super::foreign(&inner.name));
        }
        let Some(live) = config.live else { return Ok(None) };
        let ready = scripts::ready(&inner.russet, &inner.places, live).await?;
        let counts = scripts::count(&inner.russet, &inner.places, live).await?;
        Ok(Some(live.status(&ready, &counts, config.building.is_some())))
    }
}

impl Generation {
    fn status(&self, ready: &[bool], counts: &[u64], is_rebuilding: bool) -> FilterStatus {
        let shape = &self.shape;
        let set: Vec<_> = counts.iter().map(|count| count.saturating_sub(MARKS)).collect();
        let bits = u64::from(shape.shards) * (shape.bits - MARKS);
        let fill_ratio = set.iter().sum::<u64>() as f64 / bits as f64;
        FilterStatus {
            built: from_millis(i64::try_from(self.id).unwrap_or(i64::MAX)),
            is_ready: ready.iter().all(|ready| *ready),
            is_rebuilding,
            bits,
            hashes: shape.hashes,
            fill_ratio,
            estimated_items: set.iter().map(|set| shape.estimate(*set)).sum::<f64>().round() as u64,
            false_positive_rate: fill_ratio.powi(shape.hashes as i32),
        }
    }
}
