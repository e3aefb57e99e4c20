//! The table behind the cache: what is loaded, listed for the filter, and written through or behind.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use russet::{BoxError, ItemSource, Loader, Write, Writer};
use serde::{Deserialize, Serialize};

use crate::db::{Database, NewUser, QueuedWrite, User, Written};

/// How many ids a rebuild of the filter reads at a time.
const PAGE: u32 = 1_000;

/// The table.
pub(super) struct UserTable(pub(super) Database);

/// A user as it is cached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub(super) struct Copy {
    pub(super) user: User,
    /// With a write through the cache, and never stored.
    pub(super) order: Option<Arc<Order>>,
}

/// The time by its bits: a fraction that is read from JSON may differ in the last one from what was written, and a
/// user who is replaced keeps the time that was read.
type Fields = (i64, String, String, u64);

/// What a write through the cache is to do beyond the record, and what came of it.
#[derive(Debug)]
pub(super) struct Order {
    /// As the caller gave it: what is stored stays when `None`.
    pub(super) created_at: Option<f64>,
    /// Notes that this write removes.
    pub(super) dropped: Vec<i64>,
    pub(super) done: OnceLock<Written<(User, bool)>>,
}

impl Loader<i64, Copy> for UserTable {
    async fn load(&self, id: &i64) -> Result<Option<Copy>, BoxError> {
        Ok(self.0.find_user(*id).await?.map(Copy::from))
    }

    async fn load_many(&self, ids: &[&i64]) -> Result<Vec<Option<Copy>>, BoxError> {
        let wanted: Vec<i64> = ids.iter().map(|id| **id).collect();
        let users = self.0.find_users(&wanted).await?;
        let users: HashMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
        Ok(wanted.iter().map(|id| users.get(id).cloned().map(Copy::from)).collect())
    }
}

impl ItemSource for UserTable {
    type Item = i64;

    async fn page(&self, after: Option<&i64>) -> Result<Vec<i64>, BoxError> {
        Ok(self.0.list_ids(after.copied().unwrap_or(0), PAGE).await?)
    }
}

impl Writer<i64, Copy> for UserTable {
    /// The version of a record is the number of the note that is written in the same transaction. It grows with the
    /// commits of a user: SQLite has one writer at a time, and in MySQL the note takes its number after the statement
    /// that locks the user's row, which stays locked until the commit. It is never given twice, whatever is deleted.
    async fn write(&self, write: Write<'_, i64, Copy>) -> Result<Option<u64>, BoxError> {
        let Some((copy, order)) = write.value.and_then(|copy| Some((copy, copy.order.as_deref()?)))
        else {
            return self.write_many(&[write]).await.map(|_| None);
        };
        let User { name, email, created_at, .. } = copy.user.clone();
        let new = NewUser { name, email, created_at: order.created_at };
        let written = self.0.put_user_since(*write.key, &new, created_at, &order.dropped).await?;
        // When somebody else has made the user meanwhile, its time is another one than was thought: then there is no
        // version, and the copy is dropped.
        let is_exact = written.outcome.0 == copy.user;
        let version = u64::try_from(written.note).ok().filter(|_| is_exact);
        let _ = order.done.set(written);
        Ok(version)
    }

    async fn write_many(
        &self,
        writes: &[Write<'_, i64, Copy>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        let queued = writes.iter().map(|write| {
            let sequence = write.sequence.and_then(|sequence| i64::try_from(sequence).ok());
            let sequence = sequence.ok_or("a write without an order number")?;
            Ok(QueuedWrite { id: *write.key, sequence, user: write.value.map(|copy| &copy.user) })
        });
        let queued: Vec<_> = queued.collect::<Result<_, BoxError>>()?;
        self.0.write_queued(&queued).await?;
        Ok(Vec::new())
    }
}

impl From<Fields> for Copy {
    fn from((id, name, email, created_at): Fields) -> Self {
        User { id, name, email, created_at: f64::from_bits(created_at) }.into()
    }
}

impl From<Copy> for Fields {
    fn from(Copy { user: User { id, name, email, created_at }, .. }: Copy) -> Self {
        (id, name, email, created_at.to_bits())
    }
}

impl From<User> for Copy {
    fn from(user: User) -> Self {
        Self { user, order: None }
    }
}
