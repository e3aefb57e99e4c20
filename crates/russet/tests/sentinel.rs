//! The same handle behind sentinels: who the primary is, and that nobody speaks to one that was replaced.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::error::Error;
use std::time::{Duration, Instant};

use russet::testing::{TestCertificates, TestSentinel, eventually};
use russet::{Advice, BoxError, Cache, ErrorKind, Russet, RussetBuilder, raw};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);
/// How long after the sentinels agreed calls are answered again.
const RECOVERY: Duration = Duration::from_secs(2);
/// How long a handle may speak to a primary that was replaced.
const STALE: Duration = Duration::from_secs(1);

fn builder(sentinel: &TestSentinel) -> RussetBuilder {
    let builder = Russet::builder().url(sentinel.url()).timeout(Duration::from_millis(500));
    // Starting a handle is not what these tests are about.
    builder.connect_timeout(Duration::from_secs(5))
}

async fn increment(russet: &Russet) -> Result<i64, russet::Error> {
    match raw::command(russet, &["INCR", "n"]).await? {
        raw::Value::Int(count) => Ok(count),
        other => panic!("INCR answered {other:?}"),
    }
}

/// Waits until the sentinels agree on another primary than this one.
async fn replaced(sentinel: &TestSentinel, old: usize) -> usize {
    eventually(LONG, async || match sentinel.primary().await {
        Ok(new) if new != old => Ok(new),
        other => Err(format!("{other:?}")),
    })
    .await
}

#[tokio::test]
async fn the_primary_is_found_and_one_connection_goes_to_it() -> Outcome {
    let settings = TestSentinel::builder().password("s3cret").sentinel_password("sentinel");
    let sentinel = settings.start().await?;
    let builder = || builder(&sentinel).sentinel_password("sentinel");
    let russet = builder().connect().await?;
    assert_eq!(increment(&russet).await?, 1);
    assert_eq!(russet.health().await?.role, "master");
    let clients = sentinel.server(0).command(&["CLIENT", "LIST", "TYPE", "normal"]).await?;
    let names = clients.text().unwrap_or_default();
    let ours = names
        .lines()
        .filter(|line| line.contains(" cmd=incr ") || line.contains(" cmd=info "))
        .count();
    assert_eq!(ours, 1, "{names}");

    let error = self::builder(&sentinel).connect().await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");
    let error = builder().password("guess").connect().await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");
    let other = sentinel.url().replace("/main", "/other");
    let error = builder().url(other).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    Ok(())
}

#[tokio::test]
async fn one_sentinel_of_three_is_enough() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    sentinel.sentinels()[0].kill().await?;
    sentinel.sentinels()[1].pause()?;
    let russet = builder(&sentinel).connect_timeout(LONG).connect().await?;
    assert_eq!(increment(&russet).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_dead_primary_is_followed_by_the_next_one() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    let russet = builder(&sentinel).connect().await?;
    assert_eq!(increment(&russet).await?, 1);
    sentinel.server(0).command(&["WAIT", "1", "1000"]).await?;
    sentinel.server(0).kill().await?;
    assert_eq!(replaced(&sentinel, 0).await, 1);
    let agreed = Instant::now();
    let count = eventually(LONG, async || increment(&russet).await).await;
    println!("answered {:?} after the sentinels agreed", agreed.elapsed());
    assert!(agreed.elapsed() < RECOVERY, "{:?}", agreed.elapsed());
    assert_eq!(count, 2);
    assert_eq!(sentinel.server(1).command(&["GET", "n"]).await?.int(), Some(2));
    Ok(())
}

#[tokio::test]
async fn a_second_after_a_failover_by_hand_nobody_writes_to_the_old_primary() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    let russet = builder(&sentinel).connect().await?;
    increment(&russet).await?;
    sentinel.fail_over().await?;
    let mut agreed: Option<Instant> = None;
    let mut written = 0;
    while agreed.is_none_or(|at| at.elapsed() < STALE) {
        match increment(&russet).await {
            Ok(_) => written += 1,
            Err(error) => {
                let kinds = [ErrorKind::Refused, ErrorKind::Unreachable, ErrorKind::Unknown];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        }
        if agreed.is_none() && sentinel.primary().await.is_ok_and(|primary| primary == 1) {
            agreed = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stored = async || sentinel.server(1).command(&["GET", "n"]).await.map(|reply| reply.int());
    let before = stored().await?.unwrap_or_default();
    println!(
        "{} of {written} writes are gone: Sentinel promotes before it demotes",
        written + 1 - before
    );
    for n in 1..=50 {
        assert_eq!(increment(&russet).await?, before + n);
    }
    assert_eq!(stored().await?, Some(before + 50));
    Ok(())
}

#[tokio::test]
async fn a_primary_that_hung_and_was_replaced_serves_nobody_when_it_wakes() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    let (stays, comes) = (builder(&sentinel).connect().await?, builder(&sentinel).connect().await?);
    increment(&stays).await?;
    increment(&comes).await?;
    sentinel.server(0).command(&["WAIT", "1", "1000"]).await?;
    sentinel.server(0).pause()?;
    assert_eq!(replaced(&sentinel, 0).await, 1);
    let count = eventually(LONG, async || increment(&comes).await).await;
    // This handle has not called since: to the kernel its connection to the old primary is as good as ever.
    sentinel.server(0).resume()?;
    let woken = Instant::now();
    while woken.elapsed() < 2 * STALE {
        match raw::command(&stays, &["GET", "n"]).await {
            Ok(value) if value.clone().into_text() == Some(count.to_string()) => {}
            other => assert!(woken.elapsed() < STALE, "{other:?} after {:?}", woken.elapsed()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(increment(&stays).await?, count + 1);
    Ok(())
}

#[tokio::test]
async fn messages_come_from_the_new_primary() -> Outcome {
    let sentinel = TestSentinel::start().await?;
    let (one, two) = (builder(&sentinel).connect().await?, builder(&sentinel).connect().await?);
    let cache = |russet| Cache::<u64, u64>::builder(russet, "users").fill_lease(LONG).build();
    let (here, there) = (cache(&one)?, cache(&two)?);
    let hand_over = async |n: u64| {
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let (leads, waits) = (here.clone(), there.clone());
        let leader = tokio::spawn(async move {
            let load = async || {
                let _ = started.send(());
                let _ = may_go_on.await;
                Ok::<_, BoxError>(n)
            };
            leads.get_with(&n, load).await
        });
        let _ = has_started.await;
        let waiter =
            tokio::spawn(async move { waits.get_with(&n, async || Ok::<_, BoxError>(0)).await });
        let waiters = format!("*:waiters:{n}");
        eventually(LONG, async || {
            let primary = sentinel.primary().await.map_err(|error| error.to_string())?;
            let lists = sentinel.server(primary).command(&["KEYS", &waiters]).await;
            match lists.map_err(|error| error.to_string())?.list() {
                [] => Err("nobody waits".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        go_on.send(()).ok();
        let started = Instant::now();
        let values = (leader.await??, waiter.await??);
        Ok::<_, Box<dyn Error>>((values, started.elapsed()))
    };
    assert_eq!(hand_over(1).await?.0, (1, 1));
    sentinel.server(0).pause()?;
    replaced(&sentinel, 0).await;
    for russet in [&one, &two] {
        eventually(LONG, async || increment(russet).await).await;
    }
    for n in 2..5 {
        let (values, took) = hand_over(n).await?;
        assert_eq!(values, (n, n));
        assert!(took < Duration::from_secs(2), "woken by a timer after {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn sentinels_and_servers_speak_tls() -> Outcome {
    let certificates = TestCertificates::new()?;
    let sentinel = match TestSentinel::builder().tls(&certificates).password("s3cret").start().await
    {
        Ok(sentinel) => sentinel,
        Err(error) if error.to_string().contains("Failed finding TLS support") => {
            println!("not run: this server is built without TLS");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let russet = builder(&sentinel).ca_file(certificates.authority()).connect().await?;
    assert_eq!(increment(&russet).await?, 1);
    sentinel.server(0).command(&["WAIT", "1", "1000"]).await?;
    sentinel.server(0).kill().await?;
    replaced(&sentinel, 0).await;
    assert_eq!(eventually(LONG, async || increment(&russet).await).await, 2);
    Ok(())
}
