//! Where the private server listens: a socket in its folder, or a loopback port where the path is too long for one.

use std::fmt;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::files::Files;
use crate::Failure;

/// The longest path of a Unix socket that every system takes (macOS: 104 bytes with the final zero).
const LONGEST_SOCKET: usize = 103;

/// What is escaped in the path of a URL.
const UNUSUAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Socket(PathBuf),
    Port(u16),
}

impl Address {
    /// Where the server of this folder listened last, or would listen; `None` when it has no port yet.
    pub(super) fn saved(files: &Files) -> Result<Option<Self>, Failure> {
        let socket = files.socket();
        if socket.as_os_str().len() <= LONGEST_SOCKET {
            return Ok(Some(Self::Socket(socket)));
        }
        let file = files.port();
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let port = text.trim().parse();
                Ok(Some(Self::Port(port.map_err(|_| format!("{} holds no port", file.display()))?)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a new server of this folder is to listen: as before, unless another program took the port.
    pub(super) fn free(files: &Files) -> Result<Self, Failure> {
        match Self::saved(files)? {
            Some(Self::Port(port)) if TcpListener::bind(("127.0.0.1", port)).is_ok() => {
                Ok(Self::Port(port))
            }
            Some(socket @ Self::Socket(_)) => Ok(socket),
            _ => {
                let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
                std::fs::write(files.port(), format!("{port}\n"))?;
                Ok(Self::Port(port))
            }
        }
    }

    /// As the library's connection URL.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Socket(path) => {
                let bytes = path.as_os_str().as_bytes();
                format!("unix://{}", percent_encode(bytes, UNUSUAL))
            }
            Self::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Port(port) => write!(f, "127.0.0.1:{port}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn deep_folder() -> (tempfile::TempDir, Files) {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::in_data_dir(&temp.path().join("d".repeat(90))).unwrap();
        (temp, files)
    }

    #[test]
    fn a_path_too_long_for_a_socket_gives_a_port_that_stays_the_same() {
        let (_temp, files) = deep_folder();
        assert_eq!(Address::saved(&files).unwrap(), None);
        let address = Address::free(&files).unwrap();
        assert!(matches!(address, Address::Port(_)));
        assert_eq!(Address::saved(&files).unwrap(), Some(address));
    }

    #[test]
    fn a_port_that_another_program_took_is_given_up() {
        let (_temp, files) = deep_folder();
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        std::fs::write(files.port(), port.to_string()).unwrap();
        assert_ne!(Address::free(&files).unwrap(), Address::Port(port));
    }

    #[test]
    fn an_unusual_path_stays_one_path_in_the_url() {
        let address = Address::Socket("/tmp/a b?c#d%/é.sock".into());
        assert_eq!(address.url(), "unix:///tmp/a%20b%3Fc%23d%25/%C3%A9.sock");
    }
}
