//! `russet doctor`: what is wrong with the Redis servers, or will be.

use std::process::ExitCode;

use clap::Args;
use russet::{Finding, Severity};

use crate::config::{self, RedisArgs};
use crate::{Failure, redis_server};

/// Examine the Redis servers and say what to do
///
/// Looks at version, role, persistence, memory, replication, script cache, clock, connections, and at keys that should
/// expire and do not. Changes nothing, and costs a server a few commands and 200 ms of looking at keys. Without a server
/// it examines the private one of the russet that runs on the data folder.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Doctor {
    /// Print an array of objects: severity (note, warning or critical), check, server, text, advice
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    redis: RedisArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 nothing worse than a note, 1 a server could not be examined, 2 wrong usage,
            3 a warning, 4 something critical.

The environment is that of `russet serve`: REDIS_URL, or REDIS_HOST and its like.";

impl Doctor {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let builder = match self.redis.server()? {
            Some(builder) => builder,
            None => redis_server::connection(config::existing(&self.redis.data_dir)?)?,
        };
        let findings = builder.connect().await?.doctor().await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else if findings.is_empty() {
            println!("Nothing to find fault with.");
        } else {
            findings.iter().for_each(|finding| println!("{finding}"));
        }
        Ok(exit_code(&findings).into())
    }
}

fn exit_code(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.severity).max() {
        None | Some(Severity::Note) => 0,
        Some(Severity::Warning) => 3,
        Some(Severity::Critical) => 4,
    }
}
