//! The channels that a process listens to: one connection for all of them, which carries nothing else. On a Cluster there
//! is one more at each node whose sharded channels are listened to.
//!
//! A message can be lost with its connection, so a listener is told when it is heard, and when that ended.

mod post;
mod posts;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{runtime::Handle, sync::watch};

use crate::{
    client::{Channels, Message, Post, Subscription},
    error::Error,
    service::Service,
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

/// All listeners of a process. A connection is opened for the first one that needs it, and closed after the last.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    runtime: Handle,
    /// Where everything is heard but what only one node of a Cluster knows.
    post: OnceLock<Service>,
    /// Keeps a post at each node of a Cluster whose channels are listened to.
    posts: OnceLock<Service>,
}

struct Shared {
    subscription: Subscription,
    channels: Mutex<HashMap<Channels, Channel>>,
    /// Held while ears are told, from the change of what is known of them on: what happened last is told last.
    telling: Mutex<()>,
    /// Set under the lock of the channels: none is added later.
    closed: AtomicBool,
    /// A channel was added, left, or is not heard where it was.
    changed: watch::Sender<()>,
    last: AtomicU64,
}

/// What is listened to.
struct Channel {
    /// The slot whose node alone knows it.
    slot: Option<u16>,
    /// The post that hears it, by its number.
    heard_by: Option<u64>,
    listening: Vec<Listening>,
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
            telling: Mutex::default(),
            closed: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            last: AtomicU64::new(0),
        };
        let runtime = runtime.clone();
        Self { shared: Arc::new(shared), runtime, post: OnceLock::new(), posts: OnceLock::new() }
    }

    /// Listens to a channel. Returns at once; the ear is told when it is live.
    pub(crate) fn listen(
        &self,
        channel: &str,
        ear: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> Listener {
        self.listen_to(Channels::One(channel.to_owned()), Plain(ear))
    }

    /// The same for other channels, and an ear that wants to know more.
    pub(crate) fn listen_to(&self, channels: Channels, ear: impl Ear + 'static) -> Listener {
        let shared = self.shared.clone();
        let id = shared.number();
        let listening = Listening { id, ear: Arc::new(ear), is_live: false };
        let slot = shared.subscription.slot(&channels);
        let mut all = shared.lock();
        if shared.closed.load(Ordering::Relaxed) {
            drop(all);
            return Listener { shared, channels, id };
        }
        let new = || Channel { slot, heard_by: None, listening: Vec::new() };
        all.entry(channels.clone()).or_insert_with(new).listening.push(listening);
        drop(all);
        shared.changed.send_replace(());
        if slot.is_some() {
            self.posts.get_or_init(|| posts::start(&shared, &self.runtime));
        } else {
            self.post
                .get_or_init(|| post::start(&shared, Post::ANY, shared.number(), &self.runtime));
        }
        Listener { shared, channels, id }
    }

    /// Ends the connections, for all: the ears are dropped.
    pub(crate) async fn close(&self) {
        let left = {
            let mut all = self.shared.lock();
            self.shared.closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *all)
        };
        for service in [&self.post, &self.posts].into_iter().filter_map(OnceLock::get) {
            service.join().await;
        }
        for one in left.values().flat_map(|channel| &channel.listening) {
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

impl Channel {
    /// Its listeners hear nothing any more, or hear it anew; answers those for whom that is news.
    fn is_live(&mut self, is_live: bool) -> Vec<Arc<dyn Ear>> {
        let changed = self.listening.iter_mut().filter(|one| one.is_live != is_live);
        changed
            .map(|one| {
                one.is_live = is_live;
                one.ear.clone()
            })
            .collect()
    }
}

impl Shared {
    /// A number that no other listener or post has.
    fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    /// Passes on what this post has heard. What another one hears by now came from there too.
    fn tell(&self, post: u64, message: &Message) {
        let _telling = self.telling();
        // They are called without the lock: an ear may end a listener.
        let ears: Vec<_> = match self.lock().get(&message.heard_for) {
            Some(channel) if channel.heard_by == Some(post) => {
                channel.listening.iter().map(|one| one.ear.clone()).collect()
            }
            _ => return,
        };
        for ear in ears {
            ear.hear(&message.channel, Heard::Message(&message.payload));
        }
    }

    /// This post hears these channels from now on.
    fn tell_live<'a>(&self, post: u64, heard: impl IntoIterator<Item = &'a Channels>) {
        let _telling = self.telling();
        let (mut gaps, mut live) = (Vec::new(), Vec::new());
        let mut all = self.lock();
        for channels in heard {
            let Some(channel) = all.get_mut(channels) else { continue };
            if channel.heard_by.replace(post).is_some_and(|before| before != post) {
                // What came between the two was heard by neither.
                gaps.extend(channel.is_live(false));
            }
            live.extend(channel.is_live(true));
        }
        drop(all);
        gaps.iter().for_each(|ear| ear.hear("", Heard::Gap));
        live.iter().for_each(|ear| ear.hear("", Heard::Live));
    }

    /// This post does not hear these channels any more.
    fn tell_gap(&self, post: u64, of: impl Fn(&Channels) -> bool) {
        let _telling = self.telling();
        let mut ears = Vec::new();
        for (_, channel) in self.lock().iter_mut().filter(|(channels, _)| of(channels)) {
            if channel.heard_by == Some(post) {
                channel.heard_by = None;
                ears.extend(channel.is_live(false));
            }
        }
        ears.iter().for_each(|ear| ear.hear("", Heard::Gap));
        self.changed.send_replace(());
    }

    fn tell_refused(&self, channels: &Channels, why: &Error) {
        let ears: Vec<_> = match self.lock().get(channels) {
            Some(channel) => channel.listening.iter().map(|one| one.ear.clone()).collect(),
            None => return,
        };
        ears.iter().for_each(|ear| ear.refused(why));
    }

    /// The server does not allow this: the listeners are told, and dropped.
    fn give_up(&self, channels: &Channels, why: &Error) {
        self.tell_refused(channels, why);
        self.lock().remove(channels);
    }

    fn telling(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Channels, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut channels = self.shared.lock();
        if let Some(channel) = channels.get_mut(&self.channels) {
            channel.listening.retain(|one| one.id != self.id);
            if channel.listening.is_empty() {
                channels.remove(&self.channels);
                drop(channels);
                self.shared.changed.send_replace(());
            }
        }
    }
}
