//! The users' records: SQL is the truth, the cache in front of it never outlives a write.

mod ids;
mod owed;
mod settings;
mod table;
mod valid;
mod writes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russet::{Cache, CacheBuilder, Rebuilder, Russet, Source};
use russet_axum::ApiError;

use crate::db::{Database, DbError, NewUser, User};
use ids::Ids;
use owed::Owed;
use table::{Copy, UserTable};

pub use settings::{UserWrites, UsersSettings};
pub use valid::{check_email, check_name};

/// How long the cache remembers that there is no such user.
const NULL_TTL: Duration = Duration::from_secs(30);
/// The last part of a user's time in which the next look-up has it loaded anew behind it.
const REFRESH_AHEAD: f64 = 0.1;
/// How much longer a user is served while the database is away.
const STALE_IF_ERROR: Duration = Duration::from_secs(3_600);
/// How many users a process keeps in its own memory.
const NEAR: usize = 10_000;
/// How often the filter of the ids is built anew.
const REBUILD: Duration = Duration::from_secs(3_600);
/// How long a start waits for what an earlier run left in the queue.
const LEFT_BEHIND: Duration = Duration::from_secs(30);

/// The users. A cheap clone.
///
/// How a write reaches SQL and the cache is a [setting](UserWrites). Under all but `Behind` it goes to SQL first,
/// together with a note that the cached copy is out of date. When Redis is away the write has happened all the same:
/// this process reads that user from SQL, and the copy is dropped as soon as Redis is back. A process that is killed
/// in between leaves the note to the next one, which [recovers](Self::recover) from it; until then other processes may
/// serve the old copy, for 12 minutes at most, and a new user may be unknown to them.
#[derive(Clone)]
pub struct Users {
    russet: Russet,
    cache: Cache<i64, Copy>,
    ids: Ids,
    db: Database,
    owed: Owed,
    settings: UsersSettings,
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
    /// The cache failed; with the kinds `Load` and `Write` it is the record store behind it that did.
    #[error(transparent)]
    Cache(#[from] russet::Error),
    /// Redis has been away for so long that too many cached copies wait to be dropped: the write was refused.
    #[error("too many changes wait for the Redis server to come back")]
    TooManyOwed,
    /// Users are written to Redis first, which is away: the write was refused.
    #[error("the Redis server is away: nothing was changed, since users are written to it first")]
    NoQueue,
    /// The task of the write ended early.
    #[error("the write was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Users {
    /// The users of this database, cached on this connection.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn new(russet: &Russet, db: Database, settings: UsersSettings) -> russet::Result<Self> {
        let ids = Ids::new(russet, &settings)?;
        let cache = builder(russet, &db)
            .write_policy(settings.writes.policy())
            .ttl(settings.ttl)
            .null_ttl(NULL_TTL)
            .ttl_jitter(0.2)
            .refresh_ahead(REFRESH_AHEAD)
            .stale_if_error(STALE_IF_ERROR)
            .near_entries(NEAR)
            .bloom(&ids.filter)
            .build()?;
        let owed = Owed::new(cache.clone(), ids.clone());
        Ok(Self { russet: russet.clone(), cache, ids, db, owed, settings })
    }

    /// Drops the cached copies that a process which was killed, or stopped while Redis was away, could not drop any
    /// more; reads those users from the record store until that is done. Brings to the record store what was queued
    /// under another policy. To be called before the first look-up.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn recover(&self) -> Result<(), UsersError> {
        for (note, id) in self.db.stale_copies().await? {
            self.owed.add(id, note);
        }
        if self.settings.writes != UserWrites::Behind {
            self.flush_left_behind().await;
        }
        Ok(())
    }

    /// Without this, nobody would flush what a process with `Behind` left that was killed, and no look-up would see it.
    async fn flush_left_behind(&self) {
        let flushed = async {
            let policy = UserWrites::Behind.policy();
            let queue = builder(&self.russet, &self.db).write_policy(policy).build()?;
            let left = queue.backlog().await?;
            if left > 0 {
                tracing::info!(left, "users were queued by an earlier run");
                queue.close().await?;
            }
            Ok::<_, russet::Error>(())
        };
        match tokio::time::timeout(LEFT_BEHIND, flushed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "it is not known whether users are queued"),
            Err(_) => tracing::warn!("queued users could not be written in time"),
        }
    }

    /// Builds the filter of the ids from the table, now and each hour, until it is dropped. Until the first one is
    /// there, an id that was never made costs a query.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn keep_ids(&self) -> russet::Result<Rebuilder> {
        let (filter, db) = (self.ids.filter.clone(), self.db.clone());
        tokio::spawn(async move {
            // Also when there is one: the table may be another one than it was built from.
            if let Err(error) = filter.rebuild(&UserTable(db)).await {
                tracing::warn!(%error, "the filter of the users' ids was not rebuilt");
            }
        });
        self.ids.filter.rebuild_every(REBUILD, UserTable(self.db.clone()))
    }

    /// At the end of the process: waits until what is queued is in the record store. What is left after `patience` is
    /// written by the next process.
    pub async fn close(&self, patience: Duration) {
        match tokio::time::timeout(patience, self.cache.close()).await {
            Ok(Ok(flushed)) if flushed.dead == 0 => {}
            Ok(Ok(flushed)) => tracing::error!(dead = flushed.dead, "the database refuses users"),
            Ok(Err(error)) => tracing::warn!(%error, "queued users were not written"),
            Err(_) => tracing::warn!("queued users were not all written; the next start does it"),
        }
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`UsersError::Database`] when the answer is not cached and the record store fails.
    pub async fn find(&self, id: i64) -> Result<Lookup, UsersError> {
        if self.owed.contains(id) {
            return Ok(Lookup { user: self.db.find_user(id).await?, source: Source::Bypass });
        }
        let asked = AtomicBool::new(false);
        let load = async || {
            asked.store(true, Ordering::Relaxed);
            self.db.find_user(id).await.map(|user| user.map(Copy::from))
        };
        let found = self.cache.find_with_source(&id, load).await?;
        let source = match found.source {
            // The filter's answer: it stood in Redis that there is no such user, and nobody was asked.
            Source::Miss if found.value.is_none() && !asked.into_inner() => Source::Hit,
            source => source,
        };
        Ok(Lookup { user: found.value.map(|copy| copy.user), source })
    }

    /// Up to `limit` users with ids above `after`, from the record store: without what is still queued.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn list(&self, after: i64, limit: u32) -> Result<Vec<User>, UsersError> {
        Ok(self.db.list_users(after, limit).await?)
    }

    /// Stores those of a batch of up to 1,000 users whose ids are free, all or none; answers how many were stored.
    ///
    /// # Errors
    /// When a store fails; running it again completes it.
    pub async fn insert_missing(&self, users: &[User]) -> Result<u64, UsersError> {
        let ids: Vec<i64> = users.iter().map(|user| user.id).collect();
        // Before, so that they are not hidden when this process is killed; and after, for a filter whose building began
        // meanwhile and read the table before this was committed. Only the second time it must be told.
        let _ = self.ids.filter.insert_many(&ids).await;
        let stored = self.db.insert_missing_users(users).await?;
        self.ids.filter.insert_many(&ids).await?;
        // The cache may remember that some of them did not exist.
        self.cache.invalidate_many(&ids).await?;
        Ok(stored)
    }

    /// Stores a new user under a new id.
    ///
    /// # Errors
    /// As [`UsersError`] says; an acknowledged user is on disk.
    pub async fn create(&self, user: NewUser) -> Result<User, UsersError> {
        self.create_around(user).await
    }

    /// Stores a user under this id, over the one that is there; answers whether there was none.
    ///
    /// # Errors
    /// As [`UsersError`] says; an acknowledged user is on disk, or in Redis with `Behind`.
    pub async fn put(&self, id: i64, user: NewUser) -> Result<(User, bool), UsersError> {
        match self.settings.writes {
            UserWrites::Around => self.put_around(id, user).await,
            UserWrites::Through => self.put_through(id, user).await,
            UserWrites::Behind => self.put_behind(id, user).await,
        }
    }

    /// Deletes the user with this id; answers whether there was one.
    ///
    /// # Errors
    /// As [`UsersError`] says.
    pub async fn delete(&self, id: i64) -> Result<bool, UsersError> {
        match self.settings.writes {
            UserWrites::Around | UserWrites::Through => self.delete_around(id).await,
            UserWrites::Behind => self.delete_behind(id).await,
        }
    }
}

/// What every handle of this cache must have in common.
fn builder(russet: &Russet, db: &Database) -> CacheBuilder<i64, Copy> {
    Cache::builder(russet, "users").loader(UserTable(db.clone())).writer(UserTable(db.clone()))
}

impl From<UsersError> for ApiError {
    fn from(error: UsersError) -> Self {
        use russet::ErrorKind::{Load, Write};
        match error {
            UsersError::Database(error) => error.into(),
            UsersError::Cache(error) if matches!(error.kind(), Load | Write) => {
                database_away().caused_by(error)
            }
            UsersError::Cache(error) => error.into(),
            UsersError::TooManyOwed | UsersError::NoQueue => Self::unavailable(error.to_string()),
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
