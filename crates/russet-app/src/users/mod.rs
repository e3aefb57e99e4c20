//! The users' records: SQL is the truth, the cache in front of it never outlives a write.

mod owed;
mod valid;

use std::time::Duration;

use futures_util::future::try_join_all;
use russet::{Cache, Russet, Source};
use russet_axum::ApiError;

use crate::db::{Database, DbError, NewUser, User, Written};
use owed::Owed;

pub use valid::{check_email, check_name};

/// How long a user is served from the cache without a look at the database.
const TTL: Duration = Duration::from_secs(600);
/// How long the cache remembers that there is no such user.
const NULL_TTL: Duration = Duration::from_secs(30);

/// The users. A cheap clone.
///
/// A write goes to SQL first, together with a note that the cached copy is out of date, and then drops the copy.
/// When Redis is away the write has happened all the same: this process reads that user from SQL, and the copy is
/// dropped as soon as Redis is back. A process that is killed in between leaves the note to the next one, which
/// [recovers](Self::recover) from it; until then other processes may serve the old copy, for 12 minutes at most.
#[derive(Clone)]
pub struct Users {
    cache: Cache<i64, User>,
    db: Database,
    owed: Owed,
}

/// A look-up's result and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// `None`: there is no such user.
    pub user: Option<User>,
    /// Where the answer came from.
    pub source: Source,
}

/// Why a look-up or a write failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The record store failed: a write did not happen.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The cache failed; with the kind `Load` it is the record store behind it that did.
    #[error(transparent)]
    Cache(#[from] russet::Error),
    /// Redis has been away for so long that too many cached copies wait to be dropped: the write was refused.
    #[error("too many changes wait for the Redis server to come back")]
    TooManyOwed,
    /// The task of the write ended early.
    #[error("the write was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Users {
    /// The users of this database, cached on this connection.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn new(russet: &Russet, db: Database) -> russet::Result<Self> {
        let cache =
            Cache::builder(russet, "users").ttl(TTL).null_ttl(NULL_TTL).ttl_jitter(0.2).build()?;
        Ok(Self { owed: Owed::new(cache.clone()), cache, db })
    }

    /// Drops the cached copies that a process which was killed, or stopped while Redis was away, could not drop any
    /// more; reads those users from the record store until that is done. To be called before the first look-up.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn recover(&self) -> Result<(), UsersError> {
        for (note, id) in self.db.stale_copies().await? {
            self.owed.add(id, note);
        }
        Ok(())
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`UsersError::Database`] when the answer is not cached and the record store fails.
    pub async fn find(&self, id: i64) -> Result<Lookup, UsersError> {
        if self.owed.contains(id) {
            return Ok(Lookup { user: self.db.find_user(id).await?, source: Source::Bypass });
        }
        let found = self.cache.find_with_source(&id, async || self.db.find_user(id).await).await?;
        Ok(Lookup { user: found.value, source: found.source })
    }

    /// Up to `limit` users with ids above `after`, from the record store.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn list(&self, after: i64, limit: u32) -> Result<Vec<User>, UsersError> {
        Ok(self.db.list_users(after, limit).await?)
    }

    /// Stores a new user under a new id.
    ///
    /// # Errors
    /// As [`UsersError`] says; an acknowledged user is on disk.
    pub async fn create(&self, user: NewUser) -> Result<User, UsersError> {
        self.write(|db, dropped| async move { db.create_user(&user, &dropped).await }).await
    }

    /// Stores a user under this id, over the one that is there; answers whether there was none.
    ///
    /// # Errors
    /// As [`UsersError`] says; an acknowledged user is on disk.
    pub async fn put(&self, id: i64, user: NewUser) -> Result<(User, bool), UsersError> {
        self.write(|db, dropped| async move { db.put_user(id, &user, &dropped).await }).await
    }

    /// Deletes the user with this id; answers whether there was one.
    ///
    /// # Errors
    /// As [`UsersError`] says.
    pub async fn delete(&self, id: i64) -> Result<bool, UsersError> {
        self.write(|db, dropped| async move { db.delete_user(id, &dropped).await }).await
    }

    /// Stores those of a batch of users whose ids are free, all or none; answers how many were stored.
    ///
    /// # Errors
    /// When a store fails; running it again completes it.
    pub async fn insert_missing(&self, users: &[User]) -> Result<u64, UsersError> {
        let stored = self.db.insert_missing_users(users).await?;
        // The cache may remember that some of them did not exist.
        try_join_all(users.iter().map(|user| self.cache.invalidate(&user.id))).await?;
        Ok(stored)
    }

    /// Runs the SQL of a write and drops the cached copy of the user it names, both also when the caller is gone
    /// meanwhile: a write whose copy stays would be served as it was before.
    async fn write<T, F>(&self, sql: impl FnOnce(Database, Vec<i64>) -> F) -> Result<T, UsersError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Written<T>, DbError>> + Send + 'static,
    {
        if self.owed.is_full() {
            return Err(UsersError::TooManyOwed);
        }
        let needless = self.owed.take_needless();
        let sql = sql(self.db.clone(), needless.clone());
        let (cache, owed) = (self.cache.clone(), self.owed.clone());
        tokio::spawn(async move {
            let written = sql.await.inspect_err(|_| owed.add_needless(&needless))?;
            match cache.invalidate(&written.user_id).await {
                Ok(()) => owed.add_needless(&[written.note]),
                Err(error) => {
                    tracing::warn!(%error, "a cached user could not be dropped; it is read from SQL until it is");
                    owed.add(written.user_id, written.note);
                }
            }
            Ok(written.outcome)
        })
        .await?
    }
}

impl From<UsersError> for ApiError {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::Database(error) => error.into(),
            UsersError::Cache(error) if error.kind() == russet::ErrorKind::Load => {
                database_away().caused_by(error)
            }
            UsersError::Cache(error) => error.into(),
            UsersError::TooManyOwed => Self::unavailable(error.to_string()),
            UsersError::Interrupted(error) => Self::internal(error),
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        database_away().caused_by(error)
    }
}

fn database_away() -> ApiError {
    ApiError::unavailable("the database is away")
}
