use std::{sync::Arc, time::Duration};

use super::{BloomFilter, Inner, Metrics, config::Known, scripts::Places, shape::Shape};
use crate::{
    client::Russet,
    error::{Error, Result},
};

/// The settings of a [`BloomFilter`]; made by [`BloomFilter::builder`].
///
/// The size is that of the generations which this process builds. One that is there has its own, which is recorded with
/// it: processes with different settings can share a filter, and a rebuild makes it larger or smaller.
#[must_use]
pub struct BloomFilterBuilder {
    russet: Russet,
    name: String,
    items: u64,
    rate: f64,
    settle: Duration,
}

impl BloomFilterBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self {
            russet: russet.clone(),
            name: name.to_owned(),
            items: 1_000_000,
            rate: 0.01,
            settle: Duration::from_secs(5),
        }
    }

    /// How many different items it is to hold at the `false_positive_rate`; with more it says "maybe" too often.
    /// Defaults to 1,000,000.
    pub fn expected_items(mut self, items: u64) -> Self {
        self.items = items;
        self
    }

    /// The part of unknown items for which it says "maybe" when it holds as many as expected, 0.000001 to 0.5. Defaults to
    /// 0.01.
    pub fn false_positive_rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// How long after the beginning of its `insert` a row becomes visible, at the latest; up to an hour. A rebuild waits
    /// so long before it reads the record store, so that it sees the rows whose writers had not heard of it.
    /// Defaults to 5 seconds.
    pub fn settle(mut self, time: Duration) -> Self {
        self.settle = time;
        self
    }

    /// The filter; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty or over 256 bytes, for a size over 2^32 bits (512 MiB), naming both settings
    /// that make it, and for a `settle` over an hour.
    pub fn build(self) -> Result<BloomFilter> {
        let places = Places::new(&self.russet, &self.name)?;
        let shape = Shape::new(&self.name, self.items, self.rate)?;
        if self.settle > Duration::from_secs(3_600) {
            return Err(Error::invalid(format_args!(
                "bloom filter {}: settle {:?} must be an hour or less",
                self.name, self.settle
            )));
        }
        let inner = Inner {
            places,
            shape,
            settle: self.settle,
            known: Known::default(),
            metrics: Metrics::new(&self.name),
            russet: self.russet,
            name: self.name,
        };
        Ok(BloomFilter { inner: Arc::new(inner) })
    }
}
