//! Taking over, starting and ending the server process.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use russet::{ErrorKind, Russet, raw};
use rustix::process::{Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::address::Address;
use super::files::Files;
use super::probe::Probe;
use super::program;
use crate::Failure;

/// Between two looks at a server that is starting, loading or ending.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A process that says nothing for this long is hung: one that loads its data answers that it does.
const HUNG: Duration = Duration::from_secs(15);
/// How long a server may take to save its data and end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A server that serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) address: Address,
    probe: Probe,
    /// Held so that the process is reaped when it ends; `None` when it was taken over.
    _child: Option<Child>,
}

impl Running {
    /// Resolves when the server ends.
    pub(super) async fn ended(&mut self) {
        self.probe.ended().await;
    }
}

/// The server of this folder, running already or started now, ready to serve.
pub(super) async fn take_over_or_start(files: &Files) -> Result<Running, Failure> {
    let mut silent_since = Instant::now();
    loop {
        let lock = files.lock()?;
        match lock.try_lock() {
            Ok(()) => return start(files, lock).await,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        match look(files).await? {
            Look::Ours(address, probe) => {
                tracing::info!(%address, "the private Redis server was running already");
                return Ok(Running { address, probe, _child: None });
            }
            Look::Loading => silent_since = Instant::now(),
            Look::Silent if silent_since.elapsed() < HUNG => {}
            Look::Silent | Look::Stranger => stop(files).await,
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// What answers where the server of a folder should listen.
enum Look {
    /// It serves, with our password, from our folder.
    Ours(Address, Probe),
    /// It answers, and does not serve yet.
    Loading,
    /// Nothing answers.
    Silent,
    /// It serves, and not as we configured it: the password file was lost, say.
    Stranger,
}

async fn look(files: &Files) -> Result<Look, Failure> {
    let Some(address) = Address::saved(files)? else { return Ok(Look::Silent) };
    let Ok(probe) = Probe::connect(&address).await else { return Ok(Look::Silent) };
    if !probe.answers(Duration::from_secs(1)).await {
        return Ok(Look::Silent);
    }
    let password = files.password()?;
    Ok(match serves_from(&address, password, files.folder()).await {
        Ok(true) => match Probe::connect(&address).await {
            Ok(probe) => Look::Ours(address, probe),
            Err(_) => Look::Silent,
        },
        Ok(false) => Look::Stranger,
        Err(error) if error.kind() == ErrorKind::Refused => Look::Stranger,
        Err(_) => Look::Loading,
    })
}

/// Whether the server at this address takes our password and keeps its data in our folder.
async fn serves_from(address: &Address, password: String, folder: &Path) -> russet::Result<bool> {
    let russet = Russet::builder().url(address.url()).password(password).connect().await?;
    let raw::Value::List(answer) = raw::command(&russet, &["CONFIG", "GET", "dir"]).await? else {
        return Ok(false);
    };
    let dir = answer.into_iter().nth(1).and_then(raw::Value::into_text);
    Ok(dir.is_some_and(|dir| Path::new(&dir) == folder))
}

/// Starts a server that inherits the lock, and waits until it serves.
async fn start(files: &Files, lock: File) -> Result<Running, Failure> {
    let program = program::find()?;
    let address = Address::free(files)?;
    let config = files.write_config(&address)?;
    files.forget_pid()?;
    let mut child = Command::new(&program)
        .arg(&config)
        .current_dir(files.folder())
        // The lock belongs to the open file, not to this process: it lasts until the server closes its standard
        // input, which it does by ending.
        .stdin(Stdio::from(lock))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is for russet, which then stops the server in order.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    loop {
        if let Look::Ours(address, probe) = look(files).await? {
            tracing::debug!(pid = child.id(), %address, "the private Redis server serves");
            return Ok(Running { address, probe, _child: Some(child) });
        }
        if let Some(status) = child.try_wait()? {
            let (program, log) = (program.display(), files.log_end());
            return Err(format!("{program} ended with {status}; its log ends with\n{log}").into());
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Ends whatever server holds this folder's lock, by asking, then by force.
pub(super) async fn stop(files: &Files) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + SHUTDOWN;
        let mut told = None;
        while is_running(files) && Instant::now() < deadline {
            // A server that has just been started writes its process id a moment later.
            if let Some(pid) = files.pid().filter(|pid| told != Some(*pid)) {
                if let Err(error) = kill_process(pid, signal) {
                    tracing::debug!(%error, ?pid, "the private Redis server took no signal");
                }
                told = Some(pid);
            }
            sleep(LOOK_AGAIN).await;
        }
        if !is_running(files) {
            return;
        }
        tracing::warn!(?signal, "the private Redis server has not ended within {SHUTDOWN:?}");
    }
}

/// Whether a server holds the lock.
fn is_running(files: &Files) -> bool {
    files.lock().is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}
