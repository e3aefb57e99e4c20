//! The private Redis server that `russet serve` runs when none is configured.
//!
//! One server on a data folder, never two: the server holds an exclusive lock on `server.lock` for as long as it
//! lives, because that open, locked file is its standard input. The lock survives a killed russet, needs no process
//! id and cannot be stale. Whoever gets the lock may start a server; whoever does not takes over the one that runs.

mod address;
mod files;
mod probe;
mod process;
mod program;

use std::path::Path;
use std::time::{Duration, Instant};

use russet::{Russet, RussetBuilder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use address::Address;
use files::Files;
use process::Running;

/// The first pause before a server that died is started again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that lived this long did not die of its start.
const STABLE: Duration = Duration::from_secs(10);

/// A running private server: started again when it dies, stopped by [`stop`](Self::stop).
///
/// Dropping it leaves the server running for the next start, as a killed russet does.
#[derive(Debug)]
pub struct PrivateServer {
    address: Address,
    password: String,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
}

impl PrivateServer {
    /// Takes over the server that runs on this data folder, or starts one, and waits until it serves.
    ///
    /// The caller holds the lock of the [`DataDir`](crate::data_dir::DataDir).
    ///
    /// # Errors
    /// No server program on PATH; a server that does not start, with the end of its log.
    pub async fn start(data_dir: &Path) -> Result<Self, Failure> {
        let files = Files::in_data_dir(data_dir)?;
        let running = process::take_over_or_start(&files).await?;
        let stop = CancellationToken::new();
        let (address, password) = (running.address.clone(), files.password()?);
        let supervisor = tokio::spawn(supervise(files, running, stop.clone()));
        Ok(Self { address, password, stop, supervisor })
    }

    /// How to connect to it.
    pub fn connection(&self) -> RussetBuilder {
        Russet::builder().url(self.address.url()).password(&self.password)
    }

    /// Where it listens, for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Saves its data and ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the private Redis server's supervisor failed");
        }
    }
}

/// How to connect to the private server that another russet runs on this data folder.
///
/// # Errors
/// When there is none yet.
pub fn connection(data_dir: &Path) -> Result<RussetBuilder, Failure> {
    let files = Files::in_data_dir(data_dir)?;
    let address =
        Address::saved(&files)?.ok_or("no private Redis server runs on this data folder yet")?;
    Ok(Russet::builder().url(address.url()).password(files.password()?))
}

/// Starts the server again whenever it ends, until told to stop it.
async fn supervise(files: Files, mut running: Running, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return process::stop(&files).await,
            () = running.ended() => {}
        }
        tracing::warn!("the private Redis server has ended; starting it again");
        if since.elapsed() > STABLE {
            pause = FIRST_PAUSE;
        }
        running = tokio::select! {
            () = stop.cancelled() => return process::stop(&files).await,
            running = restart(&files, &mut pause) => running,
        };
        tracing::info!(address = %running.address, "the private Redis server serves again");
    }
}

async fn restart(files: &Files, pause: &mut Duration) -> Running {
    loop {
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        match process::take_over_or_start(files).await {
            Ok(running) => return running,
            Err(error) => tracing::error!(%error, "the private Redis server does not start"),
        }
    }
}
