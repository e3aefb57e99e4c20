//! The tutorial's `ReliableMessageQueue`: what it loses when a worker dies, and what comes back here.
//!
//! `cargo run --example reliable_queue --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, command by command: the worker dies between `BZPOPMAX` and `ZADD`, and the message is in no
//! queue; one that took too long is taken by another, and the first one's `complete` takes it from that one. Then the same
//! with russet.

mod support;

use std::time::Duration;

use russet::{Queue, Russet, Settled, Task, TaskState, raw};
use serde::{Deserialize, Serialize};
use support::{Outcome, connect, server};

#[derive(Serialize, Deserialize)]
struct Order {
    order_id: u64,
}

impl Task for Order {
    const NAME: &'static str = "order";
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;
    with_russet(&russet).await?;
    println!(
        "shown: a worker that dies loses nothing, one that is late takes nothing from another"
    );
    Ok(())
}

async fn textbook(russet: &Russet) -> Outcome {
    let key = |part: &str| format!("{}-textbook-{part}", russet.namespace());
    let (pending, processing, messages) = (key("pending"), key("processing"), key("messages"));
    let run = async |words: &[&str]| raw::command(russet, words).await;

    run(&["HSET", &messages, "1", "{}"]).await?;
    run(&["ZADD", &pending, "0", "1"]).await?;
    // receive_message: the first of its four commands, and then the process is killed.
    run(&["ZPOPMAX", &pending]).await?;
    let waiting = run(&["ZCARD", &pending]).await?;
    let in_work = run(&["ZCARD", &processing]).await?;
    println!(
        "textbook: after a kill {waiting:?} pending, {in_work:?} processing: the message is lost"
    );
    assert!(waiting == raw::Value::Int(0) && in_work == raw::Value::Int(0));

    // A second message takes longer than its visibility timeout, and another worker has it.
    run(&["ZADD", &processing, "1", "2"]).await?;
    let completed_by_the_first = run(&["ZREM", &processing, "2"]).await?;
    println!(
        "textbook: the late worker completes what another one works on: {completed_by_the_first:?}"
    );
    assert_eq!(completed_by_the_first, raw::Value::Int(1));
    run(&["DEL", &pending, &processing, &messages]).await?;
    Ok(())
}

async fn with_russet(russet: &Russet) -> Outcome {
    // `max_retries` and `visibility_timeout`; the lease is short so that the example is.
    let queue = Queue::builder(russet, "orders")
        .max_attempts(3)
        .lease(Duration::from_millis(200))
        .backoff(Duration::from_millis(10), Duration::from_secs(300))
        .build()?;
    let patience = Duration::from_secs(10);

    // send_message(delay, priority)
    let urgent = queue.enqueue(Order { order_id: 1 }).priority(5).await?;
    queue.enqueue(Order { order_id: 2 }).delay(Duration::from_millis(20)).await?;

    // receive_message: claimed and leased in the step that returns it. The worker dies, or takes too long.
    let late = queue.receive(patience).await?.ok_or("a task")?;
    assert_eq!(late.id(), urgent.id);
    // The second one has become due meanwhile; the first one comes back by itself.
    let mut order_ids = Vec::new();
    while order_ids.len() < 2 {
        let delivery = queue.receive(patience).await?.ok_or("a task")?;
        let order: Order = delivery.task()?;
        if order.order_id == 1 {
            assert!(delivery.attempt() == 2 && delivery.fence() > late.fence());
        }
        order_ids.push(order.order_id);
        assert_eq!(delivery.ack().await?, Settled::Done); // complete_message
    }
    println!("russet: orders {order_ids:?} are done, the lost one too");
    assert_eq!(late.ack().await?, Settled::LeaseLost);
    println!("russet: the late worker is told that the task is not its own any more");

    // fail_message: after the last attempt it is dead, with all its errors, and can be brought back.
    let broken = queue.enqueue(Order { order_id: 3 }).await?;
    for _ in 0..3 {
        let delivery = queue.receive(patience).await?.ok_or("a task")?;
        assert_eq!(delivery.retry("no such article").await?, Settled::Done);
    }
    let status = queue.status(broken.id).await?.ok_or("it is there")?;
    assert!(matches!(status.state, TaskState::Dead { .. }) && status.errors.len() == 3);
    assert_eq!(queue.redrive_all().await?, 1);
    let delivery = queue.receive(patience).await?.ok_or("a task")?;
    assert_eq!(delivery.ack().await?, Settled::Done);

    // get_queue_stats
    let counts = queue.counts().await?;
    println!("russet: {counts:?}");
    assert_eq!((counts.completed, counts.ready, counts.running, counts.dead), (3, 0, 0, 0));
    Ok(())
}
