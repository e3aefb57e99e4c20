//! The channels that a process listens to: one connection for all of them, which carries nothing else.
//!
//! A message can be lost with the connection, so a listener is told when it is heard, and when that ended.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use crate::{
    client::{Messages, Subscription},
    error::Result,
    service::{Rest, Service, Signals},
};

/// What a listener is told, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// From now on no message is missed, until the next gap.
    Live,
    /// Somebody published this.
    Message(&'a [u8]),
    /// The connection is lost, and messages with it, until the next `Live`.
    Gap,
}

/// Called for everything that is heard, one at a time for all listeners of a process: it must not wait.
type Ear = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

/// All listeners of a process. The connection is opened for the first one, and closed after the last.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    runtime: Handle,
    listening: OnceLock<Service>,
}

struct Shared {
    subscription: Subscription,
    channels: Mutex<HashMap<String, Vec<Listening>>>,
    /// A channel was added, or left.
    changed: Notify,
    last: AtomicU64,
}

struct Listening {
    id: u64,
    ear: Ear,
    is_live: bool,
}

/// Listens until it is dropped.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    channel: String,
    id: u64,
}

impl Listeners {
    pub(crate) fn new(subscription: Subscription, runtime: &Handle) -> Self {
        let shared = Shared {
            subscription,
            channels: Mutex::default(),
            changed: Notify::new(),
            last: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), runtime: runtime.clone(), listening: OnceLock::new() }
    }

    /// Listens to a channel. Returns at once; the ear is told when it is live.
    pub(crate) fn listen(
        &self,
        channel: &str,
        ear: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> Listener {
        let shared = self.shared.clone();
        let id = shared.last.fetch_add(1, Ordering::Relaxed);
        let listening = Listening { id, ear: Arc::new(ear), is_live: false };
        shared.lock().entry(channel.to_owned()).or_default().push(listening);
        shared.changed.notify_one();
        self.listening.get_or_init(|| {
            let shared = shared.clone();
            Service::start_on(&self.runtime, "listener", move |signals| {
                let shared = shared.clone();
                async move { shared.connection(signals).await }
            })
        });
        Listener { shared, channel: channel.to_owned(), id }
    }

    /// Ends the connection, for all.
    pub(crate) async fn close(&self) {
        if let Some(listening) = self.listening.get() {
            listening.join().await;
        }
    }
}

impl Shared {
    /// One connection's life.
    async fn connection(&self, signals: Signals) -> Result<Rest> {
        while self.lock().is_empty() {
            tokio::select! {
                () = signals.stop.cancelled() => return Ok(Rest::UntilWoken),
                () = self.changed.notified() => {}
            }
        }
        tokio::select! {
            () = signals.stop.cancelled() => {}
            messages = self.subscription.open() => {
                let heard = self.hear(&mut messages?, &signals).await;
                self.tell_all_of_the_gap();
                heard?;
            }
        }
        Ok(Rest::For(Duration::ZERO))
    }

    /// Tells what is heard until the connection is lost, or nobody listens any more.
    async fn hear(&self, messages: &mut Messages, signals: &Signals) -> Result<()> {
        let mut subscribed = HashSet::new();
        loop {
            self.follow(messages, &mut subscribed).await?;
            if subscribed.is_empty() {
                return Ok(());
            }
            loop {
                tokio::select! {
                    () = signals.stop.cancelled() => return Ok(()),
                    () = self.changed.notified() => break,
                    message = messages.next() => match message {
                        Some((channel, message)) => self.tell(&channel, Heard::Message(&message)),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Subscribes to what is listened to, and to nothing else.
    async fn follow(
        &self,
        messages: &mut Messages,
        subscribed: &mut HashSet<String>,
    ) -> Result<()> {
        let wanted: HashSet<_> = self.lock().keys().cloned().collect();
        let left: Vec<_> = subscribed.difference(&wanted).cloned().collect();
        if !left.is_empty() {
            messages.unsubscribe(&left).await?;
        }
        let new: Vec<_> = wanted.difference(subscribed).cloned().collect();
        if !new.is_empty() {
            messages.subscribe(&new).await?;
        }
        *subscribed = wanted;
        let mut live = Vec::new();
        for (_, listening) in
            self.lock().iter_mut().filter(|(channel, _)| subscribed.contains(*channel))
        {
            for one in listening.iter_mut().filter(|one| !one.is_live) {
                one.is_live = true;
                live.push(one.ear.clone());
            }
        }
        live.iter().for_each(|ear| ear(Heard::Live));
        Ok(())
    }

    fn tell(&self, channel: &str, heard: Heard<'_>) {
        // Called without the lock: an ear may end a listener.
        let ears: Vec<_> = match self.lock().get(channel) {
            Some(listening) => listening.iter().map(|one| one.ear.clone()).collect(),
            None => return,
        };
        ears.iter().for_each(|ear| ear(heard));
    }

    fn tell_all_of_the_gap(&self) {
        let mut ears = Vec::new();
        for one in self.lock().values_mut().flatten().filter(|one| one.is_live) {
            one.is_live = false;
            ears.push(one.ear.clone());
        }
        ears.iter().for_each(|ear| ear(Heard::Gap));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Listening>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut channels = self.shared.lock();
        if let Some(listening) = channels.get_mut(&self.channel) {
            listening.retain(|one| one.id != self.id);
            if listening.is_empty() {
                channels.remove(&self.channel);
                self.shared.changed.notify_one();
            }
        }
    }
}
