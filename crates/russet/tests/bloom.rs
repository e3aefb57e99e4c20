//! The Bloom filter: it never hides what exists, whatever happens to it, and says "maybe" as seldom as it promises.

#![cfg(all(feature = "bloom", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use russet::{
    BloomFilter, BloomFilterBuilder, BoxError, ErrorKind, ItemSource, Rebuilt, Russet, Verdict,
    metered,
    testing::{WorkerProcess, eventually, worker_env, worker_report},
};
use support::{Ground, Stage, needs_one_server};
use tokio::sync::Notify;

const LONG: Duration = Duration::from_secs(60);

fn builder(russet: &Russet) -> BloomFilterBuilder {
    BloomFilter::builder(russet, "ids").expected_items(10_000).settle(Duration::ZERO)
}

/// Another process's handle of the same filter.
async fn elsewhere(stage: &Stage) -> Russet {
    let builder = Russet::builder().url(stage.server.url()).timeout(LONG);
    builder.namespace(stage.russet.namespace()).connect().await.unwrap()
}

/// The servers of this file, and a handle that waits for a busy machine.
async fn stage() -> Stage {
    let stage = support::stage().await;
    let russet = elsewhere(&stage).await;
    Stage { russet, ..stage }
}

/// The bits of the live generation, of a filter of one shard.
async fn bits(stage: &Stage) -> Vec<String> {
    let keys = stage.keys().await.into_iter().map(|stored| stored.key);
    keys.filter(|key| key.contains(":bits:")).collect()
}

async fn ttl(stage: &Stage, key: &str) -> i64 {
    stage.server.command(&["PTTL", key]).await.unwrap().int().unwrap()
}

/// Ids up to a number, in pages.
struct Table(AtomicU64);

impl ItemSource for Table {
    type Item = u64;

    async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
        let first = after.map_or(0, |last| last + 1);
        let page = (first..self.0.load(Ordering::SeqCst)).take(1_700);
        Ok(page.collect())
    }
}

/// Stops behind its first page until it is told to go on.
#[derive(Default)]
struct Halting {
    has_begun: Notify,
    go_on: Notify,
}

impl ItemSource for Halting {
    type Item = u64;

    async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
        if after.is_none() {
            return Ok((0..500).collect());
        }
        if after == Some(&499) {
            self.has_begun.notify_one();
            self.go_on.notified().await;
            return Ok((500..1_000).collect());
        }
        Ok(Vec::new())
    }
}

/// `RUSSET_BLOOM_ITEMS` sets the number of items, 1,000,000 for the promise as it is written.
#[tokio::test]
async fn no_item_is_hidden_and_false_positives_are_what_theory_says() {
    let items = env::var("RUSSET_BLOOM_ITEMS").ok().and_then(|items| items.parse().ok());
    let items: u64 = items.unwrap_or(20_000);
    let stage = stage().await;
    let filter = builder(&stage.russet).expected_items(items).build().unwrap();
    let table = Table(items.into());
    assert_eq!(filter.rebuild(&table).await.unwrap(), Rebuilt::Done { items });

    let count = async |from: u64, items: u64| {
        let mut possible = 0;
        let ids: Vec<u64> = (from..from + items).collect();
        for ids in ids.chunks(1_000) {
            let verdicts = filter.might_contain_many(ids).await.unwrap();
            possible += verdicts.into_iter().filter(|possible| *possible).count() as u64;
        }
        possible
    };
    assert_eq!(count(0, items).await, items, "false negatives");

    let status = filter.status().await.unwrap().unwrap();
    let load = f64::from(status.hashes) * items as f64 / status.bits as f64;
    let theory = (1.0 - (-load).exp()).powi(status.hashes as i32);
    let unknown = items.max(60_000);
    let measured = count(1 << 40, unknown).await as f64 / unknown as f64;
    println!("{items} items: {measured:.5} false positives, {theory:.5} in theory, {status:?}");
    assert!(measured <= 0.011 && (0.9..1.1).contains(&(measured / theory)), "{measured} {theory}");
    assert!((0.45..0.55).contains(&status.fill_ratio), "{status:?}");
    let estimated = status.estimated_items as f64 / items as f64;
    assert!((0.98..1.02).contains(&estimated), "{status:?}");

    // While it is built again, by another process, and read by this one.
    let other = builder(&elsewhere(&stage).await).expected_items(items).build().unwrap();
    let rebuilding = AtomicBool::new(true);
    let read = async {
        let mut rounds = 0;
        while rebuilding.load(Ordering::SeqCst) || rounds == 0 {
            let ids: Vec<u64> = (0..100).map(|n| (n * 7_919 + rounds) % items).collect();
            let verdicts = filter.verdicts(&ids).await.unwrap();
            let hidden = verdicts.iter().filter(|verdict| **verdict != Verdict::Possible).count();
            assert_eq!(hidden, 0, "hidden or unready in the middle of a rebuild");
            rounds += 1;
        }
    };
    let rebuild = async {
        assert_eq!(other.rebuild(&table).await.unwrap(), Rebuilt::Done { items });
        rebuilding.store(false, Ordering::SeqCst);
    };
    tokio::join!(read, rebuild);

    // And when its bits are gone.
    for key in bits(&stage).await {
        stage.server.command(&["DEL", &key]).await.unwrap();
    }
    assert_eq!(count(0, items).await, items, "false negatives of a lost filter");
}

#[tokio::test]
async fn what_is_inserted_during_a_rebuild_is_never_hidden() {
    let stage = stage().await;
    let writer = builder(&stage.russet).expected_items(100_000).build().unwrap();
    let russet = elsewhere(&stage).await;
    let reader = builder(&russet).expected_items(100_000).build().unwrap();
    // The record store: an id is visible when it is below this number.
    let table = Arc::new(Table(AtomicU64::new(0)));
    reader.rebuild(&*table).await.unwrap();
    let done = AtomicBool::new(false);

    let rows = table.clone();
    let write = async {
        let mut next = 0;
        while !done.load(Ordering::SeqCst) {
            writer.insert_many(&(next..next + 10).collect::<Vec<u64>>()).await.unwrap();
            next += 10;
            rows.0.store(next, Ordering::SeqCst);
            // Any row that is visible, by either process.
            let ids: Vec<u64> = (next.saturating_sub(50)..next).collect();
            for filter in [&writer, &reader] {
                let verdicts = filter.verdicts(&ids).await.unwrap();
                let hidden: Vec<_> =
                    ids.iter().zip(&verdicts).filter(|(_, v)| **v != Verdict::Possible).collect();
                assert!(hidden.is_empty(), "{hidden:?}");
            }
        }
        next
    };
    let rebuild = async {
        for _ in 0..2 {
            assert!(matches!(reader.rebuild(&*table).await.unwrap(), Rebuilt::Done { .. }));
        }
        done.store(true, Ordering::SeqCst);
    };
    let (written, ()) = tokio::join!(write, rebuild);
    assert!(written > 0);
    for ids in (0..written).collect::<Vec<_>>().chunks(1_000) {
        assert!(reader.might_contain_many(ids).await.unwrap().into_iter().all(|known| known));
    }
    let mut lasting = Vec::new();
    for key in bits(&stage).await {
        if ttl(&stage, &key).await == -1 {
            lasting.push(key);
        }
    }
    assert_eq!(lasting.len(), 1, "the bits of old generations end: {lasting:?}");
}

#[tokio::test]
async fn an_insert_tells_what_was_new() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    assert!(filter.insert(&1).await.unwrap(), "nothing was built: it is new to all who ask");
    assert!(filter.start_empty().await.unwrap());
    assert!(!filter.start_empty().await.unwrap());
    assert_eq!(filter.verdict(&1).await.unwrap(), Verdict::Absent);

    assert!(filter.insert(&1).await.unwrap() && !filter.insert(&1).await.unwrap());
    assert_eq!(filter.insert_many(&[1, 2, 1]).await.unwrap(), [false, true, false]);
    assert_eq!(filter.might_contain_many(&[1, 2, 3]).await.unwrap(), [true, true, false]);
    // Also while the filter changes under it, and what one try has set the next one finds set.
    for id in 100..105 {
        let other = builder(&stage.russet).build().unwrap();
        other.insert(&1).await.unwrap();
        filter.rebuild_from([1, 2]).await.unwrap();
        assert!(other.insert(&id).await.unwrap() && filter.insert(&(id + 100)).await.unwrap());
        assert!(!filter.insert(&id).await.unwrap());
    }
    // The same item by another type, as in a cache of other keys.
    assert!(filter.might_contain("1").await.unwrap());
    assert_eq!(filter.verdicts(&["2", "3"]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);
}

#[tokio::test]
async fn each_call_of_the_filter_is_one_round_trip() {
    if needs_one_server() {
        return;
    }
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.start_empty().await.unwrap();
    let ids: Vec<u64> = (0..1_000).collect();
    // Also when what it knows of the generations is old, and is asked for in the same one.
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        let wait = || tokio::time::sleep(pause);
        wait().await;
        assert_eq!(metered(filter.insert(&1)).await.1.round_trips, 1);
        wait().await;
        assert_eq!(metered(filter.insert_many(&ids)).await.1.round_trips, 1);
        wait().await;
        assert_eq!(metered(filter.might_contain(&1)).await.1.round_trips, 1);
        wait().await;
        let (found, sent) = metered(filter.might_contain_many(&ids)).await;
        assert_eq!((sent.round_trips, found.unwrap().len()), (1, 1_000));
        assert!((1_000..=1_001).contains(&sent.commands), "one command an item: {sent:?}");
    }
}

#[tokio::test]
async fn a_lost_shard_hides_nothing_and_ends_by_itself() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    assert_eq!(filter.verdict(&1).await.unwrap(), Verdict::Unready, "never built");
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    assert_eq!(filter.verdict(&404).await.unwrap(), Verdict::Absent);
    let key = bits(&stage).await.remove(0);
    assert_eq!(ttl(&stage, &key).await, -1, "the live bits stay");

    stage.server.command(&["DEL", &key]).await.unwrap();
    assert_eq!(filter.verdict(&1).await.unwrap(), Verdict::Unready);
    assert!(filter.might_contain(&404).await.unwrap());
    assert!(!filter.status().await.unwrap().unwrap().is_ready);

    // An insert makes it anew, and must not make it look complete, nor stay for ever.
    filter.insert(&4).await.unwrap();
    assert_eq!(filter.verdict(&1).await.unwrap(), Verdict::Unready);
    assert!(ttl(&stage, &key).await > 0);

    filter.rebuild_from([1, 2, 3, 4]).await.unwrap();
    assert!(filter.status().await.unwrap().unwrap().is_ready);
    assert_eq!(filter.verdicts(&[4, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);

    // The record of generations is as easily lost.
    let config = stage.key("bloom:ids", "config");
    stage.server.command(&["DEL", &config]).await.unwrap();
    let filter = builder(&stage.russet).build().unwrap();
    assert_eq!(filter.verdict(&404).await.unwrap(), Verdict::Unready);
    assert_eq!(filter.status().await.unwrap(), None);
}

#[tokio::test]
async fn a_deleted_filter_leaves_nothing_and_can_be_built_again() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.delete().await.unwrap();
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    filter.delete().await.unwrap();
    assert_eq!(stage.keys().await, []);
    let other = builder(&elsewhere(&stage).await).build().unwrap();
    assert_eq!(other.verdict(&404).await.unwrap(), Verdict::Unready);
    other.rebuild_from([1]).await.unwrap();
    assert_eq!(other.verdicts(&[1, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);
}

#[tokio::test]
async fn one_process_rebuilds_at_a_time() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    let source = Arc::new(Halting::default());
    let (building, halting) = (filter.clone(), source.clone());
    let rebuild = tokio::spawn(async move { building.rebuild(&*halting).await });
    source.has_begun.notified().await;

    // Half built: it hides nothing.
    assert_eq!(filter.verdicts(&[1, 700, 404_404]).await.unwrap(), [Verdict::Unready; 3]);
    let other = builder(&elsewhere(&stage).await).build().unwrap();
    assert_eq!(other.rebuild_from([1]).await.unwrap(), Rebuilt::Elsewhere);
    assert!(!other.start_empty().await.unwrap());
    // Inserted by another process, behind the page that the source has told.
    other.insert(&7_000).await.unwrap();
    source.go_on.notify_one();
    assert_eq!(rebuild.await.unwrap().unwrap(), Rebuilt::Done { items: 1_000 });
    let expected = [Verdict::Possible, Verdict::Possible, Verdict::Possible, Verdict::Absent];
    assert_eq!(other.verdicts(&[1, 700, 7_000, 404_404]).await.unwrap(), expected);
    assert_eq!(other.rebuild_from([1]).await.unwrap(), Rebuilt::Done { items: 1 });
}

const SERVER: &str = "RUSSET_BLOOM_SERVER";
const NAMESPACE: &str = "RUSSET_BLOOM_NAMESPACE";

/// The process that is killed.
#[tokio::test]
async fn rebuilding_process() {
    let Some(url) = worker_env(SERVER) else { return };
    let namespace = worker_env(NAMESPACE).unwrap();
    let russet = Russet::builder().url(url).namespace(namespace).connect().await.unwrap();
    let source = Arc::new(Halting::default());
    let told = async {
        source.has_begun.notified().await;
        worker_report("half built");
    };
    let filter = builder(&russet).build().unwrap();
    let _ = tokio::join!(filter.rebuild(&*source), told);
}

#[tokio::test]
async fn a_killed_rebuilder_hides_nothing_and_leaves_nothing() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    let (url, namespace) = (stage.server.url(), stage.russet.namespace());
    let environment = [(SERVER, url.as_str()), (NAMESPACE, namespace)];
    let mut worker = WorkerProcess::spawn("rebuilding_process", &environment).unwrap();
    worker.line_starting("half built").await.unwrap();
    worker.kill().await.unwrap();

    assert_eq!(filter.verdicts(&[3, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);
    assert!(filter.status().await.unwrap().unwrap().is_rebuilding);
    let (mut lasting, mut ending) = (Vec::new(), Vec::new());
    for key in bits(&stage).await {
        if ttl(&stage, &key).await < 0 { lasting.push(key) } else { ending.push(key) }
    }
    assert_eq!((lasting.len(), ending.len()), (1, 1), "{lasting:?} {ending:?}");
    let lease = stage.key("bloom:ids", "rebuilder");
    assert!((1..=30_000).contains(&ttl(&stage, &lease).await));
    assert_eq!(filter.rebuild_from([1]).await.unwrap(), Rebuilt::Elsewhere);

    // As when its time had come.
    stage.server.command(&["DEL", &lease]).await.unwrap();
    assert_eq!(filter.rebuild_from([1, 2, 3, 4]).await.unwrap(), Rebuilt::Done { items: 4 });
    assert_eq!(filter.verdicts(&[4, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);
}

#[tokio::test]
async fn a_process_finishes_what_a_killed_rebuilder_left_behind_its_flip() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    // As it stands between the flip and what comes after it.
    let (config, key) = (stage.key("bloom:ids", "config"), bits(&stage).await.remove(0));
    stage.server.command(&["HSET", &config, "settled", "0"]).await.unwrap();
    stage.server.command(&["PEXPIRE", &key, "3600000"]).await.unwrap();

    let other = builder(&elsewhere(&stage).await).build().unwrap();
    assert!(!other.might_contain(&404).await.unwrap());
    assert_eq!(ttl(&stage, &key).await, -1);
    let settled = stage.server.command(&["HGET", &config, "settled"]).await.unwrap();
    assert_eq!(settled.text(), Some("1"));
}

#[tokio::test]
async fn a_rebuild_that_fails_leaves_the_live_filter() {
    struct Broken;
    impl ItemSource for Broken {
        type Item = u64;
        async fn page(&self, _: Option<&u64>) -> Result<Vec<u64>, BoxError> {
            Err("no such table".into())
        }
    }
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    let error = filter.rebuild(&Broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
    assert!(error.to_string().contains("ids") && error.to_string().contains("no such table"));
    assert_eq!(filter.verdicts(&[3, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);

    // Its bits are evicted while it is built.
    let source = Arc::new(Halting::default());
    let before = bits(&stage).await;
    let (building, halting) = (filter.clone(), source.clone());
    let rebuild = tokio::spawn(async move { building.rebuild(&*halting).await });
    source.has_begun.notified().await;
    for key in bits(&stage).await.iter().filter(|key| !before.contains(key)) {
        stage.server.command(&["DEL", key]).await.unwrap();
    }
    source.go_on.notify_one();
    let error = rebuild.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(filter.verdicts(&[3, 404]).await.unwrap(), [Verdict::Possible, Verdict::Absent]);
    for key in bits(&stage).await.iter().filter(|key| !before.contains(key)) {
        assert!(ttl(&stage, key).await > 0, "{key} would stay for ever");
    }
    assert!(!filter.status().await.unwrap().unwrap().is_rebuilding);
    assert!(matches!(filter.rebuild_from([1]).await.unwrap(), Rebuilt::Done { .. }));
}

#[tokio::test]
async fn processes_with_other_settings_agree_and_a_rebuild_changes_the_size() {
    let stage = stage().await;
    let small = builder(&stage.russet).expected_items(1_000).build().unwrap();
    let russet = elsewhere(&stage).await;
    // Three shards, other hashes.
    let large = builder(&russet).expected_items(8_000_000).false_positive_rate(0.001);
    let large = large.build().unwrap();
    small.rebuild_from([1, 2, 3]).await.unwrap();
    large.insert(&4).await.unwrap();
    for filter in [&small, &large] {
        let verdicts = filter.might_contain_many(&[1, 4, 404]).await.unwrap();
        assert_eq!(verdicts, [true, true, false]);
    }
    let before = small.status().await.unwrap().unwrap();
    large.rebuild_from([1, 2, 3, 4]).await.unwrap();
    let after = small.status().await.unwrap().unwrap();
    assert!(after.bits > before.bits && after.hashes > before.hashes && after.built > before.built);
    assert_eq!(bits(&stage).await.len(), 4);
    small.insert(&5).await.unwrap();
    for filter in [&small, &large] {
        let verdicts = filter.might_contain_many(&[1, 4, 5, 404]).await.unwrap();
        assert_eq!(verdicts, [true, true, true, false]);
    }

    // One of its shards is lost: only its items are not known.
    stage.server.command(&["DEL", &bits(&stage).await[0]]).await.unwrap();
    let verdicts = small.verdicts(&(1_000..1_300).collect::<Vec<u64>>()).await.unwrap();
    let unready = verdicts.iter().filter(|verdict| **verdict == Verdict::Unready).count();
    assert!((20..200).contains(&unready), "a quarter of them: {unready}");
    assert!(!verdicts.contains(&Verdict::Possible));
}

#[tokio::test]
async fn a_filter_of_another_version_hides_nothing_and_is_not_written() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.rebuild_from([1, 2, 3]).await.unwrap();
    let config = stage.key("bloom:ids", "config");
    stage.server.command(&["HSET", &config, "version", "2"]).await.unwrap();
    let filter = builder(&stage.russet).build().unwrap();
    let before = stage.keys().await;
    assert_eq!(filter.verdict(&404).await.unwrap(), Verdict::Unready);
    for error in [
        filter.insert(&4).await.unwrap_err(),
        filter.rebuild_from([1]).await.unwrap_err(),
        filter.status().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Codec);
        assert!(error.to_string().contains("ids"), "{error}");
    }
    assert_eq!(stage.keys().await, before);
}

#[tokio::test]
async fn a_scheduled_filter_is_built_at_the_start_and_again_when_it_is_lost() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    let table = Arc::new(Mutex::new(0));
    #[derive(Clone)]
    struct Counted(Arc<Mutex<u32>>);
    impl ItemSource for Counted {
        type Item = u64;
        async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
            *self.0.lock().unwrap() += u32::from(after.is_none());
            Ok(if after.is_none() { vec![1, 2, 3] } else { vec![] })
        }
    }
    let hour = Duration::from_secs(3_600);
    let first = filter.rebuild_every(hour, Counted(table.clone())).unwrap();
    let other = builder(&elsewhere(&stage).await).build().unwrap();
    let second = other.rebuild_every(hour, Counted(table.clone())).unwrap();
    let is_ready = async || match filter.verdict(&404).await.unwrap() {
        Verdict::Absent => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(LONG, is_ready).await;
    assert_eq!(*table.lock().unwrap(), 1, "one of the two has built it");

    stage.server.command(&["DEL", &bits(&stage).await[0]]).await.unwrap();
    assert_eq!(filter.verdict(&404).await.unwrap(), Verdict::Unready);
    eventually(LONG, is_ready).await;
    first.stop().await;
    second.stop().await;
    let error = filter.rebuild_every(Duration::ZERO, Counted(table)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn bad_input_is_refused_and_an_outage_is_an_error() {
    let stage = stage().await;
    let filter = builder(&stage.russet).build().unwrap();
    filter.start_empty().await.unwrap();
    let before = stage.keys().await;
    let many: Vec<u64> = (0..1_001).collect();
    let long = "x".repeat(1_025);
    for error in [
        filter.insert("").await.unwrap_err(),
        filter.insert(&long).await.unwrap_err(),
        filter.might_contain("").await.unwrap_err(),
        filter.insert_many(&many).await.unwrap_err(),
        filter.might_contain_many(&many).await.unwrap_err(),
        builder(&stage.russet).expected_items(0).build().unwrap_err(),
        builder(&stage.russet).settle(Duration::from_secs(3_601)).build().unwrap_err(),
        BloomFilter::builder(&stage.russet, "").build().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(stage.keys().await, before);
    assert!(filter.insert_many::<u64>(&[]).await.unwrap().is_empty());
    assert!(filter.verdicts::<u64>(&[]).await.unwrap().is_empty());

    let ground = Ground::start().await.unwrap();
    let russet = Russet::connect(&ground.url()).await.unwrap();
    let filter = builder(&russet).build().unwrap();
    filter.start_empty().await.unwrap();
    ground.kill().await.unwrap();
    assert!(filter.might_contain(&1).await.is_err() && filter.insert(&1).await.is_err());
}
