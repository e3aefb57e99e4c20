use std::marker::PhantomData;

use super::{
    MAX_MESSAGE,
    event::Overflow,
    feed::Bounds,
    live::PubSub,
    spread::{Everywhere, Sharded, Spread},
};
use crate::{
    client::Russet,
    codec::{Codec, Json},
    error::{Error, Result},
};

/// The settings of a [`PubSub`]; made by [`PubSub::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use russet::{Overflow, PubSub};
///
/// let prices = PubSub::builder(&russet).buffer(16).overflow(Overflow::DropOldest).build()?;
/// # assert_eq!(prices.publish("gold", &1).await?, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PubSubBuilder<C = Json, S = Everywhere> {
    russet: Russet,
    codec: C,
    bounds: Bounds,
    max_message_bytes: usize,
    spread: PhantomData<S>,
}

/// The buffer of a subscriber, unless set.
const BUFFER: usize = 1_024;
const BUFFER_BYTES: usize = 16 << 20;

impl PubSubBuilder {
    pub(super) fn new(russet: &Russet) -> Self {
        let bounds =
            Bounds { messages: BUFFER, bytes: BUFFER_BYTES, overflow: Overflow::default() };
        let max_message_bytes = MAX_MESSAGE;
        Self { russet: russet.clone(), codec: Json, bounds, max_message_bytes, spread: PhantomData }
    }

    /// The handle without any other setting.
    pub(super) fn defaults(self) -> PubSub {
        PubSub::new_with(self.russet, self.codec, self.bounds, self.max_message_bytes)
    }
}

impl<C: Codec, S: Spread> PubSubBuilder<C, S> {
    /// How messages become bytes. [`Json`] unless set.
    pub fn codec<D: Codec>(self, codec: D) -> PubSubBuilder<D, S> {
        let Self { russet, bounds, max_message_bytes, spread, .. } = self;
        PubSubBuilder { russet, codec, bounds, max_message_bytes, spread }
    }

    /// Sends each message to the node of its channel's slot alone, and listens there: the nodes of a Cluster pass every other
    /// message on to all of them, whoever listens. There are no patterns then, and these channels are not those of other
    /// handles with the same names. A process has a connection for messages at each node that it listens to.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use russet::PubSub;
    ///
    /// let rooms = PubSub::builder(&russet).sharded().build()?;
    /// let mut lobby = rooms.subscribe::<String>("lobby").await?;
    /// assert_eq!(rooms.publish("lobby", "hello").await?, 1);
    /// assert_eq!(lobby.next().await.and_then(russet::Event::into_message).as_deref(), Some("hello"));
    /// # Ok(()) }
    /// ```
    ///
    /// A pattern does not compile:
    ///
    /// ```compile_fail,E0599
    /// # async fn refused(russet: russet::Russet) -> russet::Result<()> {
    /// let rooms = russet::PubSub::builder(&russet).sharded().build()?;
    /// rooms.subscribe_like::<String>("lo*").await?;
    /// # Ok(()) }
    /// ```
    pub fn sharded(self) -> PubSubBuilder<C, Sharded> {
        let Self { russet, codec, bounds, max_message_bytes, .. } = self;
        PubSubBuilder { russet, codec, bounds, max_message_bytes, spread: PhantomData }
    }

    /// How many messages are kept for each subscriber until it reads them, 1 to 1,000,000. 1,024 unless set.
    pub fn buffer(mut self, messages: usize) -> Self {
        self.bounds.messages = messages;
        self
    }

    /// How many bytes of messages are kept for each subscriber; the last one is kept, whatever its size. 16 MiB unless set.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    /// Which messages are lost when a subscriber's buffer is full. [`Overflow::DropOldest`] unless set.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.bounds.overflow = overflow;
        self
    }

    /// The largest message that is published, in bytes of its codec, 1 to 512 MiB. 1 MiB unless set.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` for a buffer of no messages, more than 1,000,000 or no bytes, or a message size outside of 1 byte to 512
    /// MiB.
    pub fn build(self) -> Result<PubSub<C, S>> {
        let Bounds { messages, bytes, .. } = self.bounds;
        if !(1..=1_000_000).contains(&messages) || bytes == 0 {
            return Err(Error::invalid(format_args!(
                "the buffer must be 1 to 1000000 messages and 1 byte at least, not {messages} messages and {bytes} bytes"
            )));
        }
        check_message_limit(self.max_message_bytes)?;
        Ok(PubSub::new_with(self.russet, self.codec, self.bounds, self.max_message_bytes))
    }
}

/// Refuses a limit that is none, or above what the server takes.
pub(super) fn check_message_limit(bytes: usize) -> Result<()> {
    if (1..=512 << 20).contains(&bytes) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("max_message_bytes must be 1 byte to 512 MiB, not {bytes}")))
}
