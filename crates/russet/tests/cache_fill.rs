//! One load in the whole fleet, and never an older value after an invalidation.

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{
    Proxy, TestServer, WorkerProcess, eventually, worker_env, worker_receive, worker_report,
};
use russet::{BoxError, Cache, ErrorKind, Russet, raw};
use support::{Ground, needs_one_server};
use tokio::sync::oneshot;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(20);

async fn fleet() -> Result<(Ground, Russet, Russet), Box<dyn Error>> {
    let server = Ground::start().await?;
    let (one, two) = (Russet::connect(&server.url()).await?, Russet::connect(&server.url()).await?);
    Ok((server, one, two))
}

fn users(russet: &Russet, lease: Duration) -> Result<Cache<str, String>, russet::Error> {
    Cache::builder(russet, "users").fill_lease(lease).build()
}

fn loaded(value: &str) -> Result<String, BoxError> {
    Ok(value.to_owned())
}

/// Ends when as many callers in other processes wait for this key.
async fn waiting(server: &Ground, key: &str, callers: i64) {
    eventually(LONG, async || {
        let pattern = format!("*:waiters:{key}");
        let lists = server.command(&["KEYS", &pattern]).await.map_err(|error| error.to_string())?;
        let list = lists.texts().first().map(|list| (*list).to_owned()).ok_or("nobody waits")?;
        let length = server.command(&["LLEN", &list]).await.map_err(|error| error.to_string())?;
        if length.int() >= Some(callers) { Ok(()) } else { Err(format!("{length:?} wait")) }
    })
    .await;
}

/// A process with many callers of one absent key, told the key by its parent.
#[test]
fn callers_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    let with_lease = worker_env("MUTANT").is_none();
    let callers: usize = worker_env("CALLERS").unwrap_or_default().parse()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(
        async {
            // Thousands of callers on two cores need their time.
            let russet = Russet::builder().url(&url).timeout(LONG).connect().await?;
            let cache = users(&russet, Duration::from_secs(5))?;
            worker_report("ready");
            while let Ok(key) = worker_receive() {
                let callers = (0..callers).map(|_| {
                    let (russet, cache, key) = (russet.clone(), cache.clone(), key.clone());
                    tokio::spawn(async move {
                        let load = async || {
                            raw::command(&russet, &["INCR", &format!("loads {key}")]).await?;
                            tokio::time::sleep(Duration::from_millis(300)).await;
                            Ok::<_, BoxError>("loaded".to_owned())
                        };
                        if with_lease {
                            return cache.get_with(&key, load).await;
                        }
                        // The mutant: look, load, store, as the textbooks have it.
                        if let Some(value) = cache.get(&key).await? {
                            return Ok(value);
                        }
                        let value = load().await.expect("the loader does not fail");
                        cache.put(&key, &value).await?;
                        Ok(value)
                    })
                });
                for caller in callers.collect::<Vec<_>>() {
                    assert_eq!(caller.await??, "loaded");
                }
                worker_report("done");
            }
            Ok(())
        },
    )
}

/// The loads that each round of so many callers in so many processes caused.
async fn loads_of_rounds(
    rounds: usize,
    processes: usize,
    callers: usize,
    environment: &[(&str, &str)],
) -> Result<Vec<i64>, Box<dyn Error>> {
    let server = Ground::start().await?;
    let (url, callers) = (server.url(), callers.to_string());
    let environment = [environment, &[("REDIS", &url), ("CALLERS", &callers)]].concat();
    let mut workers = Vec::new();
    for _ in 0..processes {
        workers.push(WorkerProcess::spawn("callers_process", &environment)?);
    }
    for worker in &mut workers {
        worker.line_starting("ready").await?;
    }
    let mut loads = Vec::new();
    for round in 0..rounds {
        let key = format!("user-{round}");
        for worker in &mut workers {
            worker.send(&key)?;
        }
        for worker in &mut workers {
            worker.line_starting("done").await?;
        }
        let counted = server.command(&["GET", &format!("loads {key}")]).await?;
        loads.push(counted.int().unwrap_or_default());
    }
    Ok(loads)
}

#[tokio::test]
async fn ten_thousand_callers_in_ten_processes_cause_one_load() -> Outcome {
    assert_eq!(loads_of_rounds(20, 10, 1_000, &[]).await?, [1; 20]);
    Ok(())
}

#[tokio::test]
async fn without_the_lease_the_same_callers_cause_many_loads() -> Outcome {
    let loads = loads_of_rounds(1, 4, 125, &[("MUTANT", "no lease")]).await?;
    assert!(loads[0] > 100, "the check above could not fail: {loads:?}");
    Ok(())
}

#[tokio::test]
async fn callers_of_one_process_share_one_flight() -> Outcome {
    let (server, russet, _) = fleet().await?;
    let cache = users(&russet, LONG)?;
    cache.get_with("warm", async || loaded("up")).await?;
    server.command(&["CONFIG", "RESETSTAT"]).await?;
    let loads = Arc::new(AtomicUsize::new(0));
    let callers = (0..1_000).map(|_| {
        let (cache, loads) = (cache.clone(), loads.clone());
        tokio::spawn(async move {
            let load = async || {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                loaded("Ada")
            };
            cache.get_with("1", load).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await??, "Ada");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(
        (server.calls("set").await?, server.calls("evalsha").await?),
        (2, 1),
        "a lease, and a fill with its SET"
    );
    Ok(())
}

#[tokio::test]
async fn a_slow_load_cannot_bring_back_an_invalidated_value() -> Outcome {
    let (_server, one, two) = fleet().await?;
    let (slow, writer) = (users(&one, LONG)?, users(&two, LONG)?);
    let (has_read, was_read) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel();
    let late = tokio::spawn(async move {
        let load = async || {
            let read = loaded("old");
            let _ = has_read.send(());
            let _ = may_go_on.await;
            read
        };
        (slow.get_with("1", load).await, slow.stats().unstored)
    });
    was_read.await?;
    // The record changes here, after it was read and before what was read is stored.
    writer.invalidate("1").await?;
    go_on.send(()).ok();
    let (old, unstored) = late.await?;
    assert_eq!((old?.as_str(), unstored), ("old", 1), "its caller asked before the change");
    assert_eq!(writer.get("1").await?, None, "a stale value was stored");
    assert_eq!(writer.get_with("1", async || loaded("new")).await?, "new");
    Ok(())
}

#[tokio::test]
async fn a_slow_load_cannot_overwrite_a_value_that_was_put() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (slow, writer) = (users(&one, LONG)?, users(&two, LONG)?);
    let (has_read, was_read) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let late = tokio::spawn(async move {
        let load = async || {
            let _ = has_read.send(());
            let _ = may_go_on.await;
            loaded("old")
        };
        slow.get_with("1", load).await
    });
    was_read.await?;
    let reader = writer.clone();
    let waiter = tokio::spawn(async move { reader.get_with("1", async || loaded("never")).await });
    waiting(&server, "1", 1).await;
    writer.put("1", &"new".into()).await?;
    assert_eq!(waiter.await??, "new", "who waits for the load is woken with what was put");
    go_on.send(()).ok();
    late.await??;
    assert_eq!(writer.get("1").await?.as_deref(), Some("new"));
    Ok(())
}

#[tokio::test]
async fn an_invalidation_lets_the_waiters_load_afresh_at_once() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (slow, other) = (users(&one, LONG)?, users(&two, LONG)?);
    let (has_read, was_read) = oneshot::channel();
    let stuck = tokio::spawn(async move {
        let load = async || {
            let _ = has_read.send(());
            std::future::pending::<()>().await;
            loaded("old")
        };
        slow.get_with("1", load).await
    });
    was_read.await?;
    let reader = other.clone();
    let waiter = tokio::spawn(async move { reader.get_with("1", async || loaded("new")).await });
    waiting(&server, "1", 1).await;
    other.invalidate("1").await?;
    assert_eq!(tokio::time::timeout(LONG / 2, waiter).await???, "new");
    stuck.abort();
    Ok(())
}

#[tokio::test]
async fn who_asks_after_an_invalidation_does_not_share_a_load_that_began_before() -> Outcome {
    let (_server, one, _) = fleet().await?;
    let cache = users(&one, LONG)?;
    let (has_read, was_read) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let early = cache.clone();
    let late = tokio::spawn(async move {
        let load = async || {
            let read = loaded("old");
            let _ = has_read.send(());
            let _ = may_go_on.await;
            read
        };
        early.get_with("1", load).await
    });
    was_read.await?;
    cache.invalidate("1").await?;
    let after = tokio::time::timeout(LONG / 2, cache.get_with("1", async || loaded("new")));
    assert_eq!(after.await??, "new");
    go_on.send(()).ok();
    assert_eq!(late.await??, "old", "its caller asked before the change");
    assert_eq!(cache.get("1").await?.as_deref(), Some("new"));
    Ok(())
}

/// How a loader can end without a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Fails,
    Panics,
    IsCancelled,
}

#[tokio::test]
async fn a_loader_that_fails_panics_or_is_cancelled_frees_its_waiters_at_once() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (here, there) = (users(&one, LONG)?, users(&two, LONG)?);
    for end in [End::Fails, End::Panics, End::IsCancelled] {
        let key: &'static str = match end {
            End::Fails => "fails",
            End::Panics => "panics",
            End::IsCancelled => "is-cancelled",
        };
        let (started, has_started) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let leader = here.clone();
        let doomed = tokio::spawn(async move {
            let load = async || {
                let _ = started.send(());
                let _ = may_go_on.await;
                assert_ne!(end, End::Panics, "as it should");
                Err::<String, _>(BoxError::from("as it should"))
            };
            leader.get_with(key, load).await
        });
        has_started.await?;
        let spawn = |cache: &Cache<str, String>, value: &'static str| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get_with(key, async || loaded(value)).await })
        };
        let (same_process, other_process) = (spawn(&here, "here"), spawn(&there, "there"));
        waiting(&server, key, 1).await;

        let freed = Instant::now();
        match end {
            End::IsCancelled => doomed.abort(),
            End::Fails | End::Panics => drop(go_on.send(())),
        }
        let elsewhere = tokio::time::timeout(LONG / 2, other_process).await???;
        let here = tokio::time::timeout(LONG / 2, same_process).await??;
        assert!(freed.elapsed() < LONG / 2, "{end:?}");
        match here {
            // The followers of a flight get its error; after a panic or a cancellation one of them leads.
            Err(error) => assert_eq!((end, error.kind()), (End::Fails, ErrorKind::Load)),
            Ok(value) => {
                assert!(value == elsewhere, "{end:?}: two values, {value} and {elsewhere}")
            }
        }
    }
    Ok(())
}

/// A process whose load never ends.
#[test]
fn stuck_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    let lease = Duration::from_millis(worker_env("LEASE").ok_or("no lease")?.parse()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let cache = users(&Russet::connect(&url).await?, lease)?;
        let load = async || {
            worker_report("loading");
            std::future::pending::<()>().await;
            loaded("never")
        };
        cache.get_with("1", load).await?;
        Ok(())
    })
}

#[tokio::test]
async fn a_load_during_which_redis_goes_away_leaves_no_lease_for_who_comes_after() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let (one, two) = (Russet::connect(&proxy.url()).await?, Russet::connect(&server.url()).await?);
    let (slow, other) = (users(&one, LONG * 2)?, users(&two, LONG * 2)?);
    let (has_read, was_read) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let early = tokio::spawn(async move {
        let load = async || {
            let _ = has_read.send(());
            let _ = may_go_on.await;
            loaded("loaded in an outage")
        };
        slow.get_with("1", load).await
    });
    was_read.await?;
    proxy.refuse().await?;
    go_on.send(()).ok();
    assert_eq!(early.await??, "loaded in an outage", "its own caller has it");
    proxy.heal().await?;
    let after = tokio::time::timeout(LONG, other.get_with("1", async || loaded("new")));
    assert_eq!(after.await??, "new", "nobody waits for a load that ended");
    Ok(())
}

#[tokio::test]
async fn a_caller_cancelled_while_it_asks_for_the_lease_leaves_none() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (early, other) = (users(&one, LONG * 2)?, users(&two, LONG * 2)?);
    // Reads are answered, and the command that takes the lease is held up.
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).await?;
    let asking = tokio::spawn(async move { early.get_with("1", async || loaded("never")).await });
    eventually(LONG, async || {
        let clients =
            server.command(&["CLIENT", "LIST"]).await.map_err(|error| error.to_string())?;
        let clients = clients.text().unwrap_or_default().to_owned();
        if clients.contains("cmd=set ") { Ok(()) } else { Err(clients) }
    })
    .await;
    asking.abort();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    server.command(&["CLIENT", "UNPAUSE"]).await?;
    let after = tokio::time::timeout(LONG, other.get_with("1", async || loaded("new")));
    assert_eq!(after.await??, "new");
    Ok(())
}

#[tokio::test]
async fn a_killed_loader_frees_its_waiters_within_the_lease() -> Outcome {
    let (server, one, _) = fleet().await?;
    let lease = Duration::from_millis(600);
    let cache = users(&one, lease)?;
    let url = server.url();
    let environment = [("REDIS", url.as_str()), ("LEASE", "600")];
    let mut worker = WorkerProcess::spawn("stuck_process", &environment)?;
    worker.line_starting("loading").await?;
    let waiter = tokio::spawn(async move { cache.get_with("1", async || loaded("next")).await });
    waiting(&server, "1", 1).await;
    worker.kill().await?;
    let killed = Instant::now();
    assert_eq!(tokio::time::timeout(LONG, waiter).await???, "next");
    assert!(killed.elapsed() < lease + Duration::from_millis(400), "{:?}", killed.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_load_that_outlasts_its_lease_keeps_it() -> Outcome {
    let (server, one, two) = fleet().await?;
    // Long enough that a busy machine does not miss a renewal.
    let lease = Duration::from_millis(600);
    let (here, there) = (users(&one, lease)?, users(&two, lease)?);
    let (started, has_started) = oneshot::channel();
    let slow = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            tokio::time::sleep(Duration::from_millis(2_000)).await;
            loaded("slow")
        };
        here.get_with("1", load).await
    });
    has_started.await?;
    assert_eq!(there.get_with("1", async || loaded("second load")).await?, "slow");
    assert_eq!(slow.await??, "slow");
    assert!(server.calls("pexpire").await? >= 3);
    Ok(())
}

#[test]
fn a_loader_that_blocks_its_only_thread_keeps_its_lease() -> Result<(), BoxError> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let server = runtime()?.block_on(Ground::start())?;
    let lease = Duration::from_millis(400);
    let (started, has_started) = std::sync::mpsc::channel();
    let url = server.url();
    let elsewhere = std::thread::spawn(move || {
        runtime()?.block_on(async {
            let there = users(&Russet::connect(&url).await?, lease)?;
            has_started.recv()?;
            Ok::<_, BoxError>(there.get_with("1", async || loaded("second load")).await?)
        })
    });
    let (value, stats) = runtime()?.block_on(async {
        let here = users(&Russet::connect(&server.url()).await?, lease)?;
        let load = async || {
            let _ = started.send(());
            // As a computation would, or a library that does not know of async.
            std::thread::sleep(2 * lease);
            loaded("slow")
        };
        Ok::<_, BoxError>((here.get_with("1", load).await?, here.stats()))
    })?;
    assert_eq!((value.as_str(), stats.unstored), ("slow", 0));
    let other = elsewhere.join().map_err(|_| "the other thread panicked")?;
    assert_eq!(other?, "slow", "the lease ended while its holder was at work");
    Ok(())
}

#[tokio::test]
async fn a_lease_whose_future_is_forgotten_ends() -> Outcome {
    let (_server, one, two) = fleet().await?;
    let lease = Duration::from_millis(100);
    let (here, there) = (users(&one, lease)?, users(&two, lease)?);
    let (started, has_started) = oneshot::channel();
    let load = async || {
        let _ = started.send(());
        std::future::pending::<()>().await;
        loaded("never")
    };
    // Polled until it has the lease, and then never again, though it is not dropped.
    let mut forgotten = Box::pin(here.get_with("1", load));
    tokio::select! {
        _ = &mut forgotten => unreachable!(),
        started = has_started => started?,
    }
    let value = tokio::time::timeout(LONG, there.get_with("1", async || loaded("next"))).await??;
    assert_eq!(value, "next");
    drop(forgotten);
    Ok(())
}

#[tokio::test]
async fn a_short_load_opens_no_connection_for_renewals() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let (server, one, _) = fleet().await?;
    let cache = users(&one, Duration::from_millis(300))?;
    let connections = async || {
        let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).await?;
        Ok::<_, Box<dyn Error>>(clients.text().unwrap_or_default().lines().count())
    };
    let before = connections().await?;
    for n in 0..20 {
        cache.get_with(&n.to_string(), async || loaded("fast")).await?;
    }
    assert_eq!(connections().await?, before);
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(250)).await;
        loaded("slow")
    };
    cache.get_with("slow", slow).await?;
    assert_eq!(connections().await?, before + 1);
    one.close().await;
    eventually(LONG, async || match connections().await.map_err(|error| error.to_string())? {
        n if n == before - 1 => Ok(()),
        n => Err(format!("{n} connections after the end, {before} before")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_waiter_sends_nothing_while_it_waits_and_is_woken_with_the_value() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (here, there) = (users(&one, LONG)?, users(&two, LONG)?);
    there.get_with("0", async || loaded("connected")).await?;
    let (started, has_started) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let slow = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            loaded("woken")
        };
        here.get_with("1", load).await
    });
    has_started.await?;
    let waiter = tokio::spawn(async move {
        russet::metered(there.get_with("1", async || loaded("second load"))).await
    });
    waiting(&server, "1", 1).await;
    go_on.send(()).ok();
    slow.await??;
    let (value, sent) = waiter.await?;
    assert_eq!(value?, "woken");
    // GET, and the script that records it. EVAL repeats it where the script is unknown yet.
    assert!((2..=3).contains(&sent.commands), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn a_value_too_large_for_the_news_is_read_by_the_woken() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (here, there) = (users(&one, LONG)?, users(&two, LONG)?);
    let large = "x".repeat(100_000);
    let (started, has_started) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let value = large.clone();
    let slow = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            loaded(&value)
        };
        here.get_with("1", load).await
    });
    has_started.await?;
    let waiter =
        tokio::spawn(async move { there.get_with("1", async || loaded("second load")).await });
    waiting(&server, "1", 1).await;
    go_on.send(()).ok();
    slow.await??;
    assert!(waiter.await?? == large);
    Ok(())
}

#[tokio::test]
async fn a_waiter_whose_messages_are_lost_looks_for_itself() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (here, there) = (users(&one, LONG)?, users(&two, LONG)?);
    let (started, has_started) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let slow = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            loaded("filled meanwhile")
        };
        here.get_with("1", load).await
    });
    has_started.await?;
    let waiter =
        tokio::spawn(async move { there.get_with("1", async || loaded("second load")).await });
    waiting(&server, "1", 1).await;
    // The message is sent to nobody: its list is gone. Then the connection for messages is cut.
    let reply = server.command(&["KEYS", "*:waiters:1"]).await?;
    server.command(&["DEL", reply.texts()[0]]).await?;
    go_on.send(()).ok();
    slow.await??;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await?;
    assert_eq!(tokio::time::timeout(LONG / 2, waiter).await???, "filled meanwhile");
    Ok(())
}

#[tokio::test]
async fn no_key_is_left_without_an_end() -> Outcome {
    let (server, one, two) = fleet().await?;
    let (here, there) = (users(&one, LONG)?, users(&two, LONG)?);
    let stuck = here.clone();
    let (started, has_started) = oneshot::channel();
    let load = async move || {
        let _ = started.send(());
        std::future::pending::<()>().await;
        loaded("never")
    };
    let leader = tokio::spawn(async move { stuck.get_with("1", load).await });
    has_started.await?;
    let waiter = tokio::spawn(async move { there.get_with("1", async || loaded("never")).await });
    waiting(&server, "1", 1).await;
    here.put("2", &"x".into()).await?;
    here.find_with("3", async || Ok::<_, BoxError>(None)).await?;
    let keys = server.command(&["KEYS", "*"]).await?;
    assert_eq!(keys.list().len(), 4, "{:?}", keys.texts());
    for key in keys.texts() {
        assert!(server.command(&["PTTL", key]).await?.int() > Some(0), "{key} never ends");
    }
    leader.abort();
    waiter.abort();
    Ok(())
}
