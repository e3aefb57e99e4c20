//! A post: one connection that hears channels, and what it is subscribed to.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Channel, Shared};
use crate::{
    client::{Channels, Messages, News, Placed, Post},
    error::{Advice, Result},
    service::{Rest, Service, Signals},
};

/// How long a channel that could not be subscribed to is left alone.
const PAUSE: Duration = Duration::from_millis(50);

struct Keeping {
    shared: Arc<Shared>,
    post: Post,
    number: u64,
}

/// Keeps a connection at this post as long as there is something to hear.
pub(super) fn start(shared: &Arc<Shared>, post: Post, number: u64, runtime: &Handle) -> Service {
    let keeping = Arc::new(Keeping { shared: shared.clone(), post, number });
    Service::start_on(runtime, "listener", move |signals| {
        let keeping = keeping.clone();
        async move { keeping.connection(signals).await }
    })
}

/// What is to be heard on a connection, seen from what it hears.
struct Plan {
    left: Vec<Channels>,
    new: Vec<Channels>,
}

impl Keeping {
    /// One connection's life.
    async fn connection(&self, signals: Signals) -> Result<Rest> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let posts_change = self.shared.subscription.posts_change();
            if !self.plan(&HashSet::new()).new.is_empty() {
                break;
            }
            tokio::select! {
                () = signals.stop.cancelled() => return Ok(Rest::UntilWoken),
                Ok(()) = changed.changed() => {}
                () = posts_change => {}
            }
        }
        tokio::select! {
            () = signals.stop.cancelled() => {}
            messages = self.shared.subscription.open(&self.post) => {
                let heard = self.hear(&mut messages?, &mut changed, &signals).await;
                self.shared.tell_gap(self.number, |_| true);
                heard?;
            }
        }
        Ok(Rest::For(Duration::ZERO))
    }

    /// Tells what is heard until the connection is lost, or nobody listens any more.
    async fn hear(
        &self,
        messages: &mut Messages,
        changed: &mut watch::Receiver<()>,
        signals: &Signals,
    ) -> Result<()> {
        let mut subscribed = HashSet::new();
        loop {
            changed.mark_unchanged();
            let posts_change = self.shared.subscription.posts_change();
            tokio::pin!(posts_change);
            let is_whole = self.follow(messages, &mut subscribed).await?;
            if subscribed.is_empty() && is_whole {
                return Ok(());
            }
            let again = Instant::now() + PAUSE;
            loop {
                tokio::select! {
                    () = signals.stop.cancelled() => return Ok(()),
                    Ok(()) = changed.changed(), if is_whole => break,
                    () = &mut posts_change, if is_whole => break,
                    () = sleep_until(again), if !is_whole => break,
                    news = messages.next() => match news {
                        Some(News::Message(message)) => self.shared.tell(self.number, &message),
                        Some(News::Left(channels)) => {
                            if subscribed.remove(&channels) {
                                self.shared.tell_gap(self.number, |one| *one == channels);
                                self.shared.subscription.look_again();
                            }
                        }
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Subscribes to what is to be heard here, and to nothing else. `false` when something is to be tried again.
    async fn follow(
        &self,
        messages: &mut Messages,
        subscribed: &mut HashSet<Channels>,
    ) -> Result<bool> {
        let shared = &self.shared;
        let Plan { left, new } = self.plan(subscribed);
        if !left.is_empty() {
            messages.unsubscribe(&left).await?;
            for channels in &left {
                subscribed.remove(channels);
            }
        }
        let (names, others): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|channels| matches!(channels, Channels::One(_)));
        if !names.is_empty() {
            if let Err(why) = messages.subscribe(&names).await {
                if why.advice() == Advice::GiveUp {
                    names.iter().for_each(|name| shared.tell_refused(name, &why));
                }
                return Err(why);
            }
            subscribed.extend(names);
        }
        let (sharded, patterns): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|channels| matches!(channels, Channels::Sharded(_)));
        // One by one: an ACL may allow one pattern and not the next, and the others do not suffer for it.
        for pattern in patterns {
            match messages.subscribe(std::slice::from_ref(&pattern)).await {
                Err(why) if why.advice() == Advice::GiveUp => shared.give_up(&pattern, &why),
                answer => {
                    answer?;
                    subscribed.insert(pattern);
                }
            }
        }
        let is_whole = self.follow_sharded(messages, sharded, subscribed).await?;
        shared.tell_live(self.number, &*subscribed);
        Ok(is_whole)
    }

    async fn follow_sharded(
        &self,
        messages: &mut Messages,
        sharded: Vec<Channels>,
        subscribed: &mut HashSet<Channels>,
    ) -> Result<bool> {
        let names: Vec<_> = sharded
            .iter()
            .filter_map(|channels| match channels {
                Channels::Sharded(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let placed = messages.subscribe_sharded(&names).await?;
        let mut is_whole = true;
        for (channels, placed) in sharded.into_iter().zip(placed) {
            match placed {
                Placed::Here => {
                    subscribed.insert(channels);
                }
                Placed::Elsewhere => is_whole = false,
                Placed::Refused(why) => match why.advice() {
                    // This user may not, or this server does not know how.
                    Advice::GiveUp | Advice::Bug => self.shared.give_up(&channels, &why),
                    _ => {
                        tracing::debug!(error = %why, "a channel cannot be subscribed to");
                        self.shared.subscription.look_again();
                        is_whole = false;
                    }
                },
            }
        }
        Ok(is_whole)
    }

    fn plan(&self, subscribed: &HashSet<Channels>) -> Plan {
        let all = self.shared.lock();
        let is_here = |channel: &Channel| {
            self.shared.subscription.post(channel.slot).as_ref() == Some(&self.post)
        };
        // What is heard here stays until another node has said that it has the slot.
        let is_left = |channels: &&Channels| {
            all.get(*channels).is_none_or(|channel| {
                channel.heard_by.is_some_and(|by| by != self.number) && !is_here(channel)
            })
        };
        let new = all
            .iter()
            .filter(|(channels, channel)| !subscribed.contains(*channels) && is_here(channel));
        Plan {
            left: subscribed.iter().filter(is_left).cloned().collect(),
            new: new.map(|(channels, _)| channels.clone()).collect(),
        }
    }
}
