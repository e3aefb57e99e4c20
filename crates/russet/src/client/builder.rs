use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::time::Instant;

use super::{
    Russet,
    settings::{ParsedUrl, Settings},
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
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        }
    }

    /// The server: `redis://[user:password@]host[:port][/database]` or
    /// `unix://[user:password@]/path/to/socket[?db=database]`. Defaults to `redis://127.0.0.1:6379`.
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
        russet.link().first(deadline).await?;
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
        let mut login = RedisConnectionInfo::default()
            .set_db(url.database)
            .set_lib_name("russet", env!("CARGO_PKG_VERSION"));
        if let Some(user) = self.user.or(url.user) {
            login = login.set_username(user);
        }
        if let Some(password) = self.password.or(url.password) {
            login = login.set_password(password);
        }
        let settings = Settings {
            address: url.address,
            login,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
        };
        Russet::start(settings, namespace)
    }
}
