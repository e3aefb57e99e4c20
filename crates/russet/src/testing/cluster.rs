//! A Cluster for a test.

use std::io;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::cluster_builder::TestClusterBuilder;
use super::eventually::Attempts;
use super::proxy::Proxy;
use super::reply::Reply;
use super::server::TestServer;

const JOIN_DEADLINE: Duration = Duration::from_secs(30);
const PRIMARIES: usize = 3;
const SLOTS: u16 = 16_384;

/// A Cluster of three primaries, gone with its data when the value is dropped.
///
/// Each node is a [`TestServer`], reached by [`node`](Self::node) to be killed, restarted and paused: the primaries are
/// 0 to 2, and the replicas follow, each as far behind its primary as it is its first, second and so on.
///
/// # Examples
///
/// ```
/// use russet::testing::TestCluster;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let cluster = TestCluster::start().await?;
/// cluster.command("greeting", &["SET", "greeting", "hello"]).await?;
/// let slot = cluster.slot("greeting").await?;
/// let owner = cluster.owner(slot).await?;
/// cluster.move_slot(slot, (owner + 1) % 3).await?;
/// assert_eq!(cluster.owner(slot).await?, (owner + 1) % 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestCluster {
    // Ended before the servers behind them.
    proxies: Vec<Proxy>,
    nodes: Vec<TestServer>,
}

impl TestCluster {
    /// Starts three primaries without replicas, password and persistence, and waits until all of them serve.
    ///
    /// # Errors
    ///
    /// As [`TestServer::start`], and when the Cluster is not complete within 30 seconds.
    pub async fn start() -> io::Result<TestCluster> {
        Self::builder().start().await
    }

    /// Starts with other settings.
    pub fn builder() -> TestClusterBuilder {
        TestClusterBuilder::default()
    }

    pub(super) async fn launch(settings: TestClusterBuilder) -> io::Result<TestCluster> {
        let count = PRIMARIES * (1 + settings.replicas);
        let nodes = try_join_all((0..count).map(|_| settings.node().start())).await?;
        let mut proxies = Vec::new();
        if settings.proxied {
            for node in &nodes {
                let proxy = Proxy::to(node).await?;
                let port = proxy.address().port().to_string();
                node.command(&["CONFIG", "SET", "cluster-announce-port", &port]).await?;
                proxies.push(proxy);
            }
        }
        let cluster = TestCluster { proxies, nodes };
        cluster.join().await?;
        Ok(cluster)
    }

    async fn join(&self) -> io::Result<()> {
        for (number, node) in self.nodes.iter().enumerate() {
            // Different from the start, so that they need not agree on that first.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await?;
            if number < PRIMARIES {
                let share = usize::from(SLOTS) / PRIMARIES;
                let last =
                    if number + 1 == PRIMARIES { SLOTS.into() } else { (number + 1) * share };
                let (first, last) = ((number * share).to_string(), (last - 1).to_string());
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?;
            }
        }
        let first = &self.nodes[0];
        for node in &self.nodes[1..] {
            // With TLS the nodes speak it among themselves too.
            let port = node.client_port().unwrap_or_default().to_string();
            let bus = node.command(&["CONFIG", "GET", "cluster-port"]).await?;
            let bus = bus.texts().get(1).copied().unwrap_or_default().to_owned();
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
        }
        self.complete().await?;
        for (number, replica) in self.nodes.iter().enumerate().skip(PRIMARIES) {
            let primary = self.id(number % PRIMARIES).await?;
            replica.command(&["CLUSTER", "REPLICATE", &primary]).await?;
        }
        self.complete().await
    }

    /// Waits until every running node says that the Cluster serves, knows all running nodes, and has its replicas in
    /// step.
    ///
    /// # Errors
    ///
    /// When that has not come within 30 seconds; the message says what was missing.
    pub async fn complete(&self) -> io::Result<()> {
        let mut attempts = Attempts::within(JOIN_DEADLINE);
        while let Err(missing) = attempts.run(self.missing()).await {
            attempts.pause(missing).await?;
        }
        Ok(())
    }

    async fn missing(&self) -> io::Result<()> {
        let running: Vec<_> = self.nodes.iter().filter(|node| node.is_running()).collect();
        for node in &running {
            let info = node.command(&["CLUSTER", "INFO"]).await?;
            let info = info.text().unwrap_or_default();
            if !info.contains("cluster_state:ok") {
                return Err(io::Error::other(format!("node {:?}: {info}", node.port())));
            }
            let nodes = node.command(&["CLUSTER", "NODES"]).await?;
            let nodes = nodes.text().unwrap_or_default();
            let up =
                nodes.lines().filter(|line| line.contains(" connected") && !line.contains("fail"));
            if up.clone().count() < running.len()
                || up.clone().any(|line| line.contains("handshake"))
            {
                return Err(io::Error::other(format!("node {:?} knows {nodes}", node.port())));
            }
            let replication = node.command(&["INFO", "replication"]).await?;
            let replication = replication.text().unwrap_or_default();
            let is_replica = nodes.lines().any(|line| line.contains("myself,slave"));
            if is_replica && !replication.contains("master_link_status:up") {
                return Err(io::Error::other(format!("node {:?}: {replication}", node.port())));
            }
        }
        Ok(())
    }

    /// The URL for the client: all primaries, `redis+cluster://127.0.0.1:<port>,...`; the proxies', if there are any.
    pub fn url(&self) -> String {
        let hosts = (0..PRIMARIES).filter_map(|at| match self.proxies.get(at) {
            Some(proxy) => Some(proxy.address().to_string()),
            None => self.nodes.get(at)?.client_port().map(|port| format!("127.0.0.1:{port}")),
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let first = self.nodes.first();
        let scheme = if first.is_some_and(TestServer::speaks_tls) { "rediss" } else { "redis" };
        match first.and_then(TestServer::password) {
            None => format!("{scheme}+cluster://{hosts}"),
            Some(password) => format!("{scheme}+cluster://:{password}@{hosts}"),
        }
    }

    /// All nodes, the primaries of the start first.
    pub fn nodes(&self) -> &[TestServer] {
        &self.nodes
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn node(&self, number: usize) -> &TestServer {
        &self.nodes[number]
    }

    /// The proxy before a node.
    ///
    /// # Panics
    ///
    /// When there is no such node, or the Cluster has no proxies.
    pub fn proxy(&self, node: usize) -> &Proxy {
        &self.proxies[node]
    }

    /// The slot of a key.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn slot(&self, key: &str) -> io::Result<u16> {
        let slot = self.any()?.command(&["CLUSTER", "KEYSLOT", key]).await?.int();
        slot.and_then(|slot| slot.try_into().ok()).ok_or_else(|| io::Error::other("no slot"))
    }

    /// The number of the node that has a slot, as that node sees it itself: the others hear of a move a little later.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`], and when no node has it.
    pub async fn owner(&self, slot: u16) -> io::Result<usize> {
        let mut owner = self.owner_seen_by(self.any()?, slot).await?;
        for _ in &self.nodes {
            match self.owner_seen_by(&self.nodes[owner], slot).await? {
                itself if itself == owner => break,
                other => owner = other,
            }
        }
        Ok(owner)
    }

    async fn owner_seen_by(&self, node: &TestServer, slot: u16) -> io::Result<usize> {
        let ranges = node.command(&["CLUSTER", "SLOTS"]).await?;
        let slot = i64::from(slot);
        let range = ranges.list().iter().find(|range| match range.list() {
            [first, last, ..] => first.int() <= Some(slot) && last.int() >= Some(slot),
            _ => false,
        });
        let owner = range.and_then(|range| range.list().get(2)?.list().get(2)?.text());
        let owner = owner.ok_or_else(|| io::Error::other(format!("nobody has slot {slot}")))?;
        for (number, node) in self.nodes.iter().enumerate() {
            if node.is_running() && self.id_of(node).await? == owner {
                return Ok(number);
            }
        }
        Err(io::Error::other(format!("slot {slot} belongs to a node that does not run")))
    }

    /// Runs a command at the node of this key.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn command<A: AsRef<[u8]>>(&self, key: &str, words: &[A]) -> io::Result<Reply> {
        let owner = self.owner(self.slot(key).await?).await?;
        self.nodes[owner].command(words).await
    }

    /// Moves a slot with its keys to another primary, as `redis-cli --cluster reshard` does.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn move_slot(&self, slot: u16, to: usize) -> io::Result<()> {
        let from = self.owner(slot).await?;
        if from == to {
            return Ok(());
        }
        self.begin_move(slot, to).await?;
        self.move_keys(slot, to).await?;
        self.end_move(slot, to).await
    }

    /// The first step of a move: from now on the old node answers `ASK` for keys that it does not have.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn begin_move(&self, slot: u16, to: usize) -> io::Result<()> {
        let from = self.owner(slot).await?;
        let (source, target) = (self.id(from).await?, self.id(to).await?);
        let slot = slot.to_string();
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await?;
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await?;
        Ok(())
    }

    /// The second step of a move: its keys are at the new node.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn move_keys(&self, slot: u16, to: usize) -> io::Result<()> {
        let from = &self.nodes[self.owner(slot).await?];
        let port = self.nodes[to].client_port().unwrap_or_default().to_string();
        loop {
            let slot = slot.to_string();
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await?;
            let keys = keys.texts();
            if keys.is_empty() {
                return Ok(());
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "10000"];
            if let Some(password) = self.nodes[to].password() {
                words.extend(["AUTH", password]);
            }
            words.push("KEYS");
            words.extend(keys);
            from.command(&words).await?;
        }
    }

    /// The last step of a move: the slot belongs to the new node, and the two nodes know it.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn end_move(&self, slot: u16, to: usize) -> io::Result<()> {
        let from = self.owner(slot).await?;
        let target = self.id(to).await?;
        let slot = slot.to_string();
        // The new owner first: in the other order nobody has the slot for a moment.
        for node in [to, from] {
            self.nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await?;
        }
        Ok(())
    }

    /// The id of a node.
    async fn id(&self, number: usize) -> io::Result<String> {
        self.id_of(&self.nodes[number]).await
    }

    async fn id_of(&self, node: &TestServer) -> io::Result<String> {
        let id = node.command(&["CLUSTER", "MYID"]).await?;
        Ok(id.text().unwrap_or_default().to_owned())
    }

    fn any(&self) -> io::Result<&TestServer> {
        let running = self.nodes.iter().find(|node| node.is_running());
        running.ok_or_else(|| io::Error::other("no node of the Cluster runs"))
    }
}
