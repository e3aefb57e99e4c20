//! `russet worker`: the application's tasks, without HTTP.

use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::stop_signal;
use crate::config::{self, CleanupArgs, StoreArgs};
use crate::db::Database;
use crate::jobs::{self, Files, Work};
use crate::{Failure, killed_worker, redis_server};

/// Work on the application's tasks, without HTTP
///
/// Any number of workers may run beside `russet serve`, which works on tasks itself unless it is told not to, and on as many
/// machines as share the Redis server, the database and the data folder. Without a configured server it uses the private one
/// of the russet that runs on the data folder. Stops in order at Ctrl-C or SIGTERM: running tasks are finished, or given back
/// after 25 seconds.
#[derive(Debug, Args)]
#[command(after_help = config::ENVIRONMENT)]
pub(super) struct Worker {
    #[command(flatten)]
    stores: StoreArgs,

    /// How many tasks it works on at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    concurrency: u64,

    /// How long its tasks are waited for when it is gone, from 100ms
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = config::duration)]
    lease: Duration,

    #[command(flatten)]
    cleanup: CleanupArgs,

    /// Works on the tasks of the home page's demonstration instead, until its standard input ends
    #[arg(long, hide = true)]
    demo: bool,
}

impl Worker {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let stop = tokio::spawn(stop_signal());
        let (redis, database) = (self.stores.redis.server()?, self.stores.database()?);
        let data_dir = &self.stores.redis.data_dir;
        let builder = match redis {
            Some(builder) => builder,
            None => redis_server::connection(config::existing(data_dir)?)?,
        };
        let russet = builder.connect_lazily()?;
        if self.demo {
            let worker = killed_worker::worker(&russet)?;
            worker
                .run_until(async {
                    tokio::select! {
                        _ = stop => {}
                        () = end_of_input() => {}
                    }
                })
                .await?;
            russet.close().await;
            return Ok(());
        }
        let files = Files::open(data_dir)?;
        let url = database.unwrap_or_else(|| Database::url_in(data_dir));
        let db = Database::open(&url).await?;
        let queue = jobs::queue_with_lease(&russet, self.lease)?;
        let concurrency = usize::try_from(self.concurrency)?;
        let worker = jobs::worker(&queue, Work::new(db.clone(), files), concurrency)?;
        let redis = match russet.health().await {
            Ok(health) => format!("{} {}", health.server, health.version),
            Err(error) => {
                tracing::warn!(%error, "the Redis server is away; tasks are waited for");
                "a Redis server that is away".to_owned()
            }
        };
        tracing::info!("working on the queue {} with {redis} and {}", jobs::QUEUE, db.place());
        let (tasks, times) = (queue.clone(), self.cleanup.times());
        let registering = AbortOnDropHandle::new(tokio::spawn(async move {
            jobs::keep_registered(&tasks, times.as_ref()).await;
        }));
        let stopped = async {
            stop.await.unwrap_or_default();
            tracing::info!("stopping");
        };
        worker.run_until(stopped).await?;
        drop(registering);
        russet.close().await;
        db.close().await;
        Ok(())
    }
}

/// The parent holds the other end and writes nothing: this ends when it is gone.
async fn end_of_input() {
    let (ended, end) = oneshot::channel();
    // A thread of its own: the end of the process need not wait for it.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
