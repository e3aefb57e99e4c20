//! The table `stale_copies`: a write of a user and the note that its cached copy is out of date are one transaction,
//! so that a process that is killed before it drops the copy leaves the note for the next one.

use sqlx::{Sqlite, Transaction};

use super::{Database, DbError};

/// A change that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<T> {
    /// The user whose cached copy is out of date.
    pub user_id: i64,
    /// The number of the note that says so.
    pub note: i64,
    /// What the change brought.
    pub outcome: T,
}

impl Database {
    /// The notes that are left, by number and user, in the order of the writes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stale_copies(&self) -> Result<Vec<(i64, i64)>, DbError> {
        let notes = sqlx::query_as("SELECT number, user_id FROM stale_copies ORDER BY number");
        Ok(notes.fetch_all(&self.pool).await?)
    }

    /// Begins a write, and removes notes of earlier ones whose copies were dropped: they need no transaction of
    /// their own.
    pub(super) async fn begin_write(
        &self,
        dropped: &[i64],
    ) -> Result<Transaction<'static, Sqlite>, DbError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if !dropped.is_empty() {
            let numbers: Vec<String> = dropped.iter().map(i64::to_string).collect();
            sqlx::query(
                "DELETE FROM stale_copies WHERE number IN (SELECT value FROM json_each(?))",
            )
            .bind(format!("[{}]", numbers.join(",")))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction)
    }

    /// Adds the note of this write and commits both.
    pub(super) async fn commit_write<T>(
        mut transaction: Transaction<'static, Sqlite>,
        user_id: i64,
        outcome: T,
    ) -> Result<Written<T>, DbError> {
        let (note,) =
            sqlx::query_as("INSERT INTO stale_copies (user_id) VALUES (?) RETURNING number")
                .bind(user_id)
                .fetch_one(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(Written { user_id, note, outcome })
    }
}
