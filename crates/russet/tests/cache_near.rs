//! Copies in the process: no round trip for a hit, and never older than the way of a message.

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestServer, eventually};
use russet::{BoxError, Cache, ErrorKind, Loader, Russet, Source, metered};
use support::{connect, needs_one_server, server, stage};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(20);

/// The system of record: one number for all keys.
#[derive(Clone, Default)]
struct Record(Arc<AtomicU64>);

impl Loader<str, u64> for Record {
    async fn load(&self, key: &str) -> Result<Option<u64>, BoxError> {
        Ok((key != "nobody").then(|| self.0.load(Ordering::SeqCst)))
    }
}

fn near(russet: &Russet, record: &Record) -> Result<Cache<str, u64>, russet::Error> {
    Cache::builder(russet, "numbers")
        .near_entries(1_000)
        .near_max_age(Duration::from_secs(600))
        .loader(record.clone())
        .build()
}

/// Ends when a copy of this key is in the process, which begins when the connection for messages is there.
async fn kept(cache: &Cache<str, u64>, key: &str) {
    eventually(LONG, async || match cache.get_with_source(key).await {
        Ok(Some(found)) if found.source == Source::Near => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Ends when the process has this value.
async fn sees(cache: &Cache<str, u64>, key: &str, value: Option<u64>) {
    eventually(LONG, async || match cache.get(key).await {
        Ok(seen) if seen == value => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_hit_in_the_process_costs_no_round_trip() -> Outcome {
    let (russet, record) = (connect(&server().await.url()).await, Record::default());
    let cache = near(&russet, &record)?;
    for key in ["a", "b", "nobody"] {
        kept(&cache, key).await;
    }
    let before = cache.stats();
    let (values, sent) = metered(async {
        let one = cache.get("a").await?;
        let none = cache.get("nobody").await?;
        let many = cache.get_many(&["a", "nobody", "b", "a"]).await?;
        Ok::<_, russet::Error>((one, none, many))
    })
    .await;
    assert_eq!(values?, (Some(0), None, vec![Some(0), None, Some(0), Some(0)]));
    assert_eq!(sent.round_trips, 0);
    let after = cache.stats();
    assert_eq!(after.near_hits - before.near_hits, 6);
    assert_eq!((after.hits, after.loads), (before.hits, before.loads));
    Ok(())
}

#[tokio::test]
async fn every_change_drops_the_copies_of_all_processes() -> Outcome {
    let (russet, record) = (connect(&server().await.url()).await, Record::default());
    let other = Russet::builder().url(server().await.url()).namespace(russet.namespace());
    let (here, there) = (near(&russet, &record)?, near(&other.connect().await?, &record)?);
    kept(&here, "k").await;
    kept(&there, "k").await;
    there.put("k", &7).await?;
    sees(&here, "k", Some(7)).await;
    kept(&here, "k").await;
    record.0.store(8, Ordering::SeqCst);
    there.invalidate("k").await?;
    sees(&here, "k", Some(8)).await;
    kept(&here, "nobody").await;
    there.put("nobody", &9).await?;
    sees(&here, "nobody", Some(9)).await;
    Ok(())
}

#[tokio::test]
async fn an_invalidation_drops_copies_of_what_redis_no_longer_has() -> Outcome {
    let (stage, record) = (stage().await, Record::default());
    let other = Russet::builder().url(stage.server.url()).namespace(stage.russet.namespace());
    let (here, there) = (near(&stage.russet, &record)?, near(&other.connect().await?, &record)?);
    kept(&here, "k").await;
    for stored in stage.keys().await {
        stage.server.command(&["DEL", &stored.key]).await?;
    }
    assert_eq!(here.get("k").await?, Some(0), "the copy");
    record.0.store(1, Ordering::SeqCst);
    there.invalidate("k").await?;
    sees(&here, "k", Some(1)).await;
    Ok(())
}

#[tokio::test]
async fn a_process_sees_its_own_changes_at_once() -> Outcome {
    let (russet, record) = (connect(&server().await.url()).await, Record::default());
    let cache = near(&russet, &record)?;
    kept(&cache, "k").await;
    for n in 1..=1_000 {
        if n % 2 == 0 {
            cache.put("k", &n).await?;
        } else {
            record.0.store(n, Ordering::SeqCst);
            cache.invalidate("k").await?;
        }
        assert_eq!(cache.get("k").await?, Some(n));
    }
    assert!(cache.stats().near_hits > 0);
    Ok(())
}

/// Never back in time, and no older than the last acknowledged change by more than the way of its message. That way is
/// measured, and printed; how long it may be on a machine that is busy with other things is no claim of this test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_changes_are_never_seen_backwards() -> Outcome {
    let changes =
        std::env::var("RUSSET_TEST_CHANGES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let (russet, record) = (connect(&server().await.url()).await, Record::default());
    let other = Russet::builder().url(server().await.url()).namespace(russet.namespace());
    let (here, there) = (near(&russet, &record)?, near(&other.connect().await?, &record)?);
    kept(&here, "k").await;
    let begun = Instant::now();
    // When the change to each number was acknowledged, in microseconds since then.
    let acknowledged: Arc<Vec<AtomicU64>> =
        Arc::new((0..=changes).map(|_| AtomicU64::new(u64::MAX)).collect());
    let micros = move || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let acks = acknowledged.clone();
    let writer = tokio::spawn(async move {
        for n in 1..=changes {
            record.0.store(n, Ordering::SeqCst);
            there.invalidate("k").await?;
            acks[n as usize].store(micros(), Ordering::SeqCst);
        }
        Ok::<_, russet::Error>(())
    });
    let (mut last, mut lags) = (0, Vec::new());
    while last < changes {
        let asked = micros();
        let seen = here.get("k").await?.unwrap_or_default();
        assert!(seen >= last, "{seen} after {last}");
        last = seen;
        let next =
            acknowledged.get(seen as usize + 1).map_or(u64::MAX, |at| at.load(Ordering::SeqCst));
        lags.push(asked.saturating_sub(next));
        if lags.len() % 64 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() < LONG * 6, "stuck at {last}");
    }
    writer.await??;
    lags.sort_unstable();
    let (p99, most) = (lags[lags.len() * 99 / 100], lags[lags.len() - 1]);
    let stats = here.stats();
    println!(
        "{} reads, {} of copies, {changes} changes: older than acknowledged by p99 {p99} µs, at most {most} µs",
        lags.len(),
        stats.near_hits
    );
    assert!(p99 < 250_000, "p99 {p99} µs");
    Ok(())
}

#[tokio::test]
async fn nothing_old_is_left_after_a_cut_connection() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let (server, record) = (TestServer::start().await?, Record::default());
    let proxy = Proxy::to(&server).await?;
    let here = near(&Russet::connect(&proxy.url()).await?, &record)?;
    let there = near(&Russet::connect(&server.url()).await?, &record)?;
    for round in 1..=5 {
        kept(&here, "k").await;
        proxy.refuse().await?;
        record.0.store(round, Ordering::SeqCst);
        there.invalidate("k").await?;
        proxy.heal().await?;
        // Copies are kept again when the changes are heard again.
        kept(&here, &format!("probe {round}")).await;
        assert_eq!(here.get("k").await?, Some(round));
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_says_nothing_costs_the_maximum_age() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let (server, record) = (TestServer::start().await?, Record::default());
    let proxy = Proxy::to(&server).await?;
    let russet = Russet::builder().url(proxy.url()).timeout(Duration::from_millis(200));
    let here: Cache<str, u64> = Cache::builder(&russet.connect().await?, "numbers")
        .near_entries(10)
        .near_max_age(Duration::from_millis(300))
        .loader(record.clone())
        .build()?;
    kept(&here, "k").await;
    proxy.hang().await?;
    record.0.store(1, Ordering::SeqCst);
    near(&Russet::connect(&server.url()).await?, &record)?.invalidate("k").await?;
    let invalidated = Instant::now();
    // The loader is asked past the silent server.
    sees(&here, "k", Some(1)).await;
    assert!(invalidated.elapsed() < Duration::from_secs(4), "before the silence was noticed");
    Ok(())
}

#[tokio::test]
async fn bounds_out_of_range_are_refused_by_name() -> Outcome {
    let russet = connect(&server().await.url()).await;
    let cases = [
        ("near_entries", 0, 1024, Duration::from_secs(1)),
        ("near_bytes", 1, 1023, Duration::from_secs(1)),
        ("near_max_age", 1, 1024, Duration::from_micros(999)),
    ];
    for (name, entries, bytes, age) in cases {
        let built = Cache::<str, u64>::builder(&russet, "numbers")
            .near_entries(entries)
            .near_bytes(bytes)
            .near_max_age(age)
            .build();
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(name), "{error}");
    }
    Ok(())
}
