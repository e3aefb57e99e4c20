//! What can be chosen about the users.

use std::time::Duration;

use clap::ValueEnum;
use russet::WritePolicy;

/// How a user is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum UserWrites {
    /// To SQL, then the cached copy is dropped.
    #[default]
    Around,
    /// To SQL, then the copy is replaced.
    Through,
    /// To Redis, and to SQL soon after.
    Behind,
}

impl UserWrites {
    pub(super) fn policy(self) -> WritePolicy {
        match self {
            Self::Around => WritePolicy::Around,
            Self::Through => WritePolicy::Through,
            Self::Behind => WritePolicy::Behind,
        }
    }
}

/// The settings of [`Users`](super::Users).
#[derive(Debug, Clone, Copy)]
pub struct UsersSettings {
    /// How a user is written. Defaults to `Around`.
    pub writes: UserWrites,
    /// How long a user is served from the cache without a look at the database. Defaults to 10 minutes.
    pub ttl: Duration,
    /// How long a rebuild of the filter of ids waits for writes under way, see
    /// [`settle`](russet::BloomFilterBuilder::settle). Defaults to 5 seconds.
    pub settle: Duration,
}

impl Default for UsersSettings {
    fn default() -> Self {
        let (ttl, settle) = (Duration::from_secs(600), Duration::from_secs(5));
        Self { writes: UserWrites::default(), ttl, settle }
    }
}
