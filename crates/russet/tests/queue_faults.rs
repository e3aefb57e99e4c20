//! Whatever happens to the server or the network, a worker goes on by itself soon after it is over, and no task that was
//! acknowledged is lost.

#![cfg(feature = "queue")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestServer, TestServerBuilder, eventually};
use russet::{BoxError, ErrorKind, Queue, Russet, Task, TaskContext, Worker};
use serde::{Deserialize, Serialize};
use support::beside_a_timer;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long after the end of a fault the worker may be away.
const RECOVERY: Duration = Duration::from_secs(2);
/// What it may miss that by, beyond what a plain timer misses it by.
const SLACK: Duration = Duration::from_millis(200);
/// Longer than a call may take.
const LASTS: Duration = Duration::from_millis(1_600);

#[derive(Serialize, Deserialize)]
struct Job;

impl Task for Job {
    const NAME: &'static str = "job";
}

async fn nothing(_: Job, _: TaskContext) -> Result<(), BoxError> {
    Ok(())
}

/// A server behind a proxy, a worker that reaches it through that, and a producer beside it.
struct Scene {
    server: TestServer,
    proxy: Proxy,
    producer: Queue,
    worker: Arc<Worker>,
    /// How many tasks were acknowledged.
    sent: u64,
    end: oneshot::Sender<()>,
    ended: JoinHandle<russet::Result<()>>,
}

fn queue(russet: &Russet) -> Queue {
    let brief = Duration::from_millis(1);
    // What is given back by the end of a lease is away for a second.
    let lease = Duration::from_secs(1);
    let builder = Queue::builder(russet, "jobs").lease(lease).max_attempts(1_000);
    builder.backoff(brief, brief).build().unwrap()
}

impl Scene {
    async fn set(server: TestServerBuilder) -> Self {
        let server = server.start().await.unwrap();
        let proxy = Proxy::to(&server).await.unwrap();
        let handle =
            |url: String| Russet::builder().url(url).timeout(TIMEOUT).connect_timeout(LONG);
        let producer = queue(&handle(server.url()).connect().await.unwrap());
        let russet = handle(proxy.url()).connect().await.unwrap();
        let worker = Worker::builder(&queue(&russet)).concurrency(4).handler(nothing).build();
        let worker = Arc::new(worker.unwrap());
        let (end, at_the_end) = oneshot::channel();
        let running = worker.clone();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                let _ = at_the_end.await;
            };
            running.run_until(shutdown).await
        });
        let mut scene = Self { server, proxy, producer, worker, sent: 0, end, ended };
        scene.send().await;
        scene.all_done("at the beginning").await;
        scene
    }

    /// Enqueues some tasks; as many times as it takes.
    async fn send(&mut self) {
        eventually(LONG, async || match self.producer.enqueue_many([Job, Job, Job]).await {
            Ok(sent) => Ok(sent.ids),
            Err(error) => Err(error),
        })
        .await;
        self.sent += 3;
    }

    /// Until everything that was acknowledged is done; what was enqueued by calls of unknown fate may be, too.
    async fn all_done(&self, when: &str) {
        eventually(LONG, async || match self.producer.counts().await {
            Ok(counts) if counts.completed >= self.sent && counts.ready + counts.running == 0 => {
                Ok(())
            }
            other => Err(format!("{when}: {} sent, {other:?}", self.sent)),
        })
        .await;
    }

    /// A row of the table.
    async fn play(
        &mut self,
        name: &str,
        inflict: impl AsyncFnOnce(&Self) -> io::Result<()>,
        lasts: Duration,
        heal: impl AsyncFnOnce(&Self) -> io::Result<()>,
    ) {
        inflict(self).await.unwrap();
        // Where the producer still reaches the server, there is something to do while the fault lasts.
        if self.producer.enqueue_many([Job, Job]).await.is_ok() {
            self.sent += 2;
        }
        tokio::time::sleep(lasts).await;
        heal(self).await.unwrap();
        let healed = Instant::now();
        let recovery = beside_a_timer(RECOVERY, async {
            self.send().await;
            self.all_done(name).await;
        });
        let recovered = recovery.await;
        println!("{name}: everything is done {:?} after its end", healed.elapsed());
        assert!(recovered.beyond < SLACK, "{name}: {:?}", recovered.took);
        assert!(self.worker.is_alive(), "{name}");
    }

    async fn end(self) {
        let counts = self.producer.counts().await.unwrap();
        assert_eq!((counts.dead, counts.retrying), (0, 0));
        self.end.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

async fn order(scene: &Scene, words: &[&str]) -> io::Result<()> {
    scene.server.command(words).await.map(drop)
}

async fn over(_: &Scene) -> io::Result<()> {
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_resumes_after_faults_of_the_network() {
    let mut scene = Scene::set(TestServer::builder()).await;
    let cut = async |s: &Scene| s.proxy.cut().await;
    scene.play("reset", cut, Duration::ZERO, over).await;
    let heal = async |s: &Scene| s.proxy.heal().await;
    scene.play("hanging proxy", async |s| s.proxy.hang().await, LASTS, heal).await;
    scene.play("refusing proxy", async |s| s.proxy.refuse().await, LASTS, heal).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_resumes_after_faults_of_the_server() {
    let mut scene = Scene::set(TestServer::builder().append_only()).await;
    let kill = async |s: &Scene| {
        for kind in ["normal", "pubsub"] {
            order(s, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await?;
        }
        Ok(())
    };
    scene.play("CLIENT KILL", kill, Duration::ZERO, over).await;
    let pause = async |s: &Scene| order(s, &["CLIENT", "PAUSE", "1300", "ALL"]).await;
    scene.play("CLIENT PAUSE", pause, LASTS, over).await;
    let flush = async |s: &Scene| {
        for _ in 0..20 {
            order(s, &["SCRIPT", "FLUSH"]).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    scene.play("SCRIPT FLUSH", flush, Duration::ZERO, over).await;
    let die = async |s: &Scene| s.server.kill().await;
    scene.play("restart", die, LASTS, async |s| s.server.restart().await).await;
    // A primary that a failover left behind: it refuses writes, and becomes a primary again.
    let demote = async |s: &Scene| order(s, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let promote = async |s: &Scene| order(s, &["REPLICAOF", "NO", "ONE"]).await;
    scene.play("READONLY", demote, LASTS, promote).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_resumes_after_the_server_has_loaded_its_data() {
    // 300 keys, each 3 ms: a second.
    let settings = TestServer::builder().append_only().arg("key-load-delay", "3000");
    let settings = settings.arg("loading-process-events-interval-bytes", "1024");
    let mut scene = Scene::set(settings).await;
    for n in 0..300 {
        order(&scene, &["SET", &format!("key-{n}"), &"x".repeat(100)]).await.unwrap();
    }
    order(&scene, &["BGREWRITEAOF"]).await.unwrap();
    eventually(LONG, async || {
        let info = scene.server.command(&["INFO", "persistence"]).await;
        let info = info.map_err(|error| error.to_string())?;
        let info = info.text().unwrap_or_default();
        let written = info.contains("aof_rewrite_in_progress:0")
            && info.contains("aof_rewrite_scheduled:0")
            && info.contains("aof_last_bgrewrite_status:ok");
        if written { Ok(()) } else { Err(info.to_owned()) }
    })
    .await;
    let die_and_load = async |s: &Scene| {
        s.server.kill().await?;
        s.server.restart().await
    };
    // Its end is when the server says that it has loaded.
    let loaded = async |s: &Scene| {
        eventually(LONG, async || {
            let info = s.server.command(&["INFO", "persistence"]).await;
            let info = info.map_err(|error| error.to_string())?;
            let loads = !info.text().unwrap_or_default().contains("loading:0");
            if loads { Err("it loads".to_owned()) } else { Ok(()) }
        })
        .await;
        Ok(())
    };
    scene.play("LOADING", die_and_load, Duration::ZERO, loaded).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_tasks_clearly_and_its_workers_go_on() {
    let mut scene = Scene::set(TestServer::builder().arg("maxmemory-policy", "noeviction")).await;
    assert!(scene.producer.pause().await.unwrap());
    for _ in 0..10 {
        scene.send().await;
    }
    order(&scene, &["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let error = scene.producer.enqueue(Job).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("OOM"), "{error}");
    // Claims and acks of the 30 tasks, on a server that is full all the time.
    assert!(scene.producer.resume().await.unwrap());
    scene.all_done("on a full server").await;
    let error = scene.producer.enqueue(Job).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let room = async |s: &Scene| order(s, &["CONFIG", "SET", "maxmemory", "0"]).await;
    scene.play("OOM", over, Duration::ZERO, room).await;
    scene.end().await;
}
