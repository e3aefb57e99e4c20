//! The same handle on a Cluster: slots that move, nodes that die, answers that are lost.

#![allow(clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{TestCluster, TestServer, eventually};
use russet::{Advice, BoxError, Cache, Counters, ErrorKind, Leaderboard, Russet, raw};
use support::beside_a_timer;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);
/// How long after a failover, or after a node came back, calls are answered again.
const RECOVERY: Duration = Duration::from_secs(2);

async fn increment(russet: &Russet, key: &str) -> Result<i64, russet::Error> {
    match raw::command(russet, &["INCR", key]).await? {
        raw::Value::Int(count) => Ok(count),
        other => panic!("INCR answered {other:?}"),
    }
}

/// A key of this node.
async fn key_at(cluster: &TestCluster, node: usize) -> Result<String, Box<dyn Error>> {
    for n in 0.. {
        let key = format!("key-{n}");
        if cluster.owner(cluster.slot(&key).await?).await? == node {
            return Ok(key);
        }
    }
    unreachable!()
}

/// The connections that a server has for messages.
async fn listeners(server: &TestServer) -> Result<usize, String> {
    let list = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    Ok(list.map_err(|error| error.to_string())?.text().unwrap_or_default().lines().count())
}

#[tokio::test]
async fn every_slot_is_reached_and_every_node_used() -> Outcome {
    let cluster = TestCluster::start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    for n in 0..200 {
        assert_eq!(increment(&russet, &format!("key-{n}")).await?, 1);
    }
    let mut keys = 0;
    for node in cluster.nodes() {
        let here = node.command(&["DBSIZE"]).await?.int().unwrap_or_default();
        assert!(here > 20, "{here} of 200 keys on one node");
        keys += here;
    }
    assert_eq!(keys, 200);
    assert_eq!(russet.health().await?.role, "master");
    Ok(())
}

#[tokio::test]
async fn a_process_has_one_connection_a_node_and_one_for_messages() -> Outcome {
    let cluster = TestCluster::start().await?;
    let clients = async || {
        let mut clients = Vec::new();
        for node in cluster.nodes() {
            let list = node.command(&["CLIENT", "LIST", "TYPE", "normal"]).await?;
            // Without the one that asks.
            clients.push(list.text().unwrap_or_default().lines().count() - 1);
        }
        Ok::<_, Box<dyn Error>>(clients)
    };
    let russet = Russet::connect(&cluster.url()).await?;
    increment(&russet, &key_at(&cluster, 1).await?).await?;
    increment(&russet, &key_at(&cluster, 1).await?).await?;
    let open: usize = clients().await?.iter().sum();
    assert!(open <= 2, "two nodes at most were needed, and {open} connections are open");
    for node in 0..3 {
        increment(&russet, &key_at(&cluster, node).await?).await?;
    }
    assert_eq!(clients().await?, [1, 1, 1]);
    let mut messages = 0;
    for node in cluster.nodes() {
        messages += listeners(node).await?;
    }
    assert_eq!(messages, 0, "nobody has waited yet");
    russet.close().await;
    eventually(LONG, async || match clients().await.map_err(|error| error.to_string())? {
        none if none == [0, 0, 0] => Ok(()),
        some => Err(format!("{some:?} after the end")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_batch_goes_to_all_nodes_at_once_and_its_answers_come_in_order() -> Outcome {
    let cluster = TestCluster::builder().proxied().start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "squares").build()?;
    let keys: Vec<u64> = (0..300).collect();
    for key in &keys {
        cache.put(key, &(key * key)).await?;
    }
    for node in 0..3 {
        cluster.proxy(node).reset_counts();
    }
    let expected: Vec<_> = keys.iter().map(|key| Some(key * key)).collect();
    let (values, sent) = russet::metered(cache.get_many(&keys)).await;
    assert_eq!(values?, expected);
    assert_eq!((sent.commands, sent.round_trips), (300, 3));
    // A node may have been asked for the layout too.
    let at_nodes = [0, 1, 2].map(|node| cluster.proxy(node).round_trips());
    assert!(at_nodes.iter().all(|round_trips| *round_trips >= 1), "{at_nodes:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_between_two_nodes_is_asked_for_at_the_new_one() -> Outcome {
    let cluster = TestCluster::start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let there = "{tag}:there";
    assert_eq!(increment(&russet, there).await?, 1);
    let slot = cluster.slot(there).await?;
    let from = cluster.owner(slot).await?;
    let to = (from + 1) % 3;

    cluster.begin_move(slot, to).await?;
    assert_eq!(increment(&russet, there).await?, 2, "a key that has not moved");
    assert_eq!(increment(&russet, "{tag}:new").await?, 1);
    let pair = ["{tag}:new", there, "{tag}:new"];
    let commands: Vec<Vec<Vec<u8>>> =
        pair.iter().map(|key| vec![b"INCR".to_vec(), key.as_bytes().to_vec()]).collect();
    let mixed = raw::pipeline(&russet, &commands).await?;
    assert_eq!(mixed, [2, 3, 3].map(raw::Value::Int), "answers of two nodes, in order");
    cluster.move_keys(slot, to).await?;
    assert_eq!(increment(&russet, there).await?, 4, "a key that has moved");
    assert_eq!(cluster.node(to).calls("asking").await?, 4);

    cluster.end_move(slot, to).await?;
    assert_eq!(increment(&russet, there).await?, 5);
    let (again, sent) = russet::metered(increment(&russet, there)).await;
    assert_eq!((again?, sent.round_trips), (6, 1), "the new node is known now");
    Ok(())
}

#[tokio::test]
async fn the_script_is_brought_along_to_a_node_that_asks_for_it() -> Outcome {
    let cluster = TestCluster::start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let board = Leaderboard::builder(&russet, "game").build()?;
    board.add("me", 1.0).await?;
    let slot = cluster.slot("{leaderboard:game}").await?;
    let to = (cluster.owner(slot).await? + 1) % 3;
    cluster.begin_move(slot, to).await?;
    cluster.move_keys(slot, to).await?;
    // ASKING holds for one command: the text of the script needs one of its own.
    assert_eq!(board.increment("me", 1.0).await?.score, 2.0);
    cluster.end_move(slot, to).await?;
    cluster.node(to).command(&["SCRIPT", "FLUSH"]).await?;
    assert_eq!(board.increment("me", 1.0).await?.score, 3.0);
    Ok(())
}

/// What came of fills that were waited for.
#[derive(Default)]
struct Fills {
    rounds: AtomicU64,
    slowest_ms: AtomicU64,
}

/// The lease is so long that a waiter whose message was lost shows.
fn moving_cache(russet: &Russet) -> Result<Cache<u64, u64>, russet::Error> {
    Cache::builder(russet, "moving").fill_lease(2 * LONG).build()
}

fn waits(caches: &[Cache<u64, u64>]) -> u64 {
    caches.iter().map(|cache| cache.stats().waits).sum()
}

/// Asks for one key after the other in two processes at once; all keys are in the first partition, whose slot moves.
async fn hand_over(
    caches: [Cache<u64, u64>; 2],
    pair: u64,
    over: Arc<AtomicBool>,
    fills: Arc<Fills>,
) -> Result<(), BoxError> {
    for n in (pair..).step_by(3) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        if !xxhash_rust::xxh3::xxh3_64(n.to_string().as_bytes()).is_multiple_of(256) {
            continue;
        }
        let (started, waited) = (Instant::now(), waits(&caches));
        let load = async || {
            while waits(&caches) == waited && started.elapsed() < LONG {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // It has a number for its wait; now it writes that down.
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, BoxError>(n + 1)
        };
        let values = tokio::join!(caches[0].get_with(&n, load), caches[1].get_with(&n, load));
        assert_eq!((values.0?, values.1?), (n + 1, n + 1));
        let took = started.elapsed();
        assert!(took < LONG / 2, "woken by a timer after {took:?}");
        fills.rounds.fetch_add(1, Ordering::Relaxed);
        fills.slowest_ms.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
    }
    let stats = caches.map(|cache| cache.stats());
    assert_eq!(stats[0].loads + stats[1].loads, stats[0].waits + stats[1].waits);
    assert_eq!(stats[0].bypasses + stats[1].bypasses, 0, "an error was covered up by the cache");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_are_no_error_to_anybody() -> Outcome {
    let cluster = TestCluster::start().await?;
    // Time enough to find a slot again on any machine: it is errors that this is about.
    let connect = || Russet::builder().url(cluster.url()).timeout(LONG / 3).connect();
    let (one, two) = (connect().await?, connect().await?);
    let over = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();

    // Counts, to be compared with what was acknowledged.
    let added = Arc::new(AtomicU64::new(0));
    let counters = Counters::builder(&one, "moving").build()?;
    for _ in 0..4 {
        let (counters, over, added) = (counters.clone(), over.clone(), added.clone());
        load.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                counters.add("n", 1).await?;
                added.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, BoxError>(())
        }));
    }
    // Answers that belong to their questions.
    for caller in 0..4 {
        let (russet, over) = (two.clone(), over.clone());
        load.push(tokio::spawn(async move {
            let key = format!("{{tag}}:{caller}");
            for n in 1.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                assert_eq!(increment(&russet, &key).await?, n);
            }
            Ok(())
        }));
    }
    // Fills in a slot that moves, each loaded in one process and waited for in the other.
    let fills = Arc::new(Fills::default());
    for pair in 0..3 {
        let caches = [moving_cache(&one)?, moving_cache(&two)?];
        load.push(tokio::spawn(hand_over(caches, pair, over.clone(), fills.clone())));
    }

    let moving = ["{counters:moving}", "{tag}", "{cache:moving:0}"];
    // Longer when it is asked for: RUSSET_TEST_SECONDS.
    let seconds = std::env::var("RUSSET_TEST_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let mut moves = 0;
    while Instant::now() < end {
        for tag in moving {
            let slot = cluster.slot(tag).await?;
            cluster.move_slot(slot, (cluster.owner(slot).await? + 1) % 3).await?;
            moves += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    for task in load {
        task.await?.map_err(|error| error.to_string())?;
    }
    assert_eq!(counters.total("n").await?, added.load(Ordering::Relaxed));
    let redirects = cluster.node(0).command(&["INFO", "errorstats"]).await?;
    assert!(redirects.text().unwrap_or_default().contains("MOVED"), "nothing was redirected");
    let mut published = 0;
    for node in cluster.nodes() {
        published += node.calls("publish").await?;
    }
    let [rounds, slowest_ms] =
        [&fills.rounds, &fills.slowest_ms].map(|number| number.load(Ordering::Relaxed));
    println!(
        "{moves} moves, {} additions, {rounds} fills waited for, {published} messages, the slowest {slowest_ms} ms",
        added.load(Ordering::Relaxed),
    );
    // One that is written down after the value came needs no message.
    assert!(rounds > 0 && published > 0, "{published} messages for {rounds} waits");
    Ok(())
}

#[tokio::test]
async fn a_slot_that_stays_between_two_nodes_is_refused_by_the_deadline() -> Outcome {
    let cluster = TestCluster::start().await?;
    let timeout = Duration::from_secs(1);
    let russet = Russet::builder().url(cluster.url()).timeout(timeout).connect().await?;
    let counters = Counters::builder(&russet, "split").build()?;
    counters.add("n", 1).await?;
    let slot = cluster.slot("{counters:split}").await?;
    let from = cluster.owner(slot).await?;
    let to = (from + 1) % 3;
    cluster.begin_move(slot, to).await?;
    // One of the script's keys is here and the others are there: neither node may run it.
    let number = slot.to_string();
    let first = ["CLUSTER", "GETKEYSINSLOT", &number, "1"];
    let key = cluster.node(from).command(&first).await?.texts()[0].to_owned();
    let port = cluster.node(to).port().unwrap_or_default().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"];
    cluster.node(from).command(&migrate).await?;
    let started = Instant::now();
    let timed = beside_a_timer(timeout, counters.add("n", 1)).await;
    assert!(timed.beyond < Duration::from_millis(100), "{:?}", timed.took);
    let error = timed.answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    // An eighth of the time is left for the answer of a last try.
    assert!(started.elapsed() > timeout / 2, "given up after {:?}", started.elapsed());
    cluster.move_keys(slot, to).await?;
    cluster.end_move(slot, to).await?;
    assert_eq!(counters.add("n", 1).await?.total, 2);

    // One key is nowhere, and the others are there: the old node sends the call on, and the new one sends it back.
    let key = cluster.node(to).command(&first).await?.texts()[0].to_owned();
    cluster.node(to).command(&["DEL", &key]).await?;
    let back = (to + 1) % 3;
    cluster.begin_move(slot, back).await?;
    cluster.move_keys(slot, back).await?;
    let started = Instant::now();
    let error = counters.add("n", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(started.elapsed() > timeout / 2, "given up after {:?}", started.elapsed());
    let several = async {
        let words = |name: &str| vec![b"INCR".to_vec(), name.as_bytes().to_vec()];
        raw::pipeline(&russet, &[words("{counters:split}:a"), words("elsewhere")]).await
    };
    assert_eq!(several.await?, [1, 1].map(raw::Value::Int), "one key alone is no trouble");
    cluster.end_move(slot, back).await?;
    counters.add("n", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_the_write_is_there_once() -> Outcome {
    let cluster = TestCluster::builder().proxied().start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    for node in 0..3 {
        let key = key_at(&cluster, node).await?;
        let (mut sent, mut lost) = (0, None);
        // The reply that is lost can be one about the layout, after the loss before: then it is not this one.
        while lost.is_none() {
            cluster.proxy(node).drop_next_reply().await?;
            lost = increment(&russet, &key).await.err();
            sent += 1;
            let stored = cluster.node(node).command(&["GET", &key]).await?;
            assert_eq!(stored.int(), Some(sent), "{lost:?}");
        }
        let error = lost.ok_or("no reply was lost")?;
        assert_eq!((error.kind(), error.advice()), (ErrorKind::Unknown, Advice::GiveUp));
        eventually(LONG, async || increment(&russet, &key).await).await;
        assert_eq!(cluster.node(node).command(&["GET", &key]).await?.int(), Some(sent + 1));
    }
    // A batch that lost the answers of one node does not know that part.
    let (mut sent, mut lost) = (0, None);
    let commands: Vec<Vec<Vec<u8>>> =
        (0..30).map(|n| vec![b"INCR".to_vec(), format!("batch-{n}").into_bytes()]).collect();
    while lost.is_none() {
        cluster.proxy(1).drop_next_reply().await?;
        lost = raw::pipeline(&russet, &commands).await.err();
        sent += 1;
    }
    assert_eq!(lost.ok_or("no reply was lost")?.kind(), ErrorKind::Unknown);
    for n in 0..30 {
        let key = format!("batch-{n}");
        let stored = cluster.command(&key, &["GET", &key]).await?;
        assert_eq!(stored.int(), Some(sent), "{key} was sent twice or never");
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_primary_is_followed_by_its_replica() -> Outcome {
    let cluster = TestCluster::builder().replicas(1).start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let (dying, living) = (key_at(&cluster, 0).await?, key_at(&cluster, 1).await?);
    increment(&russet, &dying).await?;
    increment(&russet, &living).await?;
    cluster.node(0).kill().await?;
    let slot = cluster.slot(&dying).await?;
    let mut promoted = None;
    eventually(LONG, async || {
        // By the deadline, and with an error that says that nothing was done.
        let started = Instant::now();
        let outcome = increment(&russet, &dying).await;
        assert!(started.elapsed() < Duration::from_millis(1_100), "{:?}", started.elapsed());
        let owner = cluster.owner(slot).await.map_err(|error| error.to_string());
        if promoted.is_none() && owner.as_ref().is_ok_and(|owner| *owner >= 3) {
            promoted = Some(Instant::now());
        }
        outcome.map_err(|error| {
            let kinds = [ErrorKind::Unreachable, ErrorKind::Unknown, ErrorKind::Refused];
            assert!(kinds.contains(&error.kind()), "{error}");
            format!("{error}, {owner:?}")
        })
    })
    .await;
    let since = promoted.map(|at| at.elapsed()).unwrap_or_default();
    println!("answered {since:?} after the replica was seen as the primary");
    assert!(since < RECOVERY);
    // The living nodes learn one after the other that the Cluster is whole again.
    eventually(RECOVERY, async || increment(&russet, &living).await).await;

    // The old primary comes back as a replica, and nobody uses it as what it was.
    cluster.node(0).restart().await?;
    cluster.complete().await?;
    let before = increment(&russet, &dying).await?;
    assert_eq!(increment(&russet, &dying).await?, before + 1);
    Ok(())
}

#[tokio::test]
async fn a_cluster_is_connected_to_while_one_of_its_primaries_is_away() -> Outcome {
    let settings = TestCluster::builder().arg("cluster-require-full-coverage", "no");
    let cluster = settings.start().await?;
    let living = key_at(&cluster, 2).await?;
    // Which one comes first is another each time.
    let connects = async || {
        for _ in 0..4 {
            let russet = Russet::connect(&cluster.url()).await?;
            eventually(LONG, async || increment(&russet, &living).await).await;
            assert!(
                russet.health().await.is_ok(),
                "any primary will do, and this one is connected"
            );
        }
        Ok::<_, russet::Error>(())
    };
    cluster.node(1).pause()?;
    connects().await?;
    cluster.node(1).resume()?;
    cluster.complete().await?;
    cluster.node(0).kill().await?;
    connects().await?;
    Ok(())
}

#[tokio::test]
async fn a_primary_that_hung_and_was_replaced_serves_nobody_when_it_wakes() -> Outcome {
    let cluster = TestCluster::builder().replicas(1).start().await?;
    let timeout = Duration::from_millis(400);
    let builder = || Russet::builder().url(cluster.url()).timeout(timeout);
    let (stays, comes) = (builder().connect().await?, builder().connect().await?);
    let key = key_at(&cluster, 2).await?;
    increment(&stays, &key).await?;
    increment(&comes, &key).await?;
    cluster.node(2).command(&["WAIT", "1", "1000"]).await?;
    cluster.node(2).pause()?;
    eventually(LONG, async || increment(&comes, &key).await).await;
    // This handle has not called since: its connection to the old primary still looks open.
    let expected = raw::command(&comes, &["GET", &key]).await?;
    cluster.node(2).resume()?;
    let woken = Instant::now();
    while woken.elapsed() < Duration::from_secs(2) {
        match raw::command(&stays, &["GET", &key]).await {
            Ok(value) if value == expected => {}
            Ok(value) => {
                assert!(woken.elapsed() < Duration::from_secs(1), "{value:?} of a demoted primary");
            }
            Err(error) => println!("{:?}: {error}", woken.elapsed()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(raw::command(&stays, &["GET", &key]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn messages_come_from_any_node_and_move_when_it_dies() -> Outcome {
    let settings = TestCluster::builder().arg("cluster-require-full-coverage", "no");
    let cluster = settings.start().await?;
    let (one, two) =
        (Russet::connect(&cluster.url()).await?, Russet::connect(&cluster.url()).await?);
    let cache = |russet| Cache::<u64, u64>::builder(russet, "users").fill_lease(LONG).build();
    let (here, there) = (cache(&one)?, cache(&two)?);

    // A load here and a waiter there, for keys of all partitions: each is woken with the value.
    let hand_over = async |n: u64| {
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let (here, there) = (here.clone(), there.clone());
        let leader = tokio::spawn(async move {
            let load = async || {
                let _ = started.send(());
                let _ = may_go_on.await;
                Ok::<_, BoxError>(n)
            };
            here.get_with(&n, load).await
        });
        let _ = has_started.await;
        let waits = there.stats().waits;
        let waiter = {
            let there = there.clone();
            tokio::spawn(async move { there.get_with(&n, async || Ok::<_, BoxError>(0)).await })
        };
        eventually(LONG, async || match there.stats().waits > waits {
            true => Ok(()),
            false => Err("nobody waits"),
        })
        .await;
        go_on.send(()).ok();
        let started = Instant::now();
        let values = (leader.await??, waiter.await??);
        Ok::<_, Box<dyn Error>>((values, started.elapsed()))
    };
    for n in 0..20 {
        let (values, took) = hand_over(n).await?;
        assert_eq!(values, (n, n));
        assert!(took < Duration::from_secs(2), "woken by a timer after {took:?}");
    }

    let mut heard_at = None;
    for (number, node) in cluster.nodes().iter().enumerate() {
        if listeners(node).await? == 1 {
            heard_at = Some(number);
        }
    }
    let dying = heard_at.ok_or("the messages come over one connection")?;
    cluster.node(dying).kill().await?;
    eventually(LONG, async || {
        let mut open = 0;
        for node in cluster.nodes().iter().filter(|node| node.is_running()) {
            open += listeners(node).await?;
        }
        if open == 1 { Ok(()) } else { Err(format!("{open} connections for messages")) }
    })
    .await;
    let mut woken = 0;
    for n in 100..130 {
        let key = format!(
            "{{cache:users:{}}}",
            xxhash_rust::xxh3::xxh3_64(n.to_string().as_bytes()) % 256
        );
        let slot = cluster.slot(&key).await?;
        // Keys of the dead node have nobody who serves them.
        if cluster.owner(slot).await.is_err() {
            continue;
        }
        let (values, took) = hand_over(n).await?;
        assert_eq!(values, (n, n));
        assert!(took < Duration::from_secs(2), "woken by a timer after {took:?}");
        woken += 1;
    }
    assert!(woken > 5);
    Ok(())
}

#[tokio::test]
async fn a_cluster_without_all_its_slots_refuses_until_it_has_them() -> Outcome {
    let cluster = TestCluster::start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let key = key_at(&cluster, 1).await?;
    increment(&russet, &key).await?;
    let lost = cluster.slot(&key_at(&cluster, 0).await?).await?.to_string();
    for node in cluster.nodes() {
        node.command(&["CLUSTER", "DELSLOTS", &lost]).await?;
    }
    let error = eventually(LONG, async || match increment(&russet, &key).await {
        Err(error) => Ok(error),
        Ok(count) => Err(format!("still served: {count}")),
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    cluster.node(0).command(&["CLUSTER", "ADDSLOTS", &lost]).await?;
    cluster.complete().await?;
    eventually(RECOVERY, async || increment(&russet, &key).await).await;
    Ok(())
}

/// A user without `@dangerous`, who may touch russet's keys and channels only.
#[tokio::test]
async fn the_blocks_need_no_dangerous_command_on_a_cluster_either() -> Outcome {
    let cluster = TestCluster::start().await?;
    let rights = ["ACL", "SETUSER", "app", "on", ">pw", "~app:*", "&app:*", "+@all", "-@dangerous"];
    for node in cluster.nodes() {
        node.command(&rights).await?;
    }
    let builder = Russet::builder().url(cluster.url()).user("app").password("pw");
    let russet = builder.namespace("app").connect().await?;
    let board = Leaderboard::builder(&russet, "game").build()?;
    assert_eq!(board.increment("me", 1.0).await?.rank, Some(1));
    let cache: Cache<u64, u64> = Cache::builder(&russet, "squares").build()?;
    for n in 0..30 {
        assert_eq!(cache.get_with(&n, async || Ok::<_, BoxError>(n * n)).await?, n * n);
    }
    let slot = cluster.slot("{leaderboard:game}").await?;
    let to = (cluster.owner(slot).await? + 1) % 3;
    cluster.begin_move(slot, to).await?;
    cluster.move_keys(slot, to).await?;
    assert_eq!(board.increment("me", 1.0).await?.score, 2.0, "ASKING is not dangerous");
    cluster.end_move(slot, to).await?;
    assert_eq!(board.increment("me", 1.0).await?.score, 3.0);
    for node in cluster.nodes() {
        let denied = node.command(&["ACL", "LOG"]).await?;
        assert_eq!(denied.list().len(), 0, "{denied:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_wrong_kind_of_url_is_told() -> Outcome {
    let cluster = TestCluster::builder().password("s3cret").start().await?;
    let server = TestServer::start().await?;
    let single = server.url().replace("redis:", "redis+cluster:");
    let error = Russet::connect(&single).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");

    let russet = Russet::connect(&cluster.node(0).url()).await?;
    let key = key_at(&cluster, 1).await?;
    let error = increment(&russet, &key).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");
    assert!(error.to_string().contains("redis+cluster"), "{error}");

    let wrong = cluster.url().replace("s3cret", "guess");
    let started = Instant::now();
    let error = Russet::connect(&wrong).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");
    assert!(started.elapsed() < Duration::from_millis(900), "refused at once");
    Russet::connect(&cluster.url()).await?;
    Ok(())
}
