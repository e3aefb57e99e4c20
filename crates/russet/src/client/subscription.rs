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
    pub(crate) async fn subscribe(&mut self, channels: &[String]) -> Result<()> {
        let subscribed = timeout(self.answer_within, self.sink.subscribe(channels)).await;
        self.confirmed(subscribed)
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn unsubscribe(&mut self, channels: &[String]) -> Result<()> {
        let unsubscribed = timeout(self.answer_within, self.sink.unsubscribe(channels)).await;
        self.confirmed(unsubscribed)
    }

    fn confirmed(&self, answer: Result<redis::RedisResult<()>, Elapsed>) -> Result<()> {
        let answer = answer.unwrap_or_else(|_| Err(no_answer()));
        answer.map_err(|error| fault::not_connected(&self.server, &error))
    }

    /// The next message and its channel; `None` when the connection is lost, and messages may have been missed.
    pub(crate) async fn next(&mut self) -> Option<(String, Vec<u8>)> {
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
                    return Some((channel, message.get_payload_bytes().to_vec()));
                }
                Err(_) => {
                    let pong = timeout(self.answer_within, self.sink.ping::<redis::Value>()).await;
                    pong.ok()?.ok()?;
                }
            }
        }
    }
}

fn no_answer() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
