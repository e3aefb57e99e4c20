//! The putting side: a write is queued, or waits for room.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OnceCell, oneshot},
    time::Instant,
};

use super::{Behind, Places, marks::Marks, scripts};
use crate::{
    cache::{
        partition_of,
        scripts::Place,
        stats::Counting,
        writes::{Backlog, BehindSettings, CachedCopy, Change, Flow, Written},
    },
    client::{Call, Reached, Russet},
    error::{Advice, Error, ErrorKind, Result},
    keys::Slot,
};

/// What the callers and the flusher of a process share.
pub(super) struct Queue {
    pub(super) russet: Russet,
    name: String,
    places: Places,
    pub(super) settings: BehindSettings,
    pub(super) counting: Arc<Counting>,
    pub(super) flow: Arc<dyn Flow>,
    pub(super) marks: Marks,
    /// Set once the server is known to keep what is queued.
    admitted: OnceCell<()>,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    waiting: VecDeque<(Vec<u64>, oneshot::Sender<()>)>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(
        russet: &Russet,
        name: &str,
        places: Places,
        settings: BehindSettings,
        counting: Arc<Counting>,
        flow: Arc<dyn Flow>,
        marks: Marks,
    ) -> Self {
        let (russet, name) = (russet.clone(), name.to_owned());
        let (admitted, requests) = (OnceCell::new(), Mutex::default());
        Self { russet, name, places, settings, counting, flow, marks, admitted, requests }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn slot(&self, partition: u32) -> &Slot {
        &self.places.slots[partition as usize]
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.places.slots.len() as u32
    }

    pub(super) fn place(&self, key: String) -> Place {
        Place::new(self.slot(partition_of(&key)).clone(), key, self.places.changes.clone())
            .behind(true)
    }

    /// One read of each partition, in one round trip.
    pub(super) async fn of_each<T: crate::client::FromReply>(
        &self,
        call: fn(&Slot) -> Call,
    ) -> Result<Vec<T>> {
        self.russet.run_many(&self.places.slots.iter().map(call).collect::<Vec<_>>()).await
    }

    /// The last order number of each partition.
    pub(super) async fn last_sequences(&self) -> Result<Vec<u64>> {
        let last: Vec<Option<u64>> = self.of_each(scripts::last_sequence).await?;
        Ok(last.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Asks the flusher to say when everything up to these numbers is in the store.
    pub(super) fn request(&self, targets: Vec<u64>, done: oneshot::Sender<()>) {
        let mut requests = self.requests();
        if !requests.closed {
            requests.waiting.push_back((targets, done));
        }
    }

    pub(super) fn next_request(&self) -> Option<(Vec<u64>, oneshot::Sender<()>)> {
        self.requests().waiting.pop_front()
    }

    /// Nobody serves them any more.
    pub(super) fn reject_requests(&self) {
        let mut requests = self.requests();
        requests.closed = true;
        requests.waiting.clear();
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a partition may hold.
    fn most(&self) -> usize {
        self.settings.backlog.div_ceil(self.places.slots.len())
    }

    /// Refuses a server that throws away what it was given when its memory is full.
    async fn admit(&self) -> Result<()> {
        let look = || async {
            match self.russet.health().await {
                Ok(health) if health.eviction_policy.starts_with("allkeys") => {
                    let message = format_args!(
                        "cache {}: write_policy Behind needs maxmemory-policy noeviction, and the server has {}: \
                         it would throw away writes that are not yet in the store",
                        self.name, health.eviction_policy
                    );
                    Err(Error::new(ErrorKind::Refused, Advice::GiveUp, message))
                }
                Ok(_) => Ok(()),
                // The user may not ask; `doctor` says more.
                Err(error)
                    if error.kind() == ErrorKind::Refused && error.advice() == Advice::GiveUp =>
                {
                    tracing::warn!(cache = %self.name, "the server does not tell whether it evicts queued writes");
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        self.admitted.get_or_try_init(look).await.copied()
    }

    fn full(&self) -> Error {
        let message = format_args!(
            "cache {}: {} keys of one partition have queued writes, all that the backlog allows",
            self.name,
            self.most()
        );
        let later = self.settings.linger.max(Duration::from_millis(100));
        Error::new(ErrorKind::Refused, Advice::RetryAfter(later), message)
    }
}

/// What came of a try to queue a write.
enum Try {
    Queued(Reached),
    Full,
}

impl Behind {
    /// Queues the changes, each key's once.
    pub(in crate::cache) async fn queue<K: ?Sized, V>(
        &self,
        changes: &[Change<'_, K, V>],
    ) -> Result<Vec<Written>> {
        let queue = &self.queue;
        for change in changes {
            if !queue.flow.reads_back(change.place.key()) {
                return Err(Error::invalid(format_args!(
                    "cache {}: write_policy Behind and a key that cannot be read back from its text; \
                     implement CacheKey::from_cache_key",
                    queue.name
                )));
            }
        }
        queue.admit().await?;
        let put = |change: &Change<'_, K, V>| {
            scripts::put(&change.place, change.payload.as_deref(), change.life.kept, queue.most())
        };
        let tried = queue.russet.run_many_durable(changes.iter().map(put).collect()).await;
        for change in changes {
            self.mark(&change.place);
        }
        let mut written = Vec::with_capacity(changes.len());
        let deadline = match queue.settings.when_full {
            Backlog::Wait(patience) => Instant::now() + patience,
            Backlog::Error => Instant::now(),
        };
        for (tried, change) in tried?.into_iter().zip(changes) {
            let reached = match Try::from(tried) {
                Try::Queued(reached) => reached,
                Try::Full => self.wait_for_room(change, &put, deadline).await?,
            };
            queue.counting.queued(1);
            written.push(Written { copy: CachedCopy::Stored, reached: Some(reached) });
        }
        Ok(written)
    }

    /// Tries again whenever something was flushed, until the deadline.
    async fn wait_for_room<K: ?Sized, V>(
        &self,
        change: &Change<'_, K, V>,
        put: &impl Fn(&Change<'_, K, V>) -> Call,
        deadline: Instant,
    ) -> Result<Reached> {
        let queue = &self.queue;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(queue.full());
            }
            // Registered before the script records it: the other order could lose the wake-up.
            let mut waiter = queue.russet.inbox().waiter(left).await;
            let slot = change.place.slot();
            let wait = scripts::wait(slot, &waiter.address(), queue.most(), left);
            if queue.russet.run::<bool>(wait).await? {
                waiter.news(left).await;
            }
            let tried = queue.russet.run_durable(put(change)).await?;
            if let Try::Queued(reached) = Try::from(tried) {
                self.mark(&change.place);
                return Ok(reached);
            }
        }
    }

    /// Tells the flusher of this process, also when the answer was lost: it looks for itself.
    pub(super) fn mark(&self, place: &Place) {
        let due = Instant::now() + self.queue.settings.linger;
        if self.queue.marks.add(partition_of(place.key()), due, true) {
            self.service.wake();
        }
    }
}

impl From<((String, String), Reached)> for Try {
    fn from(((verdict, _), reached): ((String, String), Reached)) -> Self {
        if verdict == "queued" { Self::Queued(reached) } else { Self::Full }
    }
}
