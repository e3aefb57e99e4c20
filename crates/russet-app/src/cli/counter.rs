//! `russet counter`: what was counted, and counting what others have recorded.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use russet::{Counters, Counts, ErrorKind, Granularity, Point, Russet, Top};
use serde_json::json;

use super::import::{Opened, Source, one_by_one, time_in, zone};
use super::operator::{Operator, exit_codes};
use super::report::{Report, moment, shown, table, time};
use super::wrong_usage;
use crate::Failure;
use crate::http::tasks::seconds;

/// How many days a retention has at most: a hundred years.
const LONGEST_DAYS: u64 = 36_525;

/// See what was counted; import what others have recorded
///
/// Without a server it asks the private one of the russet that runs on the data folder.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 it was never counted, 4 some lines of the file are bad and were left out"))]
pub(super) struct CounterCommand {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A counter's total, and its counts in the minute, hour, day and month of a time; or a series of them
    Get {
        #[command(flatten)]
        group: Group,
        /// The counter
        name: String,
        /// Of which time, such as 2026-12-24T18:00:00+08:00, or seconds since 1970 [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<SystemTime>,
        /// A series of these instead, up to 1,000
        #[arg(long, value_enum, value_name = "GRANULARITY", conflicts_with = "at")]
        series: Option<By>,
        /// The series begins with the one that holds this time [default: as far back as they are usually kept]
        #[arg(long, value_name = "TIME", value_parser = moment, requires = "series")]
        from: Option<SystemTime>,
        /// The series ends before this time [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment, requires = "series")]
        to: Option<SystemTime>,
    },
    /// The largest counts, of all time or of a minute, hour, day or month
    Top {
        #[command(flatten)]
        group: Group,
        /// Of the current one of these, or of the one of --at
        #[arg(long, value_enum, value_name = "GRANULARITY")]
        by: Option<By>,
        /// Of which time [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment, requires = "by")]
        at: Option<SystemTime>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Count the lines of a CSV file, each at its own time
    ///
    /// The columns are timestamp, name and value, a whole number from 0 to 2^53; without values each line counts 1. Bad lines
    /// are told by their numbers and left out. Importing a file twice counts it twice.
    Import {
        #[command(flatten)]
        group: Group,
        #[command(flatten)]
        source: Source,
        /// How long minutes, hours, days and months are kept from their own end on: seconds, a number of s, m, h, d or y, or
        /// day=90d for one of them, once for each. What is older counts in the total only [default: 1h, 7d, 30d and 366d]
        #[arg(long, value_name = "[GRANULARITY=]DURATION", value_parser = retention)]
        retention: Vec<Retention>,
    },
}

/// A group of counters as it is counted.
#[derive(Debug, Args)]
struct Group {
    /// The group
    group: String,
    /// The group's time zone
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
}

/// How long the buckets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Minute,
    Hour,
    Day,
    Month,
}

/// How long buckets are kept; all when it does not say which.
#[derive(Debug, Clone, Copy)]
struct Retention(Option<By>, Duration);

impl CounterCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { verb, operator } = self;
        let (zone, opened) = match verb.checked() {
            Ok(checked) => checked,
            Err(error) => return Ok(wrong_usage(&error)),
        };
        operator.report(async |russet| verb.done(russet, zone, opened).await).await
    }
}

impl Verb {
    /// Before a server is asked: the time zone, and the file that is imported.
    fn checked(&self) -> Result<(TimeZone, Option<Opened>), String> {
        let (Self::Get { group, .. } | Self::Top { group, .. } | Self::Import { group, .. }) = self;
        let zone = zone(&group.time_zone)?;
        let opened = match self {
            Self::Import { source, .. } => Some(source.open()?),
            _ => None,
        };
        Ok((zone, opened))
    }

    async fn done(
        self,
        russet: &Russet,
        zone: TimeZone,
        opened: Option<Opened>,
    ) -> Result<Report, Failure> {
        match self {
            Self::Get { group, name, series: Some(by), from, to, .. } => {
                let counters = group.open(russet, &[])?;
                series(&counters, &name, by.into(), from, to).await
            }
            Self::Get { group, name, at, .. } => {
                let counters = group.open(russet, &[])?;
                let counts = match at {
                    Some(time) => counters.get_at(&name, time).await?,
                    None => counters.get(&name).await?,
                };
                Ok(counted(&name, &counts))
            }
            Self::Top { group, by, at, limit } => {
                let (counters, n) = (group.open(russet, &[])?, limit.into());
                let top = match (by, at) {
                    (None, _) => counters.top_total(n).await?,
                    (Some(by), None) => counters.top(by.into(), n).await?,
                    (Some(by), Some(time)) => counters.top_at(by.into(), time, n).await?,
                };
                Ok(largest(&top))
            }
            Self::Import { group, retention, .. } => {
                let counters = group.open(russet, &retention)?;
                let opened = opened.ok_or("there is no file")?;
                import(counters, zone, opened).await
            }
        }
    }
}

impl Group {
    fn open(&self, russet: &Russet, retention: &[Retention]) -> Result<Counters, Failure> {
        let mut builder = Counters::builder(russet, &self.group).time_zone(&self.time_zone);
        for granularity in Granularity::ALL {
            let of = |by: By| Granularity::from(by) == granularity;
            let said = |Retention(by, _): &&Retention| by.is_none_or(of);
            if let Some(Retention(_, keep)) = retention.iter().rev().find(said) {
                builder = builder.retention(granularity, *keep);
            }
        }
        Ok(builder.build()?)
    }
}

impl From<By> for Granularity {
    fn from(by: By) -> Self {
        match by {
            By::Minute => Self::Minute,
            By::Hour => Self::Hour,
            By::Day => Self::Day,
            By::Month => Self::Month,
        }
    }
}

/// Reads `90d`, or `day=90d`.
fn retention(text: &str) -> Result<Retention, String> {
    let (by, keep) = match text.split_once('=') {
        Some((by, keep)) => (Some(By::from_str(by, false)?), keep),
        None => (None, text),
    };
    let keep = time(keep, LONGEST_DAYS)?;
    if keep.is_zero() {
        return Err("expected more than no time".to_owned());
    }
    Ok(Retention(by, keep))
}

async fn series(
    counters: &Counters,
    name: &str,
    by: Granularity,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
) -> Result<Report, Failure> {
    let points = match (from, to) {
        (Some(from), Some(to)) => counters.series(name, by, from..to).await?,
        (Some(from), None) => counters.series(name, by, from..).await?,
        (None, Some(to)) => counters.series(name, by, ..to).await?,
        (None, None) => counters.series(name, by, ..).await?,
    };
    let mut lines = vec![vec!["from".to_owned(), "count".to_owned()]];
    lines.extend(points.iter().map(|Point { start, count }| {
        let start = jiff::Timestamp::try_from(*start)
            .map_or_else(|_| String::new(), |start| start.to_string());
        vec![start, count.to_string()]
    }));
    let points: Vec<_> = points
        .iter()
        .map(|point| json!({ "start": seconds(point.start), "count": point.count }))
        .collect();
    Ok(Report::said(table(&lines), json!({ "name": name, "series": points })))
}

fn counted(name: &str, counts: &Counts) -> Report {
    let Counts { total, minute, hour, day, month } = counts;
    let json = json!({
        "name": name, "total": total, "minute": minute, "hour": hour, "day": day, "month": month,
    });
    if *total == 0 {
        return Report::missing(format!("never counted: {}", shown(name)), json);
    }
    let text = format!(
        "{minute} in the minute, {hour} in the hour, {day} in the day, {month} in the month, {total} in all"
    );
    Report::said(text, json)
}

fn largest(top: &[Top]) -> Report {
    let mut lines = vec![vec!["name".to_owned(), "count".to_owned()]];
    lines.extend(top.iter().map(|line| vec![shown(&line.name), line.count.to_string()]));
    let text = if top.is_empty() { "nothing was counted".to_owned() } else { table(&lines) };
    let top: Vec<_> =
        top.iter().map(|line| json!({ "name": line.name, "count": line.count })).collect();
    Report::said(text, json!({ "top": top }))
}

/// What is counted of a line.
#[derive(Clone)]
struct Addition {
    name: String,
    n: u64,
    time: SystemTime,
}

async fn import(counters: Counters, zone: TimeZone, opened: Opened) -> Result<Report, Failure> {
    let mut added = Counts::default();
    let imported = opened
        .import(
            move |row| {
                let n = row.value.parse().ok().filter(|n| *n <= 1 << 53);
                let n = n.ok_or_else(|| {
                    format!("the value {:?} is no whole number from 0 to 2^53", row.value)
                })?;
                if !(1..=256).contains(&row.name.len()) {
                    return Err("the name must have 1 to 256 bytes".to_owned());
                }
                let time = time_in(&zone, row.timestamp)?;
                Ok(Addition { name: row.name.to_owned(), n, time })
            },
            async |batch| {
                let items = batch.iter().map(|(_, it)| (it.name.as_str(), it.n, it.time));
                match counters.add_at_many(items).await {
                    Ok(more) => {
                        sum(&mut added, more);
                        Ok(Vec::new())
                    }
                    Err(error) if error.kind() == ErrorKind::Invalid => {
                        one_by_one(batch, async |it| {
                            let more = counters.add_at_many([(it.name, it.n, it.time)]).await?;
                            sum(&mut added, more);
                            Ok(())
                        })
                        .await
                    }
                    Err(error) => Err(error.into()),
                }
            },
        )
        .await?;
    let of = [
        ("minutes", added.minute),
        ("hours", added.hour),
        ("days", added.day),
        ("months", added.month),
    ];
    let mut more = format!("; {} in all", added.total);
    for (what, count) in of.iter().filter(|(_, count)| *count < added.total) {
        more += &format!(", {} of it older than {what} are kept", added.total - count);
    }
    let json = json!({
        "added": {
            "total": added.total, "minute": added.minute, "hour": added.hour, "day": added.day, "month": added.month,
        },
    });
    Ok(imported.report(&more, json))
}

fn sum(all: &mut Counts, more: Counts) {
    all.total += more.total;
    all.minute += more.minute;
    all.hour += more.hour;
    all.day += more.day;
    all.month += more.month;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_of_all_granularities_or_of_one() {
        let Retention(by, keep) = retention("20y").unwrap();
        assert_eq!((by, keep.as_secs()), (None, 20 * 365 * 86_400));
        let Retention(by, keep) = retention("day=90d").unwrap();
        assert_eq!((by, keep.as_secs()), (Some(By::Day), 90 * 86_400));
        for wrong in ["", "0", "day", "week=1d", "day=", "101y", "=1d", "-1d"] {
            assert!(retention(wrong).is_err(), "{wrong}");
        }
    }
}
