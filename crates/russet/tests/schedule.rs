//! The scheduler: tasks at a time, other times for them, and recurring ones.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use russet::testing::eventually;
use russet::{
    BoxError, Cancelled, ErrorKind, Missed, Queue, Registered, Rescheduled, Scheduler, Settled,
    Task, TaskContext, TaskId, TaskState, Timetable, Worker,
};
use serde::{Deserialize, Serialize};
use support::{Stage, patient, patient_stage};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3_600);
const NONE: [SystemTime; 0] = [];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    of: String,
}

impl Task for Report {
    const NAME: &'static str = "report";
}

fn report(of: impl ToString) -> Report {
    Report { of: of.to_string() }
}

fn scheduler(stage: &Stage, name: &str) -> Scheduler {
    Scheduler::new(&Queue::builder(&stage.russet, name).build().unwrap())
}

/// The same queue over a connection of its own.
async fn elsewhere(stage: &Stage, name: &str) -> Scheduler {
    let russet = patient(&stage.server.url(), stage.russet.namespace()).await;
    Scheduler::new(&Queue::builder(&russet, name).build().unwrap())
}

async fn take(scheduler: &Scheduler) -> russet::Delivery {
    scheduler.queue().receive(LONG).await.unwrap().expect("a task")
}

async fn none(scheduler: &Scheduler) {
    assert!(scheduler.queue().receive(NOW).await.unwrap().is_none());
}

async fn state(scheduler: &Scheduler, id: TaskId) -> TaskState {
    scheduler.status(id).await.unwrap().expect("a task").state
}

/// When the one recurring task is due next.
async fn next(scheduler: &Scheduler) -> SystemTime {
    scheduler.list().await.unwrap()[0].next.expect("it is not paused")
}

/// For which times tasks are enqueued when the server's clock shows this.
async fn tick_at(scheduler: &Scheduler, time: SystemTime) -> Vec<SystemTime> {
    let ticked = scheduler.tick_at(time).await.unwrap();
    ticked.tasks.iter().map(TaskId::time).collect()
}

fn rounds() -> u32 {
    std::env::var("RUSSET_QUEUE_RACES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// Workers of a queue, and what they did: the ids of the tasks.
struct Working {
    did: UnboundedReceiver<TaskId>,
    stop: CancellationToken,
    running: Vec<tokio::task::JoinHandle<russet::Result<()>>>,
}

async fn did(_: Report, ctx: TaskContext<UnboundedSender<TaskId>>) -> Result<(), BoxError> {
    Ok(ctx.state().send(ctx.id())?)
}

fn work(schedulers: &[&Scheduler]) -> Working {
    let (told, did_them) = unbounded_channel();
    let stop = CancellationToken::new();
    let running = schedulers.iter().map(|scheduler| {
        let worker = Worker::builder(scheduler.queue()).state(told.clone()).handler(did);
        let (worker, stop) = (worker.build().unwrap(), stop.clone());
        tokio::spawn(async move { worker.run_until(stop.cancelled()).await })
    });
    Working { running: running.collect(), did: did_them, stop }
}

impl Working {
    async fn next(&mut self) -> TaskId {
        tokio::time::timeout(LONG, self.did.recv()).await.expect("a task is done").unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        for worker in self.running {
            worker.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_task_comes_at_its_time_or_after_a_while_and_its_result_is_kept() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "later");
    let tomorrow = SystemTime::now() + 24 * HOUR;
    let much_later = scheduler.at(tomorrow, report("tomorrow")).priority(9).await.unwrap().id;
    let TaskState::Scheduled { due } = state(&scheduler, much_later).await else { panic!() };
    assert!(tomorrow.duration_since(due).unwrap() < Duration::from_millis(2));
    let soon = scheduler.after(Duration::from_millis(200), report("soon")).await.unwrap();
    assert!(soon.is_new && much_later.priority() == 9);
    let delivery = take(&scheduler).await;
    assert_eq!((delivery.id(), delivery.task::<Report>().unwrap()), (soon.id, report("soon")));
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert!(matches!(state(&scheduler, soon.id).await, TaskState::Completed { .. }));
    assert_eq!(scheduler.cancel(much_later).await.unwrap(), Cancelled::Done);
    assert_eq!(scheduler.cancel(soon.id).await.unwrap(), Cancelled::Gone);
    // What the scheduler or its queue says of results counts.
    let brief = scheduler.clone().keep_results(Duration::from_millis(1));
    let id = brief.at(SystemTime::UNIX_EPOCH, report("past")).await.unwrap().id;
    assert_eq!(take(&scheduler).await.ack().await.unwrap(), Settled::Done);
    eventually(LONG, async || {
        scheduler.queue().purge(LONG).await.unwrap();
        match scheduler.status(id).await.unwrap() {
            None => Ok(()),
            Some(status) => Err(format!("{status:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_waiting_task_gets_another_time_wherever_it_waits() {
    let stage = patient_stage().await;
    let queue = Queue::builder(&stage.russet, "move").backoff(LONG, LONG).build().unwrap();
    let scheduler = Scheduler::new(&queue);
    let tomorrow = SystemTime::now() + 24 * HOUR;
    let moved = async |id| scheduler.reschedule(id, tomorrow).await.unwrap();
    let is_due_tomorrow = async |id| match state(&scheduler, id).await {
        TaskState::Scheduled { due } | TaskState::Retrying { due } => {
            tomorrow.duration_since(due).is_ok_and(|early| early < Duration::from_millis(2))
        }
        other => panic!("{other:?}"),
    };

    let retrying = scheduler.after(NOW, report("retrying")).await.unwrap().id;
    assert_eq!(take(&scheduler).await.retry("once").await.unwrap(), Settled::Done);
    let scheduled = scheduler.after(HOUR, report("scheduled")).await.unwrap().id;
    let ready = scheduler.after(NOW, report("ready")).await.unwrap().id;
    for id in [retrying, scheduled, ready] {
        assert_eq!(moved(id).await, Rescheduled::Done);
        assert!(is_due_tomorrow(id).await);
    }
    none(&scheduler).await;
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.ready, counts.scheduled, counts.retrying), (0, 2, 1));

    // Back again: who waits for tasks is woken, and attempts are kept.
    let waiting = queue.clone();
    let consumer = tokio::spawn(async move { waiting.receive(LONG).await });
    let waiters = stage.key("queue:move", "waiters");
    eventually(LONG, async || match stage.server.command(&["ZCARD", &waiters]).await {
        Ok(reply) if reply.int() == Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let soon = Duration::from_millis(5);
    assert_eq!(scheduler.reschedule_after(retrying, soon).await.unwrap(), Rescheduled::Done);
    let delivery = consumer.await.unwrap().unwrap().expect("woken");
    assert_eq!((delivery.id(), delivery.attempt()), (retrying, 2));
    assert_eq!(moved(retrying).await, Rescheduled::Running);
    assert_eq!(delivery.dead_letter("no use").await.unwrap(), Settled::Done);
    assert_eq!(moved(retrying).await, Rescheduled::Dead);
    assert_eq!(
        scheduler.reschedule(ready, SystemTime::UNIX_EPOCH).await.unwrap(),
        Rescheduled::Done
    );
    let delivery = take(&scheduler).await;
    assert_eq!(delivery.id(), ready);
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert_eq!(moved(ready).await, Rescheduled::Gone);
    assert_eq!(scheduler.cancel(scheduled).await.unwrap(), Cancelled::Done);
    assert_eq!(moved(scheduled).await, Rescheduled::Gone);
    assert_eq!(moved("0000000000000000000000".parse().unwrap()).await, Rescheduled::Gone);
    let too_late = scheduler.reschedule_after(ready, 400 * 24 * HOUR).await.unwrap_err();
    assert_eq!(too_late.kind(), ErrorKind::Invalid);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.ready, counts.scheduled, counts.retrying, counts.running), (0, 0, 0, 0));
}

#[tokio::test]
async fn a_ready_task_among_very_many_is_not_searched_for() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "many ready");
    let mut ids = Vec::new();
    for _ in 0..11 {
        let many = scheduler.queue().enqueue_many((0..910).map(report)).await.unwrap();
        ids.extend(many.ids);
    }
    assert_eq!(ids.len(), 10_010);
    let last = ids[ids.len() - 1];
    let moved = scheduler.reschedule_after(last, LONG).await.unwrap();
    assert_eq!((moved, state(&scheduler, last).await), (Rescheduled::Ready, TaskState::Ready));
    for id in &ids[..10] {
        assert_eq!(scheduler.queue().cancel(*id).await.unwrap(), Cancelled::Done);
    }
    assert_eq!(scheduler.queue().counts().await.unwrap().ready, 10_000);
    // What was cancelled keeps its place until it is passed over.
    assert_eq!(scheduler.reschedule_after(last, LONG).await.unwrap(), Rescheduled::Ready);
    assert_eq!(take(&scheduler).await.release().await.unwrap(), Settled::Done);
    assert_eq!(scheduler.reschedule_after(last, LONG).await.unwrap(), Rescheduled::Done);
    assert!(matches!(state(&scheduler, last).await, TaskState::Scheduled { .. }));
}

#[tokio::test]
async fn reschedule_and_claim_have_one_winner() {
    let stage = patient_stage().await;
    let here = scheduler(&stage, "race of times");
    let there = elsewhere(&stage, "race of times").await;
    let (mut moved, mut claimed) = (0, 0);
    for round in 0..rounds() {
        // Ready, or due in the middle of it.
        let (delay, patience) = match round % 4 {
            0 | 1 => (NOW, NOW),
            _ => (Duration::from_millis(2), Duration::from_millis(4)),
        };
        let id = here.after(delay, report(round)).await.unwrap().id;
        let (told, delivery) = match round % 2 {
            0 => tokio::join!(there.reschedule_after(id, HOUR), here.queue().receive(patience)),
            _ => {
                let claim = here.queue().receive(patience);
                let move_it = async {
                    tokio::time::sleep(delay).await;
                    there.reschedule_after(id, HOUR).await
                };
                let (delivery, told) = tokio::join!(claim, move_it);
                (told, delivery)
            }
        };
        match (told.unwrap(), delivery.unwrap()) {
            (Rescheduled::Done, None) => {
                moved += 1;
                assert!(matches!(state(&here, id).await, TaskState::Scheduled { .. }));
                assert_eq!(here.cancel(id).await.unwrap(), Cancelled::Done);
            }
            (Rescheduled::Running, Some(delivery)) => {
                claimed += 1;
                assert_eq!((delivery.id(), delivery.ack().await.unwrap()), (id, Settled::Done));
            }
            (told, delivery) => panic!("round {round}: {told:?} and {delivery:?}"),
        }
    }
    println!("{moved} got another time, {claimed} were claimed");
    let counts = here.queue().counts().await.unwrap();
    assert_eq!((counts.completed, counts.ready, counts.scheduled), (claimed, 0, 0));
}

#[tokio::test]
async fn cancel_and_claim_of_a_task_whose_time_has_come_have_one_winner() {
    let stage = patient_stage().await;
    let here = scheduler(&stage, "race of an end");
    let there = elsewhere(&stage, "race of an end").await;
    let (mut cancelled, mut claimed) = (0, 0);
    let delay = Duration::from_millis(2);
    for round in 0..rounds() {
        let id = here.after(delay, report(round)).await.unwrap().id;
        let cancel = async {
            tokio::time::sleep(delay * (round % 2)).await;
            there.cancel(id).await
        };
        let (told, delivery) = tokio::join!(cancel, here.queue().receive(2 * delay));
        match (told.unwrap(), delivery.unwrap()) {
            (Cancelled::Done, None) => cancelled += 1,
            (Cancelled::Asked, Some(delivery)) => {
                claimed += 1;
                assert_eq!((delivery.id(), delivery.ack().await.unwrap()), (id, Settled::Done));
            }
            (told, delivery) => panic!("round {round}: {told:?} and {delivery:?}"),
        }
    }
    println!("{cancelled} were cancelled, {claimed} were claimed");
    let counts = here.queue().counts().await.unwrap();
    assert_eq!((counts.completed, counts.ready, counts.scheduled), (claimed, 0, 0));
}

#[tokio::test]
async fn a_recurring_task_comes_at_each_of_its_times_once_for_all_workers() {
    let stage = patient_stage().await;
    let (one, two) = (scheduler(&stage, "pulse"), elsewhere(&stage, "pulse").await);
    let mut working = work(&[&one, &two, &two]);
    let all = Missed::RunAll { at_most: 1_000 };
    let every = Duration::from_millis(100);
    let first = two.every("pulse", every, report("pulse")).missed(all).await.unwrap();
    let began = first.next.unwrap() - every;
    let (mut times, expected) = (BTreeSet::new(), (1..=12).map(|n| began + n * every));
    let expected: BTreeSet<_> = expected.collect();
    while !times.is_superset(&expected) {
        assert!(times.insert(working.next().await.time()), "twice, after {times:?}");
    }
    assert!(one.remove("pulse").await.unwrap());
    working.end().await;
    assert_eq!(one.queue().counts().await.unwrap().failed, 0);
}

#[tokio::test]
async fn a_worker_learns_of_a_new_recurring_task_at_once() {
    let stage = patient_stage().await;
    let (one, two) = (scheduler(&stage, "news"), elsewhere(&stage, "news").await);
    let mut working = work(&[&one]);
    let channel = stage.key("queue:news", "ticking");
    eventually(LONG, async || match stage.server.subscribers(&channel).await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let began = Instant::now();
    two.every("pulse", Duration::from_millis(100), report("pulse")).await.unwrap();
    working.next().await;
    // It rests ten seconds when it knows of nothing.
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    working.end().await;
}

#[tokio::test]
async fn a_daily_task_comes_once_on_each_day_through_both_changes_of_the_clock() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "daily");
    let registered =
        scheduler.cron("daily", "30 2 * * *", "America/New_York", report("day")).await.unwrap();
    let (first, mut lengths, mut at) = (registered.next.unwrap(), BTreeSet::new(), None);
    let days = 400;
    for _ in 0..days {
        let due = next(&scheduler).await;
        assert_eq!(tick_at(&scheduler, due - Duration::from_millis(1)).await, NONE);
        assert_eq!(tick_at(&scheduler, due).await, [due]);
        if let Some(before) = at.replace(due) {
            lengths.insert(due.duration_since(before).unwrap().as_secs() / 60);
        }
    }
    // 02:30 is 03:00 on the day on which it is left out.
    assert_eq!(lengths, BTreeSet::from([24 * 60 - 30, 24 * 60, 25 * 60]));
    let span = at.unwrap().duration_since(first).unwrap() + HOUR;
    assert_eq!(span.as_secs() / (24 * 3_600), days - 1);
    assert_eq!(scheduler.queue().counts().await.unwrap().ready, days);
}

#[tokio::test]
async fn registering_the_same_again_changes_nothing_and_loses_no_tick() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "again");
    let register = async |of: &str, expression: &str| {
        scheduler.cron("the report", expression, "UTC", report(of)).await.unwrap()
    };
    let first = register("a", "0 8 * * *").await;
    assert!(first.is_new && first.reached.unwrap().in_full);
    let before = stage.keys().await;
    let again = register("a", "0 8 * * *").await;
    assert!(!again.is_new && again.next == first.next && again.reached.is_none());
    assert_eq!(stage.keys().await, before);

    // A process that starts after an outage of all of them.
    let due = first.next.unwrap();
    let other_body = register("b", "0 8 * * *").await;
    assert!(other_body.is_new && other_body.next == first.next);
    assert_eq!(tick_at(&scheduler, due + HOUR).await, [due]);
    assert_eq!(take(&scheduler).await.task::<Report>().unwrap(), report("b"));
    let listed = &scheduler.list().await.unwrap()[0];
    assert_eq!((listed.last, listed.next), (Some(due), Some(due + 24 * HOUR)));
    assert_eq!((listed.name.as_str(), listed.task.as_str()), ("the report", "report"));
    assert_eq!(serde_json::from_slice::<Report>(&listed.body).unwrap(), report("b"));
    assert_eq!(listed.times.to_string(), "cron \"0 8 * * *\" in UTC");

    // Other times begin now; an interval keeps its beginning as long as it is the same.
    let other = register("b", "*/5 * * * *").await.next.unwrap();
    assert!(other < due + 24 * HOUR && listed.missed == Missed::RunOnce);
    let every = async |interval| scheduler.every("e", interval, report("e")).await.unwrap();
    let interval = every(HOUR).await;
    let Registered { is_new, next, .. } = every(HOUR).await;
    assert!(interval.is_new && !is_new && next == interval.next);
    assert!(every(2 * HOUR).await.next > interval.next);
}

#[tokio::test]
async fn missed_ticks_are_run_as_the_policy_says() {
    let stage = patient_stage().await;
    let day = 24 * HOUR;
    let late = 3 * day + HOUR;
    let skip = |later_than| Missed::Skip { later_than };
    let all = |at_most| Missed::RunAll { at_most };
    for (name, missed, days) in [
        ("once", Missed::RunOnce, &[3][..]),
        ("skip", skip(Duration::from_secs(60)), &[]),
        ("not so late", skip(2 * HOUR), &[3]),
        ("all", all(1_000), &[0, 1, 2, 3]),
        ("the last two", all(2), &[2, 3]),
    ] {
        let scheduler = scheduler(&stage, name);
        let daily = scheduler.cron("daily", "0 8 * * *", "Asia/Kolkata", report(name));
        let due = daily.missed(missed).await.unwrap().next.unwrap();
        let days: Vec<_> = days.iter().map(|n| due + *n * day).collect();
        assert_eq!(tick_at(&scheduler, due + late).await, days, "{name}");
        let listed = &scheduler.list().await.unwrap()[0];
        assert_eq!((listed.missed, listed.next), (missed, Some(due + 4 * day)), "{name}");
        assert_eq!(listed.last, days.last().copied(), "{name}");
        // One that is seen at its time is run by each of them.
        assert_eq!(tick_at(&scheduler, due + 4 * day).await, [due + 4 * day], "{name}");
    }
}

#[tokio::test]
async fn two_processes_that_see_a_tick_enqueue_it_once() {
    let stage = patient_stage().await;
    let here = scheduler(&stage, "two");
    let there = elsewhere(&stage, "two").await;
    let all = Missed::RunAll { at_most: 10 };
    here.every("e", HOUR, report("e")).missed(all).await.unwrap();
    let first = next(&here).await;
    let (mut by_here, mut by_there) = (0, 0);
    for n in 0..rounds() {
        let due = first + n * HOUR;
        let (one, other) = match n % 2 {
            0 => tokio::join!(tick_at(&here, due), tick_at(&there, due)),
            _ => {
                let (other, one) = tokio::join!(tick_at(&there, due), tick_at(&here, due));
                (one, other)
            }
        };
        assert_eq!([one.clone(), other.clone()].concat(), [due]);
        (by_here, by_there) = (by_here + one.len(), by_there + other.len());
    }
    println!("{by_here} and {by_there}");
    assert_eq!(here.queue().counts().await.unwrap().ready, u64::from(rounds()));
}

#[tokio::test]
async fn a_tick_is_remembered_when_its_entry_was_removed_and_registered_again() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "remembered");
    let cron = async || scheduler.cron("c", "0 8 * * *", "UTC", report("c")).await.unwrap();
    let due = cron().await.next.unwrap();
    let first = scheduler.tick_at(due).await.unwrap().tasks;
    assert!(scheduler.remove("c").await.unwrap() && !scheduler.remove("c").await.unwrap());
    // The server's clock is before it, as if it had gone back.
    assert_eq!(cron().await.next.unwrap(), due);
    assert_eq!(scheduler.tick_at(due).await.unwrap().tasks, []);
    assert_eq!(next(&scheduler).await, due + 24 * HOUR);
    assert_eq!(take(&scheduler).await.id(), first[0]);
    none(&scheduler).await;
}

#[tokio::test]
async fn a_recurring_task_is_paused_run_at_once_and_removed() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "control");
    let cron = async || scheduler.cron("c {:}", "0 8 * * *", "UTC", report("c")).await.unwrap();
    let due = cron().await.next.unwrap();
    assert!(scheduler.pause("c {:}").await.unwrap() && !scheduler.pause("c {:}").await.unwrap());
    let listed = &scheduler.list().await.unwrap()[0];
    assert_eq!((listed.name.as_str(), listed.next), ("c {:}", None));
    // A process that starts does not set it going.
    assert!(!cron().await.is_new && cron().await.next.is_none());
    assert_eq!(scheduler.tick_at(due + HOUR).await.unwrap(), Default::default());
    let now = scheduler.run_now("c {:}").await.unwrap();
    let delivery = take(&scheduler).await;
    assert_eq!((delivery.id(), delivery.task::<Report>().unwrap()), (now.id, report("c")));
    assert!(scheduler.resume("c {:}").await.unwrap() && !scheduler.resume("c {:}").await.unwrap());
    assert_eq!(next(&scheduler).await, due);
    assert!(scheduler.remove("c {:}").await.unwrap());
    assert_eq!(scheduler.list().await.unwrap().len(), 0);
    assert_eq!(scheduler.tick().await.unwrap(), Default::default());
    for error in [
        scheduler.pause("c {:}").await.unwrap_err(),
        scheduler.resume("c {:}").await.unwrap_err(),
        scheduler.run_now("c {:}").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("\"c {:}\""), "{error}");
    }
}

#[tokio::test]
async fn a_tick_is_left_out_while_the_one_before_is_not_done() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "alone");
    let all = Missed::RunAll { at_most: 10 };
    let alone = scheduler.every("a", HOUR, report("a")).missed(all).alone();
    let due = alone.await.unwrap().next.unwrap();
    assert_eq!(tick_at(&scheduler, due + HOUR).await, [due], "one of two that were missed");
    assert_eq!(tick_at(&scheduler, due + 2 * HOUR).await, NONE, "it waits");
    assert!(!scheduler.run_now("a").await.unwrap().is_new);
    let delivery = take(&scheduler).await;
    assert_eq!(tick_at(&scheduler, due + 3 * HOUR).await, NONE, "it runs");
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert_eq!(tick_at(&scheduler, due + 4 * HOUR).await, [due + 4 * HOUR]);
}

#[tokio::test]
async fn jitter_and_options_are_those_of_the_tasks() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "options");
    let recurring = scheduler.every("o", HOUR, report("o")).jitter(HOUR).priority(7);
    let recurring = recurring.max_attempts(1).timeout(LONG).keep_result(LONG);
    let due = recurring.await.unwrap().next.unwrap();
    let mut delays = BTreeSet::new();
    for n in 0..20 {
        let tasks = scheduler.tick_at(due + n * HOUR).await.unwrap().tasks;
        let status = scheduler.status(tasks[0]).await.unwrap().unwrap();
        let TaskState::Scheduled { due: at } = status.state else { panic!("{status:?}") };
        let delay = at.duration_since(SystemTime::now()).unwrap_or_default();
        assert!(delay <= HOUR && tasks[0].priority() == 7);
        delays.insert(delay.as_secs() / 60);
    }
    assert!(delays.len() > 5, "{delays:?}");
    let now = scheduler.run_now("o").await.unwrap().id;
    let delivery = take(&scheduler).await;
    assert_eq!((delivery.id(), delivery.id().priority()), (now, 7));
    assert_eq!(delivery.retry("the only attempt").await.unwrap(), Settled::Done);
    assert!(matches!(state(&scheduler, now).await, TaskState::Dead { .. }));
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_name_and_nothing_is_written() {
    let stage = patient_stage().await;
    let queue = Queue::builder(&stage.russet, "wrong").max_task_bytes(50).build().unwrap();
    let scheduler = Scheduler::new(&queue);
    let long = "x".repeat(257);
    let daily = |name, expression, zone| scheduler.cron(name, expression, zone, report("x"));
    let fine = || daily("report", "0 8 * * *", "UTC");
    let brief = Duration::from_millis(1);
    let refused = [
        (daily("report", "61 * * * *", "UTC").await, "\"61 * * * *\""),
        (daily("report", "0 0 30 2 *", "UTC").await, "never comes"),
        (daily("report", "0 8 * * *", "Mars/Olympus").await, "\"Mars/Olympus\""),
        (daily("", "0 8 * * *", "UTC").await, "name of a recurring task is empty"),
        (daily(&long, "0 8 * * *", "UTC").await, "257 bytes"),
        (scheduler.every("report", brief, report("x")).await, "interval"),
        (scheduler.every("report", 400 * 24 * HOUR, report("x")).await, "interval"),
        (scheduler.every("report", HOUR, report(&long)).await, "more than the 50 allowed"),
        (fine().priority(10).await, "priority"),
        (fine().max_attempts(0).await, "max_attempts"),
        (fine().jitter(400 * 24 * HOUR).await, "jitter"),
        (fine().timeout(NOW).await, "timeout"),
        (fine().keep_result(NOW).await, "keep_result"),
        (fine().missed(Missed::RunAll { at_most: 0 }).await, "at_most"),
        (fine().missed(Missed::Skip { later_than: NOW }).await, "later_than"),
    ];
    for (answer, word) in refused {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let text = error.to_string();
        assert!(text.contains(word) && text.starts_with("queue wrong, recurring task "), "{text}");
    }
    assert_eq!(scheduler.remove("").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(stage.keys().await, []);
}

#[tokio::test]
async fn a_queue_has_a_thousand_recurring_tasks_and_no_more() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "full");
    let register = async |n: u32| {
        scheduler.every(&n.to_string(), HOUR, report(n)).await.map(|done| done.is_new)
    };
    for hundred in 0..10 {
        let many = (0..100).map(|n| register(hundred * 100 + n));
        for done in futures_util::future::join_all(many).await {
            assert!(done.unwrap());
        }
    }
    let error = register(1_000).await.unwrap_err();
    assert!(error.to_string().contains("more than 1000 recurring tasks"), "{error}");
    let last = scheduler.list().await.unwrap();
    assert_eq!(last.len(), 1_000);
    // They are all due: a hundred at a time.
    let due = last.iter().filter_map(|entry| entry.next).max().unwrap();
    let ticked = scheduler.tick_at(due).await.unwrap();
    assert_eq!(ticked.tasks.len(), 1_000);
    assert!(ticked.wait.unwrap() <= HOUR);
    assert!(scheduler.remove("7").await.unwrap() && register(1_000).await.unwrap());
}

#[tokio::test]
async fn what_another_version_wrote_is_left_alone() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "future");
    let (table, ticks) =
        (stage.key("queue:future", "recurring"), stage.key("queue:future", "ticks"));
    stage.server.command(&["HSET", &table, "new", "V2;due=1;last=0 V1 report {}"]).await.unwrap();
    let zone = "V1;due=1;last=0;from=0;cron=%40daily;zone=Mars%2FOlympus;missed=once V1 report {}";
    stage.server.command(&["HSET", &table, "zone", zone]).await.unwrap();
    stage.server.command(&["ZADD", &ticks, "1", "new", "1", "zone"]).await.unwrap();
    let ticked = scheduler.tick().await.unwrap();
    assert!(ticked.tasks.is_empty() && ticked.wait.unwrap() <= Duration::from_secs(1));
    assert_eq!(scheduler.list().await.unwrap().len(), 0);
    let error = scheduler.every("new", HOUR, report("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec);
    let text = stage.server.command(&["HGET", &table, "new"]).await.unwrap();
    assert_eq!(text.text(), Some("V2;due=1;last=0 V1 report {}"));
    // With times that are none here, it can be written anew; and both can be removed.
    assert!(scheduler.every("zone", HOUR, report("x")).await.unwrap().is_new);
    assert!(scheduler.remove("new").await.unwrap() && scheduler.remove("zone").await.unwrap());
    assert_eq!(stage.keys().await, []);
}

#[tokio::test]
async fn a_loop_of_ones_own_ticks_for_who_has_no_worker() {
    let stage = patient_stage().await;
    let scheduler = scheduler(&stage, "own loop");
    let every = Duration::from_millis(100);
    let first = scheduler.every("e", every, report("e")).await.unwrap().next.unwrap();
    let (ended, has_ended) = tokio::sync::oneshot::channel::<()>();
    let ticking = scheduler.clone();
    let ticking = tokio::spawn(async move {
        ticking.run_until(async { has_ended.await.unwrap_or_default() }).await;
    });
    let mut last = first - every;
    for _ in 0..3 {
        let delivery = take(&scheduler).await;
        assert!(delivery.id().time() > last);
        last = delivery.id().time();
        assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    }
    ended.send(()).unwrap();
    ticking.await.unwrap();
    assert!(Timetable::every(every, first - every).unwrap().after(first).next().unwrap() > first);
}
