//! Which program is the server, and what to install when there is none.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::Failure;

/// In order of preference.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// The server program on PATH.
///
/// # Errors
/// A sentence with the one-line install command of this platform.
pub(super) fn find() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_on(&path).ok_or_else(|| {
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let install = install_command(std::env::consts::OS, &os_release);
        format!(
            "neither redis-server nor valkey-server is on PATH. Install one with\n    {install}\n\
             or name a running server with --redis-url redis://host:6379"
        )
        .into()
    })
}

fn find_on(path: &OsStr) -> Option<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(path).collect();
    let find = |name| folders.iter().map(|folder| folder.join(name)).find(|file| is_program(file));
    NAMES.into_iter().find_map(find)
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn install_command(os: &str, os_release: &str) -> &'static str {
    if os == "macos" {
        return "brew install redis";
    }
    let likes: Vec<_> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|ids| ids.trim_matches('"').split(' '))
        .collect();
    let family = |names: &[&str]| names.iter().any(|name| likes.contains(name));
    if family(&["fedora", "rhel", "centos"]) {
        "sudo dnf install valkey"
    } else if family(&["alpine"]) {
        "sudo apk add redis"
    } else if family(&["arch"]) {
        "sudo pacman -S valkey"
    } else if family(&["suse", "opensuse"]) {
        "sudo zypper install redis"
    } else {
        "sudo apt-get install redis-server"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let file = folder.join(name);
        std::fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&file).unwrap();
        file
    }

    #[test]
    fn redis_is_preferred_and_valkey_taken() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().as_os_str();
        assert_eq!(find_on(path), None);
        let valkey = program(temp.path(), "valkey-server", 0o755);
        assert_eq!(find_on(path), Some(valkey));
        let redis = program(temp.path(), "redis-server", 0o755);
        assert_eq!(find_on(path), Some(redis));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let temp = tempfile::tempdir().unwrap();
        program(temp.path(), "redis-server", 0o644);
        assert_eq!(find_on(temp.path().as_os_str()), None);
    }

    #[test]
    fn each_platform_has_its_command() {
        let command = |release| install_command("linux", release);
        assert_eq!(command("ID=debian\n"), "sudo apt-get install redis-server");
        assert_eq!(
            command("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            "sudo apt-get install redis-server"
        );
        assert_eq!(
            command("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            "sudo dnf install valkey"
        );
        assert_eq!(install_command("macos", ""), "brew install redis");
    }
}
