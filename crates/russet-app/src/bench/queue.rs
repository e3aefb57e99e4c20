//! Cases of the queue, with bodies of 110 bytes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use russet::{
    BoxError, Queue, Russet, Task, TaskContext, Worker, raw,
    testing::{Proxy, TestServer},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    case::{Case, RoundTrips, Took, Work},
    runner::Effort,
};
use crate::Failure;

const BATCH: u32 = 50;
/// Four claim loops of [`BATCH`] tasks each.
const CONCURRENCY: usize = 200;
/// How many tasks are done in a round of a second.
const DRAINED: f64 = 50_000.0;
const DRAINED_ONE_BY_ONE: f64 = 5_000.0;
/// How many at most are enqueued in one call to fill the queue.
const FILLED: u32 = 1_000;
const FLOOR_LIST: &str = "floor";

pub async fn cases(server: &TestServer, effort: Effort) -> Result<Vec<Case>, Failure> {
    let drained = |tasks: f64| {
        let batches = tasks * effort.round.as_secs_f64() / f64::from(BATCH);
        (batches.ceil() as u32).max(1) * BATCH
    };
    let batches = Worked {
        concurrency: CONCURRENCY,
        batch: BATCH,
        tasks: drained(DRAINED),
        takes: Duration::ZERO,
        on_disk: false,
    };
    let one_by_one =
        Worked { concurrency: 1, batch: 1, tasks: drained(DRAINED_ONE_BY_ONE), ..batches };
    let large = Worked { concurrency: 2 * CONCURRENCY, batch: 2 * BATCH, ..batches };
    let slow = Worked { takes: Duration::from_millis(1), ..batches };
    let russet = Russet::connect(&server.url()).await?;
    let queue = Queue::builder(&russet, "bench").build()?;
    let bytes = bytes_waiting(server, &russet, &queue).await?;
    let work = |name, worked| work(server, &russet, name, worked);
    Ok(vec![
        // First: the others take everything out of the server before they begin, waiting workers included.
        life_50(&russet).await?,
        trickle(&russet).await?,
        handed_over(server, &russet).await?,
        enqueue_1(&russet, &queue),
        enqueue_50(&russet, &queue, bytes),
        work("work_1", one_by_one).await?,
        work("work_50", batches).await?,
        work("work_100", large).await?,
        work("work_50_of_1_ms", slow).await?,
        // Last: the server writes a file from now on.
        work("work_50_on_disk", Worked { on_disk: true, ..batches }).await?,
    ])
}

/// 110 bytes as JSON, for numbers of seven digits.
#[derive(Serialize, Deserialize)]
struct Job {
    batch: u64,
    filler: String,
}

impl Task for Job {
    const NAME: &'static str = "job";
}

impl Job {
    fn new(batch: u64) -> Self {
        Self { batch, filler: "x".repeat(80) }
    }

    fn many(batch: u64, count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |_| Self::new(batch))
    }
}

/// What one waiting task takes.
async fn bytes_waiting(
    server: &TestServer,
    russet: &Russet,
    queue: &Queue,
) -> Result<f64, Failure> {
    const TASKS: u32 = 100_000;
    let used = async || -> Result<f64, Failure> {
        let info = server.command(&["INFO", "memory"]).await?;
        let info = info.text().unwrap_or_default();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(used.unwrap_or_default().parse()?)
    };
    let before = used().await?;
    fill(queue, TASKS).await?;
    let bytes = (used().await? - before) / f64::from(TASKS);
    clear(russet).await?;
    Ok(bytes)
}

async fn clear(russet: &Russet) -> Result<(), Failure> {
    raw::command(russet, &["FLUSHALL"]).await?;
    Ok(())
}

async fn fill(queue: &Queue, tasks: u32) -> Result<(), Failure> {
    let mut left = tasks;
    while left > 0 {
        let some = left.min(FILLED);
        queue.enqueue_many(Job::many(1_234_567, some)).await?;
        left -= some;
    }
    Ok(())
}

fn clearing(russet: &Russet) -> Work {
    let russet = russet.clone();
    Work::new(move |_| {
        let russet = russet.clone();
        async move {
            clear(&russet).await?;
            Ok(Took::AllOfIt)
        }
    })
}

/// A push of so many bodies to a list, in one command.
fn pushing(russet: &Russet, count: u32, times: u32) -> Work {
    let body = serde_json::to_vec(&Job::new(1_234_567)).unwrap_or_default();
    let mut push = vec![b"RPUSH".to_vec(), FLOOR_LIST.into()];
    push.extend((0..count).map(|_| body.clone()));
    let (push, russet) = (Arc::new(push), russet.clone());
    Work::new(move |_| {
        let (push, russet) = (push.clone(), russet.clone());
        async move {
            for _ in 0..times {
                raw::command(&russet, &push).await?;
            }
            Ok(Took::AllOfIt)
        }
    })
}

/// A pop of so many from the list, so often.
fn popping(russet: &Russet, count: u32, times: u32) -> Work {
    let (count, russet) = (count.to_string(), russet.clone());
    Work::new(move |_| {
        let (count, russet) = (count.clone(), russet.clone());
        async move {
            for _ in 0..times {
                raw::command(&russet, &["LPOP", FLOOR_LIST, &count]).await?;
            }
            Ok(Took::AllOfIt)
        }
    })
}

fn enqueue_1(russet: &Russet, queue: &Queue) -> Case {
    let queue = queue.clone();
    let ours = Work::new(move |number| {
        let queue = queue.clone();
        async move {
            queue.enqueue(Job::new(number)).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("queue", "enqueue_1", ours)
        .before(clearing(russet))
        .floor("RPUSH", pushing(russet, 1, 1))
}

fn enqueue_50(russet: &Russet, queue: &Queue, bytes: f64) -> Case {
    let queue = queue.clone();
    let ours = Work::new(move |number| {
        let queue = queue.clone();
        async move {
            queue.enqueue_many(Job::many(number, BATCH)).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("queue", "enqueue_50", ours)
        .callers(8, BATCH)
        .before(clearing(russet))
        .floor("RPUSH of 50", pushing(russet, BATCH, 1))
        .bytes_per_item(bytes)
        .batch(BATCH)
}

/// How tasks are worked off.
#[derive(Clone, Copy)]
struct Worked {
    concurrency: usize,
    /// How many its claims are of.
    batch: u32,
    tasks: u32,
    takes: Duration,
    on_disk: bool,
}

/// How many tasks are left, and who waits for the last.
struct Left {
    count: AtomicU32,
    last: Notify,
    takes: Duration,
}

async fn count_down(_: Job, ctx: TaskContext<Arc<Left>>) -> Result<(), BoxError> {
    let left = ctx.state();
    if !left.takes.is_zero() {
        tokio::time::sleep(left.takes).await;
    }
    if left.count.fetch_sub(1, Ordering::Relaxed) == 1 {
        left.last.notify_one();
    }
    Ok(())
}

/// Claim, handler and ack, of tasks that wait already.
async fn work(
    server: &TestServer,
    russet: &Russet,
    name: &'static str,
    worked: Worked,
) -> Result<Case, Failure> {
    let queue = Queue::builder(russet, name).build()?;
    let filled = (russet.clone(), queue.clone());
    let before = Work::new(move |_| {
        let (russet, queue) = filled.clone();
        async move {
            let on_disk = if worked.on_disk { "yes" } else { "no" };
            raw::command(&russet, &["CONFIG", "SET", "appendonly", on_disk]).await?;
            clear(&russet).await?;
            fill(&queue, worked.tasks).await?;
            Ok(Took::AllOfIt)
        }
    });
    let proxy = Proxy::to(server).await?;
    let elsewhere = Queue::builder(&Russet::connect(&proxy.url()).await?, name).build()?;
    let batch = worked.batch;
    let (pushes, pops) = (worked.tasks / BATCH, worked.tasks / batch);
    let case = Case::new("queue", name, drain(&queue, worked))
        .drains(worked.tasks, before)
        .round_trips(RoundTrips::Proxied(proxy, drain(&elsewhere, worked)));
    let case = if batch == 1 { case } else { case.batch(batch) };
    let floor = match batch {
        1 => "LPOP",
        BATCH => "LPOP of 50",
        _ => "LPOP of 100",
    };
    Ok(case.draining_floor(floor, pushing(russet, BATCH, pushes), popping(russet, batch, pops)))
}

fn drain(queue: &Queue, worked: Worked) -> Work {
    let queue = queue.clone();
    Work::new(move |_| {
        let queue = queue.clone();
        async move {
            let left = Arc::new(Left {
                count: AtomicU32::new(worked.tasks),
                last: Notify::new(),
                takes: worked.takes,
            });
            let worker = Worker::builder(&queue)
                .state(left.clone())
                .concurrency(worked.concurrency)
                .handler(count_down)
                .build()?;
            worker.run_until(left.last.notified()).await?;
            Ok(Took::AllOfIt)
        }
    })
}

/// Batches that somebody waits for, by their number.
#[derive(Default)]
struct Awaited(Mutex<HashMap<u64, (u32, oneshot::Sender<Instant>)>>);

impl Awaited {
    fn add(&self, batch: u64, count: u32) -> oneshot::Receiver<Instant> {
        let (done, last) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(batch, (count, done));
        last
    }

    fn done(&self, batch: u64, at: Instant) {
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, _)) = awaited.get_mut(&batch) else { return };
        *left -= 1;
        if *left == 0
            && let Some((_, done)) = awaited.remove(&batch)
        {
            let _ = done.send(at);
        }
    }
}

async fn tell(job: Job, ctx: TaskContext<Arc<Awaited>>) -> Result<(), BoxError> {
    ctx.state().done(job.batch, Instant::now());
    Ok(())
}

/// A worker that goes on until this is dropped.
type Working = Arc<AbortOnDropHandle<russet::Result<()>>>;

async fn attended(russet: &Russet, name: &str) -> Result<(Queue, Arc<Awaited>, Working), Failure> {
    let queue = Queue::builder(russet, name).build()?;
    let awaited = Arc::<Awaited>::default();
    let worker = Worker::builder(&queue)
        .state(awaited.clone())
        .concurrency(CONCURRENCY)
        .handler(tell)
        .build()?;
    let working = tokio::spawn(async move { worker.run_until(std::future::pending()).await });
    Ok((queue, awaited, Arc::new(AbortOnDropHandle::new(working))))
}

/// Enqueued, worked off and forgotten, in batches, while others are.
async fn life_50(russet: &Russet) -> Result<Case, Failure> {
    let (queue, awaited, working) = attended(russet, "life").await?;
    let ours = Work::new(move |number| {
        let (queue, awaited, working) = (queue.clone(), awaited.clone(), working.clone());
        async move {
            let done = awaited.add(number, BATCH);
            queue.enqueue_many(Job::many(number, BATCH)).await?;
            done.await?;
            drop(working);
            Ok(Took::AllOfIt)
        }
    });
    let (push, pop) = (pushing(russet, BATCH, 1), popping(russet, BATCH, 1));
    let floor = Work::new(move |number| {
        let (push, pop) = (push.clone(), pop.clone());
        async move {
            push.run(number).await?;
            pop.run(number).await
        }
    });
    let case = Case::new("queue", "life_50", ours).callers(16, BATCH).batch(BATCH);
    Ok(case.floor("RPUSH of 50, LPOP of 50", floor))
}

/// From the call that enqueues to the begin of the handler, 200 times a second.
async fn trickle(russet: &Russet) -> Result<Case, Failure> {
    let (queue, awaited, working) = attended(russet, "trickle").await?;
    let tick = ticks();
    let ours = Work::new(move |number| {
        let (queue, awaited, working) = (queue.clone(), awaited.clone(), working.clone());
        let tick = tick.clone();
        async move {
            tick.lock().await.tick().await;
            let begun = awaited.add(number, 1);
            let before = Instant::now();
            queue.enqueue(Job::new(number)).await?;
            let begun = begun.await?;
            drop(working);
            Ok(Took::Part(begun - before))
        }
    });
    Ok(Case::new("queue", "trickle_200", ours).callers(1, 1))
}

/// 200 of them a second.
fn ticks() -> Arc<tokio::sync::Mutex<Interval>> {
    let mut tick = interval(Duration::from_millis(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Arc::new(tokio::sync::Mutex::new(tick))
}

/// What that takes at the least: a push, and a pop that waits for it on a connection of its own.
async fn handed_over(server: &TestServer, russet: &Russet) -> Result<Case, Failure> {
    let waiting = Russet::connect(&server.url()).await?;
    let (sender, popped) = mpsc::unbounded_channel();
    let pops = tokio::spawn(async move {
        loop {
            raw::command(&waiting, &["BLPOP", FLOOR_LIST, "0.2"]).await?;
            sender.send(Instant::now()).ok();
        }
        #[allow(unreachable_code, reason = "it says what the loop may fail with")]
        Ok::<_, russet::Error>(())
    });
    let pops = Arc::new(AbortOnDropHandle::new(pops));
    let (tick, popped) = (ticks(), Arc::new(tokio::sync::Mutex::new(popped)));
    let russet = russet.clone();
    let ours = Work::new(move |_| {
        let (russet, tick, popped, pops) =
            (russet.clone(), tick.clone(), popped.clone(), pops.clone());
        async move {
            tick.lock().await.tick().await;
            let mut popped = popped.lock().await;
            // Pops that waited in vain.
            while popped.try_recv().is_ok() {}
            let before = Instant::now();
            raw::command(&russet, &["RPUSH", FLOOR_LIST, "body"]).await?;
            let at = popped.recv().await.ok_or("nobody pops")?;
            drop(pops);
            Ok(Took::Part(at - before))
        }
    });
    Ok(Case::new("queue", "push_pop_200", ours).callers(1, 1))
}
