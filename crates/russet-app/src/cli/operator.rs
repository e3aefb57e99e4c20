//! What operators' commands have in common: which servers are asked, and how the answer is printed.

use std::process::ExitCode;

use clap::Args;
use russet::Russet;

use super::connect;
use super::report::Report;
use crate::Failure;
use crate::config::RedisArgs;

/// The flags of all of them.
#[derive(Debug, Args)]
pub(super) struct Operator {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    redis: RedisArgs,
}

impl Operator {
    /// Asks the servers and prints what they say.
    pub(super) async fn report(
        self,
        ask: impl AsyncFnOnce(&Russet) -> Result<Report, Failure>,
    ) -> Result<ExitCode, Failure> {
        let russet = connect(&self.redis).await?;
        let report = ask(&russet).await;
        russet.close().await;
        report?.print(self.json)
    }
}

/// What stands below the help of a command: what its exit codes mean, those above 2 by its own words.
macro_rules! exit_codes {
    ($own:literal) => {
        concat!(
            "Exit codes: 0 done, 1 a server could not be asked, 2 wrong usage, ",
            $own,
            ".\n\nThe environment is that of `russet serve`: REDIS_URL, or REDIS_HOST and its like."
        )
    };
}
pub(super) use exit_codes;
