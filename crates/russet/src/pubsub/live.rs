use std::{fmt, future::Future, marker::PhantomData, sync::Arc};

use metrics::Counter;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    builder::PubSubBuilder,
    callback::Callback,
    event::{Event, OnChannel},
    feed::{Bounds, feed},
    pattern::Pattern,
    record::encoded,
    spread::{Everywhere, Spread},
    subscription::{Decode, Subscription},
};
use crate::{
    client::{Call, Channels, Russet},
    codec::{Codec, Json},
    error::{BoxError, Error, Result},
    keys::pubsub as keys,
};

/// Messages for who is there at the moment: nothing is stored, and who is not subscribed misses them.
///
/// Channels have names of 1 to 256 bytes, need not be made, and are not kept. All subscriptions of a process share one
/// connection. When it is lost it is opened again by itself, and every subscriber is told of the [`Gap`](Event::Gap). For
/// messages that must not be missed there is [`Topic`](super::Topic).
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use russet::{Event, PubSub};
///
/// #[derive(Serialize, Deserialize, Debug)]
/// struct Alert { text: String }
///
/// let pubsub = PubSub::new(&russet);
/// let mut alerts = pubsub.subscribe::<Alert>("alerts").await?; // from here on nothing is missed
///
/// let receivers = pubsub.publish("alerts", &Alert { text: "CPU at 93 %".into() }).await?;
/// assert_eq!(receivers, 1);
/// match alerts.next().await {
///     Some(Event::Message(alert)) => assert_eq!(alert.text, "CPU at 93 %"),
///     Some(Event::Gap) => println!("something was missed: read the state anew"),
///     other => println!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
pub struct PubSub<C = Json, S = Everywhere> {
    inner: Arc<Inner<C>>,
    spread: PhantomData<S>,
}

struct Inner<C> {
    russet: Russet,
    codec: C,
    bounds: Bounds,
    max_message_bytes: usize,
    published: Counter,
}

impl PubSub {
    /// With the settings that [`builder`](Self::builder) begins with.
    pub fn new(russet: &Russet) -> Self {
        PubSubBuilder::new(russet).defaults()
    }

    /// Starts the settings of a handle.
    pub fn builder(russet: &Russet) -> PubSubBuilder {
        PubSubBuilder::new(russet)
    }
}

impl<C: Codec, S: Spread> PubSub<C, S> {
    pub(super) fn new_with(
        russet: Russet,
        codec: C,
        bounds: Bounds,
        max_message_bytes: usize,
    ) -> Self {
        let published = metrics::counter!("russet_pubsub_published_total");
        let inner = Inner { russet, codec, bounds, max_message_bytes, published };
        Self { inner: Arc::new(inner), spread: PhantomData }
    }

    /// Sends a message to everybody who is subscribed, and tells how many connections that were.
    ///
    /// The number counts the connections to the server that was asked: one for each process, however many subscriptions
    /// it has, and on a Cluster those to one node only. So 0 means that nobody was there on a single server only, or when the
    /// handle is [sharded](PubSubBuilder::sharded): then the node that was asked is the one where everybody listens.
    ///
    /// # Errors
    /// `Invalid`, and nothing is sent, when the channel's name is not 1 to 256 bytes long or the message too large; `Codec`
    /// when it cannot be encoded; `Unknown` when the answer was lost: the message may or may not have been sent, and is
    /// not sent again.
    #[tracing::instrument(name = "pubsub.publish", level = "debug", skip_all)]
    pub async fn publish<T: Serialize + ?Sized>(&self, channel: &str, message: &T) -> Result<u64> {
        let Inner { russet, codec, max_message_bytes, published, .. } = &*self.inner;
        let (slot, part) = keys::messages(russet.names(), channel)?;
        let payload = encoded(codec, slot.object(), &message, *max_message_bytes)?;
        published.increment(1);
        let command = if S::IS_SHARDED { "SPUBLISH" } else { "PUBLISH" };
        russet.run(Call::write(command, &slot).key(&part).arg(payload)).await
    }

    /// Subscribes to a channel. When it returns, everything that is published from now on is heard, until the next
    /// [`Gap`](Event::Gap).
    ///
    /// Any number of subscriptions may be made and dropped at any time, also to one channel.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; `Refused` when the server does not allow it to this user;
    /// `Unreachable` when it is not confirmed by the handle's deadline.
    #[tracing::instrument(name = "pubsub.subscribe", level = "debug", skip_all)]
    pub async fn subscribe<T>(&self, channel: &str) -> Result<Subscription<T>>
    where
        T: DeserializeOwned + 'static,
    {
        let (slot, part) = keys::messages(self.inner.russet.names(), channel)?;
        let (codec, object) = (self.inner.codec.clone(), slot.object().to_owned());
        let decode: Decode<T> = Arc::new(move |_, payload| {
            codec.decode(payload).map_err(|why| Error::codec(&object, why))
        });
        let name = slot.key(&part);
        let channel = if S::IS_SHARDED { Channels::Sharded(name) } else { Channels::One(name) };
        self.listen(channel, None, slot.object(), decode).await
    }

    /// Calls a function for everything that happens on a channel, one event after the other, until the [`Callback`] is
    /// dropped.
    ///
    /// Any number of callbacks may be there for one channel. One that fails or panics is logged and counted, and goes on with
    /// the next event; the others do not notice, nor do they wait for a slow one.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn on<T, F, R>(&self, channel: &str, callback: F) -> Result<Callback>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Event<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let subscription = self.subscribe(channel).await?;
        Ok(Callback::start(self.inner.russet.runtime(), subscription, callback))
    }

    async fn listen<T>(
        &self,
        channels: Channels,
        names: Option<(crate::keys::Namespace, Pattern)>,
        what: &str,
        decode: Decode<T>,
    ) -> Result<Subscription<T>> {
        let russet = &self.inner.russet;
        let deadline = russet.deadline();
        let (feed, buffer) = feed(self.inner.bounds, names);
        let listener = russet.listeners().listen_to(channels, feed);
        Subscription::new(russet, listener, buffer, what, decode).live(deadline).await
    }
}

impl<C: Codec> PubSub<C> {
    /// Subscribes to all channels whose name is like the pattern, also to those that nobody has published to yet: `*` in it
    /// stands for any text, and nothing else of it is special. Each message comes with its channel.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe). An ACL must list a pattern word by word, see `docs/keys.md`.
    #[tracing::instrument(name = "pubsub.subscribe_like", level = "debug", skip_all)]
    pub async fn subscribe_like<T>(&self, pattern: &str) -> Result<Subscription<OnChannel<T>>>
    where
        T: DeserializeOwned + 'static,
    {
        let pattern = Pattern::new(pattern)?;
        let namespace = self.inner.russet.names();
        let like = keys::like(namespace, pattern.as_str());
        let names = Some((namespace.clone(), pattern));
        let codec = self.inner.codec.clone();
        let decode: Decode<OnChannel<T>> = Arc::new(move |channel, payload| {
            let channel = channel.unwrap_or_default();
            match codec.decode(payload) {
                Ok(message) => Ok(OnChannel { channel, message }),
                Err(why) => Err(Error::codec(format_args!("channel {channel}"), why)),
            }
        });
        self.listen(Channels::Like(like), names, "a pattern of channels", decode).await
    }

    /// The same for all channels like a pattern, see [`subscribe_like`](Self::subscribe_like).
    ///
    /// # Errors
    /// As there.
    pub async fn on_like<T, F, R>(&self, pattern: &str, callback: F) -> Result<Callback>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Event<OnChannel<T>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let subscription = self.subscribe_like(pattern).await?;
        Ok(Callback::start(self.inner.russet.runtime(), subscription, callback))
    }
}

impl<C, S> Clone for PubSub<C, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), spread: PhantomData }
    }
}

impl<C, S> fmt::Debug for PubSub<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { russet, bounds, .. } = &*self.inner;
        f.debug_struct("PubSub").field("russet", russet).field("bounds", bounds).finish()
    }
}
