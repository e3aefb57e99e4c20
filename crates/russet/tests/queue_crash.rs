//! The queue under SIGKILL and SIGSTOP of real worker processes.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::RngExt;
use russet::testing::{TestServer, WorkerProcess, eventually, worker_env, worker_report};
use russet::{BoxError, Queue, Russet, Task, TaskContext, Worker, raw};
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

const LONG: Duration = Duration::from_secs(120);
const LEASE: Duration = Duration::from_millis(500);

#[derive(Serialize, Deserialize)]
struct Number {
    n: u64,
}

impl Task for Number {
    const NAME: &'static str = "number";
}

/// Writes slowly, and says so.
#[derive(Serialize, Deserialize)]
struct Slow;

impl Task for Slow {
    const NAME: &'static str = "slow";
}

fn queue(russet: &Russet) -> Queue {
    let brief = Duration::from_millis(1);
    let builder = Queue::builder(russet, "crash").lease(LEASE).max_attempts(1_000);
    builder.backoff(brief, brief).build().unwrap()
}

/// The effect in the store, under the task's key; and how often the task was run.
async fn effect(task: Number, ctx: TaskContext<Russet>) -> Result<(), BoxError> {
    let russet = ctx.state();
    tokio::time::sleep(Duration::from_millis(task.n % 5)).await;
    raw::command(russet, &["INCR", "runs"]).await?;
    let key = ctx.idempotency_key();
    raw::command(russet, &["HSETNX", "effects", &key, &ctx.fence().to_string()]).await?;
    Ok(())
}

/// A write that the store refuses when it has seen a larger fence.
const FENCED: &str = "local seen = tonumber(redis.call('GET', 'fence') or '0') \
    if tonumber(ARGV[1]) < seen then return redis.call('INCR', 'refused') end \
    redis.call('SET', 'fence', ARGV[1]) redis.call('RPUSH', 'writes', ARGV[1]) return 0";

/// Reports when its handler is dropped.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        worker_report("dropped");
    }
}

async fn slow(_: Slow, ctx: TaskContext<Russet>) -> Result<(), BoxError> {
    let _told = Told;
    for _ in 0..worker_env("WRITES").map_or(3, |writes| writes.parse().unwrap()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        raw::command(ctx.state(), &["EVAL", FENCED, "0", &ctx.fence().to_string()]).await?;
    }
    Ok(())
}

fn worker(russet: &Russet) -> Worker<Russet> {
    let builder = Worker::builder(&queue(russet)).state(russet.clone()).concurrency(20);
    builder.handler(effect).handler(slow).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let Some(url) = worker_env("REDIS") else { return };
    let russet = Russet::connect(&url).await.unwrap();
    worker_report("working");
    worker(&russet).run_until(std::future::pending()).await.unwrap();
}

fn spawn(server: &TestServer, writes: &str) -> WorkerProcess {
    let environment = [("REDIS", server.url()), ("WRITES", writes.to_owned())];
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    WorkerProcess::spawn("worker_process", &environment).unwrap()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// How long ago the lease ended that ended first of those that still stand, in ms of the server's clock.
const OVERDUE: &str = "local lease = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES') \
    local time = redis.call('TIME') \
    return lease[2] and time[1] * 1000 + math.floor(time[2] / 1000) - lease[2] or 0";

/// Looks at the leases until it is dropped: how long one stood at most after its end, and how late the looks were, in ms.
struct Watch {
    most: Arc<Mutex<(i64, i64)>>,
    _looking: AbortOnDropHandle<()>,
}

impl Watch {
    fn start(russet: &Russet) -> Self {
        let most = Arc::<Mutex<(i64, i64)>>::default();
        let (seen, russet) = (most.clone(), russet.clone());
        let looking = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                let ask = ["EVAL", OVERDUE, "1", "russet:{queue:crash}:leases"];
                let overdue = raw::command(&russet, &ask).await.unwrap();
                let raw::Value::Int(overdue) = overdue else { panic!("{overdue:?}") };
                tokio::time::sleep(Duration::from_millis(20)).await;
                let late = began.elapsed().as_millis() as i64 - 20;
                let mut seen = seen.lock().unwrap();
                *seen = (seen.0.max(overdue), seen.1.max(late));
            }
        });
        Self { most, _looking: AbortOnDropHandle::new(looking) }
    }

    fn most(&self) -> (i64, i64) {
        *self.most.lock().unwrap()
    }
}

/// `RUSSET_QUEUE_ROUNDS` makes it longer; `RUSSET_QUEUE_TASKS` and `RUSSET_QUEUE_KILLS`, which is the most, are those of a round.
#[tokio::test]
async fn killed_workers_lose_no_task_and_a_key_keeps_effects_single() {
    let mut random = support::random();
    for round in 0..setting("RUSSET_QUEUE_ROUNDS", 5) {
        let (tasks, most) =
            (setting("RUSSET_QUEUE_TASKS", 10_000), setting("RUSSET_QUEUE_KILLS", 30));
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let queue = queue(&russet);
        for n in (0..tasks).step_by(1_000) {
            let batch = (n..(n + 1_000).min(tasks)).map(|n| Number { n });
            queue.enqueue_many(batch).await.unwrap();
        }
        let watch = Watch::start(&russet);
        let mut workers: Vec<_> = (0..4).map(|_| (spawn(&server, "1"), false)).collect();
        let (mut kills, started) = (0, Instant::now());
        while kills < most && queue.counts().await.unwrap().completed < tasks {
            tokio::time::sleep(Duration::from_millis(random.random_range(50..150))).await;
            // One that has not begun has nothing to lose; and where processes start slowly, nobody would be left to bring back
            // what the dead ones had.
            for (worker, works) in &mut workers {
                if !*works {
                    worker.line_starting("working").await.unwrap();
                    *works = true;
                }
            }
            let (victim, works) = &mut workers[random.random_range(0..4)];
            victim.kill().await.unwrap();
            (*victim, *works) = (spawn(&server, "1"), false);
            kills += 1;
        }
        assert!(kills > 0, "nobody was killed");
        let last_kill = Instant::now();
        eventually(LONG, async || {
            let counts = queue.counts().await.unwrap();
            if counts.completed == tasks { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
        let counts = queue.counts().await.unwrap();
        let elsewhere = counts.ready + counts.running + counts.retrying + counts.scheduled;
        assert_eq!((elsewhere, counts.dead, counts.completed), (0, 0, tasks));
        let effects = server.command(&["HLEN", "effects"]).await.unwrap().int().unwrap();
        let runs = server.command(&["GET", "runs"]).await.unwrap();
        println!(
            "round {round}: {kills} kills in {:?}, the last task done {:?} later; {effects} effects of {tasks} tasks, {:?} runs",
            last_kill - started,
            last_kill.elapsed(),
            runs.text()
        );
        let (overdue, late) = watch.most();
        println!("a lease stood for {overdue} ms after its end at most; looks were {late} ms late");
        // What the machine is late with is not the queue's.
        assert!(overdue < 1_000 + 2 * late, "a task was stuck for {overdue} ms beyond its lease");
        assert_eq!(effects, tasks as i64);
    }
}

/// `RUSSET_QUEUE_STOPS` makes it longer.
#[tokio::test]
async fn a_worker_that_was_stopped_beyond_its_lease_does_not_go_on_with_the_task() {
    let server = TestServer::start().await.unwrap();
    let russet = Russet::connect(&server.url()).await.unwrap();
    let queue = queue(&russet);
    let writes = async || {
        let writes = server.command(&["LRANGE", "writes", "0", "-1"]).await.unwrap();
        writes.texts().into_iter().map(|fence| fence.parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    for round in 0..setting("RUSSET_QUEUE_STOPS", 2) {
        server.command(&["DEL", "writes", "fence", "refused"]).await.unwrap();
        let mut stopped = spawn(&server, "1000000");
        stopped.line_starting("working").await.unwrap();
        let id = queue.enqueue(Slow).await.unwrap().id;
        eventually(LONG, async || match writes().await.len() {
            0 => Err("no write yet"),
            _ => Ok(()),
        })
        .await;
        stopped.pause().unwrap();
        // Another one gets the task, and does it.
        let done = eventually(LONG, async || match queue.status(id).await.unwrap() {
            None => Ok(()),
            Some(status) => Err(format!("{status:?}")),
        });
        let done = async {
            done.await;
        };
        worker(&russet).run_until(done).await.unwrap();
        stopped.resume().unwrap();
        stopped.line_starting("dropped").await.unwrap();
        let fences = writes().await;
        let (first, last) = (fences[0], fences[fences.len() - 1]);
        assert!(first < last, "the fence has grown");
        assert!(
            fences.is_sorted(),
            "no write of the stopped one came after the other's: {fences:?}"
        );
        let refused = server.command(&["GET", "refused"]).await.unwrap();
        println!("round {round}: {} writes, refused {:?}", fences.len(), refused.text());
        stopped.kill().await.unwrap();
    }
}
