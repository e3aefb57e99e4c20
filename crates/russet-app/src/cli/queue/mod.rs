//! `russet queue`: what an operator asks of a queue and does to it.

mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use russet::{Peek, Queue, RateLimit, Russet, TaskDetails, TaskId};
use serde_json::{Value, json};

use super::operator::{Operator, exit_codes};
use super::report::{Report, age};
use super::wrong_usage;
use crate::jobs::{self, Job, Options};
use crate::{Failure, killed_worker};
use report::{Page, Row};

/// The most tasks that the server is asked for at once.
const PAGE: u64 = 100;

/// Look at queues, and at their tasks; bring dead ones back; pause and resume
///
/// Without a server it asks the private one of the russet that runs on the data folder. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 there is no such task"))]
pub(super) struct QueueCommand {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    operator: Operator,
}

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
    /// The tasks of a state: dead ones, those that died first at the beginning, unless it is told otherwise
    Peek {
        /// The queue
        queue: String,
        /// Which state
        #[arg(long, value_enum, default_value_t)]
        state: State,
        /// Where to begin: what the page before said
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
        from: u64,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// What is known of a task: its state, its body, how far it is, its errors, its result
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
    /// Let the queue give tasks no faster than this
    Limit {
        /// The queue
        queue: String,
        /// Such as 100/s or 600/10m; off for none
        #[arg(value_parser = rate)]
        rate: Rate,
        /// How many may come at once after a pause. Default: as many as the rate gives in 10 ms
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        burst: Option<u32>,
    },
    /// Put a task of the application on a queue
    Enqueue(NewTask),
}

/// Where a task is.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum State {
    /// Waiting for their time
    Scheduled,
    /// Waiting for a worker
    Ready,
    /// With a worker
    Running,
    /// Waiting for their next attempt
    Retrying,
    /// Done, as far as they are kept
    Completed,
    /// Out of attempts
    #[default]
    Dead,
    /// Cancelled, as far as they are kept
    Cancelled,
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
                Err(error) => return Ok(wrong_usage(&error)),
            },
            other => Ready::Other(other),
        };
        let ask = async |russet: &Russet| match verb {
            Ready::Enqueue((queue, job, options)) => {
                Ok(Report::put(&job.enqueue(&open(russet, &queue)?, &options).await?))
            }
            Ready::Other(verb) => verb.done(russet).await,
        };
        self.operator.report(ask).await
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
            Self::Peek { queue: name, state, from, limit } => {
                let of = state
                    .to_possible_value()
                    .map_or_else(String::new, |state| state.get_name().to_owned());
                let (tasks, next) = peek(&queue(&name)?, state.into(), from, limit).await?;
                report::page(Page { of, tasks, next })
            }
            Self::Inspect(OneTask { queue: name, id }) => {
                report::task(queue(&name)?.inspect(id).await?)
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
            Self::Limit { queue: name, rate, burst } => limit(&queue(&name)?, rate, burst).await?,
            // Checked before, and done there.
            Self::Enqueue(_) => Report::said(String::new(), Value::Null),
        })
    }
}

impl From<State> for Peek {
    fn from(state: State) -> Self {
        match state {
            State::Scheduled => Self::Scheduled,
            State::Ready => Self::Ready,
            State::Running => Self::Running,
            State::Retrying => Self::Retrying,
            State::Completed => Self::Completed,
            State::Dead => Self::Dead,
            State::Cancelled => Self::Cancelled,
        }
    }
}

/// So many tasks of a state, if there are, and where the next ones begin.
pub(super) async fn peek(
    queue: &Queue,
    state: Peek,
    mut from: u64,
    limit: u64,
) -> Result<(Vec<TaskDetails>, Option<u64>), Failure> {
    let mut tasks = Vec::new();
    loop {
        let left = limit - tasks.len() as u64;
        let page = queue.peek(state, from, left.min(PAGE)).await?;
        tasks.extend(page.tasks);
        match page.next {
            Some(next) if (tasks.len() as u64) < limit => from = next,
            next => return Ok((tasks, next)),
        }
    }
}

async fn limit(queue: &Queue, rate: Rate, burst: Option<u32>) -> Result<Report, Failure> {
    match rate {
        Rate::Off => queue.clear_rate_limit().await?,
        Rate::At(limit) => {
            let limit = burst.map_or(limit, |burst| limit.burst(burst));
            queue.set_rate_limit(limit).await?;
        }
    }
    Ok(report::limit(queue.counts().await?.rate_limit))
}

/// A queue as the application has it; the settings of another one's handle do not matter to what is asked here.
pub(super) fn open(russet: &Russet, name: &str) -> Result<Queue, Failure> {
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

/// How fast a queue may give tasks.
#[derive(Debug, Clone, Copy)]
enum Rate {
    Off,
    At(RateLimit),
}

/// Reads `off`, or a rate such as `100/s`, `600/10m`.
fn rate(text: &str) -> Result<Rate, String> {
    if text == "off" {
        return Ok(Rate::Off);
    }
    let wrong = || "expected off, or tasks in a time, such as 100/s or 600/10m".to_owned();
    let (tasks, time) = text.split_once('/').ok_or_else(wrong)?;
    let tasks = tasks.parse().ok().filter(|tasks| (1..=1_000_000).contains(tasks));
    let tasks = tasks.ok_or("expected 1 to 1000000 tasks")?;
    let is_unit = time.starts_with(|c: char| c.is_ascii_alphabetic());
    let time = age(&if is_unit { format!("1{time}") } else { time.to_owned() })?;
    if time.is_zero() {
        return Err(wrong());
    }
    Ok(Rate::At(RateLimit::new(tasks, time)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_tasks_in_a_time() {
        for (text, tasks, seconds) in [("100/s", 100, 1), ("600/10m", 600, 600), ("1/d", 1, 86_400)]
        {
            let Rate::At(limit) = rate(text).unwrap() else { panic!("{text}") };
            assert_eq!((limit.tasks(), limit.time().as_secs()), (tasks, seconds), "{text}");
        }
        assert!(matches!(rate("off"), Ok(Rate::Off)));
        for wrong in ["", "100", "0/s", "1000001/s", "-1/s", "1/0", "1/w", "x/s", "/"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
