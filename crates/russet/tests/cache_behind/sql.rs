//! A table in SQLite, shared by processes, that refuses an older write.

use std::path::Path;
use std::time::Duration;

use russet::{BoxError, Loader, Write, Writer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{QueryBuilder, Row, Sqlite};

/// The upsert that the documentation shows. The guard is its last line.
const GUARD: &str = " WHERE excluded.seq > users.seq";

#[derive(Clone)]
pub struct SqlTable {
    pool: SqlitePool,
    guarded: bool,
}

impl SqlTable {
    pub async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT, seq INTEGER NOT NULL)")
            .execute(&pool)
            .await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS statements (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
        )
        .execute(&pool)
        .await?;
        sqlx::query("INSERT OR IGNORE INTO statements VALUES (1, 0)").execute(&pool).await?;
        Ok(Self { pool, guarded: true })
    }

    /// The mutant: whoever writes last wins.
    pub fn unguarded(mut self) -> Self {
        self.guarded = false;
        self
    }

    /// Writes that were committed, whoever made them.
    pub async fn statements(&self) -> Result<i64, sqlx::Error> {
        let row = sqlx::query("SELECT n FROM statements").fetch_one(&self.pool).await?;
        Ok(row.get(0))
    }

    pub async fn name(&self, id: u64) -> Result<Option<String>, sqlx::Error> {
        let query = sqlx::query("SELECT name FROM users WHERE id = ?").bind(id as i64);
        Ok(query.fetch_optional(&self.pool).await?.and_then(|row| row.get(0)))
    }
}

impl Loader<u64, String> for SqlTable {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.name(*id).await?)
    }
}

impl Writer<u64, String> for SqlTable {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        self.write_many(&[write]).await.map(|_| None)
    }

    async fn write_many(
        &self,
        writes: &[Write<'_, u64, String>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        let mut upsert: QueryBuilder<Sqlite> =
            QueryBuilder::new("INSERT INTO users (id, name, seq) ");
        upsert.push_values(writes, |mut row, write| {
            row.push_bind(*write.key as i64)
                .push_bind(write.value.cloned())
                .push_bind(write.sequence.unwrap_or_default() as i64);
        });
        upsert.push(" ON CONFLICT (id) DO UPDATE SET name = excluded.name, seq = excluded.seq");
        if self.guarded {
            upsert.push(GUARD);
        }
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        upsert.build().execute(&mut *transaction).await?;
        sqlx::query("UPDATE statements SET n = n + 1").execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Vec::new())
    }
}
