//! `russet seed`: reproducible data.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::stop_signal;
use crate::config::{self, StoreArgs};
use crate::data_dir::{DataDir, DataDirError};
use crate::db::Database;
use crate::redis_server::{self, PrivateServer};
use crate::{AppState, Failure, seed};

/// Fill the stores with made-up users and players, always the same ones
///
/// Works beside a running `russet serve` on the same data folder, or alone. Users and players that exist are left
/// as they are, so a second run changes nothing.
#[derive(Debug, Args)]
#[command(after_help = config::ENVIRONMENT)]
pub(super) struct Seed {
    /// How many users there should be, with the ids 1 to N
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    users: u32,

    /// How many players there should be on the leaderboard
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    players: u32,

    #[command(flatten)]
    stores: StoreArgs,
}

impl Seed {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (redis, database) = (self.stores.redis.server()?, self.stores.database()?);
        // The lock is held to the end: a server that is started here must not be taken over meanwhile.
        let (path, lock) = match DataDir::open(&self.stores.redis.data_dir) {
            Ok(data) => (data.path().to_owned(), Some(data)),
            Err(DataDirError::InUse { path, .. }) => (path, None),
            Err(error) => return Err(error.into()),
        };
        let mut private = None;
        let builder = match (redis, &lock) {
            (Some(builder), _) => builder,
            (None, Some(_)) => private.insert(PrivateServer::start(&path).await?).connection(),
            (None, None) => redis_server::connection(&path)?,
        };
        let database = database.unwrap_or_else(|| Database::url_in(&path));
        let done = tokio::select! {
            done = self.fill(builder, &database) => done,
            () = stop_signal() => Err("stopped before the end; run it again to go on".into()),
        };
        if let Some(private) = private {
            private.stop().await;
        }
        done
    }

    async fn fill(&self, builder: russet::RussetBuilder, database: &str) -> Result<(), Failure> {
        let state = AppState::new(builder.connect().await?, Database::open(database).await?)?;
        let bar = progress_bar("users", self.users)?;
        let users = seed::users(&state, self.users, |done| bar.set_position(done.into())).await?;
        bar.finish();
        let bar = progress_bar("players", self.players)?;
        let players =
            seed::players(&state, self.players, |done| bar.set_position(done.into())).await?;
        bar.finish();
        state.russet.close().await;
        println!("{users} users and {players} players were new");
        Ok(())
    }
}

fn progress_bar(what: &'static str, count: u32) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{msg:8} {bar:40} {pos}/{len} {per_sec} {eta}")?;
    Ok(ProgressBar::new(count.into()).with_style(style).with_message(what))
}
