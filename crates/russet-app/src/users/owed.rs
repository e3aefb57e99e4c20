//! Cached copies that still have to be dropped, since Redis was away when their user was written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use russet::Cache;

use crate::db::User;

/// The most ids that are remembered; then writes are refused until Redis is back.
const MOST: usize = 100_000;
/// How many copies are dropped at a time.
const BATCH: usize = 256;
/// Between two tries to drop the copies.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The ids whose cached copies are out of date. A cheap clone.
#[derive(Clone)]
pub(super) struct Owed {
    shared: Arc<Mutex<Shared>>,
    cache: Cache<i64, User>,
}

#[derive(Default)]
struct Shared {
    /// The id and the number of the write that made its copy stale: a later one has to be dropped once more.
    stale: HashMap<i64, u64>,
    writes: u64,
    settling: bool,
}

impl Owed {
    pub(super) fn new(cache: Cache<i64, User>) -> Self {
        Self { shared: Arc::default(), cache }
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.lock().stale.contains_key(&id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().stale.len() >= MOST
    }

    /// Remembers the id and drops its copy in the background, however often that has to be tried.
    pub(super) fn add(&self, id: i64) {
        let mut shared = self.lock();
        shared.writes += 1;
        let write = shared.writes;
        shared.stale.insert(id, write);
        if !std::mem::replace(&mut shared.settling, true) {
            tokio::spawn(self.clone().settle());
        }
    }

    async fn settle(self) {
        while let Some(batch) = self.next_batch() {
            match try_join_all(batch.iter().map(|(id, _)| self.cache.invalidate(id))).await {
                Ok(_) => self.settled(&batch),
                Err(error) => {
                    tracing::debug!(%error, "stale users still wait in the cache");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Some of what is owed; with nothing left, the settling ends and the next `add` starts it again.
    fn next_batch(&self) -> Option<Vec<(i64, u64)>> {
        let mut shared = self.lock();
        let batch: Vec<_> =
            shared.stale.iter().take(BATCH).map(|(id, write)| (*id, *write)).collect();
        shared.settling = !batch.is_empty();
        shared.settling.then_some(batch)
    }

    fn settled(&self, batch: &[(i64, u64)]) {
        let mut shared = self.lock();
        for (id, write) in batch {
            if shared.stale.get(id) == Some(write) {
                shared.stale.remove(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
