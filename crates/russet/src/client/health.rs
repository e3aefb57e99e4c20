use std::{collections::HashMap, fmt, time::Duration};

use super::{Russet, raw};
use crate::error::Result;

/// What the server says of itself; see [`Russet::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// `redis` or `valkey`.
    pub server: String,
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// `master` or `slave`.
    pub role: String,
    /// How long it has been running.
    pub uptime: Duration,
    /// Bytes of memory it uses.
    pub used_memory: u64,
    /// The limit of its memory in bytes; `None` without one.
    pub max_memory: Option<u64>,
    /// What it does at that limit. Data that must not be lost needs `noeviction`.
    pub eviction_policy: String,
    /// Whether every write goes to an append-only file.
    pub append_only: bool,
    /// Connections open at the moment.
    pub clients: u64,
    /// Commands it has run since it started.
    pub commands: u64,
}

impl Russet {
    /// Asks the server how it is: one round trip.
    ///
    /// # Errors
    /// When the server does not answer; see [`ErrorKind`](crate::ErrorKind).
    pub async fn health(&self) -> Result<Health> {
        let answer = raw::command(self, &["INFO"]).await?;
        Ok(Health::read(&answer.into_text().unwrap_or_default()))
    }
}

impl Health {
    fn read(info: &str) -> Self {
        let fields: HashMap<_, _> = info.lines().filter_map(|line| line.split_once(':')).collect();
        let text = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        let number = |name: &str| text(name).parse::<u64>().unwrap_or_default();
        let valkey = fields.contains_key("valkey_version");
        Self {
            server: if valkey { "valkey" } else { "redis" }.into(),
            // Valkey tells the Redis version that it is compatible with beside its own.
            version: text(if valkey { "valkey_version" } else { "redis_version" }),
            role: text("role"),
            uptime: Duration::from_secs(number("uptime_in_seconds")),
            used_memory: number("used_memory"),
            max_memory: Some(number("maxmemory")).filter(|most| *most > 0),
            eviction_policy: text("maxmemory_policy"),
            append_only: text("aof_enabled") == "1",
            clients: number("connected_clients"),
            commands: number("total_commands_processed"),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.server, self.version, self.role)
    }
}
