//! What the private server keeps in its folder.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::address::Address;
use crate::Failure;
use crate::data_dir::{open_private, read_or_generate};

/// The folder `redis` in the data folder: append-only files, configuration, password, socket, lock, log.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn in_data_dir(data_dir: &Path) -> Result<Self, Failure> {
        let folder = data_dir.join("redis");
        let failed = |error: io::Error| format!("{} cannot be used: {error}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Where the port is written down, when the socket's path would be too long.
    pub(super) fn port(&self) -> PathBuf {
        self.folder.join("port")
    }

    pub(super) fn password(&self) -> Result<String, Failure> {
        read_or_generate(&self.folder.join("password"))
    }

    /// The file that the running server holds locked.
    pub(super) fn lock(&self) -> io::Result<File> {
        open_private(&self.folder.join("server.lock"))
    }

    /// The process id that the running server wrote down.
    pub(super) fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.pid_file()).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Removes the process id of a server that was killed: the number may be another program's by now.
    pub(super) fn forget_pid(&self) -> io::Result<()> {
        match std::fs::remove_file(self.pid_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("redis.pid")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("redis.log")
    }

    /// The last lines of the server's log.
    pub(super) fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Writes the configuration, which holds the password: for its owner's eyes only.
    pub(super) fn write_config(&self, address: &Address) -> Result<PathBuf, Failure> {
        let path = self.folder.join("redis.conf");
        let text = self.config(address)?;
        let mut file = open_private(&path)?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    fn config(&self, address: &Address) -> Result<String, Failure> {
        let listen = match address {
            Address::Socket(path) => {
                format!("port 0\nunixsocket {}\nunixsocketperm 700", quoted(path))
            }
            Address::Port(port) => format!("bind 127.0.0.1\nport {port}"),
        };
        // always: what was acknowledged is on disk. With everysec the server replies before it writes as long as the
        // last second's sync has not ended, so that a killed one loses acknowledged writes on a busy disk.
        Ok(format!(
            "# Written by russet at each start.\n\
             {listen}\n\
             requirepass {password}\n\
             dir {folder}\n\
             pidfile {pid}\n\
             logfile {log}\n\
             loglevel warning\n\
             daemonize no\n\
             supervised no\n\
             appendonly yes\n\
             appendfsync always\n\
             aof-load-truncated yes\n\
             save \"\"\n\
             maxmemory {memory}\n\
             maxmemory-policy noeviction\n",
            // Refused writes are better than a server that the kernel ends. 0 is no limit.
            memory = half_of_the_memory().unwrap_or(0),
            password = self.password()?,
            folder = quoted(&self.folder),
            pid = quoted(&self.pid_file()),
            log = quoted(&self.log()),
        ))
    }
}

/// In bytes; `None` where the system does not say what it has.
fn half_of_the_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024 / 2)
}

/// A path as the server's configuration reads it: in quotes, every unusual byte escaped.
fn quoted(path: &Path) -> String {
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|&byte| match byte {
            b'"' | b'\\' => format!("\\{}", byte as char),
            b' '..=b'~' => (byte as char).to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_add_a_line_to_the_configuration() {
        let path = Path::new("/a b/\"x\"\\\nport 1/é");
        assert_eq!(quoted(path), r#""/a b/\"x\"\\\x0aport 1/\xc3\xa9""#);
    }
}
