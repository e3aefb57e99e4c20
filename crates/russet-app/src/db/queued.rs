//! Queued writes of users, guarded by their order numbers in the table `user_writes`.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::users::{TRIES, is_conflict};
use super::{Database, DbError, Store, User, on_store};

/// A write that was queued: the user as it is to be, or none to delete it.
#[derive(Debug, Clone, Copy)]
pub struct QueuedWrite<'a> {
    /// Whose record it is.
    pub id: i64,
    /// Grows with each write of this user.
    pub sequence: i64,
    /// What is to be stored.
    pub user: Option<&'a User>,
}

impl Database {
    /// Makes those of these writes, of different users, that are newer than what was written for their user before, in
    /// one transaction of five statements at most.
    ///
    /// # Errors
    /// When the database fails; then none was made.
    pub async fn write_queued(&self, writes: &[QueuedWrite<'_>]) -> Result<(), DbError> {
        let mut writes = writes.to_vec();
        // Two writers of the same rows wait for each other in one order.
        writes.sort_unstable_by_key(|write| write.id);
        for _ in 1..TRIES {
            match self.try_write_queued(&writes).await {
                Err(error) if is_conflict(&error) => {}
                done => return Ok(done?),
            }
        }
        Ok(self.try_write_queued(&writes).await?)
    }

    async fn try_write_queued(&self, writes: &[QueuedWrite<'_>]) -> Result<(), sqlx::Error> {
        if writes.is_empty() {
            return Ok(());
        }
        let (claim, look) = match &self.store {
            Store::Sqlite(_) => ("INSERT OR IGNORE INTO user_writes (id, sequence) VALUES {}", ""),
            // Not IGNORE, which would lock a row that is there for reading only: two who have done that wait for each
            // other when they go on to write it.
            #[cfg(feature = "mysql")]
            Store::MySql(_) => (
                "INSERT INTO user_writes (id, sequence) VALUES {} ON DUPLICATE KEY UPDATE id = id",
                " FOR UPDATE",
            ),
        };
        on_store!(&self.store, pool => {
            let mut transaction = pool.begin().await?;
            // Every row is there before it is read, and locked until the end: what is read cannot change meanwhile.
            let mut query = sqlx::query(sql(claim, "(?, 0)", writes.len()));
            for write in writes {
                query = query.bind(write.id);
            }
            query.execute(&mut *transaction).await?;
            let last = format!("SELECT id, sequence FROM user_writes WHERE id IN ({{}}){look}");
            let mut query = sqlx::query_as(sql(&last, "?", writes.len()));
            for write in writes {
                query = query.bind(write.id);
            }
            let last: Vec<(i64, i64)> = query.fetch_all(&mut *transaction).await?;
            let last: HashMap<_, _> = last.into_iter().collect();
            let is_newer = |write: &&QueuedWrite<'_>| {
                last.get(&write.id).is_none_or(|last| write.sequence > *last)
            };
            let newer: Vec<_> = writes.iter().filter(is_newer).collect();
            let stored: Vec<_> = newer.iter().filter_map(|write| write.user).collect();
            let deleted: Vec<_> = newer.iter().filter(|write| write.user.is_none()).collect();
            if !newer.is_empty() {
                let number = "REPLACE INTO user_writes (id, sequence) VALUES {}";
                let mut query = sqlx::query(sql(number, "(?, ?)", newer.len()));
                for write in &newer {
                    query = query.bind(write.id).bind(write.sequence);
                }
                query.execute(&mut *transaction).await?;
            }
            if !stored.is_empty() {
                let store = "REPLACE INTO users (id, name, email, created_at) VALUES {}";
                let mut query = sqlx::query(sql(store, "(?, ?, ?, ?)", stored.len()));
                for User { id, name, email, created_at } in &stored {
                    query = query.bind(id).bind(name).bind(email).bind(created_at);
                }
                query.execute(&mut *transaction).await?;
            }
            if !deleted.is_empty() {
                let delete = "DELETE FROM users WHERE id IN ({})";
                let mut query = sqlx::query(sql(delete, "?", deleted.len()));
                for write in &deleted {
                    query = query.bind(write.id);
                }
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }
}

/// The statement with a place for each of so many rows: no value stands in the text.
pub(super) fn sql(statement: &str, place: &str, rows: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement.replace("{}", &vec![place; rows].join(", ")))
}
