//! What a queue tells and what it can be told: effects, progress, waiting for an end, rates, pages, what is kept.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use russet::testing::{Proxy, TestServer, eventually};
use russet::{
    BoxError, Delivery, Effects, ErrorKind, Peek, Queue, RateLimit, Russet, Settled, Task,
    TaskContext, TaskId, TaskState, Waited, Worker, metered,
};
use serde::{Deserialize, Serialize};
use support::{Stage, beside_a_timer, stage};
use tokio::sync::Notify;

const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
const BRIEF: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

impl Task for Order {
    const NAME: &'static str = "order";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Other;

impl Task for Other {
    const NAME: &'static str = "other";
}

fn order(id: u64) -> Order {
    Order { id }
}

fn queue(stage: &Stage, name: &str) -> Queue {
    Queue::builder(&stage.russet, name).backoff(BRIEF, BRIEF).build().unwrap()
}

/// The same queue by another connection, as another process has it.
async fn elsewhere(stage: &Stage, name: &str) -> Queue {
    let builder = Russet::builder().url(stage.server.url()).namespace(stage.russet.namespace());
    let russet = builder.connect_timeout(LONG).connect().await.unwrap();
    Queue::builder(&russet, name).backoff(BRIEF, BRIEF).build().unwrap()
}

async fn take(queue: &Queue) -> Delivery {
    queue.receive(LONG).await.unwrap().expect("a task")
}

async fn done(delivery: Delivery) {
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
}

async fn state(queue: &Queue, id: TaskId) -> TaskState {
    queue.status(id).await.unwrap().expect("a task").state
}

fn effects(id: u64) -> Effects {
    let id = id.to_string();
    Effects::new().put("receipts", &id, &"paid").add("totals", "cents", 4_200).remove("open", &id)
}

#[tokio::test]
async fn effects_are_there_when_their_task_is_completed_and_not_before() {
    let stage = stage().await;
    let queue = queue(&stage, "effects");
    queue.enqueue(order(6)).await.unwrap();
    let open = Effects::new().put("open", "7", &true).put("open", "8", &true);
    assert_eq!(take(&queue).await.complete_with((), open).await.unwrap(), Settled::Done);

    let id = queue.enqueue(order(7)).unique("7").keep_result(LONG).await.unwrap().id;
    let delivery = take(&queue).await;
    assert_eq!(queue.effect::<i64>("totals", "cents").await.unwrap(), None);
    assert_eq!(delivery.complete_with("receipt 7", effects(7)).await.unwrap(), Settled::Done);
    assert_eq!(queue.effect("totals", "cents").await.unwrap(), Some(4_200));
    assert_eq!(queue.effect("receipts", "7").await.unwrap(), Some("paid".to_owned()));
    assert_eq!(queue.effect::<bool>("open", "7").await.unwrap(), None);
    assert_eq!(queue.effect("open", "8").await.unwrap(), Some(true));
    let status = queue.status(id).await.unwrap().unwrap();
    assert_eq!(status.result.as_deref(), Some(b"\"receipt 7\"".as_slice()));
    assert!(queue.enqueue(order(7)).unique("7").await.unwrap().is_new, "its key is free");
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.running, counts.ready), (2, 0, 1));
    let leases = stage.key("queue:effects", "leases");
    assert_eq!(stage.server.command(&["EXISTS", &leases]).await.unwrap().int(), Some(0));
    for hash in ["totals", "receipts", "open"] {
        assert!(queue.remove_effects(hash).await.unwrap());
    }
    assert_eq!(queue.effect::<i64>("totals", "cents").await.unwrap(), None);
}

#[tokio::test]
async fn effects_of_a_lost_lease_are_not_written() {
    let stage = stage().await;
    let build = || Queue::builder(&stage.russet, "lost").lease(Duration::from_millis(100));
    let queue = build().build().unwrap();
    queue.enqueue(order(7)).await.unwrap();
    let late = take(&queue).await;
    // Its lease ends, and another one has the task.
    let current = take(&queue).await;
    assert!(current.fence() > late.fence());
    assert_eq!(late.complete_with((), effects(7)).await.unwrap(), Settled::LeaseLost);
    assert_eq!(queue.effect::<i64>("totals", "cents").await.unwrap(), None);
    assert_eq!(queue.counts().await.unwrap().completed, 0);
    let lost = queue.stats().lost;
    assert_eq!(lost, 1);
}

#[tokio::test]
async fn an_effect_that_cannot_be_leaves_the_task_and_the_others_unwritten() {
    let stage = stage().await;
    let queue = queue(&stage, "refused");
    let id = queue.enqueue(order(7)).await.unwrap().id;
    for bad in [
        Effects::new().put("totals", "cents", "no number").add("totals", "cents", 1),
        Effects::new().add("totals", "cents", (1 << 53) - 1).add("totals", "cents", 1),
        Effects::new().add("totals", "cents", 1).add("totals", &"x".repeat(2_000), 1),
    ] {
        let delivery = take(&queue).await;
        let error = delivery.complete_with((), bad.put("receipts", "7", &1)).await.unwrap_err();
        assert!([ErrorKind::Refused, ErrorKind::Invalid].contains(&error.kind()), "{error}");
        assert!(matches!(state(&queue, id).await, TaskState::Running { .. }));
        assert_eq!(queue.effect::<i64>("receipts", "7").await.unwrap(), None);
        // It goes on elsewhere.
        stage.server.command(&["DEL", &stage.key("queue:refused", "running")]).await.unwrap();
        let ready = stage.key("queue:refused", "ready:0");
        stage.server.command(&["RPUSH", &ready, id.as_str()]).await.unwrap();
    }
    let wrong = stage.key("queue:refused", "effects:wrong");
    stage.server.command(&["SET", &wrong, "x"]).await.unwrap();
    let both = Effects::new().put("receipts", "7", &1).put("wrong", "x", &1);
    assert!(take(&queue).await.complete_with((), both).await.is_err());
    assert_eq!(queue.effect::<i64>("receipts", "7").await.unwrap(), None);
}

/// What handlers of these tests share.
#[derive(Default)]
struct Shared {
    said: Notify,
    go_on: Notify,
}

async fn handle(order: Order, ctx: TaskContext<Arc<Shared>>) -> Result<String, BoxError> {
    assert_eq!(ctx.header("trace"), (order.id == 1).then_some("a, b: é"));
    assert_eq!(ctx.progress(&50).await?, Settled::Done);
    ctx.state().said.notify_one();
    ctx.state().go_on.notified().await;
    if order.id == 2 && ctx.attempt() == 1 {
        return Err("the first one fails".into());
    }
    let effects = Effects::new().add("totals", "orders", 1);
    assert_eq!(ctx.complete_with("with effects", effects).await?, Settled::Done);
    Err("nobody looks at this".into())
}

#[tokio::test]
async fn a_handler_says_how_far_it_is_and_completes_its_task_with_effects() {
    let stage = stage().await;
    let (queue, shared) = (queue(&stage, "progress"), Arc::<Shared>::default());
    let worker = Worker::builder(&queue).state(shared.clone()).handler(handle).build().unwrap();
    let first = queue.enqueue(order(1)).header("trace", "a, b: é").keep_result(LONG);
    let first = first.await.unwrap().id;
    let looking = async {
        shared.said.notified().await;
        let status = queue.status(first).await.unwrap().unwrap();
        assert_eq!(status.progress.as_deref(), Some(b"50".as_slice()));
        shared.go_on.notify_one();
        assert_eq!(
            queue.wait_for(first, LONG).await.unwrap().result().unwrap(),
            Some("with effects".to_owned())
        );
        assert_eq!(queue.status(first).await.unwrap().unwrap().progress, None);
        let second = queue.enqueue(order(2)).await.unwrap().id;
        for _ in 0..2 {
            shared.said.notified().await;
            shared.go_on.notify_one();
        }
        let waited = queue.wait_for(second, LONG).await.unwrap();
        assert!([Waited::Completed { result: None }, Waited::Gone].contains(&waited), "{waited:?}");
    };
    worker.run_until(looking).await.unwrap();
    assert_eq!(queue.effect("totals", "orders").await.unwrap(), Some(2));
    let progress = stage.key("queue:progress", "progress");
    assert_eq!(stage.server.command(&["EXISTS", &progress]).await.unwrap().int(), Some(0));
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.failed, counts.running, counts.ready), (2, 1, 0, 0));
    let stats = queue.stats();
    assert_eq!((stats.claimed, stats.completed, stats.failed, stats.lost), (3, 2, 1, 0));
    assert_eq!((stats.waited.count, stats.ran.count), (2, 3));
}

#[tokio::test]
async fn effects_whose_answer_is_lost_are_there_once() {
    let server = TestServer::start().await.unwrap();
    let proxy = Arc::new(Proxy::to(&server).await.unwrap());
    let russet = Russet::builder().url(proxy.url()).timeout(LONG).connect_timeout(LONG);
    let queue = Queue::builder(&russet.connect().await.unwrap(), "lost answer");
    let queue = queue.backoff(BRIEF, BRIEF).build().unwrap();
    let handler = |_: Order, ctx: TaskContext<Arc<Proxy>>| async move {
        if ctx.attempt() == 1 {
            ctx.state().drop_next_reply().await?;
        }
        let settled = ctx.complete_with((), Effects::new().add("totals", "orders", 1)).await?;
        assert_eq!(settled, Settled::Done);
        Ok::<_, BoxError>(())
    };
    // The script is taught to the server first.
    queue.enqueue(order(0)).await.unwrap();
    let first = take(&queue).await.complete_with((), Effects::new().add("totals", "orders", 1));
    assert_eq!(first.await.unwrap(), Settled::Done);
    let worker = Worker::builder(&queue).state(proxy.clone()).concurrency(1).handler(handler);
    queue.enqueue_many((0..5).map(order)).await.unwrap();
    let completed = async {
        eventually(LONG, async || match queue.counts().await {
            Ok(counts) if counts.completed == 6 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    };
    worker.build().unwrap().run_until(completed).await.unwrap();
    assert_eq!(queue.effect("totals", "orders").await.unwrap(), Some(6));
    let counts = queue.counts().await.unwrap();
    println!("{:?}, {counts:?}", queue.stats());
    assert_eq!((counts.ready, counts.retrying, counts.dead), (0, 0, 0));
}

#[tokio::test]
async fn progress_is_its_lease_holders_only_and_small() {
    let stage = stage().await;
    let queue = Queue::builder(&stage.russet, "whose").lease(Duration::from_millis(300));
    let queue = queue.build().unwrap();
    let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |_: Order, ctx: TaskContext| {
        let told = told.clone();
        async move {
            let too_large = ctx.progress(&"x".repeat(5_000)).await.unwrap_err();
            assert_eq!(too_large.kind(), ErrorKind::Invalid);
            told.send(ctx.clone())?;
            std::future::pending::<Result<(), BoxError>>().await
        }
    };
    let worker = Worker::builder(&queue).handler(handler).build().unwrap();
    let id = queue.enqueue(order(1)).await.unwrap().id;
    let ctx = tokio::select! {
        ended = worker.run_until(std::future::pending()) => panic!("{ended:?}"),
        ctx = telling.recv() => ctx.unwrap(),
    };
    // The worker is gone, and its lease ends.
    let current = take(&queue).await;
    assert_eq!(ctx.progress(&99).await.unwrap(), Settled::LeaseLost);
    assert_eq!(queue.status(id).await.unwrap().unwrap().progress, None);
    let late = ctx.complete_with((), effects(1)).await.unwrap();
    assert_eq!(late, Settled::LeaseLost);
    let _ = current;
}

#[tokio::test]
async fn who_waits_for_a_task_is_woken_by_its_end_in_another_process() {
    let stage = stage().await;
    let (queue, other) = (queue(&stage, "wait"), elsewhere(&stage, "wait").await);
    let watchers = stage.key("queue:wait", "watchers");
    let wait = |id: TaskId| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.wait_for(id, LONG).await.unwrap() })
    };
    let is_watched = async |id: TaskId| {
        eventually(LONG, async || {
            let watched = stage.server.command(&["HEXISTS", &watchers, id.as_str()]).await.unwrap();
            if watched.int() == Some(1) { Ok(()) } else { Err("nobody waits") }
        })
        .await;
    };
    // Completed, with a result and without; two callers for one task.
    let id = other.enqueue(order(1)).keep_result(LONG).await.unwrap().id;
    let (one, two) = (wait(id), wait(id));
    is_watched(id).await;
    done(take(&other).await).await;
    for waiting in [one, two] {
        assert_eq!(waiting.await.unwrap(), Waited::Completed { result: Some(b"null".to_vec()) });
    }
    let id = other.enqueue(order(2)).await.unwrap().id;
    let waiting = wait(id);
    is_watched(id).await;
    done(take(&other).await).await;
    assert_eq!(waiting.await.unwrap(), Waited::Completed { result: None });
    // Together with effects.
    let id = other.enqueue(order(3)).await.unwrap().id;
    let waiting = wait(id);
    is_watched(id).await;
    assert_eq!(take(&other).await.complete_with((), effects(3)).await.unwrap(), Settled::Done);
    assert_eq!(waiting.await.unwrap(), Waited::Completed { result: None });
    // Dead.
    let id = other.enqueue(order(4)).await.unwrap().id;
    let waiting = wait(id);
    is_watched(id).await;
    assert_eq!(take(&other).await.dead_letter("no use").await.unwrap(), Settled::Done);
    let Waited::Dead { errors } = waiting.await.unwrap() else { panic!("it is dead") };
    assert_eq!(errors[0].message, "no use");
    // Cancelled while it waits, and while it runs.
    let id = other.enqueue(order(5)).await.unwrap().id;
    let waiting = wait(id);
    is_watched(id).await;
    other.cancel(id).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Waited::Cancelled);
    let id = other.enqueue(order(6)).await.unwrap().id;
    let waiting = wait(id);
    is_watched(id).await;
    let delivery = take(&other).await;
    other.cancel(id).await.unwrap();
    assert_eq!(delivery.retry("asked to end").await.unwrap(), Settled::Done);
    assert_eq!(waiting.await.unwrap(), Waited::Cancelled);
    assert_eq!(stage.server.command(&["EXISTS", &watchers]).await.unwrap().int(), Some(0));

    // What has ended, what never was, what does not end.
    assert_eq!(queue.wait_for(id, LONG).await.unwrap(), Waited::Cancelled);
    let never = "0000000000000000000000".parse().unwrap();
    assert_eq!(queue.wait_for(never, LONG).await.unwrap(), Waited::Gone);
    let id = other.enqueue(order(7)).await.unwrap().id;
    assert_eq!(queue.wait_for(id, NOW).await.unwrap(), Waited::Pending);
    assert_eq!(queue.wait_for(id, BRIEF).await.unwrap(), Waited::Pending);
    // Nothing is left of waits that ended by their time.
    eventually(LONG, async || {
        queue.purge(LONG).await.unwrap();
        let left = stage.server.command(&["EXISTS", &watchers]).await.unwrap();
        if left.int() == Some(0) { Ok(()) } else { Err("there are still some") }
    })
    .await;
    let (_, cost) = metered(queue.wait_for(never, LONG)).await;
    assert_eq!(cost.round_trips, 2);
}

/// How many tasks came in the first bit of a time, and in how long all of them.
async fn drained(queue: &Queue, tasks: usize) -> Vec<Instant> {
    let mut came = Vec::new();
    while came.len() < tasks {
        let delivery = take(queue).await;
        came.push(Instant::now());
        done(delivery).await;
    }
    came
}

#[tokio::test]
async fn a_rate_holds_tasks_back_evenly_and_they_stay_ready_in_their_order() {
    let stage = stage().await;
    let queue = queue(&stage, "rate");
    let limit = RateLimit::new(20, Duration::from_secs(1)).burst(5);
    queue.set_rate_limit(limit).await.unwrap();
    queue.enqueue_many((0..15).map(order)).await.unwrap();
    let began = Instant::now();
    // The burst at once, then one each 50 ms; the server's clock says when.
    let came = drained(&queue, 15).await;
    assert!(came[14] - began >= Duration::from_millis(495), "{:?}", came[14] - began);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.rate_limit, counts.completed), (Some(limit), 15));

    // So slow that nothing comes; what is held back is ready. Set while others wait, it is in force at once.
    queue.set_rate_limit(RateLimit::new(1, Duration::from_secs(3_600))).await.unwrap();
    queue.enqueue_many((0..3).map(order)).await.unwrap();
    let first = take(&queue).await;
    assert_eq!(first.task::<Order>().unwrap(), order(0));
    assert!(queue.receive(Duration::from_millis(20)).await.unwrap().is_none());
    assert_eq!(queue.counts().await.unwrap().ready, 2);
    let waiting = queue.clone();
    let waiting = tokio::spawn(async move { take(&waiting).await });
    queue.clear_rate_limit().await.unwrap();
    let second = waiting.await.unwrap();
    assert_eq!(second.task::<Order>().unwrap(), order(1));
    assert_eq!(queue.counts().await.unwrap().rate_limit, None);
    for delivery in [first, second, take(&queue).await] {
        done(delivery).await;
    }
    for bad in [RateLimit::per_second(0), RateLimit::per_second(1).burst(0)] {
        let error = queue.set_rate_limit(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn workers_of_all_processes_share_a_rate_and_wait_without_asking_all_the_time() {
    let server = TestServer::start().await.unwrap();
    let stage = support::connect(&server.url()).await;
    let queue = Queue::builder(&stage, "shared rate").build().unwrap();
    async fn nothing(_: Order, _: TaskContext) -> Result<(), BoxError> {
        Ok(())
    }
    let worker = || Worker::builder(&queue).concurrency(20).handler(nothing).build().unwrap();
    queue.set_rate_limit(RateLimit::per_second(100)).await.unwrap();
    queue.enqueue_many((0..40).map(order)).await.unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let began = Instant::now();
    let (one, two) = (worker(), worker());
    let (one, two) = tokio::join!(one.run_until_empty(), two.run_until_empty());
    let took = began.elapsed();
    assert_eq!((one.unwrap().ready, two.unwrap().ready), (0, 0));
    assert!(took >= Duration::from_millis(385), "{took:?}");
    assert_eq!(queue.counts().await.unwrap().completed, 40);
    // A turn of each for each task, one for each end, and some more.
    let turns = server.calls("evalsha").await.unwrap() + server.calls("eval").await.unwrap();
    println!("{turns} calls for 40 tasks in {took:?}");
    let most = 160 + 2 * u64::try_from(took.as_millis()).unwrap() / 10;
    assert!(turns <= most, "{turns} calls, more than {most}");
}

#[tokio::test]
async fn a_page_shows_the_tasks_of_a_state_and_inspect_all_of_one() {
    let stage = stage().await;
    let slow = Queue::builder(&stage.russet, "peek").backoff(LONG, LONG).build().unwrap();
    let many = slow.enqueue_many((0..30).map(order)).priority(3).header("from", "test");
    let ids = many.max_attempts(7).timeout(LONG).keep_result(LONG).await.unwrap().ids;
    let last = slow.enqueue(order(99)).priority(1).unique("a b").await.unwrap().id;
    let later = slow.enqueue_many([order(50), order(51)]).delay(LONG).await.unwrap().ids;
    slow.cancel(ids[4]).await.unwrap();

    let mut seen = Vec::new();
    let mut from = Some(0);
    while let Some(place) = from {
        let page = slow.peek(Peek::Ready, place, 8).await.unwrap();
        assert!(page.tasks.len() <= 8);
        seen.extend(page.tasks.iter().map(|task| task.status.id));
        from = page.next;
    }
    let mut expected = ids.clone();
    expected.remove(4);
    expected.push(last);
    assert_eq!(seen, expected, "in their order, without the cancelled one");
    let cancelled = slow.peek(Peek::Cancelled, 0, 10).await.unwrap();
    assert_eq!(cancelled.tasks.len(), 1);
    assert!(slow.peek(Peek::Completed, 0, 10).await.unwrap().tasks.is_empty());

    let found = slow.inspect(ids[0]).await.unwrap().unwrap();
    assert_eq!(found.task::<Order>().unwrap(), order(0));
    assert!(found.task::<Other>().is_err());
    assert_eq!((found.max_attempts, found.timeout, found.keep_result), (7, Some(LONG), Some(LONG)));
    assert_eq!(found.headers["from"], "test");
    let found = slow.inspect(last).await.unwrap().unwrap();
    assert_eq!((found.max_attempts, found.unique.as_deref()), (5, Some("a b")));
    assert!(slow.inspect("0000000000000000000000".parse().unwrap()).await.unwrap().is_none());

    let before = SystemTime::now() - LONG;
    let delivery = take(&slow).await;
    assert_eq!((delivery.id(), delivery.header("from")), (ids[0], Some("test")));
    assert_eq!(delivery.header("to"), None);
    assert_eq!(delivery.retry("once").await.unwrap(), Settled::Done);
    assert_eq!(take(&slow).await.dead_letter("for good").await.unwrap(), Settled::Done);
    let running = take(&slow).await;
    done(take(&slow).await).await;
    for (state, id) in [
        (Peek::Retrying, ids[0]),
        (Peek::Dead, ids[1]),
        (Peek::Running, running.id()),
        (Peek::Completed, ids[3]),
    ] {
        let page = slow.peek(state, 0, 100).await.unwrap();
        let tasks: Vec<_> = page.tasks.iter().map(|task| task.status.id).collect();
        assert_eq!((tasks, page.next), (vec![id], None), "{state:?}");
        assert_eq!(slow.inspect(id).await.unwrap().unwrap(), page.tasks[0], "{state:?}");
    }
    let errors = slow.inspect(ids[0]).await.unwrap().unwrap().status.errors;
    assert_eq!((errors[0].attempt, errors[0].message.as_str()), (1, "once"));
    assert!(errors[0].at > before);
    let scheduled = slow.peek(Peek::Scheduled, 0, 1).await.unwrap();
    assert!(later.contains(&scheduled.tasks[0].status.id) && scheduled.next.is_some());
    assert!(matches!(scheduled.tasks[0].status.state, TaskState::Scheduled { .. }));
    for bad in [slow.peek(Peek::Ready, 0, 0).await, slow.peek(Peek::Ready, 0, 101).await] {
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn waiting_tasks_of_a_kind_can_be_told() {
    let stage = stage().await;
    let queue = queue(&stage, "waiting");
    queue.enqueue(order(1)).await.unwrap();
    queue.enqueue(Other).await.unwrap();
    queue.enqueue(order(2)).priority(1).await.unwrap();
    assert_eq!(queue.waiting::<Order>().await.unwrap(), [order(2), order(1)]);
    assert_eq!(queue.waiting::<Other>().await.unwrap(), [Other]);
    let (_, cost) = metered(queue.peek(Peek::Ready, 0, 100)).await;
    assert_eq!(cost.round_trips, 1);
    let counts = queue.counts().await.unwrap();
    assert!(counts.oldest_waits.is_some());
    for _ in 0..3 {
        done(take(&queue).await).await;
    }
    assert_eq!(queue.counts().await.unwrap().oldest_waits, None);
    assert_eq!(queue.stats().enqueued, 3);
}

#[tokio::test]
async fn a_delayed_task_has_not_waited_before_its_time() {
    let stage = stage().await;
    let queue = queue(&stage, "ready since");
    let hour = Duration::from_secs(3_600);
    let began = Instant::now();
    let delay = Duration::from_millis(50);
    queue.enqueue(order(1)).delay(delay).await.unwrap();
    let delivery = take(&queue).await;
    let waited = queue.stats().waited;
    assert_eq!(waited.count, 1);
    // A millisecond for each of two clocks that are read in whole ones.
    let most = (began.elapsed() + Duration::from_millis(2)).saturating_sub(delay);
    assert!(waited.longest <= most, "{waited:?}, more than {most:?}");
    done(delivery).await;
    queue.enqueue(order(2)).execute_at(SystemTime::now() - hour).await.unwrap();
    assert!(queue.counts().await.unwrap().oldest_waits.unwrap() < hour / 2);
}

#[tokio::test]
async fn no_more_is_kept_than_was_said() {
    let stage = stage().await;
    let build = || Queue::builder(&stage.russet, "kept").keep_results(LONG);
    let few = build().keep_at_most(3, 1_000_000).build().unwrap();
    let mut ids = Vec::new();
    for id in 0..10 {
        // What is remembered of requests takes no room from results.
        ids.push(few.enqueue(order(id)).request_id(&id.to_string()).await.unwrap().id);
        done(take(&few).await).await;
    }
    let kept = few.peek(Peek::Completed, 0, 100).await.unwrap();
    let kept: Vec<_> = kept.tasks.iter().map(|task| task.status.id).collect();
    assert_eq!((kept, few.counts().await.unwrap().kept), (ids[7..].to_vec(), 3), "the last ones");

    // By their bytes, those of cancelled ones too.
    let small = build().keep_at_most(1_000, 100).build().unwrap();
    for id in 0..10 {
        let id = small.enqueue(order(id)).await.unwrap().id;
        small.cancel(id).await.unwrap();
        let outcomes = stage.key("queue:kept", "outcomes");
        let texts = stage.server.command(&["HVALS", &outcomes]).await.unwrap();
        let bytes: usize = texts.texts().iter().map(|text| text.len()).sum();
        assert!((1..=100).contains(&bytes), "{bytes} bytes");
        let meta = stage.key("queue:kept", "meta");
        let counted = stage.server.command(&["HGET", &meta, "bytes"]).await.unwrap();
        assert_eq!(counted.text().unwrap(), bytes.to_string());
    }
    // By their age, and nothing is left of it.
    let brief = build().keep_cancelled(BRIEF).keep_results(BRIEF).build().unwrap();
    let gone = brief.enqueue(order(1)).await.unwrap().id;
    brief.cancel(gone).await.unwrap();
    let none = build().keep_cancelled(NOW).build().unwrap();
    let id = none.enqueue(order(1)).await.unwrap().id;
    none.cancel(id).await.unwrap();
    assert!(none.status(id).await.unwrap().is_none(), "it is not kept at all");
    let running = none.enqueue(order(1)).await.unwrap().id;
    let delivery = take(&none).await;
    none.cancel(running).await.unwrap();
    assert_eq!(delivery.retry("asked to end").await.unwrap(), Settled::Done);
    assert!(none.status(running).await.unwrap().is_none(), "nor is one that ran");
    eventually(LONG, async || {
        brief.purge(LONG).await.unwrap();
        match brief.status(gone).await.unwrap() {
            None => Ok(()),
            Some(status) => Err(format!("{status:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_runs_until_its_queue_is_empty() {
    let stage = stage().await;
    let queue = Queue::builder(&stage.russet, "empty").backoff(LONG, LONG).build().unwrap();
    async fn branch(order: Order, ctx: TaskContext) -> Result<(), BoxError> {
        match order.id {
            0 => Err("it fails".into()),
            1 => Ok(()),
            id => {
                let halves = [id / 2, id - id / 2].map(super_order);
                ctx.queue().enqueue_many(halves).await?;
                Ok(())
            }
        }
    }
    fn super_order(id: u64) -> Order {
        Order { id }
    }
    let worker = Worker::builder(&queue).concurrency(120).handler(branch).build().unwrap();
    queue.enqueue_many([order(32), order(0)]).await.unwrap();
    queue.enqueue(order(5)).delay(LONG).await.unwrap();
    let counts = worker.run_until_empty().await.unwrap();
    // 32 leaves and 31 that branch.
    assert_eq!((counts.completed, counts.ready, counts.running), (63, 0, 0));
    assert_eq!((counts.retrying, counts.scheduled), (1, 1));
    assert_eq!(worker.run_until_empty().await.unwrap().completed, 63, "and once more");
    queue.enqueue(order(1)).await.unwrap();
    queue.pause().await.unwrap();
    assert_eq!(worker.run_until_empty().await.unwrap().ready, 1, "a paused queue is left");
}

#[tokio::test]
async fn a_queue_is_seen_to_be_empty_when_its_last_task_was_completed_with_effects() {
    let stage = stage().await;
    let queue = queue(&stage, "empty with effects");
    let handler = |_: Order, ctx: TaskContext| async move {
        let settled = ctx.complete_with((), Effects::new().add("totals", "orders", 1)).await?;
        assert_eq!(settled, Settled::Done);
        Ok::<_, BoxError>(())
    };
    queue.enqueue(order(1)).await.unwrap();
    let worker = Worker::builder(&queue).handler(handler).build().unwrap();
    // An idle worker looks each 5 seconds.
    let emptied = beside_a_timer(Duration::from_secs(4), worker.run_until_empty()).await;
    assert_eq!(emptied.answer.unwrap().completed, 1);
    assert!(emptied.beyond < Duration::from_millis(500), "{:?}", emptied.took);
}

#[tokio::test]
async fn options_of_a_batch_are_those_of_each_task_and_are_checked() {
    let stage = stage().await;
    let queue = queue(&stage, "batch");
    let long = "x".repeat(2_000);
    let many = || queue.enqueue_many([order(1), order(2)]);
    let many_headers = (0..17).fold(many(), |many, n| many.header(&n.to_string(), ""));
    for bad in [
        many().priority(10),
        many().max_attempts(0),
        many().timeout(NOW),
        many().keep_result(NOW),
        many().delay(400 * 86_400 * Duration::from_secs(1)),
        many().header("", "x"),
        many().header("x", &long),
        many().header(&long[..65], "x"),
        many_headers,
        queue.enqueue_many((0..).map(order)),
    ] {
        assert_eq!(bad.await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(stage.keys().await, []);
    let at = SystemTime::now() + LONG;
    let ids = many().priority(9).execute_at(at).await.unwrap().ids;
    for id in &ids {
        assert_eq!(id.priority(), 9);
        let TaskState::Scheduled { due } = state(&queue, *id).await else { panic!("{id:?}") };
        assert!(due.duration_since(at).unwrap_or_default() < Duration::from_millis(2));
    }
    let (_, cost) = metered(many().into_future()).await;
    assert_eq!(cost.round_trips, 1);
}

#[tokio::test]
async fn a_batch_with_a_request_id_is_enqueued_once_and_its_ids_are_told_again() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let russet = Russet::builder().url(proxy.url()).timeout(LONG).connect_timeout(LONG);
    let queue = Queue::builder(&russet.connect().await.unwrap(), "request").build().unwrap();
    let many = || queue.enqueue_many((0..100).map(order)).request_id("import 7");
    let first = many().await.unwrap();
    let again = many().await.unwrap();
    assert!(first.is_new && !again.is_new && first.ids == again.ids);
    assert!(first.ids.is_sorted());
    let page = queue.peek(Peek::Ready, 0, 100).await.unwrap();
    assert_eq!(page.tasks.iter().map(|task| task.status.id).collect::<Vec<_>>(), first.ids);
    assert_eq!(queue.counts().await.unwrap().ready, 100);
    proxy.drop_next_reply().await.unwrap();
    let lost = queue.enqueue_many((0..3).map(order)).request_id("import 8").await.unwrap();
    assert!(!lost.is_new, "the first try put them there");
    for id in lost.ids {
        assert_eq!(state(&queue, id).await, TaskState::Ready);
    }
    assert_eq!((queue.counts().await.unwrap().ready, queue.stats().enqueued), (103, 100));
    let refused = queue.enqueue_many([order(1)]).request_id("").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}
