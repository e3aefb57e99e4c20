//! Which server program the tests use.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The environment variable that names the program.
const VARIABLE: &str = "RUSSET_TEST_SERVER";

const KNOWN: [&str; 2] = ["redis-server", "valkey-server"];

const INSTALL: &str = "install one (Debian and Ubuntu: `sudo apt-get install redis-server`), \
    or name the program in RUSSET_TEST_SERVER";

/// The program named by `RUSSET_TEST_SERVER`, or else the first of `redis-server` and `valkey-server` on `PATH`.
pub(super) fn find() -> io::Result<PathBuf> {
    match env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        Some(name) => locate(Path::new(&name), env::var_os("PATH")).ok_or_else(|| {
            missing(format!("{VARIABLE} is {}, which is no program here", name.display()))
        }),
        None => KNOWN
            .iter()
            .find_map(|name| locate(Path::new(name), env::var_os("PATH")))
            .ok_or_else(|| missing("no redis-server or valkey-server on PATH".to_owned())),
    }
}

/// A path is taken as it is, a bare name is looked for in the folders of `search`.
fn locate(program: &Path, search: Option<OsString>) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_path_buf());
    }
    env::split_paths(&search?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn missing(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{what}: {INSTALL}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::locate;

    #[test]
    fn a_bare_name_is_looked_for_and_a_path_is_taken() {
        let path = || Some("/nowhere:/bin".into());
        assert_eq!(locate(Path::new("sh"), path()).as_deref(), Some(Path::new("/bin/sh")));
        assert_eq!(locate(Path::new("/bin/sh"), None).as_deref(), Some(Path::new("/bin/sh")));
        assert_eq!(locate(Path::new("no-such-program"), path()), None);
        assert_eq!(locate(Path::new("/bin/no-such-program"), path()), None);
    }
}
