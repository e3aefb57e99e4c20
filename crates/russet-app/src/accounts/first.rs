use std::path::{Path, PathBuf};

use super::{ADMINISTRATOR, AccountName, Accounts, Password};
use crate::Failure;
use crate::data_dir;

/// The administrator of the first start.
const NAME: &str = "admin";
/// The file of the data folder that has its password.
const FILE: &str = "admin-password";

/// Where the first administrator's password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdministrator {
    /// Its name.
    pub name: &'static str,
    /// The file that has its password, as long as nobody has deleted it.
    pub file: PathBuf,
}

impl Accounts {
    /// Makes an administrator when there is no account at all, with a random password in a file of the data folder that its owner
    /// alone can read. Answers where that is, also at later starts while the file is there.
    ///
    /// A crash in the middle leaves at most a file, whose password the next start takes. Of several processes that start on one
    /// empty database, one makes it.
    ///
    /// # Errors
    /// When the database or the folder fails.
    pub async fn first_administrator(
        &self,
        data_dir: &Path,
    ) -> Result<Option<FirstAdministrator>, Failure> {
        let file = data_dir.join(FILE);
        if self.db.count_accounts().await? > 0 {
            return Ok(file.exists().then_some(FirstAdministrator { name: NAME, file }));
        }
        let fresh = Password::generate()?;
        let password = data_dir::read_or_write(&file, fresh.expose())?;
        let name: AccountName = NAME.parse()?;
        if self.add(&name, Password::typed(password), &[ADMINISTRATOR]).await? {
            tracing::info!(account = NAME, file = %file.display(), "the first administrator was made");
            return Ok(Some(FirstAdministrator { name: NAME, file }));
        }
        // Another process was first, and has the password in its own folder.
        std::fs::remove_file(&file)?;
        Ok(None)
    }
}
