//! What a write had reached when it was acknowledged, and what is lost with a primary.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{TestCluster, TestSentinel, TestServer, eventually};
use russet::{Durability, ErrorKind, Russet, raw};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

fn replicated(replicas: u32, timeout: Duration) -> Durability {
    Durability::Replicated { replicas, timeout }
}

async fn connections(server: &TestServer) -> Result<usize, Box<dyn Error>> {
    let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).await?;
    // Without the one that asks.
    Ok(clients.text().unwrap_or_default().lines().count() - 1)
}

#[tokio::test]
async fn a_write_says_how_many_replicas_have_it() -> Outcome {
    let primary = TestServer::start().await?;
    let address = ([127, 0, 0, 1], primary.port().unwrap_or_default()).into();
    let russet = Russet::connect(&primary.url()).await?;
    let patience = Duration::from_millis(200);
    let one = russet.durability(replicated(1, patience));

    let started = Instant::now();
    let (value, alone) = raw::durable(&one, &["INCR", "n"]).await?;
    assert!(started.elapsed() >= patience);
    assert_eq!((value, alone.replicas, alone.in_full), (raw::Value::Int(1), 0, false));

    let replica = TestServer::builder().replica_of(address).start().await?;
    // A server that never had a replica counts one that is still loading.
    eventually(LONG, async || {
        let state = replica.command(&["INFO", "replication"]).await.map_err(|e| e.to_string())?;
        let state = state.text().unwrap_or_default();
        if state.contains("master_link_status:up") { Ok(()) } else { Err(state.to_owned()) }
    })
    .await;
    let (value, reached) =
        raw::durable(&russet.durability(replicated(1, LONG)), &["INCR", "n"]).await?;
    assert!(reached.in_full && reached.replicas == 1, "{reached:?}");
    let there = replica.command(&["GET", "n"]).await?.int();
    assert_eq!(value, raw::Value::Int(there.unwrap_or_default()), "on the replica when it is told");

    let two = russet.durability(replicated(2, patience));
    let (_, reached) = raw::durable(&two, &["INCR", "n"]).await?;
    assert!(reached.replicas <= 1 && !reached.in_full, "{reached:?}");
    let (_, reached) = raw::durable(&russet, &["INCR", "n"]).await?;
    assert!(reached.in_full, "the server's default is reached by its answer");
    Ok(())
}

#[tokio::test]
async fn a_write_says_whether_it_is_on_the_disk() -> Outcome {
    let synced = async |server: &TestServer| {
        let russet = Russet::connect(&server.url()).await?.durability(Durability::Synced);
        let (value, reached) = raw::durable(&russet, &["INCR", "n"]).await?;
        assert_eq!((value, reached.in_full), (raw::Value::Int(1), reached.synced));
        Ok::<_, russet::Error>(reached.synced)
    };
    let always = TestServer::builder().append_only().start().await?;
    assert!(synced(&always).await?);
    always.kill().await?;
    always.restart().await?;
    assert_eq!(always.command(&["GET", "n"]).await?.int(), Some(1));
    assert!(!synced(&TestServer::start().await?).await?, "there is no file");
    Ok(())
}

#[tokio::test]
async fn a_write_that_waits_holds_up_nobody_and_its_connection_is_its_own() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    assert_eq!(connections(&server).await?, 1);
    let wait = Duration::from_millis(500);
    let durable = russet.durability(replicated(1, wait));
    raw::command(&durable, &["PING"]).await?;
    assert_eq!(connections(&server).await?, 1, "opened when a write needs it");
    let started = Instant::now();
    let waiting = tokio::spawn(async move { raw::durable(&durable, &["INCR", "n"]).await });
    eventually(LONG, async || {
        let value =
            raw::command(&russet, &["GET", "n"]).await.map_err(|error| error.to_string())?;
        if value == raw::Value::Text(b"1".to_vec()) { Ok(()) } else { Err("not there".to_owned()) }
    })
    .await;
    assert!(started.elapsed() < wait, "others see it, and were answered, while it waits");
    waiting.await??;
    assert_eq!(connections(&server).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_durability_of_nothing_is_refused() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    for durability in [replicated(0, LONG), replicated(1, Duration::ZERO)] {
        let durable = russet.durability(durability);
        let error = raw::durable(&durable, &["INCR", "n"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(server.command(&["EXISTS", "n"]).await?.int(), Some(0));
    Ok(())
}

#[tokio::test]
async fn each_node_of_a_cluster_waits_for_its_own_replicas() -> Outcome {
    let cluster = TestCluster::builder().replicas(1).start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let durable = russet.durability(replicated(1, LONG));
    for n in 0..20 {
        let key = format!("key-{n}");
        let (value, reached) = raw::durable(&durable, &["INCR", &key]).await?;
        assert_eq!((value, reached.replicas, reached.in_full), (raw::Value::Int(1), 1, true));
    }
    Ok(())
}

/// Writes one key after the other until the primary dies; the numbers of those that were acknowledged, and in full.
async fn write(russet: Russet, prefix: &'static str, over: Arc<AtomicBool>) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        match raw::durable(&russet, &["SET", &format!("{prefix}:{n}"), "x"]).await {
            Ok((_, reached)) if reached.in_full => acknowledged.push(n),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_behind_a_silent_link_loses_only_what_did_not_wait() -> Outcome {
    let sentinel = TestSentinel::builder().replication_proxied().start().await?;
    let connect = || Russet::builder().url(sentinel.url()).timeout(Duration::from_millis(500));
    let fast = connect().connect().await?;
    let safe = connect().connect().await?.durability(replicated(1, Duration::from_millis(200)));
    let over = Arc::new(AtomicBool::new(false));
    let fast = tokio::spawn(write(fast, "fast", over.clone()));
    let safe = tokio::spawn(write(safe, "safe", over.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    sentinel.replication(1).hang().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    sentinel.server(0).kill().await?;
    over.store(true, Ordering::Relaxed);
    let (fast, safe) = (fast.await?, safe.await?);
    eventually(LONG, async || match sentinel.primary().await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut lost = [0, 0];
    for (at, (prefix, numbers)) in [("fast", &fast), ("safe", &safe)].into_iter().enumerate() {
        for batch in numbers.chunks(500) {
            let keys: Vec<_> = batch.iter().map(|n| format!("{prefix}:{n}")).collect();
            let words: Vec<_> =
                ["EXISTS"].into_iter().chain(keys.iter().map(String::as_str)).collect();
            let there = sentinel.server(1).command(&words).await?.int().unwrap_or_default();
            lost[at] += batch.len() as i64 - there;
        }
    }
    println!(
        "lost {} of {} writes that did not wait, {} of {} that waited for a replica",
        lost[0],
        fast.len(),
        lost[1],
        safe.len()
    );
    assert!(lost[0] > 0, "the link was not silent: the test shows nothing");
    assert!(safe.len() > 5, "too few waited");
    assert_eq!(lost[1], 0);
    Ok(())
}
