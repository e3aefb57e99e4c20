//! What the application's tasks do, and the worker that does them.
//!
//! A job is a file of this folder: the task's fields, what is refused of them, and its handler. Every effect can be repeated
//! without harm, since a task may be delivered again when its worker dies.

mod cleanup_temp_files;
mod files;
mod image;
mod notification;
mod order;
mod process_image;
mod recurring;
mod send_email;
mod temp_cleanup;

use std::time::Duration;

use russet::{Enqueued, Queue, Registered, Russet, Scheduler, Task, Worker};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::db::Database;

pub use cleanup_temp_files::CleanupTempFiles;
pub use files::{Files, FilesError};
pub use notification::Notification;
pub use order::Order;
pub use process_image::ProcessImage;
pub use recurring::{Recurs, Times};
pub use send_email::SendEmail;
pub use temp_cleanup::{TEMP_CLEANUP, keep_registered};

/// The name of the queue.
pub const QUEUE: &str = "tasks";
/// How long the result of a task is kept.
pub const KEEP_RESULTS: Duration = Duration::from_secs(86_400);
/// Pictures that are worked on at the same time: each takes up to 400 MB of memory.
const IMAGES: usize = 2;

/// The queue of the application's tasks.
///
/// # Errors
/// None but of the library's own: the settings are fixed.
pub fn queue(russet: &Russet) -> russet::Result<Queue> {
    queue_with_lease(russet, Duration::from_secs(30))
}

/// The same for a worker whose tasks are waited for so long when it is gone; 30 seconds otherwise.
///
/// # Errors
/// When the lease is shorter than 100 ms.
pub fn queue_with_lease(russet: &Russet, lease: Duration) -> russet::Result<Queue> {
    Queue::builder(russet, QUEUE)
        .lease(lease)
        .keep_results(KEEP_RESULTS)
        // An order's further tasks are asked for again as long as its own may be delivered again.
        .request_window(KEEP_RESULTS)
        .max_task_bytes(64 * 1024)
        .build()
}

/// What the handlers share.
#[derive(Debug)]
pub struct Work {
    db: Database,
    files: Files,
    images: Semaphore,
}

impl Work {
    /// On these stores.
    #[must_use]
    pub fn new(db: Database, files: Files) -> Self {
        Self { db, files, images: Semaphore::new(IMAGES) }
    }
}

/// Fields of a task that somebody typed.
trait Checked: Task {
    /// How often it is tried.
    const ATTEMPTS: u32 = 5;

    /// A sentence that names the field that is wrong, and says what is wrong with it.
    fn check(&self) -> Result<(), String>;
}

/// Makes the jobs' enum, their names and their worker from one list.
macro_rules! jobs {
    ($($job:ident => $handler:path,)*) => {
        /// A task of the application.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "each is the task of its name")]
        pub enum Job {
            $($job($job),)*
        }

        /// The names of the tasks.
        pub const NAMES: &[&str] = &[$($job::NAME,)*];

        impl Job {
            /// The task of this name with these fields.
            ///
            /// # Errors
            /// A sentence that names what is wrong: the name, or a field of the body.
            pub fn read(name: &str, body: Value) -> Result<Self, String> {
                match name {
                    $($job::NAME => read(body).map(Self::$job),)*
                    _ => Err(format!("name must be one of {}", NAMES.join(", "))),
                }
            }

            /// Puts it on the queue, with what else the call says.
            ///
            /// # Errors
            /// As [`Queue::enqueue`].
            pub async fn enqueue(self, queue: &Queue, options: &Options) -> russet::Result<Enqueued> {
                match self {
                    $(Self::$job(job) => enqueue(queue, job, options).await,)*
                }
            }

            /// Puts it on the queue again and again, under this name.
            ///
            /// # Errors
            /// As [`Scheduler::cron`].
            pub async fn recur(self, scheduler: &Scheduler, name: &str, recurs: &Recurs) -> russet::Result<Registered> {
                match self {
                    $(Self::$job(job) => recurring::register(scheduler, name, job, recurs).await,)*
                }
            }
        }

        /// A worker that does the application's tasks, so many at a time.
        ///
        /// # Errors
        /// When the concurrency is not 1 to 10,000.
        pub fn worker(queue: &Queue, work: Work, concurrency: usize) -> russet::Result<Worker<Work>> {
            Worker::builder(queue).state(work).concurrency(concurrency)$(.handler($handler))*.build()
        }
    };
}

jobs! {
    SendEmail => send_email::send,
    Notification => notification::notify,
    ProcessImage => process_image::process,
    CleanupTempFiles => cleanup_temp_files::clean,
    Order => order::handle,
}

/// When a task is done, and beside which others not.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// 0 to 9, higher first.
    pub priority: u8,
    /// How long it waits.
    pub delay: Option<Duration>,
    /// From when on it is done.
    pub execute_at: Option<std::time::SystemTime>,
    /// Not beside another task with this key.
    pub unique: Option<String>,
    /// The call's name: asked twice, done once.
    pub request_id: Option<String>,
}

async fn enqueue<T: Checked>(queue: &Queue, job: T, options: &Options) -> russet::Result<Enqueued> {
    let mut call = queue.enqueue(job).priority(options.priority).max_attempts(T::ATTEMPTS);
    if let Some(delay) = options.delay {
        call = call.delay(delay);
    }
    if let Some(time) = options.execute_at {
        call = call.execute_at(time);
    }
    if let Some(key) = &options.unique {
        call = call.unique(key);
    }
    if let Some(request) = &options.request_id {
        call = call.request_id(request);
    }
    call.await
}

fn read<T: Checked + DeserializeOwned>(body: Value) -> Result<T, String> {
    let job: T =
        serde_path_to_error::deserialize(body).map_err(|error| format!("body: {error}"))?;
    job.check().map_err(|what| format!("body: {what}"))?;
    Ok(job)
}

/// Refuses a text that is empty, too long, or has a control character other than the ends of its lines.
fn check_text(field: &str, text: &str, most: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        Err(format!("{field} is empty"))
    } else if text.chars().count() > most {
        Err(format!("{field} has more than {most} characters"))
    } else if text.chars().any(|c| c.is_control() && !['\n', '\r', '\t'].contains(&c)) {
        Err(format!("{field} has a control character"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_task_is_read_by_its_name() {
        for (name, body) in [
            ("send_email", json!({"email": "a@b.co", "subject": "Hi", "content": "Hello\nAda"})),
            ("notification", json!({"user_id": 1, "content": "Hi"})),
            ("process_image", json!({"image_path": "photo.jpg", "operations": ["resize"]})),
            ("cleanup_temp_files", json!({})),
            ("order", json!({"order_id": "A-1"})),
        ] {
            assert!(NAMES.contains(&name));
            Job::read(name, body).unwrap();
        }
        assert_eq!(NAMES.len(), 5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mail = json!({"email": "a@b.co", "subject": "Hi", "content": "Hello"});
        for (name, field, value, word) in [
            ("send_email", "email", json!("nobody"), "body: email has no @"),
            ("send_email", "subject", json!(""), "body: subject is empty"),
            ("send_email", "subject", json!("a\nb"), "body: subject has a line break"),
            ("send_email", "content", json!("x".repeat(10_001)), "body: content has more than"),
            ("send_email", "content", json!(1), "body: content: invalid type"),
            ("send_email", "bcc", json!("x"), "body: bcc: unknown field `bcc`"),
            ("send_sms", "email", json!("a@b.co"), "name must be one of send_email, "),
        ] {
            let mut body = mail.clone();
            body[field] = value;
            let refused = Job::read(name, body).unwrap_err();
            assert!(refused.starts_with(word), "{refused}");
        }
        assert!(Job::read("send_email", json!({})).unwrap_err().contains("missing field `email`"));
        assert!(Job::read("order", json!("x")).is_err());
    }
}
