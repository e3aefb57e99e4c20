use std::{fmt, future::IntoFuture, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{delivery::TopicDelivery, message_id::Start, record::decoded, scripts, topic::Topic};
use crate::{
    codec::{Codec, Json},
    error::{Error, Result},
    id::Id,
    names::check_name,
};

/// How long a message stays with a subscriber that does not acknowledge it, unless set.
const LEASE: Duration = Duration::from_secs(30);
/// A wait looks for itself this often at the latest, should it not be woken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Subscribers without a message that have not asked for ten leases are gone, within these bounds.
const GONE_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// The most messages of one claim.
const MOST: usize = 1_000;
/// Where a look for messages whose lease has ended begins, and what it says when it is at the end.
const FIRST_CURSOR: &str = "0-0";

/// How a group is joined; made by [`Topic::group`], and joined by `.await`.
#[must_use = "it is joined by .await"]
pub struct GroupOptions<T, C = Json> {
    topic: Topic<T, C>,
    group: String,
    from: Start,
    lease: Duration,
}

/// A subscriber of a group; made by [`Topic::group`]. It has a random name of its own, which no other one ever has.
///
/// Dropping it loses nothing: what it holds comes back when the lease ends. [`leave`](Self::leave) is for an orderly end.
pub struct Group<T, C = Json> {
    topic: Topic<T, C>,
    group: Arc<str>,
    consumer: Arc<str>,
    lease_ms: u64,
    /// When to look again for messages whose lease has ended; at once after one was found.
    reclaim_at: Instant,
    cursor: String,
    gone_after: Duration,
    sweep_at: Instant,
}

/// Messages that were taken, from where the next look goes on, and how many had been dropped unread.
type Claimed = (String, u64, Vec<(String, u64, Vec<Vec<u8>>)>);

impl<T, C> GroupOptions<T, C> {
    pub(super) fn new(topic: Topic<T, C>, group: &str) -> Self {
        Self { topic, group: group.to_owned(), from: Start::default(), lease: LEASE }
    }

    /// From where on a new group reads; changes nothing for one that is there. [`Start::Oldest`] unless set.
    pub fn from(mut self, start: Start) -> Self {
        self.from = start;
        self
    }

    /// How long a message stays with this subscriber before another one of the group may take it over, 10 ms to 1 day.
    /// [`TopicDelivery::extend`] begins it anew. All subscribers of a group should say the same: it is the one that takes over
    /// whose lease counts. 30 seconds unless set.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

impl<T, C: Codec> GroupOptions<T, C>
where
    T: Serialize + DeserializeOwned,
{
    #[tracing::instrument(name = "topic.group", level = "debug", skip_all, fields(topic = self.topic.name()))]
    async fn join(self) -> Result<Group<T, C>> {
        let Self { topic, group, from, lease } = self;
        check_group(&group)?;
        if !(Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&lease) {
            return Err(Error::invalid(format_args!(
                "the lease of a group must be 10 ms to 1 day, not {lease:?}"
            )));
        }
        let consumer = Id::random()?.to_string().into();
        let create = scripts::create(&topic.inner, &group, &from.position());
        topic.inner.russet.run::<u32>(create).await?;
        let now = Instant::now();
        Ok(Group {
            topic,
            group: group.into(),
            consumer,
            lease_ms: lease.as_millis() as u64,
            gone_after: (10 * lease).clamp(GONE_AFTER[0], GONE_AFTER[1]),
            reclaim_at: now,
            cursor: FIRST_CURSOR.to_owned(),
            sweep_at: now + (10 * lease).clamp(GONE_AFTER[0], GONE_AFTER[1]),
        })
    }
}

impl<T, C: Codec> IntoFuture for GroupOptions<T, C>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    type Output = Result<Group<T, C>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.join().boxed()
    }
}

impl<T, C: Codec> Group<T, C>
where
    T: Serialize + DeserializeOwned,
{
    /// The next message of the group; waits for one.
    ///
    /// A message that is there is one round trip. A wait is woken by the one who publishes: it holds no connection, and
    /// sends nothing but a look each 5 seconds (or a quarter of the lease), for what a subscriber that died had in its
    /// hands.
    ///
    /// When the future is dropped while its answer is on its way, that message comes when the lease ends.
    ///
    /// # Errors
    /// As every write, see [`ErrorKind`](crate::ErrorKind): the server is away. Nothing is lost by
    /// calling again; a message whose delivery is `Unknown` comes when the lease ends.
    pub async fn next(&mut self) -> Result<TopicDelivery<T, C>> {
        loop {
            if let Some(delivery) = self.next_batch(1).await?.pop() {
                return Ok(delivery);
            }
        }
    }

    /// Up to so many messages, 1 to 1,000, as soon as there is one: as [`next`](Self::next), for who wants fewer round
    /// trips. All have the lease from now on.
    ///
    /// # Errors
    /// As [`next`](Self::next), and `Invalid` for a number outside of the range.
    #[tracing::instrument(name = "topic.next", level = "debug", skip_all, fields(topic = self.topic.name()))]
    pub async fn next_batch(&mut self, most: usize) -> Result<Vec<TopicDelivery<T, C>>> {
        if !(1..=MOST).contains(&most) {
            return Err(Error::invalid(format_args!(
                "a batch has 1 to {MOST} messages, not {most}"
            )));
        }
        loop {
            let taken = self.claim(most).await?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            if self.reclaim_at > Instant::now() {
                self.wait().await?;
            }
        }
    }

    /// Up to so many messages, 1 to 1,000, that are there; none when there are none. One round trip.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn try_next_batch(&mut self, most: usize) -> Result<Vec<TopicDelivery<T, C>>> {
        if !(1..=MOST).contains(&most) {
            return Err(Error::invalid(format_args!(
                "a batch has 1 to {MOST} messages, not {most}"
            )));
        }
        self.claim(most).await
    }

    /// Leaves the group in order: the subscriber is forgotten, unless it still holds messages. (One that only was dropped
    /// is forgotten by the others, after ten leases without a message in its hands, a minute at most.)
    ///
    /// # Errors
    /// As every write, see [`ErrorKind`](crate::ErrorKind).
    pub async fn leave(self) -> Result<()> {
        let inner = &self.topic.inner;
        inner.russet.run::<u32>(scripts::leave(inner, &self.group, &self.consumer)).await?;
        Ok(())
    }

    async fn claim(&mut self, most: usize) -> Result<Vec<TopicDelivery<T, C>>> {
        self.sweep().await;
        let topic = self.topic.clone();
        let inner = &topic.inner;
        let claimed = loop {
            let reclaim = (self.reclaim_at <= Instant::now())
                .then_some((self.lease_ms, self.cursor.as_str()));
            let looked = reclaim.is_some();
            let call = scripts::claim(inner, &self.group, &self.consumer, most, reclaim);
            let answer: Option<Claimed> = inner.russet.run(call).await?;
            let Some((cursor, missed, claimed)) = answer else {
                // The topic was deleted or ended by its age, perhaps made anew since, or the group was removed: who lives
                // on reads whatever is kept, and so misses nothing.
                let create = scripts::create(inner, &self.group, &Start::Oldest.position());
                inner.russet.run::<u32>(create).await?;
                continue;
            };
            if looked {
                self.looked(cursor, missed);
            }
            break claimed;
        };
        let taken = claimed.into_iter().map(|(id, deliveries, fields)| {
            if deliveries > 1 {
                inner.redelivered.increment(1);
            }
            inner.delivered.increment(1);
            Ok(TopicDelivery {
                topic: inner.clone(),
                group: self.group.clone(),
                consumer: self.consumer.clone(),
                id: scripts::id(&id)?,
                deliveries,
                message: decoded(&inner.codec, topic.name(), &fields),
            })
        });
        taken.collect()
    }

    /// After a look for messages whose lease has ended: goes on at once while there are more.
    fn looked(&mut self, cursor: String, missed: u64) {
        if cursor == FIRST_CURSOR {
            self.reclaim_at = Instant::now() + self.patience();
        }
        self.cursor = cursor;
        if missed > 0 {
            self.topic.inner.missed.increment(missed);
            tracing::warn!(
                topic = self.topic.name(),
                group = %self.group,
                missed,
                "messages were dropped by their age or number before they were acknowledged"
            );
        }
    }

    /// Waits until somebody publishes, or it is time to look.
    async fn wait(&self) -> Result<()> {
        let inner = &self.topic.inner;
        let mut waiter = inner.russet.inbox().waiter(self.patience()).await;
        let ttl_ms = 4 * PATIENCE.as_millis() as u64;
        let address = waiter.address();
        let call = scripts::wait(inner, &self.group, &self.consumer, &address, ttl_ms);
        let waits: u32 = inner.russet.run(call).await?;
        if waits == 1 {
            let _ = waiter.news(self.reclaim_at.saturating_duration_since(Instant::now())).await;
        }
        Ok(())
    }

    /// Forgets subscribers that are gone, now and then. It comes before a claim: what was claimed is not held up.
    async fn sweep(&mut self) {
        if self.sweep_at > Instant::now() {
            return;
        }
        self.sweep_at = Instant::now() + self.gone_after;
        let inner = &self.topic.inner;
        let call = scripts::sweep(inner, &self.group, self.gone_after.as_millis() as u64);
        if let Err(why) = inner.russet.run::<u32>(call).await {
            tracing::debug!(topic = self.topic.name(), %why, "subscribers that are gone stay listed");
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(Duration::from_millis(self.lease_ms / 4))
    }
}

/// Refuses a name that is none.
pub(super) fn check_group(group: &str) -> Result<()> {
    check_name("name of a group", group)
}

impl<T, C> fmt::Debug for Group<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("lease_ms", &self.lease_ms)
            .finish_non_exhaustive()
    }
}
