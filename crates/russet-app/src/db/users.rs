//! The table `users`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Database, DbError, Written};

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Positive.
    #[schema(minimum = 1, example = 42)]
    pub id: i64,
    /// 1 to 100 characters.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Not unique.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Seconds since 1970 UTC.
    #[schema(example = 1_700_000_000.0)]
    pub created_at: f64,
}

/// What is stored under a user's id.
#[derive(Debug, Clone, PartialEq)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// Seconds since 1970 UTC; now, or what is stored already, when `None`.
    pub created_at: Option<f64>,
}

type Row = (i64, String, String, f64);

impl From<Row> for User {
    fn from((id, name, email, created_at): Row) -> Self {
        Self { id, name, email, created_at }
    }
}

impl Database {
    /// The user with this id. Takes longer by [`Database::slow`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_user(&self, id: i64) -> Result<Option<User>, DbError> {
        if self.slow > Duration::ZERO {
            tokio::time::sleep(self.slow).await;
        }
        let row: Option<Row> =
            sqlx::query_as("SELECT id, name, email, created_at FROM users WHERE id = ?")
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(User::from))
    }

    /// Up to `limit` users with ids above `after`, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self, after: i64, limit: u32) -> Result<Vec<User>, DbError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, name, email, created_at FROM users WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Stores a new user under a new id. Removes the notes of these `dropped` copies.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn create_user(
        &self,
        user: &NewUser,
        dropped: &[i64],
    ) -> Result<Written<User>, DbError> {
        let mut transaction = self.begin_write(dropped).await?;
        let row: Row = sqlx::query_as(
            "INSERT INTO users (name, email, created_at) VALUES (?, ?, ?) RETURNING id, name, email, created_at",
        )
        .bind(&user.name)
        .bind(&user.email)
        .bind(user.created_at.unwrap_or_else(now))
        .fetch_one(&mut *transaction)
        .await?;
        Self::commit_write(transaction, row.0, row.into()).await
    }

    /// Stores a user under this id, over the one that is there; answers whether there was none. Removes the notes
    /// of these `dropped` copies.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn put_user(
        &self,
        id: i64,
        user: &NewUser,
        dropped: &[i64],
    ) -> Result<Written<(User, bool)>, DbError> {
        let mut transaction = self.begin_write(dropped).await?;
        let updated: Option<Row> = sqlx::query_as(
            "UPDATE users SET name = ?, email = ?, created_at = coalesce(?, created_at) WHERE id = ?
             RETURNING id, name, email, created_at",
        )
        .bind(&user.name)
        .bind(&user.email)
        .bind(user.created_at)
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = updated {
            return Self::commit_write(transaction, id, (row.into(), false)).await;
        }
        let row: Row = sqlx::query_as(
            "INSERT INTO users (id, name, email, created_at) VALUES (?, ?, ?, ?)
             RETURNING id, name, email, created_at",
        )
        .bind(id)
        .bind(&user.name)
        .bind(&user.email)
        .bind(user.created_at.unwrap_or_else(now))
        .fetch_one(&mut *transaction)
        .await?;
        Self::commit_write(transaction, id, (row.into(), true)).await
    }

    /// Deletes the user with this id; answers whether there was one. Removes the notes of these `dropped` copies.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn delete_user(&self, id: i64, dropped: &[i64]) -> Result<Written<bool>, DbError> {
        let mut transaction = self.begin_write(dropped).await?;
        let done = sqlx::query("DELETE FROM users WHERE id = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        Self::commit_write(transaction, id, done.rows_affected() > 0).await
    }

    /// Stores users under their own ids in one transaction; those whose id is taken are left as they are.
    /// Answers how many were stored.
    ///
    /// # Errors
    /// When the database fails; then none was stored.
    pub async fn insert_missing_users(&self, users: &[User]) -> Result<u64, DbError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut stored = 0;
        for user in users {
            let done = sqlx::query(
                "INSERT INTO users (id, name, email, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            )
            .bind(user.id)
            .bind(&user.name)
            .bind(&user.email)
            .bind(user.created_at)
            .execute(&mut *transaction)
            .await?;
            stored += done.rows_affected();
        }
        transaction.commit().await?;
        Ok(stored)
    }

    /// How many users there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_users(&self) -> Result<i64, DbError> {
        let (count,) = sqlx::query_as("SELECT count(*) FROM users").fetch_one(&self.pool).await?;
        Ok(count)
    }
}

/// Seconds since 1970, as the records count them.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
