//! The record store: SQLite.

mod milestones;
mod stale_copies;
mod users;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr as _, SqlitePool};

use crate::Failure;

pub use stale_copies::Written;
pub use users::{NewUser, User};

/// Reading scales with connections, writing does not: one writer at a time is SQLite's rule.
const CONNECTIONS: u32 = 8;

/// The pages that each connection keeps in memory: the upper levels of the tables. The rest is in the system's cache,
/// and the cache in front of the database keeps what is asked for often.
const PAGE_CACHE_KIB: u32 = 256;

/// A failed call to the record store.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct DbError(#[from] sqlx::Error);

/// The record store. A cheap clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: SqlitePool,
    slow: Duration,
}

impl Database {
    /// Opens the SQLite database that `url` names, creates it if there is none, and brings its tables up to date.
    ///
    /// An acknowledged write survives a killed process and a power cut (`synchronous = FULL`).
    ///
    /// # Errors
    /// When the file cannot be opened, or was written by a newer russet.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| format!("the database URL is not one: {error}"))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
            .busy_timeout(Duration::from_secs(5));
        let file = options.get_filename().to_owned();
        let failed = |error: &dyn std::fmt::Display| {
            format!("the database {} cannot be used: {error}", file.display())
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await
            .map_err(|error| failed(&error))?;
        migrations().run(&pool).await.map_err(|error| failed(&error))?;
        Ok(Self { pool, slow: Duration::ZERO })
    }

    /// The URL of the database in a data folder.
    #[must_use]
    pub fn url_in(data_dir: &Path) -> String {
        format!("sqlite:{}", data_dir.join("russet.db").display())
    }

    /// Makes every look-up of a user take this much longer. Default: zero.
    #[must_use]
    pub fn slowed_by(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// How much longer every look-up of a user takes.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.slow
    }

    /// Asks for an answer: one round trip.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// The version of the SQLite library.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn version(&self) -> Result<String, DbError> {
        let (version,) = sqlx::query_as("SELECT sqlite_version()").fetch_one(&self.pool).await?;
        Ok(version)
    }

    /// Closes every connection; calls fail from now on.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The tables' history, in order; a file that has been released is never changed.
fn migrations() -> Migrator {
    let history = [
        (1, "users", include_str!("migrations/0001_users.sql")),
        (2, "milestones", include_str!("migrations/0002_milestones.sql")),
        (3, "stale_copies", include_str!("migrations/0003_stale_copies.sql")),
    ];
    Migrator::with_migrations(
        history
            .into_iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    version,
                    name.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}
