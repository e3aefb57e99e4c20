//! SQLite: a file in the data folder.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{DbError, Version, cannot_use, history};
use crate::Failure;

/// Reading scales with connections, writing does not: one writer at a time is SQLite's rule.
const CONNECTIONS: u32 = 8;

/// The pages that each connection keeps in memory: the upper levels of the tables. The rest is in the system's cache,
/// and the cache in front of the database keeps what is asked for often.
const PAGE_CACHE_KIB: u32 = 256;

/// The pool, and where the database is.
pub(super) async fn open(url: &str) -> Result<(SqlitePool, String), Failure> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| format!("the database URL is not one: {error}"))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
        .busy_timeout(Duration::from_secs(5));
    let place = format!("sqlite:{}", options.get_filename().display());
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
        .map_err(|error| cannot_use(&place, &error))?;
    migrate(&pool).await.map_err(|error| cannot_use(&place, &error))?;
    Ok((pool, place))
}

/// Brings the tables up to date in one transaction, which has the write lock from its beginning: of several processes
/// that open a new database at once, one makes the tables.
async fn migrate(pool: &SqlitePool) -> Result<(), Failure> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    history!("sqlite").run(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn version(pool: &SqlitePool) -> Result<Version, DbError> {
    let (number,) = sqlx::query_as("SELECT sqlite_version()").fetch_one(pool).await?;
    Ok(Version { kind: "sqlite", number })
}
