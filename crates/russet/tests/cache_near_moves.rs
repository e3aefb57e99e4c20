//! Copies in the process, while the server behind them changes: slots move, and primaries die.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{TestCluster, TestSentinel, eventually};
use russet::{BoxError, Cache, Loader, Russet, Source};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

/// The system of record: one number.
#[derive(Clone, Default)]
struct Record(Arc<AtomicU64>);

impl Loader<str, u64> for Record {
    async fn load(&self, _: &str) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.0.load(Ordering::SeqCst)))
    }
}

/// Copies that end by themselves long after the test.
fn near(russet: &Russet, record: &Record) -> Result<Cache<str, u64>, russet::Error> {
    Cache::builder(russet, "numbers")
        .near_entries(100)
        .near_max_age(Duration::from_secs(600))
        .loader(record.clone())
        .build()
}

async fn kept(cache: &Cache<str, u64>) {
    eventually(LONG, async || match cache.get_with_source("k").await {
        Ok(Some(found)) if found.source == Source::Near => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn sees(cache: &Cache<str, u64>, value: u64) {
    eventually(LONG, async || match cache.get("k").await {
        Ok(Some(seen)) if seen == value => Ok(()),
        other => Err(format!("{other:?}, not {value}")),
    })
    .await;
}

#[tokio::test]
async fn a_slot_that_moves_leaves_no_old_copy() -> Outcome {
    let cluster = TestCluster::start().await?;
    let connect = async || Russet::connect(&cluster.url()).await;
    let record = Record::default();
    let (here, there) = (near(&connect().await?, &record)?, near(&connect().await?, &record)?);
    kept(&here).await;
    let over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (here, over) = (here.clone(), over.clone());
        async move {
            let mut last = 0;
            while !over.load(Ordering::SeqCst) {
                let seen = here.get("k").await?.unwrap_or_default();
                assert!(seen >= last, "{seen} after {last}");
                last = seen;
                tokio::task::yield_now().await;
            }
            Ok::<_, russet::Error>(())
        }
    });
    let partition = xxhash_rust::xxh3::xxh3_64(b"k") % 256;
    let slot = cluster.slot(&format!("{{cache:numbers:{partition}}}")).await?;
    let end = Instant::now() + Duration::from_secs(3);
    let mut moves = 0;
    while Instant::now() < end {
        for _ in 0..10 {
            let changed = record.0.fetch_add(1, Ordering::SeqCst) + 1;
            there.invalidate("k").await?;
            assert_eq!(there.get("k").await?, Some(changed));
        }
        cluster.move_slot(slot, (cluster.owner(slot).await? + 1) % 3).await?;
        moves += 1;
        sees(&here, record.0.load(Ordering::SeqCst)).await;
        kept(&here).await;
    }
    over.store(true, Ordering::SeqCst);
    reader.await??;
    println!("{moves} moves, {} changes", record.0.load(Ordering::SeqCst));
    assert!(moves > 1);
    Ok(())
}

#[tokio::test]
async fn a_failover_empties_the_copies() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    let connect = async || {
        let builder = Russet::builder().url(sentinel.url()).timeout(Duration::from_millis(500));
        builder.connect_timeout(LONG).connect().await
    };
    let record = Record::default();
    let (here, there) = (near(&connect().await?, &record)?, near(&connect().await?, &record)?);
    kept(&here).await;
    kept(&there).await;
    sentinel.server(0).kill().await?;
    record.0.store(1, Ordering::SeqCst);
    // Tried until the new primary takes it.
    eventually(LONG, async || there.invalidate("k").await.map_err(|error| error.to_string())).await;
    sees(&here, 1).await;
    kept(&here).await;
    kept(&there).await;
    for cache in [&here, &there] {
        assert_eq!(cache.get("k").await?, Some(1));
    }
    Ok(())
}
