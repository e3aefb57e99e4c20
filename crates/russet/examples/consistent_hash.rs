//! The tutorial's `ConsistentHash`: which node a key belongs to, and how few keys move when a node comes.
//!
//! `cargo run --example consistent_hash --features testing`; it needs no server.
//!
//! First the modulus, which moves nearly every key, and the textbook's ring of three points a node, which is uneven.
//! Then russet's.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    error::Error,
    hash::{Hash, Hasher},
};

use russet::HashRing;

const KEYS: u64 = 100_000;

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn node(number: u64) -> String {
    format!("192.168.1.{}:6379", 100 + number)
}

/// The textbook's: three points a node, and the next point of a key's hash.
fn textbook(nodes: u64) -> BTreeMap<u64, String> {
    let points = (0..nodes).flat_map(|number| (0..3).map(move |i| (number, i)));
    points.map(|(number, i)| (hash(&format!("{}:{i}", node(number))), node(number))).collect()
}

fn textbook_node(ring: &BTreeMap<u64, String>, key: u64) -> Option<&String> {
    let hash = hash(&format!("user:{key}"));
    ring.range(hash..).next().or_else(|| ring.first_key_value()).map(|(_, node)| node)
}

/// The keys of the busiest node, by the mean.
fn busiest<'a>(nodes: impl Iterator<Item = Option<&'a str>>) -> f64 {
    let mut keys: BTreeMap<&str, u64> = BTreeMap::new();
    for node in nodes.flatten() {
        *keys.entry(node).or_default() += 1;
    }
    keys.values().max().map_or(0.0, |most| *most as f64 * 10.0 / KEYS as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("Hash modulo the number of nodes");
    let by_modulus = (0..KEYS).filter(|key| {
        let hash = hash(&format!("user:{key}"));
        hash % 10 != hash % 11
    });
    let by_modulus = by_modulus.count() as f64 * 100.0 / KEYS as f64;
    println!("  the 11th node moves {by_modulus:.0} % of the keys");
    assert!(by_modulus > 80.0);

    println!("The textbook's ring");
    let ring = textbook(10);
    let uneven = busiest((0..KEYS).map(|key| textbook_node(&ring, key).map(String::as_str)));
    println!("  the busiest of 10 nodes has {uneven:.2} of the mean");
    assert!(uneven > 1.2);

    println!("With russet");
    let mut ring = HashRing::of((0..10).map(node))?;
    let before = ring.clone();
    let even = busiest((0..KEYS).map(|key| before.get_node(format!("user:{key}"))));
    println!("  the busiest of 10 nodes has {even:.2} of the mean");
    assert!(even <= 1.10);

    let eleventh = node(10);
    ring.add_node(&eleventh)?;
    let mut moved = 0;
    for key in 0..KEYS {
        let key = format!("user:{key}");
        let (old, new) = (before.get_node(&key), ring.get_node(&key));
        if old != new {
            assert_eq!(new, Some(eleventh.as_str()), "none moves between old nodes");
            moved += 1;
        }
    }
    let moved = f64::from(moved) * 100.0 / KEYS as f64;
    println!("  the 11th node moves {moved:.1} % of the keys, all of them to it");
    assert!(moved <= 100.0 / 11.0 + 1.0);

    ring.remove_node(&eleventh);
    let back =
        (0..KEYS).all(|key| ring.get_node(key.to_le_bytes()) == before.get_node(key.to_le_bytes()));
    assert!(back);
    println!("  removing it moves them back");
    println!(
        "  user:42 is on {:?}, copies would go to {:?}",
        ring.get_node("user:42"),
        ring.replicas("user:42", 3)
    );

    println!(
        "shown: {by_modulus:.0} % of moved keys became {moved:.1} %, and the busiest node {even:.2} of the mean"
    );
    Ok(())
}
