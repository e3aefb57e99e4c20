//! Messages of one channel, on a connection that carries nothing else.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{Instant, timeout};

use super::{
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

/// The messages of a channel that arrive while this lives.
pub(crate) struct Messages {
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

    /// Connects and subscribes; when it returns, nothing published from now on is missed.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`, as connecting does.
    pub(crate) async fn open(&self, channel: &str) -> Result<Messages> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        let mut targets = self.places.that_hear_all(deadline).await?.into_iter();
        let mut outcome = match targets.next() {
            Some(target) => self.open_at(&target, channel).await,
            None => Err(crate::error::Error::internal("there is no server to listen to")),
        };
        for target in targets {
            if outcome.is_ok() {
                break;
            }
            self.places.look_again();
            outcome = self.open_at(&target, channel).await;
        }
        outcome
    }

    async fn open_at(&self, target: &Target, channel: &str) -> Result<Messages> {
        let answer_within = self.settings.connect_timeout;
        let (connection, place) = open_subscription(&self.settings, target).await?;
        let (mut sink, stream) = connection.split();
        let subscribed = timeout(answer_within, sink.subscribe(channel)).await;
        let subscribed = subscribed.unwrap_or_else(|_| Err(no_answer()));
        subscribed.map_err(|error| fault::not_connected(&place.address, &error))?;
        let is_left = async move { place.is_left().await }.boxed();
        Ok(Messages { sink, stream, answer_within, is_left })
    }
}

impl Messages {
    /// The next message; `None` when the connection is lost, and messages may have been missed.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let message = tokio::select! {
                biased;
                message = timeout(SILENCE, self.stream.next()) => message,
                () = &mut self.is_left => return None,
            };
            match message {
                Ok(message) => return Some(message?.get_payload_bytes().to_vec()),
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
