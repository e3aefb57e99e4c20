//! Settings of a throw-away Cluster.

use std::io;
use std::time::Duration;

use super::certificates::TestCertificates;
use super::cluster::TestCluster;
use super::server::TestServer;
use super::server_builder::TestServerBuilder;

/// Settings of a [`TestCluster`], made by [`TestCluster::builder`].
#[derive(Clone, Debug)]
pub struct TestClusterBuilder {
    pub(super) replicas: usize,
    pub(super) proxied: bool,
    pub(super) node: TestServerBuilder,
    node_timeout: Duration,
}

impl Default for TestClusterBuilder {
    fn default() -> Self {
        Self {
            replicas: 0,
            proxied: false,
            node: TestServer::builder(),
            node_timeout: Duration::from_millis(1_500),
        }
    }
}

impl TestClusterBuilder {
    /// How many replicas each of the three primaries has. Defaults to none.
    #[must_use]
    pub fn replicas(mut self, each: usize) -> Self {
        self.replicas = each;
        self
    }

    /// Puts a [`Proxy`](super::Proxy) before each node, which is where the Cluster sends its clients (and the replicas to
    /// their primaries). The nodes' own talk goes past it. Defaults to none.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// After how long of silence the others take a node for dead. Defaults to 1.5 s.
    #[must_use]
    pub fn node_timeout(mut self, time: Duration) -> Self {
        self.node_timeout = time;
        self
    }

    /// Asks clients for this password, as [`TestServerBuilder::password`]. Defaults to none.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.node = self.node.password(password);
        self
    }

    /// Speaks TLS everywhere, as [`TestServerBuilder::tls`]. Defaults to none.
    #[must_use]
    pub fn tls(mut self, certificates: &TestCertificates) -> Self {
        self.node = self.node.tls(certificates);
        self
    }

    /// A setting of each node, as [`TestServerBuilder::arg`].
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.node = self.node.arg(name, value);
        self
    }

    /// Starts the nodes, joins them, and waits until each of them serves.
    ///
    /// # Errors
    ///
    /// As [`TestServer::start`], and when the Cluster is not complete within 30 seconds.
    pub async fn start(self) -> io::Result<TestCluster> {
        TestCluster::launch(self).await
    }

    /// The settings of one node.
    pub(super) fn node(&self) -> TestServerBuilder {
        let timeout = self.node_timeout.as_millis().to_string();
        let node = self.node.clone().cluster_node();
        node.arg("cluster-node-timeout", timeout)
    }
}
