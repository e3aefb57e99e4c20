//! The worker: what handlers get, what becomes of what they do, and how it ends.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestServer, eventually};
use russet::{
    BoxError, Cancelled, ErrorKind, Queue, Russet, Settled, Task, TaskContext, TaskId, TaskState,
    Worker,
};
use serde::{Deserialize, Serialize};
use support::{Stage, stage};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Job {
    what: String,
}

impl Task for Job {
    const NAME: &'static str = "job";
}

fn job(what: impl ToString) -> Job {
    Job { what: what.to_string() }
}

/// The same name, and another body.
#[derive(Serialize, Deserialize)]
struct OtherJob {
    number: u64,
}

impl Task for OtherJob {
    const NAME: &'static str = "job";
}

#[derive(Serialize, Deserialize)]
struct Unknown;

impl Task for Unknown {
    const NAME: &'static str = "unknown";
}

fn queue(stage: &Stage, name: &str) -> Queue {
    let brief = Duration::from_millis(1);
    Queue::builder(&stage.russet, name).backoff(brief, brief).build().unwrap()
}

/// What handlers of these tests share.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    by_what: Mutex<HashMap<String, Vec<(u32, u64)>>>,
    go_on: Notify,
}

type Ctx = TaskContext<Arc<Seen>>;

async fn handle(job: Job, ctx: Ctx) -> Result<String, BoxError> {
    let seen = ctx.state().clone();
    let delivery = (ctx.attempt(), ctx.fence());
    seen.by_what.lock().unwrap().entry(job.what.clone()).or_default().push(delivery);
    seen.count.fetch_add(1, Ordering::SeqCst);
    match job.what.as_str() {
        "fails" => Err("as it should".into()),
        "fails once" if ctx.attempt() == 1 => Err("only once".into()),
        "panics" => panic!("as it should too"),
        "never ends" => std::future::pending().await,
        "waits" => {
            seen.go_on.notified().await;
            Ok("waited".into())
        }
        "until cancelled" => {
            ctx.cancelled().await;
            assert!(ctx.is_cancelled());
            Err("cancelled".into())
        }
        what => Ok(what.to_owned()),
    }
}

/// A worker under way, and its end.
struct Working {
    worker: Arc<Worker<Arc<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<russet::Result<()>>,
}

fn work(queue: &Queue, seen: &Arc<Seen>, patience: Duration) -> Working {
    let builder = Worker::builder(queue).state(seen.clone()).concurrency(8);
    let worker = builder.shutdown_timeout(patience).handler(handle).build().unwrap();
    let worker = Arc::new(worker);
    let (stop, stopped) = oneshot::channel();
    let running = worker.clone();
    let ended = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        running.run_until(shutdown).await
    });
    Working { worker, stop: Some(stop), ended }
}

impl Working {
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

async fn until(queue: &Queue, id: TaskId, is: impl Fn(&TaskState) -> bool) -> TaskState {
    eventually(LONG, async || match queue.status(id).await.unwrap() {
        Some(status) if is(&status.state) => Ok(status.state),
        other => Err(format!("{other:?}")),
    })
    .await
}

#[tokio::test]
async fn handlers_do_tasks_and_their_results_are_kept() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "work"), Arc::<Seen>::default());
    let working = work(&queue, &seen, LONG);
    let id = queue.enqueue(job("x")).keep_result(LONG).await.unwrap().id;
    until(&queue, id, |state| matches!(state, TaskState::Completed { .. })).await;
    let status = queue.status(id).await.unwrap().unwrap();
    assert_eq!(status.result.as_deref(), Some(b"\"x\"".as_slice()));
    queue.enqueue_many((0..500).map(job)).await.unwrap();
    eventually(LONG, async || match seen.count.load(Ordering::SeqCst) {
        501 => Ok(()),
        count => Err(count.to_string()),
    })
    .await;
    assert!(working.worker.is_alive());
    working.stop().await;
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.running, counts.ready), (501, 0, 0));
}

#[tokio::test]
async fn an_error_a_panic_and_a_timeout_are_failed_attempts() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "fail"), Arc::<Seen>::default());
    let working = work(&queue, &seen, LONG);
    let brief = Duration::from_millis(20);
    for (what, word) in [
        ("fails", "as it should"),
        ("panics", "panicked: as it should too"),
        ("never ends", "timeout"),
    ] {
        let id = queue.enqueue(job(what)).max_attempts(2).timeout(brief).await.unwrap().id;
        until(&queue, id, |state| matches!(state, TaskState::Dead { .. })).await;
        let errors = queue.status(id).await.unwrap().unwrap().errors;
        assert_eq!(errors.len(), 2, "{what}: {errors:?}");
        assert!(errors.iter().all(|error| error.message.contains(word)), "{what}: {errors:?}");
        let seen = seen.by_what.lock().unwrap()[what].clone();
        assert!(seen[0].0 == 1 && seen[1].0 == 2 && seen[0].1 < seen[1].1, "{seen:?}");
    }
    let once = queue.enqueue(job("fails once")).keep_result(LONG).await.unwrap().id;
    until(&queue, once, |state| matches!(state, TaskState::Completed { .. })).await;
    assert_eq!(queue.status(once).await.unwrap().unwrap().attempts, 2);
    working.stop().await;
    let errors = stage.key("queue:fail", "errors");
    assert_eq!(
        stage.server.command(&["HLEN", &errors]).await.unwrap().int(),
        Some(3),
        "of the dead only"
    );
}

#[tokio::test]
async fn a_task_that_nobody_can_do_is_dead_with_its_reason_and_body() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "unknown"), Arc::<Seen>::default());
    let working = work(&queue, &seen, LONG);
    let unknown = queue.enqueue(Unknown).await.unwrap().id;
    let undecodable = queue.enqueue(OtherJob { number: 7 }).await.unwrap().id;
    for id in [unknown, undecodable] {
        until(&queue, id, |state| matches!(state, TaskState::Dead { .. })).await;
    }
    working.stop().await;
    let dead = queue.dead(0, 10).await.unwrap();
    let of = |id| dead.iter().find(|task| task.id == id).unwrap();
    assert_eq!(
        (of(unknown).name.as_str(), of(unknown).body.as_slice()),
        ("unknown", b"null".as_slice())
    );
    assert!(of(unknown).errors[0].message.contains("no handler"));
    assert_eq!(of(undecodable).body, br#"{"number":7}"#);
    assert!(of(undecodable).errors[0].message.contains("missing field"));
    assert_eq!(seen.count.load(Ordering::SeqCst), 0);
}

/// Leaves something in every hash that knows of it while it runs.
async fn leaves_traces(job: Job, ctx: TaskContext) -> Result<(), BoxError> {
    ctx.once("step", async || Ok::<_, BoxError>(7)).await?;
    assert_eq!(ctx.progress(&50).await?, Settled::Done);
    if job.what == "fails once" && ctx.attempt() == 1 { Err("once".into()) } else { Ok(()) }
}

#[tokio::test]
async fn of_tasks_that_are_done_nothing_is_left_but_counts_and_what_is_to_be_kept() {
    let stage = stage().await;
    let brief = Duration::from_millis(1);
    let queue = Queue::builder(&stage.russet, "traces").backoff(brief, brief).build().unwrap();
    queue.enqueue_many((0..20).map(job)).await.unwrap();
    queue.enqueue(job("a")).unique("a").await.unwrap();
    queue.enqueue(job("fails once")).await.unwrap();
    queue.enqueue(job("b")).keep_result(LONG).await.unwrap();
    queue.enqueue(job("later")).delay(brief).await.unwrap();
    let worker = Worker::builder(&queue).handler(leaves_traces).build().unwrap();
    eventually(LONG, async || match worker.run_until_empty().await.unwrap() {
        counts if counts.completed == 24 => Ok(()),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.failed), (24, 1));
    assert_eq!((counts.ready, counts.scheduled, counts.retrying, counts.running), (0, 0, 0, 0));
    let parts =
        ["tasks", "scheduled", "running", "leases", "errors", "once", "progress", "uniques"];
    let others = ["dead", "cancels", "requests", "remembered", "watchers", "ready:0"];
    for part in parts.into_iter().chain(others) {
        let key = stage.key("queue:traces", part);
        let there = stage.server.command(&["EXISTS", &key]).await.unwrap();
        assert_eq!(there.int(), Some(0), "{part}");
    }
    for part in ["outcomes", "ended"] {
        let command = if part == "ended" { "ZCARD" } else { "HLEN" };
        let kept = stage.server.command(&[command, &stage.key("queue:traces", part)]).await;
        assert_eq!(kept.unwrap().int(), Some(1), "{part}");
    }
}

/// Panics where nothing catches it: when the worker drops a handler that took too long.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a destructor");
        }
    }
}

async fn explodes(_: Unknown, ctx: TaskContext) -> Result<(), BoxError> {
    if ctx.attempt() > 1 {
        return Ok(());
    }
    let _bomb = Bomb;
    std::future::pending().await
}

#[tokio::test]
async fn a_panic_in_a_destructor_costs_an_attempt_and_not_the_workers_slot() {
    let stage = stage().await;
    let brief = Duration::from_millis(1);
    let queue = Queue::builder(&stage.russet, "bomb").lease(Duration::from_millis(300));
    let queue = queue.backoff(brief, brief).build().unwrap();
    queue.enqueue(Unknown).timeout(brief).await.unwrap();
    let worker = Worker::builder(&queue).concurrency(1).handler(explodes).build().unwrap();
    let counts = tokio::time::timeout(LONG, worker.run_until_empty()).await.unwrap().unwrap();
    assert_eq!((counts.completed, counts.failed, counts.dead), (1, 1, 0));
}

/// A task in a form of its own.
#[derive(Serialize, Deserialize)]
struct Line(String);

impl Task for Line {
    const NAME: &'static str = "line";

    fn encode_body(&self) -> Result<Vec<u8>, BoxError> {
        if self.0.is_empty() { Err("an empty line".into()) } else { Ok(self.0.clone().into()) }
    }

    fn decode_body(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(String::from_utf8(bytes.to_vec())?))
    }
}

#[tokio::test]
async fn a_task_may_have_a_form_of_its_own() {
    let stage = stage().await;
    let queue = queue(&stage, "lines");
    let id = queue.enqueue(Line("plain text".into())).await.unwrap().id;
    let record =
        stage.server.command(&["HGET", &stage.key("queue:lines", "tasks"), &id.to_string()]).await;
    assert_eq!(record.unwrap().text(), Some("V1 line plain text"));
    let delivery = queue.receive(LONG).await.unwrap().unwrap();
    assert_eq!(delivery.task::<Line>().unwrap().0, "plain text");
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    let error = queue.enqueue(Line(String::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec);
}

#[tokio::test]
async fn the_end_waits_for_what_runs_and_claims_nothing_more() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "end"), Arc::<Seen>::default());
    let working = work(&queue, &seen, LONG);
    queue.enqueue(job("waits")).await.unwrap();
    eventually(LONG, async || match seen.count.load(Ordering::SeqCst) {
        1 => Ok(()),
        count => Err(count.to_string()),
    })
    .await;
    let ending = tokio::spawn(working.stop());
    let waiters = stage.key("queue:end", "waiters");
    eventually(LONG, async || {
        match stage.server.command(&["ZCARD", &waiters]).await.unwrap().int() {
            Some(0) => Ok(()),
            other => Err(format!("{other:?} still wait")),
        }
    })
    .await;
    queue.enqueue(job("too late")).await.unwrap();
    seen.go_on.notify_one();
    ending.await.unwrap();
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.running, counts.ready), (1, 0, 1));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_given_back_uncounted() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "hand back"), Arc::<Seen>::default());
    let working = work(&queue, &seen, Duration::from_millis(50));
    let id = queue.enqueue(job("never ends")).await.unwrap().id;
    eventually(LONG, async || match seen.count.load(Ordering::SeqCst) {
        1 => Ok(()),
        count => Err(count.to_string()),
    })
    .await;
    working.stop().await;
    let status = queue.status(id).await.unwrap().unwrap();
    assert_eq!((status.state, status.attempts, status.errors.len()), (TaskState::Ready, 0, 0));
}

#[tokio::test]
async fn a_running_task_is_cancelled_across_processes() {
    let stage = stage().await;
    let (queue, seen) = (queue(&stage, "cancel"), Arc::<Seen>::default());
    let working = work(&queue, &seen, LONG);
    let id = queue.enqueue(job("until cancelled")).await.unwrap().id;
    until(&queue, id, |state| matches!(state, TaskState::Running { .. })).await;
    let builder = Russet::builder().url(stage.server.url()).namespace(stage.russet.namespace());
    let elsewhere = Queue::builder(&builder.connect().await.unwrap(), "cancel").build().unwrap();
    assert_eq!(elsewhere.cancel(id).await.unwrap(), Cancelled::Asked);
    until(&queue, id, |state| matches!(state, TaskState::Cancelled { .. })).await;
    working.stop().await;
    assert_eq!(seen.count.load(Ordering::SeqCst), 1, "it is not tried again");
}

#[tokio::test]
async fn a_cancelled_task_that_was_completed_all_the_same_is_asked_no_more() {
    let stage = stage().await;
    let lease = Duration::from_secs(2);
    let queue = Queue::builder(&stage.russet, "asked").lease(lease).build().unwrap();
    let seen = Arc::<Seen>::default();
    let working = work(&queue, &seen, LONG);
    // One goes on while the other is asked to end, and completes.
    let [asked, runs] = [queue.enqueue(job("waits")).await, queue.enqueue(job("waits")).await];
    let (asked, runs) = (asked.unwrap().id, runs.unwrap().id);
    for id in [asked, runs] {
        until(&queue, id, |state| matches!(state, TaskState::Running { .. })).await;
    }
    assert_eq!(queue.cancel(asked).await.unwrap(), Cancelled::Asked);
    let cancels = stage.key("queue:asked", "cancels");
    let asks = async || stage.server.command(&["ZCARD", &cancels]).await.unwrap().int();
    assert_eq!(asks().await, Some(1));
    seen.go_on.notify_one();
    eventually(LONG, async || match queue.counts().await.unwrap() {
        counts if counts.completed == 1 => Ok(()),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    // Whichever of the two has gone on: a task that runs is asked until it ends, and no task after that.
    if queue.status(asked).await.unwrap().is_some() {
        assert_eq!(asks().await, Some(1));
        seen.go_on.notify_one();
        eventually(LONG, async || match queue.counts().await.unwrap().completed {
            2 => Ok(()),
            completed => Err(completed),
        })
        .await;
        queue.enqueue(job("waits")).await.unwrap();
    }
    eventually(LONG, async || match asks().await {
        Some(0) => Ok(()),
        asks => Err(format!("{asks:?} asked")),
    })
    .await;
    seen.go_on.notify_one();
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let server = TestServer::start().await.unwrap();
    let russet = support::connect(&server.url()).await;
    let lease = Duration::from_millis(1_000);
    let queue = Queue::builder(&russet, "block").lease(lease).build().unwrap();
    let runs = Arc::new(AtomicU64::new(0));
    let block = move |_: Job, ctx: TaskContext<Arc<AtomicU64>>| async move {
        ctx.state().fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(3 * lease);
        Ok::<_, BoxError>(ctx.attempt())
    };
    let worker = Worker::builder(&queue).state(runs.clone()).handler(block).build().unwrap();
    let id = queue.enqueue(job("x")).keep_result(LONG).await.unwrap().id;
    // Another connection looks all the time, and would take the task when its lease ended.
    let other = support::connect(&server.url()).await;
    let other = Russet::builder()
        .url(server.url())
        .namespace(russet.namespace())
        .connect()
        .await
        .unwrap_or(other);
    let other = Queue::builder(&other, "block").build().unwrap();
    let watching = queue.clone();
    let done = async move {
        until(&watching, id, |state| matches!(state, TaskState::Running { .. })).await;
        eventually(LONG, async || match other.receive(Duration::ZERO).await.unwrap() {
            None => match other.status(id).await.unwrap().unwrap().state {
                TaskState::Completed { .. } => Ok(()),
                state => Err(format!("{state:?}")),
            },
            Some(delivery) => panic!("it was given to another: {delivery:?}"),
        })
        .await;
    };
    worker.run_until(done).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_worker_goes_on_after_its_connections_were_cut_and_nothing_is_lost() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let producer = support::connect(&server.url()).await;
    let builder = Russet::builder().url(proxy.url()).namespace(producer.namespace());
    let russet = builder.connect().await.unwrap();
    // Only what is given back in time comes again: the lease is longer than the test.
    let queue = Queue::builder(&russet, "cut").lease(10 * LONG).build().unwrap();
    let producer = Queue::builder(&producer, "cut").build().unwrap();
    let seen = Arc::<Seen>::default();
    let working = work(&queue, &seen, LONG);
    for round in 0..20 {
        producer.enqueue_many((0..50).map(job)).await.unwrap();
        if round % 4 == 1 {
            proxy.cut().await.unwrap();
            proxy.heal().await.unwrap();
        }
        if round % 4 == 3 {
            let _ = server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
            let _ = server.command(&["SCRIPT", "FLUSH"]).await;
        }
        let wanted = (round + 1) * 50;
        eventually(LONG, async || match producer.counts().await {
            Ok(counts) if counts.completed == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    let began = Instant::now();
    working.stop().await;
    assert!(began.elapsed() < LONG);
}

async fn charge(_: Job, ctx: TaskContext<Arc<AtomicU64>>) -> Result<u64, BoxError> {
    let step = async || Ok(ctx.state().fetch_add(1, Ordering::SeqCst));
    let first = ctx.once("charge", step).await?;
    if ctx.attempt() < 3 {
        return Err(format!("{first}").into());
    }
    Ok(first)
}

#[tokio::test]
async fn a_step_that_was_done_once_is_not_done_again() {
    let stage = stage().await;
    let queue = queue(&stage, "once");
    let steps = Arc::new(AtomicU64::new(0));
    let worker = Worker::builder(&queue).state(steps.clone()).handler(charge).build().unwrap();
    let id = queue.enqueue(job("x")).keep_result(LONG).await.unwrap().id;
    let done = until(&queue, id, |state| matches!(state, TaskState::Completed { .. }));
    let done = async {
        done.await;
    };
    worker.run_until(done).await.unwrap();
    assert_eq!(steps.load(Ordering::SeqCst), 1);
    assert_eq!(queue.status(id).await.unwrap().unwrap().result.as_deref(), Some(b"0".as_slice()));
    let once = stage.key("queue:once", "once");
    assert_eq!(stage.server.command(&["EXISTS", &once]).await.unwrap().int(), Some(0));
}

#[tokio::test]
async fn a_worker_checks_its_settings() {
    let stage = stage().await;
    let queue = queue(&stage, "settings");
    async fn nothing(_: Job, _: TaskContext) -> Result<(), BoxError> {
        Ok(())
    }
    let refused = [
        Worker::builder(&queue).build(),
        Worker::builder(&queue).handler(nothing).concurrency(0).build(),
        Worker::builder(&queue).handler(nothing).concurrency(10_001).build(),
        Worker::builder(&queue).handler(nothing).handler(nothing).build(),
        Worker::builder(&queue).handler(nothing).state(()).handler(nothing).build(),
    ];
    for worker in refused {
        assert_eq!(worker.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let worker = Worker::builder(&queue).handler(nothing).build().unwrap();
    assert!(!worker.is_alive(), "it does not run");
}
