//! Before and after the end of an entry: loaded anew behind the callers, served while that goes on, or when it fails.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use russet::testing::eventually;
use russet::{BoxError, Cache, CacheBuilder, ErrorKind, Loader, Russet, Source};
use support::{Stage, stage};
use tokio::sync::{Semaphore, mpsc};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// A system of record whose loads are counted, can be held and can fail. What it reads, it reads at the beginning.
#[derive(Clone)]
struct Record(Arc<Inner>);

struct Inner {
    value: AtomicU64,
    fails: AtomicBool,
    begun: mpsc::UnboundedSender<u64>,
    loads: AtomicU64,
    gate: Semaphore,
}

impl Record {
    fn new() -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (begun, beginnings) = mpsc::unbounded_channel();
        let inner = Inner {
            value: AtomicU64::new(1),
            fails: AtomicBool::new(false),
            begun,
            loads: AtomicU64::new(0),
            gate: Semaphore::new(0),
        };
        (Self(Arc::new(inner)), beginnings)
    }

    fn open() -> Self {
        let (record, _) = Self::new();
        record.let_pass(1_000_000);
        record
    }

    fn let_pass(&self, loads: usize) {
        self.0.gate.add_permits(loads);
    }

    fn set(&self, value: u64) {
        self.0.value.store(value, Ordering::SeqCst);
    }

    fn fails(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::SeqCst);
    }

    fn loads(&self) -> u64 {
        self.0.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, u64> for Record {
    async fn load(&self, _: &u64) -> Result<Option<u64>, BoxError> {
        let value = self.0.value.load(Ordering::SeqCst);
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let _ = self.0.begun.send(value);
        self.0.gate.acquire().await?.forget();
        if self.0.fails.load(Ordering::SeqCst) {
            return Err("no connection to the database".into());
        }
        Ok(Some(value))
    }
}

fn numbers(russet: &Russet) -> CacheBuilder<u64, u64> {
    Cache::builder(russet, "numbers").ttl_jitter(0.0)
}

/// Entries that end in a minute, and are due for a refresh a few milliseconds after they were stored.
fn ahead(russet: &Russet, record: &Record) -> Result<Cache<u64, u64>, russet::Error> {
    numbers(russet)
        .ttl(Duration::from_secs(60))
        .refresh_ahead(0.9999)
        .loader(record.clone())
        .build()
}

/// Two handles on one cache, as two processes have them.
async fn fleet() -> Result<(Stage, Russet), Box<dyn Error>> {
    let stage = stage().await;
    let other = Russet::builder().url(stage.server.url()).namespace(stage.russet.namespace());
    let other = other.connect().await?;
    Ok((stage, other))
}

async fn source(cache: &Cache<u64, u64>) -> Result<(Option<u64>, Source), russet::Error> {
    let found = cache.get_with_source(&1).await?.expect("there is a loader");
    Ok((found.value, found.source))
}

/// Ends when a look-up answers this.
async fn becomes(cache: &Cache<u64, u64>, value: u64, from: Source) {
    eventually(LONG, async || match source(cache).await {
        Ok(seen) if seen == (Some(value), from) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Ends when a look-up answers this, wherever it comes from.
async fn turns_into(cache: &Cache<u64, u64>, value: u64) {
    eventually(LONG, async || match cache.get(&1).await {
        Ok(Some(seen)) if seen == value => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_refresh_ahead_runs_once_in_the_fleet_and_delays_nobody() -> Outcome {
    let (stage, other) = fleet().await?;
    let (record, mut begun) = Record::new();
    let caches = [ahead(&stage.russet, &record)?, ahead(&other, &record)?];
    record.let_pass(1);
    assert_eq!(source(&caches[0]).await?, (Some(1), Source::Miss));
    begun.recv().await;
    record.set(2);
    // Asked until it is due and somebody is at it; nobody waits, though the load is held.
    eventually(LONG, async || {
        let seen = source(&caches[0]).await.map_err(|error| error.to_string())?;
        assert_eq!(seen, (Some(1), Source::Hit));
        begun.try_recv().map_err(|error| error.to_string())
    })
    .await;
    for _ in 0..200 {
        for cache in &caches {
            assert_eq!(source(cache).await?, (Some(1), Source::Hit));
        }
    }
    assert_eq!(record.loads(), 2, "the first, and one refresh");
    record.let_pass(1);
    for cache in &caches {
        becomes(cache, 2, Source::Hit).await;
    }
    assert_eq!(caches[0].stats().refreshes, 1);
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_an_invalidation_overtook_stores_nothing() -> Outcome {
    let (stage, other) = fleet().await?;
    let (record, mut begun) = Record::new();
    let cache = ahead(&stage.russet, &record)?;
    record.let_pass(1);
    source(&cache).await?;
    begun.recv().await;
    eventually(LONG, async || {
        source(&cache).await.map_err(|error| error.to_string())?;
        begun.try_recv().map_err(|error| error.to_string())
    })
    .await;
    record.set(2);
    numbers(&other).build()?.invalidate(&1).await?;
    record.let_pass(1);
    eventually(LONG, async || match cache.stats() {
        stats if stats.unstored == 1 => Ok(()),
        stats => Err(format!("{stats:?}")),
    })
    .await;
    record.let_pass(1);
    assert_eq!(source(&cache).await?, (Some(2), Source::Miss));
    Ok(())
}

#[tokio::test]
async fn an_old_value_is_served_while_it_is_loaded_anew() -> Outcome {
    let stage = stage().await;
    let (record, mut begun) = Record::new();
    let cache = numbers(&stage.russet)
        .ttl(SHORT)
        .stale_while_revalidate(Duration::from_secs(60))
        .loader(record.clone())
        .build()?;
    record.let_pass(1);
    source(&cache).await?;
    record.set(2);
    becomes(&cache, 1, Source::Stale).await;
    for _ in 0..2 {
        begun.recv().await;
    }
    for _ in 0..100 {
        assert_eq!(source(&cache).await?, (Some(1), Source::Stale));
        assert_eq!(cache.get_many(&[1, 1]).await?, [Some(1), Some(1)]);
    }
    assert_eq!(record.loads(), 2);
    record.let_pass(1_000);
    becomes(&cache, 2, Source::Hit).await;
    assert!(cache.stats().stale >= 100);
    Ok(())
}

#[tokio::test]
async fn an_old_value_is_served_when_the_record_is_away() -> Outcome {
    let (stage, other) = fleet().await?;
    let record = Record::open();
    let with = |russet| {
        numbers(russet)
            .ttl(SHORT)
            .stale_if_error(Duration::from_secs(60))
            .loader(record.clone())
            .build()
    };
    let (here, there) = (with(&stage.russet)?, with(&other)?);
    source(&here).await?;
    record.fails(true);
    becomes(&here, 1, Source::Stale).await;
    becomes(&there, 1, Source::Stale).await;
    let failed = record.loads();
    for _ in 0..100 {
        assert_eq!(source(&here).await?, (Some(1), Source::Stale));
    }
    assert!(record.loads() <= failed + 20, "not asked by every caller: {}", record.loads());
    assert!(here.stats().load_errors > 0);
    let closure = here.get_with(&1, async || Err::<u64, BoxError>("away".into())).await?;
    assert_eq!(closure, 1, "closures too");
    record.fails(false);
    record.set(2);
    turns_into(&here, 2).await;
    Ok(())
}

#[tokio::test]
async fn without_that_setting_the_callers_get_the_error() -> Outcome {
    let (stage, other) = fleet().await?;
    let record = Record::open();
    let keeping = numbers(&stage.russet)
        .ttl(SHORT)
        .stale_if_error(Duration::from_secs(60))
        .loader(record.clone())
        .build()?;
    let plain = numbers(&other).ttl(SHORT).loader(record.clone()).build()?;
    let without_loader = numbers(&other).ttl(SHORT).build()?;
    source(&keeping).await?;
    record.fails(true);
    becomes(&keeping, 1, Source::Stale).await;
    // Kept for a process with other settings, it is not there for this one.
    assert_eq!(plain.get(&1).await.unwrap_err().kind(), ErrorKind::Load);
    assert_eq!(without_loader.get(&1).await?, None);
    record.fails(false);
    record.set(2);
    assert_eq!(source(&plain).await?, (Some(2), Source::Miss));
    assert_eq!(source(&keeping).await?.0, Some(2));
    Ok(())
}

#[tokio::test]
async fn of_two_processes_that_find_an_expired_value_one_loads_and_wakes_the_other() -> Outcome {
    let (stage, other) = fleet().await?;
    let (record, mut begun) = Record::new();
    let with = |russet| {
        numbers(russet)
            .ttl(SHORT)
            .stale_if_error(Duration::from_secs(60))
            .loader(record.clone())
            .build()
    };
    let (here, there) = (with(&stage.russet)?, with(&other)?);
    record.let_pass(1);
    source(&here).await?;
    begun.recv().await;
    record.set(2);
    let leader = tokio::spawn(async move {
        loop {
            match source(&here).await {
                Ok((Some(1), Source::Hit)) => {}
                other => return other,
            }
        }
    });
    begun.recv().await;
    let waiter = tokio::spawn(async move { source(&there).await });
    eventually(LONG, async || {
        let pattern = format!("{}:*:waiters:1", stage.russet.namespace());
        match stage.server.command(&["KEYS", &pattern]).await {
            Ok(lists) if lists.list().len() == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    record.let_pass(1);
    assert_eq!(leader.await??, (Some(2), Source::Miss));
    assert_eq!(waiter.await??, (Some(2), Source::Miss));
    assert_eq!(record.loads(), 2);
    Ok(())
}

#[tokio::test]
async fn a_refresher_that_died_holds_up_others_for_its_lease() -> Outcome {
    let stage = stage().await;
    let (record, mut begun) = Record::new();
    let cache = numbers(&stage.russet)
        .ttl(Duration::from_secs(60))
        .refresh_ahead(0.9999)
        .fill_lease(Duration::from_millis(200))
        .loader(record.clone())
        .build()?;
    record.let_pass(1);
    source(&cache).await?;
    begun.recv().await;
    let partition = stage.keys().await.remove(0).key.split_once("}:").unwrap().0.to_owned();
    let lease = format!("{partition}}}:refresh:1");
    stage.server.command(&["SET", &lease, "L1 of the dead", "PX", "1500"]).await?;
    record.set(2);
    record.let_pass(10);
    becomes(&cache, 2, Source::Hit).await;
    Ok(())
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_an_error_or_leaves_the_old_value() -> Outcome {
    let stage = stage().await;
    let (record, _begun) = Record::new();
    let cache = numbers(&stage.russet)
        .ttl(SHORT)
        .load_timeout(Duration::from_millis(200))
        .stale_if_error(Duration::from_secs(60))
        .loader(record.clone())
        .build()?;
    let error = cache.get(&1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("load_timeout"), "{cause}");
    assert_eq!(cache.get_many(&[1]).await.unwrap_err().kind(), ErrorKind::Load);
    cache.put(&1, &7).await?;
    becomes(&cache, 7, Source::Stale).await;
    Ok(())
}

#[tokio::test]
async fn a_soft_timeout_gives_the_old_value_and_lets_the_load_go_on() -> Outcome {
    let stage = stage().await;
    let (record, mut begun) = Record::new();
    let cache = numbers(&stage.russet)
        .ttl(SHORT)
        .soft_timeout(SHORT)
        .stale_if_error(Duration::from_secs(60))
        .loader(record.clone())
        .build()?;
    record.let_pass(1);
    source(&cache).await?;
    begun.recv().await;
    record.set(2);
    becomes(&cache, 1, Source::Stale).await;
    begun.recv().await;
    assert_eq!(source(&cache).await?, (Some(1), Source::Stale));
    record.let_pass(1);
    turns_into(&cache, 2).await;
    Ok(())
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused_by_name() -> Outcome {
    let stage = stage().await;
    let new = || numbers(&stage.russet);
    let second = Duration::from_secs(1);
    let with_loader = || new().loader(Record::open());
    let cases = [
        (new().refresh_ahead(0.1), ["refresh_ahead", "loader"]),
        (new().stale_while_revalidate(second), ["stale_while_revalidate", "loader"]),
        (new().stale_if_error(second).soft_timeout(second), ["soft_timeout", "loader"]),
        (with_loader().refresh_ahead(1.0), ["refresh_ahead", "below 1"]),
        (with_loader().refresh_ahead(f64::NAN), ["refresh_ahead", "below 1"]),
        (with_loader().soft_timeout(second), ["soft_timeout", "stale_if_error"]),
        (
            with_loader().stale_if_error(second).soft_timeout(second).load_timeout(second),
            ["soft_timeout", "load_timeout"],
        ),
        (new().load_timeout(Duration::ZERO), ["load_timeout", "millisecond"]),
    ];
    for (builder, names) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}: {names:?}");
    }
    Ok(())
}
