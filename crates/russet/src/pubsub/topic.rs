use std::{fmt, marker::PhantomData, sync::Arc};

use metrics::Counter;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    group::{GroupOptions, check_group},
    history::History,
    message_id::{MessageId, Start},
    record::encoded,
    scripts,
    stats::TopicStats,
    topic_builder::TopicBuilder,
};
use crate::{
    client::{Call, Reached, Russet},
    codec::{Codec, Json},
    error::Result,
    keys::{Part, Slot},
};

/// Durable messages: they are kept in a Redis Stream until every group has read them, or their time is over.
///
/// Each [`group`](Self::group) gets every message; of the subscribers of one group, each message goes to one. A message
/// stays that subscriber's until it is acknowledged or its lease ends; then another one gets it. So a subscriber that is
/// killed in the middle loses nothing, and a message may come more than once: what a handler does should bear that.
/// A group takes messages in the order in which they were published; those that come back come later.
///
/// A message is acknowledged by Redis with the [durability](Russet::durability) of the handle, and is dropped when it is
/// older than [`keep_for`](TopicBuilder::keep_for), read or not.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use russet::Topic;
///
/// #[derive(Serialize, Deserialize)]
/// struct Order { id: u64 }
///
/// let orders: Topic<Order> = Topic::builder(&russet, "orders").build()?;
/// orders.publish(&Order { id: 7 }).await?; // nobody is there yet
///
/// let mut billing = orders.group("billing").await?;
/// let order = billing.next().await?;
/// assert_eq!(order.message()?.id, 7);
/// order.ack().await?;
/// # Ok(()) }
/// ```
pub struct Topic<T, C = Json> {
    pub(super) inner: Arc<Inner<C>>,
    pub(super) message: PhantomData<fn() -> T>,
}

pub(super) struct Inner<C> {
    pub(super) russet: Russet,
    pub(super) codec: C,
    pub(super) slot: Slot,
    pub(super) log: Part,
    pub(super) waiters: Part,
    pub(super) keep_ms: u64,
    pub(super) keep_at_most: Option<u64>,
    pub(super) max_message_bytes: usize,
    pub(super) published: Counter,
    pub(super) delivered: Counter,
    pub(super) redelivered: Counter,
    pub(super) acked: Counter,
    pub(super) missed: Counter,
}

/// A message that is in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its id.
    pub id: MessageId,
    /// How safe it was when it was acknowledged.
    pub reached: Reached,
}

impl<T> Topic<T> {
    /// Starts the settings of the topic `name`, which has 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> TopicBuilder<T> {
        TopicBuilder::new(russet, name)
    }
}

impl<T, C: Codec> Topic<T, C>
where
    T: Serialize + DeserializeOwned,
{
    /// Publishes a message, drops what is too old or too much, and wakes who waits: one step, one round trip.
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when the message is too large; `Codec` when it cannot be encoded; `Unknown` when
    /// the answer was lost: it may or may not be there, and is not sent again.
    #[tracing::instrument(name = "topic.publish", level = "debug", skip_all, fields(topic = self.name()))]
    pub async fn publish(&self, message: &T) -> Result<Published> {
        let Inner { russet, codec, max_message_bytes, published, .. } = &*self.inner;
        let body = encoded(codec, self.name(), message, *max_message_bytes)?;
        let (id, reached): (String, _) =
            russet.run_durable(scripts::publish(&self.inner, &body)).await?;
        published.increment(1);
        Ok(Published { id: scripts::id(&id)?, reached })
    }

    /// Joins the group `group`, which has 1 to 256 bytes, as a subscriber of its own; makes it if it is new. A new group
    /// begins with the oldest message that is kept, unless [`from`](GroupOptions::from) says otherwise.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let orders: russet::Topic<u64> = russet::Topic::builder(&russet, "orders").build()?;
    /// use std::time::Duration;
    /// use russet::Start;
    ///
    /// let shipping = orders.group("shipping").from(Start::Now).lease(Duration::from_secs(60)).await?;
    /// # Ok(()) }
    /// ```
    pub fn group(&self, group: &str) -> GroupOptions<T, C> {
        GroupOptions::new(self.clone(), group)
    }

    /// Lists messages that are kept, whoever has read them: the newest `n`, 1 to 1,000, newest first, unless more is said.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let room: russet::Topic<String> = russet::Topic::builder(&russet, "room").build()?;
    /// for text in ["one", "two", "three"] {
    ///     room.publish(&text.to_owned()).await?;
    /// }
    /// let latest = room.history(2).await?;
    /// assert_eq!(latest[0].message()?, "three");
    /// let earlier = room.history(2).before(latest[1].id).await?;
    /// assert_eq!(earlier[0].message()?, "one");
    /// # Ok(()) }
    /// ```
    pub fn history(&self, n: usize) -> History<T, C> {
        History::new(self.clone(), n)
    }

    /// Moves a group: it reads on from there, once more what it had read, or leaving out what it had not. What its
    /// subscribers hold at the moment stays theirs. `false` when there is no such group.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every write.
    #[tracing::instrument(name = "topic.replay", level = "debug", skip_all, fields(topic = self.name()))]
    pub async fn replay(&self, group: &str, from: Start) -> Result<bool> {
        check_group(group)?;
        let call = scripts::seek(&self.inner, group, &from.position());
        let moved: u32 = self.inner.russet.run(call).await?;
        Ok(moved == 1)
    }

    /// What is in the topic, and how far each group is.
    ///
    /// # Errors
    /// As every read, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "topic.stats", level = "debug", skip_all, fields(topic = self.name()))]
    pub async fn stats(&self) -> Result<TopicStats> {
        TopicStats::read(self.inner.russet.run(scripts::stats(&self.inner)).await?)
    }

    /// Ends a group: where it stood is forgotten, and what its subscribers hold comes back to nobody. Its subscribers must have
    /// ended before: one that goes on makes the group anew, and reads everything that is kept. `false` when there is no such
    /// group.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every write.
    #[tracing::instrument(name = "topic.remove_group", level = "debug", skip_all, fields(topic = self.name()))]
    pub async fn remove_group(&self, group: &str) -> Result<bool> {
        check_group(group)?;
        let removed: u32 = self.inner.russet.run(scripts::remove(&self.inner, group)).await?;
        Ok(removed == 1)
    }

    /// Deletes the topic with its messages and groups. Subscribers that go on make their group anew, and read what is
    /// published later.
    ///
    /// # Errors
    /// As every write, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "topic.delete", level = "debug", skip_all, fields(topic = self.name()))]
    pub async fn delete(&self) -> Result<()> {
        let Inner { russet, slot, log, waiters, .. } = &*self.inner;
        russet.run::<u32>(Call::write("UNLINK", slot).key(log).key(waiters).idempotent()).await?;
        Ok(())
    }

    pub(super) fn name(&self) -> &str {
        self.inner.slot.object()
    }
}

impl<T, C> Clone for Topic<T, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), message: PhantomData }
    }
}

impl<T, C> fmt::Debug for Topic<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { slot, keep_ms, keep_at_most, .. } = &*self.inner;
        f.debug_struct("Topic")
            .field("slot", slot)
            .field("keep_ms", keep_ms)
            .field("keep_at_most", keep_at_most)
            .finish()
    }
}
