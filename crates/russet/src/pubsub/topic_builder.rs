use std::{marker::PhantomData, sync::Arc, time::Duration};

use super::{
    MAX_MESSAGE,
    builder::check_message_limit,
    message_id::checked_millis,
    topic::{Inner, Topic},
};
use crate::{
    client::Russet,
    codec::{Codec, Json},
    error::{Error, Result},
    keys::{Slot, topic as keys},
};

/// The settings of a [`Topic`]; made by [`Topic::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::Duration;
/// use russet::Topic;
///
/// let day = Duration::from_secs(24 * 3_600);
/// let orders: Topic<u64> = Topic::builder(&russet, "orders").keep_for(7 * day).build()?;
/// # orders.publish(&1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TopicBuilder<T, C = Json> {
    russet: Russet,
    name: String,
    codec: C,
    keep_for: Duration,
    keep_at_most: Option<u64>,
    max_message_bytes: usize,
    label: Option<String>,
    message: PhantomData<fn() -> T>,
}

/// How long messages are kept, unless set.
const KEEP_FOR: Duration = Duration::from_secs(7 * 86_400);
/// The largest `keep_at_most`.
const MOST: u64 = 1 << 32;

impl<T> TopicBuilder<T> {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self {
            russet: russet.clone(),
            name: name.to_owned(),
            codec: Json,
            keep_for: KEEP_FOR,
            keep_at_most: None,
            max_message_bytes: MAX_MESSAGE,
            label: None,
            message: PhantomData,
        }
    }
}

impl<T, C: Codec> TopicBuilder<T, C> {
    /// How messages become bytes. [`Json`] unless set.
    pub fn codec<D: Codec>(self, codec: D) -> TopicBuilder<T, D> {
        let Self {
            russet, name, keep_for, keep_at_most, max_message_bytes, label, message, ..
        } = self;
        TopicBuilder {
            russet,
            name,
            codec,
            keep_for,
            keep_at_most,
            max_message_bytes,
            label,
            message,
        }
    }

    /// How long a message is kept, read or not, 1 ms to 100 years. Later publishing drops what is older, up to 1,000
    /// messages at a time and in whole nodes of the stream, so some stay a little longer. A topic to which nothing was
    /// published for so long ends by itself, with its groups. 7 days unless set.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep_for = time;
        self
    }

    /// How many messages are kept, read or not, 1 to 2^32: a group that falls behind so far misses what was dropped. A
    /// node of the stream more may stay, which is 100 messages by default. Unlimited unless set.
    pub fn keep_at_most(mut self, messages: u64) -> Self {
        self.keep_at_most = Some(messages);
        self
    }

    /// The largest message that is published, in bytes of its codec, 1 to 512 MiB. 1 MiB unless set.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// What the topic is called in the metrics. Topics that are made by the thousand, or named by strangers, share one: each
    /// label lives as long as the process. The topic's own name unless set.
    pub fn metrics_label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long or a setting is out of its range.
    pub fn build(self) -> Result<Topic<T, C>> {
        let slot = Slot::of(self.russet.names(), "topic", &self.name)?;
        let keep_ms = checked_millis("keep_for", self.keep_for)?;
        if let Some(most) = self.keep_at_most.filter(|most| !(1..=MOST).contains(most)) {
            return Err(Error::invalid(format_args!(
                "keep_at_most must be 1 to {MOST}, not {most}"
            )));
        }
        check_message_limit(self.max_message_bytes)?;
        let name = self.label.unwrap_or(self.name);
        let inner = Inner {
            published: metrics::counter!("russet_topic_published_total", "topic" => name.clone()),
            delivered: metrics::counter!("russet_topic_delivered_total", "topic" => name.clone()),
            redelivered: metrics::counter!("russet_topic_redelivered_total", "topic" => name.clone()),
            acked: metrics::counter!("russet_topic_acked_total", "topic" => name.clone()),
            missed: metrics::counter!("russet_topic_missed_total", "topic" => name),
            russet: self.russet,
            codec: self.codec,
            slot,
            log: keys::log(),
            waiters: keys::waiters(),
            keep_ms,
            keep_at_most: self.keep_at_most,
            max_message_bytes: self.max_message_bytes,
        };
        Ok(Topic { inner: Arc::new(inner), message: PhantomData })
    }
}
