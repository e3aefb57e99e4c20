//! Takes away what is over, and tells who listens.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    Inner, Sessions,
    ended::EndedSession,
    scripts::{self, SHARDS, SWEPT},
};
use crate::{
    error::Result,
    service::{Rest, Service},
};

/// How long a listener has with an event before another process gets it.
const LEASE: Duration = Duration::from_secs(30);
/// How many events of a shard are told at the same time.
const TOLD: usize = 50;

/// The loop of a handle, from its first call on until its last clone is dropped.
#[derive(Default)]
pub(super) struct Sweeper {
    service: OnceLock<Service>,
    /// Whether events are kept: said once.
    listens: Arc<tokio::sync::OnceCell<()>>,
}

impl Sessions {
    /// Begins to sweep, if that is not done yet.
    pub(super) fn keep_swept(&self) {
        self.inner.sweeper.service.get_or_init(|| {
            let inner = Arc::downgrade(&self.inner);
            Service::start_on(self.inner.russet.runtime(), "session sweeper", move |_| {
                let inner = inner.clone();
                async move { round(&inner).await }
            })
        });
    }
}

/// One look at all shards.
async fn round(inner: &Weak<Inner>) -> Result<Rest> {
    let Some(inner) = inner.upgrade() else { return Ok(Rest::UntilWoken) };
    let listens = !inner.settings.listeners.is_empty();
    if listens {
        let listen = || scripts::listen(&inner.russet, &inner.place);
        inner.sweeper.listens.get_or_try_init(listen).await?;
    }
    let mut has_more = false;
    let mut telling = Vec::new();
    let swept = scripts::sweep(&inner.russet, &inner.place).await?;
    for (shard, swept) in (0..SHARDS).zip(swept) {
        has_more |= swept.users > 0 || swept.due.len() >= SWEPT;
        let mut waiting = swept.events;
        if !swept.due.is_empty() {
            let log = inner.settings.log();
            let ended = scripts::finish_due(&inner.russet, &inner.place, &swept.due, log).await?;
            for (word, why) in ended {
                if word == "done" {
                    waiting += 1;
                    let name = inner.name.clone();
                    metrics::counter!("russet_sessions_ended_total", "sessions" => name, "reason" => super::EndReason::read(&why).word())
                        .increment(1);
                }
            }
        }
        if listens && waiting > 0 {
            telling.push(tell(&inner, shard));
        }
    }
    for told in join_all(telling).await {
        has_more |= told?;
    }
    Ok(Rest::For(if has_more { Duration::ZERO } else { inner.settings.sweep_every }))
}

/// Tells the events of a shard, and whether there may be more. What fails is told again when its lease is over.
async fn tell(inner: &Inner, shard: u8) -> Result<bool> {
    let (russet, place) = (&inner.russet, &inner.place);
    let events = scripts::hear(russet, place, shard, LEASE, TOLD).await?;
    let tell = events.iter().map(|(id, text)| async move {
        let Some(ended) = EndedSession::read(inner, shard, id, text) else {
            tracing::warn!(sessions = inner.name(), "an event of an ended session cannot be read");
            return Some(id.clone());
        };
        for listener in &inner.settings.listeners {
            if let Err(error) = listener(ended.clone()).await {
                tracing::warn!(sessions = inner.name(), %error, "a listener has failed; it is told again");
                return None;
            }
        }
        Some(id.clone())
    });
    let heard: Vec<String> = join_all(tell).await.into_iter().flatten().collect();
    if !heard.is_empty() {
        scripts::heard(russet, place, shard, &heard).await?;
    }
    Ok(events.len() >= TOLD)
}
