//! The schedule with a hundred schedulers, with processes that are killed and answers that are lost, and how late it is.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use rand::RngExt;
use russet::testing::{Proxy, TestServer, WorkerProcess, eventually, worker_env, worker_report};
use russet::{
    BoxError, ErrorKind, Missed, Queue, Russet, Scheduler, Task, TaskContext, Worker, metered, raw,
};
use serde::{Deserialize, Serialize};
use support::patient;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const PULSE: Duration = Duration::from_millis(100);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// One of many tasks, and when it is due.
#[derive(Serialize, Deserialize)]
struct Due {
    n: u64,
    at_ms: u64,
}

impl Task for Due {
    const NAME: &'static str = "due";
}

/// One of a recurring task.
#[derive(Serialize, Deserialize)]
struct Pulse;

impl Task for Pulse {
    const NAME: &'static str = "pulse";
}

/// When the tasks began, by number and by tick.
#[derive(Default)]
struct Begun {
    due: Mutex<Vec<(u64, u64, u64)>>,
    pulses: Mutex<Vec<(SystemTime, SystemTime)>>,
}

async fn due(task: Due, ctx: TaskContext<Arc<Begun>>) -> Result<(), BoxError> {
    ctx.state().due.lock().unwrap().push((task.n, task.at_ms, now_ms()));
    Ok(())
}

async fn pulse(_: Pulse, ctx: TaskContext<Arc<Begun>>) -> Result<(), BoxError> {
    ctx.state().pulses.lock().unwrap().push((ctx.id().time(), SystemTime::now()));
    Ok(())
}

/// The value below which half of them are, and 99 of 100.
fn percentiles(mut values: Vec<u64>) -> (u64, u64) {
    values.sort_unstable();
    (values[values.len() / 2], values[values.len() * 99 / 100])
}

/// The machine itself: how late a timer is at the same times, and a question to the server after it.
async fn control(russet: &Russet, from_ms: u64, count: u64, step_ms: u64) -> Vec<u64> {
    let asked = (0..count).map(|n| async move {
        let at = from_ms + n * step_ms;
        tokio::time::sleep(Duration::from_millis(at.saturating_sub(now_ms()))).await;
        let russet = russet.clone();
        let asked = tokio::spawn(async move { raw::command(&russet, &["ECHO", "x"]).await });
        asked.await.unwrap().unwrap();
        now_ms().saturating_sub(at)
    });
    futures_util::future::join_all(asked).await
}

/// `RUSSET_SCHEDULE_TASKS` makes it longer: each 200 are a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_schedulers_run_each_of_the_due_tasks_once_and_soon() {
    let (tasks, step_ms) = (setting("RUSSET_SCHEDULE_TASKS", 1_000), 5);
    let server = TestServer::start().await.unwrap();
    let (begun, stop) = (Arc::new(Begun::default()), CancellationToken::new());
    let (mut schedulers, mut running) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let russet = patient(&server.url(), "many").await;
        for _ in 0..10 {
            let queue = Queue::builder(&russet, "due").build().unwrap();
            let worker = Worker::builder(&queue).state(begun.clone());
            let worker = worker.handler(due).handler(pulse).build().unwrap();
            let stop = stop.clone();
            let work = async move { worker.run_until(stop.cancelled()).await.unwrap() };
            running.push(tokio::spawn(work));
            schedulers.push(Scheduler::new(&queue));
        }
    }
    // Each scheduler brings its part, before the first one is due; and all register the same recurring one.
    let from_ms = now_ms() + 3_000 + tasks / 2;
    let all = Missed::RunAll { at_most: 1_000 };
    let brought = schedulers.iter().enumerate().map(|(nth, scheduler)| async move {
        scheduler.every("pulse", PULSE, Pulse).missed(all).await.unwrap();
        for n in (nth as u64..tasks).step_by(100) {
            let at_ms = from_ms + n * step_ms;
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms);
            scheduler.at(at, Due { n, at_ms }).await.unwrap();
        }
    });
    futures_util::future::join_all(brought).await;
    let brought_ms = now_ms();
    let beside = patient(&server.url(), "control").await;
    let cpu = server.cpu_micros().await.unwrap();
    let control = control(&beside, from_ms, tasks, step_ms).await;
    eventually(LONG, async || match begun.due.lock().unwrap().len() as u64 {
        done if done >= tasks => Ok(()),
        done => Err(format!("{done} of {tasks}")),
    })
    .await;
    assert!(schedulers[0].remove("pulse").await.unwrap());
    stop.cancel();
    for worker in running {
        worker.await.unwrap();
    }

    let due = begun.due.lock().unwrap().clone();
    let mut numbers: Vec<_> = due.iter().map(|(n, ..)| *n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..tasks).collect::<Vec<_>>(), "each was run once");
    // A machine on which it took longer to bring them has not made them late.
    let late = due.iter().map(|(_, at, began)| began.saturating_sub(*at.max(&brought_ms)));
    let (half, most) = percentiles(late.collect());
    let pulses = begun.pulses.lock().unwrap().clone();
    let late = pulses
        .iter()
        .filter(|(at, _)| *at >= SystemTime::UNIX_EPOCH + Duration::from_millis(from_ms));
    let late =
        late.map(|(at, began)| began.duration_since(*at).unwrap_or_default().as_millis() as u64);
    let (pulse_half, pulse_most) = percentiles(late.collect());
    let (timer_half, timer_most) = percentiles(control);
    let cpu = (server.cpu_micros().await.unwrap() - cpu) / tasks;
    println!(
        "100 schedulers, {tasks} tasks at {}/s: late by {half} ms at the median, {most} ms at p99; {} ticks by {pulse_half} and \
         {pulse_most} ms; a timer and a question to the server by {timer_half} and {timer_most} ms; {cpu} µs of the server a task",
        1_000 / step_ms,
        pulses.len(),
    );
    let (half_bound, most_bound) = (50 + 4 * timer_half, 250 + 4 * timer_most);
    assert!(half <= half_bound && pulse_half <= half_bound, "the median");
    assert!(most <= most_bound && pulse_most <= most_bound, "p99");
    let mut times: Vec<_> = pulses.iter().map(|(at, _)| *at).collect();
    times.sort_unstable();
    for pair in times.windows(2) {
        assert_eq!(pair[1].duration_since(pair[0]).unwrap(), PULSE, "none is left out or doubled");
    }
}

/// Consumers that wait, as many as the server knows of.
async fn waiting(
    server: &TestServer,
    queue: &Queue,
    count: usize,
) -> tokio::task::JoinSet<Option<russet::Delivery>> {
    let mut consumers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let queue = queue.clone();
        consumers.spawn(async move { queue.receive(LONG).await.unwrap() });
    }
    waiters_are(server, count).await;
    consumers
}

async fn waiters_are(server: &TestServer, count: usize) {
    eventually(LONG, async || {
        let waiters = server.command(&["ZCARD", "wait:{queue:wait}:waiters"]).await.unwrap().int();
        if waiters == Some(count as i64) { Ok(()) } else { Err(format!("{waiters:?}")) }
    })
    .await;
}

#[tokio::test]
async fn two_of_those_who_wait_look_for_a_due_task_and_not_all_of_them() {
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "wait").await;
    let scheduler = Scheduler::new(&Queue::builder(&russet, "wait").build().unwrap());
    let began = Instant::now();
    let mut consumers = waiting(&server, scheduler.queue(), 30).await;
    let before = server.calls("evalsha").await.unwrap();
    let mut sent = 0;
    for after in [100, 150, 200, 200, 200, 250] {
        scheduler.after(Duration::from_millis(after), Pulse).await.unwrap();
        sent += 1;
    }
    for _ in 0..sent {
        assert!(consumers.join_next().await.unwrap().unwrap().is_some());
    }
    let turns = server.calls("evalsha").await.unwrap() - before - sent;
    println!("{turns} turns for {sent} tasks and 30 consumers, in {:?}", began.elapsed());
    // Each of them looks every five seconds at least, whatever is due.
    let rounds = began.elapsed().as_secs() / 4;
    assert!(turns <= 4 * sent + 30 * rounds, "{turns} turns");
}

#[tokio::test]
async fn who_stops_waiting_is_not_waited_for() {
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "wait").await;
    let scheduler = Scheduler::new(&Queue::builder(&russet, "wait").build().unwrap());
    let began = Instant::now();
    // The first ones know when it is due, and the last one sleeps; then those are gone.
    let id = scheduler.after(Duration::from_millis(1_500), Pulse).await.unwrap().id;
    let mut gone = waiting(&server, scheduler.queue(), 2).await;
    let queue = scheduler.queue().clone();
    let last = tokio::spawn(async move { queue.receive(LONG).await.unwrap() });
    waiters_are(&server, 3).await;
    gone.shutdown().await;
    assert_eq!(last.await.unwrap().expect("a task").id(), id);
    // It would have slept for five seconds.
    assert!(began.elapsed() < Duration::from_millis(4_500), "{:?}", began.elapsed());
}

fn crash_queue(russet: &Russet) -> Queue {
    let brief = Duration::from_millis(1);
    let builder = Queue::builder(russet, "crash").lease(SECOND / 2).max_attempts(1_000);
    builder.backoff(brief, brief).build().unwrap()
}

async fn effect(_: Pulse, ctx: TaskContext<Russet>) -> Result<(), BoxError> {
    let id = ctx.idempotency_key();
    raw::command(ctx.state(), &["HINCRBY", "effects", &id, "1"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let Some(url) = worker_env("REDIS") else { return };
    let russet = patient(&url, "russet").await;
    let queue = crash_queue(&russet);
    // As each process of an application does when it starts.
    let all = Missed::RunAll { at_most: 1_000 };
    Scheduler::new(&queue).every("pulse", PULSE, Pulse).missed(all).await.unwrap();
    let worker = Worker::builder(&queue).state(russet.clone()).handler(effect).build().unwrap();
    worker_report("working");
    worker.run_until(std::future::pending()).await.unwrap();
}

/// `RUSSET_SCHEDULE_KILLS` makes it longer.
#[tokio::test]
async fn killed_processes_leave_out_no_tick_and_double_none() {
    let mut random = support::random();
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "russet").await;
    let queue = crash_queue(&russet);
    let scheduler = Scheduler::new(&queue);
    let spawn = || WorkerProcess::spawn("worker_process", &[("REDIS", &server.url())]).unwrap();
    let mut workers: Vec<_> = (0..2).map(|_| spawn()).collect();
    for worker in &mut workers {
        worker.line_starting("working").await.unwrap();
    }
    for kill in 0..setting("RUSSET_SCHEDULE_KILLS", 6) {
        let ticked = async || scheduler.list().await.unwrap()[0].last;
        let before = ticked().await;
        eventually(LONG, async || match ticked().await {
            last if last > before => Ok(()),
            last => Err(format!("{last:?}")),
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
        let victim = random.random_range(0..workers.len());
        workers[victim].kill().await.unwrap();
        println!("kill {kill}: worker {victim}");
        workers[victim] = spawn();
    }
    for worker in &mut workers {
        worker.line_starting("working").await.unwrap();
    }
    assert!(scheduler.remove("pulse").await.unwrap());
    let counts = eventually(LONG, async || match queue.counts().await.unwrap() {
        counts if counts.ready + counts.running + counts.retrying == 0 => Ok(counts),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    let effects = server.command(&["HGETALL", "effects"]).await.unwrap();
    let effects: BTreeMap<_, u64> = effects
        .texts()
        .chunks(2)
        .map(|pair| (pair[0].parse::<russet::TaskId>().unwrap(), pair[1].parse().unwrap()))
        .collect();
    let runs: u64 = effects.values().sum();
    println!("{} ticks, {runs} runs, {counts:?}", effects.len());
    assert_eq!((counts.completed, counts.dead, counts.scheduled), (effects.len() as u64, 0, 0));
    let times: Vec<_> = effects.keys().map(russet::TaskId::time).collect();
    for pair in times.windows(2) {
        assert_eq!(pair[1].duration_since(pair[0]).unwrap(), PULSE, "none is left out or doubled");
    }
    // A run is repeated only when its process died before it was settled.
    assert!(runs - counts.completed <= counts.failed, "{runs} runs, {counts:?}");
}

/// A recurring task that is due, its tick, and a scheduler that nothing disturbs.
async fn is_due(server: &TestServer, namespace: &str) -> (Scheduler, SystemTime) {
    let russet = patient(&server.url(), namespace).await;
    let scheduler = Scheduler::new(&Queue::builder(&russet, "chores").build().unwrap());
    let due = scheduler.every("pulse", HOUR, Pulse).await.unwrap().next.unwrap();
    (scheduler, due)
}

/// What another process finds, once the moment of the one that failed is over: the tick is there once, and the next one is due.
async fn is_there_once(scheduler: &Scheduler, due: SystemTime, case: &str) {
    scheduler.tick_at(due + 2 * SECOND).await.unwrap();
    let entry = &scheduler.list().await.unwrap()[0];
    assert_eq!((entry.last, entry.next), (Some(due), Some(due + HOUR)), "{case}");
    let delivery = scheduler.queue().receive(LONG).await.unwrap().expect(case);
    assert_eq!(delivery.id().time(), due, "{case}");
    let counts = scheduler.queue().counts().await.unwrap();
    assert_eq!((counts.running, counts.ready, counts.scheduled), (1, 0, 0), "{case}");
}

#[tokio::test]
async fn a_tick_is_there_once_whichever_answer_is_lost() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let mut failed = 0;
    for request in 0..4 {
        let case = format!("answer {request} is lost");
        let namespace = format!("lost-{request}");
        let (scheduler, due) = is_due(&server, &namespace).await;
        let russet = patient(&proxy.url(), &namespace).await;
        let victim = Scheduler::new(&Queue::builder(&russet, "chores").build().unwrap());
        proxy.drop_reply_after(request).await.unwrap();
        match victim.tick_at(due).await {
            Ok(ticked) => assert_eq!(ticked.tasks.len(), 1, "{case}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unknown, "{case}: {error}");
                failed += 1;
            }
        }
        is_there_once(&scheduler, due, &case).await;
        russet.close().await;
        proxy.heal().await.unwrap();
    }
    // A look, the enqueueing, and a look for more.
    assert_eq!(failed, 3);
}

type Work<'a> = std::pin::Pin<Box<dyn Future<Output = russet::Result<String>> + 'a>>;

/// Every public call of a scheduler that writes, and whether it asks again when its answer was lost. `at` and `after` are
/// `Queue::enqueue`, and `cancel` is the queue's.
fn writes(
    scheduler: &Scheduler,
    id: russet::TaskId,
    due: SystemTime,
) -> Vec<(&'static str, bool, Work<'_>)> {
    macro_rules! writes {
        ($($name:literal $again:literal: $call:expr),+ $(,)?) => {
            vec![$(($name, $again, Box::pin(async move { Ok(format!("{:?}", $call.await?)) }) as Work<'_>)),+]
        };
    }
    writes! {
        "cron" true: async { scheduler.cron("c", "0 8 * * *", "UTC", Pulse).await.map(|done| done.is_new) },
        "every" true: async { scheduler.every("e", HOUR, Pulse).await.map(|done| done.is_new) },
        "pause" true: scheduler.pause("pulse"),
        "resume" true: scheduler.resume("paused"),
        "remove" false: scheduler.remove("pulse"),
        "run_now" false: async { scheduler.run_now("pulse").await.map(|done| done.is_new) },
        "tick_at" false: async { scheduler.tick_at(due).await.map(|done| done.tasks.len()) },
        "reschedule" false: scheduler.reschedule(id, due),
        "reschedule_after" false: scheduler.reschedule_after(id, HOUR),
    }
}

/// What waits, and what recurs: without times, which differ from run to run.
async fn stands(scheduler: &Scheduler, id: russet::TaskId) -> String {
    let entries = scheduler.list().await.unwrap();
    let entries =
        entries.iter().map(|entry| (&entry.name, entry.next.is_some(), entry.last.is_some()));
    let state = scheduler.status(id).await.unwrap().unwrap().state;
    let is_soon = matches!(state, russet::TaskState::Scheduled { due } if due < SystemTime::now() + 24 * HOUR);
    let ready = scheduler.queue().counts().await.unwrap().ready;
    format!("{:?} {ready} {is_soon}", entries.collect::<Vec<_>>())
}

/// A scheduler over this address, and one that nothing disturbs; with something to write about.
async fn with_something(
    server: &TestServer,
    url: &str,
    namespace: &str,
) -> (Scheduler, Scheduler, russet::TaskId, SystemTime) {
    let (calm, due) = is_due(server, namespace).await;
    calm.every("paused", HOUR, Pulse).await.unwrap();
    assert!(calm.pause("paused").await.unwrap());
    let id = calm.after(100 * HOUR, Pulse).await.unwrap().id;
    let russet = patient(url, namespace).await;
    let disturbed = Scheduler::new(&Queue::builder(&russet, "chores").build().unwrap());
    (disturbed, calm, id, due)
}

#[tokio::test]
async fn every_write_whose_answer_is_lost_is_there_at_most_once_and_says_what_it_knows() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let mut lost = 0;
    let names: Vec<_> = {
        let (scheduler, _, id, due) = with_something(&server, &server.url(), "names").await;
        writes(&scheduler, id, due).into_iter().map(|(name, again, _)| (name, again)).collect()
    };
    for (number, (name, again)) in names.into_iter().enumerate() {
        let undisturbed = format!("{name}-undisturbed");
        let (scheduler, calm, id, due) = with_something(&server, &server.url(), &undisturbed).await;
        let before = stands(&calm, id).await;
        let (_, _, call) = writes(&scheduler, id, due).swap_remove(number);
        let (answer, sent) = metered(call).await;
        let (answer, after) = (answer.unwrap(), stands(&calm, id).await);
        assert_ne!(before, after, "{name} wrote nothing");
        for request in 0..sent.round_trips as usize {
            let case = format!("{name}, answer {request} lost");
            let here = format!("{name}-{request}");
            let (scheduler, calm, id, due) = with_something(&server, &proxy.url(), &here).await;
            let (_, _, call) = writes(&scheduler, id, due).swap_remove(number);
            proxy.drop_reply_after(request).await.unwrap();
            let outcome = call.await;
            let now = stands(&calm, id).await;
            match outcome {
                Ok(got) => assert!(got == answer && now == after, "{case}: {got}, {now}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unknown, "{case}: {error}");
                    assert!(!again && (now == before || now == after), "{case}: {now}");
                }
            }
            lost += 1;
        }
    }
    println!("{lost} answers lost");
}

#[test]
fn every_public_call_of_a_scheduler_is_a_write_or_a_read() {
    let source = include_str!("schedule_crash.rs");
    let reads = [
        "at",
        "after",
        "cancel",
        "new",
        "keep_results",
        "queue",
        "status",
        "list",
        "tick",
        "run_until",
    ];
    for method in support::public_methods("Scheduler") {
        let name = method.trim_start_matches("Scheduler::");
        let is_write = source.contains(&format!("\"{name}\" true: "))
            || source.contains(&format!("\"{name}\" false: "));
        assert!(is_write || reads.contains(&name), "{method} is neither");
    }
}

#[tokio::test]
async fn a_tick_is_there_once_wherever_its_process_stops() {
    let server = TestServer::start().await.unwrap();
    for polls in 1.. {
        let case = format!("dropped after {polls} polls");
        let namespace = format!("dropped-{polls}");
        let (scheduler, due) = is_due(&server, &namespace).await;
        let russet = patient(&server.url(), &namespace).await;
        let victim = Scheduler::new(&Queue::builder(&russet, "chores").build().unwrap());
        let ended = {
            let mut ticking = pin!(victim.tick_at(due));
            let mut polled = 0;
            poll_fn(|context| {
                polled += 1;
                match ticking.as_mut().poll(context) {
                    Poll::Ready(ticked) => Poll::Ready(Some(ticked)),
                    Poll::Pending if polled >= polls => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        is_there_once(&scheduler, due, &case).await;
        if let Some(ticked) = ended {
            assert_eq!(ticked.unwrap().tasks.len(), 1);
            println!("{polls} polls");
            return;
        }
        assert!(polls < 100, "it never ends");
    }
}

#[tokio::test]
async fn what_recurs_survives_its_server_and_every_process() {
    let server = TestServer::builder().append_only().start().await.unwrap();
    let (scheduler, due) = is_due(&server, "restart").await;
    let cron = scheduler.cron("nightly", "30 3 * * *", "Asia/Shanghai", Pulse).await.unwrap();
    scheduler.tick_at(due).await.unwrap();
    let before = format!("{:?}", scheduler.list().await.unwrap());
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    let russet = patient(&server.url(), "restart").await;
    let other = Scheduler::new(&Queue::builder(&russet, "chores").build().unwrap());
    assert_eq!(format!("{:?}", other.list().await.unwrap()), before);
    let again = other.cron("nightly", "30 3 * * *", "Asia/Shanghai", Pulse).await.unwrap();
    assert!(!again.is_new && again.next == cron.next);
    let ticked = other.tick_at(due + HOUR).await.unwrap();
    assert!(ticked.tasks.iter().any(|task| task.time() == due + HOUR));
}

#[tokio::test]
async fn a_full_server_refuses_a_tick_and_it_comes_when_there_is_room() {
    let server = TestServer::start().await.unwrap();
    let (scheduler, due) = is_due(&server, "full").await;
    let limit = async |bytes: &str| {
        server.command(&["CONFIG", "SET", "maxmemory", bytes]).await.unwrap();
    };
    limit("1").await;
    assert_eq!(scheduler.tick_at(due).await.unwrap_err().kind(), ErrorKind::Refused);
    let refused = scheduler.every("other", HOUR, Pulse).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let later = scheduler.queue().enqueue(Pulse).await.unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Refused);
    limit("0").await;
    is_there_once(&scheduler, due, "there is room").await;
    limit("1").await;
    assert!(scheduler.remove("pulse").await.unwrap(), "what ends something is not refused");
}
