//! A task of the application that comes again and again.

use std::time::{Duration, SystemTime};

use russet::{Missed, Registered, Scheduler, Timetable};

use super::Checked;

/// When a task recurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// At the times of a cron expression, on the clock of a time zone.
    Cron {
        /// Five fields, or six with the second in front.
        expression: String,
        /// Such as `Asia/Shanghai`.
        zone: String,
    },
    /// Once in each interval.
    Every(Duration),
}

/// How a task recurs.
#[derive(Debug, Clone)]
pub struct Recurs {
    /// When.
    pub times: Times,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// Up to how much later each one comes.
    pub jitter: Duration,
    /// What becomes of those for which nobody was there.
    pub missed: Missed,
    /// Whether one is left out while an earlier one waits or runs.
    pub is_alone: bool,
}

impl Times {
    /// Whether these are times, without asking a server.
    ///
    /// # Errors
    /// A sentence that names what is none: the expression, the zone, or the interval.
    pub fn check(&self) -> Result<(), String> {
        let table = match self {
            Self::Cron { expression, zone } => Timetable::cron(expression, zone),
            Self::Every(interval) => Timetable::every(*interval, SystemTime::UNIX_EPOCH),
        };
        table.map(drop).map_err(|error| error.to_string())
    }
}

pub(super) async fn register<T: Checked>(
    scheduler: &Scheduler,
    name: &str,
    job: T,
    recurs: &Recurs,
) -> russet::Result<Registered> {
    let call = match &recurs.times {
        Times::Cron { expression, zone } => scheduler.cron(name, expression, zone, job),
        Times::Every(interval) => scheduler.every(name, *interval, job),
    };
    let call = call.priority(recurs.priority).jitter(recurs.jitter).missed(recurs.missed);
    let call = call.max_attempts(T::ATTEMPTS);
    if recurs.is_alone { call.alone().await } else { call.await }
}
