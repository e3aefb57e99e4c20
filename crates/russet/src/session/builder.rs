use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Inner, Sessions,
    device::{FingerprintPart, OnChange},
    ended::EndedSession,
    scripts::Place,
    secrets::Secrets,
    sweeper::Sweeper,
};
use crate::{
    client::Russet,
    error::{BoxError, Error, Result},
};

const SECOND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What is called with each session that has ended.
pub(super) type Listener =
    Arc<dyn Fn(EndedSession) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The settings of [`Sessions`]; made by [`Sessions::builder`].
///
/// They are of the handle; all processes should agree on secrets and times.
#[derive(Clone)]
#[must_use]
pub struct SessionsBuilder {
    russet: Russet,
    name: String,
    secrets: Vec<Vec<u8>>,
    settings: Settings,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) shard_secret: Option<Vec<u8>>,
    pub(super) idle_timeout: Duration,
    pub(super) max_age: Duration,
    pub(super) touch_after: f64,
    pub(super) max_sessions: u64,
    pub(super) fingerprint: Vec<FingerprintPart>,
    pub(super) on_fingerprint_change: OnChange,
    pub(super) on_address_change: OnChange,
    pub(super) max_value_bytes: usize,
    pub(super) log_entries: u64,
    pub(super) sweep_every: Duration,
    pub(super) listeners: Vec<Listener>,
}

impl SessionsBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        let settings = Settings {
            shard_secret: None,
            idle_timeout: Duration::from_secs(1_800),
            max_age: Duration::from_secs(86_400),
            touch_after: 0.1,
            max_sessions: 0,
            fingerprint: vec![FingerprintPart::UserAgent],
            on_fingerprint_change: OnChange::Reject,
            on_address_change: OnChange::Allow,
            max_value_bytes: 64 * 1024,
            log_entries: 10_000,
            sweep_every: Duration::from_secs(2),
            listeners: Vec::new(),
        };
        Self { russet: russet.clone(), name: name.to_owned(), secrets: Vec::new(), settings }
    }

    /// The key that signs tokens and identities: at least 32 random bytes, the same in all processes. There is no default.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.insert(0, secret.as_ref().to_vec());
        self
    }

    /// A key that has signed before, and is still believed. To change the key: name the new one here in all processes, then
    /// make it the [`secret`](Self::secret) and name the old one here, and leave that out when the longest session has ended.
    pub fn also_verify(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret.as_ref().to_vec());
        self
    }

    /// A key that decides in which shard a user's sessions lie. With it nobody who chooses names can put them all into one,
    /// and a token's shard says nothing about a name. It can never change: the sessions would not be found. None unless set.
    pub fn shard_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.settings.shard_secret = Some(secret.as_ref().to_vec());
        self
    }

    /// How long a session may be unused, 1 s to 366 days. Defaults to 30 minutes.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout;
        self
    }

    /// How long a session lasts at most, however much it is used, 1 s to 366 days. Defaults to 24 hours.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age;
        self
    }

    /// A validation moves the idle deadline only when this part of the idle timeout has passed since it was moved last: 0 to 0.9.
    /// Most validations then write nothing, and a session may end by as much too early. Defaults to 0.1.
    pub fn touch_after(mut self, part: f64) -> Self {
        self.settings.touch_after = part;
        self
    }

    /// How many sessions a user may have at the same time, 1 to 1,000. One more ends the oldest, or is refused by
    /// [`unless_full`](super::Create::unless_full). Those of applications under a global one are not counted. No limit unless set.
    pub fn max_sessions(mut self, most: u64) -> Self {
        self.settings.max_sessions = most;
        self
    }

    /// Of what a device's fingerprint is made; nothing for no fingerprint. Defaults to the user agent.
    pub fn fingerprint(mut self, parts: impl IntoIterator<Item = FingerprintPart>) -> Self {
        self.settings.fingerprint = parts.into_iter().collect();
        self
    }

    /// What is done when the fingerprint is another. Defaults to [`OnChange::Reject`].
    pub fn on_fingerprint_change(mut self, then: OnChange) -> Self {
        self.settings.on_fingerprint_change = then;
        self
    }

    /// What is done when the address is another than that of the last use. Defaults to [`OnChange::Allow`]: telephones change it.
    pub fn on_address_change(mut self, then: OnChange) -> Self {
        self.settings.on_address_change = then;
        self
    }

    /// The most bytes of one attribute, 1 to 1 MiB. Defaults to 64 KiB. A session has at most 128 attributes.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// About how many entries each of the two logs keeps, 64 to 1,000,000: that of ended sessions, and that of what was suspicious.
    /// They are kept by shard, a 64th of this in each. Defaults to 10,000.
    pub fn log_entries(mut self, entries: u64) -> Self {
        self.settings.log_entries = entries;
        self
    }

    /// How often this handle looks for sessions that are over, 10 ms to an hour. It bounds how late they are told; when they
    /// end does not depend on it. Defaults to 2 seconds.
    pub fn sweep_every(mut self, pause: Duration) -> Self {
        self.settings.sweep_every = pause;
        self
    }

    /// Calls this with each session that has ended, whatever the reason. In the whole fleet one process that listens gets it, at least
    /// once: again after 30 seconds when the call fails, or the process dies.
    ///
    /// Once somebody has listened, events wait for the next who does, 10,000 in each shard; then the oldest are lost, and
    /// counted. With several listeners in a process, an event is heard when all of them have taken it.
    pub fn on_ended<F, R>(mut self, listener: F) -> Self
    where
        F: Fn(EndedSession) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.settings.listeners.push(Arc::new(move |ended| listener(ended).boxed()));
        self
    }

    /// Checks the settings and makes the handle; nothing is sent. With listeners it begins to look for what has ended.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, there is no secret, a secret has less than 32 bytes, or a setting
    /// is out of its range.
    pub fn build(self) -> Result<Sessions> {
        let Self { russet, name, secrets, settings } = self;
        settings.check()?;
        let place = Place::new(&russet, &name)?;
        let secrets = Secrets::new(&secrets)?;
        let sweeper = Sweeper::default();
        let listens = !settings.listeners.is_empty();
        let inner = Inner { russet, name, place, secrets, settings, sweeper };
        let sessions = Sessions { inner: Arc::new(inner) };
        if listens {
            sessions.keep_swept();
        }
        Ok(sessions)
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        for (what, time) in [("idle_timeout", self.idle_timeout), ("max_age", self.max_age)] {
            if !(SECOND..=LONGEST).contains(&time) {
                return Err(Error::invalid(format_args!(
                    "{what} must be 1 s to 366 days, not {time:?}"
                )));
            }
        }
        if self.idle_timeout > self.max_age {
            return Err(Error::invalid(format_args!(
                "idle_timeout is {:?}, longer than max_age, which is {:?}",
                self.idle_timeout, self.max_age
            )));
        }
        let range = |what: &str, is_in: bool, range: &str, value: &dyn fmt::Display| {
            let message = format_args!("{what} must be {range}, not {value}");
            if is_in { Ok(()) } else { Err(Error::invalid(message)) }
        };
        let part = self.touch_after;
        range("touch_after", (0.0..=0.9).contains(&part), "0 to 0.9", &part)?;
        let (most, bytes) = (self.max_sessions, self.max_value_bytes);
        range("max_sessions", most <= 1_000, "1 to 1,000", &most)?;
        range("max_value_bytes", (1..=1 << 20).contains(&bytes), "1 to 1 MiB", &bytes)?;
        let entries = self.log_entries;
        range("log_entries", (64..=1_000_000).contains(&entries), "64 to 1,000,000", &entries)?;
        let sweep = self.sweep_every;
        let sweeps = (Duration::from_millis(10)..=Duration::from_secs(3_600)).contains(&sweep);
        range("sweep_every", sweeps, "10 ms to an hour", &format_args!("{sweep:?}"))?;
        match &self.shard_secret {
            Some(secret) if secret.len() < 32 => Err(Error::invalid(format_args!(
                "shard_secret must have 32 bytes at least, not {}",
                secret.len()
            ))),
            _ => Ok(()),
        }
    }

    /// By how much a touch must move the deadline.
    pub(super) fn slack(&self) -> Duration {
        self.idle_timeout.mul_f64(self.touch_after)
    }

    /// How many entries a log has in each shard.
    pub(super) fn log(&self) -> u64 {
        self.log_entries.div_ceil(u64::from(super::SHARDS))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
