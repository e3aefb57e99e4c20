//! What write-behind sends to Redis.

use std::time::Duration;

use crate::{
    cache::{
        entry::Entry,
        scripts::{Place, millis},
    },
    client::{Call, Russet},
    error::Result,
    id::Id,
    keys::{Slot, cache as keys},
    script::{Script, script},
};

static PUT: Script = script!("cache/behind_put", include "next_sequence", include "wake");
static WAIT: Script = script!("cache/behind_wait");
static ACQUIRE: Script = script!("cache/behind_acquire");
static CLAIM: Script = script!("cache/behind_claim", flags "allow-oom");
static KEEP: Script = script!("cache/behind_keep", flags "allow-oom");
static ACK: Script = script!("cache/behind_ack", include "wake", flags "allow-oom");
static BURY: Script = script!("cache/behind_bury", include "now_ms", include "wake");
static REDRIVE: Script = script!("cache/behind_redrive", include "next_sequence");
static DISCARD: Script = script!("cache/behind_discard", flags "allow-oom");

/// An entry up to this size goes to the waiters with the news.
const LARGEST_NEWS: usize = 4 * 1024;

/// Queues a write. Not sent twice: another write of the key may have come in between.
pub(in crate::cache) fn put(
    place: &Place,
    payload: Option<&[u8]>,
    ttl: Duration,
    most: usize,
) -> Call {
    let parts = [
        place.entry(),
        &keys::waiters(place.key()),
        &keys::ticket(place.key()),
        &keys::dirty(),
        &keys::writes(),
        &keys::sequence(),
        &keys::dead(),
        &place.refresh(),
    ];
    let news = payload.is_none_or(|payload| payload.len() <= LARGEST_NEWS);
    Call::script(&PUT, place.slot(), &parts)
        .arg(place.key())
        .arg(if payload.is_some() { "V" } else { "N" })
        .arg(payload.unwrap_or_default())
        .arg(millis(ttl))
        .arg(most)
        .arg(u8::from(news))
        .arg(place.changes())
}

/// Puts the caller on the list of those who wait for room; answers whether there is none.
pub(super) fn wait(slot: &Slot, waiter: &str, most: usize, patience: Duration) -> Call {
    let call = Call::script(&WAIT, slot, &[&keys::writes(), &keys::room()]);
    call.arg(waiter).arg(most).arg(millis(patience) + 1).idempotent()
}

/// Takes the lease of a load where nothing stands and nothing is queued.
pub(in crate::cache) fn acquire(place: &Place, lease: Vec<u8>, time: Duration) -> Call {
    let call = Call::script(&ACQUIRE, place.slot(), &[place.entry(), &keys::dirty()]);
    call.arg(lease).arg(millis(time)).arg(place.key()).idempotent()
}

/// What is queued of a key.
pub(in crate::cache) async fn queued(russet: &Russet, place: &Place) -> Result<Option<Entry>> {
    let bytes: Option<Vec<u8>> = russet.run(get_queued(place)).await?;
    Ok(bytes.map(Entry::read))
}

/// What stands at these places, or else is queued, in one round trip.
pub(in crate::cache) async fn read_many(
    russet: &Russet,
    places: &[Place],
) -> Result<Vec<Option<Entry>>> {
    let get = |place: &Place| Call::read("GET", place.slot()).key(place.entry());
    let calls: Vec<_> = places.iter().flat_map(|place| [get(place), get_queued(place)]).collect();
    let answers: Vec<Option<Vec<u8>>> = russet.run_many(&calls).await?;
    let mut answers = answers.into_iter();
    let mut entries = Vec::with_capacity(places.len());
    while let (Some(entry), Some(queued)) = (answers.next(), answers.next()) {
        // A lease that was taken before the write was queued is revoked by it.
        let entry = entry.map(Entry::read);
        entries.push(match queued {
            Some(queued) if matches!(entry, None | Some(Entry::Lease)) => Some(Entry::read(queued)),
            _ => entry,
        });
    }
    Ok(entries)
}

fn get_queued(place: &Place) -> Call {
    Call::read("HGET", place.slot()).key(&keys::dirty()).arg(place.key())
}

/// How far a flusher goes.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// To what has waited so long.
    Lingered(Duration),
    /// To this order number.
    UpTo(u64),
}

/// Takes the flusher's lease, with the oldest writes.
pub(super) fn claim(slot: &Slot, flusher: Id, lease: Duration, bound: Bound, count: usize) -> Call {
    let parts = [&keys::flusher(), &keys::writes(), &keys::dirty(), &keys::sequence()];
    let call = Call::script(&CLAIM, slot, &parts).arg(flusher.to_string()).arg(millis(lease));
    let call = match bound {
        Bound::Lingered(linger) => {
            call.arg(u64::try_from(linger.as_micros()).unwrap_or(u64::MAX)).arg("")
        }
        Bound::UpTo(sequence) => call.arg(0).arg(sequence.to_string()),
    };
    call.arg(count.clamp(1, 1_000)).idempotent()
}

/// Keeps the flusher's lease for another term; answers whether it was current.
pub(super) fn keep(slot: &Slot, flusher: Id, lease: Duration) -> Call {
    let call = Call::script(&KEEP, slot, &[&keys::flusher()]);
    call.arg(flusher.to_string()).arg(millis(lease)).idempotent()
}

/// A queued write that is in the store: the number of its entry, its key, and the number that was written.
pub(super) type Stored<'a> = (u64, &'a str, String);

/// Forgets what is in the store and gives the lease back; answers how many are settled.
pub(super) fn ack(slot: &Slot, flusher: Id, stored: &[Stored<'_>]) -> Call {
    let parts = [&keys::flusher(), &keys::writes(), &keys::dirty(), &keys::room()];
    let mut call = Call::script(&ACK, slot, &parts).arg(flusher.to_string());
    for (entry, key, sequence) in stored {
        call = call.arg(entry.to_string()).arg(*key).arg(sequence.as_str());
    }
    call.idempotent()
}

/// Takes a write that the store refuses off the stream.
pub(super) fn bury(
    slot: &Slot,
    entry: u64,
    key: &str,
    sequence: u64,
    attempts: u32,
    error: &str,
) -> Call {
    let parts = [&keys::writes(), &keys::dirty(), &keys::dead(), &keys::room()];
    let call = Call::script(&BURY, slot, &parts).arg(entry.to_string()).arg(key);
    call.arg(sequence.to_string()).arg(attempts).arg(error).idempotent()
}

/// Puts a dead write back; answers whether there was one.
pub(super) fn redrive(place: &Place) -> Call {
    let parts = [&keys::writes(), &keys::dirty(), &keys::dead(), &keys::sequence()];
    // Sent again, it finds that it is done.
    Call::script(&REDRIVE, place.slot(), &parts).arg(place.key()).idempotent()
}

/// Forgets a dead write; answers whether there was one.
pub(super) fn discard(place: &Place) -> Call {
    let parts = [place.entry(), &keys::dirty(), &keys::dead(), &place.refresh()];
    let call = Call::script(&DISCARD, place.slot(), &parts).arg(place.key());
    call.arg(place.changes()).idempotent()
}

/// The last order number of a partition.
pub(super) fn last_sequence(slot: &Slot) -> Call {
    Call::read("GET", slot).key(&keys::sequence())
}

/// How many keys of a partition have a queued write.
pub(super) fn backlog(slot: &Slot) -> Call {
    Call::read("XLEN", slot).key(&keys::writes())
}

/// How many dead writes a partition has.
pub(super) fn count_dead(slot: &Slot) -> Call {
    Call::read("HLEN", slot).key(&keys::dead())
}

/// Some of a partition's dead writes, and where to go on.
pub(super) fn list_dead(slot: &Slot, cursor: u64) -> Call {
    Call::read("HSCAN", slot).key(&keys::dead()).arg(cursor).arg("COUNT").arg(500)
}

/// What is queued of a key in this partition.
pub(super) fn queued_of(slot: &Slot, key: &str) -> Call {
    Call::read("HGET", slot).key(&keys::dirty()).arg(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::entry::Stored, keys::Namespace, testing::TestServer};

    async fn ground() -> (TestServer, Russet, Place) {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let slot = Slot::partition(&Namespace::new("test").unwrap(), "cache", "users", 0).unwrap();
        (server, russet, Place::new(slot, "1".into(), "changes".into()).behind(true))
    }

    /// Without one line, as if it had been forgotten.
    fn mutant(script: &Script, line: &str, instead: &str) -> &'static Script {
        let check = script.source.lines().find(|text| text.contains(line)).unwrap();
        let source = script.source.replace(check, instead);
        Box::leak(Box::new(Script::new("mutant", source.leak(), "")))
    }

    async fn put_value(russet: &Russet, place: &Place, value: &[u8]) -> String {
        let call = put(place, Some(value), Duration::from_secs(60), 10);
        let (verdict, sequence): (String, String) = russet.run(call).await.unwrap();
        assert_eq!(verdict, "queued");
        sequence
    }

    /// What is queued when the first of two puts is acknowledged after the second one.
    async fn after_a_late_ack(script: &'static Script) -> Option<Entry> {
        let (_server, russet, place) = ground().await;
        let first = put_value(&russet, &place, b"first").await;
        put_value(&russet, &place, b"second").await;
        let parts = [&keys::flusher(), &keys::writes(), &keys::dirty(), &keys::room()];
        let ack = Call::script(script, place.slot(), &parts).arg("me").arg(&first);
        russet.run::<i64>(ack.arg(place.key()).arg(&first)).await.unwrap();
        queued(&russet, &place).await.unwrap()
    }

    #[tokio::test]
    async fn an_ack_leaves_what_was_put_again() {
        let payload = Some(bytes::Bytes::from_static(b"second"));
        let second = Some(Entry::Stored(Stored { payload, fresh_until: None }));
        assert_eq!(after_a_late_ack(&ACK).await, second);
    }

    #[tokio::test]
    async fn without_its_number_the_ack_would_forget_it() {
        let without = mutant(&ACK, "== sequence then", "  elseif true then");
        assert_eq!(after_a_late_ack(without).await, None);
    }

    /// What a reader gets when the copy of a queued write is gone; nothing when it is to load.
    async fn after_an_eviction(script: &'static Script) -> Option<Vec<u8>> {
        let (_server, russet, place) = ground().await;
        put_value(&russet, &place, b"new").await;
        let drop = Call::write("DEL", place.slot()).key(place.entry());
        russet.run::<i64>(drop).await.unwrap();
        let acquire = Call::script(script, place.slot(), &[place.entry(), &keys::dirty()]);
        russet.run(acquire.arg("L1 me").arg(60_000).arg(place.key())).await.unwrap()
    }

    #[tokio::test]
    async fn a_reader_finds_what_is_queued() {
        let found = after_an_eviction(&ACQUIRE).await.unwrap();
        assert!(found.starts_with(b"V1;seq=") && found.ends_with(b" new"));
    }

    #[tokio::test]
    async fn without_a_look_at_the_queue_it_would_load_the_old_record() {
        let without = mutant(&ACQUIRE, "HGET", "local there = redis.call('GET', KEYS[1])");
        assert_eq!(after_an_eviction(without).await, None);
    }
}
