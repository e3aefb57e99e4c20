use std::{path::PathBuf, time::Duration};

use redis::RedisConnectionInfo;
use tokio::time::Instant;

use super::{
    Russet,
    settings::{Settings, Topology},
    tls::TlsFiles,
    url::{ParsedUrl, Servers},
};
use crate::{
    error::{Error, Result},
    keys::Namespace,
};

/// How to reach a server; made by [`Russet::builder`].
#[derive(Clone)]
#[must_use]
pub struct RussetBuilder {
    url: String,
    namespace: String,
    user: Option<String>,
    password: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    tls: TlsFiles,
    timeout: Duration,
    connect_timeout: Duration,
}

impl RussetBuilder {
    pub(super) fn new() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".into(),
            namespace: "russet".into(),
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            tls: TlsFiles::default(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        }
    }

    /// The server, in one of these forms; `user:password@` may stand before each host or list of hosts:
    ///
    /// - `redis://host[:port][/database]`, a single server;
    /// - `unix:///path/to/socket[?db=database]`, one on a Unix socket;
    /// - `redis+sentinel://host[:port][,host[:port]...]/primary[/database]`, the primary of this name, as the
    ///   sentinels at these hosts tell it; user and password are those of the servers behind;
    /// - `redis+cluster://host[:port][,host[:port]...]`, a Cluster, of which these are some nodes.
    ///
    /// `rediss`, `rediss+sentinel` and `rediss+cluster` speak TLS to every server, the sentinels included.
    /// Defaults to `redis://127.0.0.1:6379`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The first part of every key, 1 to 256 bytes; applications that share a server take different ones.
    /// Defaults to `russet`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The user to log in as, above the one in the URL. Defaults to the server's `default` user.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password, above the one in the URL. Defaults to none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The user to log in to the sentinels as. Defaults to their `default` user.
    pub fn sentinel_user(mut self, user: impl Into<String>) -> Self {
        self.sentinel_user = Some(user.into());
        self
    }

    /// The password of the sentinels. Defaults to none.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// A PEM file with the certificates of the authorities to trust for TLS, instead of the system's. It is read
    /// when the handle is made, and again for a new connection when it has changed. Defaults to the system's
    /// authorities.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authority = Some(path.into());
        self
    }

    /// PEM files with the certificate that we show to servers which ask for one, and with its key; read as
    /// [`ca_file`](Self::ca_file) is. Defaults to none.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// How long a call may take before it is an error, waiting for a connection included; not zero.
    /// Defaults to 1 second.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long opening a connection may take, logging in included; not zero. Defaults to 1 second.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects, and waits until the server answers.
    ///
    /// # Errors
    /// `Invalid` for a setting out of range, `Refused` for a wrong login, `Unreachable` when the server
    /// does not answer within the connect timeout.
    pub async fn connect(self) -> Result<Russet> {
        let deadline = Instant::now() + self.connect_timeout;
        let russet = self.connect_lazily()?;
        russet.router().first(deadline).await?;
        Ok(russet)
    }

    /// Connects in the background: calls wait for the connection, up to their own deadline.
    ///
    /// Must be called on a tokio runtime, which has to live as long as the handle.
    ///
    /// # Errors
    /// `Invalid` for a setting out of range.
    pub fn connect_lazily(self) -> Result<Russet> {
        let url = ParsedUrl::parse(&self.url)?;
        let namespace = Namespace::new(&self.namespace)?;
        for (what, time) in [("timeout", self.timeout), ("connect timeout", self.connect_timeout)] {
            if time.is_zero() {
                return Err(Error::invalid(format_args!("the {what} is zero")));
            }
        }
        let tls = match url.tls {
            true => Some(self.tls.load()?),
            false if self.tls.is_empty() => None,
            false => {
                return Err(Error::invalid("ca_file and client_certificate need a URL of rediss"));
            }
        };
        let sentinel_login = login(self.sentinel_user, self.sentinel_password, 0);
        let topology = match url.servers {
            Servers::One(address) => Topology::One(address),
            Servers::Cluster(seeds) => Topology::Cluster(seeds),
            Servers::Sentinels { addresses, primary } => {
                Topology::Sentinel { sentinels: addresses, primary, login: sentinel_login }
            }
        };
        let settings = Settings {
            topology,
            login: login(self.user.or(url.user), self.password.or(url.password), url.database),
            tls,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
        };
        Russet::start(settings, namespace)
    }
}

fn login(user: Option<String>, password: Option<String>, database: i64) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_db(database)
        .set_lib_name("russet", env!("CARGO_PKG_VERSION"));
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}
