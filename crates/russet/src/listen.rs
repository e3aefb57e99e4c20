//! The channels that a process listens to: one connection for all of them, which carries nothing else.
//!
//! A message can be lost with the connection, so a listener is told when it is heard, and when that ended.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use crate::{
    client::{Channels, Message, Messages, Subscription},
    error::{Advice, Error, Result},
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

/// Called for everything that is heard, one at a time for all listeners of a process: it must not wait. It is dropped
/// when nothing more will be heard.
pub(crate) trait Ear: Send + Sync {
    /// A message says on which channel it came, which is news to who listens to a pattern.
    fn hear(&self, channel: &str, heard: Heard<'_>);

    /// The server does not allow this user to listen. It is asked again with the next connection, but for a pattern:
    /// who listens to one is dropped after this.
    fn refused(&self, _why: &Error) {}
}

/// An ear for the one channel.
struct Plain<F>(F);

impl<F: Fn(Heard<'_>) + Send + Sync> Ear for Plain<F> {
    fn hear(&self, _: &str, heard: Heard<'_>) {
        (self.0)(heard);
    }
}

/// All listeners of a process. The connection is opened for the first one, and closed after the last.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    runtime: Handle,
    listening: OnceLock<Service>,
}

struct Shared {
    subscription: Subscription,
    channels: Mutex<HashMap<Channels, Vec<Listening>>>,
    /// Set under the lock of the channels: none is added later.
    closed: AtomicBool,
    /// A channel was added, or left.
    changed: Notify,
    last: AtomicU64,
}

struct Listening {
    id: u64,
    ear: Arc<dyn Ear>,
    is_live: bool,
}

/// Listens until it is dropped.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    channels: Channels,
    id: u64,
}

impl Listeners {
    pub(crate) fn new(subscription: Subscription, runtime: &Handle) -> Self {
        let shared = Shared {
            subscription,
            channels: Mutex::default(),
            closed: AtomicBool::new(false),
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
        self.listen_to(Channels::One(channel.to_owned()), Plain(ear))
    }

    /// The same for a channel or a pattern, and an ear that wants to know more.
    pub(crate) fn listen_to(&self, channels: Channels, ear: impl Ear + 'static) -> Listener {
        let shared = self.shared.clone();
        let id = shared.last.fetch_add(1, Ordering::Relaxed);
        let listening = Listening { id, ear: Arc::new(ear), is_live: false };
        let mut all = shared.lock();
        if shared.closed.load(Ordering::Relaxed) {
            drop(all);
            return Listener { shared, channels, id };
        }
        all.entry(channels.clone()).or_default().push(listening);
        drop(all);
        shared.changed.notify_one();
        self.listening.get_or_init(|| {
            let shared = shared.clone();
            Service::start_on(&self.runtime, "listener", move |signals| {
                let shared = shared.clone();
                async move { shared.connection(signals).await }
            })
        });
        Listener { shared, channels, id }
    }

    /// Ends the connection, for all: the ears are dropped.
    pub(crate) async fn close(&self) {
        let left = {
            let mut all = self.shared.lock();
            self.shared.closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *all)
        };
        if let Some(listening) = self.listening.get() {
            listening.join().await;
        }
        for one in left.values().flatten() {
            one.tell_gap();
        }
    }
}

impl Listening {
    fn tell_gap(&self) {
        if self.is_live {
            self.ear.hear("", Heard::Gap);
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
                        Some(message) => self.tell(&message),
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
        subscribed: &mut HashSet<Channels>,
    ) -> Result<()> {
        let mut wanted: HashSet<_> = self.lock().keys().cloned().collect();
        let left: Vec<_> = subscribed.difference(&wanted).cloned().collect();
        if !left.is_empty() {
            messages.unsubscribe(&left).await?;
        }
        let new = wanted.difference(subscribed).cloned();
        let (names, patterns): (Vec<_>, Vec<_>) =
            new.partition(|channels| matches!(channels, Channels::One(_)));
        if !names.is_empty() {
            let answer = messages.subscribe(&names).await;
            if let Err(why) = answer {
                names.iter().for_each(|name| self.tell_refused(name, &why));
                return Err(why);
            }
        }
        // One by one: an ACL may allow one pattern and not the next, and the others do not suffer for it.
        for pattern in patterns {
            match messages.subscribe(std::slice::from_ref(&pattern)).await {
                Err(why) if why.advice() == Advice::GiveUp => {
                    wanted.remove(&pattern);
                    self.tell_refused(&pattern, &why);
                    self.lock().remove(&pattern);
                }
                answer => answer?,
            }
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
        live.iter().for_each(|ear| ear.hear("", Heard::Live));
        Ok(())
    }

    fn tell(&self, message: &Message) {
        for ear in self.ears(&message.heard_for) {
            ear.hear(&message.channel, Heard::Message(&message.payload));
        }
    }

    fn tell_refused(&self, channels: &Channels, why: &Error) {
        if why.advice() == Advice::GiveUp {
            self.ears(channels).iter().for_each(|ear| ear.refused(why));
        }
    }

    /// They are called without the lock: an ear may end a listener.
    fn ears(&self, channels: &Channels) -> Vec<Arc<dyn Ear>> {
        let all = self.lock();
        all.get(channels).into_iter().flatten().map(|one| one.ear.clone()).collect()
    }

    fn tell_all_of_the_gap(&self) {
        let mut ears = Vec::new();
        for one in self.lock().values_mut().flatten().filter(|one| one.is_live) {
            one.is_live = false;
            ears.push(one.ear.clone());
        }
        ears.iter().for_each(|ear| ear.hear("", Heard::Gap));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Channels, Vec<Listening>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut channels = self.shared.lock();
        if let Some(listening) = channels.get_mut(&self.channels) {
            listening.retain(|one| one.id != self.id);
            if listening.is_empty() {
                channels.remove(&self.channels);
                self.shared.changed.notify_one();
            }
        }
    }
}
