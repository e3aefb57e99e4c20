//! Settings of a throw-away primary with replicas and sentinels.

use std::io;
use std::time::Duration;

use super::certificates::TestCertificates;
use super::sentinel::TestSentinel;
use super::server::TestServer;
use super::server_builder::TestServerBuilder;

/// Settings of a [`TestSentinel`], made by [`TestSentinel::builder`].
#[derive(Clone, Debug)]
pub struct TestSentinelBuilder {
    pub(super) replicas: usize,
    pub(super) proxied: bool,
    pub(super) server: TestServerBuilder,
    pub(super) sentinel: TestServerBuilder,
    pub(super) password: Option<String>,
    down_after: Duration,
}

impl Default for TestSentinelBuilder {
    fn default() -> Self {
        Self {
            replicas: 1,
            proxied: false,
            server: TestServer::builder(),
            sentinel: TestServer::builder(),
            password: None,
            down_after: Duration::from_millis(500),
        }
    }
}

impl TestSentinelBuilder {
    /// How many replicas the primary has. Defaults to 1.
    #[must_use]
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Puts a [`Proxy`](super::Proxy) into the replication link of each replica, so that it can be made silent. It holds
    /// until the first failover. Defaults to none.
    #[must_use]
    pub fn replication_proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// After how long of silence a sentinel takes the primary for dead. Defaults to 500 ms.
    #[must_use]
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = time;
        self
    }

    /// The password of the servers, as [`TestServerBuilder::password`]. Defaults to none.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        let password = password.into();
        self.server = self.server.password(password.clone());
        self.password = Some(password);
        self
    }

    /// The password of the sentinels. Defaults to none.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel = self.sentinel.password(password);
        self
    }

    /// Speaks TLS everywhere, as [`TestServerBuilder::tls`]. Defaults to none.
    #[must_use]
    pub fn tls(mut self, certificates: &TestCertificates) -> Self {
        self.server = self.server.tls(certificates);
        self.sentinel = self.sentinel.tls(certificates);
        self
    }

    /// A setting of each server, as [`TestServerBuilder::arg`].
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.server = self.server.arg(name, value);
        self
    }

    /// Starts the servers and three sentinels, and waits until these know everybody.
    ///
    /// # Errors
    ///
    /// As [`TestServer::start`], and when they do not know each other within 30 seconds.
    pub async fn start(self) -> io::Result<TestSentinel> {
        TestSentinel::launch(self).await
    }

    /// The configuration of a sentinel of the primary at this port.
    pub(super) fn configuration(&self, name: &str, port: u16) -> String {
        let down_after = self.down_after.as_millis();
        let mut lines = format!(
            "sentinel monitor {name} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {name} {down_after}\n\
             sentinel failover-timeout {name} 6000\n"
        );
        if let Some(password) = &self.password {
            lines += &format!("sentinel auth-pass {name} {password}\n");
        }
        lines
    }
}
