//! `notification`: a word to a user, in the outbox.

use russet::{BoxError, Task, TaskContext};
use serde::{Deserialize, Serialize};

use super::send_email::Sent;
use super::{Checked, Work, check_text};
use crate::db::OutboxMessage;

/// Notifies a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Whom.
    pub user_id: i64,
    /// 1 to 1,000 characters.
    pub content: String,
}

impl Task for Notification {
    const NAME: &'static str = "notification";
}

impl Checked for Notification {
    fn check(&self) -> Result<(), String> {
        if self.user_id < 1 {
            return Err("user_id must be 1 or more".to_owned());
        }
        check_text("content", &self.content, 1_000)
    }
}

pub(super) async fn notify(note: Notification, ctx: TaskContext<Work>) -> Result<Sent, BoxError> {
    let to = note.user_id.to_string();
    let message = OutboxMessage {
        task: ctx.idempotency_key(),
        kind: "notification".to_owned(),
        recipient: to.clone(),
        subject: String::new(),
        content: note.content,
    };
    let is_new = ctx.state().db.put_into_outbox(&message).await?;
    Ok(Sent { to, is_new })
}
