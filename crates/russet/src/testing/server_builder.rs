//! Settings of a throw-away server.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::certificates::TestCertificates;
use super::endpoint::Endpoint;
use super::server::TestServer;

/// Settings of a [`TestServer`], made by [`TestServer::builder`].
#[derive(Clone, Debug, Default)]
pub struct TestServerBuilder {
    pub(super) unix_socket: bool,
    pub(super) password: Option<String>,
    pub(super) cluster: bool,
    pub(super) tls: Option<Tls>,
    /// Runs as a sentinel, with these lines at the start of its configuration.
    pub(super) sentinel: Option<String>,
    replica_of: Option<SocketAddr>,
    append_only: bool,
    args: Vec<(String, String)>,
}

/// TLS as the server speaks it.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    certificates: TestCertificates,
    asks_clients: bool,
}

impl TestServerBuilder {
    /// Listens on a Unix socket in the temporary folder instead of a TCP port. Defaults to TCP.
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Keeps an append-only file, synced at each write, so that a [`restart`](TestServer::restart) brings back
    /// everything that was acknowledged, also after a [`kill`](TestServer::kill). Defaults to no persistence.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Starts the server as a node of a Cluster, which it does not belong to yet. See
    /// [`TestCluster`](super::TestCluster) for a whole one.
    #[must_use]
    pub(super) fn cluster_node(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Starts the server as a replica of the one at this address, which may be a [`Proxy`](super::Proxy) whose
    /// silence is then that of the replication link. Defaults to no replica.
    #[must_use]
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.replica_of = Some(primary);
        self
    }

    /// Runs it as a sentinel. Its configuration file is its memory, and begins with these lines.
    #[must_use]
    pub(super) fn sentinel(mut self, configuration: String) -> Self {
        self.sentinel = Some(configuration);
        self
    }

    /// Asks clients for this password: letters, digits, `-`, `_`, `.` and `~`. Defaults to none.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Speaks TLS with clients (and with other nodes and replicas) on a second port, which is the one that
    /// [`url`](TestServer::url) names. The first one stays open for [`command`](TestServer::command). The server has to be
    /// built with TLS, which not every valkey-server is. Defaults to none.
    #[must_use]
    pub fn tls(mut self, certificates: &TestCertificates) -> Self {
        self.tls = Some(Tls { certificates: certificates.clone(), asks_clients: false });
        self
    }

    /// As [`tls`](Self::tls), and refuses clients that show no certificate of the same authority. Defaults to none.
    #[must_use]
    pub fn mutual_tls(mut self, certificates: &TestCertificates) -> Self {
        self.tls = Some(Tls { certificates: certificates.clone(), asks_clients: true });
        self
    }

    /// Adds a setting of the server's configuration file, for example `("maxmemory", "8mb")`; it wins over the
    /// settings that are there already. Defaults to those of the server.
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.push((name.into(), value.into()));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// As [`TestServer::start`], and for a password with other characters than those named above.
    pub async fn start(self) -> io::Result<TestServer> {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if let Some(password) = &self.password
            && (password.is_empty() || !password.bytes().all(safe))
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the password of a test server goes into its URL: \
                    use one or more letters, digits, -, _, . or ~",
            ));
        }
        TestServer::launch(self).await
    }

    /// The command line of the server.
    pub(super) fn command(
        &self,
        program: &Path,
        endpoint: &Endpoint,
        folder: &Path,
    ) -> io::Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(folder);
        if let Some(configuration) = &self.sentinel {
            let file = folder.join("sentinel.conf");
            fs::write(&file, configuration)?;
            command.arg(file).arg("--sentinel");
        }
        match endpoint {
            Endpoint::Tcp(address) => {
                command.args(["--bind", &address.ip().to_string()]);
                command.args(["--port", &address.port().to_string()]);
            }
            Endpoint::Unix(path) => {
                command.args(["--port", "0", "--unixsocketperm", "700"]);
                command.arg("--unixsocket").arg(path);
            }
        }
        command.arg("--dir").arg(folder);
        if self.sentinel.is_none() {
            command.args(["--save", "", "--repl-diskless-sync-delay", "0"]);
        }
        if let Some(primary) = self.replica_of {
            let (host, port) = (primary.ip().to_string(), primary.port().to_string());
            command.args(["--replicaof", &host, &port]);
        }
        if self.append_only {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if self.cluster {
            command.args(["--cluster-enabled", "yes"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
            if self.sentinel.is_none() {
                command.args(["--masterauth", password]);
            }
        }
        if let Some(tls) = &self.tls {
            tls.arguments(&mut command, self.sentinel.is_some());
        }
        for (name, value) in &self.args {
            command.arg(format!("--{name}")).arg(value);
        }
        Ok(command)
    }
}

impl Tls {
    fn arguments(&self, command: &mut Command, sentinel: bool) {
        let (certificate, key) = self.certificates.server();
        command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
        command.arg("--tls-ca-cert-file").arg(self.certificates.authority());
        command.args(["--tls-auth-clients", if self.asks_clients { "yes" } else { "no" }]);
        // A sentinel speaks TLS with the servers because of this too.
        command.args(["--tls-replication", "yes"]);
        if !sentinel {
            command.args(["--tls-cluster", "yes"]);
        }
    }
}
