//! `russet queue`: what an operator asks of a queue and does to it.

mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use russet::{Queue, Russet, TaskId};
use serde_json::{Value, json};

use crate::config::{self, RedisArgs};
use crate::jobs::{self, Job, Options};
use crate::{Failure, killed_worker, redis_server};
use report::{Report, Row};

/// What `queue` says when there is no such task.
const NO_SUCH_TASK: u8 = 3;

/// Look at queues, and at their tasks; bring dead ones back; pause and resume
///
/// Without a server it asks the private one of the russet that runs on the data folder. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct QueueCommand {
    #[command(subcommand)]
    verb: Verb,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    redis: RedisArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 a server could not be asked, 2 wrong usage, 3 there is no such task.

The environment is that of `russet serve`: REDIS_URL, or REDIS_HOST and its like.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// The queues, and how many tasks each has
    ///
    /// Looks at the keys of each server for 200 ms at most; says so when there are more.
    Ls,
    /// How many tasks are in which state
    Stats {
        /// The queue
        queue: String,
    },
    /// The dead tasks, those that died first at the beginning
    Peek {
        /// The queue
        queue: String,
        /// How many are left out
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
        skip: u64,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// What is known of a task: its state, its errors, its result
    Inspect(OneTask),
    /// Bring a dead task back, with all its attempts before it
    Redrive(OneTask),
    /// Bring all dead tasks back
    RedriveAll {
        /// The queue
        queue: String,
    },
    /// Delete a dead task
    Delete(OneTask),
    /// Delete the tasks that have been dead for a while
    Purge {
        /// The queue
        queue: String,
        /// For how long: seconds, or a number of s, m, h or d
        #[arg(long, value_name = "AGE", value_parser = age)]
        older_than: Duration,
    },
    /// Stop the queue from giving tasks; what runs goes on, and tasks can be enqueued
    Pause {
        /// The queue
        queue: String,
    },
    /// Let a paused queue go on
    Resume {
        /// The queue
        queue: String,
    },
    /// Put a task of the application on a queue
    Enqueue(NewTask),
}

/// A task of a queue.
#[derive(Debug, Args)]
struct OneTask {
    /// The queue
    queue: String,
    /// The task's id
    id: TaskId,
}

/// A task of the application.
#[derive(Debug, Args)]
struct NewTask {
    /// The queue; the application works on the one named tasks
    queue: String,
    /// What kind of task
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(jobs::NAMES))]
    name: String,
    /// What the task needs, as JSON
    #[arg(default_value = "{}")]
    body: String,
    /// 0 to 9, higher first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=9))]
    priority: u8,
    /// How long the task waits: seconds, or a number of s, m, h or d
    #[arg(long, value_name = "DURATION", value_parser = age)]
    delay: Option<Duration>,
    /// Not beside another task with this key
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// The name of this call: asked twice, done once
    #[arg(long, value_name = "NAME")]
    request_id: Option<String>,
}

impl QueueCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        // Before a server is asked: what is wrong with a task is wrong usage.
        let verb = match self.verb {
            Verb::Enqueue(task) => match task.checked() {
                Ok(checked) => Ready::Enqueue(checked),
                Err(error) => {
                    eprintln!("russet: {error}");
                    return Ok(ExitCode::from(2));
                }
            },
            other => Ready::Other(other),
        };
        let builder = match self.redis.server()? {
            Some(builder) => builder,
            None => redis_server::connection(config::existing(&self.redis.data_dir)?)?,
        };
        let russet = builder.connect().await?;
        let report = match verb {
            Ready::Enqueue((queue, job, options)) => {
                let put = job.enqueue(&open(&russet, &queue)?, &options).await?;
                let text = if put.is_new { "" } else { " (it was there before)" };
                let json = json!({"id": put.id.to_string(), "is_new": put.is_new});
                Report::said(format!("{}{text}", put.id), json)
            }
            Ready::Other(verb) => verb.done(&russet).await?,
        };
        russet.close().await;
        report.print(self.json)?;
        Ok(ExitCode::from(if report.is_missing() { NO_SUCH_TASK } else { 0 }))
    }
}

enum Ready {
    Enqueue((String, Job, Options)),
    Other(Verb),
}

impl NewTask {
    fn checked(self) -> Result<(String, Job, Options), String> {
        let body = serde_json::from_str(&self.body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        let options = Options {
            priority: self.priority,
            delay: self.delay,
            execute_at: None,
            unique: self.unique,
            request_id: self.request_id,
        };
        Ok((self.queue, Job::read(&self.name, body)?, options))
    }
}

impl Verb {
    async fn done(self, russet: &Russet) -> Result<Report, Failure> {
        let queue = |name: &str| open(russet, name);
        Ok(match self {
            Self::Ls => list(russet).await?,
            Self::Stats { queue: name } => report::counts(&queue(&name)?.counts().await?),
            Self::Peek { queue: name, skip, limit } => {
                report::dead(queue(&name)?.dead(skip, limit).await?)
            }
            Self::Inspect(OneTask { queue: name, id }) => {
                report::task(queue(&name)?.status(id).await?)
            }
            Self::Redrive(OneTask { queue: name, id }) => {
                Report::of_task(queue(&name)?.redrive(id).await?, "redriven")
            }
            Self::RedriveAll { queue: name } => {
                Report::count(queue(&name)?.redrive_all().await?, "redriven")
            }
            Self::Delete(OneTask { queue: name, id }) => {
                Report::of_task(queue(&name)?.delete(id).await?, "deleted")
            }
            Self::Purge { queue: name, older_than } => {
                Report::count(queue(&name)?.purge(older_than).await?, "deleted")
            }
            Self::Pause { queue: name } => {
                let changed = queue(&name)?.pause().await?;
                paused(true, changed)
            }
            Self::Resume { queue: name } => {
                let changed = queue(&name)?.resume().await?;
                paused(false, changed)
            }
            // Checked before, and done there.
            Self::Enqueue(_) => Report::said(String::new(), Value::Null),
        })
    }
}

/// A queue as the application has it; the settings of another one's handle do not matter to what is asked here.
fn open(russet: &Russet, name: &str) -> Result<Queue, Failure> {
    if name == jobs::QUEUE {
        return Ok(jobs::queue(russet)?);
    }
    Ok(Queue::builder(russet, name).keep_results(jobs::KEEP_RESULTS).build()?)
}

/// Those that are found, and the application's own, which may be empty.
async fn list(russet: &Russet) -> Result<Report, Failure> {
    let mut found = Queue::names(russet).await?;
    found.names.extend([jobs::QUEUE, killed_worker::QUEUE].map(str::to_owned));
    found.names.sort();
    found.names.dedup();
    let mut rows = Vec::new();
    for name in found.names {
        let counts = open(russet, &name)?.counts().await?;
        rows.push(Row { name, counts });
    }
    Ok(report::queues(rows, found.is_complete))
}

fn paused(is_paused: bool, changed: bool) -> Report {
    let text = match (is_paused, changed) {
        (true, true) => "paused",
        (true, false) => "it was paused before",
        (false, true) => "resumed",
        (false, false) => "it was not paused",
    };
    Report::said(text.to_owned(), json!({"is_paused": is_paused, "changed": changed}))
}

/// Reads a time such as `90`, `90s`, `15m`, `12h` or `7d`.
fn age(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds =
        factor.zip(number.parse::<u64>().ok()).and_then(|(factor, n)| n.checked_mul(factor));
    match seconds {
        Some(seconds) if seconds <= 366 * 86_400 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("expected at most 366d".to_owned()),
        None => Err("expected seconds, or a number of s, m, h or d, such as 7d".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit_and_an_end() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)]
        {
            assert_eq!(age(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for wrong in ["", "d", "-1", "1.5h", "1w", "367d", "99999999999999999999"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
