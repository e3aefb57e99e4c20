//! The cache's only door to Redis: its commands and Lua scripts.

use std::{sync::Arc, time::Duration};

use crate::{
    client::{Call, Russet},
    error::{Error, Result},
    id::Id,
    keys::{Part, Slot, cache as keys},
    script::{Script, script},
};

use super::{behind::scripts as behind, entry::Entry, lease::Asked, ttl::Life};

static FILL: Script = script!("cache/fill", include "now_ms", include "stamp", include "wake");
static REFRESH: Script = script!("cache/refresh", include "now_ms");
static REFILL: Script = script!("cache/refill", include "now_ms", include "stamp", include "wake");
static RELEASE: Script = script!("cache/release", include "wake", flags "allow-oom");
static RENEW: Script = script!("cache/renew", flags "allow-oom");
static WAIT: Script = script!("cache/wait");
static PUT: Script = script!("cache/put", include "now_ms", include "stamp", include "wake");
static INVALIDATE: Script = script!("cache/invalidate", include "wake", flags "allow-oom");

/// An entry up to this size goes to the waiters with the news; they read a larger one themselves.
const LARGEST_NEWS: usize = 4 * 1024;

/// Where the entry of a key stands.
#[derive(Clone)]
pub(super) struct Place {
    slot: Slot,
    key: String,
    entry: Part,
    /// Writes of this key may be queued.
    behind: bool,
    /// The channel of the cache.
    changes: Arc<str>,
}

/// The right to fill an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseId {
    id: Id,
    pub(super) on: On,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// In the place of the entry, which is not there.
    Entry,
    /// Beside the entry, which is still served.
    Refresh,
}

/// What came of asking for the lease.
pub(super) enum Acquired {
    Lease(LeaseId),
    Taken(Entry),
}

/// What came of asking for the lease of a refresh.
pub(super) enum Refresh {
    Ours(LeaseId),
    /// Somebody else loads it.
    Taken,
    /// It was loaded meanwhile.
    Fresh,
    /// There is nothing to refresh.
    Absent,
}

/// What stands where a caller wants to wait.
pub(super) enum Waiting {
    /// A lease that ends after this time unless it is renewed; the caller is on the list.
    Leased(Duration),
    Entry(Entry),
    Absent,
}

impl Place {
    pub(super) fn new(slot: Slot, key: String, changes: Arc<str>) -> Self {
        let entry = keys::entry(&key);
        Self { slot, key, entry, changes, behind: false }
    }

    /// The place of a key whose writes are queued.
    pub(super) fn behind(mut self, behind: bool) -> Self {
        self.behind = behind;
        self
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(super) fn entry(&self) -> &Part {
        &self.entry
    }

    /// The channel of the cache.
    pub(super) fn changes(&self) -> &str {
        &self.changes
    }

    /// The text of the key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn waiters(&self) -> Part {
        keys::waiters(&self.key)
    }

    pub(super) fn refresh(&self) -> Part {
        keys::refresh(&self.key)
    }

    /// The key of a lease.
    fn on(&self, on: On) -> Part {
        match on {
            On::Entry => self.entry.clone(),
            On::Refresh => self.refresh(),
        }
    }

    /// A script that changes the entry whatever stands there.
    fn change(&self, script: &'static Script) -> Call {
        Call::script(script, &self.slot, &[&self.entry, &self.waiters(), &self.refresh()])
    }

    /// A script on a lease and who waits for it.
    fn lease(&self, script: &'static Script, on: On) -> Call {
        Call::script(script, &self.slot, &[&self.on(on), &self.waiters()])
    }

    pub(super) fn get(&self) -> Call {
        Call::read("GET", &self.slot).key(&self.entry)
    }

    /// Stores a value unless the guard of a strict write stands there; answers whether it did. Not sent twice: an
    /// invalidation may have come in between.
    pub(super) fn put(&self, payload: &[u8], life: Life) -> Call {
        let entry = Entry::write(Some(payload));
        let along = goes_along(&entry);
        let call = self.change(&PUT).arg(entry).arg(millis(life.kept)).arg(fresh(life)).arg(along);
        self.tell(call)
    }

    /// Drops the value, the null or the lease.
    pub(super) fn invalidate(&self) -> Call {
        let parts = [&self.entry, &self.waiters(), &self.refresh(), &keys::ticket(&self.key)];
        self.tell(Call::script(&INVALIDATE, &self.slot, &parts)).idempotent()
    }

    fn set_lease(&self, lease: LeaseId, time: Duration) -> Call {
        if self.behind {
            return behind::acquire(self, lease.entry(), time);
        }
        let call = Call::write("SET", &self.slot).key(&self.entry).arg(lease.entry());
        // Sent twice, the second answer shows the lease of the first.
        call.arg("NX").arg("GET").arg("PX").arg(millis(time)).idempotent()
    }

    fn fill(&self, lease: LeaseId, payload: Option<&[u8]>, life: Life) -> Call {
        let entry = Entry::write(payload);
        let along = goes_along(&entry);
        let call = match lease.on {
            On::Entry => self.lease(&FILL, On::Entry),
            On::Refresh => self.change(&REFILL),
        };
        let call = call.arg(lease.entry()).arg(entry);
        let call = call.arg(millis(life.kept)).arg(fresh(life)).arg(along);
        let call = match lease.on {
            On::Entry => call,
            On::Refresh => self.tell(call),
        };
        call.idempotent()
    }

    /// Adds what the processes are told of the change.
    pub(super) fn tell(&self, call: Call) -> Call {
        call.arg(&*self.changes).arg(&self.key)
    }
}

impl LeaseId {
    fn new(on: On) -> Result<Self> {
        Ok(Self { id: Id::random()?, on })
    }

    fn entry(self) -> Vec<u8> {
        Entry::lease(self.id)
    }
}

/// What a hit costs: one `GET`.
pub(super) async fn read(russet: &Russet, place: &Place) -> Result<Option<Entry>> {
    let bytes: Option<Vec<u8>> = russet.run(place.get()).await?;
    Ok(bytes.map(Entry::read))
}

pub(super) async fn read_many(russet: &Russet, places: &[Place]) -> Result<Vec<Option<Entry>>> {
    if places.iter().any(Place::is_behind) {
        return behind::read_many(russet, places).await;
    }
    let calls: Vec<_> = places.iter().map(Place::get).collect();
    let entries: Vec<Option<Vec<u8>>> = russet.run_many(&calls).await?;
    Ok(entries.into_iter().map(|bytes| bytes.map(Entry::read)).collect())
}

/// Takes the lease where nothing stands.
pub(super) async fn acquire(russet: &Russet, place: &Place, time: Duration) -> Result<Acquired> {
    let lease = LeaseId::new(On::Entry)?;
    let mut asked = Asked::for_lease(russet, place, lease, time);
    let there = russet.run(place.set_lease(lease, time)).await?;
    asked.answered();
    Ok(Acquired::from(lease, there))
}

pub(super) async fn acquire_many(
    russet: &Russet,
    places: &[&Place],
    time: Duration,
) -> Result<Vec<Acquired>> {
    let leases = places.iter().map(|_| LeaseId::new(On::Entry)).collect::<Result<Vec<_>>>()?;
    let calls: Vec<_> =
        places.iter().zip(&leases).map(|(place, lease)| place.set_lease(*lease, time)).collect();
    let asked = places.iter().zip(&leases);
    let mut asked: Vec<_> =
        asked.map(|(place, lease)| Asked::for_lease(russet, place, *lease, time)).collect();
    let there: Vec<Option<Vec<u8>>> = russet.run_many(&calls).await?;
    asked.iter_mut().for_each(Asked::answered);
    Ok(leases.into_iter().zip(there).map(|(lease, there)| Acquired::from(lease, there)).collect())
}

impl Acquired {
    fn from(lease: LeaseId, there: Option<Vec<u8>>) -> Self {
        match there {
            None => Self::Lease(lease),
            Some(bytes) if bytes == lease.entry() => Self::Lease(lease),
            Some(bytes) => Self::Taken(Entry::read(bytes)),
        }
    }
}

/// Takes the lease for loading an entry anew, when it ends within this time.
pub(super) async fn refresh(
    russet: &Russet,
    place: &Place,
    ahead: Duration,
    time: Duration,
) -> Result<Refresh> {
    let lease = LeaseId::new(On::Refresh)?;
    let mut asked = Asked::for_lease(russet, place, lease, time);
    let call = Call::script(&REFRESH, &place.slot, &[&place.entry, &place.refresh()]);
    let call = call.arg(lease.entry()).arg(millis(time)).arg(millis(ahead)).idempotent();
    let (answer,): (String,) = russet.run(call).await?;
    asked.answered();
    match answer.as_str() {
        "ours" => Ok(Refresh::Ours(lease)),
        "taken" => Ok(Refresh::Taken),
        "fresh" => Ok(Refresh::Fresh),
        _ => Ok(Refresh::Absent),
    }
}

/// What is to stand at a place, if the lease is current, for how long; `None` is a null.
pub(super) type Filling<'a> = (&'a Place, LeaseId, Option<&'a [u8]>, Life);

/// Stores what was loaded; false where the lease was lost or revoked.
pub(super) async fn fill(russet: &Russet, fillings: &[Filling<'_>]) -> Result<Vec<bool>> {
    let calls: Vec<_> = fillings
        .iter()
        .map(|(place, lease, payload, life)| place.fill(*lease, *payload, *life))
        .collect();
    russet.run_many(&calls).await
}

/// Gives the lease back; whoever waits can load.
pub(super) async fn release(russet: &Russet, place: &Place, lease: LeaseId) -> Result<()> {
    let call = place.lease(&RELEASE, lease.on).arg(lease.entry()).idempotent();
    russet.run::<i64>(call).await?;
    Ok(())
}

/// Keeps the lease for another term; answers whether it was current.
pub(super) fn renewal(place: &Place, lease: LeaseId, time: Duration) -> Call {
    let call = Call::script(&RENEW, &place.slot, &[&place.on(lease.on)]);
    call.arg(lease.entry()).arg(millis(time)).idempotent()
}

/// Puts the caller on the list of those who wait for the fill.
pub(super) async fn wait(
    russet: &Russet,
    place: &Place,
    on: On,
    waiter: &str,
    lease: Duration,
) -> Result<Waiting> {
    let call = place.lease(&WAIT, on).arg(waiter).arg(millis(lease)).idempotent();
    let mut answer: Vec<Vec<u8>> = russet.run(call).await?;
    let detail = answer.pop().unwrap_or_default();
    match answer.pop().as_deref() {
        None => Ok(Waiting::Absent),
        Some(b"entry") => Ok(Waiting::Entry(Entry::read(detail))),
        Some(_) => {
            let left = std::str::from_utf8(&detail).ok().and_then(|text| text.parse().ok());
            let left = left.ok_or_else(|| Error::internal("cache/wait answered no time"))?;
            Ok(Waiting::Leased(Duration::from_millis(left)))
        }
    }
}

pub(super) async fn invalidate(russet: &Russet, place: &Place) -> Result<()> {
    russet.run::<i64>(place.invalidate()).await?;
    Ok(())
}

/// Whether waiters get the entry with the news.
pub(super) fn goes_along(entry: &[u8]) -> u8 {
    u8::from(entry.len() <= LARGEST_NEWS)
}

pub(super) fn fresh(life: Life) -> u64 {
    life.fresh.map_or(0, millis)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A fill as the model makes it.
#[cfg(test)]
pub(super) fn fill_of(place: &Place, lease: Id, entry: Vec<u8>, ttl: Duration) -> Call {
    let call = place.lease(&FILL, On::Entry).arg(Entry::lease(lease)).arg(entry);
    call.arg(millis(ttl)).arg(0).arg(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::entry::Stored, keys::Namespace, testing::TestServer};

    /// Read old, invalidate, store late: what stands there afterwards?
    async fn after_a_late_fill(fill: &'static Script) -> Option<Entry> {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let slot = Slot::partition(&Namespace::new("test").unwrap(), "cache", "users", 0).unwrap();
        let place = Place::new(slot, "1".into(), "changes".into());
        let term = Duration::from_secs(60);
        let Acquired::Lease(lease) = acquire(&russet, &place, term).await.unwrap() else {
            panic!("nothing stands there")
        };
        invalidate(&russet, &place).await.unwrap();
        let late = place.lease(fill, On::Entry).arg(lease.entry()).arg(Entry::write(Some(b"old")));
        russet.run::<bool>(late.arg(60_000).arg(0).arg(0)).await.unwrap();
        read(&russet, &place).await.unwrap()
    }

    #[tokio::test]
    async fn a_fill_whose_lease_was_revoked_stores_nothing() {
        assert_eq!(after_a_late_fill(&FILL).await, None);
    }

    #[tokio::test]
    async fn without_its_lease_check_the_fill_would_store_an_old_value() {
        let check = FILL.source.lines().find(|line| line.contains("~= ARGV[1]")).unwrap();
        let without = FILL.source.replace(check, "");
        let mutant = Script::new("mutant", without.leak(), "");
        let old = Some(bytes::Bytes::from_static(b"old"));
        let stale = Some(Entry::Stored(Stored { payload: old, fresh_until: None }));
        assert_eq!(after_a_late_fill(Box::leak(Box::new(mutant))).await, stale);
    }
}
