//! The tables `outbox` and `orders`: what tasks leave behind, once each, however often a task is delivered.

use super::{Database, DbError, now, on_store};

/// A message to somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxMessage {
    /// The same for each delivery of the task that writes it.
    pub task: String,
    /// `email` or `notification`.
    pub kind: String,
    /// An address, or the id of a user.
    pub recipient: String,
    /// Empty for a notification.
    pub subject: String,
    /// The text.
    pub content: String,
}

type Row = (String, String, String, String, String);

impl Database {
    /// Puts a message into the outbox. Answers whether it is new: the task had not put it there before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_into_outbox(&self, message: &OutboxMessage) -> Result<bool, DbError> {
        let insert = "INSERT INTO outbox (task, kind, recipient, subject, content, created_at) \
                      VALUES (?, ?, ?, ?, ?, ?)";
        let OutboxMessage { task, kind, recipient, subject, content } = message;
        is_new(on_store!(&self.store, pool => {
            let query = sqlx::query(insert).bind(task).bind(kind).bind(recipient);
            query.bind(subject).bind(content).bind(now()).execute(pool).await.map(drop)
        }))
    }

    /// The newest messages, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox(&self, limit: u32) -> Result<Vec<OutboxMessage>, DbError> {
        let newest = "SELECT task, kind, recipient, subject, content FROM outbox \
                      ORDER BY number DESC LIMIT ?";
        let rows: Vec<Row> = on_store!(&self.store, pool => {
            sqlx::query_as(newest).bind(i64::from(limit)).fetch_all(pool).await?
        });
        let message = |(task, kind, recipient, subject, content)| OutboxMessage {
            task,
            kind,
            recipient,
            subject,
            content,
        };
        Ok(rows.into_iter().map(message).collect())
    }

    /// Notes that this task handles an order. Answers whether the order is this task's: no other one had it before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_order(&self, id: &str, task: &str) -> Result<bool, DbError> {
        let insert = "INSERT INTO orders (id, task, created_at) VALUES (?, ?, ?)";
        let inserted = is_new(on_store!(&self.store, pool => {
            sqlx::query(insert).bind(id).bind(task).bind(now()).execute(pool).await.map(drop)
        }))?;
        if inserted {
            return Ok(true);
        }
        let whose = "SELECT task FROM orders WHERE id = ?";
        let (owner,): (String,) = on_store!(&self.store, pool => {
            sqlx::query_as(whose).bind(id).fetch_one(pool).await?
        });
        Ok(owner == task)
    }
}

/// A row that is there already is no failure.
fn is_new(inserted: Result<(), sqlx::Error>) -> Result<bool, DbError> {
    match inserted {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
