//! Whatever happens to the server or the network: an answer or a typed error by the deadline, never a hang, never
//! another caller's answer, and everything works again soon afterwards.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestServer, TestServerBuilder, eventually};
use russet::{Counters, ErrorKind, Russet, raw};
use tokio::task::JoinHandle;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_millis(400);
/// What a deadline may be missed by; most of it is for machines with few cores and much to do.
const SLACK: Duration = Duration::from_millis(250);
/// How long after the end of a fault the first call may fail.
const RECOVERY: Duration = Duration::from_secs(2);
const CALLERS: usize = 8;

/// Callers that call all the time and check every answer.
struct Load {
    over: Arc<AtomicBool>,
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    errors: AtomicU64,
    counted: AtomicU64,
    unknown: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Load {
    fn start(russet: &Russet) -> Result<Self, russet::Error> {
        let (over, seen) = (Arc::<AtomicBool>::default(), Arc::<Seen>::default());
        let counters = Counters::builder(russet, "load").build()?;
        let tasks = (0..CALLERS).map(|caller| {
            let (russet, counters) = (russet.clone(), counters.clone());
            let (over, seen) = (over.clone(), seen.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    call(&russet, &counters, &seen, caller, n).await;
                }
            })
        });
        Ok(Self { over: over.clone(), seen: seen.clone(), tasks: tasks.collect() })
    }

    async fn end(self) -> Arc<Seen> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            if let Err(error) = task.await {
                panic!("a caller: {error}");
            }
        }
        self.seen
    }
}

/// One question and one count, with everything that is promised of them.
async fn call(russet: &Russet, counters: &Counters, seen: &Seen, caller: usize, n: u32) {
    let question = format!("caller {caller} asks {n}");
    let started = Instant::now();
    let echo = raw::command(russet, &["ECHO", &question]).await;
    let took = started.elapsed();
    seen.slowest_ms.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
    assert!(took < TIMEOUT + SLACK, "{question}: {took:?}");
    if let Ok(answer) = &echo {
        assert_eq!(answer.clone().into_text().as_deref(), Some(question.as_str()));
    }
    let started = Instant::now();
    let counted = counters.add("n", 1).await;
    assert!(started.elapsed() < TIMEOUT + SLACK, "{question}: {:?}", started.elapsed());
    match &counted {
        Ok(_) => seen.counted.fetch_add(1, Ordering::Relaxed),
        Err(error) if error.kind() == ErrorKind::Unknown => {
            seen.unknown.fetch_add(1, Ordering::Relaxed)
        }
        Err(_) => 0,
    };
    for error in [echo.err(), counted.err()] {
        match error {
            None => seen.answers.fetch_add(1, Ordering::Relaxed),
            Some(error) => {
                let typed = [
                    ErrorKind::Unreachable,
                    ErrorKind::Timeout,
                    ErrorKind::Unknown,
                    ErrorKind::Refused,
                ];
                assert!(typed.contains(&error.kind()), "{question}: {error:?}");
                // Not a loop of failures at full speed.
                tokio::time::sleep(Duration::from_millis(2)).await;
                seen.errors.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

/// A server behind a proxy, under load.
struct Scene {
    server: TestServer,
    proxy: Proxy,
    russet: Russet,
}

impl Scene {
    async fn set(server: TestServerBuilder) -> Result<Self, Box<dyn Error>> {
        let server = server.start().await?;
        let proxy = Proxy::to(&server).await?;
        let builder = Russet::builder().url(proxy.url()).timeout(TIMEOUT).connect_timeout(TIMEOUT);
        let russet = builder.connect().await?;
        Ok(Self { server, proxy, russet })
    }

    /// Inflicts a fault under load and takes it away; `forgets` says that the server may lose what it counted.
    async fn play(
        &self,
        name: &str,
        inflict: impl AsyncFnOnce(&Self) -> std::io::Result<()>,
        heal: impl AsyncFnOnce(&Self) -> std::io::Result<()>,
        forgets: bool,
    ) -> Outcome {
        let counters = Counters::builder(&self.russet, "load").build()?;
        let before = counters.total("n").await?;
        let load = Load::start(&self.russet)?;
        let seen = load.seen.clone();
        let progress = async |more: u64| {
            let from = seen.answers.load(Ordering::Relaxed);
            eventually(LONG, async || match seen.answers.load(Ordering::Relaxed) - from {
                enough if enough >= more => Ok(()),
                few => Err(format!("{name}: {few} answers")),
            })
            .await;
        };
        progress(100).await;
        inflict(self).await?;
        tokio::time::sleep(Duration::from_millis(900)).await;
        heal(self).await?;
        let healed = Instant::now();
        let connections = self.proxy.connections();
        progress(1).await;
        let recovered = healed.elapsed();
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(recovered)).await;
        let reconnects = self.proxy.connections() - connections;
        progress(100).await;
        let errors = seen.errors.load(Ordering::Relaxed);
        let seen = load.end().await;
        let (counted, unknown) =
            (seen.counted.load(Ordering::Relaxed), seen.unknown.load(Ordering::Relaxed));
        println!(
            "{name}: {} answers, {errors} errors, slowest {} ms, works again after {recovered:?}, {reconnects} connects",
            seen.answers.load(Ordering::Relaxed),
            seen.slowest_ms.load(Ordering::Relaxed),
        );
        assert!(recovered < RECOVERY, "{name}: {recovered:?}");
        // Data and messages are the connections of this process.
        assert!(reconnects <= 6, "{name}: {reconnects} connects in the second after it");
        let total = counters.total("n").await?;
        if !forgets {
            // What was acknowledged is there, and what is there was acknowledged or is of unknown fate.
            assert!(
                (before + counted..=before + counted + unknown).contains(&total),
                "{name}: {total} counted, {before} before, {counted} acknowledged, {unknown} unknown"
            );
        }
        Ok(())
    }
}

async fn config(scene: &Scene, name: &str, value: &str) -> std::io::Result<()> {
    scene.server.command(&["CONFIG", "SET", name, value]).await.map(drop)
}

async fn nothing(_: &Scene) -> std::io::Result<()> {
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_network() -> Outcome {
    let scene = Scene::set(TestServer::builder()).await?;
    scene.play("cut", async |s| s.proxy.cut().await, nothing, false).await?;
    scene.play("half-close", async |s| s.proxy.half_close().await, nothing, false).await?;
    let healed = async |s: &Scene| s.proxy.heal().await;
    scene.play("refuse", async |s| s.proxy.refuse().await, healed, false).await?;
    scene.play("silence", async |s| s.proxy.hang().await, healed, false).await?;
    let delay = async |s: &Scene| s.proxy.delay(Duration::from_millis(60)).await;
    scene.play("delay", delay, healed, false).await?;
    scene.play("slice", async |s| s.proxy.slice(1).await, healed, false).await?;
    scene.play("lost reply", async |s| s.proxy.drop_next_reply().await, healed, false).await?;
    scene.play("cut reply", async |s| s.proxy.cut_reply_at(5).await, healed, false).await?;
    scene.play("stalled reply", async |s| s.proxy.stall_reply_at(5).await, healed, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_server() -> Outcome {
    let scene = Scene::set(TestServer::builder().append_only()).await?;
    let kill = async |s: &Scene| {
        s.server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.map(drop)
    };
    scene.play("CLIENT KILL", kill, nothing, false).await?;
    let pause =
        async |s: &Scene| s.server.command(&["CLIENT", "PAUSE", "600", "ALL"]).await.map(drop);
    scene.play("CLIENT PAUSE", pause, nothing, false).await?;
    let stop = async |s: &Scene| s.server.pause();
    scene.play("SIGSTOP", stop, async |s| s.server.resume(), false).await?;
    let die = async |s: &Scene| s.server.kill().await;
    scene.play("kill", die, async |s| s.server.restart().await, false).await?;
    let flush = async |s: &Scene| {
        for _ in 0..50 {
            s.server.command(&["SCRIPT", "FLUSH"]).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    scene.play("SCRIPT FLUSH", flush, nothing, false).await?;
    let busy = async |s: &Scene| {
        config(s, "busy-reply-threshold", "50").await?;
        let port = s.server.port().unwrap_or_default();
        // It never answers: the script is killed.
        tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            if let Ok(mut stream) = stream {
                let endless = b"EVAL \"while true do end\" 0\r\n";
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, endless).await;
                tokio::time::sleep(LONG).await;
            }
        });
        Ok(())
    };
    let killed = async |s: &Scene| s.server.command(&["SCRIPT", "KILL"]).await.map(drop);
    scene.play("BUSY", busy, killed, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_server() -> Outcome {
    let settings = TestServer::builder().arg("maxmemory-policy", "noeviction");
    let scene = Scene::set(settings.arg("enable-protected-configs", "yes")).await?;
    let full = async |s: &Scene| config(s, "maxmemory", "1").await;
    scene.play("OOM", full, async |s| config(s, "maxmemory", "0").await, false).await?;
    let alone = async |s: &Scene| config(s, "min-replicas-to-write", "1").await;
    let enough = async |s: &Scene| config(s, "min-replicas-to-write", "0").await;
    scene.play("NOREPLICAS", alone, enough, false).await?;
    let broken_disk = async |s: &Scene| {
        config(s, "save", "3600 1000000").await?;
        // Nobody can make a file there.
        config(s, "dir", "/proc").await?;
        s.server.command(&["BGSAVE"]).await?;
        eventually(LONG, async || {
            let info =
                s.server.command(&["INFO", "persistence"]).await.map_err(|e| e.to_string())?;
            let failed = info.text().unwrap_or_default().contains("rdb_last_bgsave_status:err");
            if failed { Ok(()) } else { Err("the snapshot has not failed yet".to_owned()) }
        })
        .await;
        Ok(())
    };
    let none = async |s: &Scene| config(s, "save", "").await;
    scene.play("MISCONF", broken_disk, none, false).await?;
    let demote =
        async |s: &Scene| s.server.command(&["REPLICAOF", "127.0.0.1", "1"]).await.map(drop);
    let promote = async |s: &Scene| s.server.command(&["REPLICAOF", "NO", "ONE"]).await.map(drop);
    scene.play("READONLY", demote, promote, false).await?;
    let rotate = async |s: &Scene| {
        // Who is logged in stays so: those connections go as well.
        s.server.command(&["ACL", "SETUSER", "default", "resetpass", ">other"]).await?;
        s.proxy.cut().await
    };
    let back = async |s: &Scene| {
        let open = TestUser { port: s.server.port().unwrap_or_default() };
        open.give_back().await
    };
    scene.play("rotated password", rotate, back, false).await
}

/// Logs in with the rotated password, which the server's own helper does not know.
struct TestUser {
    port: u16,
}

impl TestUser {
    async fn give_back(&self) -> std::io::Result<()> {
        let url = format!("redis://:other@127.0.0.1:{}", self.port);
        let russet = Russet::connect(&url).await.map_err(std::io::Error::other)?;
        let words = ["ACL", "SETUSER", "default", "resetpass", "nopass"];
        raw::command(&russet, &words).await.map_err(std::io::Error::other).map(drop)
    }
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() -> Outcome {
    // 300 keys, each 3 ms: a second.
    let settings = TestServer::builder().append_only().arg("key-load-delay", "3000");
    let server = settings.arg("loading-process-events-interval-bytes", "1024").start().await?;
    for n in 0..300 {
        server.command(&["SET", &format!("key-{n}"), &"x".repeat(100)]).await?;
    }
    server.command(&["BGREWRITEAOF"]).await?;
    eventually(LONG, async || {
        let info = server.command(&["INFO", "persistence"]).await.map_err(|e| e.to_string())?;
        let info = info.text().unwrap_or_default();
        let written = info.contains("aof_rewrite_in_progress:0")
            && info.contains("aof_rewrite_scheduled:0")
            && info.contains("aof_last_bgrewrite_status:ok");
        if written { Ok(()) } else { Err(info.to_owned()) }
    })
    .await;
    let russet = Russet::builder().url(server.url()).timeout(TIMEOUT).connect().await?;
    server.kill().await?;
    let mut seen = false;
    let calls = async {
        eventually(LONG, async || {
            let started = Instant::now();
            let outcome = raw::command(&russet, &["GET", "key-7"]).await;
            assert!(started.elapsed() < TIMEOUT + SLACK, "{:?}", started.elapsed());
            outcome.inspect_err(|error| {
                // The first one may have been on its way when the server died.
                let retry = matches!(error.advice(), russet::Advice::RetryAfter(_));
                assert!(retry || error.kind() == ErrorKind::Unknown, "{error}");
                seen |= error.to_string().contains("loading");
            })
        })
        .await
    };
    let (restarted, value) = tokio::join!(server.restart(), calls);
    restarted?;
    assert_eq!(value.into_text().as_deref(), Some("x".repeat(100).as_str()));
    assert!(seen, "it was not loading for long enough to be seen");
    Ok(())
}

#[tokio::test]
async fn a_reply_that_ends_at_any_byte_is_nobodys_answer() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = Russet::builder().url(proxy.url()).timeout(TIMEOUT).connect().await?;
    let value = "a value of some length\r\nwith a line of its own";
    server.command(&["SET", "k", value]).await?;
    // "$46\r\n", the value and its end.
    for bytes in 0..value.len() + 7 {
        eventually(LONG, async || raw::command(&russet, &["PING"]).await).await;
        proxy.cut_reply_at(bytes).await?;
        let error = raw::command(&russet, &["GET", "k"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{bytes}: {error}");
        let next = eventually(LONG, async || raw::command(&russet, &["GET", "k"]).await).await;
        assert_eq!(next.into_text().as_deref(), Some(value), "after {bytes} bytes");
    }
    Ok(())
}

/// A user without `@dangerous`, who may touch russet's keys and channels only.
#[tokio::test]
async fn the_blocks_need_no_dangerous_command() -> Outcome {
    let server = TestServer::start().await?;
    let rights = ["ACL", "SETUSER", "app", "on", ">pw", "~app:*", "&app:*", "+@all", "-@dangerous"];
    server.command(&rights).await?;
    let connect = async || {
        let builder = Russet::builder().url(server.url()).user("app").password("pw");
        builder.namespace("app").connect().await
    };
    let (one, two) = (connect().await?, connect().await?);
    let board = russet::Leaderboard::builder(&one, "game").build()?;
    assert_eq!(board.increment("me", 1.0).await?.rank, Some(1));
    assert_eq!(Counters::builder(&one, "site").build()?.add("n", 2).await?.total, 2);
    let cache = |russet| russet::Cache::<u64, u64>::builder(russet, "users").build();
    let (here, there) = (cache(&one)?, cache(&two)?);
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let leader = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            Ok::<_, russet::BoxError>(7)
        };
        here.get_with(&1, load).await
    });
    has_started.await?;
    let waits = there.clone();
    let waiter =
        tokio::spawn(
            async move { waits.get_with(&1, async || Ok::<_, russet::BoxError>(0)).await },
        );
    eventually(LONG, async || match server.command(&["KEYS", "*:waiters:1"]).await {
        Ok(lists) if !lists.list().is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    go_on.send(()).ok();
    assert_eq!((leader.await??, waiter.await??), (7, 7));
    let refused = server.command(&["ACL", "LOG"]).await?;
    assert_eq!(refused.list().len(), 0, "{refused:?}");
    Ok(())
}
