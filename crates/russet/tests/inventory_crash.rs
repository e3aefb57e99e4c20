//! A shop under SIGKILL of its buyers' processes.

#![cfg(feature = "inventory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use russet::testing::{TestServer, WorkerProcess, eventually, worker_env, worker_report};
use russet::{Inventory, Reservation, Russet, Settlement, raw};
use support::Timed;

const LONG: Duration = Duration::from_secs(120);
const UNITS: u64 = 100;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn shop(russet: &Russet) -> Inventory {
    // Short, so that who is killed gives its units back while the test runs.
    Inventory::builder(russet, "sale").hold(Duration::from_millis(400)).build().unwrap()
}

async fn connect(url: &str) -> Russet {
    let builder = Russet::builder().url(url).namespace("sale").connect_timeout(LONG);
    builder.timeout(LONG).connect().await.unwrap()
}

/// Buyers, one behind the other in each of ten lanes. A buyer's order is its request id, and is sent twice; what the shop
/// has acknowledged is written down outside of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_process() {
    let Some(url) = worker_env("REDIS") else { return };
    let buyers: u64 = worker_env("BUYERS").unwrap().parse().unwrap();
    let first: u64 = worker_env("FIRST").unwrap().parse().unwrap();
    let russet = connect(&url).await;
    let shop = shop(&russet);
    worker_report("buying");
    let next = AtomicU64::new(first);
    let lane = async || {
        loop {
            // Every process comes by every buyer: each order is sent by several.
            let buyer = next.fetch_add(1, Ordering::Relaxed) % buyers;
            buy(&russet, &shop, buyer).await;
        }
    };
    futures_util::future::join_all((0..10).map(|_| lane())).await;
}

async fn buy(russet: &Russet, shop: &Inventory, buyer: u64) {
    let order = format!("order {buyer}");
    for _ in 0..2 {
        let wish = shop.reserve("ticket", 1).user(&order).request_id(&order);
        let Reservation::Held(_) = wish.await.unwrap() else { return };
    }
    let list = match buyer % 10 {
        // One in ten changes its mind, one never comes back.
        0 => {
            let settled = shop.cancel(&order).await.unwrap();
            if matches!(settled, Settlement::Cancelled { .. }) { "cancelled" } else { return }
        }
        1 => return,
        _ => {
            tokio::time::sleep(Duration::from_millis(buyer % 7)).await;
            let settled = shop.confirm(&order).await.unwrap();
            if matches!(settled, Settlement::Sold { .. }) { "bought" } else { return }
        }
    };
    raw::command(russet, &["SADD", list, &order]).await.unwrap();
}

/// All of the record in one step: total, reserved and sold, the sums of the reservations that are held and sold, how many
/// are due, and for how long the oldest one has been, in ms.
const LOOK: &str = "#!lua flags=no-writes
local total, reserved, sold = string.match(redis.call('HGET', KEYS[1], 'ticket'), '^V1 (%d+) (%d+) (%d+)$')
local held, bought = 0, 0
for _, line in ipairs(redis.call('HVALS', KEYS[2])) do
  local state, quantity = string.match(line, '^V1%S* (%a+) (%d+)')
  if state == 'held' then held = held + quantity end
  if state == 'sold' then bought = bought + quantity end
end
local t = redis.call('TIME')
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
local late = first and t[1] * 1000 + math.floor(t[2] / 1000) - first or 0
return {total, reserved, sold, held, bought, redis.call('ZCARD', KEYS[3]), math.max(late, 0)}";

async fn look(server: &TestServer) -> [u64; 7] {
    let key = |part: &str| format!("sale:{{inventory:sale}}:{part}");
    let words = ["EVAL", LOOK, "3", &key("stock"), &key("holds"), &key("due")];
    let reply = server.command(&words).await.unwrap();
    let number = |reply: &russet::testing::Reply| match reply.int() {
        Some(number) => number as u64,
        None => reply.text().unwrap().parse().unwrap(),
    };
    let numbers: Vec<_> = reply.list().iter().map(number).collect();
    numbers.try_into().unwrap()
}

/// `RUSSET_SALE_BUYERS` and `RUSSET_SALE_KILLS` make it longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_buyers_leave_a_stock_that_adds_up_and_nothing_is_sold_twice() {
    let (buyers, kills) = (setting("RUSSET_SALE_BUYERS", 1_000), setting("RUSSET_SALE_KILLS", 8));
    let mut random = support::random();
    let server = TestServer::start().await.unwrap();
    let russet = connect(&server.url()).await;
    let shop = shop(&russet);
    let _ = shop.set_stock("ticket", UNITS).await.unwrap();
    let spawn = |first: u64| {
        let (first, buyers) = (first.to_string(), buyers.to_string());
        let url = server.url();
        let environment = [("REDIS", &*url), ("BUYERS", &buyers), ("FIRST", &first)];
        WorkerProcess::spawn("buyers_process", &environment).unwrap()
    };
    let mut processes: Vec<_> = (0..4).map(|n| spawn(n * buyers / 4)).collect();
    for process in &mut processes {
        process.line_starting("buying").await.unwrap();
    }
    let mut looks = 0;
    let mut adds_up = async || {
        let [total, reserved, sold, held, bought, due, _] = look(&server).await;
        assert_eq!((reserved, sold, due), (held, bought, held), "{looks} looks before");
        assert!(total == UNITS && reserved + sold <= total, "{reserved} {sold} of {total}");
        let stock = shop.get("ticket").await.unwrap().unwrap();
        assert_eq!(stock.free + stock.reserved + stock.sold, stock.total);
        looks += 1;
        stock
    };
    for kill in 0..kills {
        for _ in 0..20 {
            adds_up().await;
        }
        let victim = random.random_range(0..processes.len());
        processes[victim].kill().await.unwrap();
        processes[victim] = spawn(random.random_range(0..buyers));
        processes[victim].line_starting("buying").await.unwrap();
        println!("kill {kill}: process {victim}");
    }
    // All is sold in the end: what the killed ones and those who never came back held was free again.
    eventually(LONG, async || match adds_up().await {
        stock if stock.sold == UNITS => Ok(()),
        stock => Err(format!("{stock:?}")),
    })
    .await;
    for process in &processes {
        process.kill().await.unwrap();
    }
    adds_up().await;

    // Who was told that it has bought, has: each order one unit, however often and by whom it was sent.
    let told = server.command(&["SMEMBERS", "bought"]).await.unwrap();
    let told: BTreeSet<_> = told.texts().into_iter().map(str::to_owned).collect();
    for order in &told {
        assert!(matches!(shop.confirm(order).await.unwrap(), Settlement::Sold { .. }), "{order}");
    }
    let cancelled = server.command(&["SMEMBERS", "cancelled"]).await.unwrap();
    for order in cancelled.texts() {
        let settled = shop.cancel(order).await.unwrap();
        assert!(matches!(settled, Settlement::Cancelled { .. }), "{order}: {settled:?}");
    }
    assert!(told.len() as u64 <= UNITS);
    println!(
        "{kills} kills, {looks} looks, {} buyers were told so, {UNITS} units sold",
        told.len()
    );
}

/// Who has reserved is killed; another process, which only waits, returns it to the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_held_is_back_within_a_second_of_its_end() {
    let server = TestServer::start().await.unwrap();
    let russet = connect(&server.url()).await;
    let shop = shop(&russet);
    let _ = shop.set_stock("ticket", UNITS).await.unwrap();
    let url = server.url();
    let environment = [("REDIS", &*url), ("BUYERS", "1000"), ("FIRST", "1")];
    let mut process = WorkerProcess::spawn("buyers_process", &environment).unwrap();
    process.line_starting("buying").await.unwrap();
    eventually(LONG, async || match look(&server).await {
        [_, reserved, ..] if reserved > 0 => Ok(()),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    process.kill().await.unwrap();
    // How long something was due, at each look; a machine that gives nobody a turn makes the timer beside it late too.
    let (mut latest, mut lag) = (Duration::ZERO, Duration::ZERO);
    loop {
        let pause = Duration::from_millis(20);
        let sleep = async { tokio::time::sleep(pause).await };
        let Timed { took, .. } = support::beside_a_timer(pause, sleep).await;
        let [_, reserved, _, _, _, due, late] = look(&server).await;
        lag = if late > 0 { lag + took.saturating_sub(pause) } else { Duration::ZERO };
        latest = latest.max(Duration::from_millis(late).saturating_sub(lag));
        if reserved == 0 && due == 0 {
            break;
        }
    }
    println!("back at most {latest:?} after the end");
    assert!(latest <= Duration::from_secs(1), "{latest:?}");
}
