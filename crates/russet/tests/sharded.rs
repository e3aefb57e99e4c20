//! One cache over several independent servers: nodes that die, return, come and go.

#![cfg(all(feature = "cache", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    future::IntoFuture,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use russet::{
    DeadNode, ErrorKind, NodeAnswer, Russet, ShardedCache, ShardedCacheBuilder, metered,
    testing::{Proxy, TestCluster, TestServer, eventually},
};

const LONG: Duration = Duration::from_secs(60);

type Pages = ShardedCache<u32, String>;

async fn servers(count: usize) -> Vec<TestServer> {
    let started = join_all((0..count).map(|_| TestServer::builder().append_only().start())).await;
    started.into_iter().map(Result::unwrap).collect()
}

async fn connect(url: &str) -> Russet {
    // A busy machine is no dead node.
    Russet::builder().url(url).timeout(LONG).connect().await.unwrap()
}

fn builder(handles: &[Russet]) -> ShardedCacheBuilder<u32, String> {
    let builder = ShardedCache::builder("pages");
    (1..)
        .zip(handles)
        .fold(builder, |builder, (number, russet)| builder.node(&format!("node-{number}"), russet))
}

async fn cache_over(servers: &[TestServer]) -> Pages {
    let handles = join_all(servers.iter().map(async |server| connect(&server.url()).await)).await;
    builder(&handles).build().unwrap()
}

/// The first so many keys that belong to this node.
fn keys_of(pages: &Pages, node: &str, count: usize) -> Vec<u32> {
    (0..).filter(|key| pages.node_of(key) == node).take(count).collect()
}

fn is_away(pages: &Pages, node: &str) -> bool {
    pages.nodes().iter().any(|status| status.name == node && status.is_away)
}

async fn away(pages: &Pages, node: &str, expected: bool) {
    eventually(LONG, async || match is_away(pages, node) == expected {
        true => Ok(()),
        false => Err(format!("{:?}", pages.nodes())),
    })
    .await;
}

fn entries(keys: impl IntoIterator<Item = u32>, of: &str) -> Vec<(u32, String)> {
    keys.into_iter().map(|key| (key, format!("{of} {key}"))).collect()
}

#[tokio::test]
async fn every_key_is_on_its_node_and_answers_come_in_the_order_of_the_keys() {
    let servers = servers(3).await;
    let pages = cache_over(&servers).await;
    let stored = entries(0..300, "page");
    assert!(pages.put_many(&stored).await.unwrap().iter().all(|one| *one == NodeAnswer::Done));
    let keys: Vec<u32> = (0..310).rev().collect();
    let found = pages.get_many(&keys).await.unwrap();
    for (key, found) in keys.iter().zip(found) {
        assert_eq!(found, (*key < 300).then(|| format!("page {key}")));
    }
    let mut on_all = 0;
    for server in &servers {
        let count = server.command(&["DBSIZE"]).await.unwrap().int().unwrap();
        assert!((50..200).contains(&count), "a third of the keys: {count}");
        on_all += count;
    }
    assert_eq!(on_all, 300 + 3, "each key once, and each node's epoch");

    // Another process, and single calls.
    let elsewhere = cache_over(&servers).await;
    assert_eq!(elsewhere.get(&7).await.unwrap().as_deref(), Some("page 7"));
    elsewhere.put(&7, &"new".into()).ttl(Duration::from_secs(9)).await.unwrap();
    assert_eq!(pages.get(&7).await.unwrap().as_deref(), Some("new"));
    assert_eq!(elsewhere.invalidate(&7).await.unwrap(), NodeAnswer::Done);
    assert_eq!(elsewhere.invalidate_many(&[8, 9]).await.unwrap(), [NodeAnswer::Done; 2]);
    assert_eq!(pages.get_many(&[7, 8, 9]).await.unwrap(), [None, None, None]);
    assert_eq!(pages.get(&10).await.unwrap().as_deref(), Some("page 10"));
    assert_eq!(elsewhere.invalidate_all().await.unwrap(), NodeAnswer::Done);
    assert!(pages.get_many(&keys).await.unwrap().iter().all(Option::is_none));
    let hits: u64 = pages.nodes().iter().map(|node| node.stats.hits).sum();
    assert_eq!(hits, 302);
}

#[tokio::test]
async fn a_miss_is_loaded_once_for_all_who_ask() {
    let servers = servers(2).await;
    let (one, two) = (cache_over(&servers).await, cache_over(&servers).await);
    let loads = AtomicU32::new(0);
    let load = async || {
        loads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::io::Result::Ok("loaded".to_owned())
    };
    let callers = (0..50).map(|n| if n % 2 == 0 { &one } else { &two });
    let found = join_all(callers.map(|pages| pages.get_with(&1, load))).await;
    assert!(found.into_iter().all(|found| found.unwrap() == "loaded"));
    // Also the first calls of all to a node, which begin its epoch: once.
    assert_eq!(loads.load(Ordering::SeqCst), 1);

    let none = async || std::io::Result::Ok(None);
    assert_eq!(one.find_with(&2, none).await.unwrap(), None);
    let cached = two.find_with(&2, async || Err(std::io::Error::other("asked twice"))).await;
    assert_eq!(cached.unwrap(), None);
    let error = one.get_with(&3, async || Err(std::io::Error::other("broken"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
}

#[tokio::test]
async fn a_call_is_one_round_trip_to_each_node_that_it_needs() {
    let servers = servers(2).await;
    let pages = cache_over(&servers).await;
    let keys: Vec<u32> = (0..100).collect();
    pages.put_many(&entries(keys.clone(), "page")).await.unwrap();
    // The first ones of a process also keep the epochs and bring the scripts.
    for key in [1000, 1001, 1002, 1003] {
        pages.get_with(&key, async || std::io::Result::Ok("x".to_owned())).await.unwrap();
        pages.invalidate(&key).await.unwrap();
    }
    pages.get_many(&keys).await.unwrap();
    let hit = pages.get_with(&1, async || Err::<String, _>(std::io::Error::other("loaded")));
    assert_eq!(metered(hit).await.1.round_trips, 1);
    assert_eq!(metered(pages.get(&1)).await.1.round_trips, 1);
    assert_eq!(metered(pages.get_many(&keys)).await.1.round_trips, 2);
    // To the key's node and its next one, at the same time.
    let page = "x".to_owned();
    assert_eq!(metered(pages.put(&1, &page).into_future()).await.1.round_trips, 2);
    assert_eq!(metered(pages.invalidate(&1)).await.1.round_trips, 2);
    let miss = pages.get_with(&1, async || std::io::Result::Ok("loaded".to_owned()));
    assert_eq!(metered(miss).await.1.round_trips, 3);
}

#[tokio::test]
async fn a_node_that_hangs_costs_one_timeout_and_then_nothing() {
    let servers = servers(3).await;
    let timeout = Duration::from_secs(3);
    let handles = join_all(servers.iter().map(async |server| {
        Russet::builder().url(server.url()).timeout(timeout).connect().await.unwrap()
    }));
    let pages = builder(&handles.await).build().unwrap();
    let keys: Vec<u32> = (0..300).collect();
    pages.put_many(&entries(keys.clone(), "page")).await.unwrap();
    let lost = keys_of(&pages, "node-2", 50);
    servers[1].pause().unwrap();

    // Whoever asks while nobody knows it yet waits for one timeout, and what the other nodes have is there.
    let begun = Instant::now();
    let found = pages.get_many(&keys).await.unwrap();
    let first = begun.elapsed();
    assert!(first < timeout * 3, "{first:?}");
    for (key, found) in keys.iter().zip(found) {
        let expected = (pages.node_of(key) != "node-2").then(|| format!("page {key}"));
        assert_eq!(found, expected);
    }
    // From then on its calls fail at once. Each of them is a miss, which is loaded past the node.
    eventually(LONG, async || {
        let begun = Instant::now();
        assert_eq!(pages.get(&lost[0]).await.unwrap(), None);
        match begun.elapsed() {
            quick if quick < timeout / 2 => Ok(()),
            slow => Err(format!("{slow:?}")),
        }
    })
    .await;
    let begun = Instant::now();
    for key in &lost {
        let load = async || std::io::Result::Ok(format!("loaded {key}"));
        assert_eq!(pages.get_with(key, load).await.unwrap(), format!("loaded {key}"));
        assert_eq!(pages.put(key, &"new".into()).await.unwrap(), NodeAnswer::Away);
        assert_eq!(pages.invalidate(key).await.unwrap(), NodeAnswer::Away);
    }
    let all = begun.elapsed();
    assert!(all < timeout * 10, "150 calls of a node that is known to be away took {all:?}");
    assert!(is_away(&pages, "node-2") && !is_away(&pages, "node-1"));

    servers[1].resume().unwrap();
    away(&pages, "node-2", false).await;
    let found = pages.get_many(&lost).await.unwrap();
    assert!(found.iter().all(Option::is_none), "served from before it left: {found:?}");
    pages.put(&lost[0], &"again".into()).await.unwrap();
    assert_eq!(pages.get(&lost[0]).await.unwrap().as_deref(), Some("again"));
}

#[tokio::test]
async fn a_dead_node_is_an_error_where_that_is_wanted() {
    let servers = servers(2).await;
    let handles = join_all(servers.iter().map(async |server| connect(&server.url()).await)).await;
    let pages = builder(&handles).dead_node(DeadNode::Error).build().unwrap();
    let (lost, kept) = (keys_of(&pages, "node-1", 1)[0], keys_of(&pages, "node-2", 1)[0]);
    pages.put_many(&entries([lost, kept], "page")).await.unwrap();
    servers[0].kill().await.unwrap();
    let load = async || std::io::Result::Ok("loaded".to_owned());
    for error in [
        pages.get(&lost).await.unwrap_err(),
        pages.get_many(&[kept, lost]).await.unwrap_err(),
        pages.get_with(&lost, load).await.unwrap_err(),
        pages.put(&lost, &"new".into()).await.unwrap_err(),
        pages.invalidate(&lost).await.unwrap_err(),
        pages.invalidate_all().await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Unreachable | ErrorKind::Unknown | ErrorKind::Timeout
            ),
            "{error}"
        );
    }
    // Its keys' own node is there; that their next is not is nobody's concern.
    assert_eq!(pages.put(&kept, &"new".into()).await.unwrap(), NodeAnswer::Done);
    assert_eq!(pages.get(&kept).await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn a_node_that_returns_serves_nothing_from_before_it_left() {
    let servers = servers(2).await;
    let (writer, reader) = (cache_over(&servers).await, cache_over(&servers).await);
    let keys = keys_of(&writer, "node-1", 20);
    writer.put_many(&entries(keys.clone(), "old")).await.unwrap();
    assert!(reader.get_many(&keys).await.unwrap().iter().all(Option::is_some));

    servers[0].kill().await.unwrap();
    // The reader has changed nothing, but has seen that the node was away. The writer could not tell it.
    eventually(LONG, async || match reader.get(&keys[0]).await.unwrap() {
        None if is_away(&reader, "node-1") => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
    assert_eq!(writer.invalidate(&keys[1]).await.unwrap(), NodeAnswer::Away);
    servers[0].restart().await.unwrap();
    let there = servers[0].command(&["DBSIZE"]).await.unwrap().int().unwrap();
    assert!(there > 20, "it came back with what it had: {there}");

    // Whoever of the two comes first.
    for pages in [&reader, &writer] {
        away(pages, "node-1", false).await;
        let found = pages.get_many(&keys).await.unwrap();
        assert!(found.iter().all(Option::is_none), "{found:?}");
    }
    // A process that starts now goes by what they did.
    let fresh = cache_over(&servers).await;
    assert!(fresh.get_many(&keys).await.unwrap().iter().all(Option::is_none));
    assert_eq!(fresh.put(&keys[0], &"new".into()).await.unwrap(), NodeAnswer::Done);
    assert_eq!(reader.get(&keys[0]).await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn what_one_process_could_not_invalidate_ends_for_all_when_it_reaches_the_node_again() {
    let servers = servers(2).await;
    let proxy = Proxy::to(&servers[0]).await.unwrap();
    let cut_off = builder(&[connect(&proxy.url()).await, connect(&servers[1].url()).await]);
    let cut_off = cut_off.build().unwrap();
    let other = cache_over(&servers).await;
    let key = keys_of(&other, "node-1", 1)[0];
    other.put(&key, &"old".into()).await.unwrap();
    assert_eq!(cut_off.get(&key).await.unwrap().as_deref(), Some("old"));

    proxy.refuse().await.unwrap();
    assert_eq!(cut_off.invalidate(&key).await.unwrap(), NodeAnswer::Away);
    // What is documented: the other one reaches the node all the time.
    assert_eq!(other.get(&key).await.unwrap().as_deref(), Some("old"));
    proxy.heal().await.unwrap();
    // Nobody asks the process that owes it.
    eventually(LONG, async || match other.get(&key).await.unwrap() {
        None => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
    away(&cut_off, "node-1", false).await;
    assert_eq!(cut_off.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_node_that_came_back_as_it_was_earlier_begins_anew() {
    let servers = servers(1).await;
    let pages = cache_over(&servers).await;
    let stale = cache_over(&servers).await;
    pages.put(&1, &"old".into()).await.unwrap();
    let epoch = "russet:{cache:pages}:epoch";
    let before = servers[0].command(&["GET", epoch]).await.unwrap();
    pages.invalidate_all().await.unwrap();
    assert_eq!(pages.get(&1).await.unwrap(), None);

    // As from a snapshot, so quickly that nobody has seen it away.
    servers[0].command(&["SET", epoch, before.text().unwrap()]).await.unwrap();
    assert_eq!(pages.get(&1).await.unwrap(), None);
    assert_eq!(stale.get(&1).await.unwrap(), None);
    pages.put(&1, &"new".into()).await.unwrap();
    servers[0].command(&["DEL", epoch]).await.unwrap();
    assert_eq!(pages.get(&1).await.unwrap(), None, "an epoch that was evicted");
    pages.put(&1, &"newer".into()).await.unwrap();
    assert_eq!(stale.get(&1).await.unwrap().as_deref(), Some("newer"));
}

#[tokio::test]
async fn a_batch_goes_to_all_nodes_at_the_same_time() {
    let servers = servers(2).await;
    let mut proxies = Vec::new();
    for server in &servers {
        proxies.push(Proxy::to(server).await.unwrap());
    }
    let connect = async |proxy: &Proxy| {
        let builder = Russet::builder().url(proxy.url()).timeout(4 * LONG);
        builder.connect().await.unwrap()
    };
    let handles = [connect(&proxies[0]).await, connect(&proxies[1]).await];
    let pages = builder(&handles).build().unwrap();
    let keys: Vec<u32> = (0..100).collect();
    pages.put_many(&entries(keys.clone(), "page")).await.unwrap();
    pages.get_many(&keys).await.unwrap();

    // From here on no answer comes before the test is over: who asked one node after the other would ask one only.
    for proxy in &proxies {
        proxy.delay(2 * LONG).await.unwrap();
    }
    let both_are_asked = async |call: BoxFuture<'static, ()>| {
        proxies.iter().for_each(Proxy::reset_counts);
        let call = tokio::spawn(call);
        eventually(LONG, async || match proxies.iter().all(|proxy| proxy.bytes_sent() > 0) {
            true => Ok(()),
            false => Err("a node was not asked"),
        })
        .await;
        assert!(proxies.iter().all(|proxy| proxy.bytes_received() == 0));
        call.abort();
    };
    let cache = || (pages.clone(), keys.clone());
    let (asked, ids) = cache();
    both_are_asked(async move { drop(asked.get_many(&ids).await) }.boxed()).await;
    let (asked, ids) = cache();
    both_are_asked(async move { drop(asked.invalidate_many(&ids).await) }.boxed()).await;
    let (asked, ids) = cache();
    both_are_asked(async move { drop(asked.put_many(&entries(ids, "new")).await) }.boxed()).await;
}

#[tokio::test]
async fn nodes_come_and_go_and_no_older_value_comes_back() {
    let servers = servers(3).await;
    let pages = cache_over(&servers[..2]).await;
    let keys: Vec<u32> = (0..200).collect();
    pages.put_many(&entries(keys.clone(), "first")).await.unwrap();
    let third = connect(&servers[2].url()).await;
    pages.add_node("node-3", &third).unwrap();
    let moved: BTreeSet<u32> =
        keys.iter().copied().filter(|key| pages.node_of(key) == "node-3").collect();
    assert!((30..110).contains(&moved.len()), "a third of the keys: {}", moved.len());
    for (key, found) in keys.iter().zip(pages.get_many(&keys).await.unwrap()) {
        assert_eq!(found.is_none(), moved.contains(key), "{key}");
    }
    // Half of what has moved is put, the other half invalidated: its old copies are on the old nodes.
    let (put, dropped): (Vec<u32>, Vec<u32>) = moved.iter().partition(|key| **key % 2 == 0);
    pages.put_many(&entries(put, "second")).await.unwrap();
    pages.invalidate_many(&dropped).await.unwrap();
    assert!(pages.remove_node("node-3") && !pages.remove_node("node-3"));
    for (key, found) in keys.iter().zip(pages.get_many(&keys).await.unwrap()) {
        let expected = (!moved.contains(key)).then(|| format!("first {key}"));
        assert_eq!(found, expected, "an older value of {key}");
    }
    // It comes back, with what it had when it left.
    let changed: Vec<u32> = moved.iter().copied().collect();
    pages.put_many(&entries(changed.clone(), "third")).await.unwrap();
    pages.add_node("node-3", &third).unwrap();
    assert!(pages.get_many(&changed).await.unwrap().iter().all(Option::is_none));

    assert!(pages.set_weight("node-3", 50).unwrap() && !pages.set_weight("node-4", 2).unwrap());
    let heavy = keys.iter().filter(|key| pages.node_of(key) == "node-3").count();
    assert!(heavy > 150, "{heavy}");
    assert!(pages.remove_node("node-1") && pages.remove_node("node-2"));
    assert!(!pages.remove_node("node-3"), "the last one stays");
    assert_eq!(pages.nodes().len(), 1);
}

#[tokio::test]
async fn a_full_node_stores_nothing_and_serves_nothing_old() {
    let servers = servers(1).await;
    let pages = cache_over(&servers).await;
    pages.put(&1, &"old".into()).await.unwrap();
    servers[0].command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert_eq!(pages.put(&1, &"new".into()).await.unwrap(), NodeAnswer::Away);
    assert_eq!(pages.get(&1).await.unwrap(), None);
    assert!(!is_away(&pages, "node-1"), "it has dropped the old copy, and has the rest");
}

#[tokio::test]
async fn bad_input_and_a_cluster_are_refused() {
    let servers = servers(1).await;
    let russet = connect(&servers[0].url()).await;
    let another = connect(&servers[0].url()).await;
    let cluster = TestCluster::start().await.unwrap();
    let on_cluster = connect(&cluster.url()).await;
    let pages = builder(std::slice::from_ref(&russet)).max_value_bytes(10).build().unwrap();
    let texts: ShardedCache<str, String> =
        ShardedCache::builder("texts").node("a", &russet).build().unwrap();
    let many: Vec<u32> = (0..1_001).collect();
    let nobody: ShardedCacheBuilder<u32, String> = ShardedCache::builder("pages");
    for (error, word) in [
        (nobody.build().map(drop).unwrap_err(), "no node"),
        (builder(&[on_cluster]).build().map(drop).unwrap_err(), "Cluster"),
        (pages.add_node("node-1", &another).unwrap_err(), "already"),
        (pages.add_node("node-2", &russet).unwrap_err(), "node-1 and node-2"),
        (pages.add_weighted_node("node-2", &another, 0).unwrap_err(), "weight"),
        (
            builder(std::slice::from_ref(&russet)).ttl_jitter(2.0).build().map(drop).unwrap_err(),
            "ttl_jitter",
        ),
        (pages.get_many(&many).await.map(drop).unwrap_err(), "1001"),
        (pages.invalidate_many(&many).await.map(drop).unwrap_err(), "1001"),
        (texts.get("").await.map(drop).unwrap_err(), "empty"),
        (texts.invalidate(&"x".repeat(1_001)).await.map(drop).unwrap_err(), "1001"),
        (pages.put(&1, &"larger than ten".into()).await.map(drop).unwrap_err(), "allowed"),
        (pages.put(&1, &"x".into()).ttl(Duration::ZERO).await.map(drop).unwrap_err(), "ttl"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(servers[0].command(&["KEYS", "*:entry:*"]).await.unwrap().list().len(), 0);
}
