//! Processes that put and flush are killed and stopped at any moment, and so is the server.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russet::testing::{
    TestServer, WorkerProcess, eventually, worker_env, worker_receive, worker_report,
};
use russet::{BoxError, Cache, Loader, Russet, Write, WritePolicy, Writer};

use crate::sql::SqlTable;
use crate::support::{Ground, needs_one_server};
use crate::table::name;
use crate::{LONG, Outcome};

const SLOTS: u64 = 3;
const KEYS: u64 = 40;

fn users<T>(
    russet: &Russet,
    table: &T,
    linger: Duration,
) -> Result<Cache<u64, String>, russet::Error>
where
    T: Loader<u64, String> + Writer<u64, String> + Clone,
{
    Cache::builder(russet, "users")
        .loader(table.clone())
        .writer(table.clone())
        .write_policy(WritePolicy::Behind)
        .linger(linger)
        .flush_lease(Duration::from_secs(1))
        .build()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Puts growing numbers to the keys of its slot, and writes down what it tries and what was acknowledged.
#[test]
fn putting_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    let (database, log) = (worker_env("DATABASE").unwrap(), worker_env("LOG").unwrap());
    let of = |name: &str| worker_env(name).unwrap().parse::<u64>().unwrap();
    let (slot, first, puts) = (of("SLOT"), of("FIRST"), of("PUTS"));
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(
        async {
            let russet = Russet::connect(&url).await?;
            let table = SqlTable::open(Path::new(&database)).await?;
            let users = users(&russet, &table, Duration::from_millis(100))?;
            let mut log = OpenOptions::new().append(true).create(true).open(log)?;
            worker_report("ready");
            let mut done = 0;
            for n in first.. {
                if done >= puts {
                    break;
                }
                let ids: Vec<u64> = (0..KEYS).map(|key| slot * KEYS + key).collect();
                let value = name(n);
                writeln!(log, "tried {n}")?;
                // One that fails may have been done in part; the next round puts all of them again.
                if users.put_many(ids.iter().map(|id| (id, &value))).await.is_ok() {
                    writeln!(log, "put {n}")?;
                    done += KEYS;
                }
            }
            worker_report("done");
            // Its flusher goes on until it is killed.
            std::future::pending::<Outcome>().await
        },
    )
}

/// What a slot has tried last and what was acknowledged last, and how many rounds were acknowledged.
fn read_log(log: &Path) -> (u64, u64, u64) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let of = |word: &str| {
        // The last line may be cut off.
        let lines = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.filter_map(|number| number.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let (tried, put) = (of("tried"), of("put"));
    (
        tried.last().copied().unwrap_or_default(),
        put.last().copied().unwrap_or_default(),
        put.len() as u64,
    )
}

#[tokio::test]
async fn killed_processes_lose_no_acknowledged_put() -> Outcome {
    let puts = number("RUSSET_BEHIND_PUTS", 20_000);
    let server = Ground::start().await?;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("users.sqlite");
    let table = SqlTable::open(&database).await?;
    let log = |slot: u64| -> PathBuf { folder.path().join(format!("slot-{slot}.log")) };
    let start = |slot: u64| {
        let (tried, _, rounds) = read_log(&log(slot));
        let left = (puts / SLOTS).saturating_sub(rounds * KEYS);
        WorkerProcess::spawn(
            "crash::putting_process",
            &[
                ("REDIS", server.url().as_str()),
                ("DATABASE", database.to_str().unwrap()),
                ("LOG", log(slot).to_str().unwrap()),
                ("SLOT", &slot.to_string()),
                ("FIRST", &(tried + 1).to_string()),
                ("PUTS", &left.to_string()),
            ],
        )
    };
    let mut workers = Vec::new();
    for slot in 0..SLOTS {
        workers.push(start(slot)?);
    }
    let seed = number("RUSSET_SEED", u64::from(std::process::id()));
    println!("RUSSET_SEED={seed}");
    let mut random = seed;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut kills = 0;
    let complete = |slot: u64| read_log(&log(slot)).2 * KEYS >= puts / SLOTS;
    while !(0..SLOTS).all(complete) {
        let slot = next(SLOTS);
        // It has begun, and is somewhere in the middle.
        workers[slot as usize].line_starting("ready").await?;
        tokio::time::sleep(Duration::from_millis(next(250))).await;
        workers[slot as usize].kill().await?;
        kills += 1;
        workers[slot as usize] = start(slot)?;
    }
    for worker in &workers {
        worker.kill().await?;
    }
    // What is left is taken over from the dead, after their leases.
    let russet = Russet::connect(&server.url()).await?;
    let rest = users(&russet, &table, Duration::from_millis(10))?;
    assert_eq!(tokio::time::timeout(LONG, rest.flush()).await??.dead, 0);
    let mut acknowledged = 0;
    for slot in 0..SLOTS {
        let (tried, put, rounds) = read_log(&log(slot));
        acknowledged += rounds * KEYS;
        for id in slot * KEYS..(slot + 1) * KEYS {
            let stored: u64 = table.name(id).await?.unwrap_or_default().parse()?;
            assert!(
                (put..=tried).contains(&stored),
                "key {id}: {put} was acknowledged last, {tried} was tried last, the store has {stored}"
            );
            assert_eq!(rest.get(&id).await?, Some(name(stored)));
        }
    }
    let statements = table.statements().await? as u64;
    println!("{acknowledged} puts acknowledged, {kills} kills, {statements} statements");
    assert!(acknowledged >= puts && kills >= 2, "{acknowledged} puts, {kills} kills");
    assert!(statements * 5 <= acknowledged, "{statements} statements for {acknowledged} puts");
    Ok(())
}

/// Flushes, and stops in the middle of each batch until it is told to go on.
#[test]
fn hesitating_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    let database = worker_env("DATABASE").unwrap();
    let guarded = worker_env("MUTANT").is_none();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(
        async {
            let russet = Russet::connect(&url).await?;
            let table = SqlTable::open(Path::new(&database)).await?;
            let table = if guarded { table } else { table.unguarded() };
            let _users = users(&russet, &Hesitant(table), Duration::from_millis(10))?;
            worker_report("ready");
            std::future::pending::<Outcome>().await
        },
    )
}

#[derive(Clone)]
struct Hesitant(SqlTable);

impl Loader<u64, String> for Hesitant {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        self.0.load(id).await
    }
}

impl Writer<u64, String> for Hesitant {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        worker_report("claimed");
        tokio::task::spawn_blocking(worker_receive).await??;
        let outcome = self.0.write(write).await;
        worker_report("written");
        outcome
    }
}

/// A flusher claims "old" and stands still; another one writes "new"; then the first goes on. What is in the row?
async fn row_after_a_take_over(environment: &[(&str, &str)]) -> Result<Option<String>, BoxError> {
    let server = Ground::start().await?;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("users.sqlite");
    let table = SqlTable::open(&database).await?;
    let russet = Russet::connect(&server.url()).await?;
    // Flushes only when it is asked to.
    let users = users(&russet, &table, Duration::from_secs(60))?;
    let url = server.url();
    let environment =
        [environment, &[("REDIS", url.as_str()), ("DATABASE", database.to_str().unwrap())]]
            .concat();
    let mut slow = WorkerProcess::spawn("crash::hesitating_process", &environment)?;
    slow.line_starting("ready").await?;
    users.put(&1, &name("old")).await?;
    slow.line_starting("claimed").await?;
    slow.pause()?;
    users.put(&1, &name("new")).await?;
    tokio::time::timeout(LONG, users.flush()).await??;
    assert_eq!(table.name(1).await?.as_deref(), Some("new"));
    slow.resume()?;
    slow.send("go on")?;
    slow.line_starting("written").await?;
    slow.kill().await?;
    tokio::time::timeout(LONG, users.flush()).await??;
    Ok(table.name(1).await?)
}

#[tokio::test]
async fn a_flusher_that_was_taken_over_writes_no_older_row() -> Outcome {
    assert_eq!(row_after_a_take_over(&[]).await.unwrap().as_deref(), Some("new"));
    Ok(())
}

#[tokio::test]
async fn without_the_guard_in_the_statement_it_would() -> Outcome {
    let row = row_after_a_take_over(&[("MUTANT", "no guard")]).await.unwrap();
    assert_eq!(row.as_deref(), Some("old"), "the check above could not fail");
    Ok(())
}

#[tokio::test]
async fn a_flusher_killed_in_the_middle_of_a_batch_loses_nothing() -> Outcome {
    let server = Ground::start().await?;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("users.sqlite");
    let table = SqlTable::open(&database).await?;
    let russet = Russet::connect(&server.url()).await?;
    let users = users(&russet, &table, Duration::from_secs(60))?;
    let (url, file) = (server.url(), database.to_str().unwrap());
    let environment = [("REDIS", url.as_str()), ("DATABASE", file)];
    let mut killed = WorkerProcess::spawn("crash::hesitating_process", &environment)?;
    killed.line_starting("ready").await?;
    let names: Vec<_> = (0..20_u64).map(name).collect();
    let ids: Vec<u64> = (0..20).collect();
    users.put_many(ids.iter().zip(&names)).await?;
    killed.line_starting("claimed").await?;
    killed.kill().await?;
    tokio::time::timeout(LONG, users.flush()).await??;
    for id in 0..20 {
        assert_eq!(table.name(id).await?, Some(name(id)));
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_server_that_syncs_each_write_loses_no_acknowledged_put() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::builder().append_only().start().await?;
    let folder = tempfile::tempdir()?;
    let table = SqlTable::open(&folder.path().join("users.sqlite")).await?;
    let russet = Russet::connect(&server.url()).await?;
    let users = users(&russet, &table, Duration::from_millis(20))?;
    let writer = users.clone();
    let (over, is_over) = tokio::sync::watch::channel(false);
    let putting = tokio::spawn(async move {
        let (mut acknowledged, mut n) = (HashMap::new(), 0);
        while !*is_over.borrow() {
            n += 1;
            let id = n % 50;
            match writer.put(&id, &name(n)).await {
                Ok(_) => {
                    acknowledged.insert(id, n);
                }
                // Not at full speed.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        (acknowledged, n)
    });
    for _ in 0..3 {
        let before = users.stats().queued;
        eventually(LONG, async || match users.stats().queued - before {
            enough if enough > 100 => Ok(()),
            few => Err(format!("{few} puts")),
        })
        .await;
        server.kill().await?;
        server.restart().await?;
    }
    over.send_replace(true);
    let (acknowledged, tried) = putting.await?;
    eventually(LONG, async || match users.flush().await {
        Ok(flushed) => Ok(flushed),
        Err(error) => Err(error.to_string()),
    })
    .await;
    for (id, put) in acknowledged {
        let stored: u64 = table.name(id).await?.unwrap_or_default().parse()?;
        assert!(
            (put..=tried).contains(&stored),
            "key {id}: {put} was acknowledged, the store has {stored}"
        );
    }
    Ok(())
}
