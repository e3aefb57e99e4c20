//! `russet bench`: what each block costs here.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Failure,
    bench::{self, BLOCKS, Effort},
    config,
};

/// Measure the blocks beside the raw commands of the Redis server
///
/// Starts a server of its own, in a temporary folder, the first of redis-server and valkey-server on PATH (or what
/// RUSSET_TEST_SERVER names). Each case is warmed up, then run in rounds, in turn with its floor: what the server's
/// own commands for the same end take. The figures are medians of the rounds; 64 callers share one connection.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Only the cases of this block
    #[arg(value_name = "BLOCK", value_parser = clap::builder::PossibleValuesParser::new(BLOCKS))]
    block: Option<String>,

    /// Only the case of this name
    #[arg(long, value_name = "CASE")]
    case: Option<String>,

    /// Print an array of objects instead of a table
    #[arg(long)]
    json: bool,

    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,

    /// How long a round takes
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = config::duration)]
    round: Duration,
}

impl Bench {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.round.is_zero() {
            return Err("--round must be longer than 0".into());
        }
        if cfg!(debug_assertions) {
            eprintln!(
                "this is not a release build: its figures say little; `make bench` makes one"
            );
        }
        let effort = Effort { rounds: self.rounds.into(), round: self.round };
        let spinner = ProgressBar::new_spinner()
            .with_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
        spinner.enable_steady_tick(Duration::from_millis(100));
        let measured = bench::run(self.block.as_deref(), self.case.as_deref(), effort, |next| {
            spinner.set_message(next.to_owned());
        })
        .await?;
        spinner.finish_and_clear();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&measured)?);
        } else {
            print!("{}", bench::table(&measured));
        }
        Ok(())
    }
}
