//! Locks between real processes, some of which are killed or stand still.

#![cfg(feature = "lock")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use russet::testing::{
    TestServer, WorkerProcess, eventually, worker_env, worker_receive, worker_report,
};
use russet::{Lock, Released, Russet, raw};
use support::patient;

const LONG: Duration = Duration::from_secs(120);

/// A write that the store refuses when it has seen a larger fence.
const FENCED: &str = "local seen = tonumber(redis.call('GET', 'fence') or '0') \
    if tonumber(ARGV[1]) < seen then return redis.call('INCR', 'refused') end \
    redis.call('SET', 'fence', ARGV[1]) redis.call('RPUSH', 'writes', ARGV[1]) return 0";

async fn write(russet: &Russet, fence: u64) {
    raw::command(russet, &["EVAL", FENCED, "0", &fence.to_string()]).await.unwrap();
}

fn lock(russet: &Russet, lease: Duration) -> Lock {
    Lock::builder(russet, "processes").lease(lease).build().unwrap()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn spawn(test: &str, server: &TestServer, lease: Duration) -> WorkerProcess {
    let lease = lease.as_millis().to_string();
    WorkerProcess::spawn(test, &[("REDIS", &server.url()), ("LEASE", &lease)]).unwrap()
}

/// The lock of a worker, and the handle that it is on.
async fn of_worker() -> Option<(Russet, Lock)> {
    let russet = patient(&worker_env("REDIS")?, "x").await;
    let lease = Duration::from_millis(worker_env("LEASE")?.parse().unwrap());
    let lock = lock(&russet, lease);
    Some((russet, lock))
}

async fn in_line(lock: &Lock, processes: u64) {
    eventually(LONG, async || match lock.status().await.unwrap().waiting {
        waiting if waiting == processes => Ok(()),
        waiting => Err(format!("{waiting} wait")),
    })
    .await;
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// One time that somebody had the lock, by the clock that all processes of a machine share.
#[derive(Clone, Copy, Debug)]
struct Hold {
    fence: u64,
    caller: u64,
    asked: u64,
    acquired: u64,
    released: u64,
}

#[tokio::test]
async fn contender() {
    let Some((russet, lock)) = of_worker().await else { return };
    let holds = Arc::new(Mutex::new(Vec::new()));
    worker_report("ready");
    let seconds: u64 = worker_receive().unwrap().parse().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (russet, lock, holds) = (russet.clone(), lock.clone(), holds.clone());
        callers.push(tokio::spawn(async move {
            while Instant::now() < end {
                let asked = micros();
                let guard = lock.acquire().await.unwrap();
                let acquired = micros();
                write(&russet, guard.fence()).await;
                let fence = guard.fence();
                let released = micros();
                assert_eq!(guard.release().await.unwrap(), Released::Done);
                holds.lock().unwrap().push(Hold { fence, caller, asked, acquired, released });
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let text: Vec<_> = holds.lock().unwrap().iter().map(|hold: &Hold| hold.text()).collect();
    worker_report(&format!("holds {}", text.join(" ")));
}

impl Hold {
    fn text(self) -> String {
        let Self { fence, caller, asked, acquired, released } = self;
        format!("{fence},{caller},{asked},{acquired},{released}")
    }

    fn read(text: &str, process: u64) -> Self {
        let numbers: Vec<u64> = text.split(',').map(|number| number.parse().unwrap()).collect();
        let [fence, caller, asked, acquired, released] = numbers[..] else { panic!("{text}") };
        Self { fence, caller: process * 8 + caller, asked, acquired, released }
    }
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// `RUSSET_LOCK_SECONDS` makes it longer.
#[tokio::test]
async fn sixty_four_callers_in_eight_processes_never_have_it_together_and_each_gets_its_turn() {
    let server = TestServer::start().await.unwrap();
    let mut processes: Vec<_> = (0..8).map(|_| spawn("contender", &server, LONG)).collect();
    for process in &mut processes {
        process.line_starting_within(LONG, "ready").await.unwrap();
    }
    let seconds = setting("RUSSET_LOCK_SECONDS", 2);
    for process in &mut processes {
        process.send(&seconds.to_string()).unwrap();
    }
    let mut holds = Vec::new();
    for (number, process) in (0..).zip(&mut processes) {
        let line = process.line_starting_within(LONG, "holds ").await.unwrap();
        holds.extend(line.split(' ').skip(1).map(|hold| Hold::read(hold, number)));
    }
    holds.sort_by_key(|hold| hold.fence);

    let mut hand_offs = Vec::new();
    for pair in holds.windows(2) {
        assert!(pair[0].fence < pair[1].fence, "one fence, one holder: {pair:?}");
        assert!(pair[0].released <= pair[1].acquired, "two at a time: {pair:?}");
        hand_offs.push(pair[1].acquired - pair[0].released);
    }
    let callers: std::collections::BTreeSet<_> = holds.iter().map(|hold| hold.caller).collect();
    assert_eq!(callers.len(), 64, "each caller got its turn");
    // What the store saw is what was held, in the order of the fences, and nothing else.
    let writes = server.command(&["LRANGE", "writes", "0", "-1"]).await.unwrap();
    let writes: Vec<u64> = writes.texts().iter().map(|fence| fence.parse().unwrap()).collect();
    assert_eq!(writes, holds.iter().map(|hold| hold.fence).collect::<Vec<_>>());
    assert_eq!(server.command(&["EXISTS", "refused"]).await.unwrap().int(), Some(0));

    hand_offs.sort_unstable();
    let took = holds.last().unwrap().released - holds[0].acquired;
    let turn = took / holds.len() as u64;
    let longest = holds.iter().map(|hold| hold.acquired - hold.asked).max().unwrap();
    println!(
        "{:.0} hand-offs/s, p50 {} µs, p99 {} µs; a turn takes {turn} µs, the longest wait took {longest} µs, {:.2} × 64 turns",
        hand_offs.len() as f64 * 1e6 / took as f64,
        percentile(&hand_offs, 50),
        percentile(&hand_offs, 99),
        longest as f64 / (64 * turn) as f64,
    );
}

/// Reports when the body is dropped.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        worker_report("dropped");
    }
}

#[tokio::test]
async fn holder() {
    let Some((russet, lock)) = of_worker().await else { return };
    let body = lock.with(async |held| {
        let _told = Told;
        worker_report(&format!("holds {}", held.fence()));
        loop {
            write(&russet, held.fence()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let error: russet::Error = body.await.unwrap_err();
    worker_report(&format!("ended {:?}", error.kind()));
}

/// `RUSSET_LOCK_STOPS` makes it longer.
#[tokio::test]
async fn a_holder_that_was_stopped_beyond_its_lease_is_cancelled_and_its_fence_refused() {
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "x").await;
    let rounds = setting("RUSSET_LOCK_STOPS", 3);
    let lease = Duration::from_secs(1);
    let mut refused = 0;
    for _ in 0..rounds {
        server.command(&["DEL", "writes", "fence", "refused"]).await.unwrap();
        let mut stopped = spawn("holder", &server, lease);
        stopped.line_starting_within(LONG, "holds").await.unwrap();
        let writes = async || server.command(&["LRANGE", "writes", "0", "-1"]).await.unwrap();
        eventually(LONG, async || match writes().await.texts().len() {
            0 => Err("no write yet"),
            _ => Ok(()),
        })
        .await;
        stopped.pause().unwrap();
        let guard = lock(&russet, LONG).acquire().await.unwrap();
        write(&russet, guard.fence()).await;
        stopped.resume().unwrap();
        stopped.line_starting_within(LONG, "dropped").await.unwrap();
        let ended = stopped.line_starting_within(LONG, "ended").await.unwrap();
        assert_eq!(ended, "ended Lost");
        let fences = writes().await;
        let fences: Vec<u64> = fences.texts().iter().map(|fence| fence.parse().unwrap()).collect();
        assert!(fences.is_sorted(), "no write of the stopped one came after: {fences:?}");
        assert_eq!(fences.last(), Some(&guard.fence()));
        // One may have been on its way, or between the look at the clock and the socket.
        let late = server.command(&["GET", "refused"]).await.unwrap();
        let late: u64 = late.text().map_or(0, |late| late.parse().unwrap());
        assert!(late <= 1, "the body went on: {late} writes were refused");
        refused += late;
        assert!(!guard.is_lost());
        assert_eq!(guard.release().await.unwrap(), Released::Done);
    }
    println!("{rounds} rounds: {refused} writes of a stopped holder came, and were refused");
}

#[tokio::test]
async fn a_killed_holder_costs_its_lease_and_no_more() {
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "x").await;
    let lease = Duration::from_secs(2);
    let mut killed = spawn("holder", &server, lease);
    killed.line_starting_within(LONG, "holds").await.unwrap();
    let lock = lock(&russet, LONG);
    let waits = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await.unwrap() }
    });
    in_line(&lock, 1).await;
    killed.kill().await.unwrap();
    let began = Instant::now();
    // It would be in line for half of its own place before it looks again, were it not for the holder's time.
    let guard = tokio::time::timeout(LONG / 10, waits).await.unwrap().unwrap();
    println!("a lock of {lease:?} was the next one's {:?} after the kill", began.elapsed());
    assert!(!guard.is_lost());
}

#[tokio::test]
async fn a_waiter_that_stands_still_costs_its_grant_and_gets_its_turn_later() {
    let server = TestServer::start().await.unwrap();
    let (one, two) = (patient(&server.url(), "x").await, patient(&server.url(), "x").await);
    let (here, there) = (lock(&one, LONG), lock(&two, LONG));
    let guard = here.acquire().await.unwrap();
    let first = guard.fence();
    let mut stopped = spawn("holder", &server, LONG);
    in_line(&here, 1).await;
    stopped.pause().unwrap();
    let waits = tokio::spawn(async move { there.acquire().await.unwrap() });
    in_line(&here, 2).await;
    let began = Instant::now();
    assert_eq!(guard.release().await.unwrap(), Released::Done);
    // The renewal of a place comes after 15 seconds only: who handed it over looks before.
    let second = tokio::time::timeout(LONG / 10, waits).await.unwrap().unwrap();
    println!("passed over after {:?}", began.elapsed());
    stopped.resume().unwrap();
    in_line(&here, 1).await;
    let fence = second.fence();
    assert_eq!(second.release().await.unwrap(), Released::Done);
    let third = stopped.line_starting_within(LONG, "holds").await.unwrap();
    let third: u64 = third.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(first < fence && fence < third);
}
