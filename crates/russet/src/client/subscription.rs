//! Messages of channels, on a connection that carries nothing else.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{Instant, error::Elapsed, timeout};

use super::{
    address::Address,
    connection::open_subscription,
    fault,
    places::{Places, Target},
    settings::Settings,
};
use crate::error::Result;

/// After this long without a message the connection must answer a ping, or is given up: a peer that
/// vanished without a word would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(5);

/// What is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Channels {
    /// The channel of this name.
    One(String),
    /// Every channel whose name is like this pattern, in the server's own form.
    Like(String),
}

/// One message, as it came.
pub(crate) struct Message {
    /// What it was heard for: a message comes once for each subscription that it belongs to.
    pub(crate) heard_for: Channels,
    pub(crate) channel: String,
    pub(crate) payload: Vec<u8>,
}

/// The way to subscribe. On a Cluster any node will do: what is published at one is heard at all.
pub(crate) struct Subscription {
    settings: Arc<Settings>,
    places: Arc<Places>,
}

/// A connection for the messages of the channels it is subscribed to.
pub(crate) struct Messages {
    server: Address,
    sink: PubSubSink,
    stream: PubSubStream,
    answer_within: Duration,
    /// Ends when its server is no longer the one to listen to.
    is_left: BoxFuture<'static, ()>,
}

impl Subscription {
    pub(super) fn new(settings: Arc<Settings>, places: Arc<Places>) -> Self {
        Self { settings, places }
    }

    /// Connects, and is subscribed to nothing yet.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`, as connecting does.
    pub(crate) async fn open(&self) -> Result<Messages> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        let mut targets = self.places.that_hear_all(deadline).await?.into_iter();
        let mut outcome = match targets.next() {
            Some(target) => self.open_at(&target).await,
            None => Err(crate::error::Error::internal("there is no server to listen to")),
        };
        for target in targets {
            if outcome.is_ok() {
                break;
            }
            self.places.look_again();
            outcome = self.open_at(&target).await;
        }
        outcome
    }

    async fn open_at(&self, target: &Target) -> Result<Messages> {
        let answer_within = self.settings.connect_timeout;
        let (connection, place) = open_subscription(&self.settings, target).await?;
        let (sink, stream) = connection.split();
        let server = place.address.clone();
        let is_left = async move { place.is_left().await }.boxed();
        Ok(Messages { server, sink, stream, answer_within, is_left })
    }
}

impl Messages {
    /// When it returns, nothing published to these channels from now on is missed.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`.
    pub(crate) async fn subscribe(&mut self, channels: &[Channels]) -> Result<()> {
        let (names, patterns) = by_kind(channels);
        if !names.is_empty() {
            let subscribed = timeout(self.answer_within, self.sink.subscribe(names)).await;
            self.confirmed(subscribed)?;
        }
        if !patterns.is_empty() {
            let subscribed = timeout(self.answer_within, self.sink.psubscribe(patterns)).await;
            self.confirmed(subscribed)?;
        }
        Ok(())
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn unsubscribe(&mut self, channels: &[Channels]) -> Result<()> {
        let (names, patterns) = by_kind(channels);
        if !names.is_empty() {
            let unsubscribed = timeout(self.answer_within, self.sink.unsubscribe(names)).await;
            self.confirmed(unsubscribed)?;
        }
        if !patterns.is_empty() {
            let unsubscribed = timeout(self.answer_within, self.sink.punsubscribe(patterns)).await;
            self.confirmed(unsubscribed)?;
        }
        Ok(())
    }

    fn confirmed(&self, answer: Result<redis::RedisResult<()>, Elapsed>) -> Result<()> {
        let answer = answer.unwrap_or_else(|_| Err(no_answer()));
        answer.map_err(|error| fault::not_connected(&self.server, &error))
    }

    /// The next message; `None` when the connection is lost, and messages may have been missed.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let message = tokio::select! {
                biased;
                message = timeout(SILENCE, self.stream.next()) => message,
                () = &mut self.is_left => return None,
            };
            match message {
                Ok(message) => {
                    let message = message?;
                    let channel = message.get_channel_name().to_owned();
                    let heard_for = match message.from_pattern() {
                        true => Channels::Like(message.get_pattern().ok()?),
                        false => Channels::One(channel.clone()),
                    };
                    let payload = message.get_payload_bytes().to_vec();
                    return Some(Message { heard_for, channel, payload });
                }
                Err(_) => {
                    let pong = timeout(self.answer_within, self.sink.ping::<redis::Value>()).await;
                    pong.ok()?.ok()?;
                }
            }
        }
    }
}

/// The names and the patterns.
fn by_kind(channels: &[Channels]) -> (Vec<&str>, Vec<&str>) {
    let (mut names, mut patterns) = (Vec::new(), Vec::new());
    for channel in channels {
        match channel {
            Channels::One(name) => names.push(name.as_str()),
            Channels::Like(pattern) => patterns.push(pattern.as_str()),
        }
    }
    (names, patterns)
}

fn no_answer() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
