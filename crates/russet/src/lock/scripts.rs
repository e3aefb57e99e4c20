//! The only file that names the Lua of locks.

use std::time::Duration;

use crate::{
    client::{Call, Russet},
    error::Result,
    id::Id,
    keys::{Part, Slot, lock as keys},
    script::{Script, script},
};

static ACQUIRE: Script = script!("lock/acquire", include "now_us", include "lock", include "lock_write", include "lock_hand");
static RELEASE: Script = script!("lock/release", include "now_us", include "lock", include "lock_write", include "lock_hand", flags "allow-oom");
static EXTEND: Script = script!("lock/extend", include "now_ms", include "lock", include "lock_write", flags "allow-oom");
static ENTER: Script =
    script!("lock/enter", include "now_ms", include "lock", include "lock_write");
static STATUS: Script = script!("lock/status", include "now_ms", include "lock", flags "no-writes");
static FORCE: Script = script!("lock/force", include "now_us", include "lock", include "lock_write", include "lock_hand", flags "allow-oom");
static VOTE_END: Script = script!("lock/vote_end", flags "allow-oom");
static VOTE_EXTEND: Script = script!("lock/vote_extend", flags "allow-oom");

/// How long a lock that was handed over is kept for who does not say that it is there.
pub(super) const GRANT: Duration = Duration::from_secs(2);
/// How long a place in line counts without a renewal; shorter where the lease is.
const PLACE: Duration = Duration::from_secs(30);
/// How deep a lock can be entered.
pub(super) const MOST_ENTRIES: usize = 255;

/// Where a lock is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    slot: Slot,
    record: Part,
    waiters: Part,
    places: Part,
    /// Whether the server's count of who heard a message is the whole truth: on a Cluster it is not.
    receivers_count: bool,
}

impl Place {
    pub(super) fn new(slot: Slot, receivers_count: bool) -> Self {
        let (record, waiters, places) = (keys::record(), keys::waiters(), keys::places());
        Self { slot, record, waiters, places, receivers_count }
    }

    /// The key of its record, which no other lock has.
    pub(super) fn key(&self) -> String {
        self.slot.key(&self.record)
    }

    /// `lock:<name>`, for errors and spans.
    pub(super) fn object(&self) -> &str {
        self.slot.object()
    }

    fn call(&self, script: &'static Script) -> Call {
        Call::script(script, &self.slot, &[&self.record, &self.waiters, &self.places])
    }

    fn counts(&self) -> u8 {
        u8::from(self.receivers_count)
    }
}

/// How long the place of a waiter with this lease counts.
pub(super) fn place_time(lease: Duration) -> Duration {
    lease.min(PLACE)
}

/// What came of asking for a lock.
pub(super) enum Acquired {
    Ours { fence: u64 },
    Taken { left: Duration },
}

/// Asks for the lock; with the address of a waiter, for a place in line too. Asked twice by one owner it is the same.
pub(super) async fn acquire(
    russet: &Russet,
    place: &Place,
    owner: Id,
    entry: Option<Id>,
    lease: Duration,
    waiter: Option<String>,
) -> Result<Acquired> {
    let call = place.call(&ACQUIRE).arg(owner.to_string()).arg(millis(lease)).arg(text(entry));
    let call = call.arg(waiter.unwrap_or_default()).arg(millis(place_time(lease)));
    let call = call.arg(millis(lease.min(GRANT))).arg(place.counts()).idempotent();
    let (ours, number): (u8, u64) = russet.run(call).await?;
    Ok(match ours {
        1 => Acquired::Ours { fence: number },
        _ => Acquired::Taken { left: Duration::from_millis(number) },
    })
}

/// What came of a release.
pub(super) struct Freed {
    pub(super) was_ours: bool,
    pub(super) was_handed_over: bool,
}

/// Gives the lock back, or one entry of it, or the place in line.
pub(super) async fn release(
    russet: &Russet,
    place: &Place,
    owner: Id,
    entry: Option<Id>,
) -> Result<Freed> {
    let call = place.call(&RELEASE).arg(owner.to_string()).arg(text(entry)).arg(place.counts());
    let (ours, handed): (u8, u8) = russet.run(call).await?;
    Ok(Freed { was_ours: ours == 1, was_handed_over: handed == 1 })
}

/// Sets the remaining time; whether the lock was still this owner's.
pub(super) async fn extend(
    russet: &Russet,
    place: &Place,
    owner: Id,
    time: Duration,
) -> Result<bool> {
    russet.run(extending(place, owner, time, false)).await
}

/// The call of the watchdog, which never makes the time shorter.
pub(super) fn renewal(place: &Place, owner: Id, lease: Duration) -> Call {
    extending(place, owner, lease, true)
}

fn extending(place: &Place, owner: Id, time: Duration, only_longer: bool) -> Call {
    let call = Call::script(&EXTEND, &place.slot, &[&place.record]);
    call.arg(owner.to_string()).arg(millis(time)).arg(u8::from(only_longer)).idempotent()
}

/// What came of entering once more.
pub(super) enum Entered {
    Again { fence: u64 },
    NotHeld,
    TooDeep,
}

/// Enters a lock that this owner holds.
pub(super) async fn enter(
    russet: &Russet,
    place: &Place,
    owner: Id,
    entry: Id,
    lease: Duration,
) -> Result<Entered> {
    let call = Call::script(&ENTER, &place.slot, &[&place.record]).arg(owner.to_string());
    let call = call.arg(entry.to_string()).arg(millis(lease)).arg(MOST_ENTRIES).idempotent();
    let (entered, fence): (u8, u64) = russet.run(call).await?;
    Ok(match entered {
        1 => Entered::Again { fence },
        2 => Entered::TooDeep,
        _ => Entered::NotHeld,
    })
}

/// Held, last fence, held since, milliseconds left, how many wait, how often it was entered.
pub(super) type Told = (u8, u64, i64, u64, u64, u64);

pub(super) async fn status(russet: &Russet, place: &Place) -> Result<Told> {
    russet.run(Call::script(&STATUS, &place.slot, &[&place.record, &place.waiters])).await
}

/// Takes the lock from the holder with this fence.
pub(super) async fn force(russet: &Russet, place: &Place, fence: u64) -> Result<bool> {
    russet.run(place.call(&FORCE).arg(fence).arg(place.counts())).await
}

/// Where the vote of a server of a Redlock is.
#[derive(Clone, Debug)]
pub(super) struct VotePlace {
    slot: Slot,
    vote: Part,
}

impl VotePlace {
    pub(super) fn new(slot: Slot) -> Self {
        Self { slot, vote: keys::vote() }
    }

    /// `redlock:<name>`, for errors and spans.
    pub(super) fn object(&self) -> &str {
        self.slot.object()
    }
}

/// Asks a server for its vote; asked twice by one owner it is the same. Answers whose vote stood there before.
pub(super) fn vote(place: &VotePlace, owner: Id, lease: Duration) -> Call {
    let call = Call::write("SET", &place.slot).key(&place.vote).arg(owner.to_string());
    call.arg("NX").arg("GET").arg("PX").arg(millis(lease)).idempotent()
}

/// Takes a vote back, and answers whether it was this owner's.
pub(super) fn vote_end(place: &VotePlace, owner: Id) -> Call {
    Call::script(&VOTE_END, &place.slot, &[&place.vote]).arg(owner.to_string())
}

/// Sets the remaining time of a vote; `only_longer` for the watchdog.
pub(super) fn vote_extension(
    place: &VotePlace,
    owner: Id,
    time: Duration,
    only_longer: bool,
) -> Call {
    let call = Call::script(&VOTE_EXTEND, &place.slot, &[&place.vote]);
    call.arg(owner.to_string()).arg(millis(time)).arg(u8::from(only_longer)).idempotent()
}

fn text(id: Option<Id>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
