//! A primary with replicas and sentinels for a test.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::eventually::Attempts;
use super::proxy::Proxy;
use super::reply::Reply;
use super::sentinel_builder::TestSentinelBuilder;
use super::server::TestServer;

const SETTLE_DEADLINE: Duration = Duration::from_secs(30);
const SENTINELS: usize = 3;
/// What the sentinels call the primary.
const NAME: &str = "main";

/// A primary, its replicas and three sentinels that let a replica take over when the primary is silent for half a
/// second. Gone with its data when the value is dropped.
///
/// The servers are numbered: 0 is the primary of the start.
///
/// # Examples
///
/// ```
/// use russet::testing::TestSentinel;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let sentinel = TestSentinel::start().await?;
/// assert_eq!(sentinel.primary().await?, 0);
/// assert!(sentinel.url().starts_with("redis+sentinel://127.0.0.1:"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestSentinel {
    // Ended in this order.
    sentinels: Vec<TestServer>,
    proxies: Vec<Proxy>,
    servers: Vec<TestServer>,
}

impl TestSentinel {
    /// Starts a primary, a replica and three sentinels, without passwords.
    ///
    /// # Errors
    ///
    /// As [`TestServer::start`], and when they do not know each other within 30 seconds.
    pub async fn start() -> io::Result<TestSentinel> {
        Self::builder().start().await
    }

    /// Starts with other settings.
    pub fn builder() -> TestSentinelBuilder {
        TestSentinelBuilder::default()
    }

    pub(super) async fn launch(settings: TestSentinelBuilder) -> io::Result<TestSentinel> {
        let primary = settings.server.clone().start().await?;
        let port = primary.client_port().unwrap_or_default();
        let mut servers = vec![primary];
        let mut proxies = Vec::new();
        for _ in 0..settings.replicas {
            let mut address = SocketAddr::from(([127, 0, 0, 1], port));
            if settings.proxied {
                let proxy = Proxy::to(&servers[0]).await?;
                address = proxy.address();
                proxies.push(proxy);
            }
            servers.push(settings.server.clone().replica_of(address).start().await?);
        }
        let sentinel =
            || settings.sentinel.clone().sentinel(settings.configuration(NAME, port)).start();
        let sentinels = try_join_all((0..SENTINELS).map(|_| sentinel())).await?;
        let started = TestSentinel { sentinels, proxies, servers };
        started.settled().await?;
        if settings.proxied {
            // Else they would put right, four times this later, that the replicas follow a proxy.
            for sentinel in &started.sentinels {
                sentinel.command(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "600000"]).await?;
            }
        }
        Ok(started)
    }

    /// Waits until every sentinel knows the others and a primary that is one, and every other running server is its
    /// replica in step.
    ///
    /// # Errors
    ///
    /// When that has not come within 30 seconds; the message says what was missing.
    pub async fn settled(&self) -> io::Result<()> {
        let mut attempts = Attempts::within(SETTLE_DEADLINE);
        while let Err(missing) = attempts.run(self.missing()).await {
            attempts.pause(missing).await?;
        }
        Ok(())
    }

    async fn missing(&self) -> io::Result<()> {
        let primary = self.primary().await?;
        let running = self.servers.iter().filter(|server| server.is_running()).count();
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.is_running()) {
            let told = sentinel.command(&["SENTINEL", "MASTER", NAME]).await?;
            let number = |name| field(&told, name).and_then(|number| number.parse().ok());
            let (replicas, others) = (number("num-slaves"), number("num-other-sentinels"));
            let flags = field(&told, "flags").unwrap_or_default();
            if self.numbered(&told)? != primary
                || replicas < Some(running - 1)
                || others != Some(SENTINELS - 1)
                || flags != "master"
            {
                return Err(io::Error::other(format!(
                    "{replicas:?} replicas, {others:?} others, {flags}"
                )));
            }
        }
        for (number, server) in self.servers.iter().enumerate() {
            if !server.is_running() {
                continue;
            }
            let info = server.command(&["INFO", "replication"]).await?;
            let info = info.text().unwrap_or_default();
            let right = match number == primary {
                true => info.contains("role:master"),
                false => info.contains("role:slave") && info.contains("master_link_status:up"),
            };
            if !right {
                return Err(io::Error::other(format!("server {number}: {info}")));
            }
        }
        Ok(())
    }

    /// The URL for the client: `redis+sentinel://127.0.0.1:<port>,.../main`, with the password of the servers.
    pub fn url(&self) -> String {
        let hosts = self.sentinels.iter().filter_map(TestServer::client_port);
        let hosts: Vec<_> = hosts.map(|port| format!("127.0.0.1:{port}")).collect();
        let first = self.servers.first();
        let scheme = if first.is_some_and(TestServer::speaks_tls) { "rediss" } else { "redis" };
        let password = first.and_then(TestServer::password);
        let login = password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}+sentinel://{login}{}/{NAME}", hosts.join(","))
    }

    /// The number of the server that a majority of the running sentinels names as the primary.
    ///
    /// # Errors
    ///
    /// When they do not agree, or name none of the servers.
    pub async fn primary(&self) -> io::Result<usize> {
        let mut votes = vec![0; self.servers.len()];
        let running = self.sentinels.iter().filter(|sentinel| sentinel.is_running());
        for sentinel in running.clone() {
            votes[self.numbered(&sentinel.command(&["SENTINEL", "MASTER", NAME]).await?)?] += 1;
        }
        let most = running.count() / 2 + 1;
        let primary = votes.iter().position(|votes| *votes >= most);
        primary.ok_or_else(|| io::Error::other(format!("the sentinels do not agree: {votes:?}")))
    }

    fn numbered(&self, told: &Reply) -> io::Result<usize> {
        let port = field(told, "port").and_then(|port| port.parse().ok());
        let number = self.servers.iter().position(|server| server.client_port() == port);
        number.ok_or_else(|| io::Error::other(format!("no server has the port {port:?}")))
    }

    /// Makes a replica the primary, as an operator does: `SENTINEL FAILOVER`.
    ///
    /// # Errors
    ///
    /// As [`TestServer::command`].
    pub async fn fail_over(&self) -> io::Result<()> {
        self.sentinels[0].command(&["SENTINEL", "FAILOVER", NAME]).await?;
        Ok(())
    }

    /// All servers, the primary of the start first.
    pub fn servers(&self) -> &[TestServer] {
        &self.servers
    }

    /// A server.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn server(&self, number: usize) -> &TestServer {
        &self.servers[number]
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[TestServer] {
        &self.sentinels
    }

    /// The proxy in the replication link of this server; see
    /// [`replication_proxied`](TestSentinelBuilder::replication_proxied).
    ///
    /// # Panics
    ///
    /// When it is not a replica of the start, or there are no proxies.
    pub fn replication(&self, server: usize) -> &Proxy {
        &self.proxies[server - 1]
    }
}

/// A field of `SENTINEL MASTER`.
fn field<'a>(told: &'a Reply, name: &str) -> Option<&'a str> {
    told.texts()
        .chunks(2)
        .find(|pair| pair.first() == Some(&name))
        .and_then(|pair| pair.get(1).copied())
}
