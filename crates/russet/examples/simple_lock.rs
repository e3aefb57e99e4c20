//! The tutorial's `RedisDistributedLock` with its five contenders: first as it is written there, then `Lock`.
//!
//! `cargo run --example simple_lock --features testing`; with `REDIS_URL` set it uses that server.
//!
//! What goes wrong there: a holder whose work outlasts the timeout is not told, works beside the next one, and overwrites what that
//! one wrote. Here the lease is renewed while the work runs, and a store that looks at the fence refuses who is late.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use russet::{Lock, LockGuard, Released, Russet, raw};
use support::{Outcome, connect, server};

/// How long a contender works; the timeout of the tutorial's lock is a third of it.
const WORK: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;

    let together = tutorial(&russet).await?;
    println!("the tutorial: up to {together} of five contenders were inside together");
    assert!(together > 1);

    // The lease is renewed while the work runs, so that it need not be guessed how long that takes.
    let lock = Lock::builder(&russet, "resource_1").lease(Duration::from_secs(10)).build()?;
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let turns = Arc::new(Mutex::new(Vec::new()));
    let mut contenders = Vec::new();
    for contender in 1..=5 {
        let (lock, inside, most) = (lock.clone(), inside.clone(), most.clone());
        let turns = turns.clone();
        contenders.push(tokio::spawn(async move {
            let body = async |held: &LockGuard| {
                work(contender, held.fence(), &inside, &most, &turns).await
            };
            lock.with(body).await
        }));
    }
    for contender in contenders {
        contender.await??;
    }
    let turns = turns.lock().map_err(|_| "the list of turns is broken")?.clone();
    println!("russet: {turns:?}");
    assert_eq!((turns.len(), most.load(Ordering::SeqCst)), (5, 1));
    assert!(turns.is_sorted_by_key(|(_, fence)| *fence));

    // Who is late is refused by the store, whatever it believes.
    let brief = Lock::builder(&russet, "resource_2").lease(WORK / 3).watchdog(false).build()?;
    let late = brief.acquire().await?;
    let next = brief.acquire().await?; // when the lease of the first one has ended
    let mut row = Row::default();
    assert!(row.update("by the second", next.fence()));
    assert!(late.is_lost() && !row.update("by the first, late", late.fence()));
    assert_eq!(late.release().await?, Released::Lost);
    println!(
        "shown: five contenders one after the other, {:?} kept, the late write refused",
        row.value
    );
    Ok(())
}

/// Counts who is inside, also when it is cancelled.
struct Inside<'a>(&'a AtomicU32);

impl<'a> Inside<'a> {
    fn enter(inside: &'a AtomicU32, most: &AtomicU32) -> Self {
        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn work(
    contender: u32,
    fence: u64,
    inside: &AtomicU32,
    most: &AtomicU32,
    turns: &Mutex<Vec<(u32, u64)>>,
) {
    let _inside = Inside::enter(inside, most);
    tokio::time::sleep(WORK).await;
    if let Ok(mut turns) = turns.lock() {
        turns.push((contender, fence));
    }
}

/// A row of a store: `UPDATE … SET value = $1, fence = $2 WHERE fence <= $2`.
#[derive(Default)]
struct Row {
    value: String,
    fence: u64,
}

impl Row {
    fn update(&mut self, value: &str, fence: u64) -> bool {
        let is_current = self.fence <= fence;
        if is_current {
            (self.value, self.fence) = (value.to_owned(), fence);
        }
        is_current
    }
}

/// `SET NX PX`, tried again and again, and a release that is not ours any more: how many were inside together.
async fn tutorial(russet: &Russet) -> Outcome<u32> {
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut contenders = Vec::new();
    for contender in 1..=5 {
        let (russet, inside, most) = (russet.clone(), inside.clone(), most.clone());
        contenders.push(tokio::spawn(async move {
            let (key, timeout) = ("lock:resource_1", (WORK / 3).as_millis().to_string());
            let value = format!("uuid-{contender}");
            let set = ["SET", key, &value, "NX", "PX", &timeout];
            while raw::command(&russet, &set).await?.into_text().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let _inside = Inside::enter(&inside, &most);
            tokio::time::sleep(WORK).await;
            let release = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
            raw::command(&russet, &["EVAL", release, "1", key, &value]).await.map(|_| ())
        }));
    }
    for contender in contenders {
        contender.await??;
    }
    Ok(most.load(Ordering::SeqCst))
}
