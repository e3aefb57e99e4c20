//! Messages of channels, on connections that carry nothing else.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{Cmd, RedisError, RedisResult, ServerError, ServerErrorKind, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    address::Address,
    cluster::Cluster,
    connection::open_subscription,
    fault,
    places::{Places, Target},
    replies::Replies,
    settings::Settings,
};
use crate::{
    cluster_slot,
    error::{Error, Result},
};

/// After this long without a message the connection must answer a ping, or is given up: a peer that
/// vanished without a word would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(5);

/// What is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Channels {
    /// The channel of this name.
    One(String),
    /// Every channel whose name is like this pattern, in the server's own form.
    Like(String),
    /// The channel of this name that only the node of its slot knows, apart from the others of that name.
    Sharded(String),
}

/// Where a channel is heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Post(Option<Address>);

/// One message, as it came.
pub(crate) struct Message {
    /// What it was heard for: a message comes once for each subscription that it belongs to.
    pub(crate) heard_for: Channels,
    pub(crate) channel: String,
    pub(crate) payload: Vec<u8>,
}

/// What comes on a connection for messages.
pub(crate) enum News {
    Message(Message),
    /// The server has ended this subscription: another node has the channel's slot now.
    Left(Channels),
}

/// What became of one sharded subscription.
pub(crate) enum Placed {
    Here,
    /// Another node has the slot; it is known which.
    Elsewhere,
    /// Not now, or not at all.
    Refused(Error),
}

/// The way to subscribe. What is published at one node of a Cluster is heard at all, so any of them will do; but not for
/// sharded channels.
pub(crate) struct Subscription {
    settings: Arc<Settings>,
    places: Arc<Places>,
}

/// A connection for the messages of the channels it is subscribed to.
pub(crate) struct Messages {
    server: Address,
    replies: Replies,
    /// News that came while something else was waited for.
    before: VecDeque<News>,
    /// How many pings were sent.
    pings: u64,
    /// When the server has said something, whatever it was.
    heard_at: Instant,
    /// It is asked for a sign of life.
    is_asked: bool,
    answer_within: Duration,
    cluster: Option<Arc<Cluster>>,
    /// Ends when its server is no longer the one to listen to.
    is_left: BoxFuture<'static, ()>,
}

impl Post {
    /// A server that hears everything.
    pub(crate) const ANY: Self = Self(None);
}

impl Subscription {
    pub(super) fn new(settings: Arc<Settings>, places: Arc<Places>) -> Self {
        Self { settings, places }
    }

    /// The slot whose node alone knows a channel; `None` when each server does.
    pub(crate) fn slot(&self, channels: &Channels) -> Option<u16> {
        match (channels, &*self.places) {
            (Channels::Sharded(name), Places::Cluster(_)) => {
                Some(cluster_slot::of(name.as_bytes()))
            }
            _ => None,
        }
    }

    /// Where a channel of this slot is heard; `None` as long as it is not known which node has it.
    pub(crate) fn post(&self, slot: Option<u16>) -> Option<Post> {
        match (slot, &*self.places) {
            (Some(slot), Places::Cluster(cluster)) => {
                cluster.owner(slot).map(|address| Post(Some(address)))
            }
            _ => Some(Post::ANY),
        }
    }

    /// Ends when posts may have changed since the returned future was made.
    pub(crate) fn posts_change(&self) -> BoxFuture<'static, ()> {
        match &*self.places {
            Places::Cluster(cluster) => {
                let mut changes = cluster.changes();
                async move {
                    if changes.changed().await.is_err() {
                        std::future::pending().await
                    }
                }
                .boxed()
            }
            _ => std::future::pending().boxed(),
        }
    }

    /// A channel is not where it should be: looks where the slots are.
    pub(crate) fn look_again(&self) {
        self.places.look_again();
    }

    /// Connects, and is subscribed to nothing yet.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`, as connecting does.
    pub(crate) async fn open(&self, post: &Post) -> Result<Messages> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        let targets = match (post, &*self.places) {
            (Post(Some(address)), Places::Cluster(cluster)) => {
                vec![Target::Member(address.clone(), cluster.clone())]
            }
            _ => self.places.that_hear_all(deadline).await?,
        };
        let mut outcome = Err(Error::internal("there is no server to listen to"));
        for target in targets {
            outcome = self.open_at(&target).await;
            if outcome.is_ok() {
                break;
            }
            self.places.look_again();
        }
        outcome
    }

    async fn open_at(&self, target: &Target) -> Result<Messages> {
        let (replies, place) = open_subscription(&self.settings, target).await?;
        let cluster = match &*self.places {
            Places::Cluster(cluster) => Some(cluster.clone()),
            _ => None,
        };
        Ok(Messages {
            server: place.address.clone(),
            replies,
            before: VecDeque::new(),
            pings: 0,
            heard_at: Instant::now(),
            is_asked: false,
            answer_within: self.settings.connect_timeout,
            cluster,
            is_left: async move { place.is_left().await }.boxed(),
        })
    }
}

impl Messages {
    /// When it returns, nothing published to these names and patterns from now on is missed.
    ///
    /// # Errors
    /// `Unreachable` or `Refused`.
    pub(crate) async fn subscribe(&mut self, channels: &[Channels]) -> Result<()> {
        self.all(channels, ["SUBSCRIBE", "PSUBSCRIBE"]).await
    }

    /// Ends what [`subscribe`](Self::subscribe) and [`subscribe_sharded`](Self::subscribe_sharded) began.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn unsubscribe(&mut self, channels: &[Channels]) -> Result<()> {
        self.all(channels, ["UNSUBSCRIBE", "PUNSUBSCRIBE"]).await?;
        // One by one, since each may lie in another slot. A slot that has moved answers an error, and has ended it too.
        let sharded = channels.iter().filter_map(|channels| match channels {
            Channels::Sharded(name) => Some(command("SUNSUBSCRIBE", &[name.as_str()])),
            _ => None,
        });
        self.answers(sharded.collect()).await?;
        // This end was asked for.
        self.before.retain(|news| !matches!(news, News::Left(left) if channels.contains(left)));
        Ok(())
    }

    /// Subscribes to sharded channels, and tells of each what became of it.
    ///
    /// # Errors
    /// `Unreachable` when the connection is lost.
    pub(crate) async fn subscribe_sharded(&mut self, names: &[&str]) -> Result<Vec<Placed>> {
        let commands = names.iter().map(|name| command("SSUBSCRIBE", &[name])).collect();
        let answers = self.answers(commands).await?;
        Ok(answers.into_iter().map(|answer| self.placed(answer)).collect())
    }

    fn placed(&self, answer: Option<ServerError>) -> Placed {
        let Some(error) = answer else { return Placed::Here };
        let moved = error.kind() == Some(ServerErrorKind::Moved);
        let to = error.details().and_then(|details| Address::redirected(&self.server, details));
        if let (true, Some(cluster), Some((slot, address))) = (moved, &self.cluster, to) {
            cluster.moved(slot, &address);
            return Placed::Elsewhere;
        }
        Placed::Refused(fault::refused("SSUBSCRIBE", &error))
    }

    /// One command for all names and one for all patterns.
    async fn all(&mut self, channels: &[Channels], [name, pattern]: [&str; 2]) -> Result<()> {
        let (mut names, mut patterns) = (Vec::new(), Vec::new());
        for channels in channels {
            match channels {
                Channels::One(name) => names.push(name.as_str()),
                Channels::Like(pattern) => patterns.push(pattern.as_str()),
                Channels::Sharded(_) => {}
            }
        }
        let all = [(name, names), (pattern, patterns)];
        let all = all.into_iter().filter(|(_, channels)| !channels.is_empty());
        let commands = all.map(|(name, channels)| command(name, &channels));
        match self.answers(commands.collect()).await?.into_iter().flatten().next() {
            None => Ok(()),
            Some(refused) => Err(fault::not_connected(&self.server, &refused.into())),
        }
    }

    /// Sends commands that (un)subscribe, and tells which of them were refused, and why.
    async fn answers(&mut self, commands: Vec<Cmd>) -> Result<Vec<Option<ServerError>>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let answers = timeout(self.answer_within, self.answers_to(&commands)).await;
        let answers = answers.unwrap_or_else(|_| Err(no_answer()));
        answers.map_err(|error| fault::not_connected(&self.server, &error))
    }

    /// A ping stands behind each command. So it is known where its answers end, whatever the server says unasked in
    /// between: the end of another subscription reads like an answer.
    async fn answers_to(&mut self, commands: &[Cmd]) -> RedisResult<Vec<Option<ServerError>>> {
        let first = self.pings;
        let pings: Vec<_> = commands.iter().map(|_| self.ping()).collect();
        self.replies.send(commands.iter().zip(&pings).flat_map(|(one, ping)| [one, ping])).await?;
        let (mut refused, mut why) = (Vec::with_capacity(commands.len()), None);
        while refused.len() < commands.len() {
            let reply = self.replies.next().await;
            match self.heard(reply)? {
                Said::News(news) => self.before.push_back(news),
                // The ping would not be answered either.
                Said::Refused(error) if is_deaf(&error) => return Err(error.into()),
                Said::Refused(error) => why = Some(error),
                Said::Pong(number) if number == first + refused.len() as u64 + 1 => {
                    refused.push(why.take());
                }
                Said::Pong(_) | Said::Confirmed => {}
            }
        }
        Ok(refused)
    }

    fn ping(&mut self) -> Cmd {
        self.pings += 1;
        let mut ping = redis::cmd("PING");
        ping.arg(self.pings);
        ping
    }

    /// What comes next; `None` when the connection is lost, and messages may have been missed. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.before.pop_front() {
                return Some(news);
            }
            let patience = if self.is_asked { SILENCE + self.answer_within } else { SILENCE };
            let reply = tokio::select! {
                biased;
                reply = timeout_at(self.heard_at + patience, self.replies.next()) => reply,
                () = &mut self.is_left => return None,
            };
            match reply {
                // All else answers a question that nobody waits for any more.
                Ok(reply) => {
                    if let Said::News(news) = self.heard(reply).ok()? {
                        return Some(news);
                    }
                }
                Err(_) if self.is_asked => return None,
                Err(_) => {
                    self.is_asked = true;
                    let ping = self.ping();
                    timeout(self.answer_within, self.replies.send([&ping])).await.ok()?.ok()?;
                }
            }
        }
    }

    fn heard(&mut self, reply: RedisResult<Value>) -> RedisResult<Said> {
        self.heard_at = Instant::now();
        self.is_asked = false;
        reply.map(said)
    }
}

/// What a reply means.
enum Said {
    News(News),
    Pong(u64),
    Confirmed,
    Refused(ServerError),
}

fn said(reply: Value) -> Said {
    let number = |value: &Value| redis::from_redis_value_ref::<u64>(value).unwrap_or_default();
    let words = match reply {
        Value::ServerError(error) => return Said::Refused(error),
        Value::Array(words) => words,
        // As long as nothing is subscribed to, a ping is answered so.
        other => return Said::Pong(number(&other)),
    };
    let mut words = words.into_iter();
    let mut word = || match words.next() {
        Some(Value::BulkString(word)) => word,
        _ => Vec::new(),
    };
    let kind = word();
    let mut name = || String::from_utf8(word()).unwrap_or_default();
    let (heard_for, channel) = match kind.as_slice() {
        b"message" => {
            let name = name();
            (Channels::One(name.clone()), name)
        }
        b"smessage" => {
            let name = name();
            (Channels::Sharded(name.clone()), name)
        }
        b"pmessage" => (Channels::Like(name()), name()),
        b"sunsubscribe" => return Said::News(News::Left(Channels::Sharded(name()))),
        b"pong" => return Said::Pong(name().parse().unwrap_or_default()),
        _ => return Said::Confirmed,
    };
    Said::News(News::Message(Message { heard_for, channel, payload: word() }))
}

/// Whether the server takes no ping at the moment.
fn is_deaf(error: &ServerError) -> bool {
    matches!(error.code(), "LOADING" | "MASTERDOWN" | "BUSY")
}

fn command(name: &str, channels: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(channels);
    command
}

fn no_answer() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
