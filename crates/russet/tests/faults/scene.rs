//! Servers behind proxies, a process that uses them, and faults that come and go.

use std::io;
use std::time::{Duration, Instant};

use russet::testing::{Proxy, TestCluster, TestServer, TestServerBuilder, eventually};
use russet::{BoxError, Cache, Counters, Russet, RussetBuilder, raw};
use tokio::sync::oneshot;

use crate::load::Load;
use crate::support::{clients, clients_are};
use crate::{LONG, Outcome, RECOVERY, TIMEOUT};

pub struct Scene {
    pub ground: Ground,
    pub russet: Russet,
    /// The connections of the process when all is well.
    open: usize,
}

pub enum Ground {
    One(Box<TestServer>, Proxy),
    Cluster(Box<TestCluster>),
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Fault {
    name: &'static str,
    pub lasts: Duration,
    says: Option<&'static str>,
    forgets: bool,
}

/// A fault that is over when it has come.
pub const fn moment(name: &'static str) -> Fault {
    Fault { name, lasts: Duration::ZERO, says: None, forgets: false }
}

/// A fault that stays for longer than a call may take.
pub const fn lasting(name: &'static str) -> Fault {
    Fault { lasts: Duration::from_millis(1_600), ..moment(name) }
}

impl Fault {
    pub const fn for_so_long(self, lasts: Duration) -> Self {
        Self { lasts, ..self }
    }

    /// Some error has this in its text: the fault was there.
    pub const fn says(self, text: &'static str) -> Self {
        Self { says: Some(text), ..self }
    }

    /// The server may lose what it had acknowledged.
    pub const fn forgets(self) -> Self {
        Self { forgets: true, ..self }
    }
}

impl Ground {
    fn parts(&self) -> (&[TestServer], Vec<&Proxy>) {
        match self {
            Self::One(server, proxy) => (std::slice::from_ref(server), vec![proxy]),
            Self::Cluster(cluster) => {
                let nodes = cluster.nodes();
                (nodes, (0..nodes.len()).map(|node| cluster.proxy(node)).collect())
            }
        }
    }

    fn url(&self) -> String {
        match self {
            Self::One(_, proxy) => proxy.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// How often clients have connected.
    pub fn connects(&self) -> u64 {
        self.parts().1.iter().map(|proxy| proxy.connections()).sum()
    }
}

impl Scene {
    pub async fn one(server: TestServerBuilder) -> Result<Self, BoxError> {
        Self::with(server, |builder| builder).await
    }

    /// As [`one`](Self::one), with more settings of the handle.
    pub async fn with(
        server: TestServerBuilder,
        settings: impl Fn(RussetBuilder) -> RussetBuilder,
    ) -> Result<Self, BoxError> {
        let server = server.start().await?;
        let proxy = Proxy::to(&server).await?;
        Self::set(Ground::One(Box::new(server), proxy), settings).await
    }

    /// The process uses every connection that it can have: for calls, for messages, for renewals.
    pub async fn set(
        ground: Ground,
        settings: impl Fn(RussetBuilder) -> RussetBuilder,
    ) -> Result<Self, BoxError> {
        let connect = || settings(handle(&ground.url())).connect_timeout(LONG).connect();
        let other = connect().await?;
        let russet = settings(handle(&ground.url())).connect_lazily()?;
        eventually(LONG, async || raw::command(&russet, &["PING"]).await).await;
        let cache = |russet| Cache::<u64, u64>::builder(russet, "warm-up").build();
        let (ours, theirs) = (cache(&russet)?, cache(&other)?);
        let (started, has_started) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let leader = tokio::spawn(async move {
            let load = async || {
                let _ = started.send(());
                let _ = may_go_on.await;
                Ok::<_, BoxError>(1)
            };
            theirs.get_with(&1, load).await
        });
        has_started.await?;
        let waiting = ours.clone();
        let waiter =
            tokio::spawn(async move { waiting.get_with(&1, async || Ok::<_, BoxError>(2)).await });
        let waits = async || if ours.stats().waits > 0 { Ok(()) } else { Err("nobody waits") };
        eventually(LONG, waits).await;
        let _ = go_on.send(());
        assert_eq!((leader.await??, waiter.await??), (1, 1));
        other.close().await;
        for n in 0..50 {
            let key = format!("key-{n}");
            eventually(LONG, async || raw::command(&russet, &["GET", &key]).await).await;
        }
        // Data and messages, those of the other process gone, and then control.
        let nodes = ground.parts().0.len();
        clients_are(ground.parts().0, nodes + 1).await;
        let brief = Duration::from_millis(300);
        let renewed = Cache::<u64, u64>::builder(&russet, "renewed").fill_lease(brief).build()?;
        let load = async || {
            clients_are(ground.parts().0, nodes + 2).await;
            Ok::<_, BoxError>(1)
        };
        renewed.get_with(&1, load).await?;
        Ok(Self { ground, russet, open: nodes + 2 })
    }

    /// A process that never got a connection.
    pub fn set_lazily(server: TestServer, proxy: Proxy, password: &str) -> Result<Self, BoxError> {
        let russet = handle(&proxy.url()).password(password).connect_lazily()?;
        Ok(Self { ground: Ground::One(Box::new(server), proxy), russet, open: 1 })
    }

    pub fn server(&self) -> &TestServer {
        &self.ground.parts().0[0]
    }

    pub fn proxy(&self) -> &Proxy {
        self.ground.parts().1[0]
    }

    /// Inflicts a fault under load and takes it away.
    pub async fn play(
        &self,
        fault: Fault,
        inflict: impl AsyncFnOnce(&Self) -> io::Result<()>,
        heal: impl AsyncFnOnce(&Self) -> io::Result<()>,
    ) -> Outcome {
        let before = self.total().await?;
        let load = Load::start(&self.russet)?;
        load.progress(fault.name, 50).await;
        // What an earlier fault ended is back.
        eventually(LONG, async || match clients(self.ground.parts().0).await {
            Ok(open) if open >= self.open => Ok(()),
            other => Err(format!("{}: {other:?} connections", fault.name)),
        })
        .await;
        let connects = self.ground.connects();
        inflict(self).await?;
        tokio::time::sleep(fault.lasts).await;
        heal(self).await?;
        let connects = if fault.lasts.is_zero() { connects } else { self.ground.connects() };
        self.aftermath(fault, load, connects, before).await
    }

    async fn total(&self) -> Result<u64, russet::Error> {
        let counters = Counters::builder(&self.russet, "load").build()?;
        Ok(eventually(LONG, async || counters.total("n").await).await)
    }

    /// Everything works again soon, and without a rush.
    pub async fn aftermath(&self, fault: Fault, load: Load, connects: u64, before: u64) -> Outcome {
        let name = fault.name;
        let healed = Instant::now();
        load.progress(name, 1).await;
        let recovered = healed.elapsed();
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(recovered)).await;
        let connects = self.ground.connects() - connects;
        load.progress(name, 50).await;
        let seen = load.end().await;
        println!("{name}: {seen}; works again after {recovered:?}, {connects} connects");
        assert!(recovered < RECOVERY, "{name}: {recovered:?}");
        let most = 3 * self.open as u64;
        assert!(connects <= most, "{name}: {connects} connects in a second, more than {most}");
        let texts = seen.texts();
        let said = |text: &str| texts.iter().any(|said| said.contains(text));
        if let Some(text) = fault.says {
            assert!(said(text), "{name}: no error said {text}: {texts:?}");
        }
        assert!(!said("NOSCRIPT"), "{name}: {texts:?}");
        // What was acknowledged is there, and what is there was acknowledged or is of unknown fate.
        let total = self.total().await?;
        let (least, most) = seen.growth();
        let least = if fault.forgets { 0 } else { before + least };
        assert!(
            (least..=before + most).contains(&total),
            "{name}: {total}, {before} before: {seen}"
        );
        Ok(())
    }
}

pub fn handle(url: &str) -> RussetBuilder {
    Russet::builder().url(url).timeout(TIMEOUT).connect_timeout(TIMEOUT)
}
