//! SIGKILL at random moments under load: what was acknowledged is still there.
//!
//! `RUSSET_CRASH_ROUNDS` sets the number of rounds, 5 by default.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod history;
mod load;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use russet::testing::{WorkerProcess, eventually};

use load::Load;
use support::program::{DataFolder, Serve, ended, signal};

/// Random moments; `RUSSET_TEST_SEED` chooses the same ones again, as far as a running program allows it.
fn random() -> StdRng {
    let given = std::env::var("RUSSET_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("RUSSET_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Ends when this many more writes were acknowledged.
async fn acknowledged(load: &Load, more: u64) {
    let mut count = load.acknowledged.subscribe();
    let target = *count.borrow() + more;
    let reached =
        tokio::time::timeout(Duration::from_secs(20), count.wait_for(|count| *count >= target))
            .await;
    assert!(reached.is_ok(), "fewer than {more} writes were acknowledged in 20 seconds");
}

/// Kills the private server, if russet is not just starting it again.
fn kill_server(folder: &DataFolder) -> u32 {
    let servers = folder.servers();
    servers.iter().for_each(|pid| signal(*pid, "KILL"));
    servers.len() as u32
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_no_acknowledged_write() {
    killed_at_any_moment("around", rounds(5)).await;
}

/// Short: what is queued is in the hands of the library, whose own tests kill it more often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_writes_are_queued_it_loses_no_acknowledged_write() {
    killed_at_any_moment("behind", rounds(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_writes_through_it_loses_no_acknowledged_write() {
    killed_at_any_moment("through", rounds(2)).await;
}

fn rounds(default: u32) -> u32 {
    std::env::var("RUSSET_CRASH_ROUNDS").map_or(default, |rounds| rounds.parse().expect("a number"))
}

async fn killed_at_any_moment(policy: &str, rounds: u32) {
    let settings = ["--user-writes", policy];
    let mut random = random();
    let folder = DataFolder::new();
    let load = Load::new(policy == "behind");
    let (mut lost, mut server_kills, mut starts, mut slowest) = (Vec::new(), 0, 0, Duration::ZERO);
    let mut newest = load::FIRST_USERS + 1;
    for round in 0..rounds {
        if random.random_ratio(1, 5) {
            // Killed while it starts.
            let process = WorkerProcess::command(&Serve::command(&folder, &settings)).unwrap();
            let moment = Duration::from_millis(random.random_range(0..300));
            let _ = tokio::time::timeout(moment, process.wait()).await;
            process.kill().await.unwrap();
        }
        let begin = Instant::now();
        let serve = started(&Serve::command(&folder, &settings), policy).await;
        slowest = slowest.max(begin.elapsed());
        starts += 1;
        lost.extend(
            load.check(&serve, newest)
                .await
                .into_iter()
                .map(|what| format!("round {round}: {what}")),
        );
        assert_eq!(folder.servers().len(), 1, "round {round}");
        newest = newest_user(&serve).await + 1;

        let mut callers = load.start(serve.address, round);
        acknowledged(&load, random.random_range(1..400)).await;
        let both = random.random_ratio(1, 2);
        if both {
            server_kills += kill_server(&folder);
            if random.random() {
                // Users are still written meanwhile, and the server comes back or is about to.
                acknowledged(&load, random.random_range(1..200)).await;
            }
        }
        serve.kill().await;
        if both && random.random() {
            server_kills += kill_server(&folder);
        }
        while let Some(caller) = callers.join_next().await {
            caller.expect("a caller does not panic");
        }
    }
    let serve = started(&Serve::command(&folder, &settings), policy).await;
    lost.extend(load.check(&serve, load::FIRST_USERS + 1).await);
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0], "nothing is left running");

    let history = load.history.lock().unwrap();
    println!(
        "{rounds} rounds, {} writes acknowledged, {} of unknown fate, {} lost or old; the private server was killed \
         {server_kills} times, the slowest of {starts} starts took {slowest:?}",
        history.acknowledged,
        history.unknown,
        lost.len(),
    );
    assert!(history.acknowledged > u64::from(rounds), "the load was one");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// A program that answers, with everything in the database that an earlier one had queued: the check reads it there. An
/// orderly stop waits for that, and says when it has not come to its end.
async fn started(command: &Command, policy: &str) -> Serve {
    if policy != "behind" {
        return Serve::run(command).await;
    }
    for _ in 0..5 {
        let serve = Serve::run(command).await;
        serve.process.terminate().unwrap();
        assert!(ended(&serve.process).await.success());
        if !serve.process.output().contains("queued users were not") {
            return Serve::run(command).await;
        }
    }
    panic!("the queue is not flushed");
}

async fn newest_user(serve: &Serve) -> i64 {
    // Ids have no gaps here, since nobody deletes.
    let users = serve.get("/api/overview").await.json()["database"]["users"].as_i64();
    users.expect("a number of users")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_was_set_back_is_noticed() {
    let folder = DataFolder::new();
    let load = Load::new(false);
    for round in 0..2 {
        let serve = Serve::start(&folder).await;
        assert_eq!(load.check(&serve, load::FIRST_USERS + 1).await, [""; 0]);
        let mut callers = load.start(serve.address, round);
        acknowledged(&load, 100).await;
        serve.kill().await;
        while callers.join_next().await.is_some() {}
        kill_server(&folder);
        eventually(Duration::from_secs(10), async || match folder.servers().len() {
            0 => Ok(()),
            left => Err(format!("{left} servers")),
        })
        .await;
        if round == 0 {
            copy(folder.path(), &folder.beside("copy"));
        }
    }
    std::fs::remove_dir_all(folder.path()).unwrap();
    copy(&folder.beside("copy"), folder.path());

    let serve = Serve::start(&folder).await;
    let wrong = load.check(&serve, load::FIRST_USERS + 1).await;
    for kind in ["user ", "views is ", "crash0 is "] {
        assert!(wrong.iter().any(|what| what.starts_with(kind)), "{kind} is not in {wrong:?}");
    }
    assert!(serve.stop().await.success());
}

/// Copies a folder of files and folders; a socket is left out.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
