//! Cached copies that still have to be dropped, and ids of which the filter still has to be told: Redis was away when their user was written, or the process that
//! wrote it was killed before it could do it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::Cache;

use super::ids::Ids;
use super::table::Copy;

/// The most ids that are remembered; then writes are refused until Redis is back.
const MOST: usize = 100_000;
/// How many copies are dropped at a time.
const BATCH: usize = 256;
/// Between two tries to drop the copies.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The ids whose cached copies are out of date, and the numbers of the notes in the database that say so. A cheap
/// clone.
#[derive(Clone)]
pub(super) struct Owed {
    shared: Arc<Mutex<Shared>>,
    cache: Cache<i64, Copy>,
    ids: Ids,
}

#[derive(Default)]
struct Shared {
    /// The id and the note of the last write that made its copy stale: it has to be dropped after that write.
    stale: HashMap<i64, i64>,
    /// Notes that say nothing any more; the next write removes them from the database.
    needless: Vec<i64>,
    settling: bool,
}

impl Owed {
    pub(super) fn new(cache: Cache<i64, Copy>, ids: Ids) -> Self {
        Self { shared: Arc::default(), cache, ids }
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.lock().stale.contains_key(&id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().stale.len() >= MOST
    }

    /// Remembers the id and drops its copy in the background, however often that has to be tried.
    pub(super) fn add(&self, id: i64, note: i64) {
        let mut shared = self.lock();
        // Writes of one user may come here in another order than they were made.
        let older = match shared.stale.get(&id) {
            Some(&other) => {
                shared.stale.insert(id, other.max(note));
                Some(other.min(note))
            }
            None => shared.stale.insert(id, note),
        };
        shared.needless.extend(older);
        if !std::mem::replace(&mut shared.settling, true) {
            tokio::spawn(self.clone().settle());
        }
    }

    /// The notes to remove from the database with the next write.
    pub(super) fn take_needless(&self) -> Vec<i64> {
        std::mem::take(&mut self.lock().needless)
    }

    /// These notes say nothing any more: the copies were dropped, or could not be removed from the database yet.
    pub(super) fn add_needless(&self, notes: &[i64]) {
        self.lock().needless.extend(notes);
    }

    /// The copy was replaced, and the filter told, by something later than whatever is owed of this id.
    pub(super) fn replaced(&self, id: i64) {
        let mut shared = self.lock();
        let note = shared.stale.remove(&id);
        shared.needless.extend(note);
    }

    async fn settle(self) {
        while let Some(batch) = self.next_batch() {
            let ids: Vec<i64> = batch.iter().map(|(id, _)| *id).collect();
            // Told of an id that was deleted, the filter says "maybe" once too often, no more.
            let settled = async {
                self.ids.filter.insert_many(&ids).await?;
                self.cache.invalidate_many(&ids).await
            };
            match settled.await {
                Ok(_) => self.settled(&batch),
                Err(error) => {
                    tracing::debug!(%error, "stale users still wait in the cache");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Some of what is owed; with nothing left, the settling ends and the next `add` starts it again.
    fn next_batch(&self) -> Option<Vec<(i64, i64)>> {
        let mut shared = self.lock();
        let batch: Vec<_> =
            shared.stale.iter().take(BATCH).map(|(id, note)| (*id, *note)).collect();
        shared.settling = !batch.is_empty();
        shared.settling.then_some(batch)
    }

    fn settled(&self, batch: &[(i64, i64)]) {
        let mut shared = self.lock();
        for (id, note) in batch {
            // A later write made the copy stale again: it has to be dropped once more.
            if shared.stale.get(id) == Some(note) {
                shared.stale.remove(id);
                shared.needless.push(*note);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
