//! The tutorial's `@cache_result`: any function, cached.
//!
//! `cargo run --example cache_result --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, whose keys come from the language's own hash: another one in each process, so that no process
//! finds what another one stored. Then the same with russet, whose keys are what you see.

mod support;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use russet::{Cache, Russet, raw};
use support::{Outcome, connect, server};

const PROCESSES: usize = 4;

/// Something worth caching.
async fn exchange_rate(calls: &AtomicUsize, from: &str, to: &str) -> Outcome<f64> {
    calls.fetch_add(1, Ordering::SeqCst);
    Ok(f64::from(u32::try_from(from.len() + to.len())?) / 4.0)
}

/// The textbook's way, in a process with its own seed of the hash, as Python has it (and Rust).
async fn textbook(russet: &Russet, process: &RandomState, calls: &AtomicUsize) -> Outcome<String> {
    let arguments = process.hash_one(("EUR", "CNY"));
    let key = format!("{}:cache:exchange_rate:{arguments}", russet.namespace());
    if let Some(cached) = raw::command(russet, &["GET", &key]).await?.into_text() {
        return Ok(cached);
    }
    let rate = exchange_rate(calls, "EUR", "CNY").await?.to_string();
    raw::command(russet, &["SETEX", &key, "5", &rate]).await?;
    Ok(rate)
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let calls = Arc::new(AtomicUsize::new(0));

    println!("The textbook's way");
    let russet = connect(&url).await?;
    for _ in 0..PROCESSES {
        let process = RandomState::new();
        for _ in 0..10 {
            textbook(&russet, &process, &calls).await?;
        }
    }
    let textbook = calls.swap(0, Ordering::SeqCst);
    println!(
        "  {PROCESSES} processes call the function {textbook} times: each has keys of its own"
    );
    assert_eq!(textbook, PROCESSES);

    println!("With russet");
    let mut rate = 0.0;
    for _ in 0..PROCESSES {
        let russet = connect(&url).await?;
        let rates: Cache<(String, String), f64> =
            Cache::builder(&russet, "exchange rates").ttl(Duration::from_secs(300)).build()?;
        let pair = ("EUR".to_owned(), "CNY".to_owned());
        for _ in 0..10 {
            rate = rates
                .get_with(&pair, async || exchange_rate(&calls, &pair.0, &pair.1).await)
                .await?;
        }
    }
    let shared = calls.load(Ordering::SeqCst);
    println!("  {PROCESSES} processes call the function {shared} time, and all get {rate}");
    assert_eq!((shared, rate), (1, 1.5));
    let rates: Cache<(String, String), f64> = Cache::builder(&russet, "exchange rates").build()?;
    rates.invalidate(&("EUR".to_owned(), "CNY".to_owned())).await?;
    println!("shown: {textbook} calls became {shared}");
    Ok(())
}
