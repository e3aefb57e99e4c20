//! `send_email`: a message in the outbox.

use russet::{BoxError, Task, TaskContext};
use serde::{Deserialize, Serialize};

use super::{Checked, Work, check_text};
use crate::db::OutboxMessage;
use crate::users::check_email;

/// Sends an e-mail. It goes to the table `outbox`, from which another program may hand it over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendEmail {
    /// To whom.
    pub email: String,
    /// 1 to 200 characters on one line.
    pub subject: String,
    /// 1 to 10,000 characters.
    pub content: String,
}

impl Task for SendEmail {
    const NAME: &'static str = "send_email";
}

impl Checked for SendEmail {
    fn check(&self) -> Result<(), String> {
        check_email(&self.email)?;
        if self.subject.contains(['\n', '\r']) {
            return Err("subject has a line break".to_owned());
        }
        check_text("subject", &self.subject, 200)?;
        check_text("content", &self.content, 10_000)
    }
}

/// What became of a message.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    pub(super) to: String,
    /// False when an earlier delivery of the task had put it there.
    pub(super) is_new: bool,
}

/// The row has the task's own key, so that a task that is delivered twice writes one.
pub(super) async fn send(mail: SendEmail, ctx: TaskContext<Work>) -> Result<Sent, BoxError> {
    let message = OutboxMessage {
        task: ctx.idempotency_key(),
        kind: "email".to_owned(),
        recipient: mail.email.clone(),
        subject: mail.subject,
        content: mail.content,
    };
    let is_new = ctx.state().db.put_into_outbox(&message).await?;
    Ok(Sent { to: mail.email, is_new })
}
