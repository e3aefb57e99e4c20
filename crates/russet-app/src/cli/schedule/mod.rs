//! `russet schedule`: what is to be done at its time, and again and again.

mod missed;
mod report;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use russet::{Cancelled, ErrorKind, Missed, Peek, Rescheduled, Russet, Scheduler, TaskId};

use super::operator::{Operator, exit_codes};
use super::queue::{open, peek};
use super::report::{Report, age, moment};
use super::wrong_usage;
use crate::Failure;
use crate::jobs::{self, Job, Options, Recurs, Times};

/// See what is to be done at its time, and again and again; add to it, take from it, change it
///
/// Without a server it asks the private one of the russet that runs on the data folder. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 there is no such task"))]
pub(super) struct ScheduleCommand {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What recurs, and the tasks that wait for their time
    Ls {
        /// The queue
        queue: String,
        /// How many waiting tasks at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// Schedule a task of the application: once, or again and again
    Add(NewEntry),
    /// End what recurs, or cancel a task
    Cancel {
        /// The queue
        queue: String,
        /// The name of what recurs, or a task's id
        #[arg(value_name = "NAME|ID")]
        what: String,
    },
    /// Stop what recurs until it is resumed; what it has enqueued stays
    Pause(OneRecurring),
    /// Let what was paused go on with its next time
    Resume(OneRecurring),
    /// Give a task that waits another time
    Reschedule {
        /// The queue
        queue: String,
        /// The task's id
        id: TaskId,
        #[command(flatten)]
        when: Once,
    },
    /// Do what recurs once more, now
    RunNow(OneRecurring),
}

/// What recurs in a queue.
#[derive(Debug, Args)]
struct OneRecurring {
    /// The queue
    queue: String,
    /// The name of what recurs
    name: String,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Once {
    /// After so long: seconds, or a number of s, m, h or d
    #[arg(long, value_name = "DURATION", value_parser = age)]
    after: Option<Duration>,
    /// At this time, such as 2026-12-24T18:00:00+08:00, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<SystemTime>,
}

/// A task of the application and its times.
#[derive(Debug, Args)]
struct NewEntry {
    /// The queue; the application works on the one named tasks
    queue: String,
    /// What kind of task
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(jobs::NAMES))]
    task: String,
    /// What the task needs, as JSON
    #[arg(default_value = "{}")]
    body: String,
    #[command(flatten)]
    when: When,
    /// The time zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with_all = ["every", "after", "at"])]
    zone: Option<String>,
    /// The name of what recurs: the same again replaces it [default: the task's]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["after", "at"])]
    name: Option<String>,
    /// Each one up to so much later
    #[arg(long, value_name = "DURATION", value_parser = age, conflicts_with_all = ["after", "at"])]
    jitter: Option<Duration>,
    /// What becomes of those for which nobody was there: once (the last of them is done), skip:DURATION (none that is later
    /// than this), all:N (the last N)
    #[arg(long, value_name = "POLICY", default_value = "once", value_parser = missed::read, conflicts_with_all = ["after", "at"])]
    missed: Missed,
    /// None while an earlier one waits or runs
    #[arg(long, conflicts_with_all = ["after", "at"])]
    alone: bool,
    /// 0 to 9, higher first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=9))]
    priority: u8,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct When {
    /// Again and again at these times, such as "30 3 * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Again and again after so long: seconds, or a number of s, m, h or d
    #[arg(long, value_name = "DURATION", value_parser = age)]
    every: Option<Duration>,
    /// Once after so long: seconds, or a number of s, m, h or d
    #[arg(long, value_name = "DURATION", value_parser = age)]
    after: Option<Duration>,
    /// Once at this time, such as 2026-12-24T18:00:00+08:00, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<SystemTime>,
}

/// What is added, once it is known to be possible.
enum Checked {
    Recurring(String, Recurs),
    Once(Options),
}

impl ScheduleCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        // Before a server is asked: what is wrong with a task or its times is wrong usage.
        let added = match &self.verb {
            Verb::Add(entry) => match entry.checked() {
                Ok(checked) => Some(checked),
                Err(error) => return Ok(wrong_usage(&error)),
            },
            _ => None,
        };
        let ask = async |russet: &Russet| match (self.verb, added) {
            (Verb::Add(entry), Some((job, checked))) => {
                add(&scheduler(russet, &entry.queue)?, job, checked).await
            }
            (verb, _) => verb.done(russet).await,
        };
        self.operator.report(ask).await
    }
}

impl NewEntry {
    fn checked(&self) -> Result<(Job, Checked), String> {
        let body = serde_json::from_str(&self.body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        let job = Job::read(&self.task, body)?;
        let When { cron, every, after, at } = &self.when;
        let times = match (cron, every) {
            (Some(expression), _) => {
                let zone = self.zone.clone().unwrap_or_else(|| "UTC".to_owned());
                Times::Cron { expression: expression.clone(), zone }
            }
            (None, Some(interval)) => Times::Every(*interval),
            (None, None) => {
                let (delay, execute_at) = (*after, *at);
                let once =
                    Options { priority: self.priority, delay, execute_at, ..Options::default() };
                return Ok((job, Checked::Once(once)));
            }
        };
        times.check()?;
        let name = self.name.clone().unwrap_or_else(|| self.task.clone());
        if !(1..=256).contains(&name.len()) {
            return Err("the name must have 1 to 256 bytes".to_owned());
        }
        let (priority, missed, is_alone) = (self.priority, self.missed, self.alone);
        let jitter = self.jitter.unwrap_or_default();
        Ok((job, Checked::Recurring(name, Recurs { times, priority, jitter, missed, is_alone })))
    }
}

impl Verb {
    async fn done(self, russet: &Russet) -> Result<Report, Failure> {
        let scheduler = |queue: &str| scheduler(russet, queue);
        match self {
            Self::Ls { queue, limit } => {
                let scheduler = scheduler(&queue)?;
                let recurring = scheduler.list().await?;
                let (tasks, next) = peek(scheduler.queue(), Peek::Scheduled, 0, limit).await?;
                Ok(report::list(&recurring, &tasks, next.is_none()))
            }
            Self::Cancel { queue, what } => cancel(&scheduler(&queue)?, &what).await,
            Self::Pause(OneRecurring { queue, name }) => {
                let paused = scheduler(&queue)?.pause(&name).await;
                known(&name, paused.map(|is_new| report::paused(&name, is_new)))
            }
            Self::Resume(OneRecurring { queue, name }) => {
                let resumed = scheduler(&queue)?.resume(&name).await;
                known(&name, resumed.map(|is_new| report::resumed(&name, is_new)))
            }
            Self::Reschedule { queue, id, when } => reschedule(&scheduler(&queue)?, id, when).await,
            Self::RunNow(OneRecurring { queue, name }) => {
                known(&name, scheduler(&queue)?.run_now(&name).await.map(|put| Report::put(&put)))
            }
            // Checked before, and done there.
            Self::Add(_) => Err("nothing was added".into()),
        }
    }
}

fn scheduler(russet: &Russet, queue: &str) -> Result<Scheduler, Failure> {
    Ok(Scheduler::new(&open(russet, queue)?))
}

async fn add(scheduler: &Scheduler, job: Job, checked: Checked) -> Result<Report, Failure> {
    Ok(match checked {
        Checked::Once(options) => Report::put(&job.enqueue(scheduler.queue(), &options).await?),
        Checked::Recurring(name, recurs) => {
            let registered = job.recur(scheduler, &name, &recurs).await?;
            report::registered(&name, &registered)
        }
    })
}

/// A name that nothing has is no failure of the server.
fn known(name: &str, report: russet::Result<Report>) -> Result<Report, Failure> {
    match report {
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(report::unknown(name)),
        report => Ok(report?),
    }
}

async fn reschedule(scheduler: &Scheduler, id: TaskId, when: Once) -> Result<Report, Failure> {
    let rescheduled = match (when.at, when.after) {
        (Some(at), _) => scheduler.reschedule(id, at).await?,
        (None, after) => scheduler.reschedule_after(id, after.unwrap_or_default()).await?,
    };
    Ok(match rescheduled {
        Rescheduled::Done => report::rescheduled(),
        Rescheduled::Ready => report::no_more("ready", "it is ready, among too many to search"),
        Rescheduled::Running => report::no_more("running", "it runs"),
        Rescheduled::Dead => report::no_more("dead", "it is dead"),
        _ => report::unknown(&id.to_string()),
    })
}

/// What recurs under this name; if there is none, the task with this id.
async fn cancel(scheduler: &Scheduler, what: &str) -> Result<Report, Failure> {
    match scheduler.remove(what).await {
        Ok(true) => return Ok(report::ended()),
        Ok(false) => {}
        // No such name can be there.
        Err(error) if error.kind() == ErrorKind::Invalid => {}
        Err(error) => return Err(error.into()),
    }
    Ok(match what.parse::<TaskId>() {
        Ok(id) => match scheduler.cancel(id).await? {
            Cancelled::Done => report::cancelled(),
            Cancelled::Asked => report::asked(),
            Cancelled::Dead | Cancelled::Gone => report::unknown(what),
        },
        Err(_) => report::unknown(what),
    })
}
