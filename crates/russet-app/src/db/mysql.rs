//! MySQL and MariaDB: a server of their own.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::MySqlPool;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::{DbError, Version, cannot_use, history};
use crate::Failure;

const CONNECTIONS: u32 = 16;
/// A server that is away must not hold up those who ask for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pool, and where the database is.
pub(super) async fn open(url: &str) -> Result<(MySqlPool, String), Failure> {
    // The driver's own text would hold the URL, and with it the password.
    let options = MySqlConnectOptions::from_str(url)
        .map_err(|_| "the database URL is not of the form mysql://user:password@host:port/name")?;
    let name = options.get_database().ok_or("the database URL names no database: …/name")?;
    let place = format!("mysql:{name} at {}:{}", options.get_host(), options.get_port());
    let pool = MySqlPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| {
            // The default would lock the gap where a row is missing, and two writers of one new id would wait for
            // each other.
            let level = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
            Box::pin(async move { sqlx::query(level).execute(connection).await.map(drop) })
        })
        .connect_with(options)
        .await
        .map_err(|error| cannot_use(&place, &error))?;
    migrate(&pool).await.map_err(|error| cannot_use(&place, &error))?;
    Ok((pool, place))
}

/// Brings the tables up to date, one process at a time. The migrator's own lock waits with a negative timeout,
/// which MariaDB takes for none at all.
async fn migrate(pool: &MySqlPool) -> Result<(), Failure> {
    let mut connection = pool.acquire().await?;
    let lock = sqlx::query_as("SELECT GET_LOCK('russet migrations', 60)");
    let (locked,): (Option<i64>,) = lock.fetch_one(&mut *connection).await?;
    if locked != Some(1) {
        return Err("another process has been changing its tables for a minute".into());
    }
    let migrated = history!("mysql").run(&mut *connection).await;
    // A connection that is given back keeps its locks.
    sqlx::query("DO RELEASE_LOCK('russet migrations')").execute(&mut *connection).await?;
    Ok(migrated?)
}

pub(super) async fn version(pool: &MySqlPool) -> Result<Version, DbError> {
    let (text,): (String,) = sqlx::query_as("SELECT version()").fetch_one(pool).await?;
    let number = text.split('-').next().unwrap_or_default().to_owned();
    let kind = if text.contains("MariaDB") { "mariadb" } else { "mysql" };
    Ok(Version { kind, number })
}
