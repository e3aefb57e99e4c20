//! Whatever happens to the server or the network: an answer or a typed error by the deadline, never a hang, never
//! another caller's answer, and everything works again soon afterwards.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod load;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use russet::testing::{Mode, Proxy, TestCertificates, TestCluster, TestServer, eventually};
use russet::{BoxError, Counters, ErrorKind, Russet, raw};

use load::Load;
use scene::{Ground, Scene, lasting, moment};

type Outcome = Result<(), BoxError>;

const LONG: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a call may miss its deadline by, beyond what a plain timer misses it by.
const SLACK: Duration = Duration::from_millis(100);
/// How long after the end of a fault calls may fail.
const RECOVERY: Duration = Duration::from_secs(2);

async fn config(scene: &Scene, words: &[&str]) -> std::io::Result<()> {
    let words: Vec<_> = ["CONFIG", "SET"].iter().chain(words).copied().collect();
    scene.server().command(&words).await.map(drop)
}

async fn order(scene: &Scene, words: &[&str]) -> std::io::Result<()> {
    scene.server().command(words).await.map(drop)
}

async fn nothing(_: &Scene) -> std::io::Result<()> {
    Ok(())
}

async fn healed(scene: &Scene) -> std::io::Result<()> {
    scene.proxy().heal().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_network() -> Outcome {
    let scene = Scene::one(TestServer::builder()).await?;
    scene.play(moment("reset"), async |s| s.proxy().cut().await, nothing).await?;
    scene.play(moment("half-close"), async |s| s.proxy().half_close().await, nothing).await?;
    let refused = lasting("refuse").says("no connection");
    scene.play(refused, async |s| s.proxy().refuse().await, healed).await?;
    let silent = lasting("silent drop").says("no answer");
    scene.play(silent, async |s| s.proxy().hang().await, healed).await?;
    let late = Duration::from_millis(60);
    scene.play(lasting("delay"), async |s| s.proxy().delay(late).await, healed).await?;
    scene.play(lasting("slice to 1 byte"), async |s| s.proxy().slice(1).await, healed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_a_reply() -> Outcome {
    let scene = Scene::one(TestServer::builder()).await?;
    // Each twice: one of the two may be a sign of life on the connection for messages, which no caller notices.
    let twice = async |s: &Scene, mode: Mode| {
        s.proxy().set(mode).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        s.proxy().set(mode).await
    };
    let lost = async |s: &Scene| twice(s, Mode::DropNextReply).await;
    scene.play(moment("lost reply").says("no answer"), lost, nothing).await?;
    let cut = async |s: &Scene| twice(s, Mode::CutReplyAt(5)).await;
    scene.play(moment("cut reply").says("no answer"), cut, nothing).await?;
    let stall = async |s: &Scene| twice(s, Mode::StallReplyAt(5)).await;
    scene.play(lasting("stalled reply").says("no answer"), stall, healed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_server() -> Outcome {
    let scene = Scene::one(TestServer::builder().append_only()).await?;
    let kill = async |s: &Scene| {
        for kind in ["normal", "pubsub"] {
            order(s, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await?;
        }
        Ok(())
    };
    scene.play(moment("CLIENT KILL"), kill, nothing).await?;
    let paused = lasting("CLIENT PAUSE").says("no answer");
    let pause = async |s: &Scene| order(s, &["CLIENT", "PAUSE", "1300", "ALL"]).await;
    scene.play(paused, pause, nothing).await?;
    let restarted = lasting("restart").says("no connection");
    let die = async |s: &Scene| s.server().kill().await;
    scene.play(restarted, die, async |s| s.server().restart().await).await?;
    let flush = async |s: &Scene| {
        for _ in 0..50 {
            order(s, &["SCRIPT", "FLUSH"]).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    scene.play(moment("SCRIPT FLUSH every 10 ms"), flush, nothing).await?;
    let busy = async |s: &Scene| {
        config(s, &["busy-reply-threshold", "50"]).await?;
        let port = s.server().port().unwrap_or_default();
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
    let killed = async |s: &Scene| order(s, &["SCRIPT", "KILL"]).await;
    scene.play(lasting("BUSY").says("BUSY"), busy, killed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_for_five_seconds() -> Outcome {
    let scene = Scene::one(TestServer::builder()).await?;
    let stopped = lasting("SIGSTOP 5 s").for_so_long(Duration::from_secs(5)).says("no answer");
    scene.play(stopped, async |s| s.server().pause(), async |s| s.server().resume()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_its_data() -> Outcome {
    // 300 keys, each 3 ms: a second.
    let settings = TestServer::builder().append_only().arg("key-load-delay", "3000");
    let scene = Scene::one(settings.arg("loading-process-events-interval-bytes", "1024")).await?;
    for n in 0..300 {
        order(&scene, &["SET", &format!("key-{n}"), &"x".repeat(100)]).await?;
    }
    order(&scene, &["BGREWRITEAOF"]).await?;
    eventually(LONG, async || {
        let info = scene.server().command(&["INFO", "persistence"]).await;
        let info = info.map_err(|error| error.to_string())?;
        let info = info.text().unwrap_or_default();
        let written = info.contains("aof_rewrite_in_progress:0")
            && info.contains("aof_rewrite_scheduled:0")
            && info.contains("aof_last_bgrewrite_status:ok");
        if written { Ok(()) } else { Err(info.to_owned()) }
    })
    .await;
    let die = async |s: &Scene| s.server().kill().await;
    let loads = async |s: &Scene| s.server().restart().await;
    scene.play(lasting("LOADING").says("loading"), die, loads).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_server() -> Outcome {
    let settings = TestServer::builder().arg("maxmemory-policy", "noeviction");
    let scene = Scene::one(settings.arg("enable-protected-configs", "yes")).await?;
    let full = async |s: &Scene| config(s, &["maxmemory", "1"]).await;
    let empty = async |s: &Scene| config(s, &["maxmemory", "0"]).await;
    scene.play(lasting("OOM").says("OOM"), full, empty).await?;
    let alone = async |s: &Scene| config(s, &["min-replicas-to-write", "1"]).await;
    let enough = async |s: &Scene| config(s, &["min-replicas-to-write", "0"]).await;
    scene.play(lasting("NOREPLICAS").says("NOREPLICAS"), alone, enough).await?;
    let broken_disk = async |s: &Scene| {
        config(s, &["save", "3600 1000000"]).await?;
        // Nobody can make a file there.
        config(s, &["dir", "/proc"]).await?;
        order(s, &["BGSAVE"]).await?;
        eventually(LONG, async || {
            let info = s.server().command(&["INFO", "persistence"]).await;
            let info = info.map_err(|error| error.to_string())?;
            let failed = info.text().unwrap_or_default().contains("rdb_last_bgsave_status:err");
            if failed { Ok(()) } else { Err("the snapshot has not failed yet".to_owned()) }
        })
        .await;
        Ok(())
    };
    let none = async |s: &Scene| config(s, &["save", ""]).await;
    scene.play(lasting("MISCONF").says("MISCONF"), broken_disk, none).await
}

/// The replica is promoted and the primary follows it, and then the other way round. What had not been replicated is lost
/// each time; `tests/durability.rs` is about that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_a_failover_left_behind() -> Outcome {
    let scene = Scene::one(TestServer::builder()).await?;
    let address = ([127, 0, 0, 1], scene.server().port().unwrap_or_default()).into();
    let replica = TestServer::builder().replica_of(address).start().await?;
    let port = replica.port().unwrap_or_default().to_string();
    let fail_over = async |s: &Scene| {
        replica.command(&["REPLICAOF", "NO", "ONE"]).await?;
        order(s, &["REPLICAOF", "127.0.0.1", &port]).await
    };
    let back = async |s: &Scene| {
        order(s, &["REPLICAOF", "NO", "ONE"]).await?;
        let port = s.server().port().unwrap_or_default().to_string();
        replica.command(&["REPLICAOF", "127.0.0.1", &port]).await.map(drop)
    };
    let left = lasting("READONLY after failover").says("READONLY").forgets();
    scene.play(left, fail_over, back).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed() -> Outcome {
    let scene = Scene::one(TestServer::builder()).await?;
    let rotate = async |s: &Scene| {
        // Who is logged in stays so: those connections go as well.
        order(s, &["ACL", "SETUSER", "default", "resetpass", ">other"]).await?;
        s.proxy().cut().await
    };
    let back = async |s: &Scene| {
        // The server's own helper does not know the new password.
        let url = format!("redis://:other@127.0.0.1:{}", s.server().port().unwrap_or_default());
        let open = async {
            let russet = Russet::builder().url(url).connect_timeout(LONG).connect().await?;
            raw::command(&russet, &["ACL", "SETUSER", "default", "resetpass", "nopass"]).await
        };
        open.await.map_err(std::io::Error::other).map(drop)
    };
    scene.play(lasting("rotated password").says("NOAUTH"), rotate, back).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_wrong_from_the_start() -> Outcome {
    let server = TestServer::builder().password("right").start().await?;
    let proxy = Proxy::to(&server).await?;
    let scene = Scene::set_lazily(server, proxy, "wrong")?;
    let load = Load::start(&scene.russet)?;
    let refused = lasting("wrong password").says("Password authentication failed");
    tokio::time::sleep(refused.lasts).await;
    assert_eq!(load.seen.growth(), (0, 0), "nothing was sent");
    order(&scene, &["ACL", "SETUSER", "default", ">wrong"]).await?;
    let connects = scene.ground.connects();
    scene.aftermath(refused, load, connects, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_expired() -> Outcome {
    let (good, expired) = (TestCertificates::new()?, TestCertificates::expired()?);
    // Both authorities are trusted: it is the date that is wrong.
    let both = good.authority().with_file_name("both.pem");
    let read = |certificates: &TestCertificates| std::fs::read(certificates.authority());
    std::fs::write(&both, [read(&good)?, read(&expired)?].concat())?;
    let server = TestServer::builder().tls(&good);
    let scene = match Scene::with(server, |builder| builder.ca_file(&both)).await {
        Err(error) if error.to_string().contains("Failed finding TLS support") => {
            println!("not run: this server is built without TLS");
            return Ok(());
        }
        scene => scene?,
    };
    let shows = async |scene: &Scene, certificates: &TestCertificates| {
        let (certificate, key) = certificates.server();
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        config(scene, &["tls-cert-file", &certificate, "tls-key-file", &key]).await
    };
    let expires = async |s: &Scene| {
        shows(s, &expired).await?;
        s.proxy().cut().await
    };
    let renewed = async |s: &Scene| shows(s, &good).await;
    scene.play(lasting("expired certificate").says("xpired"), expires, renewed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lost_a_slot() -> Outcome {
    let cluster = TestCluster::builder().proxied().arg("cluster-require-full-coverage", "yes");
    let scene = Scene::set(Ground::Cluster(Box::new(cluster.start().await?)), |b| b).await?;
    let Ground::Cluster(cluster) = &scene.ground else { return Err("a Cluster".into()) };
    let counted = cluster.slot("{counters:load}").await?;
    // Another one: the counter's own stays where it is.
    let lost = if counted == 0 { 1 } else { counted - 1 };
    let (owner, slot) = (cluster.owner(lost).await?, lost.to_string());
    let lose = async |_: &Scene| {
        for node in cluster.nodes() {
            node.command(&["CLUSTER", "DELSLOTS", &slot]).await?;
        }
        Ok(())
    };
    let find = async |_: &Scene| {
        cluster.node(owner).command(&["CLUSTER", "ADDSLOTS", &slot]).await?;
        cluster.complete().await
    };
    scene.play(lasting("CLUSTERDOWN").says("CLUSTERDOWN"), lose, find).await
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
