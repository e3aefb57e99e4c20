//! The only file that names the Lua of recurring tasks.

use std::time::Duration;

use crate::{
    client::{Call, Reached, Russet},
    error::Result,
    queue::{
        TaskId,
        scripts::{Place, millis},
    },
    script::{Script, script},
};

static LOOK: Script =
    script!("queue/schedule/look", include "schedule", include "now_ms", flags "no-writes");
static LIST: Script = script!("queue/schedule/list", include "schedule", flags "no-writes");
static PUT: Script = script!("queue/schedule/put", include "schedule");
static REMOVE: Script = script!("queue/schedule/remove", include "schedule", flags "allow-oom");
static TICK: Script =
    script!("queue/schedule/tick", include "schedule", include "now_ms", flags "allow-oom");
static FIRE: Script = script!("queue/schedule/fire", include "queue", include "queue_wake", include "schedule", include "now_ms");

/// The most recurring tasks of a queue: one call lists them.
pub(super) const MOST: u32 = 1_000;

/// Whether a recurring task is there now.
pub(super) enum Put {
    Done(Reached),
    /// Something else stood there than what was seen.
    Changed,
    Full,
}

fn short(place: &Place, script: &'static Script) -> Call {
    place.call_on(script, &place.recurring().iter().collect::<Vec<_>>())
}

/// The server's time, and what stands there under this name; empty when nothing does.
pub(super) async fn look(russet: &Russet, place: &Place, name: &str) -> Result<(i64, Vec<u8>)> {
    russet.run(short(place, &LOOK).arg(name)).await
}

/// Names and records.
pub(super) async fn list(russet: &Russet, place: &Place) -> Result<Vec<(String, Vec<u8>)>> {
    let flat: Vec<Vec<u8>> = russet.run(short(place, &LIST)).await?;
    Ok(pairs(flat))
}

/// Puts a record in the place of the one that was seen. Sent twice, it ends the same.
pub(super) async fn put(
    russet: &Russet,
    place: &Place,
    name: &str,
    seen: &[u8],
    new: &[u8],
    due: i64,
) -> Result<Put> {
    let call = short(place, &PUT).arg(name).arg(seen).arg(new).arg(due).arg(MOST);
    let call = call.arg(place.ticking()).idempotent();
    let (answer, reached): (i64, _) = russet.run_durable(call).await?;
    Ok(match answer {
        1 => Put::Done(reached),
        0 => Put::Changed,
        _ => Put::Full,
    })
}

/// Answers whether there was one.
pub(super) async fn remove(russet: &Russet, place: &Place, name: &str) -> Result<bool> {
    russet.run(short(place, &REMOVE).arg(name)).await
}

/// What is due.
pub(super) struct Due {
    pub(super) now: i64,
    /// Until another one is due; none when there is none.
    pub(super) wait: Option<Duration>,
    /// Names and records.
    pub(super) entries: Vec<(String, Vec<u8>)>,
}

/// Takes what is due for a moment; `now` is 0 for the server's time.
pub(super) async fn tick(
    russet: &Russet,
    place: &Place,
    moment: Duration,
    now: i64,
) -> Result<Due> {
    let call = short(place, &TICK).arg(millis(moment)).arg(now);
    let (told, wait, flat): (i64, i64, Vec<Vec<u8>>) = russet.run(call).await?;
    if now == 0 {
        russet.clock().learn(told);
    }
    let wait = u64::try_from(wait).ok().map(Duration::from_millis);
    Ok(Due { now: told, wait, entries: pairs(flat) })
}

/// A tick that is to be enqueued.
pub(super) struct Tick {
    /// The name under which it is remembered.
    pub(super) request: String,
    pub(super) delay: Duration,
    pub(super) id: TaskId,
}

/// What was seen of an entry, and what follows.
pub(super) struct Fire<'a> {
    pub(super) name: &'a str,
    pub(super) due: i64,
    pub(super) next: i64,
    pub(super) last: i64,
    pub(super) remembered: Duration,
    pub(super) unique: Option<&'a str>,
    /// The record of each of its tasks.
    pub(super) task: &'a [u8],
    pub(super) ticks: &'a [Tick],
}

/// Enqueues the ticks of an entry. None when somebody else was first, otherwise the ids of those that were enqueued.
pub(super) async fn fire(
    russet: &Russet,
    place: &Place,
    fire: Fire<'_>,
) -> Result<Option<Vec<TaskId>>> {
    let recurring = place.recurring();
    let mut call = place
        .call_on(&FIRE, &place.all().chain(&recurring).collect::<Vec<_>>())
        .arg(fire.name)
        .arg(fire.due)
        .arg(fire.next)
        .arg(fire.last)
        .arg(millis(fire.remembered))
        .arg(fire.unique.unwrap_or_default())
        .arg(fire.task);
    for tick in fire.ticks {
        call = call.arg(tick.request.as_str()).arg(millis(tick.delay)).arg(tick.id.as_str());
    }
    let (is_first, ids): (i64, Vec<String>) = russet.run(call).await?;
    let ids = ids.iter().map(|id| id.parse()).collect::<Result<_>>()?;
    Ok((is_first == 1).then_some(ids))
}

fn pairs(flat: Vec<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let mut flat = flat.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(record)) = (flat.next(), flat.next()) {
        pairs.push((String::from_utf8_lossy(&name).into_owned(), record));
    }
    pairs
}
