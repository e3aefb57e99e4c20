//! The bounded buffer between the connection, which must not wait, and one subscriber, who may be slow.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use metrics::{Counter, Gauge};

use super::{event::Overflow, pattern::Pattern};
use crate::{
    error::{Error, Result},
    keys::{self, Namespace},
    listen::{Ear, Heard},
};

/// How much is kept for a subscriber, and what is lost beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) overflow: Overflow,
}

/// What a subscriber is told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The channel is said to who listens to a pattern.
    Message {
        channel: Option<String>,
        payload: Vec<u8>,
    },
    Gap,
    Lagged(u64),
}

/// The end that hears. Dropping it ends the other.
pub(super) struct Feed {
    shared: Arc<Shared>,
    /// Of who listens to a pattern.
    names: Option<(Namespace, Pattern)>,
}

/// The end that is read, by one subscriber.
pub(super) struct Buffer {
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    reader: AtomicWaker,
    counting: Counting,
}

#[derive(Default)]
struct State {
    is_live: bool,
    was_lost: bool,
    ended: bool,
    refused: Option<Error>,
    /// Stand before all items: what was lost of the oldest.
    gap_first: bool,
    lagged_first: u64,
    items: VecDeque<Item>,
    /// Stand behind all items: what was lost of the newest.
    lagged_last: u64,
    messages: usize,
    bytes: usize,
}

struct Counting {
    received: Counter,
    dropped: Counter,
    gaps: Counter,
    lag: Gauge,
}

/// The two ends.
pub(super) fn feed(bounds: Bounds, names: Option<(Namespace, Pattern)>) -> (Feed, Buffer) {
    let counting = Counting {
        received: metrics::counter!("russet_pubsub_received_total"),
        dropped: metrics::counter!("russet_pubsub_dropped_total"),
        gaps: metrics::counter!("russet_pubsub_gaps_total"),
        lag: metrics::gauge!("russet_pubsub_lag"),
    };
    let (state, reader) = (Mutex::default(), AtomicWaker::new());
    let shared = Arc::new(Shared { bounds, state, reader, counting });
    (Feed { shared: shared.clone(), names }, Buffer { shared })
}

impl Ear for Feed {
    fn hear(&self, channel: &str, heard: Heard<'_>) {
        let channel = match (&self.names, heard) {
            (Some((namespace, pattern)), Heard::Message(_)) => {
                let name = keys::pubsub::name(namespace, channel);
                match name.filter(|name| pattern.matches(name)) {
                    Some(name) => Some(name),
                    None => return,
                }
            }
            _ => None,
        };
        let Shared { bounds, reader, counting, .. } = &*self.shared;
        let mut state = self.shared.lock();
        match heard {
            Heard::Message(payload) => {
                let before = state.messages;
                let dropped = state.push(channel, payload, bounds);
                counting.received.increment(1);
                counting.dropped.increment(dropped);
                counting.lag.increment(state.messages as f64 - before as f64);
            }
            Heard::Live => {
                state.is_live = true;
                if std::mem::take(&mut state.was_lost) {
                    state.push_gap();
                    counting.gaps.increment(1);
                }
            }
            Heard::Gap => {
                state.is_live = false;
                state.was_lost = true;
            }
        }
        drop(state);
        reader.wake();
    }

    fn refused(&self, why: &Error) {
        self.shared.lock().refused = Some(why.clone());
        self.shared.reader.wake();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.is_live = false;
        drop(state);
        self.shared.reader.wake();
    }
}

impl Buffer {
    /// Whether it is heard what is published from now on; an error when that cannot come.
    pub(super) fn poll_live(&self, context: &Context<'_>) -> Poll<Result<()>> {
        self.shared.reader.register(context.waker());
        let state = self.shared.lock();
        if state.is_live {
            return Poll::Ready(Ok(()));
        }
        match &state.refused {
            Some(why) => Poll::Ready(Err(why.clone())),
            None if state.ended => Poll::Ready(Err(closed())),
            None => Poll::Pending,
        }
    }

    /// The next item; `None` when nothing more will come.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Item>> {
        // Before it is looked: what comes in between wakes.
        self.shared.reader.register(context.waker());
        let mut state = self.shared.lock();
        let before = state.messages;
        let item = state.pop();
        self.shared.counting.lag.decrement((before - state.messages) as f64);
        match item {
            Some(item) => Poll::Ready(Some(item)),
            None if state.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(super) fn messages(&self) -> usize {
        self.shared.lock().messages
    }

    pub(super) fn is_live(&self) -> bool {
        self.shared.lock().is_live
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        self.shared.counting.lag.decrement(state.messages as f64);
        *state = State { ended: true, ..State::default() };
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Answers how many messages were dropped.
    fn push(&mut self, channel: Option<String>, payload: &[u8], bounds: &Bounds) -> u64 {
        if self.ended {
            return 0;
        }
        let fits = |state: &Self| {
            state.messages < bounds.messages
                && (state.messages == 0 || state.bytes + payload.len() <= bounds.bytes)
        };
        let mut dropped = 0;
        if bounds.overflow == Overflow::DropNewest && !fits(self) {
            self.lagged_last += 1;
            return 1;
        }
        while !fits(self) {
            dropped += self.drop_oldest();
        }
        self.settle_last();
        self.messages += 1;
        self.bytes += payload.len();
        self.items.push_back(Item::Message { channel, payload: payload.to_vec() });
        dropped
    }

    fn push_gap(&mut self) {
        if self.ended || (self.lagged_last == 0 && self.items.back() == Some(&Item::Gap)) {
            return;
        }
        self.settle_last();
        self.items.push_back(Item::Gap);
    }

    fn settle_last(&mut self) {
        if self.lagged_last > 0 {
            self.items.push_back(Item::Lagged(std::mem::take(&mut self.lagged_last)));
        }
    }

    fn drop_oldest(&mut self) -> u64 {
        match self.items.pop_front() {
            Some(Item::Message { payload, .. }) => {
                self.messages -= 1;
                self.bytes -= payload.len();
                self.lagged_first += 1;
                1
            }
            Some(Item::Gap) => {
                self.gap_first = true;
                0
            }
            Some(Item::Lagged(more)) => {
                self.lagged_first += more;
                0
            }
            None => 0,
        }
    }

    fn pop(&mut self) -> Option<Item> {
        if std::mem::take(&mut self.gap_first) {
            return Some(Item::Gap);
        }
        if self.lagged_first > 0 {
            return Some(Item::Lagged(std::mem::take(&mut self.lagged_first)));
        }
        if self.items.is_empty() {
            self.settle_last();
        }
        let item = self.items.pop_front();
        if let Some(Item::Message { payload, .. }) = &item {
            self.messages -= 1;
            self.bytes -= payload.len();
        }
        item
    }
}

fn closed() -> Error {
    use crate::error::{Advice, ErrorKind};
    Error::new(ErrorKind::Unreachable, Advice::GiveUp, "the handle was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(overflow: Overflow, messages: usize, bytes: usize, script: &str) -> String {
        let bounds = Bounds { messages, bytes, overflow };
        let (feed, buffer) = feed(bounds, None);
        feed.hear("", Heard::Live);
        for word in script.split(' ') {
            match word {
                "gap" => {
                    feed.hear("", Heard::Gap);
                    feed.hear("", Heard::Live);
                }
                "pop" => drop(pop(&buffer)),
                text => feed.hear("", Heard::Message(text.as_bytes())),
            }
        }
        drop(feed);
        let told = std::iter::from_fn(|| pop(&buffer)).map(|item| match item {
            Item::Message { payload, .. } => String::from_utf8(payload).unwrap(),
            Item::Gap => "gap".to_owned(),
            Item::Lagged(n) => format!("+{n}"),
        });
        let told = told.collect::<Vec<_>>().join(" ");
        assert_eq!(buffer.messages(), 0);
        told
    }

    fn pop(buffer: &Buffer) -> Option<Item> {
        let waker = futures_util::task::noop_waker();
        match buffer.poll_next(&Context::from_waker(&waker)) {
            Poll::Ready(item) => item,
            Poll::Pending => panic!("it has an end"),
        }
    }

    #[test]
    fn what_does_not_fit_is_told_where_it_was_lost() {
        for (overflow, messages, bytes, script, expected) in [
            (Overflow::DropOldest, 2, 99, "a b", "a b"),
            (Overflow::DropOldest, 2, 99, "a b c d", "+2 c d"),
            (Overflow::DropOldest, 2, 99, "a gap b c d", "gap +2 c d"),
            (Overflow::DropOldest, 2, 99, "a b c pop d", "+1 c d"),
            (Overflow::DropOldest, 9, 3, "a b c d e", "+2 c d e"),
            (Overflow::DropOldest, 9, 3, "a bbbbb", "+1 bbbbb"),
            (Overflow::DropNewest, 2, 99, "a b c d", "a b +2"),
            (Overflow::DropNewest, 2, 99, "a b c d pop e f", "b +2 e +1"),
            (Overflow::DropNewest, 2, 99, "a b c gap gap", "a b +1 gap"),
            (Overflow::DropNewest, 1, 99, "gap a gap b", "gap a gap +1"),
        ] {
            assert_eq!(told(overflow, messages, bytes, script), expected, "{overflow:?} {script}");
        }
    }
}
