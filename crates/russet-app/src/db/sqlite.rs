//! SQLite: a file in the data folder.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::sleep;

use super::{DbError, Version, cannot_use, history};
use crate::Failure;

/// Reading scales with connections, writing does not: one writer at a time is SQLite's rule.
const CONNECTIONS: u32 = 8;

/// The pages that each connection keeps in memory: the upper levels of the tables. The rest is in the system's cache,
/// and the cache in front of the database keeps what is asked for often.
const PAGE_CACHE_KIB: u32 = 256;

/// How long a call waits for another writer.
const BUSY: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The pool, and where the database is.
pub(super) async fn open(url: &str) -> Result<(SqlitePool, String), Failure> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| format!("the database URL is not one: {error}"))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
        .busy_timeout(BUSY);
    let place = format!("sqlite:{}", options.get_filename().display());
    let end = Instant::now() + BUSY;
    loop {
        match connect(&options).await {
            Ok(pool) => return Ok((pool, place)),
            // SQLite waits for a writer, and not for one who makes the file a write-ahead log at the same moment.
            Err(error) if is_busy(&error) && Instant::now() < end => sleep(TRY_AGAIN).await,
            Err(error) => return Err(cannot_use(&place, &error)),
        }
    }
}

async fn connect(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BUSY)
        .connect_with(options.clone())
        .await?;
    // In one transaction, which has the write lock from its beginning: of several processes that open a new database
    // at once, one makes the tables.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    history!("sqlite").run(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(pool)
}

/// Whether it is SQLITE_BUSY, whatever its extended code says of the reason.
fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

pub(super) async fn version(pool: &SqlitePool) -> Result<Version, DbError> {
    let (number,) = sqlx::query_as("SELECT sqlite_version()").fetch_one(pool).await?;
    Ok(Version { kind: "sqlite", number })
}
