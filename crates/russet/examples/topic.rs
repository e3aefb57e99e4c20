//! Durable messages, for who must not miss any: orders that a service bills.
//!
//! `cargo run --example topic --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First plain pub/sub, which loses what is published while the service restarts. Then a topic: the service is killed with
//! SIGKILL in the middle of an order, and bills every one.

mod support;

use std::{collections::BTreeSet, process::Command, time::Duration};

use russet::{
    Acked, PubSub, Russet, Start, Topic,
    testing::{WorkerProcess, eventually},
};
use serde::{Deserialize, Serialize};
use support::{Outcome, connect, server};

const ORDERS: u64 = 20;
const LEASE: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize, Debug)]
struct Order {
    id: u64,
}

#[tokio::main]
async fn main() -> Outcome {
    if let Ok(namespace) = std::env::var("BILLING") {
        return be_killed(&namespace).await;
    }
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;

    println!("Plain pub/sub");
    let live = PubSub::new(&russet);
    let mut lost = 0;
    for id in 0..ORDERS {
        let subscribed = live.subscribe::<Order>("orders").await?;
        if id % 4 == 3 {
            // The service restarts: a deployment, a crash.
            drop(subscribed);
            eventually(LONG, async || match live.publish("orders", &Order { id }).await {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
            lost += 1;
        } else {
            live.publish("orders", &Order { id }).await?;
        }
    }
    println!("  {lost} of {ORDERS} orders reached nobody, and nobody will ever know");

    println!("With a topic");
    let orders: Topic<Order> = Topic::builder(&russet, "orders").keep_for(LONG).build()?;
    for id in 0..ORDERS {
        orders.publish(&Order { id }).await?;
    }
    let mut billed = kill_the_service(&url, russet.namespace()).await?;
    println!("  the service billed {billed:?}, and was killed in the middle of the next");

    let mut billing = orders.group("billing").lease(LEASE).await?;
    let mut again = 0;
    while billed.len() < ORDERS as usize {
        let order = billing.next().await?;
        again += u64::from(order.deliveries() > 1);
        billed.insert(order.message()?.id);
        let _ = order.ack().await?;
    }
    assert_eq!(billed, (0..ORDERS).collect());
    assert!(again >= 1);
    println!("  the next one billed the rest; {again} came back from the one that was killed");

    // A handler that is too slow is told.
    orders.publish(&Order { id: ORDERS }).await?;
    let slow = billing.next().await?;
    let mut other = orders.group("billing").lease(LEASE).await?;
    let taken_over = other.next().await?;
    assert_eq!(slow.ack().await?, Acked::TakenOver);
    assert_eq!(taken_over.ack().await?, Acked::Done);
    println!("  an acknowledgement that came too late says so");

    let latest = orders.history(3).await?;
    assert_eq!(latest[0].message()?.id, ORDERS);
    orders.replay("billing", Start::After(latest[2].id)).await?;
    let replayed = billing.next().await?;
    assert_eq!(replayed.message()?.id, ORDERS - 1);
    let _ = replayed.ack().await?;
    println!("  replayed from {}; in the topic: {:?}", latest[2].id, orders.stats().await?);
    orders.delete().await?;

    println!(
        "shown: plain pub/sub lost {lost} of {ORDERS} orders, the topic none, with its subscriber killed"
    );
    Ok(())
}

/// Starts this program once more as the service, and kills it with SIGKILL in the middle of an order.
async fn kill_the_service(url: &str, namespace: &str) -> Outcome<BTreeSet<u64>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("REDIS_URL", url).env("BILLING", namespace);
    let mut service = WorkerProcess::command(&command)?;
    service.line_starting("in the middle").await?;
    service.kill().await?;
    let billed = service
        .output()
        .lines()
        .filter_map(|line| line.strip_prefix("billed ")?.parse().ok())
        .collect();
    Ok(billed)
}

/// What the service does that is going to be killed.
async fn be_killed(namespace: &str) -> Outcome {
    let url = std::env::var("REDIS_URL")?;
    let russet = Russet::builder().url(url).namespace(namespace).connect().await?;
    let orders: Topic<Order> = Topic::builder(&russet, "orders").keep_for(LONG).build()?;
    let mut billing = orders.group("billing").lease(LEASE).await?;
    for _ in 0..7 {
        let order = billing.next().await?;
        let id = order.message()?.id;
        let _ = order.ack().await?;
        println!("billed {id}");
    }
    let _order = billing.next().await?;
    println!("in the middle of an order");
    std::future::pending().await
}
