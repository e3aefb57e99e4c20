//! The tutorial's `refresh_ahead` and `get_with_refresh`: a hot entry is loaded anew before it ends.
//!
//! `cargo run --example refresh_ahead --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way: every caller who sees that little time is left starts a refresh of its own. Then the same
//! with russet: one refresh in the fleet, and no caller waits.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use russet::{BoxError, Cache, Loader, Russet, Source, raw};
use support::{Outcome, connect, server};

const CALLERS: usize = 100;
const LOAD: Duration = Duration::from_millis(300);

/// Slow figures, which say how often they were reckoned.
#[derive(Clone, Default)]
struct Figures(Arc<AtomicUsize>);

impl Figures {
    async fn reckon(&self) -> usize {
        let nth = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(LOAD).await;
        nth
    }

    fn reckoned(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Loader<str, usize> for Figures {
    async fn load(&self, _: &str) -> Result<Option<usize>, BoxError> {
        Ok(Some(self.reckon().await))
    }
}

/// The textbook's way: with less than the last part of the time left, refresh in the background.
async fn textbook_get(russet: &Russet, figures: &Figures, key: &str) -> Outcome {
    let left = raw::command(russet, &["PTTL", key]).await?.into_text().unwrap_or_default();
    if left.parse::<i64>()? < 60_000 {
        let (russet, figures, key) = (russet.clone(), figures.clone(), key.to_owned());
        tokio::spawn(async move {
            let figures = figures.reckon().await.to_string();
            let _ = raw::command(&russet, &["SETEX", &key, "60", &figures]).await;
        });
    }
    raw::command(russet, &["GET", key]).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;

    println!("The textbook's way");
    let figures = Figures::default();
    let key = format!("{}:figures", russet.namespace());
    raw::command(&russet, &["SETEX", &key, "60", "1"]).await?;
    tokio::time::sleep(Duration::from_millis(10)).await;
    for _ in 0..CALLERS {
        textbook_get(&russet, &figures, &key).await?;
    }
    tokio::time::sleep(LOAD * 2).await;
    let textbook = figures.reckoned();
    println!("  {CALLERS} callers near the end started {textbook} refreshes");
    assert!(textbook > CALLERS / 2);
    raw::command(&russet, &["DEL", &key]).await?;

    println!("With russet");
    let figures = Figures::default();
    let other = connect(&url).await?;
    let caches: Vec<Cache<str, usize>> = [&russet, &other]
        .iter()
        .map(|russet| {
            Cache::builder(russet, "figures")
                .ttl(Duration::from_secs(60))
                .ttl_jitter(0.0)
                // So soon only here, to see it at once; 0.2 is usual.
                .refresh_ahead(0.9999)
                .loader(figures.clone())
                .build()
        })
        .collect::<Result<_, _>>()?;
    caches[0].get("today").await?;
    let started = Instant::now();
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let found = caches[calls % 2].get_with_source("today").await?.ok_or("there is a loader")?;
        slowest = slowest.max(asked.elapsed());
        assert_eq!(found.source, Source::Hit, "nobody waits for the refresh");
        calls += 1;
        if found.value == Some(2) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it is never refreshed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "  {calls} calls through two connections, the slowest took {slowest:?}; a load takes {LOAD:?}"
    );
    let refreshes = figures.reckoned() - 1;
    println!("  they started {refreshes} refresh");
    assert_eq!(refreshes, 1);
    caches[0].invalidate("today").await?;
    println!("shown: {textbook} refreshes became {refreshes}, and every call was a hit");
    Ok(())
}
