//! The folders that tasks read and write, which no path leads out of.
//!
//! A path is walked part by part from an open folder, and no part may be a symbolic link: so neither `..` nor a link that
//! somebody puts there, also in the middle of the walk, leads anywhere else.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

/// A picture to begin with.
pub(super) const PHOTO: &[u8] = include_bytes!("photo.jpg");
/// How deep a folder is cleaned, and how many entries are looked at.
const DEEPEST: u32 = 16;
const MOST_ENTRIES: usize = 100_000;

/// A folder of the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Pictures as they came.
    Uploads,
    /// Pictures as they were made.
    Images,
    /// Files that may go.
    Temp,
}

/// The folders, open. A cheap clone.
#[derive(Debug, Clone)]
pub struct Files {
    folders: Arc<[OwnedFd; 3]>,
}

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A part of the path is `..`, a symbolic link, or not there.
    #[error("{0} is no file of the folder")]
    Outside(String),
    /// More bytes than are read.
    #[error("{0} has more than {1} bytes")]
    TooLarge(String, u64),
    /// The system's own reason.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// What was deleted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// How many files.
    pub deleted: usize,
    /// How many bytes they had.
    pub bytes: u64,
    /// False when there was more than one run looks at.
    pub is_complete: bool,
}

impl Files {
    /// The folders of this data folder; those that are missing are made, with a picture in `uploads` to begin with.
    ///
    /// # Errors
    /// When one cannot be made or opened.
    pub fn open(data_dir: &Path) -> Result<Self, FilesError> {
        let [uploads, images, temp] = ["uploads", "images", "temp"].map(|name| {
            let path = data_dir.join(name);
            let is_new = !path.exists();
            let io = |error| FilesError::Io(path.display().to_string(), error);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io)?;
            // It may be a link itself, to a disk that several machines share: that is the operator's own choice.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = fs::open(&path, flags, Mode::empty());
            let folder = folder.map_err(|error| io(error.into()))?;
            Ok::<_, FilesError>((folder, is_new))
        });
        let ((uploads, is_new), (images, _), (temp, _)) = (uploads?, images?, temp?);
        let files = Self { folders: Arc::new([uploads, images, temp]) };
        if is_new {
            files.write(Folder::Uploads, "photo.jpg", PHOTO)?;
        }
        Ok(files)
    }

    fn folder(&self, folder: Folder) -> BorrowedFd<'_> {
        let [uploads, images, temp] = &*self.folders;
        match folder {
            Folder::Uploads => uploads.as_fd(),
            Folder::Images => images.as_fd(),
            Folder::Temp => temp.as_fd(),
        }
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// When the path leads out of the folder or to no plain file, or the file is larger.
    pub fn read(&self, folder: Folder, path: &Path, most: u64) -> Result<Vec<u8>, FilesError> {
        let shown = || path.display().to_string();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(FilesError::Outside(shown()));
        };
        let parent = self.walk(folder, parent)?;
        let parent = parent.as_ref().map_or(self.folder(folder), |fd| fd.as_fd());
        // Not waiting: a pipe that somebody put there would have no end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(parent, name, flags, Mode::empty());
        let file = File::from(file.map_err(|error| refused(error, shown()))?);
        let about = file.metadata().map_err(|error| FilesError::Io(shown(), error))?;
        if !about.is_file() {
            return Err(FilesError::Outside(shown()));
        }
        let mut bytes = Vec::new();
        let read = file.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| FilesError::Io(shown(), error))?;
        if bytes.len() as u64 > most {
            return Err(FilesError::TooLarge(shown(), most));
        }
        Ok(bytes)
    }

    /// Puts a file into a folder, as a whole or not at all, over the one of this name.
    ///
    /// # Errors
    /// When the name is a path, or the system fails.
    pub fn write(&self, folder: Folder, name: &str, bytes: &[u8]) -> Result<(), FilesError> {
        if !is_name(OsStr::new(name)) {
            return Err(FilesError::Outside(name.to_owned()));
        }
        let folder = self.folder(folder);
        let io = |error: std::io::Error| FilesError::Io(name.to_owned(), error);
        // Two who write the same file at once do not write into one another's.
        let draft = format!(".{name}.{:016x}", rand::random::<u64>());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = fs::openat(folder, draft.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|error| io(error.into()))?);
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(fs::renameat(folder, draft.as_str(), folder, name)?));
        if written.is_err() {
            let _ = fs::unlinkat(folder, draft.as_str(), AtFlags::empty());
        }
        written.map_err(io)
    }

    /// Deletes what nobody has changed for so long, and empty folders of that age. A symbolic link is deleted, not followed.
    ///
    /// # Errors
    /// When the path leads out of the folder, or the system fails.
    pub fn clean(&self, folder: Folder, path: &Path, age: Duration) -> Result<Cleaned, FilesError> {
        let inner = self.walk(folder, path)?;
        let start = inner.as_ref().map_or(self.folder(folder), |fd| fd.as_fd());
        let since = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut sweep = Sweep {
            since: i64::try_from(since).unwrap_or(i64::MAX),
            left: MOST_ENTRIES,
            cleaned: Cleaned { is_complete: true, ..Cleaned::default() },
        };
        let swept = sweep.folder(start, DEEPEST);
        swept.map_err(|error| FilesError::Io(path.display().to_string(), error.into()))?;
        Ok(sweep.cleaned)
    }

    /// The folder at the end of a path; none is the folder itself.
    fn walk(&self, folder: Folder, path: &Path) -> Result<Option<OwnedFd>, FilesError> {
        let mut open: Option<OwnedFd> = None;
        for part in path.components() {
            let shown = || path.display().to_string();
            let Component::Normal(name) = part else { return Err(FilesError::Outside(shown())) };
            let here = open.as_ref().map_or(self.folder(folder), |fd| fd.as_fd());
            let next = fs::openat(here, name, FOLDER, Mode::empty());
            open = Some(next.map_err(|error| refused(error, shown()))?);
        }
        Ok(open)
    }
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/')
}

/// A link is refused as what is not there is: nobody learns where it would have led.
fn refused(error: Errno, path: String) -> FilesError {
    match error {
        Errno::LOOP | Errno::MLINK | Errno::NOTDIR | Errno::NOENT => FilesError::Outside(path),
        other => FilesError::Io(path, other.into()),
    }
}

/// One cleaning.
struct Sweep {
    /// What was changed before this is deleted: seconds since 1970.
    since: i64,
    /// How many entries may still be looked at.
    left: usize,
    cleaned: Cleaned,
}

impl Sweep {
    fn folder(&mut self, folder: BorrowedFd<'_>, depth: u32) -> rustix::io::Result<()> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            if self.left == 0 || depth == 0 {
                self.cleaned.is_complete = false;
                return Ok(());
            }
            self.left -= 1;
            // What goes away in the middle of it is gone: somebody else cleans, too.
            let Ok(about) = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_old = about.st_mtime < self.since;
            if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
                if let Ok(inner) = fs::openat(folder, name, FOLDER, Mode::empty()) {
                    self.folder(inner.as_fd(), depth - 1)?;
                }
                if is_old {
                    // One that is not empty stays.
                    let _ = fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
                }
            } else if is_old && fs::unlinkat(folder, name, AtFlags::empty()).is_ok() {
                self.cleaned.deleted += 1;
                self.cleaned.bytes += u64::try_from(about.st_size).unwrap_or_default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{create_dir_all, read, read_dir, write};
    use std::os::unix::fs::symlink;

    use super::*;

    struct Data {
        temp: tempfile::TempDir,
        files: Files,
    }

    fn data() -> Data {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path().join("secret"), "secret").unwrap();
        let files = Files::open(&temp.path().join("data")).unwrap();
        Data { temp, files }
    }

    impl Data {
        fn path(&self, path: &str) -> std::path::PathBuf {
            self.temp.path().join("data").join(path)
        }

        fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
            self.files.read(Folder::Uploads, Path::new(path), 100)
        }

        fn age(&self, path: &str) {
            let file = File::open(self.path(path)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
        }
    }

    #[test]
    fn a_file_inside_is_read_up_to_its_limit() {
        let data = data();
        create_dir_all(data.path("uploads/2026")).unwrap();
        write(data.path("uploads/2026/a.png"), "x".repeat(100)).unwrap();
        write(data.path("uploads/large.png"), "x".repeat(101)).unwrap();
        assert_eq!(data.read("2026/a.png").unwrap().len(), 100);
        assert!(matches!(data.read("large.png"), Err(FilesError::TooLarge(..))));
        assert!(matches!(data.read("2026"), Err(FilesError::Outside(_))));
        assert!(matches!(data.read("none.png"), Err(FilesError::Outside(_))));
    }

    #[test]
    fn no_path_leads_out() {
        let data = data();
        symlink(data.temp.path().join("secret"), data.path("uploads/link")).unwrap();
        symlink(data.temp.path(), data.path("uploads/folder")).unwrap();
        symlink("../../secret", data.path("uploads/relative")).unwrap();
        let absolute = data.temp.path().join("secret");
        for path in [
            "link",
            "relative",
            "folder/secret",
            "../../secret",
            "folder/../../../secret",
            "",
            "..",
            ".",
            absolute.to_str().unwrap(),
        ] {
            assert!(matches!(data.read(path), Err(FilesError::Outside(_))), "{path}");
        }
    }

    #[test]
    fn a_pipe_is_refused_and_does_not_wait_for_its_writer() {
        let data = data();
        let made = std::process::Command::new("mkfifo").arg(data.path("uploads/pipe")).status();
        assert!(made.unwrap().success());
        assert!(matches!(data.read("pipe"), Err(FilesError::Outside(_))));
    }

    #[test]
    fn a_file_is_written_whole_and_over_the_old_one() {
        let data = data();
        data.files.write(Folder::Images, "a.png", b"old").unwrap();
        data.files.write(Folder::Images, "a.png", b"new").unwrap();
        assert_eq!(read(data.path("images/a.png")).unwrap(), b"new");
        // Not through a link that stands in its place.
        symlink(data.temp.path().join("secret"), data.path("images/b.png")).unwrap();
        data.files.write(Folder::Images, "b.png", b"new").unwrap();
        assert_eq!(read(data.temp.path().join("secret")).unwrap(), b"secret");
        for name in ["", ".", "..", "a/b", "/etc/x"] {
            assert!(data.files.write(Folder::Images, name, b"x").is_err(), "{name}");
        }
        assert_eq!(read_dir(data.path("images")).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn what_is_old_is_deleted_and_nothing_else() {
        let data = data();
        create_dir_all(data.path("temp/a/b")).unwrap();
        for file in ["temp/old", "temp/new", "temp/a/b/old"] {
            write(data.path(file), "12345").unwrap();
        }
        symlink(data.temp.path().join("secret"), data.path("temp/link")).unwrap();
        symlink(data.temp.path(), data.path("temp/folder")).unwrap();
        data.age("temp/old");
        data.age("temp/a/b/old");
        let minute = Duration::from_secs(60);
        let cleaned = data.files.clean(Folder::Temp, Path::new(""), minute).unwrap();
        assert_eq!(cleaned, Cleaned { deleted: 2, bytes: 10, is_complete: true });
        assert!(data.path("temp/new").exists() && !data.path("temp/old").exists());

        // Links go with what is old, and what they lead to stays.
        let cleaned = data.files.clean(Folder::Temp, Path::new("a"), Duration::ZERO).unwrap();
        assert_eq!(cleaned.deleted, 0);
        assert!(data.files.clean(Folder::Temp, Path::new("folder"), minute).is_err());
        assert!(data.files.clean(Folder::Temp, Path::new("../uploads"), minute).is_err());
        assert_eq!(read(data.temp.path().join("secret")).unwrap(), b"secret");
    }

    #[test]
    fn the_first_picture_can_be_read() {
        let data = data();
        let photo = data.files.read(Folder::Uploads, Path::new("photo.jpg"), 1 << 20).unwrap();
        assert!(photo.starts_with(&[0xff, 0xd8]), "a JPEG");
    }
}
