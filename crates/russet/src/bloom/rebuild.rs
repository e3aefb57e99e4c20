//! A new generation beside the live one, and the change from one to the other.
//!
//! The argument that nothing is hidden meanwhile is in `docs/design/bloom.md`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    BloomFilter, Inner,
    config::{CONFIG_AGE, Config, Generation},
    scripts::{self, Begun},
    source::{Batches, ItemSource, Listed, Paged},
};
use crate::{
    cache_key::CacheKey,
    client::Pulse,
    error::{Advice, BoxError, Error, ErrorKind, Result},
    id::Id,
    service::{Rest, Service},
};

/// How long the bits of a generation live that nobody completes.
const BUILDING_TTL: Duration = Duration::from_secs(3_600);
/// How long the bits of a generation live that is live no more, and those of a shard that was lost.
pub(super) const OLD_TTL: Duration = Duration::from_secs(60);
/// How long another process waits for a rebuilder that died. Longer than all waits behind a flip.
const LEASE: Duration = Duration::from_secs(30);
/// How often a rebuilder that has nothing to do looks whether the filter is still there.
const LOOK: Duration = Duration::from_secs(5);

/// What came of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The new filter is live, and was built from so many items.
    Done {
        /// How many the source had, those that came twice counted twice.
        items: u64,
    },
    /// Another process is at it: nothing was done.
    Elsewhere,
}

/// Rebuilds a filter on a schedule, until it is dropped; made by [`BloomFilter::rebuild_every`].
#[must_use = "dropping it ends the rebuilds"]
pub struct Rebuilder {
    service: Service,
}

/// What a round did.
enum Round {
    Rebuilt(Rebuilt),
    /// The live one is due after this time.
    Fresh(Duration),
}

impl BloomFilter {
    /// Builds the filter anew from all items of the source, beside the live one, and takes its place in one step. Only
    /// one process does it at a time.
    ///
    /// It takes the `settle` time, a second, and as long as the source and one round trip for each 1,000 items. What is
    /// inserted meanwhile goes to both. A process that dies in the middle leaves the live filter as it was; what it had built ends within
    /// an hour, and another process may begin after 30 seconds.
    ///
    /// # Errors
    /// `Load` when the source failed; `Refused` when the half-built filter was lost; otherwise as
    /// [`insert`](Self::insert). The live one stays.
    pub async fn rebuild<S: ItemSource>(&self, source: &S) -> Result<Rebuilt> {
        self.inner.rebuild_now(Paged::new(source)).await
    }

    /// As [`rebuild`](Self::rebuild), from items that are at hand.
    ///
    /// # Errors
    /// As [`rebuild`](Self::rebuild).
    pub async fn rebuild_from<K: CacheKey>(
        &self,
        items: impl IntoIterator<Item = K, IntoIter: Send>,
    ) -> Result<Rebuilt> {
        self.inner.rebuild_now(Listed(items.into_iter())).await
    }

    /// Makes an empty filter, for items that are all inserted by this application from now on; nothing when there is one.
    /// Answers whether it made one. It takes as long as a [`rebuild`](Self::rebuild) of nothing.
    ///
    /// # Errors
    /// As [`rebuild`](Self::rebuild).
    pub async fn start_empty(&self) -> Result<bool> {
        let nothing = Listed(std::iter::empty::<u8>());
        let round = self.inner.rebuild_if_older(Duration::MAX, nothing).await?;
        Ok(matches!(round, Round::Rebuilt(Rebuilt::Done { .. })))
    }

    /// Rebuilds the filter from now on whenever the live one is older than this, and soon when it is not there or has lost
    /// a part; an hour is a good choice. Any number of processes may do this: each rebuild is done by one of them.
    ///
    /// # Errors
    /// `Invalid` for a time below a second.
    pub fn rebuild_every<S: ItemSource>(&self, period: Duration, source: S) -> Result<Rebuilder> {
        if period < Duration::from_secs(1) {
            return Err(Error::invalid(format_args!(
                "bloom filter {}: a rebuild every {period:?}; it must be a second or more",
                self.inner.name
            )));
        }
        let (inner, source) = (self.inner.clone(), Arc::new(source));
        let service =
            Service::start_on(self.inner.russet.runtime(), "bloom rebuilder", move |_| {
                let (inner, source) = (inner.clone(), source.clone());
                async move { inner.round(period, &*source).await }
            });
        Ok(Rebuilder { service })
    }
}

impl Rebuilder {
    /// Asks for no further rebuild and waits for the end of the one under way; the deadline is the caller's.
    pub async fn stop(&self) {
        self.service.join().await;
    }
}

impl Inner {
    async fn round<S: ItemSource>(&self, period: Duration, source: &S) -> Result<Rest> {
        let age = if self.is_ready().await? { period } else { Duration::ZERO };
        Ok(Rest::For(match self.rebuild_if_older(age, Paged::new(source)).await? {
            Round::Fresh(left) => left.min(LOOK),
            Round::Rebuilt(_) => period.min(LOOK),
        }))
    }

    async fn rebuild_now(&self, items: impl Batches) -> Result<Rebuilt> {
        match self.rebuild_if_older(Duration::ZERO, items).await? {
            Round::Rebuilt(rebuilt) => Ok(rebuilt),
            // Its clock went back: somebody has just built it.
            Round::Fresh(_) => Ok(Rebuilt::Elsewhere),
        }
    }

    #[tracing::instrument(name = "bloom.rebuild", level = "debug", skip_all, fields(filter = self.name))]
    async fn rebuild_if_older(&self, age: Duration, items: impl Batches) -> Result<Round> {
        let (russet, places, lease) = (&self.russet, &self.places, Id::random()?);
        let id = match scripts::begin(russet, places, lease, LEASE, self.shape, age).await? {
            Begun::Busy => return Ok(Round::Rebuilt(Rebuilt::Elsewhere)),
            Begun::Fresh(left) => return Ok(Round::Fresh(left)),
            Begun::Generation(id) => id,
        };
        let building = Generation { id, shape: self.shape };
        let pulse = Arc::new(Pulse::new(LEASE));
        let renewal = scripts::renewal(places, lease, LEASE);
        let kept = russet.control().keep(LEASE / 3, renewal, &pulse);
        let built = pulse.of(self.build(lease, building, items)).await;
        drop(kept);
        if built.is_err() {
            // Its bits have a time. What fails here is done by the next rebuild, and writers write for nothing until then.
            let _ = scripts::forget(russet, places, lease, "building").await;
        }
        // Otherwise it ends with its time.
        let _ = scripts::release(russet, places, lease).await;
        let items = built?;
        self.metrics.rebuilds.increment(1);
        tracing::info!(filter = %self.name, items, "rebuilt");
        Ok(Round::Rebuilt(Rebuilt::Done { items }))
    }

    async fn build(&self, lease: Id, building: Generation, items: impl Batches) -> Result<u64> {
        let (russet, places) = (&self.russet, &self.places);
        scripts::create(russet, places, building, BUILDING_TTL).await?;
        // Who has not heard of the new generation by then has made its row visible, and the source has it.
        sleep(CONFIG_AGE + self.settle).await;
        // Left by a rebuilder that died behind its flip.
        if let Some(old) = self.config().await?.and_then(|config| config.old) {
            self.retire(lease, old).await?;
        }

        let items = self.fill(building, items).await?;

        if !scripts::complete(russet, places, building).await? {
            return Err(self.lost("a shard was lost while it was built"));
        }
        if !scripts::flip(russet, places, lease, LEASE, building).await? {
            return Err(self.lost("another process has begun to rebuild it"));
        }
        let config = self.config().await?;
        if let Some(config) = &config {
            self.settle_if_needed(config).await;
        }
        // Who has not heard of it yet asks the old one, which is complete as long as it is there: it is written, too.
        sleep(CONFIG_AGE * 2).await;
        if let Some(old) = config.and_then(|config| config.old) {
            self.retire(lease, old).await?;
        }
        self.config().await?;
        Ok(items)
    }

    /// Inserts all items into the generation that is built.
    async fn fill(&self, building: Generation, mut items: impl Batches) -> Result<u64> {
        let (mut count, mut extended) = (0, Instant::now());
        loop {
            let batch = items.next().await.map_err(|cause| self.source_failed(cause))?;
            if batch.is_empty() {
                return Ok(count);
            }
            super::ask::check(&batch)?;
            let calls = self.inserts([building].into_iter(), &batch);
            let bits: Vec<Vec<u8>> = self.russet.run_many(&calls).await?;
            if bits.iter().any(|bits| bits.first() != Some(&1)) {
                // It was made anew just now, without a time.
                scripts::extend(&self.russet, &self.places, building, BUILDING_TTL).await?;
                return Err(self.lost("a shard was lost while it was built"));
            }
            count += batch.len() as u64;
            if extended.elapsed() > BUILDING_TTL / 6 {
                extended = Instant::now();
                scripts::extend(&self.russet, &self.places, building, BUILDING_TTL).await?;
            }
        }
    }

    /// Deletes the bits before writers stop to write them: who still asks them must not find them incomplete. And once
    /// more, for what those have written who did not know.
    async fn retire(&self, lease: Id, old: Generation) -> Result<()> {
        scripts::unlink(&self.russet, &self.places, old).await?;
        scripts::forget(&self.russet, &self.places, lease, "old").await?;
        sleep(CONFIG_AGE).await;
        scripts::unlink(&self.russet, &self.places, old).await
    }

    /// What comes behind a flip, in case that its rebuilder did not live to do it. Whoever fails leaves it to the next one.
    pub(super) async fn settle_if_needed(&self, config: &Config) {
        if let &Config { live: Some(live), old, settled: false, .. } = config {
            let settled = scripts::settle(&self.russet, &self.places, live, old, OLD_TTL).await;
            if let Err(error) = settled {
                tracing::warn!(filter = %self.name, %error, "the live bits still end by themselves");
            }
        }
    }

    /// Whether every shard of the live generation is complete.
    async fn is_ready(&self) -> Result<bool> {
        match self.config().await?.and_then(|config| config.live) {
            Some(live) => {
                let ready = scripts::ready(&self.russet, &self.places, live).await?;
                Ok(ready.into_iter().all(|ready| ready))
            }
            None => Ok(false),
        }
    }

    fn lost(&self, how: &str) -> Error {
        let message = format_args!("bloom filter {}: not rebuilt, {how}", self.name);
        Error::new(ErrorKind::Refused, Advice::RetryAfter(LEASE), message)
    }

    fn source_failed(&self, cause: BoxError) -> Error {
        let message = format_args!("bloom filter {}: the source of its items failed", self.name);
        Error::caused_by(ErrorKind::Load, Advice::GiveUp, message, cause)
    }
}
