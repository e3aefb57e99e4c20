//! The settings of writing.

use std::{sync::Arc, time::Duration};

use super::{Backlog, WritePolicy, Writer};
use crate::{
    cache::{CacheBuilder, key::CacheKey},
    codec::Codec,
};

impl<K: ?Sized, V, C: Codec> CacheBuilder<K, V, C> {
    /// Writes to the system of record, for [`put`](crate::Cache::put), [`remove`](crate::Cache::remove) and their like. Defaults to
    /// none: `put` stores its value in the cache alone.
    pub fn writer(mut self, writer: impl Writer<K, V>) -> Self
    where
        K: CacheKey + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.writer = Some(Arc::new(writer));
        self
    }

    /// How a write reaches the record and the cache; all but `Around` need a [`writer`](Self::writer). Defaults to
    /// [`WritePolicy::Around`].
    pub fn write_policy(mut self, policy: WritePolicy) -> Self {
        self.writes.policy = policy;
        self
    }

    /// Places a guard before a record is written, so that nobody reads the old copy while it changes, and none is left
    /// when the writer dies between the record and the cache. One round trip more for each write; readers of the key
    /// load past the cache meanwhile. The guard lasts one `fill_lease`, renewed while the writer runs; a writer that
    /// dies costs the rest of that. A write fails when Redis is away. Not with [`WritePolicy::Behind`]. Defaults to off.
    pub fn strict(mut self) -> Self {
        self.writes.strict = true;
        self
    }

    /// How long a queued write waits for others, to be written with them and to be superseded by a later one of its key;
    /// at most a minute. Only with [`WritePolicy::Behind`]. Defaults to 100 milliseconds.
    pub fn linger(mut self, time: Duration) -> Self {
        self.writes.linger = Some(time);
        self
    }

    /// The most writes of one [`write_many`](Writer::write_many), 1 to 1,000. Only with [`WritePolicy::Behind`].
    /// Defaults to 200.
    pub fn write_batch(mut self, writes: usize) -> Self {
        self.writes.batch = Some(writes);
        self
    }

    /// How many keys may have a queued write, and what a `put` does beyond that. Each of the 256 partitions of the cache
    /// has its part of them, rounded up, and can be full before the others. Only with [`WritePolicy::Behind`]. Defaults
    /// to 100,000, and to wait a second.
    pub fn backlog(mut self, keys: usize, when_full: Backlog) -> Self {
        self.writes.backlog = Some((keys, when_full));
        self
    }

    /// How often the store may refuse a write, while it takes others, before the write is dead: see
    /// [`dead_writes`](crate::Cache::dead_writes). Only with [`WritePolicy::Behind`]. Defaults to 8, which with the
    /// pauses between them takes about ten seconds.
    pub fn write_attempts(mut self, attempts: u32) -> Self {
        self.writes.attempts = Some(attempts);
        self
    }

    /// How long the others wait before they take over from a flusher that died, 100 ms to 5 minutes; renewed while it
    /// writes. Only with [`WritePolicy::Behind`]. Defaults to 5 seconds.
    pub fn flush_lease(mut self, time: Duration) -> Self {
        self.writes.flush_lease = Some(time);
        self
    }
}
