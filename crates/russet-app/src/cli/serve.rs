//! `russet serve`: the application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use russet_axum::Server;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::stop_signal;
use crate::access::AccessArgs;
use crate::accounts::{Accounts, FirstAdministrator};
use crate::config::{self, CleanupArgs, StoreArgs};
use crate::data_dir::DataDir;
use crate::db::Database;
use crate::jobs::{self, Files, Work};
use crate::killed_worker::Launcher;
use crate::redis_server::PrivateServer;
use crate::users::{UserWrites, UsersSettings};
use crate::{AppState, Failure, http, seed};

/// The largest body that a route takes: a user's name and e-mail address, with room.
const LONGEST_BODY: usize = 64 * 1024;
/// How long the end waits for queued writes to reach the database; what is left then waits in Redis.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the start waits for the worker's first turn.
const BEGIN: Duration = Duration::from_secs(5);

/// Serve the web application
///
/// Starts everything it needs: a private Redis server in the data folder when none is configured (stopped on exit,
/// taken over after a crash) and an SQLite database. Stops in order at Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = config::ENVIRONMENT)]
pub(super) struct Serve {
    /// Where to listen. An address that other machines reach needs --public-url and --trusted-proxy
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000", value_parser = config::listen_address)]
    listen: SocketAddr,

    #[command(flatten)]
    stores: StoreArgs,

    #[command(flatten)]
    access: AccessArgs,

    /// A file with the secret key, at least 32 bytes, which signs sessions; further lines are keys that have signed before and
    /// are still believed. Without one or SECRET_KEY, it is generated in the data folder. All processes on one Redis must agree
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,

    /// Makes every look-up of a user in the database take this much longer, to see what the cache does
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = config::duration)]
    slow_database: Duration,

    /// How a user is written. around: to the database, then the cached copy is dropped. through: to the database, then
    /// the copy is replaced. behind: to Redis, and to the database soon after; refused while Redis is away, and the
    /// list lags a moment. All processes on one Redis must agree
    #[arg(
        long,
        value_name = "POLICY",
        env = "USER_WRITES",
        hide_env = true,
        value_enum,
        default_value_t
    )]
    user_writes: UserWrites,

    /// How many tasks it works on at the same time; 0 for none, when `russet worker` does that
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=10_000))]
    concurrency: u64,

    #[command(flatten)]
    cleanup: CleanupArgs,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        // From here on a signal stops in order; before, it would leave a half-started Redis server behind.
        let stop = tokio::spawn(stop_signal());
        let access = self.access.clone().check(self.listen)?;
        let (redis, database) = (self.stores.redis.server()?, self.stores.database()?);
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            format!(
                "cannot listen on {}: {error}; choose another address with --listen",
                self.listen
            )
        })?;
        http::metrics::collect();
        let data = DataDir::open(&self.stores.redis.data_dir)?;
        let keys = super::secret_keys(self.secret_key_file.as_deref(), data.path())?;
        let database_url = database.unwrap_or_else(|| Database::url_in(data.path()));
        let db = Database::open(&database_url).await?.slowed_by(self.slow_database);

        let private = match redis {
            Some(_) => None,
            None => Some(PrivateServer::start(data.path()).await?),
        };
        let served = async {
            let builder = match (redis, &private) {
                (Some(builder), _) => builder,
                (None, Some(private)) => private.connection(),
                (None, None) => return Err("no Redis server is configured".into()),
            };
            let settings = UsersSettings { writes: self.user_writes, ..UsersSettings::default() };
            let mut state = AppState::with_users(builder.connect_lazily()?, db.clone(), settings)?;
            let launcher = self.launcher(data.path())?;
            state.killed_worker = state.killed_worker.with_launcher(launcher);
            state.access = access;
            state.accounts = Accounts::new(&state.russet, db.clone(), &keys)?;
            let first = state.accounts.first_administrator(data.path()).await?;
            let files = Files::open(data.path())?;
            if self.concurrency > 0 {
                let work = Work::new(db.clone(), files);
                let worker = jobs::worker(&state.tasks, work, usize::try_from(self.concurrency)?)?;
                state.worker = Some(Arc::new(worker));
            }
            state.users.recover().await?;
            let rebuilder = state.users.keep_ids()?;
            let (tasks, times) = (state.tasks.clone(), self.cleanup.times());
            let registering = AbortOnDropHandle::new(tokio::spawn(async move {
                jobs::keep_registered(&tasks, times.as_ref()).await;
            }));
            let end = CancellationToken::new();
            let working = state.worker.clone().map(|worker| {
                let end = end.clone();
                tokio::spawn(async move { worker.run_until(end.cancelled()).await })
            });
            let address = listener.local_addr()?;
            greet(&state, address, private.as_ref()).await;
            if let Some(FirstAdministrator { name, file }) = first {
                let (url, file) = (state.access.url(address), file.display());
                tracing::info!("sign in at {url}/login as {name}; the first password is in {file}");
            }
            seed::first_start(&state).await;
            let stop = async {
                stop.await.unwrap_or_default();
                // What goes on by itself ends first: it would be waited for.
                tokio::join!(
                    state.chat.close(),
                    state.killed_worker.close(),
                    state.flash_sale.close()
                );
            };
            let server = Server::new().max_body_bytes(LONGEST_BODY);
            server.serve(listener, http::app(state.clone()), stop).await;
            end.cancel();
            if let Some(working) = working {
                working.await??;
            }
            state.users.close(DRAIN).await;
            drop((rebuilder, registering));
            state.russet.close().await;
            Ok(())
        }
        .await;
        tracing::info!("stopping");
        db.close().await;
        if let Some(private) = private {
            private.stop().await;
        }
        served
    }
}

impl Serve {
    /// How the home page's demonstration starts a worker: this program, on the same stores.
    fn launcher(&self, data_dir: &Path) -> Result<Launcher, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| format!("this program cannot be found: {error}"))?;
        let arguments = [Path::new("--data-dir"), data_dir];
        Ok(Launcher::new(program, arguments, self.stores.redis.environment()))
    }
}

/// The first line: where it listens, which server, which database.
async fn greet(state: &AppState, address: SocketAddr, private: Option<&PrivateServer>) {
    let health = state.russet.health().await;
    let is_there = health.is_ok();
    let redis = match health {
        Ok(health) => format!("{} {}", health.server, health.version),
        Err(error) => {
            tracing::warn!(%error, "the Redis server is away; users are served from the database meanwhile");
            "a Redis server that is away".to_owned()
        }
    };
    let whose =
        private.map_or_else(String::new, |server| format!(" (private, at {})", server.address()));
    let database = state.db.place();
    // Who looks for this line may ask at once whether everything is ready.
    if let (true, Some(worker)) = (is_there, &state.worker) {
        let begun = async {
            while !worker.is_alive() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(BEGIN, begun).await.is_err() {
            tracing::warn!("the worker has not begun within {BEGIN:?}");
        }
    }
    tracing::info!("serving http://{address} with {redis}{whose} and {database}");
}
