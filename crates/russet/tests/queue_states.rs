//! The state diagram of `docs/design/queue-states.md` against the queue.

#![cfg(feature = "queue")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use russet::testing::eventually;
use russet::{Delivery, Effects, Queue, Rescheduled, Scheduler, Settled, Task, TaskId, TaskState};
use serde::{Deserialize, Serialize};
use support::stage;

const PAGE: &str = include_str!("../../../docs/design/queue-states.md");
const LONG: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(1);

#[derive(Serialize, Deserialize)]
struct Job;

impl Task for Job {
    const NAME: &'static str = "job";
}

/// The arrows of the diagram, as `from to`.
fn drawn() -> BTreeSet<String> {
    let arrows = PAGE.lines().filter_map(|line| line.trim().split_once(" --> "));
    arrows.map(|(from, to)| format!("{from} {}", to.split(':').next().unwrap())).collect()
}

/// Where a task is, and the ways it went.
struct Walk {
    queue: Queue,
    id: TaskId,
    at: &'static str,
    seen: BTreeSet<String>,
}

impl Walk {
    async fn look(&mut self) {
        let status = self.queue.status(self.id).await.unwrap();
        let state = status.map_or("[*]", |status| match status.state {
            TaskState::Scheduled { .. } => "scheduled",
            TaskState::Ready => "ready",
            TaskState::Running { .. } => "running",
            TaskState::Retrying { .. } => "retrying",
            TaskState::Completed { .. } => "completed",
            TaskState::Dead { .. } => "dead",
            TaskState::Cancelled { .. } => "cancelled",
        });
        if state != self.at {
            self.seen.insert(format!("{} {state}", self.at));
        }
        self.at = state;
    }

    async fn new(queue: &Queue, delay: Duration) -> Self {
        let id = queue.enqueue(Job).delay(delay).keep_result(BRIEF).await.unwrap().id;
        let mut walk = Self { queue: queue.clone(), id, at: "[*]", seen: BTreeSet::new() };
        walk.look().await;
        walk
    }

    async fn claim(&mut self) -> Delivery {
        let delivery = self.queue.receive(LONG).await.unwrap().unwrap();
        assert_eq!(delivery.id(), self.id);
        self.look().await;
        delivery
    }

    async fn settled(&mut self, settled: russet::Result<Settled>) {
        assert_eq!(settled.unwrap(), Settled::Done);
        self.look().await;
    }

    /// What is due becomes ready on a paused queue too, and stays there.
    async fn becomes_ready(&mut self) {
        let queue = self.queue.clone();
        queue.pause().await.unwrap();
        while self.at != "ready" {
            assert!(queue.receive(BRIEF).await.unwrap().is_none());
            self.look().await;
        }
        queue.resume().await.unwrap();
    }

    async fn cancel(&mut self) {
        self.queue.cancel(self.id).await.unwrap();
        self.look().await;
    }

    /// Until nothing is kept of it.
    async fn is_forgotten(&mut self) {
        let (queue, id) = (self.queue.clone(), self.id);
        eventually(LONG, async || {
            queue.purge(Duration::ZERO).await.unwrap();
            match queue.status(id).await.unwrap() {
                None => Ok(()),
                Some(status) => Err(format!("{status:?}")),
            }
        })
        .await;
        self.look().await;
    }
}

#[tokio::test]
async fn a_task_goes_only_the_ways_that_are_drawn() {
    let stage = stage().await;
    let builder = || Queue::builder(&stage.russet, "states").keep_dead(Duration::from_secs(1));
    let queue = builder().backoff(BRIEF, BRIEF).build().unwrap();
    let slow = builder().backoff(LONG, LONG).build().unwrap();
    let dying = builder().lease(Duration::from_millis(100)).build().unwrap();
    let mut seen = BTreeSet::new();

    let mut walk = Walk::new(&queue, Duration::from_millis(50)).await;
    if walk.at == "scheduled" {
        walk.becomes_ready().await;
    }
    let delivery = walk.claim().await;
    walk.settled(delivery.release().await).await;
    let delivery = walk.claim().await;
    walk.settled(delivery.retry("failed").await).await;
    if walk.at == "retrying" {
        walk.becomes_ready().await;
    }
    let delivery = walk.claim().await;
    walk.settled(delivery.dead_letter("no use").await).await;
    assert!(queue.redrive(walk.id).await.unwrap());
    walk.look().await;
    let delivery = walk.claim().await;
    // Nobody looks between the two: a completed task is kept for a millisecond here.
    walk.settled(delivery.ack().await).await;
    seen.extend(walk.seen);

    // It is long enough to be seen.
    let id = queue.enqueue(Job).keep_result(Duration::from_millis(1_500)).await.unwrap().id;
    let mut walk = Walk { queue: queue.clone(), id, at: "[*]", seen: BTreeSet::new() };
    walk.look().await;
    let delivery = walk.claim().await;
    walk.settled(delivery.ack().await).await;
    assert_eq!(walk.at, "completed");
    walk.is_forgotten().await;
    seen.extend(walk.seen);

    // The same together with its effects.
    let id = queue.enqueue(Job).keep_result(LONG).await.unwrap().id;
    let mut walk = Walk { queue: queue.clone(), id, at: "[*]", seen: BTreeSet::new() };
    walk.look().await;
    let delivery = walk.claim().await;
    let effects = Effects::new().add("totals", "jobs", 1);
    walk.settled(delivery.complete_with((), effects).await).await;
    assert_eq!(walk.at, "completed");
    seen.extend(walk.seen);

    // Cancelled wherever it waits, and kept for a second.
    let mut scheduled = Walk::new(&queue, LONG).await;
    scheduled.cancel().await;
    scheduled.is_forgotten().await;
    seen.extend(scheduled.seen);
    let mut moved = Walk::new(&queue, Duration::ZERO).await;
    let told = Scheduler::new(&queue).reschedule_after(moved.id, LONG).await.unwrap();
    assert_eq!(told, Rescheduled::Done);
    moved.look().await;
    moved.cancel().await;
    seen.extend(moved.seen);
    let mut ready = Walk::new(&queue, Duration::ZERO).await;
    ready.cancel().await;
    seen.extend(ready.seen);
    let mut retrying = Walk::new(&slow, Duration::ZERO).await;
    let delivery = retrying.claim().await;
    retrying.settled(delivery.retry("failed").await).await;
    retrying.cancel().await;
    seen.extend(retrying.seen);
    let mut running = Walk::new(&queue, Duration::ZERO).await;
    let delivery = running.claim().await;
    running.cancel().await;
    running.settled(delivery.retry("asked to end").await).await;
    seen.extend(running.seen);

    // Its worker dies, and somebody looks.
    let mut orphan = Walk::new(&dying, Duration::ZERO).await;
    drop(orphan.claim().await);
    orphan.becomes_ready().await;
    let delivery = orphan.claim().await;
    orphan.settled(delivery.dead_letter("no use").await).await;
    orphan.is_forgotten().await;
    seen.extend(orphan.seen);

    // A completed task that is not kept is seen to be gone only.
    seen.remove("running [*]");
    assert_eq!(seen, drawn(), "left: the ways that were gone, right: those that are drawn");
}
