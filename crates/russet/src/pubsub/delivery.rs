use std::{fmt, sync::Arc};

use super::{message_id::MessageId, scripts, topic::Inner};
use crate::{
    codec::Json,
    error::{Error, Result},
};

/// A message in the hands of one subscriber, until it is acknowledged or its lease ends. Dropping it gives it back when
/// the lease ends, not at once.
#[must_use = "a message that is not acknowledged comes again"]
pub struct TopicDelivery<T, C = Json> {
    pub(super) topic: Arc<Inner<C>>,
    pub(super) group: Arc<str>,
    pub(super) consumer: Arc<str>,
    pub(super) id: MessageId,
    pub(super) deliveries: u64,
    pub(super) message: Result<T>,
}

/// What became of an acknowledgement, or of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The message was still this delivery's: it is done, or stays here for one more lease.
    Done,
    /// It was not: the lease had ended and another subscriber has taken it over, or the topic or the group is gone. Nothing was changed.
    TakenOver,
}

impl<T, C> TopicDelivery<T, C> {
    /// The message.
    ///
    /// # Errors
    /// `Codec` when what was published is none of this type. It comes again and again until somebody acknowledges it: a
    /// handler decides what to do with it, for one by [`deliveries`](Self::deliveries).
    pub fn message(&self) -> Result<&T> {
        self.message.as_ref().map_err(Clone::clone)
    }

    /// The message's id.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// How often it was delivered in this group, this time included: 1, and more when it came back. A process that was
    /// killed in the middle counts.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Says that the message is done: it does not come again in this group. One round trip.
    ///
    /// # Errors
    /// `Unknown` when the answer was lost: if it was not done the message comes again.
    #[tracing::instrument(name = "topic.ack", level = "debug", skip_all, fields(topic = self.topic.slot.object()))]
    pub async fn ack(self) -> Result<Acked> {
        let Self { topic, group, consumer, id, deliveries, .. } = &self;
        let done: u32 =
            topic.russet.run(scripts::ack(topic, group, consumer, *id, *deliveries)).await?;
        topic.acked.increment(done.into());
        Ok(acked(done))
    }

    /// Begins the lease anew, for a handler that takes longer. One round trip.
    ///
    /// # Errors
    /// As every write, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "topic.extend", level = "debug", skip_all, fields(topic = self.topic.slot.object()))]
    pub async fn extend(&self) -> Result<Acked> {
        let Self { topic, group, consumer, id, deliveries, .. } = self;
        let call = scripts::extend(topic, group, consumer, *id, *deliveries);
        Ok(acked(topic.russet.run(call).await?))
    }
}

fn acked(done: u32) -> Acked {
    match done {
        1 => Acked::Done,
        _ => Acked::TakenOver,
    }
}

impl<T, C> fmt::Debug for TopicDelivery<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicDelivery")
            .field("topic", &self.topic.slot.object())
            .field("group", &self.group)
            .field("id", &self.id)
            .field("deliveries", &self.deliveries)
            .field("error", &self.message.as_ref().err().map(Error::to_string))
            .finish_non_exhaustive()
    }
}
