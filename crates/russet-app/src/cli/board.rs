//! `russet board`: who leads, and filling a board with what others have recorded.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use russet::{ErrorKind, Leaderboard, Period, Ranked, Russet, Ties};
use serde_json::{Value, json};

use super::import::{Opened, Source, one_by_one, time_in, zone};
use super::operator::{Operator, exit_codes};
use super::report::{Report, moment, shown, table, time};
use super::wrong_usage;
use crate::Failure;

/// How many days a board is kept at most: a hundred years.
const LONGEST_DAYS: u64 = 36_525;

/// See who leads on a leaderboard; import what others have recorded
///
/// Without a server it asks the private one of the russet that runs on the data folder.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 the member is not on the board, 4 some lines of the file are bad and were left out"))]
pub(super) struct BoardCommand {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The best members, the best first
    Top {
        #[command(flatten)]
        board: Board,
        #[command(flatten)]
        at: At,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// Without the best so many
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u64,
    },
    /// A member's rank and score
    Rank {
        #[command(flatten)]
        board: Board,
        #[command(flatten)]
        at: At,
        /// The member
        member: String,
    },
    /// A member and those directly above and below it
    Around {
        #[command(flatten)]
        board: Board,
        #[command(flatten)]
        at: At,
        /// The member
        member: String,
        /// How many on each side
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=499))]
        neighbours: u16,
    },
    /// Add the lines of a CSV file to the scores, or set them
    ///
    /// The columns are timestamp, name and value, a number from -2^53 to 2^53; without values each line adds 1. The time says
    /// which board of a --period it is, and is not looked at without one. Bad lines are told by their numbers and left out.
    /// Importing a file twice adds it twice.
    Import {
        #[command(flatten)]
        board: Board,
        #[command(flatten)]
        source: Source,
        /// The value is the score, and of a name's lines the last one counts
        #[arg(long)]
        set: bool,
        /// Keep only so many members
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
        max_size: Option<u64>,
        /// How long boards of a period are kept from its end on: seconds, or a number of s, m, h, d or y [default: 30d for
        /// days, 366d for weeks and months]
        #[arg(long, value_name = "DURATION", value_parser = keep, requires = "period")]
        retention: Option<Duration>,
    },
}

/// A board as its application has it.
#[derive(Debug, Args)]
struct Board {
    /// The board
    board: String,
    /// It begins anew with each of these
    #[arg(long, value_enum, value_name = "PERIOD")]
    period: Option<Each>,
    /// The time zone of the periods
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Where equal scores stand
    #[arg(long, value_enum, value_name = "RULE", default_value_t)]
    ties: Rule,
}

/// Which board of those of a period.
#[derive(Debug, Args)]
struct At {
    /// The board of the period of this time, such as 2026-12-24T18:00:00+08:00, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "period")]
    at: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Each {
    Day,
    Week,
    Month,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Rule {
    /// The greater name first
    #[default]
    Redis,
    /// One rank for all of them
    Shared,
    /// Who reached it first
    First,
}

impl BoardCommand {
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
        let (Self::Top { board, .. }
        | Self::Rank { board, .. }
        | Self::Around { board, .. }
        | Self::Import { board, .. }) = self;
        let zone = zone(&board.time_zone)?;
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
            Self::Top { board, at, limit, offset } => {
                let lines = board.open_at(russet, &at)?.page(offset, limit.into()).await?;
                Ok(listed(&lines, "nobody is on the board"))
            }
            Self::Rank { board, at, member } => {
                let standing = board.open_at(russet, &at)?.standing(&member).await?;
                let Some((score, rank)) = standing.and_then(|it| Some((it.score, it.rank?))) else {
                    return Ok(Report::missing(absent(&member), Value::Null));
                };
                let json = json!({ "member": member, "rank": rank, "score": score });
                Ok(Report::said(format!("rank {rank}, score {score}"), json))
            }
            Self::Around { board, at, member, neighbours } => {
                let board = board.open_at(russet, &at)?;
                let lines = board.around(&member, neighbours.into()).await?;
                if lines.is_empty() {
                    return Ok(Report::missing(absent(&member), Value::Null));
                }
                Ok(listed(&lines, ""))
            }
            Self::Import { board, set, max_size, retention, .. } => {
                let open = board.open(russet, max_size, retention)?;
                let opened = opened.ok_or("there is no file")?;
                let import = Import { board: open, period: board.period, zone, set };
                import.run(opened).await
            }
        }
    }
}

impl Board {
    fn open(
        &self,
        russet: &Russet,
        max_size: Option<u64>,
        retention: Option<Duration>,
    ) -> Result<Leaderboard, Failure> {
        let mut builder = Leaderboard::builder(russet, &self.board).ties(match self.ties {
            Rule::Redis => Ties::RedisOrder,
            Rule::Shared => Ties::Shared,
            Rule::First => Ties::FirstToReach,
        });
        if let Some(size) = max_size {
            builder = builder.max_size(size);
        }
        if let Some(period) = self.period {
            builder = builder.period(period.into()).time_zone(&self.time_zone);
        }
        if let Some(keep) = retention {
            builder = builder.keep(keep);
        }
        Ok(builder.build()?)
    }

    fn open_at(&self, russet: &Russet, at: &At) -> Result<Leaderboard, Failure> {
        let board = self.open(russet, None, None)?;
        Ok(match at.at {
            Some(time) => board.at(time)?,
            None => board,
        })
    }
}

impl From<Each> for Period {
    fn from(each: Each) -> Self {
        match each {
            Each::Day => Self::Day,
            Each::Week => Self::Week,
            Each::Month => Self::Month,
        }
    }
}

fn keep(text: &str) -> Result<Duration, String> {
    time(text, LONGEST_DAYS)
}

fn absent(member: &str) -> String {
    format!("not on the board: {}", shown(member))
}

fn listed(lines: &[Ranked], nobody: &str) -> Report {
    let mut text = vec![["rank", "member", "score"].map(str::to_owned).to_vec()];
    text.extend(
        lines
            .iter()
            .map(|line| vec![line.rank.to_string(), shown(&line.member), line.score.to_string()]),
    );
    let text = if lines.is_empty() { nobody.to_owned() } else { table(&text) };
    let lines: Vec<_> = lines
        .iter()
        .map(|line| json!({ "rank": line.rank, "member": line.member, "score": line.score }))
        .collect();
    Report::said(text, json!({ "lines": lines }))
}

/// A member's part of a line, and when it was, if that matters.
struct Score {
    member: String,
    score: f64,
    time: Option<SystemTime>,
}

/// What is imported into which board.
struct Import {
    board: Leaderboard,
    period: Option<Each>,
    zone: TimeZone,
    set: bool,
}

impl Import {
    async fn run(self, opened: Opened) -> Result<Report, Failure> {
        let (zone, has_period) = (self.zone.clone(), self.period.is_some());
        let parse = move |row: &super::import::Row<'_>| {
            let score = row.value.parse().ok().filter(|score: &f64| score.is_finite());
            let score =
                score.ok_or_else(|| format!("the value {:?} is no finite number", row.value))?;
            if !(1..=256).contains(&row.name.len()) {
                return Err("the name must have 1 to 256 bytes".to_owned());
            }
            let time = has_period.then(|| time_in(&zone, row.timestamp)).transpose()?;
            Ok(Score { member: row.name.to_owned(), score, time })
        };
        let imported = opened.import(parse, async |batch| self.write(batch).await).await?;
        Ok(imported.report("", json!({})))
    }

    /// A call for each period that the lines are of.
    async fn write(&self, batch: Vec<(u64, Score)>) -> Result<Vec<(u64, String)>, Failure> {
        let mut periods: BTreeMap<Option<Date>, Vec<(u64, Score)>> = BTreeMap::new();
        for (line, score) in batch {
            periods.entry(self.period_of(score.time)?).or_default().push((line, score));
        }
        let mut refused = Vec::new();
        for scores in periods.into_values() {
            let board = match scores.first().and_then(|(_, score)| score.time) {
                Some(time) => self.board.at(time)?,
                None => self.board.clone(),
            };
            match self.update(&board, scores.iter().map(|(_, score)| score)).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    let each = async |score| self.update(&board, [&score].into_iter()).await;
                    refused.extend(one_by_one(scores, each).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(refused)
    }

    async fn update<'a>(
        &self,
        board: &Leaderboard,
        scores: impl Iterator<Item = &'a Score>,
    ) -> russet::Result<()> {
        let scores = scores.map(|score| (score.member.as_str(), score.score));
        match self.set {
            true => board.add_many(scores).await.map(drop),
            false => board.increment_many(scores).await.map(drop),
        }
    }

    /// The first day of the period that holds this time.
    fn period_of(&self, time: Option<SystemTime>) -> Result<Option<Date>, Failure> {
        let (Some(time), Some(period)) = (time, self.period) else { return Ok(None) };
        let date = self.zone.to_datetime(Timestamp::try_from(time)?).date();
        Ok(Some(match period {
            Each::Day => date,
            Each::Week => {
                date.checked_sub(jiff::Span::new().days(date.weekday().to_monday_zero_offset()))?
            }
            Each::Month => date.first_of_month(),
        }))
    }
}
