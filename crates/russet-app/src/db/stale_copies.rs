//! The table `stale_copies`: a write of a user and the note that its cached copy is out of date are one transaction,
//! so that a process that is killed before it drops the copy leaves the note for the next one.

use sqlx::AssertSqlSafe;

use super::{Database, DbError, on_store};

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
        let notes = "SELECT number, user_id FROM stale_copies ORDER BY number";
        Ok(on_store!(&self.store, pool => sqlx::query_as(notes).fetch_all(pool).await?))
    }
}

/// Runs a write of one user, which answers the user's id and an outcome, in one transaction with the note of its
/// stale copy. The same transaction removes the notes of earlier writes whose copies were `dropped`: they need none
/// of their own.
macro_rules! write_with_note {
    ($store:expr, $dropped:expr, $transaction:ident => $write:expr) => {
        $crate::db::on_store!($store, pool => {
            let mut $transaction = pool.begin().await?;
            for forget in $crate::db::stale_copies::forget($dropped) {
                sqlx::query(forget).execute(&mut *$transaction).await?;
            }
            let (user_id, outcome) = $write;
            let note = sqlx::query($crate::db::stale_copies::NOTE).bind(user_id);
            let note = note.execute(&mut *$transaction).await?.new_id();
            $transaction.commit().await?;
            $crate::db::Written { user_id, note, outcome }
        })
    };
}
pub(super) use write_with_note;

pub(super) const NOTE: &str = "INSERT INTO stale_copies (user_id) VALUES (?)";

/// The most notes that one statement removes.
const BATCH: usize = 1_000;

pub(super) fn forget(notes: &[i64]) -> impl Iterator<Item = AssertSqlSafe<String>> {
    notes.chunks(BATCH).map(|notes| {
        // Whole numbers, so nothing in them can end the statement.
        let numbers: Vec<_> = notes.iter().map(i64::to_string).collect();
        AssertSqlSafe(format!("DELETE FROM stale_copies WHERE number IN ({})", numbers.join(",")))
    })
}
