//! What the queue costs the server: commands, which repeat exactly, and its time, which is printed.

#![cfg(feature = "queue")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{TestServer, eventually};
use russet::{BoxError, Queue, Task, TaskContext, Worker};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Number {
    n: u64,
    /// Makes a body of 110 bytes.
    text: String,
}

impl Task for Number {
    const NAME: &'static str = "number";
}

/// What the server has run, its own statistics left out.
async fn commands(server: &TestServer) -> (u64, u64, String) {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let mut lines: Vec<_> = stats
        .text()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .filter_map(|(name, rest)| Some((name, rest.split(',').next()?.parse::<u64>().ok()?)))
        .filter(|(name, _)| !["info", "config|resetstat", "ping"].contains(name))
        .collect();
    lines.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    let calls =
        |of: &str| lines.iter().find(|(name, _)| *name == of).map_or(0, |(_, calls)| *calls);
    let scripts = calls("evalsha") + calls("eval");
    (lines.iter().map(|(_, calls)| calls).sum(), scripts, format!("{lines:?}"))
}

/// The whole life of tasks in batches of 50, with leases, fences, priorities, retries, unique tasks and pauses compiled in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_life_in_batches_of_50_takes_at_most_four_tenths_of_a_command() {
    let server = TestServer::start().await.unwrap();
    let russet = support::connect(&server.url()).await;
    let queue = Queue::builder(&russet, "cost").build().unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let tasks = 20_000_u64;
    let worker = Worker::builder(&queue).state(done.clone()).concurrency(50).handler(add);
    let worker = worker.build().unwrap();

    // Everything once, so that each script is known.
    queue.enqueue_many([number(0)]).await.unwrap();
    worker.run_until(is_done(&done, 1)).await.unwrap();
    done.store(0, Ordering::Relaxed);

    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let (cpu, began) = (server.cpu_micros().await.unwrap(), Instant::now());
    for batch in 0..tasks / 50 {
        queue.enqueue_many((0..50).map(|n| number(batch * 50 + n))).await.unwrap();
    }
    let (enqueued, _, list) = commands(&server).await;
    let (cpu_enqueued, took) = (server.cpu_micros().await.unwrap(), began.elapsed());
    println!(
        "enqueued: {:.3} commands, {:.2} µs of the server, {:.0}/s: {list}",
        enqueued as f64 / tasks as f64,
        (cpu_enqueued - cpu) as f64 / tasks as f64,
        tasks as f64 / took.as_secs_f64()
    );
    assert!(enqueued as f64 <= 0.1 * tasks as f64, "{enqueued}");

    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let began = Instant::now();
    worker.run_until(is_done(&done, tasks)).await.unwrap();
    let took = began.elapsed();
    let (worked, turns, list) = commands(&server).await;
    let cpu_worked = server.cpu_micros().await.unwrap();
    println!(
        "worked: {:.3} commands, {:.2} µs of the server, {:.0}/s: {list}",
        worked as f64 / tasks as f64,
        (cpu_worked - cpu_enqueued) as f64 / tasks as f64,
        tasks as f64 / took.as_secs_f64()
    );
    assert_eq!(done.load(Ordering::Relaxed), tasks);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.failed, counts.running), (tasks + 1, 0, 0));
    let whole = (enqueued + worked) as f64 / tasks as f64;
    println!("a whole life: {whole:.3} commands");
    // A turn has its price, whatever it settles and claims. A machine that is busy elsewhere makes batches that are not full:
    // then there are more turns. What a full one costs is held exactly in src/queue/scripts.rs.
    assert!(worked <= 15 * turns + 50, "{worked} commands in {turns} turns");
    if turns <= tasks / 50 + tasks / 2_000 {
        assert!(whole <= 0.4, "{whole}");
    }
    assert!(whole <= 0.8, "{whole}");
}

async fn add(_: Number, ctx: TaskContext<Arc<AtomicU64>>) -> Result<(), BoxError> {
    ctx.state().fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn number(n: u64) -> Number {
    Number { n, text: "x".repeat(110 - 17 - n.to_string().len()) }
}

async fn is_done(done: &AtomicU64, tasks: u64) {
    eventually(LONG, async || match done.load(Ordering::Relaxed) {
        at if at >= tasks => Ok(()),
        at => Err(format!("{at} of {tasks}")),
    })
    .await;
}
