//! A lock by the votes of five servers, of which some are down, stand still or hang.

#![cfg(feature = "lock")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use russet::testing::{Proxy, TestServer, eventually};
use russet::{ErrorKind, Extended, NoMajority, NodeVote, Redlock, Released, Russet};
use support::patient;

const LONG: Duration = Duration::from_secs(60);
/// A server that answers has this long, on a machine with other work too.
const PATIENT: Duration = Duration::from_secs(10);

struct Five {
    servers: Vec<TestServer>,
    nodes: Vec<Russet>,
}

impl Five {
    async fn start() -> Self {
        let (mut servers, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let server = TestServer::start().await.unwrap();
            nodes.push(patient(&server.url(), "five").await);
            servers.push(server);
        }
        Self { servers, nodes }
    }

    fn redlock(&self, name: &str) -> Redlock {
        let builder = Redlock::builder(&self.nodes, name).lease(LONG).node_timeout(PATIENT);
        builder.build().unwrap()
    }

    /// How many servers have a vote of this lock.
    async fn votes(&self, name: &str) -> usize {
        let key = format!("five:{{redlock:{name}}}:vote");
        let mut votes = 0;
        for server in &self.servers {
            votes += server.command(&["EXISTS", &key]).await.unwrap().int().unwrap() as usize;
        }
        votes
    }

    async fn no_votes(&self, name: &str) {
        eventually(LONG, async || match self.votes(name).await {
            0 => Ok(()),
            votes => Err(format!("{votes} votes")),
        })
        .await;
    }
}

#[tokio::test]
async fn a_majority_gives_it_and_all_get_it_back() {
    let five = Five::start().await;
    let lock = five.redlock("all");
    let guard = lock.acquire().await.unwrap();
    assert_eq!(five.votes("all").await, 5);
    assert!(guard.validity() > LONG / 2 && guard.validity() < LONG && !guard.is_lost());
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(!guard.is_lost(), "who did not get it took nothing away");
    assert_eq!(guard.extend(2 * LONG).await.unwrap(), Extended::Done);
    assert!(guard.validity() > LONG);
    assert_eq!(guard.release().await.unwrap(), Released::Done);
    assert_eq!(five.votes("all").await, 0);
    assert!(!lock.with(async |held| held.is_lost()).await.unwrap());
    drop(lock.try_acquire().await.unwrap().expect("it is free"));
    five.no_votes("all").await;
}

#[tokio::test]
async fn two_of_five_down_are_survived_and_three_are_named() {
    let five = Five::start().await;
    let lock = Redlock::builder(&five.nodes, "down").lease(LONG).build().unwrap();
    for server in &five.servers[..2] {
        server.kill().await.unwrap();
    }
    // Each of the others is given 50 ms, which a busy machine may miss: then there is a next try.
    let guard = lock.try_acquire_for(LONG).await.unwrap().expect("three of five");
    assert!(!guard.is_lost());
    five.servers[2].kill().await.unwrap();
    let error = guard.extend(LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(!guard.is_lost(), "what was given stays ours until its time ends");
    let error = lock.try_acquire().await.unwrap_err();
    let source = error.source().unwrap().downcast_ref::<NoMajority>().unwrap();
    assert_eq!((source.votes.len(), source.needed), (5, 3));
    for vote in &source.votes[..3] {
        assert!(matches!(vote, NodeVote::Failed(_) | NodeVote::TimedOut(_)), "{vote:?}");
    }
    for number in 1..=5 {
        assert!(error.to_string().contains(&format!("server {number}: ")), "{error}");
    }
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_time_once() {
    let five = Five::start().await;
    let proxy = Proxy::to(&five.servers[4]).await.unwrap();
    let mut nodes = five.nodes[..4].to_vec();
    nodes.push(patient(&proxy.url(), "five").await);
    let lock = Redlock::builder(&nodes, "hangs").lease(LONG).build().unwrap();
    let pair = async || {
        let began = Instant::now();
        let guard = lock.try_acquire_for(LONG).await.unwrap().expect("a majority answers");
        let took = began.elapsed();
        let _ = guard.release().await;
        took
    };
    let least = async || {
        let mut least = LONG;
        for _ in 0..10 {
            least = least.min(pair().await);
        }
        least
    };
    let undisturbed = least().await;
    proxy.hang().await.unwrap();
    // The least of ten: what else the machine does is no part of the claim.
    let hanging = least().await;
    println!("acquire: {undisturbed:?}, with one of five hanging {hanging:?}");
    assert!(hanging <= undisturbed + Duration::from_millis(60), "{undisturbed:?}, {hanging:?}");
}

#[tokio::test]
async fn it_is_lost_when_a_majority_does_not_keep_it() {
    let five = Five::start().await;
    let lease = Duration::from_secs(3);
    let builder = Redlock::builder(&five.nodes, "lost").lease(lease).node_timeout(lease / 2);
    let lock = builder.build().unwrap();
    let guard = lock.acquire().await.unwrap();
    let take_away = async |servers: std::ops::Range<usize>| {
        for server in &five.servers[servers] {
            server.command(&["DEL", "five:{redlock:lost}:vote"]).await.unwrap();
        }
    };
    take_away(0..2).await;
    // The watchdog goes on with the other three, beyond the first lease.
    tokio::time::sleep(2 * lease).await;
    assert!(!guard.is_lost() && five.votes("lost").await == 3);
    take_away(2..3).await;
    guard.lost().await;
    let ended = guard.with(async |_| panic!("it is not begun")).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Lost);
    five.no_votes("lost").await;
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let five = Five::start().await;
    let refused = |builder: russet::RedlockBuilder| {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Invalid);
    };
    refused(Redlock::builder(&five.nodes[..2], "x"));
    refused(Redlock::builder(&[five.nodes.clone(), vec![five.nodes[0].clone()]].concat(), "x"));
    refused(Redlock::builder(&five.nodes, ""));
    refused(Redlock::builder(&five.nodes, "x").lease(Duration::ZERO));
    refused(Redlock::builder(&five.nodes, "x").node_timeout(Duration::ZERO));
    refused(Redlock::builder(&five.nodes, "x").lease(LONG).node_timeout(LONG));
}

/// Who believes to have the lock: a number that grows while somebody has it, written by that one alone.
#[derive(Default)]
struct Table {
    holders: AtomicU64,
    together: AtomicU64,
    rounds: AtomicU64,
}

/// `RUSSET_REDLOCK_SECONDS` makes it longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_have_it_while_servers_are_killed_stopped_and_cut_off() {
    let seconds = std::env::var("RUSSET_REDLOCK_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(5);
    let mut random = support::random();
    let five = Five::start().await;
    let mut proxies = Vec::new();
    for server in &five.servers {
        proxies.push(Proxy::to(server).await.unwrap());
    }
    let table = Arc::new(Table::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    let lease = Duration::from_secs(2);
    let mut callers = Vec::new();
    for _ in 0..4 {
        // Each is a process of its own, as far as the servers can tell.
        let mut nodes = Vec::new();
        for proxy in &proxies {
            nodes.push(
                Russet::builder().url(proxy.url()).namespace("five").connect().await.unwrap(),
            );
        }
        let builder = Redlock::builder(&nodes, "faults").lease(lease).node_timeout(lease / 20);
        let (lock, table) = (builder.build().unwrap(), table.clone());
        callers.push(tokio::spawn(async move {
            while Instant::now() < end {
                let Ok(Some(guard)) = lock.try_acquire_for(Duration::from_secs(1)).await else {
                    continue;
                };
                // A guard is looked at before each step: between the look and the step nothing waits.
                if !guard.is_lost() {
                    let others = table.holders.fetch_add(1, Ordering::SeqCst);
                    table.together.fetch_add(others, Ordering::SeqCst);
                    tokio::select! {
                        () = guard.lost() => {}
                        () = tokio::time::sleep(Duration::from_millis(5)) => {}
                    }
                    table.holders.fetch_sub(1, Ordering::SeqCst);
                    table.rounds.fetch_add(1, Ordering::SeqCst);
                }
                let _ = guard.release().await;
            }
        }));
    }
    let mut faults = 0;
    while Instant::now() < end {
        // A minority at a time. A killed server keeps its data, or it could vote twice: the lock does not promise that.
        let server = random.random_range(0..5);
        let time = Duration::from_millis(random.random_range(50..300));
        match random.random_range(0..3) {
            0 => {
                five.servers[server].pause().unwrap();
                tokio::time::sleep(time).await;
                five.servers[server].resume().unwrap();
            }
            1 => {
                proxies[server].hang().await.unwrap();
                tokio::time::sleep(time).await;
                proxies[server].heal().await.unwrap();
            }
            _ => {
                // Longer than a lease: what it forgot has ended.
                five.servers[server].kill().await.unwrap();
                tokio::time::sleep(lease).await;
                five.servers[server].restart().await.unwrap();
            }
        }
        faults += 1;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let (rounds, together) =
        (table.rounds.load(Ordering::SeqCst), table.together.load(Ordering::SeqCst));
    println!("{faults} faults in {seconds} s, held {rounds} times, {together} times by two");
    assert!(rounds > 0 && together == 0, "{rounds} {together}");
}
