//! A worker process of the demonstration.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::Failure;

/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(10);

/// How a worker process is started: the program, its arguments, and what it finds in its environment.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

/// A process. When it is dropped it is killed.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    child: Child,
    pid: u32,
}

impl Launcher {
    /// `russet worker` of the demonstration, by this program. Passwords go by the environment, which others cannot read.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: Vec<(&'static str, OsString)>,
    ) -> Self {
        let first = ["worker", "--demo"].map(OsString::from).into_iter();
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self { program: program.into(), arguments: first.chain(arguments).collect(), environment }
    }

    pub(super) fn start(&self) -> Result<WorkerProcess, Failure> {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .env("RUST_LOG", "warn")
            // Its end is the worker's sign that this process is gone, however it went.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", self.program.display()))?;
        let pid = child.id().ok_or("the worker has ended at once")?;
        Ok(WorkerProcess { child, pid })
    }
}

impl WorkerProcess {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// SIGKILL; resolves when it is gone.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        use std::os::unix::process::ExitStatusExt as _;
        self.child.start_kill()?;
        let status = self.child.wait().await?;
        match status.signal() {
            Some(9) => Ok(()),
            _ => Err(format!("the worker ended with {status} before it was killed").into()),
        }
    }

    /// Lets it finish.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
