//! Many additions in one step, against single ones; and the largest of very many counts.

#![cfg(feature = "counters")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use rand::{RngExt, seq::SliceRandom};
use russet::{Counters, Counts, ErrorKind, Granularity, Russet, Top, metered, testing::Proxy};
use support::{
    Ground, Stored, commands, connect, needs_one_server, random, refused_names, stage,
    strange_names,
};

const LARGEST: u64 = 1 << 53;
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);

fn counters(russet: &Russet, group: &str) -> Counters {
    Counters::builder(russet, group).build().unwrap()
}

fn archive(russet: &Russet, group: &str) -> Counters {
    let settings = Counters::builder(russet, group).time_zone("America/New_York");
    Granularity::ALL
        .into_iter()
        .fold(settings, |settings, each| settings.retention(each, CENTURY))
        .build()
        .unwrap()
}

fn at(instant: &str) -> SystemTime {
    instant.parse::<Timestamp>().unwrap().into()
}

fn all(count: u64) -> Counts {
    Counts { total: count, minute: count, hour: count, day: count, month: count }
}

/// The parts of a group's keys, and when they expire.
fn of_group(keys: &[Stored], group: &str) -> Vec<(String, Option<i64>)> {
    let tag = format!("{{counters:{group}}}:");
    let part = |stored: &Stored| {
        let (_, part) = stored.key.split_once(&tag)?;
        Some((part.to_owned(), stored.expires_ms))
    };
    keys.iter().filter_map(part).collect()
}

#[tokio::test]
async fn many_additions_leave_what_single_ones_leave() {
    let stage = stage().await;
    let (many, single) = (archive(&stage.russet, "many"), archive(&stage.russet, "single"));
    let mut random = random();
    let night = at("2026-11-01T00:00:00Z");
    for batch in 0..12 {
        let additions: Vec<_> = (0..random.random_range(1..120))
            .map(|_| {
                let name = format!("page{}", random.random_range(0..7));
                let time = night + Duration::from_millis(random.random_range(0..60 * 3_600_000));
                (name, random.random_range(0..5_u64), time)
            })
            .collect();
        let sum = additions.iter().map(|(_, n, _)| n).sum();
        let added = many.add_at_many(additions.clone()).await.unwrap();
        assert_eq!(added, all(sum), "batch {batch}");
        for (name, n, time) in additions {
            single.add_at(&name, n, time).await.unwrap();
        }
    }
    let keys = stage.keys().await;
    let (many, single) = (of_group(&keys, "many"), of_group(&keys, "single"));
    assert!(many.len() > 100, "{}", many.len());
    assert_eq!(many, single);
    for (part, _) in &many {
        let mut scores = Vec::new();
        for group in ["many", "single"] {
            let key = stage.key(&format!("counters:{group}"), part);
            let listed = stage.server.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await;
            scores.push(format!("{:?}", listed.unwrap()));
        }
        assert_eq!(scores[0], scores[1], "{part}");
    }
}

#[tokio::test]
async fn many_are_counted_in_all_and_in_the_present() {
    let stage = stage().await;
    let counters = counters(&stage.russet, "site");
    counters.add_many([("a", 2), ("b", 3), ("a", 4), ("zero", 0)]).await.unwrap();
    let months = counters.series("a", Granularity::Month, ..).await.unwrap();
    assert_eq!(months.iter().map(|month| month.count).sum::<u64>(), 6);
    assert_eq!(counters.total("b").await.unwrap(), 3);
    let minutes = counters.series("b", Granularity::Minute, ..).await.unwrap();
    assert_eq!(minutes.iter().rev().take(2).map(|minute| minute.count).sum::<u64>(), 3);
    let names: Vec<_> = counters.top_total(9).await.unwrap();
    assert_eq!(names.len(), 2, "0 makes no counter: {names:?}");
    let keys = stage.keys().await;
    let lasting: Vec<_> =
        keys.iter().filter(|it| it.expires_ms.is_none()).map(|it| &it.key).collect();
    assert_eq!((keys.len(), lasting), (5, vec![&stage.key("counters:site", "total")]));

    let strange = strange_names();
    counters.add_many(strange.iter().zip(10..)).await.unwrap();
    for (name, n) in strange.iter().zip(10..).skip(1) {
        assert_eq!(counters.total(name).await.unwrap(), n);
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_left_out_of_a_batch_and_told() {
    let stage = stage().await;
    let counters = counters(&stage.russet, "site");
    let now = SystemTime::now();
    let times =
        [(1, now + DAY), (10, now - 10 * DAY), (100, now - 100 * DAY), (1_000, now - 800 * DAY)];
    let added = counters.add_at_many(times.map(|(n, time)| ("views", n, time))).await.unwrap();
    assert_eq!(added, Counts { total: 1_111, minute: 1, hour: 1, day: 11, month: 111 });
    let keys = stage.keys().await;
    let parts = |of: &str| keys.iter().filter(|it| it.key.contains(of)).count();
    assert_eq!([parts(":minute:"), parts(":hour:"), parts(":day:")], [1, 1, 2]);
    for (n, time) in times {
        let counts = counters.get_at("views", time).await.unwrap();
        let kept = |from: u64| if n < from { n } else { 0 };
        assert_eq!((counts.total, counts.minute, counts.day), (1_111, kept(10), kept(100)));
    }
}

#[tokio::test]
async fn a_refused_batch_changes_nothing() {
    let stage = stage().await;
    let counters = counters(&stage.russet, "site");
    counters.add_many([("full", LARGEST), ("nearly", LARGEST - 1)]).await.unwrap();
    let before = stage.keys().await;
    let now = SystemTime::now();
    let mut batches = vec![
        vec![("new".to_owned(), 1), ("full".to_owned(), 1)],
        vec![("nearly".to_owned(), 1), ("nearly".to_owned(), 1)],
        vec![("new".to_owned(), LARGEST + 1)],
        vec![("new".to_owned(), LARGEST), ("new".to_owned(), 1)],
        vec![("new".to_owned(), u64::MAX), ("new".to_owned(), u64::MAX)],
        (0..1_001).map(|i| (format!("name {i}"), 1)).collect(),
        (0..1_001).map(|_| ("new".to_owned(), 0)).collect(),
    ];
    batches.extend(refused_names().map(|name| vec![("new".to_owned(), 1), (name, 1)]));
    batches.extend(refused_names().map(|name| vec![(name, 0)]));
    for batch in batches {
        let error = counters.add_many(batch.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let timed = batch.into_iter().map(|(name, n)| (name, n, now));
        let error = counters.add_at_many(timed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    for wrong in [at("1969-12-31T23:59:59Z"), at("9999-01-01T00:00:00Z")] {
        let error = counters.add_at_many([("new", 1, now), ("new", 1, wrong)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(stage.keys().await, before);
    counters.add_many([("nearly", 1), ("new", LARGEST)]).await.unwrap();
    assert_eq!(counters.total("nearly").await.unwrap(), LARGEST);
}

#[tokio::test]
async fn nothing_to_add_is_no_call() {
    let stage = stage().await;
    let counters = counters(&stage.russet, "site");
    let nothing: [(&str, u64); 0] = [];
    let (done, sent) = metered(counters.add_many(nothing)).await;
    assert_eq!((done.unwrap(), sent.round_trips), ((), 0));
    let (added, sent) = metered(counters.add_at_many([("a", 0, SystemTime::now())])).await;
    assert_eq!((added.unwrap(), sent.round_trips), (all(0), 0));
    assert!(stage.keys().await.is_empty());
}

#[tokio::test]
async fn a_batch_is_one_round_trip_and_three_commands_a_bucket() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let proxy = Proxy::to(server.only()).await.unwrap();
    let counters = archive(&connect(&proxy.url()).await, "site");
    counters.add_at_many([("warm", 1, at("2026-01-01T00:00:00Z"))]).await.unwrap();
    proxy.reset_counts();
    let before = commands(&server).await;
    // 1,000 additions to 40 names within ten minutes, one hour, one day and one month.
    let start = at("2026-06-01T12:00:00Z");
    let additions = (0..1_000_u64)
        .map(|i| (format!("name {}", i % 40), 1, start + Duration::from_secs(i * 599 / 999)));
    counters.add_at_many(additions).await.unwrap();
    assert_eq!(proxy.round_trips(), 1);
    let sent = commands(&server).await - before;
    assert_eq!(sent, 1 + 1 + 2 + 13 * 3, "the call, the time, the total, 13 buckets");
}

/// How many names: a million takes half a minute on two busy cores. `RUSSET_COUNTER_NAMES` says so.
fn names() -> u64 {
    std::env::var("RUSSET_COUNTER_NAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_top_100_of_very_many_names_is_exact_and_scans_nothing() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let rules = ["on", ">secret", "~*", "&*", "+@all", "-keys", "-scan", "-sort", "-randomkey"];
    let user = [&["ACL", "SETUSER", "app"] as &[&str], &rules].concat();
    server.only().command(&user).await.unwrap();
    let russet = Russet::builder()
        .url(with_user(&server.url()))
        .timeout(Duration::from_secs(60))
        .connect()
        .await
        .unwrap();
    let counters = counters(&russet, "site");

    let names = names();
    let mut order: Vec<u64> = (1..=names).collect();
    order.shuffle(&mut random());
    let time = SystemTime::now();
    let started = Instant::now();
    for thousand in order.chunks(1_000) {
        let additions = thousand.iter().map(|n| (format!("page {n}"), *n, time));
        counters.add_at_many(additions).await.unwrap();
    }
    println!("{names} names in {:.1} s", started.elapsed().as_secs_f64());

    let expected: Vec<_> =
        (0..100).map(|i| Top { name: format!("page {}", names - i), count: names - i }).collect();
    let mut micros = Vec::new();
    for _ in 0..21 {
        let before = server_micros(&server, "zrevrange").await;
        assert_eq!(counters.top_total(100).await.unwrap(), expected);
        micros.push(server_micros(&server, "zrevrange").await - before);
    }
    assert_eq!(counters.top_at(Granularity::Day, time, 100).await.unwrap(), expected);
    micros.sort_unstable();
    println!("top 100 of {names}: {} µs at the server, {} at most", micros[10], micros[20]);
    assert!(micros[10] <= 10_000, "{micros:?}");
    let denied = server.only().command(&["ACL", "LOG"]).await.unwrap();
    assert!(denied.list().is_empty(), "{denied:?}");
}

/// The server's URL for the user who may not look at all keys.
fn with_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    format!("{scheme}://app:secret@{address}")
}

/// Microseconds that the server has spent in a command.
async fn server_micros(server: &Ground, command: &str) -> u64 {
    let stats = server.only().command(&["INFO", "commandstats"]).await.unwrap();
    let start = format!("cmdstat_{command}:");
    let line = stats.text().unwrap().lines().find(|line| line.starts_with(&start));
    let usec = line.and_then(|line| line.split("usec=").nth(1)?.split(',').next()?.parse().ok());
    usec.unwrap_or_default()
}
