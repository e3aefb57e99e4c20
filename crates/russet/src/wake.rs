//! The process's inbox: what wakes everybody who waits for something in Redis.
//!
//! A script that makes a caller wait records the caller's [address](Waiter::address) in the object's list of
//! waiters; the script that frees the object takes from that list and publishes to the inboxes (`lua/lib/wake.lua`).
//! A message can be lost with its connection, so every wait has an end of its own; a lost connection ends all waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    error::Result,
    id::Id,
    keys::{self, Namespace},
    listen::{Heard, Listener, Listeners},
};

/// One channel for all waits of a process.
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    listener: OnceLock<Listener>,
}

struct Shared {
    channel: String,
    waiters: Mutex<HashMap<u64, oneshot::Sender<News>>>,
    last: AtomicU64,
    listening: watch::Sender<bool>,
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Somebody freed the object, and sent this along.
    Message(Vec<u8>),
    /// Nothing came in time, or the connection was lost: look for yourself.
    Unsure,
}

impl Inbox {
    pub(crate) fn new(
        namespace: &Namespace,
        process: Id,
        listeners: &Arc<Listeners>,
    ) -> Result<Self> {
        let shared = Shared {
            channel: keys::inbox::news(namespace, process)?,
            waiters: Mutex::default(),
            last: AtomicU64::new(0),
            listening: watch::Sender::new(false),
        };
        let (shared, listeners) = (Arc::new(shared), listeners.clone());
        Ok(Self { shared, listeners, listener: OnceLock::new() })
    }

    /// The process's channel, which no other handle has.
    #[cfg(feature = "lock")]
    pub(crate) fn channel(&self) -> &str {
        &self.shared.channel
    }

    /// Registers a wait. This comes before the script that records it: in the other order a message
    /// that arrives in between would find nobody.
    ///
    /// Opens the connection for messages at the first call, and waits for it at most this long; without it
    /// the wait only ends by its time.
    pub(crate) async fn waiter(&self, at_most: Duration) -> Waiter {
        self.listener.get_or_init(|| {
            let shared = self.shared.clone();
            self.listeners.listen(&self.shared.channel, move |heard| shared.hear(heard))
        });
        let mut listening = self.shared.listening.subscribe();
        let _ = timeout(at_most, listening.wait_for(|listening| *listening)).await;
        self.shared.clone().register()
    }
}

impl Shared {
    fn register(self: Arc<Self>) -> Waiter {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, news) = oneshot::channel();
        self.lock().insert(id, sender);
        Waiter { inbox: self, id, news }
    }

    fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Live => {
                // Who registered while nothing was heard may have missed what came: dropping the senders ends the waits.
                self.lock().clear();
                self.listening.send_replace(true);
            }
            Heard::Message(message) => self.deliver(message),
            Heard::Gap => {
                self.listening.send_replace(false);
                // Their messages may have been lost with the connection.
                self.lock().clear();
            }
        }
    }

    fn deliver(&self, message: &[u8]) {
        let split = message.iter().position(|byte| *byte == b' ').unwrap_or(message.len());
        let (id, rest) = message.split_at(split);
        let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        // A wait that has ended by itself is no longer here.
        if let Some(waiter) = id.and_then(|id: u64| self.lock().remove(&id)) {
            let _ = waiter.send(News::Message(rest.get(1..).unwrap_or_default().to_vec()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<News>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wait; dropping it ends it.
pub(crate) struct Waiter {
    inbox: Arc<Shared>,
    id: u64,
    news: oneshot::Receiver<News>,
}

impl Waiter {
    /// What a script records, so that another one can wake this wait: the channel and the number of the wait.
    pub(crate) fn address(&self) -> String {
        [&self.inbox.channel, " ", &self.id.to_string()].concat()
    }

    /// Waits for a message, at most this long.
    pub(crate) async fn news(&mut self, at_most: Duration) -> News {
        match timeout(at_most, &mut self.news).await {
            Ok(Ok(news)) => news,
            Ok(Err(_)) | Err(_) => News::Unsure,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.inbox.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_while_nothing_is_heard_looks_for_himself_as_soon_as_something_is() {
        let shared = Arc::new(Shared {
            channel: "news".into(),
            waiters: Mutex::default(),
            last: AtomicU64::new(0),
            listening: watch::Sender::new(false),
        });
        let long = Duration::from_secs(60);
        let mut deaf = shared.clone().register();
        shared.hear(Heard::Live);
        assert_eq!(deaf.news(long).await, News::Unsure);
        let mut hears = shared.clone().register();
        shared.hear(Heard::Message(hears.address().split(' ').next_back().unwrap().as_bytes()));
        assert_eq!(hears.news(long).await, News::Message(Vec::new()));
        let mut lost = shared.clone().register();
        shared.hear(Heard::Gap);
        assert_eq!(lost.news(long).await, News::Unsure);
    }
}
