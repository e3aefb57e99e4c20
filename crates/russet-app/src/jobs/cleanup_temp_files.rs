//! `cleanup_temp_files`: old files of the folder `temp` are deleted.

use std::path::{Component, Path};
use std::time::Duration;

use russet::{BoxError, Task, TaskContext};
use serde::{Deserialize, Serialize};

use super::files::{Cleaned, Folder};
use super::{Checked, Work};

/// Deletes what nobody has changed for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanupTempFiles {
    /// A folder in the folder `temp` of the data folder. Default: all of it.
    #[serde(default)]
    pub directory: String,
    /// For how many seconds nobody has changed a file that is deleted. Default a day.
    #[serde(default = "a_day")]
    pub older_than: u64,
}

impl Default for CleanupTempFiles {
    fn default() -> Self {
        Self { directory: String::new(), older_than: a_day() }
    }
}

fn a_day() -> u64 {
    86_400
}

impl Task for CleanupTempFiles {
    const NAME: &'static str = "cleanup_temp_files";
}

impl Checked for CleanupTempFiles {
    fn check(&self) -> Result<(), String> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if self.directory.len() > 1_024 || self.directory.contains(char::is_control) {
            return Err("directory is no path of a folder in temp".to_owned());
        }
        if !Path::new(&self.directory).components().all(plain) {
            return Err("directory leads out of temp".to_owned());
        }
        if self.older_than > 366 * 86_400 {
            return Err("older_than must be at most 366 days".to_owned());
        }
        Ok(())
    }
}

pub(super) async fn clean(
    job: CleanupTempFiles,
    ctx: TaskContext<Work>,
) -> Result<Cleaned, BoxError> {
    let files = ctx.state().files.clone();
    let age = Duration::from_secs(job.older_than);
    let clean = move || files.clean(Folder::Temp, Path::new(&job.directory), age);
    Ok(tokio::task::spawn_blocking(clean).await??)
}
