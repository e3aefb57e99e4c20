//! What the handle promises whatever happens to the server: an answer or a typed error by the deadline.

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestServer, eventually};
use russet::{Advice, Cache, ErrorKind, Russet, raw};
use support::beside_a_timer;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(400);
/// What a call may miss its deadline by, beyond what a plain timer misses it by.
const SLACK: Duration = Duration::from_millis(100);

async fn through(proxy: &Proxy) -> Result<Russet, russet::Error> {
    Russet::builder().url(proxy.url()).timeout(TIMEOUT).connect_timeout(TIMEOUT).connect().await
}

async fn ping(russet: &Russet) -> Result<raw::Value, russet::Error> {
    raw::command(russet, &["PING"]).await
}

async fn answers_again(russet: &Russet) {
    eventually(LONG, async || ping(russet).await).await;
}

#[tokio::test]
async fn a_server_is_reached_by_tcp_by_socket_and_with_a_password() -> Outcome {
    let servers = [
        TestServer::start().await?,
        TestServer::builder().unix_socket().start().await?,
        TestServer::builder().password("s3cret").start().await?,
        TestServer::builder().unix_socket().password("s3cret").start().await?,
    ];
    for server in &servers {
        let russet = Russet::connect(&server.url()).await?;
        let health = russet.health().await?;
        assert!(["redis", "valkey"].contains(&health.server.as_str()), "{health}");
        assert_eq!(health.role, "master");
        assert!(health.used_memory > 0 && health.commands > 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once_and_not_told() -> Outcome {
    let server = TestServer::builder().password("s3cret").start().await?;
    let wrong = Russet::builder().url(server.url()).password("guess").connect().await.unwrap_err();
    assert_eq!((wrong.kind(), wrong.advice()), (ErrorKind::Refused, Advice::GiveUp), "{wrong}");
    assert!(!wrong.to_string().contains("guess"));
    let none = server.url().replace(":s3cret@", "");
    let missing = Russet::connect(&none).await.unwrap_err();
    assert_eq!(
        (missing.kind(), missing.advice()),
        (ErrorKind::Refused, Advice::GiveUp),
        "{missing}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() -> Outcome {
    let server = TestServer::start().await?;
    server.kill().await?;
    let started = Instant::now();
    let error = Russet::connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    assert!(started.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn a_lazy_connection_is_there_when_the_server_comes() -> Outcome {
    let server = TestServer::start().await?;
    server.kill().await?;
    let russet = Russet::builder().url(server.url()).connect_lazily()?;
    assert_eq!(ping(&russet).await.unwrap_err().kind(), ErrorKind::Unreachable);
    server.restart().await?;
    answers_again(&russet).await;
    Ok(())
}

#[tokio::test]
async fn bad_settings_are_refused() -> Outcome {
    let server = TestServer::start().await?;
    let builder = || Russet::builder().url(server.url());
    let refused = [
        builder().namespace("").connect().await,
        builder().namespace("n".repeat(257)).connect().await,
        builder().timeout(Duration::ZERO).connect().await,
        builder().connect_timeout(Duration::ZERO).connect().await,
        Russet::connect("http://127.0.0.1").await,
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    }
    Ok(())
}

#[tokio::test]
async fn an_unanswered_call_ends_by_its_deadline_and_says_what_may_have_happened() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = through(&proxy).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "numbers").build()?;
    proxy.hang().await?;
    // A read, a write that may not be done twice, one that may.
    let calls = async {
        tokio::join!(russet.health(), cache.put(&1, &1).into_future(), cache.invalidate(&1))
    };
    let timed = beside_a_timer(TIMEOUT, calls).await;
    assert!(timed.took >= TIMEOUT && timed.beyond < SLACK, "{:?}", timed.took);
    let (read, put, invalidated) = timed.answer;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unknown, "a raw command may be a write");
    let put = put.unwrap_err();
    assert_eq!((put.kind(), put.advice()), (ErrorKind::Unknown, Advice::GiveUp), "{put}");
    let invalidated = invalidated.unwrap_err();
    assert_eq!(invalidated.kind(), ErrorKind::Unknown);
    assert!(matches!(invalidated.advice(), Advice::RetryAfter(_)), "{invalidated}");
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_to_a_write_is_unknown_and_the_write_is_not_repeated() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = through(&proxy).await?;
    let count = async |n: &str| raw::command(&russet, &["INCRBY", "n", n]).await;
    assert_eq!(count("1").await?, raw::Value::Int(1));
    proxy.drop_next_reply().await?;
    assert_eq!(count("10").await.unwrap_err().kind(), ErrorKind::Unknown);
    eventually(LONG, async || count("100").await).await;
    assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(111));
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_to_an_idempotent_write_is_asked_for_again() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = through(&proxy).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "numbers").build()?;
    cache.put(&1, &1).await?;
    cache.invalidate(&2).await?;
    proxy.drop_next_reply().await?;
    cache.invalidate(&1).await?;
    assert_eq!(cache.get(&1).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_is_replaced_without_an_error_to_who_comes_later() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = through(&proxy).await?;
    ping(&russet).await?;
    for _ in 0..2 {
        let before = proxy.connections();
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
        eventually(LONG, async || {
            if proxy.connections() > before { Ok(()) } else { Err("not yet connected again") }
        })
        .await;
        ping(&russet).await?;
        // Two losses within a second are no reason to give up; a third would be.
    }
    Ok(())
}

#[tokio::test]
async fn while_the_server_is_away_calls_fail_at_once_and_recover_within_two_seconds() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    server.kill().await?;
    eventually(LONG, async || {
        let started = Instant::now();
        match ping(&russet).await {
            Err(error)
                if error.kind() == ErrorKind::Unreachable
                    && started.elapsed() < Duration::from_millis(20) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?} after {:?}", started.elapsed())),
        }
    })
    .await;
    server.restart().await?;
    let back = Instant::now();
    answers_again(&russet).await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_paused_server_ends_no_call_late_and_is_used_again_when_it_goes_on() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::builder()
        .url(server.url())
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .connect()
        .await?;
    server.pause()?;
    for _ in 0..6 {
        let timed = beside_a_timer(TIMEOUT, ping(&russet)).await;
        assert!(timed.answer.is_err() && timed.beyond < SLACK, "{:?}", timed.took);
    }
    server.resume()?;
    let back = Instant::now();
    answers_again(&russet).await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_single_caller_of_a_silent_server_is_soon_refused_at_once() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    // With the usual timeouts of a second: one caller alone never fails three times within a second.
    let russet = Russet::connect(&proxy.url()).await?;
    proxy.hang().await?;
    // One call that is not answered; then, until the question that follows it is not answered either, another.
    assert!(ping(&russet).await.is_err());
    let given_up = tokio::time::timeout(Duration::from_millis(300), ping(&russet)).await;
    assert!(given_up.is_err());
    assert!(ping(&russet).await.is_err());
    let started = Instant::now();
    for _ in 0..20 {
        assert!(ping(&russet).await.is_err());
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    proxy.heal().await?;
    answers_again(&russet).await;
    Ok(())
}

#[tokio::test]
async fn no_caller_gets_the_answer_of_another_one_that_was_cancelled() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let builder = Russet::builder().url(proxy.url()).timeout(LONG).connect_timeout(LONG);
    let russet = builder.connect().await?;
    proxy.delay(Duration::from_millis(10)).await?;
    let mut cancelled = 0;
    for round in 0..50 {
        let (abandoned, expected) = (format!("abandoned {round}"), format!("expected {round}"));
        let words = ["ECHO", abandoned.as_str()];
        let gone = tokio::time::timeout(Duration::from_millis(5), raw::command(&russet, &words));
        // The delay is longer than that, but for a machine that does not get round to look.
        cancelled += u32::from(gone.await.is_err());
        let answer = raw::command(&russet, &["ECHO", &expected]).await?;
        assert_eq!(answer.into_text(), Some(expected));
    }
    assert!(cancelled > 0);
    Ok(())
}

#[tokio::test]
async fn a_flushed_script_is_repaired_in_the_same_call_alone_and_in_a_pipeline() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "numbers").build()?;
    for round in 0..20 {
        server.command(&["SCRIPT", "FLUSH"]).await?;
        cache.put(&1, &round).await?;
        assert_eq!(cache.get(&1).await?, Some(round));
    }
    struct Squares;
    impl russet::Loader<u64, u64> for Squares {
        async fn load(&self, n: &u64) -> Result<Option<u64>, russet::BoxError> {
            Ok(Some(n * n))
        }
    }
    let squares = Cache::builder(&russet, "squares").loader(Squares).build()?;
    server.command(&["SCRIPT", "FLUSH"]).await?;
    let numbers: Vec<u64> = (0..100).collect();
    let expected: Vec<_> = numbers.iter().map(|n| Some(n * n)).collect();
    // The fills are a pipeline of a hundred scripts, none of which the server knows.
    assert_eq!(squares.get_many(&numbers).await?, expected);
    assert_eq!(squares.stats().unstored, 0);
    assert_eq!(server.command(&["DBSIZE"]).await?.int(), Some(101));
    Ok(())
}

#[tokio::test]
async fn a_full_server_refuses_what_adds_and_takes_what_drains() -> Outcome {
    let server = TestServer::builder().arg("maxmemory-policy", "noeviction").start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "numbers").build()?;
    cache.put(&1, &1).await?;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    let full = cache.put(&2, &2).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Refused, "{full}");
    assert!(matches!(full.advice(), Advice::RetryAfter(_)));
    cache.invalidate(&1).await?;
    let loaded = cache.get_with(&3, async || Ok::<_, russet::BoxError>(3)).await?;
    assert_eq!((loaded, cache.stats().bypasses), (3, 1), "a full cache is passed by");
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_that_names_it() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "numbers").build()?;
    cache.put(&1, &1).await?;
    let reply = server.command(&["KEYS", "*"]).await?;
    let key = reply.texts()[0];
    server.command(&["DEL", key]).await?;
    server.command(&["LPUSH", key, "x"]).await?;
    let error = cache.get(&1).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Codec, Advice::Bug));
    assert!(error.to_string().contains("GET on cache:numbers:"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_closed_handle_refuses_every_later_call() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let clone = russet.clone();
    russet.close().await;
    let error = ping(&clone).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Unreachable, Advice::GiveUp), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_handle_leaves_no_connection() -> Outcome {
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let clients = async || {
        let list = server.command(&["CLIENT", "LIST"]).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(
            list.text()
                .unwrap_or_default()
                .matches("lib-name=russet")
                .count()
                .max(list.text().unwrap_or_default().lines().count() - 1),
        )
    };
    assert_eq!(clients().await?, 1);
    drop(russet);
    eventually(LONG, async || match clients().await? {
        0 => Ok(()),
        n => Err(format!("{n} connections")),
    })
    .await;
    Ok(())
}
