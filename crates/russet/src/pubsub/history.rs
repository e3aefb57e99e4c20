use std::future::IntoFuture;

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    message_id::{MessageId, Start},
    record::decoded,
    scripts,
    topic::{Inner, Topic},
};
use crate::{
    client::Call,
    codec::{Codec, Json},
    error::{Error, Result},
};

/// The largest list.
const MOST: usize = 1_000;

/// A question for messages that are kept; made by [`Topic::history`], and asked by `.await`: one round trip.
#[must_use = "it is asked by .await"]
pub struct History<T, C = Json> {
    topic: Topic<T, C>,
    n: usize,
    from: Start,
    before: Option<MessageId>,
    oldest_first: bool,
}

/// A message of the history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Logged<T> {
    /// Its id, which says when it was published.
    pub id: MessageId,
    message: Result<T>,
}

impl<T> Logged<T> {
    /// The message.
    ///
    /// # Errors
    /// `Codec` when what was published is none of this type.
    pub fn message(&self) -> Result<&T> {
        self.message.as_ref().map_err(Clone::clone)
    }

    /// The same, without the id.
    ///
    /// # Errors
    /// As there.
    pub fn into_message(self) -> Result<T> {
        self.message
    }
}

impl<T, C> History<T, C> {
    pub(super) fn new(topic: Topic<T, C>, n: usize) -> Self {
        Self { topic, n, from: Start::Oldest, before: None, oldest_first: false }
    }

    /// Only messages from there on. All that are kept unless set; [`Start::Now`] finds none.
    pub fn from(mut self, start: Start) -> Self {
        self.from = start;
        self
    }

    /// Only messages that were published before this one.
    pub fn before(mut self, id: MessageId) -> Self {
        self.before = Some(id);
        self
    }

    /// The oldest ones, oldest first. The newest ones, newest first, unless set.
    pub fn oldest_first(mut self) -> Self {
        self.oldest_first = true;
        self
    }
}

impl<T, C: Codec> History<T, C>
where
    T: Serialize + DeserializeOwned,
{
    async fn ask(self) -> Result<Vec<Logged<T>>> {
        if !(1..=MOST).contains(&self.n) {
            return Err(Error::invalid(format_args!(
                "a history has 1 to {MOST} messages, not {}",
                self.n
            )));
        }
        if self.from == Start::Now {
            return Ok(Vec::new());
        }
        let Inner { russet, codec, slot, log, .. } = &*self.topic.inner;
        let first = ["(", &self.from.position()].concat();
        let last = self.before.map_or("+".to_owned(), |id| ["(", &id.to_string()].concat());
        let call = match self.oldest_first {
            true => Call::read("XRANGE", slot).key(log).arg(first).arg(last),
            false => Call::read("XREVRANGE", slot).key(log).arg(last).arg(first),
        };
        let found: Vec<(String, Vec<Vec<u8>>)> = russet.run(call.arg("COUNT").arg(self.n)).await?;
        let logged = found.into_iter().map(|(id, fields)| {
            let message = decoded(codec, self.topic.name(), &fields);
            Ok(Logged { id: scripts::id(&id)?, message })
        });
        logged.collect()
    }
}

impl<T, C: Codec> IntoFuture for History<T, C>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    type Output = Result<Vec<Logged<T>>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.ask().boxed()
    }
}
