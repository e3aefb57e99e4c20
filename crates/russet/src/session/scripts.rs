//! The only door to the sessions' Lua.

use std::time::Duration;

use super::{
    identity::Signed,
    token::{SessionId, Spot},
};
use crate::{
    client::{Call, Reached, Russet},
    error::Result,
    keys::{Part, Slot, session as keys},
    names::encode,
    script::{Script, script},
};

static CREATE: Script = script!("session/create", include "now_ms", include "session");
static VALIDATE: Script = script!("session/validate", include "now_ms", include "session", include "session_load", flags "allow-oom");
static LOOK: Script = script!("session/look", include "now_ms", include "session", include "session_load", flags "no-writes");
static UPDATE: Script =
    script!("session/update", include "now_ms", include "session", include "session_load");
static ROTATE: Script = script!("session/rotate", include "now_ms", include "session", include "session_load", flags "allow-oom");
static FINISH: Script =
    script!("session/finish", include "now_ms", include "session", flags "allow-oom");
static SIGN_OUT: Script =
    script!("session/sign_out", include "now_ms", include "session", flags "allow-oom");
static SWEEP: Script =
    script!("session/sweep", include "now_ms", include "session", flags "allow-oom");
static HEAR: Script =
    script!("session/hear", include "now_ms", include "session", flags "allow-oom");
static HEARD: Script =
    script!("session/heard", include "now_ms", include "session", flags "allow-oom");
static NOTE: Script = script!("session/note");
static LIST: Script =
    script!("session/list", include "now_ms", include "session", flags "no-writes");

/// How many shards the sessions of one name are spread over. It is never changed: it would lose them.
pub(super) const SHARDS: u8 = 64;
/// How many a sweep finds at most.
pub(super) const SWEPT: usize = 100;
/// How many events of ended sessions are kept in a shard for who listens; the oldest go first.
const MOST_EVENTS: u32 = 10_000;
/// By how much a process may be wrong about the server's time when it dates a session.
const CLOCK_MS: u32 = 2_000;

/// Where the sessions are.
#[derive(Debug)]
pub(super) struct Place {
    shards: Vec<Slot>,
    indexes: [Part; 6],
}

/// What a script says of a session that is not valid, or how it went.
pub(super) type Word = String;

impl Place {
    pub(super) fn new(russet: &Russet, name: &str) -> Result<Self> {
        let slot = |shard: u8| Slot::partition(russet.names(), "session", name, u32::from(shard));
        let shards = (0..SHARDS).map(slot).collect::<Result<Vec<_>>>()?;
        Ok(Self { shards, indexes: keys::indexes() })
    }

    /// A token of ours can name no other shard.
    fn slot(&self, shard: u8) -> &Slot {
        &self.shards[usize::from(shard % SHARDS)]
    }

    /// With the keys that stand first in `lua/lib/session.lua`, as many as the script needs.
    fn call(
        &self,
        script: &'static Script,
        spot: Spot,
        indexes: usize,
        other: Option<&Part>,
    ) -> Call {
        let own = keys::record(&spot.id.to_string());
        let global = spot.global.map(|id| keys::record(&id.to_string()));
        let [book, rest @ ..] = &self.indexes;
        let mut parts = vec![&own, book, global.as_ref().unwrap_or(&own)];
        parts.extend(rest.iter().take(indexes));
        parts.extend(other);
        Call::script(script, self.slot(spot.shard), &parts)
            .arg(spot.id.to_string())
            .arg(global_id(spot))
    }

    /// With the keys that belong to the whole shard.
    fn shard_call(&self, script: &'static Script, shard: u8) -> Call {
        let [book, due, users, events, ended, log] = &self.indexes;
        // No record is asked for.
        Call::script(script, self.slot(shard), &[book, book, book, due, users, events, ended, log])
    }
}

fn global_id(spot: Spot) -> String {
    spot.global.map_or("-".to_owned(), |id| id.to_string())
}

/// What a new session is made of.
pub(super) struct New<'a> {
    pub(super) user: &'a str,
    pub(super) app: Option<&'a str>,
    pub(super) signed: &'a Signed,
    pub(super) created: i64,
    pub(super) ends: i64,
    pub(super) idle: Duration,
    pub(super) most: u64,
    pub(super) evicts: bool,
    pub(super) ip: &'a str,
    pub(super) ticket: Option<&'a str>,
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// The id makes it one that can be asked for twice.
pub(super) async fn create(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    new: &New<'_>,
) -> Result<((Word, i64), Reached)> {
    let other = new.ticket.map_or_else(|| keys::record(&spot.id.to_string()), keys::ticket);
    let mut call = place
        .call(&CREATE, spot, 5, Some(&other))
        .arg(encode(new.user))
        .arg(new.app.map_or("-".to_owned(), encode))
        .arg(&new.signed.json)
        .arg(&new.signed.signature)
        .arg(new.created)
        .arg(new.ends)
        .arg(millis(new.idle))
        .arg(new.most)
        .arg(if new.evicts { "evict" } else { "refuse" })
        .arg(new.ip)
        .arg(u8::from(new.ticket.is_some()))
        .arg(CLOCK_MS);
    for (field, value) in &new.attributes {
        call = call.arg(field).arg(value);
    }
    let ((word, now, _), reached): ((Word, i64, u64), _) =
        russet.run_durable(call.idempotent()).await?;
    Ok(((word, now), reached))
}

/// A session as it was read.
pub(super) struct Read {
    pub(super) word: Word,
    pub(super) now: i64,
    pub(super) fields: Vec<String>,
    pub(super) above: Vec<String>,
}

fn read((word, now, fields, above): (Word, i64, Vec<String>, Vec<String>)) -> Read {
    Read { word, now, fields, above }
}

/// A touch that is done twice ends a little later.
pub(super) async fn validate(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    idle: Duration,
    slack: Duration,
) -> Result<Read> {
    let call = place.call(&VALIDATE, spot, 1, None).arg(millis(idle)).arg(millis(slack));
    russet.run(call.idempotent()).await.map(read)
}

pub(super) async fn look(russet: &Russet, place: &Place, spots: &[Spot]) -> Result<Vec<Read>> {
    let calls: Vec<_> = spots.iter().map(|spot| place.call(&LOOK, *spot, 0, None)).collect();
    Ok(russet.run_many(&calls).await?.into_iter().map(read).collect())
}

/// What is changed of the attributes.
pub(super) struct Changes {
    pub(super) version: Option<u64>,
    pub(super) sets: Vec<(String, Vec<u8>)>,
    pub(super) removed: Vec<String>,
    pub(super) most: usize,
}

/// With a version that must stand it cannot be done twice; without one it ends the same.
pub(super) async fn update(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    changes: &Changes,
) -> Result<(Word, u64)> {
    let mut call = place
        .call(&UPDATE, spot, 0, None)
        .arg(changes.version.map_or("-".to_owned(), |version| version.to_string()))
        .arg(changes.most)
        .arg(changes.sets.len());
    for (field, value) in &changes.sets {
        call = call.arg(field).arg(value);
    }
    for field in &changes.removed {
        call = call.arg(field);
    }
    let call = if changes.version.is_none() { call.idempotent() } else { call };
    russet.run(call).await
}

/// The new id makes it one that can be asked for twice.
pub(super) async fn rotate(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    to: SessionId,
    signed: &Signed,
) -> Result<((Word, i64, Vec<String>), Reached)> {
    let other = keys::record(&to.to_string());
    let call = place
        .call(&ROTATE, spot, 5, Some(&other))
        .arg(to.to_string())
        .arg(&signed.json)
        .arg(&signed.signature);
    russet.run_durable(call.idempotent()).await
}

/// Who ends a session, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) why: &'a str,
    pub(super) member: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) log: u64,
}

fn finish_call(place: &Place, spot: Spot, end: End<'_>) -> Call {
    place
        .call(&FINISH, spot, 5, None)
        .arg(end.why)
        .arg(end.member)
        .arg(MOST_EVENTS)
        .arg(end.log)
        .arg(end.user.map_or("-".to_owned(), encode))
        .idempotent()
}

pub(super) async fn finish(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    end: End<'_>,
) -> Result<((Word, Word), Reached)> {
    russet.run_durable(finish_call(place, spot, end)).await
}

/// Ends those that are over.
pub(super) async fn finish_due(
    russet: &Russet,
    place: &Place,
    due: &[Due],
    log: u64,
) -> Result<Vec<(Word, Word)>> {
    let end = |due: &Due| {
        let end = End { why: "due", member: &due.member, user: None, log };
        finish_call(place, due.spot, end)
    };
    let calls: Vec<_> = due.iter().map(end).collect();
    russet.run_many(&calls).await
}

/// Signing out twice ends the same.
pub(super) async fn sign_out(
    russet: &Russet,
    place: &Place,
    shard: u8,
    user: &str,
    keep: Option<SessionId>,
) -> Result<(Word, Reached)> {
    let kept = keep.map_or_else(|| place.indexes[0].clone(), |id| keys::record(&id.to_string()));
    let [book, due, users, ..] = &place.indexes;
    let call = Call::script(&SIGN_OUT, place.slot(shard), &[&kept, book, book, due, users])
        .arg(encode(user))
        .arg(keep.map_or("-".to_owned(), |id| id.to_string()));
    let ((word,), reached): ((Word,), _) = russet.run_durable(call.idempotent()).await?;
    Ok((word, reached))
}

/// A session whose time may have come.
pub(super) struct Due {
    pub(super) spot: Spot,
    member: String,
}

/// What a sweep of one shard found.
pub(super) struct Swept {
    pub(super) due: Vec<Due>,
    pub(super) users: u64,
    pub(super) events: u64,
}

/// All shards, in order.
pub(super) async fn sweep(russet: &Russet, place: &Place) -> Result<Vec<Swept>> {
    let call = |shard| place.shard_call(&SWEEP, shard).arg(SWEPT).idempotent();
    let calls: Vec<_> = (0..SHARDS).map(call).collect();
    let answers: Vec<(Vec<String>, u64, u64)> = russet.run_many(&calls).await?;
    let swept = (0..SHARDS).zip(answers).map(|(shard, (members, users, events))| {
        let due = members.into_iter().filter_map(|member| due(shard, member)).collect();
        Swept { due, users, events }
    });
    Ok(swept.collect())
}

fn due(shard: u8, member: String) -> Option<Due> {
    let mut words = member.split(' ').skip(2);
    let id = words.next()?.parse().ok()?;
    let global = words.next()?.parse().ok();
    Some(Due { spot: Spot { shard, id, global }, member })
}

/// The ids of a user's sessions that stand under no other, the oldest first, after the place of one of them.
pub(super) async fn list(
    russet: &Russet,
    place: &Place,
    shard: u8,
    user: &str,
    after: Option<&str>,
    n: usize,
) -> Result<Vec<(String, SessionId)>> {
    let call =
        place.shard_call(&LIST, shard).arg(encode(user)).arg(after.unwrap_or_default()).arg(n);
    let members: Vec<String> = russet.run(call).await?;
    let read = |member: String| {
        let id = member.split(' ').nth(2)?.parse().ok()?;
        Some((member, id))
    };
    Ok(members.into_iter().filter_map(read).collect())
}

/// Says in all shards that somebody listens: from now on events are kept.
pub(super) async fn listen(russet: &Russet, place: &Place) -> Result<()> {
    let call = |shard| {
        let slot = place.slot(shard);
        Call::write("HSET", slot).key(&place.indexes[0]).arg("heard").arg(1).idempotent()
    };
    let calls: Vec<_> = (0..SHARDS).map(call).collect();
    russet.run_many::<i64>(&calls).await.map(drop)
}

/// Events that wait in a shard, by id; others do not get them before the lease has passed.
pub(super) async fn hear(
    russet: &Russet,
    place: &Place,
    shard: u8,
    lease: Duration,
    n: usize,
) -> Result<Vec<(String, String)>> {
    let call = place.shard_call(&HEAR, shard).arg(millis(lease)).arg(n).idempotent();
    let mut words = russet.run::<Vec<String>>(call).await?.into_iter();
    let mut events = Vec::new();
    while let (Some(id), Some(text)) = (words.next(), words.next()) {
        events.push((id, text));
    }
    Ok(events)
}

pub(super) async fn heard(russet: &Russet, place: &Place, shard: u8, ids: &[String]) -> Result<()> {
    let mut call = place.shard_call(&HEARD, shard);
    for id in ids {
        call = call.arg(id);
    }
    russet.run::<i64>(call.idempotent()).await.map(drop)
}

/// Writes down what is suspicious; done twice, it would be written twice.
pub(super) async fn note(
    russet: &Russet,
    place: &Place,
    spot: Spot,
    new_ip: &str,
    log: u64,
    fields: &[(&str, &str)],
) -> Result<()> {
    let record = keys::record(&spot.id.to_string());
    let mut call = Call::script(&NOTE, place.slot(spot.shard), &[&record, &keys::activity()])
        .arg(new_ip)
        .arg(log);
    for (name, value) in fields {
        call = call.arg(name).arg(value);
    }
    russet.run::<i64>(call).await.map(drop)
}

/// An entry of a stream: its id, its fields and values.
pub(super) type Entry = (String, Vec<String>);

/// The newest entries of a log in all shards.
pub(super) async fn newest(
    russet: &Russet,
    place: &Place,
    is_activity: bool,
    n: usize,
) -> Result<Vec<(u8, Entry)>> {
    let part = if is_activity { keys::activity() } else { place.indexes[5].clone() };
    let call = |shard| {
        let slot = place.slot(shard);
        Call::read("XREVRANGE", slot).key(&part).arg("+").arg("-").arg("COUNT").arg(n)
    };
    let calls: Vec<_> = (0..SHARDS).map(call).collect();
    let answers: Vec<Vec<Entry>> = russet.run_many(&calls).await?;
    let of_shard =
        |(shard, entries): (u8, Vec<Entry>)| entries.into_iter().map(move |entry| (shard, entry));
    Ok((0..SHARDS).zip(answers).flat_map(of_shard).collect())
}

/// A ticket for an application, good once.
pub(super) async fn put_ticket(
    russet: &Russet,
    place: &Place,
    shard: u8,
    hash: &str,
    app: &str,
    ttl: Duration,
) -> Result<()> {
    let call = Call::write("SET", place.slot(shard))
        .key(&keys::ticket(hash))
        .arg(encode(app))
        .arg("PX")
        .arg(millis(ttl));
    russet.run::<String>(call.idempotent()).await.map(drop)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
