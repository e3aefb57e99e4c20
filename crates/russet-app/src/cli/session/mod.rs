//! `russet session`: who is signed in, and who is out from now on.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use russet::{SessionId, Sessions};

use super::report::Report;
use super::{connect, existing_secret_keys};
use crate::Failure;
use crate::accounts::sessions;
use crate::config::RedisArgs;
use crate::secret_key::SecretKeys;

/// Look at the sessions of users, end them, and read their logs
///
/// Without a server it asks the private one of the russet that runs on the data folder. What it shows of a session is what is
/// signed by the secret key of `serve`; ending sessions and reading the logs need no key. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct SessionCommand {
    #[command(subcommand)]
    verb: Verb,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    /// The file with the secret key of `serve`. Without one or SECRET_KEY, that of the data folder
    #[arg(long, global = true, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,

    #[command(flatten)]
    redis: RedisArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 a server could not be asked, 2 wrong usage, 3 there is no such session.

The environment is that of `russet serve`: REDIS_URL, or REDIS_HOST and its like; SECRET_KEY, SECRET_KEY_PREVIOUS.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// The sessions of a user, the oldest first
    Ls {
        /// The user
        #[arg(value_parser = user)]
        user: String,
    },
    /// What is known of a session
    Show(OneSession),
    /// End a session
    Revoke(OneSession),
    /// End all sessions of a user
    RevokeUser {
        /// The user
        #[arg(value_parser = user)]
        user: String,
    },
    /// The sessions that have ended, the newest first
    Log {
        /// What was suspicious, instead
        #[arg(long)]
        activity: bool,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
}

/// A session of a user.
#[derive(Debug, Args)]
struct OneSession {
    /// The user
    #[arg(value_parser = user)]
    user: String,
    /// The session's public id
    id: SessionId,
}

impl SessionCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let keys = match self.verb {
            Verb::Ls { .. } | Verb::Show(_) => {
                existing_secret_keys(self.secret_key_file.as_deref(), &self.redis.data_dir)?
            }
            // Nothing that is signed is read.
            Verb::Revoke(_) | Verb::RevokeUser { .. } | Verb::Log { .. } => SecretKeys::random(),
        };
        let russet = connect(&self.redis).await?;
        let report = self.verb.done(&sessions(&russet, &keys)?).await;
        russet.close().await;
        report?.print(self.json)
    }
}

impl Verb {
    async fn done(self, sessions: &Sessions) -> Result<Report, Failure> {
        Ok(match self {
            Self::Ls { user } => report::sessions(&sessions.list(&user).await?),
            Self::Show(OneSession { user, id }) => {
                report::session(sessions.find(&user, id).await?.as_ref())
            }
            Self::Revoke(OneSession { user, id }) => {
                report::revoked(sessions.revoke(&user, id).await?)
            }
            Self::RevokeUser { user } => {
                sessions.sign_out_everywhere(&user).await?;
                report::revoked_everywhere()
            }
            Self::Log { activity: false, limit } => {
                report::log(&sessions.ended(limit.into()).await?)
            }
            Self::Log { activity: true, limit } => {
                report::activity(&sessions.activity(limit.into()).await?)
            }
        })
    }
}

/// Names of accounts are written small.
fn user(text: &str) -> Result<String, String> {
    if (1..=256).contains(&text.len()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("expected 1 to 256 bytes".to_owned())
}
