//! `order`: an order is handled once, and its customer is told.

use russet::{BoxError, Task, TaskContext};
use serde::{Deserialize, Serialize};

use super::{Checked, Notification, SendEmail, Work, check_text};
use crate::users::check_email;

/// Handles an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// 1 to 64 characters. An order that was handled by another task is left alone.
    pub order_id: String,
    /// Who is notified, if anybody.
    #[serde(default)]
    pub user_id: Option<i64>,
    /// Where the confirmation goes, if anywhere.
    #[serde(default)]
    pub email: Option<String>,
}

impl Task for Order {
    const NAME: &'static str = "order";
}

impl Checked for Order {
    fn check(&self) -> Result<(), String> {
        check_text("order_id", &self.order_id, 64)?;
        if self.order_id.contains(char::is_control) {
            return Err("order_id has a control character".to_owned());
        }
        if self.user_id.is_some_and(|id| id < 1) {
            return Err("user_id must be 1 or more".to_owned());
        }
        self.email.as_deref().map_or(Ok(()), |email| Ok(check_email(email)?))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Handled {
    order_id: String,
    /// False when another task had handled the order before.
    is_first: bool,
}

/// The tasks that follow are named after the order: this one may be delivered again, and they are enqueued once.
pub(super) async fn handle(order: Order, ctx: TaskContext<Work>) -> Result<Handled, BoxError> {
    let Order { order_id, user_id, email } = order;
    let is_first = ctx.state().db.take_order(&order_id, &ctx.idempotency_key()).await?;
    if is_first {
        let queue = ctx.queue();
        let content = format!("Order {order_id} is on its way.");
        let request = |what: &str| format!("{what} of {}", ctx.id());
        if let Some(user_id) = user_id {
            let note = Notification { user_id, content: content.clone() };
            queue.enqueue(note).request_id(&request("notification")).await?;
        }
        if let Some(email) = email {
            let subject = format!("Your order {order_id}");
            let mail = SendEmail { email, subject, content };
            queue.enqueue(mail).request_id(&request("confirmation")).await?;
        }
    }
    Ok(Handled { order_id, is_first })
}
