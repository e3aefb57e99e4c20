//! A child process that cannot outlive the test process.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, test_kill_process, waitid,
};
use tokio::sync::watch;

use super::watchdog::Watchdog;

/// Waits for one line before it becomes the program, so that the watchdog knows the process before it does
/// anything, and a test process that dies in between leaves nothing.
const GATE: &str = r#"read -r go && exec "$@""#;

/// Whether a process with this id exists and has not ended.
///
/// A process that has ended but was not collected by its parent yet (a zombie) counts as ended.
pub fn is_running(pid: u32) -> bool {
    let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    if test_kill_process(known) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the program's name, which is in parentheses and may hold any character.
        Ok(stat) => !matches!(
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()),
            Some('Z' | 'X')
        ),
        // Gone in between; or a system without /proc, where the signal's answer is all there is.
        Err(_) => test_kill_process(known) != Err(rustix::io::Errno::SRCH),
    }
}

/// The process, its pipes and the thread that waits for its end.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    running: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    reaper: Option<JoinHandle<()>>,
}

/// The ends of the process's pipes that are ours.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Process {
    /// Starts the program of `command` in a process group of its own, with a pipe as standard input.
    ///
    /// Program, arguments, folder and environment are taken from `command`; its streams are those given here. Its
    /// temporary files go where the watchdog removes them, unless `command` names another place.
    pub(super) fn spawn(
        command: &Command,
        stdout: Stdio,
        stderr: Stdio,
        watchdog: &Arc<Watchdog>,
    ) -> io::Result<(Process, Pipes)> {
        let mut child = gated(command, watchdog.folder())
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let mut pipes = Pipes {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };

        let running = Arc::new(Mutex::new(true));
        let (report, exit) = watch::channel(None);
        // While it is held the reaper cannot say `forget`, which must come after `watch`.
        let held = running.lock().unwrap_or_else(PoisonError::into_inner);
        let reaper = {
            let (watchdog, running) = (Arc::clone(watchdog), Arc::clone(&running));
            thread::Builder::new()
                .name("russet-test-reaper".to_owned())
                .spawn(move || reap(child, pid, &watchdog, &running, &report))?
        };
        let watched = watchdog.watch(pid);
        drop(held);
        // Dropping it, also by an error below, kills and collects the process.
        let process = Process { pid, running, exit, reaper: Some(reaper) };
        watched?;
        if let Some(gate) = &mut pipes.stdin {
            gate.write_all(b"go\n")?;
        }
        Ok((process, pipes))
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// How the process ended, or `None` while it runs.
    pub(super) fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until the process has ended and was collected.
    pub(super) async fn wait(&self) -> io::Result<ExitStatus> {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.map(|status| *status);
        status
            .ok()
            .flatten()
            .ok_or_else(|| io::Error::other(format!("process {} was lost sight of", self.id())))
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        // The lock keeps the process from being collected, and its number from being used again, meanwhile.
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !*running {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("process {} has ended", self.id()),
            ));
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// Kills the process with SIGKILL and waits for its end; does nothing when it has ended before.
    pub(super) async fn kill(&self) -> io::Result<ExitStatus> {
        if self.exited().is_none() {
            ignore_ended(self.signal(Signal::KILL))?;
        }
        self.wait().await
    }

    /// Stops the process with SIGSTOP; when this returns, it stands still.
    pub(super) fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        // The signal works a moment after it was sent. The end of the process is looked for as well, because a
        // process that died meanwhile never stops.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        retry_on_intr(|| waitid(WaitId::Pid(self.pid), options))?;
        Ok(())
    }

    /// Continues a paused process.
    pub(super) fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::KILL);
        if let Some(reaper) = self.reaper.take() {
            let _ = reaper.join();
        }
    }
}

/// Turns the error of a process that has ended already into success.
pub(super) fn ignore_ended(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn gated(command: &Command, temporary: &Path) -> Command {
    let mut gate = Command::new("/bin/sh");
    gate.env("TMPDIR", temporary);
    gate.args(["-c", GATE, "russet-gate"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => gate.env(name, value),
            None => gate.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        gate.current_dir(folder);
    }
    gate
}

fn reap(
    mut child: Child,
    pid: Pid,
    watchdog: &Watchdog,
    running: &Mutex<bool>,
    report: &watch::Sender<Option<ExitStatus>>,
) {
    // Seen, but not collected: until it is, nobody else gets its number, so the two steps before `wait` can only
    // reach what this process started.
    let seen = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), seen));
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = watchdog.forget(pid);
    *running = false;
    report.send_replace(child.wait().ok());
}
