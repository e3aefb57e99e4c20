//! The points of the nodes on the circle.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Part of the layout, as the hash is: another one would move every key.
const POINT_SEED: u64 = 0x7275_7373_6574_0001;
const KEY_SEED: u64 = 0x7275_7373_6574_0002;

/// Where a key lies on the circle.
pub(super) fn hash_of_key(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, KEY_SEED)
}

/// All points in their order, and the number of the node that each belongs to.
#[derive(Clone, Default)]
pub(super) struct Points(Vec<(u64, u32)>);

impl Points {
    /// The points of nodes in the order of their names, each with how many it has.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut points = Vec::new();
        for (node, (name, count)) in (0..).zip(nodes) {
            let mut text = [name.as_bytes(), &[0; 4]].concat();
            for number in 0..count {
                text.truncate(name.len());
                text.extend(number.to_le_bytes());
                points.push((xxh3_64_with_seed(&text, POINT_SEED), node));
            }
        }
        // Two points at one place are in the order of their nodes' names, in every process.
        points.sort_unstable();
        Self(points)
    }

    /// The nodes of the points from here on, once around the circle.
    pub(super) fn from(&self, hash: u64) -> impl Iterator<Item = u32> {
        let next = self.0.partition_point(|(point, _)| *point < hash);
        let (before, behind) = self.0.split_at(next);
        behind.iter().chain(before).map(|(_, node)| *node)
    }
}
