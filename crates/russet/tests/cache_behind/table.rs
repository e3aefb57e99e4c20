//! A table in memory, that refuses, hangs and counts as a test wants it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::{BoxError, Cache, CacheBuilder, Loader, Russet, Write, WritePolicy, Writer};
use tokio::sync::Semaphore;

/// Rows with the number of their last write; a deleted one is a number without a value.
type Rows = BTreeMap<u64, (u64, Option<String>)>;

#[derive(Clone)]
pub struct Table {
    rows: Arc<Mutex<Rows>>,
    pub down: Arc<AtomicBool>,
    pub poison: Arc<Mutex<HashSet<u64>>>,
    /// Calls of the writer, failed ones included.
    pub statements: Arc<AtomicUsize>,
    pub largest_batch: Arc<AtomicUsize>,
    pub loads: Arc<AtomicUsize>,
    /// A permit is taken for each statement.
    pub gate: Arc<Semaphore>,
    /// Statements that wait for theirs.
    pub waiting: Arc<AtomicUsize>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            rows: Arc::default(),
            down: Arc::default(),
            poison: Arc::default(),
            statements: Arc::default(),
            largest_batch: Arc::default(),
            loads: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS / 2)),
            waiting: Arc::default(),
        }
    }
}

impl Table {
    /// One whose statements wait until they are let through.
    pub fn gated() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::default() }
    }

    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.rows().len()
    }

    pub fn row(&self, id: u64) -> Option<String> {
        self.rows().get(&id).and_then(|(_, name)| name.clone())
    }

    pub fn set(&self, id: u64, name: &str) {
        self.rows().insert(id, (0, Some(name.to_owned())));
    }

    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::SeqCst)
    }

    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub fn refuse(&self, id: u64, refuses: bool) {
        let mut poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner);
        if refuses {
            poison.insert(id);
        } else {
            poison.remove(&id);
        }
    }

    async fn apply(&self, writes: &[Write<'_, u64, String>]) -> Result<(), BoxError> {
        self.statements.fetch_add(1, Ordering::SeqCst);
        self.largest_batch.fetch_max(writes.len(), Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let permit = self.gate.acquire().await?;
        permit.forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err("the database is away".into());
        }
        let poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(refused) = writes.iter().find(|write| poison.contains(write.key)) {
            return Err(format!("row {} breaks a constraint", refused.key).into());
        }
        let mut rows = self.rows();
        for write in writes {
            let sequence = write.sequence.ok_or("a queued write has its number")?;
            let row = rows.entry(*write.key).or_default();
            if sequence > row.0 {
                *row = (sequence, write.value.cloned());
            }
        }
        Ok(())
    }
}

impl Loader<u64, String> for Table {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.row(*id))
    }
}

impl Writer<u64, String> for Table {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        self.apply(&[write]).await.map(|()| None)
    }

    async fn write_many(
        &self,
        writes: &[Write<'_, u64, String>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        self.apply(writes).await.map(|()| Vec::new())
    }
}

pub type Users = Cache<u64, String>;

/// A cache in front of this table, whose writes are flushed soon.
pub fn behind(russet: &Russet, table: &Table) -> CacheBuilder<u64, String> {
    Cache::builder(russet, "users")
        .loader(table.clone())
        .writer(table.clone())
        .write_policy(WritePolicy::Behind)
        .linger(Duration::from_millis(20))
        .flush_lease(Duration::from_secs(2))
}

pub fn name(name: impl ToString) -> String {
    name.to_string()
}
