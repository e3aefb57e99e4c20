//! The filter's only door to Redis: its commands and Lua scripts.

use std::time::Duration;

use super::{
    config::{Config, FIELDS, Generation, VERSION},
    shape::{Bits, Shape},
};
use crate::{
    client::{Call, Russet},
    error::{Error, Result},
    id::Id,
    keys::{Part, Slot, bloom as keys},
    script::{Script, script},
};

static BEGIN: Script = script!("bloom/begin", include "now_ms");
static RENEW: Script = script!("bloom/renew", flags "allow-oom");
static READY: Script = script!("bloom/ready");
static FLIP: Script = script!("bloom/flip");
static SETTLE: Script = script!("bloom/settle");
static FORGET: Script = script!("bloom/forget", flags "allow-oom");
static RELEASE: Script = script!("bloom/release", flags "allow-oom");

/// The bit that says that a shard is complete, and the one that says that a rebuild has made it.
const READY_BIT: u64 = 0;
const BORN_BIT: u64 = 1;
/// A shard in which the second bit is set and no other: a byte of 64.
const NEWBORN: &str = "@";

/// What an `insert` or a test of one item brings: numbers and, of the record, texts.
pub(super) type Answer = Vec<Option<String>>;

/// Where a filter lives.
pub(super) struct Places {
    home: Slot,
    shards: Vec<Slot>,
}

/// What came of asking for the right to rebuild.
pub(super) enum Begun {
    /// The number of the generation to build.
    Generation(u64),
    Busy,
    /// The live one is to be rebuilt after this time.
    Fresh(Duration),
}

impl Places {
    pub(super) fn new(russet: &Russet, name: &str) -> Result<Self> {
        let home = Slot::of(russet.names(), "bloom", name)?;
        // A record may name any number up to this; they are names only.
        let shards = (0..128).map(|shard| Slot::partition(russet.names(), "bloom", name, shard));
        Ok(Self { home, shards: shards.collect::<Result<_>>()? })
    }

    /// Reads the record.
    pub(super) fn config(&self) -> Call {
        let call = Call::read("HMGET", &self.home).key(&keys::config());
        FIELDS.iter().fold(call, |call, field| call.arg(*field))
    }

    /// Sets the bits of an item; answers what they were, behind the mark of its shard.
    pub(super) fn insert(&self, generation: Generation, item: &Bits) -> Option<Call> {
        let slot = self.shards.get(item.shard as usize)?;
        let call = Call::write("BITFIELD", slot).key(&keys::bits(generation.id));
        let call = item
            .places
            .iter()
            .fold(get(call, BORN_BIT), |call, place| call.arg("SET").arg("u1").arg(*place).arg(1));
        Some(call.idempotent())
    }

    /// Reads the bits of an item, behind the mark of its shard.
    pub(super) fn test(&self, generation: Generation, item: &Bits) -> Option<Call> {
        let slot = self.shards.get(item.shard as usize)?;
        let call = Call::read("BITFIELD_RO", slot).key(&keys::bits(generation.id));
        Some(item.places.iter().fold(get(call, READY_BIT), |call, place| get(call, *place)))
    }

    fn bits(&self, command: &'static str, generation: Generation) -> impl Iterator<Item = Call> {
        let shards = self.shards.iter().take(generation.shape.shards as usize);
        shards.map(move |slot| {
            Call::write(command, slot).key(&keys::bits(generation.id)).idempotent()
        })
    }

    fn script(&self, script: &'static Script, parts: &[&Part]) -> Call {
        Call::script(script, &self.home, parts).idempotent()
    }
}

fn get(call: Call, place: u64) -> Call {
    call.arg("GET").arg("u1").arg(place)
}

/// What was read of the record.
pub(super) fn read_config(answer: &[Option<String>]) -> Option<Config> {
    Config::read(answer)
}

/// How many bits are set in each shard, marks included.
pub(super) async fn count(russet: &Russet, places: &Places, live: Generation) -> Result<Vec<u64>> {
    let slots = places.shards.iter().take(live.shape.shards as usize);
    let calls: Vec<_> =
        slots.map(|slot| Call::read("BITCOUNT", slot).key(&keys::bits(live.id))).collect();
    russet.run_many(&calls).await
}

/// Which shards are complete.
pub(super) async fn ready(russet: &Russet, places: &Places, live: Generation) -> Result<Vec<bool>> {
    let slots = places.shards.iter().take(live.shape.shards as usize);
    let calls: Vec<_> = slots
        .map(|slot| Call::read("GETBIT", slot).key(&keys::bits(live.id)).arg(READY_BIT))
        .collect();
    russet.run_many(&calls).await
}

/// Asks for the right to rebuild, if the live generation is so old.
pub(super) async fn begin(
    russet: &Russet,
    places: &Places,
    lease: Id,
    time: Duration,
    shape: Shape,
    age: Duration,
) -> Result<Begun> {
    let call = places.script(&BEGIN, &[&keys::config(), &keys::rebuilder()]);
    let call = call.arg(lease.to_string()).arg(millis(time)).arg(VERSION);
    // Lua's numbers are exact to 2^53.
    let call = call.arg(shape.record()).arg(millis(age).min(1 << 52));
    let answer: Vec<String> = russet.run(call).await?;
    let number = |at: usize| answer.get(at).and_then(|number| number.parse::<u64>().ok());
    match (answer.first().map(String::as_str), number(1)) {
        (Some("begun"), Some(generation)) => Ok(Begun::Generation(generation)),
        (Some("busy"), _) => Ok(Begun::Busy),
        (Some("fresh"), Some(left)) => Ok(Begun::Fresh(Duration::from_millis(left))),
        (Some("foreign"), _) => Err(super::foreign(places.home.object())),
        _ => Err(Error::internal("bloom/begin answered something else")),
    }
}

/// Keeps the right for another term; answers whether it was current.
pub(super) fn renewal(places: &Places, lease: Id, time: Duration) -> Call {
    places.script(&RENEW, &[&keys::rebuilder()]).arg(lease.to_string()).arg(millis(time))
}

/// Makes the empty shards of a generation, which end by themselves.
pub(super) async fn create(
    russet: &Russet,
    places: &Places,
    building: Generation,
    ttl: Duration,
) -> Result<()> {
    let calls: Vec<_> = places
        .bits("SET", building)
        .map(|call| call.arg(NEWBORN).arg("PX").arg(millis(ttl)))
        .collect();
    russet.run_many::<()>(&calls).await?;
    Ok(())
}

/// Lets the shards of a generation live so long from now on.
pub(super) async fn extend(
    russet: &Russet,
    places: &Places,
    generation: Generation,
    ttl: Duration,
) -> Result<()> {
    let calls: Vec<_> =
        places.bits("PEXPIRE", generation).map(|call| call.arg(millis(ttl))).collect();
    russet.run_many::<i64>(&calls).await?;
    Ok(())
}

/// Gives a time to these shards of generations, if they have none.
pub(super) async fn end_orphans(
    russet: &Russet,
    places: &Places,
    orphans: &[(Generation, u32)],
    ttl: Duration,
) -> Result<()> {
    let slots = orphans
        .iter()
        .filter_map(|(generation, shard)| Some((generation, places.shards.get(*shard as usize)?)));
    let calls: Vec<_> = slots
        .map(|(generation, slot)| {
            let call = Call::write("PEXPIRE", slot).key(&keys::bits(generation.id));
            call.arg(millis(ttl)).arg("NX").idempotent()
        })
        .collect();
    russet.run_many::<i64>(&calls).await?;
    Ok(())
}

/// Marks all shards of a generation as complete; false when one of them was lost while it was built.
pub(super) async fn complete(russet: &Russet, places: &Places, built: Generation) -> Result<bool> {
    let slots = places.shards.iter().take(built.shape.shards as usize);
    let calls: Vec<_> = slots
        .map(|slot| Call::script(&READY, slot, &[&keys::bits(built.id)]).idempotent())
        .collect();
    Ok(russet.run_many::<bool>(&calls).await?.into_iter().all(|marked| marked))
}

/// Makes it the live one; false when the right was lost.
pub(super) async fn flip(
    russet: &Russet,
    places: &Places,
    lease: Id,
    time: Duration,
    built: Generation,
) -> Result<bool> {
    let call = places.script(&FLIP, &[&keys::config(), &keys::rebuilder()]);
    russet.run(call.arg(lease.to_string()).arg(millis(time)).arg(built.record())).await
}

/// Lets the live generation stay, and the one before end. May be done by anyone, and again.
pub(super) async fn settle(
    russet: &Russet,
    places: &Places,
    live: Generation,
    old: Option<Generation>,
    grace: Duration,
) -> Result<()> {
    let mut calls: Vec<_> = places.bits("PERSIST", live).collect();
    if let Some(old) = old {
        calls.extend(places.bits("PEXPIRE", old).map(|call| call.arg(millis(grace))));
    }
    russet.run_many::<i64>(&calls).await?;
    let call = places.script(&SETTLE, &[&keys::config()]).arg(live.record());
    russet.run::<bool>(call).await?;
    Ok(())
}

/// Deletes the bits of a generation.
pub(super) async fn unlink(russet: &Russet, places: &Places, old: Generation) -> Result<()> {
    let calls: Vec<_> = places.bits("UNLINK", old).collect();
    russet.run_many::<i64>(&calls).await?;
    Ok(())
}

/// Deletes the record, last of all.
pub(super) async fn delete_config(russet: &Russet, places: &Places) -> Result<()> {
    let call = Call::write("DEL", &places.home).key(&keys::config()).idempotent();
    russet.run::<i64>(call).await?;
    Ok(())
}

/// Nobody writes to it any more: the generation in this field, `old` or `building`.
pub(super) async fn forget(russet: &Russet, places: &Places, lease: Id, field: &str) -> Result<()> {
    let call = places.script(&FORGET, &[&keys::config(), &keys::rebuilder()]);
    russet.run::<bool>(call.arg(lease.to_string()).arg(field)).await?;
    Ok(())
}

/// Gives the right back.
pub(super) async fn release(russet: &Russet, places: &Places, lease: Id) -> Result<()> {
    let call = places.script(&RELEASE, &[&keys::rebuilder()]).arg(lease.to_string());
    russet.run::<bool>(call).await?;
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
