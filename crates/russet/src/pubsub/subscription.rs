use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::time::{Instant, timeout_at};

use super::{
    event::Event,
    feed::{Buffer, Item},
};
use crate::{
    client::Russet,
    error::{Advice, Error, ErrorKind, Result},
    listen::Listener,
};

/// What a payload and the channel on which it came stand for.
pub(super) type Decode<T> = Arc<dyn Fn(Option<String>, &[u8]) -> Result<T> + Send + Sync>;

/// A live subscription; made by [`PubSub::subscribe`](super::PubSub::subscribe). Dropping it unsubscribes.
///
/// Read it by [`next`](Self::next), or as a `futures::Stream` of the same events. It keeps what comes in a buffer of its own:
/// who reads slowly loses messages, is told how many, and costs no other subscriber anything. It also keeps its [`Russet`]
/// connected.
#[must_use = "dropping it unsubscribes"]
pub struct Subscription<T> {
    buffer: Buffer,
    decode: Decode<T>,
    what: Arc<str>,
    // Dropped before the handle.
    _listener: Listener,
    _russet: Russet,
}

impl<T> Subscription<T> {
    pub(super) fn new(
        russet: &Russet,
        listener: Listener,
        buffer: Buffer,
        what: &str,
        decode: Decode<T>,
    ) -> Self {
        let _russet = russet.clone();
        Self { buffer, decode, what: what.into(), _listener: listener, _russet }
    }

    /// Waits until everything that is published is heard.
    pub(super) async fn live(self, deadline: Instant) -> Result<Self> {
        let live = poll_fn(|context| self.buffer.poll_live(context));
        match timeout_at(deadline, live).await {
            Ok(Ok(())) => Ok(self),
            Ok(Err(why)) => {
                let message = format_args!("cannot subscribe to {}: {why}", self.what);
                Err(Error::new(why.kind(), why.advice(), message))
            }
            Err(_) => {
                let message = format_args!(
                    "cannot subscribe to {}: the server did not confirm it in time",
                    self.what
                );
                let advice = Advice::RetryAfter(std::time::Duration::from_millis(200));
                Err(Error::new(ErrorKind::Unreachable, advice, message))
            }
        }
    }

    /// What happened next; waits for it. `None` when nothing more will come, because the handle was closed or the server
    /// does not allow it any more.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event<T>> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// How many messages wait to be read.
    pub fn lag(&self) -> usize {
        self.buffer.messages()
    }

    /// Whether messages are heard at this moment. Between the loss of the connection and the next
    /// [`Gap`](Event::Gap) they are not.
    pub fn is_live(&self) -> bool {
        self.buffer.is_live()
    }

    fn poll_event(&self, context: &Context<'_>) -> Poll<Option<Event<T>>> {
        self.buffer.poll_next(context).map(|item| {
            Some(match item? {
                Item::Gap => Event::Gap,
                Item::Lagged(messages) => Event::Lagged(messages),
                Item::Message { channel, payload } => match (self.decode)(channel, &payload) {
                    Ok(message) => Event::Message(message),
                    Err(why) => Event::Undecodable(why),
                },
            })
        })
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Event<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        self.poll_event(context)
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("to", &self.what)
            .field("lag", &self.lag())
            .field("is_live", &self.is_live())
            .finish()
    }
}
