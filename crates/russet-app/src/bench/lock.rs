//! Cases of locks: one that nobody else wants, and one that 64 callers of eight handles hand over.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use russet::{
    Lock, Released, Russet, raw,
    testing::{Proxy, TestServer},
};

use super::case::{CALLERS, Case, RoundTrips, Took, Work};
use crate::Failure;

/// Each with an inbox and a line of its own, as eight processes have.
const HANDLES: usize = 8;

pub async fn cases(server: &TestServer) -> Result<Vec<Case>, Failure> {
    let russet = Russet::connect(&server.url()).await?;
    Ok(vec![uncontended(&russet)?, handoff(server).await?])
}

fn uncontended(russet: &Russet) -> Result<Case, Failure> {
    let lock = |number: usize| Lock::builder(russet, &format!("free {number}")).build();
    // As many as there are callers: each takes one that no other has.
    let locks = (0..CALLERS).map(lock).collect::<Result<Vec<_>, _>>()?;
    let locks = Arc::new(Mutex::new(locks));
    let ours = Work::new(move |_| {
        let locks = locks.clone();
        async move {
            let taken = || locks.lock().unwrap_or_else(PoisonError::into_inner);
            let lock = taken().pop().ok_or("there are more callers than locks")?;
            let guard = lock.acquire().await?;
            if guard.release().await? == Released::Lost {
                return Err("a lock that nobody else wants was lost".into());
            }
            taken().push(lock);
            Ok(Took::AllOfIt)
        }
    });
    let russet = russet.clone();
    let floor = Work::new(move |number| {
        let russet = russet.clone();
        async move {
            let key = format!("floor:{number}");
            raw::command(&russet, &["SET", &key, "owner", "NX", "PX", "30000"]).await?;
            raw::command(&russet, &["DEL", &key]).await?;
            Ok(Took::AllOfIt)
        }
    });
    Ok(Case::new("lock", "uncontended", ours).floor("SET NX PX, DEL", floor))
}

/// From the moment that a holder begins to give the lock back to the moment that the next one has it.
async fn handoff(server: &TestServer) -> Result<Case, Failure> {
    let began = Instant::now();
    let mut locks = Vec::new();
    for _ in 0..HANDLES {
        let russet = Russet::connect(&server.url()).await?;
        locks.push(Lock::builder(&russet, "wanted").build()?);
    }
    let given_back = Arc::new(AtomicU64::new(0));
    let waiting = locks.clone();
    let ours = Work::new(move |number| {
        let lock = waiting.get(number as usize % HANDLES).cloned();
        let given_back = given_back.clone();
        async move {
            let micros = || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let guard = lock.ok_or("there is a lock for each handle")?.acquire().await?;
            let took = micros().saturating_sub(given_back.load(Ordering::Acquire));
            given_back.store(micros(), Ordering::Release);
            if guard.release().await? == Released::Lost {
                return Err("a lock was lost within its lease".into());
            }
            Ok(Took::Part(Duration::from_micros(took)))
        }
    });
    let round_trips = waiters_trips(server, locks.swap_remove(0)).await?;
    Ok(Case::new("lock", "handoff_64", ours).round_trips(round_trips))
}

/// The way of a caller that waits: into the line, its turn, and giving back.
async fn waiters_trips(server: &TestServer, holder: Lock) -> Result<RoundTrips, Failure> {
    let proxy = Proxy::to(server).await?;
    let russet = Russet::connect(&proxy.url()).await?;
    let waiter = Lock::builder(&russet, "wanted").build()?;
    let work = Work::new(move |_| {
        let (holder, waiter) = (holder.clone(), waiter.clone());
        async move {
            let held = holder.acquire().await?;
            let waits = tokio::spawn(async move { waiter.acquire().await?.release().await });
            while holder.status().await?.waiting == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (Released::Done, Released::Done) = (held.release().await?, waits.await??) else {
                return Err("a lock was lost within its lease".into());
            };
            Ok(Took::AllOfIt)
        }
    });
    Ok(RoundTrips::Proxied(proxy, work))
}
