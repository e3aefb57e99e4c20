//! The tutorial's `CacheBreakdownProtection`: a hot key ends, and its callers must not all load.
//!
//! `cargo run --example cache_breakdown --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's lock, `SET … NX EX`, with a load that takes longer than the lock: its owner deletes somebody
//! else's lock, and several load at a time. Then the same with russet, in two processes' worth of handles.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use russet::{Cache, Russet, raw};
use support::{Outcome, connect, server};

const CALLERS: usize = 200;
/// How long the textbook's lock lasts, and how much longer the load takes.
const LOCK: Duration = Duration::from_millis(100);
const LOAD: Duration = Duration::from_millis(350);

/// A slow report, which counts how often it is made, and how often at the same time.
#[derive(Clone, Default)]
struct Report {
    made: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Report {
    async fn make(&self) -> Outcome<String> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(LOAD).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        Ok("the report".to_owned())
    }

    fn counts(&self) -> (usize, usize) {
        (self.made.load(Ordering::SeqCst), self.most.load(Ordering::SeqCst))
    }
}

/// The textbook's way: look, take the lock, look again, load, store, delete the lock; or wait and start over.
async fn textbook_get(russet: &Russet, report: &Report, key: &str, lock: &str) -> Outcome<String> {
    loop {
        if let Some(cached) = raw::command(russet, &["GET", key]).await?.into_text() {
            return Ok(cached);
        }
        let millis = LOCK.as_millis().to_string();
        let locked = raw::command(russet, &["SET", lock, "locked", "NX", "PX", &millis]).await?;
        if locked.into_text().is_some() {
            let made = report.make().await?;
            raw::command(russet, &["SETEX", key, "3600", &made]).await?;
            // Whose lock is this by now?
            raw::command(russet, &["DEL", lock]).await?;
            return Ok(made);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;

    println!("The textbook's way");
    let report = Report::default();
    let (key, lock) =
        (format!("{}:report", russet.namespace()), format!("{}:lock", russet.namespace()));
    let callers = (0..CALLERS).map(|_| {
        let (russet, report) = (russet.clone(), report.clone());
        let (key, lock) = (key.clone(), lock.clone());
        tokio::spawn(async move { textbook_get(&russet, &report, &key, &lock).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    let (textbook, at_once) = report.counts();
    println!(
        "  {CALLERS} callers behind a lock made the report {textbook} times, up to {at_once} at once"
    );
    assert!(textbook > 1, "the lock ended before the load");
    raw::command(&russet, &["DEL", &key]).await?;

    println!("With russet");
    let report = Report::default();
    let other = connect(&url).await?;
    let caches: Vec<Cache<str, String>> = [&russet, &other]
        .iter()
        .map(|russet| Cache::builder(russet, "reports").fill_lease(LOCK).build())
        .collect::<Result<_, _>>()?;
    let callers = (0..CALLERS).map(|n| {
        let (cache, report) = (caches[n % 2].clone(), report.clone());
        tokio::spawn(async move { cache.get_with("today", async || report.make().await).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await??, "the report");
    }
    let (protected, _) = report.counts();
    println!(
        "  {CALLERS} callers on two connections made it {protected} time, though the lease is as short"
    );
    assert_eq!(protected, 1);
    caches[0].invalidate("today").await?;
    println!(
        "shown: a lock that ends early let {textbook} loads through, a lease that is renewed {protected}"
    );
    Ok(())
}
