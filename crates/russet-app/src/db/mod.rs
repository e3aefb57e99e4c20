//! The record store: SQLite, or MySQL and MariaDB. Both take the same statements, but for the few that say so.

mod accounts;
mod milestones;
#[cfg(feature = "mysql")]
mod mysql;
mod outbox;
mod queued;
mod sqlite;
mod stale_copies;
mod users;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::Failure;

pub use accounts::AccountRow;
pub use outbox::OutboxMessage;
pub use queued::QueuedWrite;
pub use stale_copies::Written;
pub(crate) use users::now;
pub use users::{Admit, Admitted, NewUser, User};

/// A failed call to the record store.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct DbError(#[from] sqlx::Error);

/// The record store. A cheap clone.
#[derive(Debug, Clone)]
pub struct Database {
    store: Store,
    place: Arc<str>,
    slow: Duration,
}

#[derive(Debug, Clone)]
enum Store {
    Sqlite(sqlx::SqlitePool),
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlPool),
}

/// Runs the same code on the pool of whichever store there is.
macro_rules! on_store {
    ($store:expr, $pool:ident => $code:expr) => {
        match $store {
            $crate::db::Store::Sqlite($pool) => $code,
            #[cfg(feature = "mysql")]
            $crate::db::Store::MySql($pool) => $code,
        }
    };
}
use on_store;

impl Database {
    /// Opens the database that `url` names, `sqlite:path` or `mysql://user:password@host:port/name`, and brings its
    /// tables up to date. An SQLite file is created if there is none.
    ///
    /// An acknowledged write survives a killed process; with SQLite (`synchronous = FULL`) also a power cut, with
    /// MySQL as its `innodb_flush_log_at_trx_commit` says.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer russet. The text never holds the password.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let (store, place) = match url.split(':').next() {
            Some("sqlite") => {
                let (pool, place) = sqlite::open(url).await?;
                (Store::Sqlite(pool), place)
            }
            #[cfg(feature = "mysql")]
            Some("mysql" | "mariadb") => {
                let (pool, place) = mysql::open(url).await?;
                (Store::MySql(pool), place)
            }
            _ => return Err("the database URL must begin with sqlite: or mysql:".into()),
        };
        Ok(Self { store, place: place.into(), slow: Duration::ZERO })
    }

    /// The URL of the database in a data folder.
    #[must_use]
    pub fn url_in(data_dir: &Path) -> String {
        format!("sqlite:{}", data_dir.join("russet.db").display())
    }

    /// Where it is, for people: without a password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
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
        on_store!(&self.store, pool => {
            sqlx::query("SELECT 1").execute(pool).await?;
        });
        Ok(())
    }

    /// Which database it is and its version.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn version(&self) -> Result<Version, DbError> {
        match &self.store {
            Store::Sqlite(pool) => sqlite::version(pool).await,
            #[cfg(feature = "mysql")]
            Store::MySql(pool) => mysql::version(pool).await,
        }
    }

    /// Closes every connection; calls fail from now on.
    pub async fn close(&self) {
        on_store!(&self.store, pool => pool.close().await);
    }
}

/// A kind of database and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `sqlite`, `mysql` or `mariadb`.
    pub kind: &'static str,
    /// Such as `3.46.0`.
    pub number: String,
}

/// The tables' history in the folder of one kind of database, in order; a file that has been released is never
/// changed.
macro_rules! history {
    ($folder:literal) => {
        $crate::db::migrator([
            (1, "users", include_str!(concat!("migrations/", $folder, "/0001_users.sql"))),
            (
                2,
                "milestones",
                include_str!(concat!("migrations/", $folder, "/0002_milestones.sql")),
            ),
            (
                3,
                "stale_copies",
                include_str!(concat!("migrations/", $folder, "/0003_stale_copies.sql")),
            ),
            (
                4,
                "user_writes",
                include_str!(concat!("migrations/", $folder, "/0004_user_writes.sql")),
            ),
            (5, "outbox", include_str!(concat!("migrations/", $folder, "/0005_outbox.sql"))),
            (6, "orders", include_str!(concat!("migrations/", $folder, "/0006_orders.sql"))),
            (7, "accounts", include_str!(concat!("migrations/", $folder, "/0007_accounts.sql"))),
        ])
    };
}
use history;

fn migrator<const N: usize>(history: [(i64, &'static str, &'static str); N]) -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(history.into_iter().map(migration).collect())
}

/// The sentence for a database that cannot be opened.
fn cannot_use(place: &str, error: &dyn fmt::Display) -> Failure {
    format!("the database {place} cannot be used: {error}").into()
}
