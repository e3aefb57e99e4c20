//! A shell that outlives the test process for a moment, to end what it left behind.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Pid;

const SCRIPT: &str = include_str!("watchdog.sh");

/// Owns a temporary folder and the processes that were named to it.
///
/// When the `Watchdog` is dropped, or when the process that made it ends for any reason (SIGKILL included), a
/// shell kills the processes that are still watched and removes the folder.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
    folder: PathBuf,
}

impl Watchdog {
    /// Starts the shell and waits until it has made the folder.
    pub(super) fn start() -> io::Result<Watchdog> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "russet-watchdog"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C and a killed terminal reach the whole group of the test process, but not this one.
            .process_group(0)
            .spawn()?;
        let orders = shell.stdin.take();
        let mut answer = String::new();
        if let Some(output) = shell.stdout.take() {
            BufReader::new(output).read_line(&mut answer)?;
        }
        let folder = PathBuf::from(answer.trim_end_matches('\n'));
        let watchdog = Watchdog { shell, orders, folder };
        if !watchdog.folder.is_dir() {
            return Err(io::Error::other(format!(
                "the watchdog shell made no temporary folder: {}",
                answer.trim()
            )));
        }
        Ok(watchdog)
    }

    /// The temporary folder, readable by its owner only.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the process group `pid` ends with this watchdog.
    pub(super) fn watch(&self, pid: Pid) -> io::Result<()> {
        self.order("watch", pid)
    }

    /// The process has ended. To be called before its number can be used again.
    pub(super) fn forget(&self, pid: Pid) -> io::Result<()> {
        self.order("forget", pid)
    }

    fn order(&self, order: &str, pid: Pid) -> io::Result<()> {
        let line = format!("{order} {}\n", pid.as_raw_pid());
        match self.orders.as_ref() {
            // One write, shorter than PIPE_BUF: lines of several threads cannot mix.
            Some(mut pipe) => pipe.write_all(line.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // End of file first: the shell ends only after it.
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}
