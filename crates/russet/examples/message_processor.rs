//! The tutorial's `ReliableMessageProcessor`: orders and notifications on one queue, a handler for each, and workers that can
//! be stopped.
//!
//! `cargo run --example message_processor --features testing`; with `REDIS_URL` set it uses that server.
//!
//! `register_handler` is `handler`, `start_workers(5)` is `concurrency(5)` and `run_until`, `stop_workers` is the end of its
//! future. A message that names no handler is no failed attempt that is tried three times, but dead at once, with the reason.

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use russet::{BoxError, Queue, Task, TaskContext, Worker};
use serde::{Deserialize, Serialize};
use support::{Outcome, connect, server};
use tokio::sync::Notify;

#[derive(Serialize, Deserialize)]
struct Order {
    order_id: String,
    user_id: u64,
}

impl Task for Order {
    const NAME: &'static str = "order";
}

#[derive(Serialize, Deserialize)]
struct Notification {
    user_id: u64,
    content: String,
}

impl Task for Notification {
    const NAME: &'static str = "notification";
}

/// What the handlers share: the orders that were handled, by id, and what users were told.
#[derive(Default)]
struct Shop {
    orders: Mutex<BTreeMap<String, u32>>,
    told: Mutex<Vec<String>>,
    all_told: Notify,
}

const ORDERS: usize = 20;

/// Handles an order, and puts the notification on the queue. Both may happen twice when the process dies in between: the
/// order is noted by its id, and the notification has a name of its own.
async fn handle_order(order: Order, ctx: TaskContext<Arc<Shop>>) -> Result<String, BoxError> {
    let Order { order_id, user_id } = order;
    *ctx.state()
        .orders
        .lock()
        .map_err(|_| "the orders are broken")?
        .entry(order_id.clone())
        .or_default() += 1;
    // A handler that fails here is tried again; the order is noted once all the same.
    if ctx.attempt() == 1 && order_id.ends_with('7') {
        return Err("the warehouse did not answer".into());
    }
    let content = format!("order {order_id} is on its way");
    let request = format!("notification of {}", ctx.id());
    ctx.queue().enqueue(Notification { user_id, content }).request_id(&request).await?;
    Ok(format!("order {order_id} handled"))
}

async fn notify(note: Notification, ctx: TaskContext<Arc<Shop>>) -> Result<(), BoxError> {
    let shop = ctx.state();
    let mut told = shop.told.lock().map_err(|_| "what was told is lost")?;
    told.push(format!("user {}: {}", note.user_id, note.content));
    if told.len() == ORDERS {
        shop.all_told.notify_one();
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let queue = Queue::builder(&russet, "main_queue")
        .backoff(Duration::from_millis(10), Duration::from_secs(300))
        .build()?;

    let orders = (0..ORDERS)
        .map(|number| Order { order_id: format!("A-{number}"), user_id: number as u64 % 3 });
    let sent = queue.enqueue_many(orders).await?;
    println!("{} orders on the queue in one round trip", sent.ids.len());

    let shop = Arc::new(Shop::default());
    let worker = Worker::builder(&queue)
        .state(shop.clone())
        .concurrency(5)
        .handler(handle_order)
        .handler(notify)
        .build()?;
    // The tutorial's threads are joined while they wait for messages; this ends when everybody was told.
    worker.run_until(shop.all_told.notified()).await?;

    let orders = shop.orders.lock().map_err(|_| "the orders are broken")?.clone();
    let tried_twice = orders.values().filter(|times| **times == 2).count();
    let told = shop.told.lock().map_err(|_| "what was told is lost")?.len();
    let counts = queue.counts().await?;
    assert_eq!((orders.len(), tried_twice, told), (ORDERS, 2, ORDERS));
    assert_eq!((counts.completed, counts.failed, counts.dead), (2 * ORDERS as u64, 2, 0));
    println!("{tried_twice} orders were tried again, and their users told once");
    println!(
        "shown: {ORDERS} orders handled and {told} users told by five at a time, then an orderly end"
    );
    Ok(())
}
