//! The table `users`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::queued::sql;
use super::stale_copies::write_with_note;
use super::{Database, DbError, Store, Written, on_store};

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

/// How often a write is tried again that another writer got in the way of.
pub(super) const TRIES: usize = 10;

/// What is said of the id that a new user would get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It can have it.
    Yes,
    /// It is in use elsewhere: another one.
    Taken,
    /// Nobody can tell: the user is not made.
    No,
}

/// Asked for the id of a new user before its row becomes visible.
pub type Admit<'a> = dyn Fn(i64) -> BoxFuture<'a, Admitted> + Send + Sync + 'a;

impl Database {
    /// The user with this id. Takes longer by [`Database::slow`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_user(&self, id: i64) -> Result<Option<User>, DbError> {
        if self.slow > Duration::ZERO {
            tokio::time::sleep(self.slow).await;
        }
        let row: Option<Row> = on_store!(&self.store, pool => {
            sqlx::query_as(FIND).bind(id).fetch_optional(pool).await?
        });
        Ok(row.map(User::from))
    }

    /// The users with these ids, those there are in any order: one statement. Takes longer by [`Database::slow`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_users(&self, ids: &[i64]) -> Result<Vec<User>, DbError> {
        if self.slow > Duration::ZERO {
            tokio::time::sleep(self.slow).await;
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let find = "SELECT id, name, email, created_at FROM users WHERE id IN ({})";
        let rows: Vec<Row> = on_store!(&self.store, pool => {
            let mut query = sqlx::query_as(sql(find, "?", ids.len()));
            for id in ids {
                query = query.bind(*id);
            }
            query.fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Up to `limit` ids above `after`, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_ids(&self, after: i64, limit: u32) -> Result<Vec<i64>, DbError> {
        let list = "SELECT id FROM users WHERE id > ? ORDER BY id LIMIT ?";
        let rows: Vec<(i64,)> = on_store!(&self.store, pool => {
            sqlx::query_as(list).bind(after).bind(limit).fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Up to `limit` users with ids above `after`, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self, after: i64, limit: u32) -> Result<Vec<User>, DbError> {
        let list = "SELECT id, name, email, created_at FROM users WHERE id > ? ORDER BY id LIMIT ?";
        let rows: Vec<Row> = on_store!(&self.store, pool => {
            sqlx::query_as(list).bind(after).bind(limit).fetch_all(pool).await?
        });
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
        let admit = |_| std::future::ready(Admitted::Yes).boxed();
        let made = self.create_admitted_user(user, dropped, &admit).await?;
        made.ok_or(DbError(sqlx::Error::RowNotFound))
    }

    /// As [`Database::create_user`], under an id that is admitted before its row becomes visible; `None` when nobody
    /// could tell.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn create_admitted_user(
        &self,
        user: &NewUser,
        dropped: &[i64],
        admit: &Admit<'_>,
    ) -> Result<Option<Written<User>>, DbError> {
        // The store's next number; when there is none behind the largest id, any that is free.
        let mut wanted = None;
        for _ in 1..TRIES {
            match self.insert_user(wanted, user, dropped, admit).await {
                Err(error) if is_taken(&error) => wanted = Some(rand::random_range(1..=i64::MAX)),
                Err(error) if is_conflict(&error) => {}
                Ok(Err(Admitted::Taken)) => wanted = Some(rand::random_range(1..=i64::MAX)),
                done => return Ok(done?.ok()),
            }
        }
        Ok(self.insert_user(wanted, user, dropped, admit).await?.ok())
    }

    async fn insert_user(
        &self,
        id: Option<i64>,
        user: &NewUser,
        dropped: &[i64],
        admit: &Admit<'_>,
    ) -> Result<Result<Written<User>, Admitted>, sqlx::Error> {
        let NewUser { name, email, created_at } = user.clone();
        let created_at = created_at.unwrap_or_else(now);
        Ok(Ok(write_with_note!(&self.store, dropped, transaction => {
            let insert = sqlx::query(INSERT).bind(id).bind(&name).bind(&email).bind(created_at);
            let id = insert.execute(&mut *transaction).await?.new_id();
            let admitted = admit(id).await;
            if admitted != Admitted::Yes {
                return Ok(Err(admitted));
            }
            (id, User { id, name, email, created_at })
        })))
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
        self.put_user_since(id, user, now(), dropped).await
    }

    /// As [`Database::put_user`]; with no time of its own, a user who was not there has been since `since`.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn put_user_since(
        &self,
        id: i64,
        user: &NewUser,
        since: f64,
        dropped: &[i64],
    ) -> Result<Written<(User, bool)>, DbError> {
        for _ in 1..TRIES {
            match self.update_or_insert_user(id, user, since, dropped).await {
                // Another process made the user between the two statements: an update after all.
                Err(error) if is_conflict(&error) => {}
                done => return Ok(done?),
            }
        }
        Ok(self.update_or_insert_user(id, user, since, dropped).await?)
    }

    async fn update_or_insert_user(
        &self,
        id: i64,
        NewUser { name, email, created_at }: &NewUser,
        since: f64,
        dropped: &[i64],
    ) -> Result<Written<(User, bool)>, sqlx::Error> {
        Ok(write_with_note!(&self.store, dropped, transaction => {
            let update = sqlx::query(UPDATE).bind(name).bind(email).bind(created_at).bind(id);
            let new = update.execute(&mut *transaction).await?.rows_affected() == 0;
            if new {
                let created_at = created_at.unwrap_or(since);
                let insert = sqlx::query(INSERT).bind(id).bind(name).bind(email).bind(created_at);
                insert.execute(&mut *transaction).await?;
            }
            let row: Row = sqlx::query_as(FIND).bind(id).fetch_one(&mut *transaction).await?;
            (id, (row.into(), new))
        }))
    }

    /// Deletes the user with this id; answers whether there was one. Removes the notes of these `dropped` copies.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn delete_user(&self, id: i64, dropped: &[i64]) -> Result<Written<bool>, DbError> {
        Ok(self.remove_user(id, dropped).await?)
    }

    async fn remove_user(&self, id: i64, dropped: &[i64]) -> Result<Written<bool>, sqlx::Error> {
        Ok(write_with_note!(&self.store, dropped, transaction => {
            let delete = sqlx::query("DELETE FROM users WHERE id = ?").bind(id);
            (id, delete.execute(&mut *transaction).await?.rows_affected() > 0)
        }))
    }

    /// Stores users under their own ids in one transaction; those whose id is taken are left as they are.
    /// Answers how many were stored.
    ///
    /// # Errors
    /// When the database fails; then none was stored.
    pub async fn insert_missing_users(&self, users: &[User]) -> Result<u64, DbError> {
        let mut stored = 0;
        on_store!(&self.store, pool => {
            let mut transaction = pool.begin().await?;
            for User { id, name, email, created_at } in users {
                let insert = sqlx::query(self.insert_if_missing()).bind(id).bind(name).bind(email);
                stored += insert.bind(created_at).execute(&mut *transaction).await?.rows_affected();
            }
            transaction.commit().await?;
        });
        Ok(stored)
    }

    fn insert_if_missing(&self) -> &'static str {
        match &self.store {
            Store::Sqlite(_) => {
                "INSERT INTO users (id, name, email, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
            }
            #[cfg(feature = "mysql")]
            Store::MySql(_) => {
                "INSERT IGNORE INTO users (id, name, email, created_at) VALUES (?, ?, ?, ?)"
            }
        }
    }

    /// How many users there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_users(&self) -> Result<i64, DbError> {
        let (count,) = on_store!(&self.store, pool => {
            sqlx::query_as("SELECT count(*) FROM users").fetch_one(pool).await?
        });
        Ok(count)
    }
}

const FIND: &str = "SELECT id, name, email, created_at FROM users WHERE id = ?";

const UPDATE: &str =
    "UPDATE users SET name = ?, email = ?, created_at = coalesce(?, created_at) WHERE id = ?";

/// With no id the store gives one.
const INSERT: &str = "INSERT INTO users (id, name, email, created_at) VALUES (?, ?, ?, ?)";

/// The id that the store gave to a row.
trait NewId {
    fn new_id(&self) -> i64;
}

impl NewId for sqlx::sqlite::SqliteQueryResult {
    fn new_id(&self) -> i64 {
        self.last_insert_rowid()
    }
}

#[cfg(feature = "mysql")]
impl NewId for sqlx::mysql::MySqlQueryResult {
    fn new_id(&self) -> i64 {
        i64::try_from(self.last_insert_id()).unwrap_or(i64::MAX)
    }
}

/// Whether another writer got in between: it made the same row, or the server ended one of two that waited for
/// each other.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || error.code().as_deref() == Some(SERIALIZATION_FAILURE)
    })
}

/// Whether the id is in use, or the store has no number behind the largest one.
fn is_taken(error: &sqlx::Error) -> bool {
    #[cfg(feature = "mysql")]
    if let sqlx::Error::Database(error) = error
        && let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        && AUTO_INCREMENT_ENDED.contains(&error.number())
    {
        return true;
    }
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// ER_AUTOINC_READ_FAILED, and what MariaDB says in its place.
#[cfg(feature = "mysql")]
const AUTO_INCREMENT_ENDED: [u16; 2] = [1467, 167];

/// Seconds since 1970, as the records count them.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
