//! The commands.

mod account;
mod bench;
mod board;
mod counter;
mod doctor;
mod import;
mod lock;
mod operator;
mod queue;
mod report;
mod schedule;
mod seed;
mod serve;
mod session;
mod stock;
mod worker;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use russet::Russet;
use tracing_subscriber::EnvFilter;

use crate::config::{self, RedisArgs, debug_wanted};
use crate::secret_key::SecretKeys;
use crate::{Failure, redis_server};

/// A web application on Redis and SQL, complete in one command.
#[derive(Debug, Parser)]
#[command(name = "russet", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Log more
    #[arg(long, global = true)]
    debug: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Worker(worker::Worker),
    Queue(queue::QueueCommand),
    Schedule(schedule::ScheduleCommand),
    Lock(lock::LockCommand),
    Counter(counter::CounterCommand),
    Board(board::BoardCommand),
    Stock(stock::StockCommand),
    Session(session::SessionCommand),
    Account(account::AccountCommand),
    Seed(seed::Seed),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let debug = cli.debug || debug_wanted(std::env::var("DEBUG").ok().as_deref());
    start_logging(match cli.command {
        _ if debug => "info,russet=debug,russet_axum=debug,russet_app=debug",
        // The servers of a benchmark come and go, and the others say themselves what they meet.
        Command::Serve(_) | Command::Worker(_) | Command::Seed(_) => "info",
        _ => "error",
    });
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => serve.run().await.map(|()| ExitCode::SUCCESS),
            Command::Worker(worker) => worker.run().await.map(|()| ExitCode::SUCCESS),
            Command::Queue(queue) => queue.run().await,
            Command::Schedule(schedule) => schedule.run().await,
            Command::Lock(lock) => lock.run().await,
            Command::Counter(counter) => counter.run().await,
            Command::Board(board) => board.run().await,
            Command::Stock(stock) => stock.run().await,
            Command::Session(session) => session.run().await,
            Command::Account(account) => account.run().await,
            Command::Seed(seed) => seed.run().await.map(|()| ExitCode::SUCCESS),
            Command::Bench(bench) => bench.run().await.map(|()| ExitCode::SUCCESS),
            Command::Doctor(doctor) => doctor.run().await,
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("russet: {error}");
    ExitCode::FAILURE
}

/// The configured server, or the private one of the russet that runs on the data folder.
async fn connect(redis: &RedisArgs) -> Result<Russet, Failure> {
    let builder = match redis.server()? {
        Some(builder) => builder,
        None => redis_server::connection(config::existing(&redis.data_dir)?)?,
    };
    Ok(builder.connect().await?)
}

/// The keys that sign sessions, from the file, the environment, or the data folder; made there when there are none.
fn secret_keys(file: Option<&Path>, data_dir: &Path) -> Result<SecretKeys, Failure> {
    let (given, previous) = given_keys();
    SecretKeys::load(file, given.as_deref(), previous.as_deref(), data_dir)
}

/// The same for operators, who make none.
fn existing_secret_keys(file: Option<&Path>, data_dir: &Path) -> Result<SecretKeys, Failure> {
    let (given, previous) = given_keys();
    SecretKeys::load_existing(file, given.as_deref(), previous.as_deref(), data_dir)
}

fn given_keys() -> (Option<String>, Option<String>) {
    let variable = |name| std::env::var(name).ok().filter(|key| !key.trim().is_empty());
    (variable("SECRET_KEY"), variable("SECRET_KEY_PREVIOUS"))
}

fn wrong_usage(error: &str) -> ExitCode {
    eprintln!("russet: {error}");
    ExitCode::from(2)
}

fn start_logging(usual: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Resolves at Ctrl-C, SIGTERM, or when the terminal is closed.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "a signal cannot be listened to");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
