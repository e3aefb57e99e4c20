use crate::error::Error;

/// What a subscriber is told, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<T> {
    /// Somebody published this.
    Message(T),
    /// The connection was lost and is there again: messages in between were missed. Everything from now on is heard, so
    /// what is read after this event is not older than the next message. (On a Cluster the last messages before the gap may
    /// come once more: the new connection goes to another node, which they may reach later than the old one.)
    Gap,
    /// This subscriber was too slow: so many messages did not fit into its buffer and were dropped here.
    Lagged(u64),
    /// A message came that is none of this type. The error says on which channel, and why.
    Undecodable(Error),
}

impl<T> Event<T> {
    /// The message, if it is one.
    pub fn into_message(self) -> Option<T> {
        match self {
            Self::Message(message) => Some(message),
            Self::Gap | Self::Lagged(_) | Self::Undecodable(_) => None,
        }
    }
}

/// A message that was heard for a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnChannel<T> {
    /// The channel to which it was published.
    pub channel: String,
    /// The message.
    pub message: T,
}

/// Which messages a subscriber loses whose buffer is full. It is told how many by [`Event::Lagged`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest: the subscriber goes on with what is new.
    #[default]
    DropOldest,
    /// Those that come while the buffer is full: the subscriber gets what it began with.
    DropNewest,
}
