//! The queue when its server dies: killed and restarted with its file, or replaced by its replica.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use russet::testing::{
    TestSentinel, TestServer, WorkerProcess, eventually, worker_env, worker_report,
};
use russet::{BoxError, Durability, Queue, Russet, Task, TaskContext, Worker, raw};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(120);
const LEASE: Duration = Duration::from_millis(500);
const BATCH: u64 = 10;

#[derive(Clone, Serialize, Deserialize)]
struct Named {
    name: String,
}

impl Task for Named {
    const NAME: &'static str = "named";
}

fn queue(russet: &Russet) -> Queue {
    let brief = Duration::from_millis(1);
    let builder = Queue::builder(russet, "servers").lease(LEASE).max_attempts(1_000);
    builder.backoff(brief, brief).build().unwrap()
}

/// The effect stands in a store of its own, which nobody kills, under the key of the task.
async fn effect(task: Named, ctx: TaskContext<Russet>) -> Result<(), BoxError> {
    let store = ctx.state();
    raw::command(store, &["INCR", "runs"]).await?;
    raw::command(store, &["HSETNX", "effects", &ctx.idempotency_key(), &task.name]).await?;
    Ok(())
}

fn worker(queue: &Queue, store: &Russet) -> Worker<Russet> {
    let builder = Worker::builder(queue).state(store.clone()).concurrency(20);
    builder.handler(effect).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let (Some(url), Some(store)) = (worker_env("REDIS"), worker_env("STORE")) else { return };
    let russet = Russet::connect(&url).await.unwrap();
    let store = Russet::connect(&store).await.unwrap();
    worker_report("working");
    worker(&queue(&russet), &store).run_until(std::future::pending()).await.unwrap();
}

/// The names of the tasks whose effect is in the store.
async fn effects(store: &TestServer) -> Vec<String> {
    let stored = store.command(&["HVALS", "effects"]).await.unwrap();
    let mut names: Vec<_> = stored.texts().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// `RUSSET_QUEUE_SERVER_KILLS` makes it longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_loses_no_task_and_none_is_done_twice() {
    let kills = std::env::var("RUSSET_QUEUE_SERVER_KILLS").ok();
    let kills: u32 = kills.map_or(3, |kills| kills.parse().unwrap());
    let mut random = support::random();
    let server = TestServer::builder().arg("appendonly", "yes").arg("appendfsync", "always");
    let server = server.start().await.unwrap();
    let store = TestServer::start().await.unwrap();
    let environment = [("REDIS", server.url()), ("STORE", store.url())];
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let spawn = || WorkerProcess::spawn("worker_process", &environment).unwrap();
    let mut workers = [spawn(), spawn()];
    for worker in &mut workers {
        worker.line_starting("working").await.unwrap();
    }
    let queue = queue(&Russet::connect(&server.url()).await.unwrap());

    let over = AtomicBool::new(false);
    let produce = async {
        let mut batches = 0;
        while !over.load(Ordering::Relaxed) {
            let tasks = (0..BATCH).map(|n| Named { name: format!("{batches}-{n}") });
            let (tasks, request) = (tasks.collect::<Vec<_>>(), format!("batch {batches}"));
            // Asked for until it is acknowledged: the request id makes it one batch.
            eventually(LONG, async || {
                let batch = queue.enqueue_many(tasks.clone()).request_id(&request).await;
                batch.map(|_| ()).map_err(|error| error.to_string())
            })
            .await;
            batches += 1;
        }
        batches
    };
    let kill = async {
        for _ in 0..kills {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
            server.kill().await.unwrap();
            server.restart().await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    let (batches, ()) = tokio::join!(produce, kill);
    let tasks = batches * BATCH;
    eventually(LONG, async || {
        let counts = queue.counts().await.map_err(|error| error.to_string())?;
        let elsewhere = counts.ready + counts.running + counts.retrying + counts.scheduled;
        match (elsewhere, counts.dead, counts.completed) {
            (0, 0, completed) if completed == tasks => Ok(()),
            _ => Err(format!("{counts:?} of {tasks}")),
        }
    })
    .await;
    let names = effects(&store).await;
    let runs = store.command(&["GET", "runs"]).await.unwrap();
    println!("{kills} kills of the server: {tasks} tasks, {:?} runs", runs.text());
    assert_eq!(names.len() as u64, tasks, "an effect for each task, and no second one");
    assert!(tasks > u64::from(kills), "the load was one");
    for worker in workers {
        worker.kill().await.unwrap();
    }
}

/// Enqueues until the primary dies; the names of those that were acknowledged, and in full.
async fn enqueue(russet: Russet, prefix: &'static str, over: Arc<AtomicBool>) -> Vec<String> {
    let queue = queue(&russet);
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        if over.load(Ordering::Relaxed) {
            break;
        }
        match queue.enqueue(Named { name: name.clone() }).await {
            Ok(enqueued) if enqueued.reached.in_full => acknowledged.push(name),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_does_each_task_that_had_reached_it() {
    let sentinel = TestSentinel::builder().replication_proxied().start().await.unwrap();
    let store = TestServer::start().await.unwrap();
    let connect = async || {
        let builder = Russet::builder().url(sentinel.url()).timeout(Duration::from_millis(500));
        builder.connect().await.unwrap()
    };
    let wanted = Durability::Replicated { replicas: 1, timeout: Duration::from_millis(200) };
    let over = Arc::new(AtomicBool::new(false));
    let fast = tokio::spawn(enqueue(connect().await, "fast", over.clone()));
    let safe = tokio::spawn(enqueue(connect().await.durability(wanted), "safe", over.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    sentinel.replication(1).hang().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    sentinel.server(0).kill().await.unwrap();
    over.store(true, Ordering::Relaxed);
    let (fast, safe) = (fast.await.unwrap(), safe.await.unwrap());
    eventually(LONG, async || match sentinel.primary().await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    let after = connect().await;
    let store_handle = Russet::connect(&store.url()).await.unwrap();
    worker(&queue(&after), &store_handle).run_until_empty().await.unwrap();
    let done = effects(&store).await;
    let lost =
        |names: &[String]| names.iter().filter(|name| done.binary_search(name).is_err()).count();
    println!(
        "lost {} of {} tasks that did not wait, {} of {} that waited for a replica",
        lost(&fast),
        fast.len(),
        lost(&safe),
        safe.len()
    );
    assert!(lost(&fast) > 0, "the link was not silent: the test shows nothing");
    assert!(safe.len() > 5, "too few waited");
    assert_eq!(lost(&safe), 0);
}
