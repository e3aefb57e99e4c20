//! The table `milestones`: what happens once in the life of a database.

use super::{Database, DbError};

impl Database {
    /// Whether this has happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_passed(&self, milestone: &str) -> Result<bool, DbError> {
        let (passed,) = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM milestones WHERE name = ?)")
            .bind(milestone)
            .fetch_one(&self.pool)
            .await?;
        Ok(passed)
    }

    /// Remembers for ever that this has happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass(&self, milestone: &str) -> Result<(), DbError> {
        sqlx::query("INSERT INTO milestones (name) VALUES (?) ON CONFLICT (name) DO NOTHING")
            .bind(milestone)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
