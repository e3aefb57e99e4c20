//! `russet lock`: who has which lock, and taking one away.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use russet::{Holder, Lock, LockStatus, Russet};
use serde_json::{Value, json};

use super::operator::{Operator, exit_codes};
use super::report::{Report, shown, spoken, table, when};
use super::wrong_usage;
use crate::Failure;
use crate::http::tasks::seconds;

/// So many locks are asked at once.
const AT_ONCE: usize = 64;

/// See who has which lock and who waits; take one away from a holder that hangs
///
/// Without a server it asks the private one of the russet that runs on the data folder.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 nobody has the lock"))]
pub(super) struct LockCommand {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The locks that somebody has or waits for
    ///
    /// Looks at the keys of each server for 200 ms at most; says so when there are more.
    Ls {
        /// Also those that are free and were held within the last day
        #[arg(long)]
        all: bool,
    },
    /// The holder of a lock, and how many wait for it
    Show {
        /// The lock
        name: String,
    },
    /// Take a lock away from its holder, and give it to who waits longest
    ///
    /// The holder goes on until its next renewal tells it that the lock is lost, or until the store refuses its fence. Asks
    /// first.
    ForceRelease {
        /// The lock
        name: String,
        /// Only from the holder with this fence [default: the one that has it]
        #[arg(long, value_name = "N")]
        fence: Option<u64>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl LockCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { verb, operator } = self;
        if let Verb::ForceRelease { yes: false, .. } = verb
            && !std::io::stdin().is_terminal()
        {
            return Ok(wrong_usage("nobody can be asked here: say --yes to take the lock away"));
        }
        operator.report(async |russet| verb.done(russet).await).await
    }
}

impl Verb {
    async fn done(self, russet: &Russet) -> Result<Report, Failure> {
        match self {
            Self::Ls { all } => list(russet, all).await,
            Self::Show { name } => {
                let status = open(russet, &name)?.status().await?;
                let json = in_json(&name, &status);
                Ok(match &status.holder {
                    Some(holder) => Report::said(in_words(&status, holder), json),
                    None => Report::missing(free(&status), json),
                })
            }
            Self::ForceRelease { name, fence, yes } => force(russet, &name, fence, yes).await,
        }
    }
}

fn open(russet: &Russet, name: &str) -> Result<Lock, Failure> {
    Ok(Lock::builder(russet, name).build()?)
}

async fn list(russet: &Russet, all: bool) -> Result<Report, Failure> {
    let found = Lock::names(russet).await?;
    let asked = stream::iter(found.names).map(async |name| {
        let status = open(russet, &name)?.status().await?;
        Ok::<_, Failure>((name, status))
    });
    let mut locks: Vec<_> = asked.buffered(AT_ONCE).try_collect().await?;
    locks.retain(|(_, status)| all || status.holder.is_some() || status.waiting > 0);

    let head = ["lock", "fence", "held", "left", "waiting"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for (name, status) in &locks {
        let holder = status.holder.as_ref();
        lines.push(vec![
            shown(name),
            status.last_fence.to_string(),
            holder.map_or("free".to_owned(), |holder| when(holder.since)),
            holder.map_or_else(String::new, |holder| spoken(holder.left)),
            status.waiting.to_string(),
        ]);
    }
    let mut text = if locks.is_empty() { "nobody has a lock\n".to_owned() } else { table(&lines) };
    if !found.is_complete {
        text += "there may be more: not all keys were looked at\n";
    }
    let locks: Vec<_> = locks.iter().map(|(name, status)| in_json(name, status)).collect();
    Ok(Report::said(text, json!({ "locks": locks, "is_complete": found.is_complete })))
}

async fn force(
    russet: &Russet,
    name: &str,
    fence: Option<u64>,
    yes: bool,
) -> Result<Report, Failure> {
    let lock = open(russet, name)?;
    let status = lock.status().await?;
    let holder = status.holder.as_ref().filter(|holder| fence.is_none_or(|it| it == holder.fence));
    let Some(holder) = holder else {
        let text = match (&status.holder, fence) {
            (Some(other), Some(_)) => format!("the lock is another one's: fence {}", other.fence),
            _ => free(&status),
        };
        return Ok(Report::missing(text, json!({ "released": false })));
    };
    if !yes && !agreed(&format!("{}: {}", shown(name), in_words(&status, holder)))? {
        return Ok(Report::said("nothing was done".to_owned(), json!({ "released": false })));
    }
    // Only from whom it was shown: it may be another one's by now.
    if lock.force_release(holder.fence).await? {
        return Ok(Report::said("released".to_owned(), json!({ "released": true })));
    }
    Ok(Report::missing("its holder has just lost it".to_owned(), json!({ "released": false })))
}

/// Asks at the terminal.
fn agreed(what: &str) -> Result<bool, Failure> {
    let mut terminal = std::io::stderr();
    write!(terminal, "{what}\nTake it away? (y/N) ")?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn in_words(status: &LockStatus, holder: &Holder) -> String {
    let entries = match holder.entries {
        0 | 1 => String::new(),
        entries => format!(", entered {entries} times"),
    };
    format!(
        "held since {} with fence {}, {} left{entries}; {} waiting",
        when(holder.since),
        holder.fence,
        spoken(holder.left),
        status.waiting
    )
}

fn free(status: &LockStatus) -> String {
    match status.last_fence {
        0 => "nobody has the lock, and nobody had it for a day".to_owned(),
        fence => format!("nobody has the lock; the last fence was {fence}"),
    }
}

fn in_json(name: &str, status: &LockStatus) -> Value {
    let holder = status.holder.as_ref().map(|holder| {
        json!({
            "fence": holder.fence, "since": seconds(holder.since), "left_ms": holder.left.as_millis(),
            "entries": holder.entries,
        })
    });
    json!({ "name": name, "holder": holder, "last_fence": status.last_fence, "waiting": status.waiting })
}
