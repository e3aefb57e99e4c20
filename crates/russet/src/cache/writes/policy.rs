use std::time::Duration;

use crate::error::{Error, Result};

/// What [`put`](super::super::Cache::put) and [`remove`](super::super::Cache::remove) do when the cache has a
/// [`Writer`](super::Writer).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WritePolicy {
    /// The record first, then the cached copy is dropped; the next look-up loads.
    #[default]
    Around,
    /// The record first, then the copy is replaced: by what was written when the writer tells its version, and only if
    /// nothing newer stands there. Without a version the copy is dropped.
    Through,
    /// The write is queued in Redis, where every look-up sees it, and comes to the record soon after: batched, in order
    /// for each key, and at least once. Nothing that was acknowledged is lost unless Redis loses it. While Redis is away,
    /// look-ups load what the record has, without what is still queued: [`Source::Bypass`](crate::Source::Bypass) tells.
    Behind,
}

/// What a `put` does when as many writes are queued as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backlog {
    /// It waits for room, so long at most, and then fails as with `Error`.
    Wait(Duration),
    /// It fails at once, with `Refused`.
    Error,
}

/// What the builder was told about writing.
#[derive(Clone, Default)]
pub(in crate::cache) struct WriteSettings {
    pub(super) policy: WritePolicy,
    pub(super) strict: bool,
    pub(super) linger: Option<Duration>,
    pub(super) batch: Option<usize>,
    pub(super) backlog: Option<(usize, Backlog)>,
    pub(super) attempts: Option<u32>,
    pub(super) flush_lease: Option<Duration>,
}

/// What the queue of a cache needs to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct BehindSettings {
    pub(in crate::cache) linger: Duration,
    pub(in crate::cache) batch: usize,
    pub(in crate::cache) backlog: usize,
    pub(in crate::cache) when_full: Backlog,
    pub(in crate::cache) attempts: u32,
    pub(in crate::cache) lease: Duration,
}

impl WriteSettings {
    pub(in crate::cache) fn policy(&self) -> WritePolicy {
        self.policy
    }

    pub(in crate::cache) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(in crate::cache) fn behind(&self) -> BehindSettings {
        let (backlog, when_full) =
            self.backlog.unwrap_or((100_000, Backlog::Wait(Duration::from_secs(1))));
        BehindSettings {
            linger: self.linger.unwrap_or(Duration::from_millis(100)),
            batch: self.batch.unwrap_or(200),
            backlog,
            when_full,
            attempts: self.attempts.unwrap_or(8),
            lease: self.flush_lease.unwrap_or(Duration::from_secs(5)),
        }
    }

    /// Refuses what contradicts itself.
    pub(in crate::cache) fn check(&self, cache: &str, has_writer: bool) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format_args!("cache {cache}: {what}")));
        let policy = self.policy;
        if policy != WritePolicy::Around && !has_writer {
            return refuse(format!("write_policy {policy:?} without a writer"));
        }
        if policy == WritePolicy::Behind && self.strict {
            return refuse("strict with write_policy Behind, where look-ups see each write".into());
        }
        let behind_only = [
            ("linger", self.linger.is_some()),
            ("write_batch", self.batch.is_some()),
            ("backlog", self.backlog.is_some()),
            ("write_attempts", self.attempts.is_some()),
            ("flush_lease", self.flush_lease.is_some()),
        ];
        if let Some((setting, _)) = behind_only.iter().find(|(_, set)| *set)
            && policy != WritePolicy::Behind
        {
            return refuse(format!("{setting} with write_policy {policy:?}: nothing is queued"));
        }
        let BehindSettings { linger, batch, backlog, when_full, attempts, lease } = self.behind();
        if linger > Duration::from_secs(60) {
            return refuse(format!("linger {linger:?} must be a minute or less"));
        }
        if !(1..=1_000).contains(&batch) {
            return refuse(format!("write_batch {batch} must be 1 to 1,000"));
        }
        if !(1..=100_000_000).contains(&backlog) {
            return refuse(format!("backlog {backlog} must be 1 to 100,000,000"));
        }
        if let Backlog::Wait(patience) = when_full
            && !(Duration::from_millis(1)..=Duration::from_secs(3_600)).contains(&patience)
        {
            return refuse(format!("backlog Wait({patience:?}) must be 1 ms to an hour"));
        }
        if attempts == 0 {
            return refuse("write_attempts 0 must be 1 or more".into());
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(300)).contains(&lease) {
            return refuse(format!("flush_lease {lease:?} must be 100 ms to 5 minutes"));
        }
        Ok(())
    }
}
