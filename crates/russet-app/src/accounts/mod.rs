//! Accounts: who may sign in, with which password, how often one may try, and the sessions that come of it.

mod first;
mod limits;
mod name;
mod password;

use std::net::IpAddr;
use std::time::Duration;

use russet::{Russet, Sessions};

use crate::db::{AccountRow, Database, DbError};
use crate::secret_key::SecretKeys;
use limits::LoginLimits;

pub use first::FirstAdministrator;
pub use name::AccountName;
pub use password::{Password, Passwords};

/// The role of those who may do everything.
pub const ADMINISTRATOR: &str = "admin";
/// The name of the sessions in Redis.
pub const SESSIONS: &str = "web";

/// How many sessions an account has at most; one more ends the oldest.
const MOST_SESSIONS: u64 = 100;

/// What went wrong with an account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] russet::Error),
    /// Too many passwords wait to be compared.
    #[error("too many passwords wait to be compared")]
    Busy,
    /// A password could not be hashed, or what is kept of one is no hash.
    #[error("a password could not be hashed or compared: {0}")]
    Hash(argon2::password_hash::Error),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The thread that hashed has ended.
    #[error("a password was not hashed: {0}")]
    Thread(tokio::task::JoinError),
}

/// What a name and a password are good for.
#[derive(Debug)]
#[must_use]
pub enum Login {
    /// The password is that of this account.
    Right(AccountRow),
    /// There is no such account, or the password is another: nobody is told which.
    Wrong,
    /// There were too many tries: the next one counts after this time.
    TooMany(Duration),
}

/// The accounts and their sessions. A cheap clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    db: Database,
    sessions: Sessions,
    limits: LoginLimits,
    passwords: Passwords,
}

impl Accounts {
    /// With sessions that are signed by these keys.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn new(russet: &Russet, db: Database, keys: &SecretKeys) -> russet::Result<Self> {
        Ok(Self {
            db,
            sessions: sessions(russet, keys)?,
            limits: LoginLimits::new(russet, keys.signing())?,
            passwords: Passwords::new(),
        })
    }

    /// Their sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Counts a try to sign in from this address, and looks whether the password is that of the account.
    ///
    /// An unknown account takes as long as a wrong password.
    ///
    /// # Errors
    /// When Redis or the database is away, or too many try at the same time: nobody is signed in then.
    pub async fn check(
        &self,
        name: &str,
        password: Password,
        address: IpAddr,
    ) -> Result<Login, AccountError> {
        // What is no name is nobody's, and goes the same way.
        let name: Option<AccountName> = name.parse().ok();
        let subject = name.as_ref().map_or("-", AccountName::as_str);
        if let Err(wait) = self.limits.check(subject, address).await? {
            tracing::warn!(%address, "too many tries to sign in");
            return Ok(Login::TooMany(wait));
        }
        let account = match &name {
            Some(name) => self.db.find_account(name.as_str()).await?,
            None => None,
        };
        let hash = account.as_ref().map(|account| account.password.clone());
        let is_right = self.passwords.verify(password, hash).await?;
        match account.filter(|_| is_right) {
            Some(account) => Ok(Login::Right(account)),
            None => {
                // Not the name: people type their password into the wrong field.
                tracing::warn!(%address, "a try to sign in failed");
                Ok(Login::Wrong)
            }
        }
    }

    /// Whether an account is still as it was. Whoever changes one ends its sessions afterwards: asked after a session was made,
    /// either this sees the change, or the change has ended the session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_as_before(&self, account: &AccountRow) -> Result<bool, AccountError> {
        Ok(self.db.find_account(&account.name).await?.as_ref() == Some(account))
    }

    /// Makes an account. Answers whether the name was free.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add(
        &self,
        name: &AccountName,
        password: Password,
        roles: &[&str],
    ) -> Result<bool, AccountError> {
        let hash = self.passwords.hash(password).await?;
        Ok(self.db.add_account(name.as_str(), &hash, &roles.join(" ")).await?)
    }

    /// Gives an account another password, and ends its sessions. Answers whether there is such an account.
    ///
    /// # Errors
    /// When the database or Redis fails. The password may be the new one already: do it again.
    pub async fn set_password(
        &self,
        name: &AccountName,
        password: Password,
    ) -> Result<bool, AccountError> {
        let hash = self.passwords.hash(password).await?;
        let is_there = self.db.set_account_password(name.as_str(), &hash).await?;
        if is_there {
            self.sessions.sign_out_everywhere(name.as_str()).await?;
        }
        Ok(is_there)
    }

    /// Removes an account and ends its sessions. Answers whether there was one.
    ///
    /// # Errors
    /// When the database or Redis fails. The account may be gone already: do it again.
    pub async fn remove(&self, name: &AccountName) -> Result<bool, AccountError> {
        let was_there = self.db.remove_account(name.as_str()).await?;
        // Also when there was none: a try before this one may have come no further.
        self.sessions.sign_out_everywhere(name.as_str()).await?;
        Ok(was_there)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<AccountRow>, AccountError> {
        Ok(self.db.list_accounts().await?)
    }
}

/// The sessions of the application, as every process has them.
///
/// There is no secret of the shards: it could never change, and operators alone choose names.
pub(crate) fn sessions(russet: &Russet, keys: &SecretKeys) -> russet::Result<Sessions> {
    let mut sessions = Sessions::builder(russet, SESSIONS)
        .secret(keys.signing().as_bytes())
        .max_sessions(MOST_SESSIONS);
    for key in keys.also_verify() {
        sessions = sessions.also_verify(key.as_bytes());
    }
    sessions.build()
}
