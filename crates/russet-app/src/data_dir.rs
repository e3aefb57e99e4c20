//! The folder that holds everything `russet` keeps on disk, for one running russet at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;

/// A data folder that this process alone uses; the lock ends with the process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data folder could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another russet uses it.
    #[error("another russet (process {pid}) is using {}; stop it or choose another --data-dir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that uses it, as it wrote it down.
        pid: String,
    },
    /// It could not be created or read.
    #[error("the data folder {} cannot be used: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DataDir {
    /// Creates the folder if there is none (readable by its owner only) and takes its lock.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] when another russet has the lock.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let mut lock = open_private(&path.join("russet.lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(io)?;
                return Err(DataDirError::InUse { path, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        lock.set_len(0).map_err(io)?;
        lock.rewind().map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens a file for reading and writing, created for its owner only.
pub(crate) fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The text that this file holds; a missing or empty file is filled with 256 random bits first, in hexadecimal.
///
/// A crash leaves the file whole or empty.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn read_or_generate(path: &Path) -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("the system gave no random bytes: {error}"))?;
    let fresh: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    read_or_write(path, &fresh)
}

/// The text that this file holds; a missing or empty file is filled with `fresh` first.
///
/// A crash leaves the file whole or empty.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn read_or_write(path: &Path, fresh: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| format!("{} cannot be used: {error}", path.display());
    let mut file = open_private(path).map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let text = text.trim();
    if !text.is_empty() {
        return Ok(text.to_owned());
    }
    file.write_all(format!("{fresh}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(fresh.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_russet_is_refused_and_told_the_first_ones_process() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn only_the_owner_can_read_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let _data = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        read_or_generate(&path.join("password")).unwrap();
        assert_eq!(mode(&path.join("password")), 0o600);
    }

    #[test]
    fn what_was_generated_is_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        let fresh = read_or_generate(&path).unwrap();
        assert_eq!(fresh.len(), 64);
        assert_eq!(read_or_generate(&path).unwrap(), fresh);
    }
}
