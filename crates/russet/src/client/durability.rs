//! How safe a write is to be before it is acknowledged, and how safe it was.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{
    Russet,
    call::Call,
    send::{Errand, FromReply, decode},
};
use crate::error::{Error, Result};

/// What a write waits for before it is acknowledged; see [`Russet::durability`].
///
/// The writes of which a loss would be noticed (a task, a reservation, a session) say what they reached. What each
/// choice can lose is in the guide to operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The server's answer: what its own persistence and replication are set to.
    #[default]
    ServerDefault,
    /// So many replicas have the write too: `WAIT`. The one exception is the server's: a primary that never had a
    /// replica counts the first one while that is still loading.
    Replicated {
        /// How many, at least 1.
        replicas: u32,
        /// How long the write waits for them, at least a millisecond. Then it is acknowledged all the same, with what
        /// was reached.
        timeout: Duration,
    },
    /// The write is on the server's disk: `WAITAOF` where the server has it, or `appendfsync always`.
    Synced,
}

/// What a write had reached when it was acknowledged. A shortfall is no error: the write is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reached {
    /// How many replicas were known to have it. None were asked unless [`Replicated`](Durability::Replicated) was
    /// wanted.
    pub replicas: u32,
    /// Whether it was known to be on the server's disk. Not asked unless [`Synced`](Durability::Synced) was wanted.
    pub synced: bool,
    /// Whether it is all that was wanted.
    pub in_full: bool,
}

/// The longest wait for the disk: a server that syncs each second needs one.
const SYNC: Duration = Duration::from_secs(2);

impl Russet {
    /// A handle whose durable writes wait for more than the server's answer. It shares everything with this one; the
    /// writes take a connection of their own, which is opened when the first one needs it, because a write that waits
    /// holds up what follows on its connection.
    ///
    /// ```
    /// # use russet::testing::TestServer;
    /// use std::time::Duration;
    /// use russet::{Durability, Russet, raw};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TestServer::start().await?;
    /// # let url = server.url();
    /// let russet = Russet::connect(&url).await?;
    /// let timeout = Duration::from_millis(50);
    /// let safe = russet.durability(Durability::Replicated { replicas: 1, timeout });
    ///
    /// let (_, reached) = raw::durable(&safe, &["SET", "k", "v"]).await?;
    /// // This server has no replica; the value is there all the same.
    /// assert!(!reached.in_full && reached.replicas == 0);
    /// # Ok(()) }
    /// ```
    pub fn durability(&self, durability: Durability) -> Self {
        Self { inner: self.inner.clone(), durability }
    }

    /// Sends a write, and waits for what this handle's durability wants: one round trip, and what the wait takes.
    ///
    /// # Errors
    /// `Invalid` for a durability of no replicas or no time; otherwise as [`run`](Self::run), by the deadline and the
    /// time of the wait.
    pub(crate) async fn run_durable<T: FromReply>(&self, call: Call) -> Result<(T, Reached)> {
        let (tail, longer) = match self.durability {
            Durability::ServerDefault => {
                let reached = Reached { replicas: 0, synced: false, in_full: true };
                return Ok((self.run(call).await?, reached));
            }
            Durability::Replicated { replicas, timeout } => {
                let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).min(1 << 40);
                if replicas == 0 || millis == 0 {
                    return Err(Error::invalid(format_args!(
                        "a durability of {replicas} replicas within {timeout:?}: it takes one and a millisecond at least"
                    )));
                }
                let mut wait = redis::cmd("WAIT");
                wait.arg(replicas).arg(millis);
                (vec![wait], timeout)
            }
            Durability::Synced => (synced(), SYNC),
        };
        let (answer, told) = Errand::new(self.durable_router(), longer).one(&call, &tail).await?;
        Ok((decode(&call, answer)?, self.durability.reached(told)))
    }
}

impl Russet {
    /// As [`run_durable`](Self::run_durable) for many: one pipeline, unless the handle's durability makes each write
    /// wait; then they wait one behind the other.
    pub(crate) async fn run_many_durable<T: FromReply>(
        &self,
        calls: Vec<Call>,
    ) -> Result<Vec<(T, Reached)>> {
        if self.durability == Durability::ServerDefault {
            let reached = self.durability.reached(Vec::new());
            let answers = self.run_many(&calls).await?;
            return Ok(answers.into_iter().map(|answer| (answer, reached)).collect());
        }
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(self.run_durable(call).await?);
        }
        Ok(answers)
    }
}

/// Waits for the disk where the server can, and asks whether its answer alone would do.
fn synced() -> Vec<Cmd> {
    let mut wait = redis::cmd("WAITAOF");
    wait.arg(1).arg(0).arg(SYNC.as_millis() as u64);
    let mut settings = redis::cmd("CONFIG");
    settings.arg("GET").arg("append*");
    vec![wait, settings]
}

impl Durability {
    /// Reads what the commands behind the write answered.
    fn reached(self, told: Vec<Value>) -> Reached {
        let mut told = told.into_iter();
        let first = told.next().unwrap_or(Value::Nil);
        match self {
            Self::ServerDefault => Reached { replicas: 0, synced: false, in_full: true },
            Self::Replicated { replicas, .. } => {
                let reached = u32::from_redis_value(first).unwrap_or_default();
                Reached { replicas: reached, synced: false, in_full: reached >= replicas }
            }
            Self::Synced => {
                let synced = match <(u32, u32)>::from_redis_value(first) {
                    Ok((local, _)) => local > 0,
                    // No such command, or no file: the answer comes after the sync when each write is synced.
                    Err(_) => told.next().is_some_and(syncs_always),
                };
                Reached { replicas: 0, synced, in_full: synced }
            }
        }
    }
}

/// Whether `CONFIG GET append*` tells that each write is synced before it is answered.
fn syncs_always(settings: Value) -> bool {
    let settings = Vec::<(String, String)>::from_redis_value(settings).unwrap_or_default();
    let is = |name: &str, value: &str| settings.iter().any(|(n, v)| n == name && v == value);
    is("appendonly", "yes") && is("appendfsync", "always")
}
