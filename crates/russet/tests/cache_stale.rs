//! No older value after an invalidation, under everything at once: processes that read, write and invalidate the same
//! keys, with loads that take longer than their lease because their process was stopped.

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use rand::{RngExt, seq::IndexedRandom};
use russet::testing::{TestServer, WorkerProcess, worker_env, worker_receive, worker_report};
use russet::{BoxError, Cache, Russet, raw};
use support::random;

type Outcome = Result<(), Box<dyn Error>>;

const PROCESSES: usize = 3;
const TASKS: usize = 8;
const KEYS: u64 = 10;
const LEASE: Duration = Duration::from_millis(150);

fn numbers(russet: &Russet) -> Result<Cache<u64, i64>, russet::Error> {
    Cache::builder(russet, "numbers").fill_lease(LEASE).build()
}

/// The system of record: a number for each key that only grows.
async fn record(russet: &Russet, verb: &str, key: u64) -> Result<i64, russet::Error> {
    let number = raw::command(russet, &[verb, &format!("record {key}")]).await?;
    Ok(number.into_text().and_then(|number| number.parse().ok()).unwrap_or_default())
}

/// Reads what is there, takes its time, and answers.
async fn load(russet: &Russet, key: u64) -> Result<i64, BoxError> {
    let number = record(russet, "GET", key).await?;
    let takes = Duration::from_millis(rand::rng().random_range(0..20));
    tokio::time::sleep(takes).await;
    Ok(number)
}

/// Reads and changes keys until it is told to stop; what this process has changed and invalidated, it never reads older.
async fn reads_and_writes(
    russet: Russet,
    cache: Cache<u64, i64>,
    end: Instant,
) -> Result<u64, BoxError> {
    let mut known = HashMap::<u64, i64>::new();
    let mut calls = 0;
    while Instant::now() < end {
        calls += 1;
        let key = rand::rng().random_range(0..KEYS);
        if rand::rng().random_bool(0.2) {
            let number = record(&russet, "INCR", key).await?;
            if cache.invalidate(&key).await.is_ok() {
                known.insert(key, number);
            }
            continue;
        }
        let number = if rand::rng().random_bool(0.2) {
            cache.get(&key).await?
        } else {
            Some(cache.get_with(&key, async || load(&russet, key).await).await?)
        };
        let least = known.get(&key).copied().unwrap_or_default();
        assert!(number.is_none_or(|number| number >= least), "{key}: {number:?} after {least}");
    }
    Ok(calls)
}

#[test]
fn reading_and_writing_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let russet = Russet::builder().url(&url).timeout(Duration::from_secs(5)).connect().await?;
        let cache = numbers(&russet)?;
        worker_report("ready");
        let seconds: f64 = worker_receive()?.parse()?;
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let tasks =
            (0..TASKS).map(|_| tokio::spawn(reads_and_writes(russet.clone(), cache.clone(), end)));
        let mut calls = 0;
        for task in tasks.collect::<Vec<_>>() {
            calls += task.await?.map_err(|error| error.to_string())?;
        }
        worker_report(&format!("done {calls} {}", cache.stats().unstored));
        Ok(())
    })
}

/// `RUSSET_TEST_LIVE_SECONDS` makes it longer.
#[tokio::test]
async fn stopped_loaders_leave_no_older_value() -> Outcome {
    let seconds = std::env::var("RUSSET_TEST_LIVE_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds: f64 = seconds.unwrap_or(5.0);
    let server = TestServer::start().await?;
    let url = server.url();
    let mut workers = Vec::new();
    for _ in 0..PROCESSES {
        workers.push(WorkerProcess::spawn("reading_and_writing_process", &[("REDIS", &url)])?);
    }
    for worker in &mut workers {
        worker.line_starting("ready").await?;
        worker.send(&seconds.to_string())?;
    }
    let mut random = random();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut stops = 0;
    while Instant::now() < end {
        // Longer than a lease, so that what was loaded before is stored too late.
        let stopped = workers.choose(&mut random).ok_or("no workers")?;
        stopped.pause()?;
        tokio::time::sleep(LEASE.mul_f64(random.random_range(1.1..3.0))).await;
        stopped.resume()?;
        stops += 1;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
    }
    let (mut calls, mut refused) = (0_u64, 0_u64);
    for worker in &mut workers {
        let done = worker.line_starting_within(Duration::from_secs(60), "done").await?;
        let mut numbers = done.split(' ').skip(1).filter_map(|number| number.parse::<u64>().ok());
        calls += numbers.next().unwrap_or_default();
        refused += numbers.next().unwrap_or_default();
    }
    let russet = Russet::connect(&url).await?;
    let cache = numbers(&russet)?;
    for key in 0..KEYS {
        let cached = cache.get_with(&key, async || load(&russet, key).await).await?;
        assert_eq!(cached, record(&russet, "GET", key).await?, "key {key}, at the end");
    }
    println!("{calls} calls, {stops} stops, {refused} loads refused because they came too late");
    assert!(refused > 0, "nothing was tried");
    Ok(())
}
