//! How large a filter is, and which bits stand for an item.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Error, Result};

/// Part of the format, as all of [`Shape::bits_of`] is: another one would make every filter forget what it holds.
const SEED: u64 = 0x7275_7373_6574_0003;

/// The most bits of a shard: 4 MiB.
const MAX_SHARD_BITS: u64 = 1 << 25;
/// The most bits of a filter: 128 shards, 512 MiB.
const MAX_BITS: f64 = (1_u64 << 32) as f64;
/// The bits at the start of a shard that are no item's.
pub(super) const MARKS: u64 = 2;

/// How many shards a generation has, how many bits each of them, and how many an item sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) shards: u32,
    /// Of each shard, its marks included.
    pub(super) bits: u64,
    pub(super) hashes: u32,
}

/// Where an item stands.
pub(super) struct Bits {
    pub(super) shard: u32,
    pub(super) places: Vec<u64>,
}

impl Shape {
    /// The smallest one that keeps the rate with so many items: `m = -n ln p / (ln 2)²` bits and `k = m/n ln 2` hashes.
    pub(super) fn new(name: &str, items: u64, rate: f64) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::invalid(format_args!(
                "bloom filter {name}: expected_items {items} at a false_positive_rate of {rate}: {why}"
            )))
        };
        if items == 0 {
            return refuse("there must be 1 item or more");
        }
        if !(1e-6..=0.5).contains(&rate) {
            return refuse("the rate must be 0.000001 to 0.5");
        }
        let ln2 = std::f64::consts::LN_2;
        let bits = (-(items as f64) * rate.ln() / (ln2 * ln2)).ceil().max(64.0);
        if bits > MAX_BITS {
            return refuse(
                "more than 2^32 bits (512 MiB); expect fewer items or allow a higher rate",
            );
        }
        let hashes = (bits / items as f64 * ln2).round().clamp(1.0, 20.0);
        let bits = bits as u64;
        let shards = bits.div_ceil(MAX_SHARD_BITS - MARKS);
        Ok(Self {
            shards: shards as u32,
            bits: bits.div_ceil(shards) + MARKS,
            hashes: hashes as u32,
        })
    }

    /// The bits of an item: one hash of its bytes picks the shard, and enhanced double hashing the bits inside.
    pub(super) fn bits_of(&self, item: &[u8]) -> Bits {
        let hash = xxh3_128_with_seed(item, SEED);
        let (high, low) = ((hash >> 64) as u64, hash as u64);
        let shard = (u128::from(high) * u128::from(self.shards)) >> 64;
        let (mut at, mut step) = (low, high | 1);
        let places = (0..u64::from(self.hashes)).map(|number| {
            let place = MARKS + at % (self.bits - MARKS);
            at = at.wrapping_add(step);
            step = step.wrapping_add(number);
            place
        });
        Bits { places: places.collect(), shard: shard as u32 }
    }

    /// How many different items have set so many bits of a shard, most likely.
    pub(super) fn estimate(&self, set: u64) -> f64 {
        let bits = (self.bits - MARKS) as f64;
        // A full one says nothing about how many there are.
        let empty = (1.0 - set as f64 / bits).max(0.5 / bits);
        -bits / f64::from(self.hashes) * empty.ln()
    }

    /// `<shards> <bits> <hashes>`, as it is recorded.
    pub(super) fn record(&self) -> String {
        [u64::from(self.shards), self.bits, u64::from(self.hashes)].map(|n| n.to_string()).join(" ")
    }

    /// What was recorded; `None` for what this version cannot read or would not have written.
    pub(super) fn read(record: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = record.split(' ').map(|word| word.parse().ok()).collect();
        let [shards, bits, hashes] = numbers?[..] else { return None };
        let fits = (1..=128).contains(&shards)
            && (MARKS + 1..=MAX_SHARD_BITS).contains(&bits)
            && (1..=20).contains(&hashes);
        fits.then_some(Self { shards: shards as u32, bits, hashes: hashes as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_million_items_at_one_percent_take_nine_and_a_half_million_bits() {
        let shape = Shape::new("ids", 1_000_000, 0.01).unwrap();
        assert_eq!(shape, Shape { shards: 1, bits: 9_585_061, hashes: 7 });
        assert_eq!(Shape::read(&shape.record()), Some(shape));
    }

    #[test]
    fn a_large_filter_is_spread_over_shards_of_4_mib() {
        let shape = Shape::new("ids", 100_000_000, 0.01).unwrap();
        assert_eq!(shape.shards, 29);
        assert!(shape.bits <= MAX_SHARD_BITS);
        let shards: BTreeSet<_> =
            (0..2_000_u32).map(|item| shape.bits_of(&item.to_le_bytes()).shard).collect();
        assert_eq!(shards.into_iter().collect::<Vec<_>>(), (0..29).collect::<Vec<_>>());
    }

    #[test]
    fn the_bits_of_an_item_are_the_same_for_every_version() {
        let shape = Shape { shards: 3, bits: 1_000_002, hashes: 5 };
        let of = |item: &str| {
            let Bits { shard, places } = shape.bits_of(item.as_bytes());
            (shard, places)
        };
        assert_eq!(
            GOLDEN.map(|(item, ..)| of(item)),
            GOLDEN.map(|(_, shard, bits)| (shard, bits.to_vec()))
        );
    }

    const GOLDEN: [(&str, u32, [u64; 5]); 3] = [
        ("", 1, [897_441, 585_100, 721_143, 408_803, 544_849]),
        ("user:42", 2, [721_505, 667_560, 613_615, 111_287, 57_345]),
        ("é🦀", 1, [864_448, 200_729, 537_010, 321_676, 657_960]),
    ];

    #[test]
    fn absurd_sizes_are_refused_and_both_settings_named() {
        for (items, rate) in
            [(0, 0.01), (u64::MAX, 0.01), (449_000_000, 0.01), (10, 0.0), (10, 0.6), (10, f64::NAN)]
        {
            let error = Shape::new("ids", items, rate).unwrap_err().to_string();
            for word in ["ids", "expected_items", "false_positive_rate", &items.to_string()] {
                assert!(error.contains(word), "{error}");
            }
        }
        assert!(Shape::new("ids", 448_000_000, 0.5).is_ok());
    }

    #[test]
    fn what_stands_in_the_record_is_not_trusted() {
        for record in
            ["", "1 2 3 4", "0 100 7", "1 2 7", "1 33554433 7", "1 100 0", "1 100 21", "a b c"]
        {
            assert_eq!(Shape::read(record), None, "{record}");
        }
    }
}
