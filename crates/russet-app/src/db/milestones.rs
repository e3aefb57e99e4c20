//! The table `milestones`: what happens once in the life of a database.

use super::{Database, DbError, on_store};

impl Database {
    /// Whether this has happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_passed(&self, milestone: &str) -> Result<bool, DbError> {
        let count = "SELECT count(*) FROM milestones WHERE name = ?";
        let (passed,): (i64,) = on_store!(&self.store, pool => {
            sqlx::query_as(count).bind(milestone).fetch_one(pool).await?
        });
        Ok(passed > 0)
    }

    /// Remembers for ever that this has happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass(&self, milestone: &str) -> Result<(), DbError> {
        let insert = "INSERT INTO milestones (name) VALUES (?)";
        let passed = on_store!(&self.store, pool => {
            sqlx::query(insert).bind(milestone).execute(pool).await.map(drop)
        });
        match passed {
            // Somebody else remembered it first.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
            done => Ok(done?),
        }
    }
}
