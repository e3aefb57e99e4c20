//! `russet account`: who may sign in.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use super::report::{Report, table};
use super::{connect, wrong_usage};
use crate::Failure;
use crate::accounts::{ADMINISTRATOR, AccountName, Accounts, Password};
use crate::config::{self, StoreArgs};
use crate::db::{AccountRow, Database};
use crate::secret_key::SecretKeys;

/// Who may sign in: list accounts, add and remove them, give one another password
///
/// A password is read from the terminal, which does not show it, or from the first line of the input. Without servers the
/// private one of the russet that runs on the data folder is asked, and the database there. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct AccountCommand {
    #[command(subcommand)]
    verb: Verb,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    stores: StoreArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 a server could not be asked, or the name is taken, 2 wrong usage, 3 there is no such account.

The environment is that of `russet serve`: REDIS_URL, DATABASE_URL and their like.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// The accounts, by name
    Ls,
    /// Make an account; its password is read
    Add {
        /// 1 to 32 of the characters a-z, 0-9, dot, _ and -
        name: AccountName,
        /// It may do everything
        #[arg(long)]
        admin: bool,
    },
    /// Give an account another password, which is read, and end its sessions
    Password {
        /// The account
        name: AccountName,
    },
    /// Remove an account, and end its sessions
    Remove {
        /// The account
        name: AccountName,
    },
}

impl AccountCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { verb, json, stores } = self;
        // Before a server is asked: a password that may not be one is wrong usage.
        let password = match &verb {
            Verb::Add { name, .. } | Verb::Password { name } => {
                let password = read_password()?;
                if let Err(wrong) = password.check(name.as_str()) {
                    return Ok(wrong_usage(wrong));
                }
                Some(password)
            }
            Verb::Ls | Verb::Remove { .. } => None,
        };
        let russet = connect(&stores.redis).await?;
        let url = match stores.database()? {
            Some(url) => url,
            None => Database::url_in(config::existing(&stores.redis.data_dir)?),
        };
        let db = Database::open(&url).await?;
        // Sessions are only ended here, for which no key is needed.
        let accounts = Accounts::new(&russet, db.clone(), &SecretKeys::random())?;
        let report = verb.done(&accounts, password).await;
        db.close().await;
        russet.close().await;
        report?.print(json)
    }
}

impl Verb {
    async fn done(
        self,
        accounts: &Accounts,
        password: Option<Password>,
    ) -> Result<Report, Failure> {
        let password = || password.ok_or("no password was read");
        Ok(match self {
            Self::Ls => list(&accounts.list().await?),
            Self::Add { name, admin } => {
                let roles = if admin { &[ADMINISTRATOR][..] } else { &[] };
                if !accounts.add(&name, password()?, roles).await? {
                    return Err(format!("there is an account {name} already").into());
                }
                Report::said(format!("{name} may sign in"), json!({ "name": name.as_str() }))
            }
            Self::Password { name } => {
                done(accounts.set_password(&name, password()?).await?, "changed")
            }
            Self::Remove { name } => done(accounts.remove(&name).await?, "removed"),
        })
    }
}

fn done(is_done: bool, what: &str) -> Report {
    if is_done {
        return Report::said(what.to_owned(), json!({ what: true }));
    }
    Report::missing("there is no such account".to_owned(), json!({ what: false }))
}

fn list(accounts: &[AccountRow]) -> Report {
    let mut lines = vec![["name", "roles"].map(str::to_owned).to_vec()];
    lines.extend(accounts.iter().map(|one| vec![one.name.clone(), one.roles.clone()]));
    let value = |one: &AccountRow| {
        let roles: Vec<_> = one.roles.split_whitespace().collect();
        json!({ "name": one.name, "roles": roles, "created_at": one.created_at })
    };
    let text = if accounts.is_empty() { "no account".to_owned() } else { table(&lines) };
    Report::said(text, accounts.iter().map(value).collect::<Value>())
}

/// One line, which a terminal does not show.
fn read_password() -> Result<Password, Failure> {
    let input = std::io::stdin();
    let shown = input.is_terminal().then(|| tcgetattr(&input)).transpose()?;
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        eprint!("Password: ");
        std::io::stderr().flush()?;
        tcsetattr(&input, OptionalActions::Flush, &hidden)?;
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(shown) = &shown {
        tcsetattr(&input, OptionalActions::Flush, shown)?;
        eprintln!();
    }
    read?;
    Ok(Password::typed(line.trim_end_matches(['\r', '\n']).to_owned()))
}
