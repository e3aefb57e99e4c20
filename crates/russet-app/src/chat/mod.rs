//! Chat rooms: what was said is kept in a [`Topic`], and who is there hears it by [`PubSub`], in whatever process.
//!
//! A message is kept first and told then. Who subscribes and reads the history afterwards misses nothing; who is told of a gap
//! reads it again. A message may come twice that way: its id tells.

mod pace;
mod presence;
mod seats;
mod words;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use russet::{Limit, MessageId, PubSub, RateLimiter, Russet, Subscription, Topic};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

pub use pace::Pace;
pub use presence::Member;
pub(crate) use presence::News;
pub use seats::Place;
pub use words::{Name, Room, Speaker, Text};

use presence::Presence;
use seats::Seats;

/// How many messages a room keeps, and for how long.
const KEEP: u64 = 1_000;
const KEEP_FOR: Duration = Duration::from_secs(30 * 86_400);
/// How much one account, or one address, says in all its conversations: so much at once, and so much in a minute.
const AT_ONCE: u64 = 60;
const A_MINUTE: u64 = 300;
/// What is kept for one who reads slowly, before it is told to read the history again.
const BUFFER: usize = 256;
const BUFFER_BYTES: usize = 1 << 20;
/// How long the end waits for conversations to be closed.
const CLOSE: Duration = Duration::from_secs(5);

/// The rooms. A cheap clone.
#[derive(Debug, Clone)]
pub struct Chat {
    russet: Russet,
    live: PubSub,
    presence: Presence,
    limit: RateLimiter,
    seats: Arc<Seats>,
    closing: CancellationToken,
    conversations: TaskTracker,
}

/// A message as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    #[serde(default)]
    signed_in: bool,
    text: String,
}

/// A message of a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Later messages have later ids; those of one millisecond are told apart behind the `-`.
    #[schema(example = "1795654586789-0")]
    pub id: String,
    /// When it was said: seconds since 1970 UTC, by the clock of the Redis server.
    pub at: f64,
    /// Who said it.
    pub name: String,
    /// Whether that is the name of an account, whose owner was signed in. Otherwise it is what somebody said of itself.
    #[serde(default)]
    pub signed_in: bool,
    /// What was said.
    pub text: String,
}

impl Message {
    fn new(id: MessageId, Kept { name, signed_in, text }: Kept) -> Self {
        let at = id.time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { id: id.to_string(), at, name, signed_in, text }
    }
}

impl Chat {
    pub(crate) fn new(russet: &Russet) -> russet::Result<Self> {
        let live = PubSub::builder(russet).buffer(BUFFER).buffer_bytes(BUFFER_BYTES).build()?;
        Ok(Self {
            russet: russet.clone(),
            presence: Presence::new(live.clone()),
            limit: RateLimiter::builder(russet, "chat")
                .limit(Limit::gcra(A_MINUTE, Duration::from_secs(60)).burst(AT_ONCE))
                .build()?,
            seats: Arc::default(),
            live,
            closing: CancellationToken::new(),
            conversations: TaskTracker::new(),
        })
    }

    /// A place for one more conversation of an account or an address; none when there are too many, of all or of this one.
    #[must_use]
    pub fn place(&self, whose: &str) -> Option<Place> {
        self.seats.take(whose)
    }

    /// Comes into a room: the others see it.
    #[must_use]
    pub fn enter(&self, room: &Room, speaker: Speaker) -> Member {
        self.presence.enter(room, speaker)
    }

    /// Counts a message of an account or an address, in whatever conversation of whatever process; answers how long to wait when
    /// it is one too many. One round trip.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn may_say(&self, whose: &str) -> russet::Result<Result<(), Duration>> {
        let allowance = self.limit.check(whose).await?;
        Ok(if allowance.is_allowed { Ok(()) } else { Err(allowance.retry_after) })
    }

    /// Says something in a room: it is kept, and told to everybody who is there. Two round trips.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn say(&self, room: &Room, speaker: &Speaker, text: Text) -> russet::Result<Message> {
        let Speaker { name, signed_in } = speaker;
        let kept = Kept { name: name.to_string(), signed_in: *signed_in, text: text.into() };
        let published = self.topic(room)?.publish(&kept).await?;
        let message = Message::new(published.id, kept);
        if let Err(error) = self.live.publish(&channel(room), &message).await {
            // It is kept all the same: who is there learns of it when the connection is back, by the gap.
            tracing::warn!(%error, "a message of the chat was kept and not told");
        }
        Ok(message)
    }

    /// What is said in a room from now on.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn listen(&self, room: &Room) -> russet::Result<Subscription<Message>> {
        self.live.subscribe(&channel(room)).await
    }

    /// The newest messages, before the one with this id if there is one, the oldest of them first.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn history(
        &self,
        room: &Room,
        limit: usize,
        before: Option<MessageId>,
    ) -> russet::Result<Vec<Message>> {
        let mut history = self.topic(room)?.history(limit);
        if let Some(id) = before {
            history = history.before(id);
        }
        let newest = history.await?.into_iter().rev();
        // What another version wrote, and this one cannot read, is left out.
        Ok(newest.filter_map(|one| Some(Message::new(one.id, one.into_message().ok()?))).collect())
    }

    /// Runs a conversation until it ends by itself; [`close`](Self::close) waits for it.
    pub(crate) fn converse(&self, conversation: impl Future<Output = ()> + Send + 'static) {
        self.conversations.spawn(conversation);
    }

    /// Ends when conversations are to be closed.
    pub(crate) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Asks all conversations to end, and waits for that, not for long.
    pub async fn close(&self) {
        self.closing.cancel();
        self.conversations.close();
        let ended = async {
            self.conversations.wait().await;
            self.presence.close().await;
        };
        if tokio::time::timeout(CLOSE, ended).await.is_err() {
            tracing::warn!(left = self.conversations.len(), "conversations were cut");
        }
    }

    fn topic(&self, room: &Room) -> russet::Result<Topic<Kept>> {
        Topic::builder(&self.russet, &channel(room))
            .keep_at_most(KEEP)
            .keep_for(KEEP_FOR)
            .metrics_label("chat")
            .build()
    }
}

/// The name of a room's topic and of its channel.
fn channel(room: &Room) -> String {
    format!("chat.{room}")
}
