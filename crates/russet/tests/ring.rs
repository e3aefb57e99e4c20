//! The hash ring: how even, how steady, and the same everywhere.

#![cfg(feature = "ring")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use russet::{ErrorKind, HashRing};

const KEYS: u32 = 1_000_000;

fn ring_of(nodes: u32) -> HashRing {
    HashRing::of((1..=nodes).map(|node| format!("cache-{node}"))).unwrap()
}

fn key(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// The part of the keys of the busiest node, by the mean.
fn busiest(ring: &HashRing, keys_asked: u32) -> f64 {
    let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 0..keys_asked {
        *keys.entry(ring.get_node(key(number)).unwrap()).or_default() += 1;
    }
    assert_eq!(keys.len(), ring.len());
    f64::from(*keys.values().max().unwrap()) * ring.len() as f64 / f64::from(keys_asked)
}

#[test]
fn the_busiest_of_ten_nodes_has_at_most_a_tenth_more_than_the_mean() {
    let addresses = HashRing::of((0..10).map(|node| format!("10.0.0.{node}:6379"))).unwrap();
    let letters = HashRing::of("abcdefghij".chars().map(String::from)).unwrap();
    for (ring, keys) in [(ring_of(10), KEYS), (addresses, KEYS / 5), (letters, KEYS / 5)] {
        let busiest = busiest(&ring, keys);
        println!("busiest of 10: {busiest:.3} of the mean");
        assert!(busiest <= 1.10, "{busiest}: {ring:?}");
    }
}

#[test]
fn the_eleventh_node_takes_its_share_and_gives_it_back() {
    let before = ring_of(10);
    let mut ring = before.clone();
    ring.add_node("cache-11").unwrap();
    let mut moved = 0;
    for number in 0..KEYS {
        let (old, new) = (before.get_node(key(number)), ring.get_node(key(number)));
        if old != new {
            assert_eq!(new, Some("cache-11"), "a key moved between old nodes");
            moved += 1;
        }
    }
    let moved = f64::from(moved) / f64::from(KEYS);
    println!("the eleventh node moved {:.2} % of the keys", moved * 100.0);
    assert!((0.07..=1.0 / 11.0 + 0.01).contains(&moved), "{moved}");

    assert!(ring.remove_node("cache-11") && !ring.remove_node("cache-11"));
    assert!((0..KEYS).all(|number| before.get_node(key(number)) == ring.get_node(key(number))));
}

#[test]
fn a_weight_is_a_share_and_can_be_changed() {
    let mut ring = ring_of(3);
    let share = |ring: &HashRing, name: &str| {
        let its = (0..KEYS / 4).filter(|number| ring.get_node(key(*number)) == Some(name)).count();
        its as f64 / f64::from(KEYS / 4)
    };
    let light = ring.clone();
    assert!(ring.set_weight("cache-3", 2).unwrap());
    let heavy = share(&ring, "cache-3");
    assert!((0.45..0.55).contains(&heavy), "half of it belongs to 2 of 4 parts: {heavy}");
    for number in 0..KEYS / 4 {
        let (old, new) = (light.get_node(key(number)), ring.get_node(key(number)));
        assert!(old == new || new == Some("cache-3"), "a key moved between other nodes");
    }
    assert!(ring.set_weight("cache-3", 1).unwrap());
    assert!((0..KEYS / 4).all(|number| light.get_node(key(number)) == ring.get_node(key(number))));
    assert!(!ring.set_weight("no such", 1).unwrap());
}

#[test]
fn every_process_and_version_gives_the_same_answers() {
    let ring = HashRing::of(["cache-1", "cache-2", "cache-3", "cache-4"]).unwrap();
    let nodes: Vec<_> = GOLDEN.iter().map(|(key, _)| (*key, ring.replicas(key, 3))).collect();
    let golden: Vec<_> = GOLDEN.iter().map(|(key, nodes)| (*key, nodes.to_vec())).collect();
    assert_eq!(nodes, golden, "another answer moves the keys of a whole fleet");

    let other_order = HashRing::of(["cache-3", "cache-1", "cache-4", "cache-2"]).unwrap();
    let agrees = |number: u32| ring.get_node(key(number)) == other_order.get_node(key(number));
    assert!((0..10_000).all(agrees), "it depends on the order of the nodes");
}

const GOLDEN: [(&str, [&str; 3]); 5] = [
    ("", ["cache-3", "cache-4", "cache-1"]),
    ("user:42", ["cache-3", "cache-1", "cache-4"]),
    ("/home", ["cache-1", "cache-2", "cache-3"]),
    ("é🦀", ["cache-2", "cache-4", "cache-1"]),
    ("a key that is longer than the shortest hash input forms", ["cache-4", "cache-3", "cache-1"]),
];

#[test]
fn what_cannot_be_a_node_is_refused() {
    let mut ring = ring_of(2);
    let long = "x".repeat(257);
    for (name, weight, words) in [
        ("", 1, ["name", "empty"]),
        (long.as_str(), 1, ["name", "257"]),
        ("cache-1", 1, ["cache-1", "already"]),
        ("cache-3", 0, ["cache-3", "weight 0"]),
        ("cache-3", 101, ["weight 101", "1 to 100"]),
    ] {
        let error = ring.add_weighted_node(name, weight).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
    assert!(ring.set_weight("cache-1", 0).is_err());
    assert_eq!(ring.nodes().collect::<Vec<_>>(), [("cache-1", 1), ("cache-2", 1)]);
    assert_eq!((HashRing::new().get_node("x"), HashRing::new().replicas("x", 3).len()), (None, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replicas_are_different_nodes_and_each_is_the_next_when_those_before_are_gone(
        names in prop::collection::btree_set("[a-z]{1,8}", 1..8),
        key in ".*",
        count in 0_usize..10,
    ) {
        let mut ring = HashRing::of(&names).unwrap();
        let replicas: Vec<_> = ring.replicas(&key, count).into_iter().map(str::to_owned).collect();
        prop_assert_eq!(replicas.len(), count.min(names.len()));
        prop_assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), replicas.len());
        for replica in replicas {
            prop_assert_eq!(ring.get_node(&key), Some(replica.as_str()));
            ring.remove_node(&replica);
        }
    }
}

#[test]
fn the_name_of_a_node_is_the_ring_s_own_and_not_a_copy() {
    let ring = ring_of(10);
    let node: fn(&HashRing, u32) -> Option<&str> = |ring, number| ring.get_node(key(number));
    // The answer is borrowed from the ring.
    let name = node(&ring, 1).unwrap();
    let (own, _) = ring.nodes().find(|(own, _)| *own == name).unwrap();
    assert!(std::ptr::eq(own, name));
}
