//! The queue: what is enqueued, claimed and settled, and where it stands at each moment.

#![cfg(feature = "queue")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use russet::testing::{Proxy, TestServer, eventually};
use russet::{
    Advice, Cancelled, Durability, ErrorKind, Queue, Russet, Settled, Task, TaskState, metered,
};
use serde::{Deserialize, Serialize};
use support::{Stage, stage};

const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl Task for Mail {
    const NAME: &'static str = "mail";
}

fn mail(to: impl ToString) -> Mail {
    Mail { to: to.to_string() }
}

fn queue(stage: &Stage, name: &str) -> Queue {
    Queue::builder(&stage.russet, name).build().unwrap()
}

/// Takes a task that is there.
async fn take(queue: &Queue) -> russet::Delivery {
    queue.receive(LONG).await.unwrap().expect("a task")
}

async fn none(queue: &Queue) {
    assert!(queue.receive(NOW).await.unwrap().is_none());
}

async fn state(queue: &Queue, id: russet::TaskId) -> TaskState {
    queue.status(id).await.unwrap().expect("a task").state
}

#[tokio::test]
async fn a_look_finds_every_queue_of_the_namespace_and_nothing_else() {
    let stage = stage().await;
    assert_eq!(Queue::names(&stage.russet).await.unwrap().names, [""; 0]);
    for name in ["mail", "a}:{b *?[x]", "邮件"] {
        queue(&stage, name).enqueue(mail(1)).await.unwrap();
    }
    queue(&stage, "paused").pause().await.unwrap();
    queue(&stage, "never").counts().await.unwrap();
    #[cfg(feature = "leaderboard")]
    russet::Leaderboard::builder(&stage.russet, "queue:x")
        .build()
        .unwrap()
        .add("ada", 1.0)
        .await
        .unwrap();
    let found = Queue::names(&stage.russet).await.unwrap();
    assert_eq!(found.names, ["a}:{b *?[x]", "mail", "paused", "邮件"]);
    assert!(found.is_complete);
}

#[tokio::test]
async fn tasks_come_by_priority_and_in_their_order() {
    let stage = stage().await;
    let queue = queue(&stage, "order");
    for (to, priority) in [("c", 0), ("a", 9), ("d", 0), ("b", 5)] {
        let sent = queue.enqueue(mail(to)).priority(priority).await.unwrap();
        assert!(sent.is_new && sent.id.priority() == priority && sent.reached.in_full);
    }
    queue.enqueue_many([mail("e"), mail("f")]).await.unwrap();
    let mut came = String::new();
    for _ in 0..6 {
        let delivery = take(&queue).await;
        came += &delivery.task::<Mail>().unwrap().to;
        assert_eq!((delivery.name(), delivery.attempt()), ("mail", 1));
        assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    }
    assert_eq!(came, "abcdef");
    none(&queue).await;
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.ready, counts.running), (6, 0, 0));
    let left: Vec<_> = stage.keys().await.into_iter().map(|stored| stored.key).collect();
    assert_eq!(left, [stage.key("queue:order", "meta")], "nothing is left of completed tasks");
}

#[tokio::test]
async fn a_delayed_task_comes_when_its_time_has_come_and_not_before() {
    let stage = stage().await;
    let queue = queue(&stage, "later");
    let later = queue.enqueue(mail("later")).delay(Duration::from_millis(300)).await.unwrap();
    let at = SystemTime::now() + LONG;
    let much_later = queue.enqueue(mail("much later")).execute_at(at).await.unwrap();
    let past = SystemTime::now() - LONG;
    queue.enqueue(mail("at once")).execute_at(past).await.unwrap();
    let TaskState::Scheduled { due } = state(&queue, much_later.id).await else { panic!() };
    assert!(due.duration_since(at).unwrap_or_default() < Duration::from_millis(2));
    assert_eq!(queue.counts().await.unwrap().scheduled, 2);
    assert_eq!(take(&queue).await.task::<Mail>().unwrap(), mail("at once"));
    let TaskState::Scheduled { due } = state(&queue, later.id).await else { panic!() };
    let delivery = take(&queue).await;
    assert_eq!(delivery.id(), later.id);
    // The servers' clock is this machine's.
    assert!(SystemTime::now() >= due);
    assert!(
        matches!(state(&queue, later.id).await, TaskState::Running { fence } if fence == delivery.fence())
    );
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_a_task() {
    let stage = stage().await;
    let queue = queue(&stage, "wake");
    let waiting = queue.clone();
    let consumer = tokio::spawn(async move { waiting.receive(LONG).await });
    let waiters = stage.key("queue:wake", "waiters");
    eventually(LONG, async || match stage.server.command(&["ZCARD", &waiters]).await {
        Ok(reply) if reply.int() == Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    queue.enqueue(mail("you")).await.unwrap();
    let delivery = consumer.await.unwrap().unwrap().expect("woken");
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
}

#[tokio::test]
async fn a_failed_task_is_tried_again_and_is_dead_after_its_last_attempt() {
    let stage = stage().await;
    let brief = Duration::from_millis(1);
    let queue = Queue::builder(&stage.russet, "retry").backoff(brief, brief).build().unwrap();
    let sent = queue.enqueue(mail("x")).max_attempts(3).await.unwrap();
    let mut fence = 0;
    for attempt in 1..=3 {
        let delivery = take(&queue).await;
        assert_eq!(delivery.attempt(), attempt);
        assert!(delivery.fence() > fence, "the fence grows");
        fence = delivery.fence();
        assert_eq!(
            delivery.retry(&format!("failure {attempt}\nline")).await.unwrap(),
            Settled::Done
        );
        let state = state(&queue, sent.id).await;
        match attempt {
            3 => assert!(matches!(state, TaskState::Dead { .. })),
            _ => assert!(matches!(state, TaskState::Retrying { .. }), "{state:?}"),
        }
    }
    none(&queue).await;
    let dead = queue.dead(0, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].id, dead[0].attempts), (1, sent.id, 3));
    assert_eq!(serde_json::from_slice::<Mail>(&dead[0].body).unwrap(), mail("x"));
    let errors: Vec<_> =
        dead[0].errors.iter().map(|error| (error.attempt, error.message.as_str())).collect();
    assert_eq!(errors, [(1, "failure 1 line"), (2, "failure 2 line"), (3, "failure 3 line")]);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.dead, counts.failed, counts.retrying), (1, 3, 0));

    assert!(queue.redrive(sent.id).await.unwrap());
    assert!(!queue.redrive(sent.id).await.unwrap());
    let delivery = take(&queue).await;
    assert_eq!(delivery.attempt(), 1, "all its attempts are before it");
    assert_eq!(delivery.dead_letter("no use").await.unwrap(), Settled::Done);
    assert!(queue.delete(sent.id).await.unwrap());
    assert_eq!(queue.status(sent.id).await.unwrap(), None);
    assert_eq!(queue.counts().await.unwrap().dead, 0);
}

#[tokio::test]
async fn all_dead_tasks_are_redriven_and_old_ones_are_purged() {
    let stage = stage().await;
    let queue = queue(&stage, "dead");
    queue.enqueue_many((0..250).map(mail)).await.unwrap();
    for _ in 0..250 {
        assert_eq!(take(&queue).await.dead_letter("broken").await.unwrap(), Settled::Done);
    }
    assert_eq!(queue.dead(0, 1_000).await.unwrap().len(), 250);
    assert_eq!(queue.dead(240, 100).await.unwrap().len(), 10);
    assert_eq!(queue.redrive_all().await.unwrap(), 250);
    assert_eq!(queue.counts().await.unwrap().ready, 250);
    for _ in 0..250 {
        assert_eq!(take(&queue).await.dead_letter("broken").await.unwrap(), Settled::Done);
    }
    assert_eq!(queue.purge(LONG).await.unwrap(), 0);
    assert_eq!(queue.purge(NOW).await.unwrap(), 250);
    let left: Vec<_> = stage.keys().await.into_iter().map(|stored| stored.key).collect();
    assert_eq!(left, [stage.key("queue:dead", "meta")]);
}

#[tokio::test]
async fn only_the_current_lease_settles() {
    let stage = stage().await;
    let queue =
        Queue::builder(&stage.russet, "lease").lease(Duration::from_millis(100)).build().unwrap();
    let sent = queue.enqueue(mail("x")).await.unwrap();
    let (late, late_too) = (take(&queue).await, sent.id);
    // Its lease ends, and the same task comes again.
    let mut current = take(&queue).await;
    assert_eq!((current.id(), current.attempt()), (late_too, 2));
    assert!(current.fence() > late.fence());
    assert_eq!(current.extend(LONG).await.unwrap(), Settled::Done);
    let before = stage.keys().await;
    assert_eq!(late.ack().await.unwrap(), Settled::LeaseLost);
    assert_eq!(stage.keys().await, before, "a late ack changes nothing");
    assert_eq!(current.ack().await.unwrap(), Settled::Done);
    assert_eq!(queue.status(sent.id).await.unwrap(), None);

    queue.enqueue(mail("y")).await.unwrap();
    let mut late = take(&queue).await;
    let current = take(&queue).await;
    assert_eq!(late.extend(LONG).await.unwrap(), Settled::LeaseLost);
    assert_eq!(late.retry("late").await.unwrap(), Settled::LeaseLost);
    assert_eq!(current.release().await.unwrap(), Settled::Done);
    let again = take(&queue).await;
    assert_eq!(again.attempt(), 2, "a release counts no attempt; the lost lease before did");
    let errors = queue.status(again.id()).await.unwrap().unwrap().errors;
    assert!(errors.len() == 1 && errors[0].message.contains("lease"), "{errors:?}");
}

#[tokio::test]
async fn a_task_whose_workers_die_each_time_is_dead_at_last() {
    let stage = stage().await;
    let queue =
        Queue::builder(&stage.russet, "poison").lease(Duration::from_millis(100)).build().unwrap();
    let sent = queue.enqueue(mail("x")).max_attempts(2).await.unwrap();
    drop(take(&queue).await);
    drop(take(&queue).await);
    eventually(LONG, async || {
        none(&queue).await;
        match state(&queue, sent.id).await {
            TaskState::Dead { .. } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn one_task_of_a_unique_key_is_there_at_a_time() {
    let stage = stage().await;
    let queue = queue(&stage, "unique");
    let first = queue.enqueue(mail("x")).unique("wel come:42").await.unwrap();
    let second = queue.enqueue(mail("y")).unique("wel come:42").await.unwrap();
    assert!(first.is_new && !second.is_new && first.id == second.id);
    assert!(queue.enqueue(mail("z")).unique("other").delay(LONG).await.unwrap().is_new);
    let running = take(&queue).await;
    assert!(!queue.enqueue(mail("y")).unique("wel come:42").await.unwrap().is_new);
    assert_eq!(running.ack().await.unwrap(), Settled::Done);
    let third = queue.enqueue(mail("y")).unique("wel come:42").await.unwrap();
    assert!(third.is_new);
    // Dead and cancelled ones free it too.
    assert_eq!(take(&queue).await.dead_letter("x").await.unwrap(), Settled::Done);
    let fourth = queue.enqueue(mail("y")).unique("wel come:42").await.unwrap();
    assert!(fourth.is_new);
    assert_eq!(queue.cancel(fourth.id).await.unwrap(), Cancelled::Done);
    assert!(queue.enqueue(mail("y")).unique("wel come:42").await.unwrap().is_new);
}

#[tokio::test]
async fn a_request_is_done_once_and_gives_the_first_answer() {
    let stage = stage().await;
    let brief = Duration::from_millis(200);
    let queue = Queue::builder(&stage.russet, "request").request_window(brief).build().unwrap();
    let first = queue.enqueue(mail("x")).request_id("order 7").await.unwrap();
    let again = queue.enqueue(mail("x")).request_id("order 7").await.unwrap();
    assert!(first.is_new && !again.is_new && first.id == again.id);
    assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
    none(&queue).await;
    eventually(LONG, async || {
        match queue.enqueue(mail("x")).request_id("order 7").await.unwrap().is_new {
            true => Ok(()),
            false => Err("still remembered"),
        }
    })
    .await;
    assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
    eventually(LONG, async || {
        queue.purge(NOW).await.unwrap();
        let left = stage.keys().await.len();
        if left == 1 { Ok(()) } else { Err(format!("{left} keys")) }
    })
    .await;
}

#[tokio::test]
async fn a_waiting_task_is_cancelled_wherever_it_waits() {
    let stage = stage().await;
    let brief = Duration::from_millis(1);
    let queue = Queue::builder(&stage.russet, "cancel").backoff(LONG, LONG).build().unwrap();
    let scheduled = queue.enqueue(mail("a")).delay(LONG).await.unwrap().id;
    let retrying = queue.enqueue(mail("b")).await.unwrap().id;
    assert_eq!(take(&queue).await.retry("once").await.unwrap(), Settled::Done);
    let ready = queue.enqueue(mail("c")).await.unwrap().id;
    let running = queue.enqueue(mail("d")).priority(9).await.unwrap().id;
    let delivery = take(&queue).await;
    assert_eq!(delivery.id(), running);
    for id in [scheduled, retrying, ready] {
        assert_eq!(queue.cancel(id).await.unwrap(), Cancelled::Done);
        assert!(matches!(state(&queue, id).await, TaskState::Cancelled { .. }));
        assert_eq!(queue.cancel(id).await.unwrap(), Cancelled::Gone);
    }
    assert_eq!(queue.cancel(running).await.unwrap(), Cancelled::Asked);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.running, counts.kept, counts.failed), (1, 3, 1));
    assert_eq!((counts.scheduled, counts.retrying, counts.ready), (0, 0, 0));
    // A failure of a task that was cancelled ends it.
    assert_eq!(delivery.retry("stopped").await.unwrap(), Settled::Done);
    assert!(matches!(state(&queue, running).await, TaskState::Cancelled { .. }));
    assert!(queue.receive(brief).await.unwrap().is_none());
    assert_eq!(queue.counts().await.unwrap().ready, 0);
    assert_eq!(
        queue.cancel("0000000000000000000000".parse().unwrap()).await.unwrap(),
        Cancelled::Gone
    );
}

/// How many rounds a race has.
fn races() -> u32 {
    std::env::var("RUSSET_QUEUE_RACES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// The queue by a connection of its own, so that two calls race to the server.
async fn rival(stage: &Stage, name: &str) -> Queue {
    let builder = Russet::builder().url(stage.server.url()).namespace(stage.russet.namespace());
    Queue::builder(&builder.connect().await.unwrap(), name).build().unwrap()
}

#[tokio::test]
async fn cancel_and_claim_have_one_winner() {
    let stage = stage().await;
    let queue = queue(&stage, "race");
    let other = rival(&stage, "race").await;
    let (mut cancelled, mut claimed) = (0u64, 0u64);
    for round in 0..races() {
        let id = queue.enqueue(mail(round)).await.unwrap().id;
        // Two connections, and each has its turns to be first.
        let (cancel, claim) = match round % 2 {
            0 => tokio::join!(other.cancel(id), queue.receive(NOW)),
            _ => {
                let (claim, cancel) = tokio::join!(queue.receive(NOW), other.cancel(id));
                (cancel, claim)
            }
        };
        match (cancel.unwrap(), claim.unwrap()) {
            (Cancelled::Done, None) => cancelled += 1,
            (Cancelled::Asked, Some(delivery)) => {
                claimed += 1;
                assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
            }
            (cancel, claim) => panic!("round {round}: {cancel:?} and {claim:?}"),
        }
    }
    println!("{cancelled} cancelled, {claimed} claimed");
    assert_eq!(queue.counts().await.unwrap().completed, claimed);
}

#[tokio::test]
async fn unique_and_completion_have_one_winner() {
    let stage = stage().await;
    let queue = queue(&stage, "unique race");
    let other = rival(&stage, "unique race").await;
    let (mut new, mut old) = (0, 0);
    for round in 0..races() {
        let first = queue.enqueue(mail(round)).unique("one").await.unwrap();
        assert!(first.is_new, "round {round}");
        let delivery = take(&queue).await;
        let again = other.enqueue(mail(round)).unique("one").into_future();
        let (second, settled) = match round % 2 {
            0 => tokio::join!(again, delivery.ack()),
            _ => {
                let (settled, second) = tokio::join!(delivery.ack(), again);
                (second, settled)
            }
        };
        assert_eq!(settled.unwrap(), Settled::Done);
        let second = second.unwrap();
        if second.is_new {
            new += 1;
            assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
        } else {
            old += 1;
            assert_eq!(second.id, first.id);
        }
        none(&queue).await;
    }
    println!("{new} enqueued after the completion, {old} refused before it");
    let completed = queue.counts().await.unwrap().completed;
    assert_eq!(completed, u64::from(races()) + new);
}

#[tokio::test]
async fn pause_and_claim_have_one_winner() {
    let stage = stage().await;
    let queue = queue(&stage, "pause race");
    let other = rival(&stage, "pause race").await;
    let (mut paused, mut claimed) = (0, 0);
    for round in 0..races() {
        queue.enqueue(mail(round)).await.unwrap();
        let (pause, claim) = match round % 2 {
            0 => tokio::join!(other.pause(), queue.receive(NOW)),
            _ => {
                let (claim, pause) = tokio::join!(queue.receive(NOW), other.pause());
                (pause, claim)
            }
        };
        assert!(pause.unwrap(), "round {round}");
        // From here on nothing is given, whoever won.
        let delivery = claim.unwrap();
        none(&queue).await;
        let counts = queue.counts().await.unwrap();
        let delivery = match delivery {
            Some(delivery) => {
                claimed += 1;
                assert_eq!((counts.running, counts.ready), (1, 0), "round {round}");
                delivery
            }
            None => {
                paused += 1;
                assert_eq!((counts.running, counts.ready), (0, 1), "round {round}");
                assert!(queue.resume().await.unwrap());
                take(&queue).await
            }
        };
        assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
        queue.resume().await.unwrap();
    }
    println!("{paused} paused before, {claimed} claimed before");
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_until_it_goes_on() {
    let stage = stage().await;
    let queue = queue(&stage, "pause");
    assert!(queue.pause().await.unwrap() && !queue.pause().await.unwrap());
    queue.enqueue(mail("x")).await.unwrap();
    none(&queue).await;
    assert!(queue.counts().await.unwrap().is_paused);
    let waiting = queue.clone();
    let consumer = tokio::spawn(async move { waiting.receive(LONG).await });
    assert!(queue.resume().await.unwrap());
    let delivery = consumer.await.unwrap().unwrap().expect("it goes on");
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
}

#[tokio::test]
async fn results_are_kept_for_as_long_as_the_task_says() {
    let stage = stage().await;
    let queue = Queue::builder(&stage.russet, "results").keep_results(LONG).build().unwrap();
    let kept = queue.enqueue(mail("x")).await.unwrap().id;
    let brief = queue.enqueue(mail("y")).keep_result(Duration::from_millis(1)).await.unwrap().id;
    for _ in 0..2 {
        assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
    }
    let status = queue.status(kept).await.unwrap().unwrap();
    assert!(matches!(status.state, TaskState::Completed { .. }));
    assert_eq!((status.name.as_str(), status.attempts), ("mail", 1));
    assert_eq!(status.result.as_deref(), Some(b"null".as_slice()));
    eventually(LONG, async || {
        queue.purge(LONG).await.unwrap();
        match queue.status(brief).await.unwrap() {
            None => Ok(()),
            Some(status) => Err(format!("{status:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_before_anything_is_written() {
    let stage = stage().await;
    let queue = Queue::builder(&stage.russet, "refused").max_task_bytes(100).build().unwrap();
    let long = "x".repeat(257);
    let year = Duration::from_secs(400 * 86_400);
    let invalid = [
        queue.enqueue(mail("x")).priority(10).await,
        queue.enqueue(mail("x")).max_attempts(0).await,
        queue.enqueue(mail("x")).unique("").await,
        queue.enqueue(mail("x")).unique(&long).await,
        queue.enqueue(mail("x")).request_id(&long).await,
        queue.enqueue(mail("x")).delay(year).await,
        queue.enqueue(mail("x")).timeout(NOW).await,
        queue.enqueue(mail("x".repeat(100))).await,
    ];
    for error in invalid {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let many = queue.enqueue_many((0..1_001).map(mail)).await.unwrap_err();
    assert_eq!(many.kind(), ErrorKind::Invalid);
    assert_eq!(queue.enqueue_many(Vec::<Mail>::new()).await.unwrap().ids, []);
    assert_eq!(queue.dead(0, 0).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(stage.keys().await, []);
    let builder = || Queue::builder(&stage.russet, "refused");
    for (builder, word) in [
        (Queue::builder(&stage.russet, ""), "empty"),
        (builder().max_attempts(0), "max_attempts"),
        (builder().backoff(LONG, NOW), "cap"),
        (builder().lease(Duration::from_millis(99)), "lease"),
        (builder().keep_dead(NOW), "keep_dead"),
        (builder().max_task_bytes(0), "max_task_bytes"),
        (builder().keep_results(year), "keep_results"),
        (builder().task_timeout(NOW), "task_timeout"),
        (builder().request_window(NOW), "request_window"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn strange_names_are_queues_of_their_own() {
    let stage = stage().await;
    for name in support::strange_names() {
        let queue = queue(&stage, &name);
        queue.enqueue(mail(&name)).unique(&name).request_id(&name).await.unwrap();
        let delivery = take(&queue).await;
        assert_eq!(delivery.task::<Mail>().unwrap().to, name);
        assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
        none(&queue).await;
    }
}

#[tokio::test]
async fn durability_is_honoured_and_told() {
    let stage = stage().await;
    let timeout = Duration::from_millis(10);
    let safe = stage.russet.durability(Durability::Replicated { replicas: 1, timeout });
    let queue = Queue::builder(&safe, "safe").build().unwrap();
    let sent = queue.enqueue(mail("x")).await.unwrap();
    assert!(!sent.reached.in_full && sent.is_new, "there is no replica, and the task is there");
    assert!(!queue.enqueue_many([mail("y")]).await.unwrap().reached.unwrap().in_full);
    assert_eq!(queue.counts().await.unwrap().ready, 2);
}

#[tokio::test]
async fn a_full_server_takes_no_task_and_can_be_emptied() {
    let server = TestServer::start().await.unwrap();
    let russet = support::connect(&server.url()).await;
    let queue = Queue::builder(&russet, "full").build().unwrap();
    queue.enqueue_many((0..3).map(mail)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let stored = server.command(&["DBSIZE"]).await.unwrap();
    let error = queue.enqueue(mail("x")).unique("x").request_id("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap(), stored, "nothing half-written");
    let mut delivery = take(&queue).await;
    assert_eq!(delivery.extend(LONG).await.unwrap(), Settled::Done);
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert_eq!(take(&queue).await.retry("x").await.unwrap(), Settled::Done);
    assert_eq!(take(&queue).await.dead_letter("x").await.unwrap(), Settled::Done);
}

#[tokio::test]
async fn each_call_of_the_queue_is_one_round_trip() {
    let stage = stage().await;
    let queue = queue(&stage, "trips");
    // The scripts are taught to the server first.
    let sent = queue.enqueue(mail("x")).await.unwrap();
    queue.status(sent.id).await.unwrap();
    queue.counts().await.unwrap();
    assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
    let (sent, cost) = metered(queue.enqueue(mail("x")).into_future()).await;
    assert_eq!(cost.round_trips, 1);
    let (_, cost) = metered(queue.enqueue_many((0..50).map(mail)).into_future()).await;
    assert_eq!(cost.round_trips, 1);
    let (delivery, cost) = metered(queue.receive(NOW)).await;
    assert_eq!(cost.round_trips, 1);
    let (_, cost) = metered(delivery.unwrap().unwrap().ack()).await;
    assert_eq!(cost.round_trips, 1);
    let (_, cost) = metered(queue.status(sent.unwrap().id)).await;
    assert_eq!(cost.round_trips, 1);
    let (_, cost) = metered(queue.counts()).await;
    assert_eq!(cost.round_trips, 1);
}

#[tokio::test]
async fn a_waiting_task_takes_at_most_240_bytes() {
    let server = TestServer::start().await.unwrap();
    let russet = support::connect(&server.url()).await;
    let queue = Queue::builder(&russet, "memory").build().unwrap();
    // A body of 110 bytes.
    let to = "x".repeat(110 - r#"{"to":""}"#.len());
    for _ in 0..64 {
        queue.enqueue_many((0..1_000).map(|_| mail(&to))).await.unwrap();
    }
    let mut bytes = 0;
    for part in ["tasks", "ready:0"] {
        let key = format!("{}:{{queue:memory}}:{part}", russet.namespace());
        let usage = server.command(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await.unwrap();
        bytes += usage.int().unwrap();
    }
    let each = bytes as f64 / 64_000.0;
    println!("{each:.0} bytes a waiting task");
    assert!(each <= 240.0, "{each:.0}");
}

/// Polls the future so often, each time when it is woken, and drops it.
async fn dropped_after<T>(polls: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polled >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_receive_that_is_dropped_holds_no_task_and_counts_no_attempt() {
    let stage = stage().await;
    let queue = queue(&stage, "dropped");
    queue.enqueue(mail("x")).await.unwrap();
    for polls in 1.. {
        // A lease lasts 30 seconds: what is back before was given back.
        if let Some(taken) = dropped_after(polls, queue.receive(LONG)).await {
            assert_eq!(taken.unwrap().unwrap().ack().await.unwrap(), Settled::Done);
            break;
        }
        eventually(LONG, async || match queue.counts().await.unwrap() {
            counts if counts.ready == 1 && counts.failed == 0 => Ok(()),
            counts => Err(format!("{counts:?}")),
        })
        .await;
        assert!(polls < 1_000, "it never ends");
    }
}

#[tokio::test]
async fn a_lost_answer_is_told_and_a_request_finds_out_by_itself() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let russet = Russet::builder().url(proxy.url()).timeout(LONG).connect().await.unwrap();
    let queue = Queue::builder(&russet, "lost").build().unwrap();
    // The scripts are taught to the server first.
    for task in [queue.enqueue(mail("first")), queue.enqueue(mail("second")).request_id("second")] {
        task.await.unwrap();
        assert_eq!(take(&queue).await.ack().await.unwrap(), Settled::Done);
    }

    proxy.drop_next_reply().await.unwrap();
    let error = queue.enqueue(mail("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(queue.counts().await.unwrap().ready, 1);

    proxy.drop_next_reply().await.unwrap();
    let sent = queue.enqueue(mail("y")).request_id("y").await.unwrap();
    assert!(!sent.is_new, "the first try put it there");
    assert_eq!(queue.counts().await.unwrap().ready, 2);
    assert!(queue.status(sent.id).await.unwrap().is_some());

    // What was claimed in a lost answer is given back, before its lease ends.
    proxy.drop_next_reply().await.unwrap();
    assert_eq!(queue.receive(NOW).await.unwrap_err().kind(), ErrorKind::Unknown);
    eventually(LONG, async || match queue.counts().await.unwrap() {
        counts if counts.ready == 2 && counts.failed == 0 => Ok(()),
        counts => Err(format!("{counts:?}")),
    })
    .await;

    let delivery = take(&queue).await;
    proxy.drop_next_reply().await.unwrap();
    assert_eq!(delivery.ack().await.unwrap_err().kind(), ErrorKind::Unknown);
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.ready, counts.running, counts.completed), (1, 0, 3));
}
