//! Messages of one channel, on a connection that carries nothing else.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::timeout;

use super::{connection::open_subscription, fault, settings::Settings};
use crate::error::Result;

/// After this long without a message the connection must answer a ping, or is given up: a peer that
/// vanished without a word would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(5);

/// The way to subscribe.
pub(crate) struct Subscription {
    settings: Settings,
}

/// The messages of a channel that arrive while this lives.
pub(crate) struct Messages {
    sink: PubSubSink,
    stream: PubSubStream,
    answer_within: Duration,
}

impl Subscription {
    /// Connects and subscribes; when it returns, nothing published from now on is missed.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`, as connecting does.
    pub(crate) async fn open(&self, channel: &str) -> Result<Messages> {
        let (mut sink, stream) = open_subscription(&self.settings).await?.split();
        let address = self.settings.address.to_string();
        let subscribed = timeout(self.settings.connect_timeout, sink.subscribe(channel)).await;
        let subscribed = subscribed.unwrap_or_else(|_| Err(no_answer()));
        subscribed.map_err(|error| fault::not_connected(&address, &error))?;
        Ok(Messages { sink, stream, answer_within: self.settings.connect_timeout })
    }
}

impl Messages {
    /// The next message; `None` when the connection is lost, and messages may have been missed.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match timeout(SILENCE, self.stream.next()).await {
                Ok(message) => return Some(message?.get_payload_bytes().to_vec()),
                Err(_) => {
                    let pong = timeout(self.answer_within, self.sink.ping::<redis::Value>()).await;
                    pong.ok()?.ok()?;
                }
            }
        }
    }
}

impl From<Settings> for Subscription {
    fn from(settings: Settings) -> Self {
        Self { settings }
    }
}

fn no_answer() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
