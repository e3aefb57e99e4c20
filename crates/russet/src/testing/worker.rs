//! Processes that a test can kill, pause and talk to.

use std::env;
use std::io::{self, BufRead, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::output::Output;
use super::process::Process;
use super::watchdog::Watchdog;

/// Set for a process that runs as a worker.
const MARK: &str = "RUSSET_TEST_WORKER";

/// Before a line that a worker reports: the test harness prints lines of its own around it.
pub(super) const REPORT: &str = "@report ";

const LINE_DEADLINE: Duration = Duration::from_secs(30);
/// How long the rest of the output of an ended process is waited for.
const OUTPUT_DEADLINE: Duration = Duration::from_secs(1);

/// A real process that a test can end with SIGKILL and pause with SIGSTOP.
///
/// [`spawn`](Self::spawn) runs one test function of the same test binary again, as a process of its own; in the
/// ordinary run that function returns at once. [`command`](Self::command) runs any program. The process ends
/// with the value, and with the test process, however that one ends; so do the processes it started, except
/// those that moved to a process group of their own.
///
/// # Examples
///
/// ```test_harness
/// # fn main() {}
/// use russet::testing::{WorkerProcess, worker_env, worker_receive, worker_report};
///
/// #[test]
/// fn worker_counts() -> std::io::Result<()> {
///     let Some(start) = worker_env("START") else { return Ok(()) };
///     worker_report(&format!("ready {start}"));
///     let order = worker_receive()?;
///     worker_report(&format!("got {order}"));
///     Ok(())
/// }
///
/// #[tokio::test]
/// async fn a_worker_starts_when_it_is_told() -> std::io::Result<()> {
///     let mut worker = WorkerProcess::spawn("worker_counts", &[("START", "7")])?;
///     assert_eq!(worker.line_starting("ready").await?, "ready 7");
///     worker.send("go")?;
///     assert_eq!(worker.line_starting("got").await?, "got go");
///     worker.kill().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct WorkerProcess {
    // Ended before the watchdog.
    process: Process,
    stdin: Option<ChildStdin>,
    output: Output,
    _watchdog: Arc<Watchdog>,
}

impl WorkerProcess {
    /// Runs the test function `test` of this test binary, with these environment variables.
    ///
    /// The name is the one that the test runner prints: with the path of its module inside the crate, if it has
    /// one. In the function, [`is_worker`] and [`worker_env`] tell the worker from the ordinary run.
    ///
    /// # Errors
    ///
    /// When the process cannot be started. A name that no test has shows as the end of the output.
    pub fn spawn(test: &str, environment: &[(&str, &str)]) -> io::Result<WorkerProcess> {
        let mut command = Command::new(env::current_exe()?);
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(MARK, test)
            .envs(environment.iter().copied());
        Self::command(&command)
    }

    /// Runs a program: its arguments, environment and folder are taken from `command`, its streams are pipes.
    ///
    /// Variables are inherited, also after `Command::env_clear`; `Command::env_remove` works.
    ///
    /// # Errors
    ///
    /// When the process cannot be started. A program that does not exist ends with status 127.
    pub fn command(command: &Command) -> io::Result<WorkerProcess> {
        let watchdog = Arc::new(Watchdog::start()?);
        let (process, pipes) = Process::spawn(command, Stdio::piped(), Stdio::piped(), &watchdog)?;
        let output = Output::read(pipes.stdout, pipes.stderr)?;
        Ok(WorkerProcess { process, stdin: pipes.stdin, output, _watchdog: watchdog })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits up to 30 seconds for a line that starts with `start` and returns it; passes over other lines.
    ///
    /// The lines are those of standard output and standard error. Each is looked at once: the next call goes on
    /// behind the line that this call found.
    ///
    /// # Errors
    ///
    /// When the output ends or the time is over before such a line; the message holds the last lines.
    pub async fn line_starting(&mut self, start: &str) -> io::Result<String> {
        self.line_starting_within(LINE_DEADLINE, start).await
    }

    /// As [`line_starting`](Self::line_starting) with another deadline.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn line_starting_within(
        &mut self,
        deadline: Duration,
        start: &str,
    ) -> io::Result<String> {
        let missing = match timeout(deadline, self.output.next_starting(start)).await {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => (io::ErrorKind::UnexpectedEof, "before its output ended".to_owned()),
            Err(_) => (io::ErrorKind::TimedOut, format!("within {deadline:?}")),
        };
        Err(io::Error::new(
            missing.0,
            format!(
                "process {} printed no line that starts with {start:?} {}; it printed:\n{}",
                self.pid(),
                missing.1,
                self.output.last_lines()
            ),
        ))
    }

    /// All lines so far, of standard output and standard error.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Writes a line to the standard input of the process, where [`worker_receive`] reads it.
    ///
    /// # Errors
    ///
    /// When the process has closed it or has ended.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        match &mut self.stdin {
            Some(pipe) => pipe.write_all(format!("{line}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Closes the standard input of the process: it reads end of file.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Asks the process to end with SIGTERM. Use [`wait`](Self::wait) for its end.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub fn terminate(&self) -> io::Result<()> {
        self.process.signal(rustix::process::Signal::TERM)
    }

    /// Kills the process with SIGKILL and waits until it has ended; returns how it ended, also if that was before.
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub async fn kill(&self) -> io::Result<ExitStatus> {
        let status = self.process.kill().await?;
        self.rest_of_output().await;
        Ok(status)
    }

    /// Stops the process with SIGSTOP; when this returns, it stands still.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn pause(&self) -> io::Result<()> {
        self.process.pause()
    }

    /// Continues a paused process.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resume(&self) -> io::Result<()> {
        self.process.resume()
    }

    /// Waits, without a deadline, until the process ends by itself. Its [`output`](Self::output) is complete then.
    ///
    /// # Errors
    ///
    /// When its status cannot be read.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        let status = self.process.wait().await?;
        self.rest_of_output().await;
        Ok(status)
    }

    /// What the process printed last is still on its way when it has ended. A process that it left behind may hold
    /// the streams open: then this stops waiting.
    async fn rest_of_output(&self) {
        let _ = timeout(OUTPUT_DEADLINE, self.output.ended()).await;
    }
}

/// Whether this process was started by [`WorkerProcess::spawn`].
pub fn is_worker() -> bool {
    env::var_os(MARK).is_some()
}

/// The environment variable `name` in a worker; `None` in the ordinary test run, also when it is set there.
pub fn worker_env(name: &str) -> Option<String> {
    is_worker().then(|| env::var(name).ok()).flatten()
}

/// Prints a line that [`WorkerProcess::line_starting`] can find.
///
/// A plain `println!` may share its line with what the test harness prints.
pub fn worker_report(line: &str) {
    let mut out = io::stdout().lock();
    // A parent that is gone reads nothing, and then it does not matter.
    let _ = out.write_all(format!("\n{REPORT}{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Blocks until [`WorkerProcess::send`] gives a line, and returns it.
///
/// # Errors
///
/// When the parent has closed the pipe or is gone.
pub fn worker_receive() -> io::Result<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end_matches('\n').to_owned()),
    }
}
