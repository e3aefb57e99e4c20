//! The only file that names the Lua of queues.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::try_join;

use super::{
    TaskId,
    effects::{Change, Effect},
    record::Record,
    stats::Kind,
};
use crate::{
    client::{Call, Reached, Russet},
    error::{Error, Result},
    keys::{Part, Slot, queue as keys},
    script::{Script, script},
};

static ENQUEUE: Script = script!("queue/enqueue", include "queue_wake");
static ENQUEUE_ONCE: Script =
    script!("queue/enqueue_once", include "queue", include "queue_wake", include "now_ms");
static TURN: Script = script!("queue/turn", include "queue", include "queue_claims", include "queue_pop", include "queue_wake", include "queue_watch", include "queue_rate", include "now_ms", flags "allow-oom");
static SETTLE: Script = script!("queue/settle", include "queue", include "queue_claims", include "queue_settle", include "queue_records", include "queue_wake", include "queue_watch", include "queue_end", include "now_ms", flags "allow-oom");
static REAP: Script = script!("queue/reap", include "queue", include "queue_claims", include "queue_records", include "queue_wake", include "queue_watch", include "queue_end", include "now_ms", flags "allow-oom");
static KEEP: Script = script!("queue/keep", include "queue", include "now_ms", flags "allow-oom");
static RECOVER: Script = script!("queue/recover", include "queue", include "queue_claims", include "queue_wake", flags "allow-oom");
static CANCEL: Script = script!("queue/cancel", include "queue", include "queue_records", include "queue_watch", include "queue_end", include "now_ms", flags "allow-oom");
static RESCHEDULE: Script =
    script!("queue/reschedule", include "queue", include "queue_wake", include "now_ms");
static STATUS: Script = script!("queue/status", include "queue", flags "no-writes");
static COUNTS: Script =
    script!("queue/counts", include "queue", include "queue_records", flags "no-writes");
static DEAD: Script = script!("queue/dead", include "queue", flags "no-writes");
static REDRIVE: Script = script!("queue/redrive", include "queue", include "queue_records", include "queue_wake", include "now_ms", flags "allow-oom");
static SWEEP: Script = script!("queue/sweep", include "queue", include "now_ms", flags "allow-oom");
static PAUSE: Script =
    script!("queue/pause", include "queue", include "queue_wake", flags "allow-oom");
static RECORD: Script = script!("queue/record", include "queue");
static LIMIT: Script = script!("queue/limit", include "queue", flags "allow-oom");
static PROGRESS: Script = script!("queue/progress", include "queue");
static WATCH: Script = script!("queue/watch", include "queue", include "now_ms", flags "allow-oom");
static COMPLETE: Script = script!("queue/complete", include "queue", include "queue_claims", include "queue_settle", include "queue_records", include "queue_watch", include "queue_end", include "now_ms");
static PEEK: Script =
    script!("queue/peek", include "queue", include "queue_claims", flags "no-writes");

/// Where a queue is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    slot: Slot,
    parts: Vec<Part>,
}

impl Place {
    pub(super) fn new(slot: Slot) -> Self {
        Self { slot, parts: keys::all() }
    }

    /// The channel on which running tasks are asked to end.
    pub(super) fn cancelling(&self) -> String {
        keys::cancelling(&self.slot)
    }

    /// The channel on which changes of recurring tasks are told.
    pub(super) fn ticking(&self) -> String {
        keys::ticking(&self.slot)
    }

    /// The keys that a task takes which is ready at once: all tasks, the ready ones of its priority, who waits for them.
    fn ready(&self, id: TaskId) -> [&Part; 3] {
        keys::of_ready(&self.parts, id.priority())
    }

    /// The keys that all scripts of the queue take.
    pub(super) fn all(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// Those of its recurring tasks.
    pub(super) fn recurring(&self) -> [Part; 2] {
        keys::recurring()
    }

    pub(super) fn call_on(&self, script: &'static Script, parts: &[&Part]) -> Call {
        Call::script(script, &self.slot, parts)
    }

    fn call(&self, script: &'static Script) -> Call {
        self.call_on(script, &self.all().collect::<Vec<_>>())
    }

    /// A call that takes more keys than the queue's own.
    fn call_with(&self, script: &'static Script, more: &[Part]) -> Call {
        Call::script(script, &self.slot, &self.parts.iter().chain(more).collect::<Vec<_>>())
    }
}

/// How long cancelled tasks are kept, and how many outcomes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) cancelled: Duration,
    pub(super) most: u64,
    pub(super) most_bytes: u64,
}

/// When tasks are to be ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    pub(super) delay: Duration,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

/// How a task was taken on, and by which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    New,
    /// By the first call of the request.
    Before,
    /// Another task has the unique key.
    Other,
}

/// What makes an enqueueing one that can be asked for twice, and one beside which no other is.
#[derive(Clone, Copy, Default)]
pub(super) struct Single<'a> {
    pub(super) request: Option<&'a str>,
    pub(super) window: Duration,
    pub(super) unique: Option<&'a str>,
}

/// Puts tasks of one priority on the queue.
pub(super) async fn enqueue(
    russet: &Russet,
    place: &Place,
    single: Single<'_>,
    when: When,
    tasks: &[(TaskId, Vec<u8>)],
) -> Result<(TaskId, Taken, Reached)> {
    let Some((first, _)) = tasks.first() else {
        return Err(Error::internal("queue/enqueue was given no task"));
    };
    let is_plain = single.request.is_none() && single.unique.is_none() && when == When::default();
    let mut call = match is_plain {
        true => place.call_on(&ENQUEUE, &place.ready(*first)),
        false => place
            .call(&ENQUEUE_ONCE)
            .arg(single.request.unwrap_or_default())
            .arg(millis(single.window))
            .arg(single.unique.unwrap_or_default())
            .arg(millis(when.delay))
            .arg(when.at.max(0)),
    };
    for (id, record) in tasks {
        call = call.arg(id.as_str()).arg(record.as_slice());
    }
    if is_plain {
        let (_, reached): (i64, _) = russet.run_durable(call).await?;
        return Ok((*first, Taken::New, reached));
    }
    if single.request.is_some() {
        call = call.idempotent();
    }
    let ((id, taken), reached): ((String, i64), _) = russet.run_durable(call).await?;
    let taken = match taken {
        1 => Taken::New,
        0 => Taken::Before,
        _ => Taken::Other,
    };
    Ok((id.parse()?, taken, reached))
}

/// What became of a claimed task.
#[derive(Clone)]
pub(super) struct Settlement {
    pub(super) id: TaskId,
    pub(super) fence: u64,
    pub(super) unique: Option<String>,
    pub(super) verdict: Verdict,
    /// Where it is counted.
    pub(super) kind: Arc<Kind>,
}

#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Done, at this attempt; nothing is kept.
    Ack {
        attempt: u32,
    },
    /// Done; the outcome is kept.
    Keep {
        ms: u64,
        name: String,
        attempt: u32,
        result: Vec<u8>,
    },
    Retry {
        delay: Duration,
        error: String,
    },
    Dead {
        error: String,
    },
    Release,
    Cancelled,
}

impl Settlement {
    /// Nearly all are: the first attempt of a task without a unique key, acknowledged. They are told by their id alone.
    fn is_plain(&self) -> bool {
        self.unique.is_none() && matches!(self.verdict, Verdict::Ack { attempt: 1 })
    }

    /// What the script is told: the verdict, its number and its text.
    fn told(&self) -> (&'static str, u64, Vec<u8>) {
        match &self.verdict {
            Verdict::Ack { attempt } => ("a", u64::from(*attempt), Vec::new()),
            Verdict::Keep { ms, name, attempt, result } => {
                ("k", *ms, outcome(name, *attempt, result))
            }
            Verdict::Retry { delay, error } => ("r", millis(*delay), error.clone().into_bytes()),
            Verdict::Dead { error } => ("d", 0, error.clone().into_bytes()),
            Verdict::Release => ("f", 0, Vec::new()),
            Verdict::Cancelled => ("c", 0, Vec::new()),
        }
    }
}

/// What is kept of a completed task, behind its state and time.
fn outcome(name: &str, attempt: u32, result: &[u8]) -> Vec<u8> {
    let mut text = [name, " ", &attempt.to_string(), " "].concat().into_bytes();
    text.extend_from_slice(result);
    text
}

/// Who waits for tasks: an address, whether it is registered already, and how long it waits.
#[derive(Clone, Default)]
pub(super) struct Waits {
    pub(super) address: String,
    pub(super) is_registered: bool,
    pub(super) at_most: Duration,
}

/// What a worker wants of a turn.
pub(super) struct Turn<'a> {
    pub(super) most: usize,
    pub(super) lease: Duration,
    pub(super) claimant: &'a str,
    pub(super) waits: Waits,
    pub(super) kept: Kept,
    pub(super) settlements: &'a [Settlement],
    /// Whether so many tasks are all that were claimed together, none of them settled yet.
    pub(super) is_whole: &'a (dyn Fn(u64, usize) -> bool + Sync),
}

/// A claimed task; none when its record is of another version.
pub(super) type Claimed = (TaskId, Option<Record>);

#[derive(Default)]
pub(super) struct Turned {
    /// Until something is due that is not ready now.
    pub(super) wait: Duration,
    pub(super) fence: u64,
    /// Whether each settlement was of a current lease.
    pub(super) settled: Vec<bool>,
    pub(super) claimed: Vec<Claimed>,
    /// The lease of some claim has ended.
    is_dead: bool,
}

/// The scripts of a turn.
#[derive(Clone, Copy)]
struct Scripts {
    turn: &'static Script,
    settle: &'static Script,
    reap: &'static Script,
}

const SCRIPTS: Scripts = Scripts { turn: &TURN, settle: &SETTLE, reap: &REAP };

/// Settles, and claims: a step for all that is only acknowledged and for the claim, one for the rest of what is settled, both
/// sent at once; and one more for what a dead worker left. Settling the same again changes nothing.
pub(super) async fn turn(russet: &Russet, place: &Place, turn: Turn<'_>) -> Result<Turned> {
    turn_by(SCRIPTS, russet, place, turn).await
}

async fn turn_by(
    scripts: Scripts,
    russet: &Russet,
    place: &Place,
    turn: Turn<'_>,
) -> Result<Turned> {
    let (plain, others): (Vec<_>, Vec<_>) =
        (0..turn.settlements.len()).partition(|at| turn.settlements[*at].is_plain());
    let settling = settle(scripts.settle, russet, place, &turn, &others);
    let turning = async {
        // Nothing that a turn would do.
        let is_idle = turn.most == 0 && plain.is_empty() && !turn.waits.is_registered;
        if is_idle {
            Ok(None)
        } else {
            one(scripts.turn, russet, place, &turn, &plain).await.map(Some)
        }
    };
    let (lost, mut turned) = match try_join(settling, turning).await? {
        (lost, Some((lost_too, turned))) => (lost.into_iter().chain(lost_too).collect(), turned),
        (lost, None) => (lost, Turned::default()),
    };
    turned.settled = vec![true; turn.settlements.len()];
    for at in lost {
        turned.settled[at] = false;
    }
    if turned.is_dead {
        // The claim of this turn stands whatever becomes of the other: who looks later brings it back.
        let Kept { cancelled, most, most_bytes } = turn.kept;
        let call = place.call(scripts.reap).arg(millis(cancelled)).arg(most).arg(most_bytes);
        if let Err(error) = russet.run::<u64>(call).await {
            tracing::debug!(%error, "what a worker left was not brought back yet");
            turned.wait = AFTER_FAILED_REAP;
        }
    }
    Ok(turned)
}

/// How long until a dead worker's claim is looked at again, when it could not be brought back.
const AFTER_FAILED_REAP: Duration = Duration::from_millis(100);

/// Settles those at these places among the settlements; answers those whose lease was lost.
async fn settle(
    script: &'static Script,
    russet: &Russet,
    place: &Place,
    turn: &Turn<'_>,
    others: &[usize],
) -> Result<Vec<usize>> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let Kept { cancelled, most, most_bytes } = turn.kept;
    let call = place.call(script).arg(turn.claimant);
    let mut call = call.arg(millis(cancelled)).arg(most).arg(most_bytes);
    for at in others {
        let settlement = &turn.settlements[*at];
        let (verdict, number, text) = settlement.told();
        call = call
            .arg(settlement.id.as_str())
            .arg(settlement.fence)
            .arg(verdict)
            .arg(number)
            .arg(settlement.unique.as_deref().unwrap_or("-"))
            .arg(text);
    }
    let lost: Vec<usize> = russet.run(call).await?;
    Ok(lost.into_iter().filter_map(|place| others.get(place.checked_sub(1)?).copied()).collect())
}

/// A turn that acknowledges those at these places among the settlements; answers those whose lease was lost.
async fn one(
    script: &'static Script,
    russet: &Russet,
    place: &Place,
    turn: &Turn<'_>,
    plain: &[usize],
) -> Result<(Vec<usize>, Turned)> {
    let mut of_claims = BTreeMap::<u64, Vec<usize>>::new();
    for at in plain {
        of_claims.entry(turn.settlements[*at].fence).or_default().push(*at);
    }
    // A claim all of whose tasks end together is told by its number.
    let (wholes, parts): (Vec<_>, Vec<_>) =
        of_claims.into_iter().partition(|(fence, tasks)| (turn.is_whole)(*fence, tasks.len()));
    let mut told: Vec<Vec<usize>> =
        parts.iter().flat_map(|(_, tasks)| tasks).map(|at| vec![*at]).collect();
    let mut call = place
        .call(script)
        .arg(turn.most)
        .arg(millis(turn.lease))
        .arg(turn.claimant)
        .arg(turn.waits.address.as_str())
        .arg(millis(turn.waits.at_most))
        .arg(u8::from(turn.waits.is_registered))
        .arg(told.len())
        .arg(parts.len())
        .arg(wholes.len());
    for at in told.iter().flatten() {
        call = call.arg(turn.settlements[*at].id.as_str());
    }
    for (fence, _) in parts.iter().chain(&wholes) {
        call = call.arg(*fence);
    }
    for (_, tasks) in &parts {
        call = call.arg(tasks.len());
    }
    told.extend(wholes.into_iter().map(|(_, tasks)| tasks));
    type Answer = (i64, u64, u64, Vec<usize>, String, Vec<Vec<u8>>, u8);
    let (now, wait, fence, lost, ids, records, is_dead): Answer = russet.run(call).await?;
    russet.clock().learn(now);
    let lost = lost.into_iter().filter_map(|place| told.get(place.checked_sub(1)?));
    let turned = Turned {
        wait: Duration::from_millis(wait),
        fence,
        settled: Vec::new(),
        claimed: TaskId::all(&ids)?.zip(records.into_iter().map(Record::read)).collect(),
        is_dead: is_dead == 1,
    };
    Ok((lost.flatten().copied().collect(), turned))
}

/// The call that renews claims.
pub(super) fn renewal(place: &Place, lease: Duration, claims: &[u64], claimant: &str) -> Call {
    let mut call = place.call(&KEEP).arg(millis(lease));
    for claim in claims {
        call = call.arg([&claim.to_string(), " ", claimant].concat());
    }
    call.idempotent()
}

/// What a renewal answers.
pub(super) enum Told {
    Lost(u64),
    Cancel(TaskId),
}

impl Told {
    pub(super) fn read(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("lost", claim) => claim.parse().ok().map(Self::Lost),
            ("cancel", id) => id.parse().ok().map(Self::Cancel),
            _ => None,
        }
    }
}

/// Renews one claim now; answers whether it was current.
pub(super) async fn extend(
    russet: &Russet,
    place: &Place,
    lease: Duration,
    claim: u64,
    claimant: &str,
) -> Result<bool> {
    let told: Vec<String> = russet.run(renewal(place, lease, &[claim], claimant)).await?;
    Ok(!told.iter().any(|line| matches!(Told::read(line), Some(Told::Lost(_)))))
}

/// Gives back what was claimed in answers that were lost.
pub(super) async fn recover(
    russet: &Russet,
    place: &Place,
    claimant: &str,
    known: &[u64],
) -> Result<u64> {
    let mut call = place.call(&RECOVER).arg(claimant);
    for claim in known {
        call = call.arg(*claim);
    }
    russet.run(call.idempotent()).await
}

/// Cancels; answers what became of it.
pub(super) async fn cancel(
    russet: &Russet,
    place: &Place,
    id: TaskId,
    kept: Kept,
) -> Result<String> {
    let call = place.call(&CANCEL).arg(id.as_str()).arg(millis(kept.cancelled));
    let call = call.arg(place.cancelling()).arg(kept.most).arg(kept.most_bytes);
    russet.run(call).await
}

/// The longest list of ready tasks that is searched for one.
const LONGEST_SEARCH: u32 = 10_000;

/// Gives a task that waits another time; answers what became of it. Sent twice, it ends the same, but for a delay that begins
/// anew.
pub(super) async fn reschedule(
    russet: &Russet,
    place: &Place,
    id: TaskId,
    when: When,
) -> Result<String> {
    let call = place.call(&RESCHEDULE).arg(id.as_str()).arg(millis(when.delay));
    russet.run(call.arg(when.at.max(0)).arg(LONGEST_SEARCH)).await
}

/// What stands there of a task, as the script tells it.
pub(super) async fn status(russet: &Russet, place: &Place, id: TaskId) -> Result<Vec<Vec<u8>>> {
    russet.run(place.call(&STATUS).arg(id.as_str())).await
}

/// The counts, the rate limit, and the first tasks of each priority: `<id> <delay in ms>`.
pub(super) async fn counts(
    russet: &Russet,
    place: &Place,
) -> Result<([i64; 9], String, Vec<String>)> {
    let (counts, limit, first): (Vec<i64>, String, Vec<String>) =
        russet.run(place.call(&COUNTS)).await?;
    let counts = counts
        .try_into()
        .map_err(|_| Error::internal("queue/counts answered another number of counts"))?;
    Ok((counts, limit, first))
}

/// What stands there of the tasks of a page.
pub(super) struct Row {
    pub(super) id: TaskId,
    /// Since when or until when, in ms, or the fence.
    pub(super) number: i64,
    /// The record, or the outcome.
    pub(super) record: Vec<u8>,
    pub(super) errors: String,
    pub(super) progress: Vec<u8>,
}

/// A page of the tasks in a state, and the place after it; -1 when there are no more.
pub(super) async fn peek(
    russet: &Russet,
    place: &Place,
    state: &str,
    first: u64,
    most: u64,
) -> Result<(i64, Vec<Row>)> {
    type Answer = (i64, Vec<String>, Vec<i64>, Vec<Vec<u8>>, Vec<String>, Vec<Vec<u8>>);
    let call = place.call(&PEEK).arg(state).arg(first).arg(most);
    let (after, ids, numbers, records, errors, progress): Answer = russet.run(call).await?;
    let rows = ids.into_iter().zip(numbers).zip(records).zip(errors).zip(progress);
    let rows = rows.map(|((((id, number), record), errors), progress)| {
        Ok(Row { id: id.parse()?, number, record, errors, progress })
    });
    Ok((after, rows.collect::<Result<_>>()?))
}

/// Id, time of death, record and errors of some dead tasks.
pub(super) async fn dead(
    russet: &Russet,
    place: &Place,
    first: u64,
    most: u64,
) -> Result<Vec<(TaskId, i64, Vec<u8>, String)>> {
    type Answer = (Vec<String>, Vec<i64>, Vec<Vec<u8>>, Vec<String>);
    let call = place.call(&DEAD).arg(first).arg(first + most - 1);
    let (ids, times, records, errors): Answer = russet.run(call).await?;
    let rows = ids.into_iter().zip(times).zip(records).zip(errors);
    rows.map(|(((id, time), record), errors)| Ok((id.parse()?, time, record, errors))).collect()
}

/// Brings back one dead task, or a hundred of those that died until then; answers how many, and until when.
pub(super) async fn redrive(
    russet: &Russet,
    place: &Place,
    id: Option<TaskId>,
    until: i64,
) -> Result<(u64, i64)> {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    russet.run(place.call(&REDRIVE).arg(id).arg(until)).await
}

/// Ends one dead task, or a hundred of those that were kept for so long, and other things that are over; answers how many of
/// the two.
pub(super) async fn sweep(
    russet: &Russet,
    place: &Place,
    id: Option<TaskId>,
    keep: Duration,
) -> Result<(u64, u64)> {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    russet.run(place.call(&SWEEP).arg(id).arg(millis(keep))).await
}

/// Answers whether it was not so before.
pub(super) async fn pause(russet: &Russet, place: &Place, is_paused: bool) -> Result<bool> {
    russet.run(place.call(&PAUSE).arg(u8::from(is_paused))).await
}

/// Sets the rate, or takes it away.
pub(super) async fn limit(russet: &Russet, place: &Place, limit: &str) -> Result<()> {
    russet.run::<i64>(place.call(&LIMIT).arg(limit).idempotent()).await.map(|_| ())
}

/// Says how far a task is; answers whether its lease is current.
pub(super) async fn progress(
    russet: &Russet,
    place: &Place,
    id: TaskId,
    fence: u64,
    progress: &[u8],
) -> Result<bool> {
    let call = place.call(&PROGRESS).arg(id.as_str()).arg(fence).arg(progress);
    russet.run(call.idempotent()).await
}

/// Registers who waits for the end of a task; answers whether it has not ended.
pub(super) async fn watch(
    russet: &Russet,
    place: &Place,
    id: TaskId,
    address: &str,
    time: Duration,
) -> Result<bool> {
    let call = place.call(&WATCH).arg(id.as_str()).arg(address).arg(millis(time));
    russet.run(call.idempotent()).await
}

/// The end of a task that is written together with its effects.
pub(super) struct Completion<'a> {
    pub(super) id: TaskId,
    pub(super) fence: u64,
    pub(super) claimant: &'a str,
    pub(super) record: &'a Record,
    pub(super) result: &'a [u8],
    pub(super) kept: Kept,
    pub(super) effects: &'a [Effect],
}

/// What became of it.
pub(super) enum Completed {
    Done,
    Lost,
    /// What stands in this field is no number to add to.
    NoNumber(String),
}

pub(super) async fn complete(
    russet: &Russet,
    place: &Place,
    completion: Completion<'_>,
) -> Result<Completed> {
    let Completion { id, fence, claimant, record, result, kept, effects } = completion;
    let mut hashes: Vec<&str> = effects.iter().map(|effect| effect.hash.as_str()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let parts: Vec<_> = hashes.iter().map(|hash| keys::effects(hash)).collect();
    let mut call = place
        .call_with(&COMPLETE, &parts)
        .arg(id.as_str())
        .arg(fence)
        .arg(claimant)
        .arg(millis(record.keep_result.unwrap_or_default()))
        .arg(outcome(&record.name, record.attempts + 1, result))
        .arg(record.unique.as_deref().unwrap_or("-"))
        .arg(kept.most)
        .arg(kept.most_bytes);
    for Effect { hash, field, change } in effects {
        let key = place.parts.len() + 1 + hashes.partition_point(|other| *other < hash.as_str());
        call = match change {
            Change::Put(value) => call.arg("put").arg(key).arg(field).arg(value.as_slice()),
            Change::Add(number) => call.arg("add").arg(key).arg(field).arg(*number),
            Change::Remove => call.arg("remove").arg(key).arg(field).arg(""),
        };
    }
    let told: String = russet.run(call).await?;
    Ok(match told.split_once(' ') {
        None if told == "done" => Completed::Done,
        Some(("number", field)) => Completed::NoNumber(field.to_owned()),
        _ => Completed::Lost,
    })
}

/// What an effect left in a field.
pub(super) async fn effect(
    russet: &Russet,
    place: &Place,
    hash: &str,
    field: &str,
) -> Result<Option<Vec<u8>>> {
    russet.run(Call::read("HGET", &place.slot).key(&keys::effects(hash)).arg(field)).await
}

/// Removes a hash of effects; answers whether there was one.
pub(super) async fn remove_effects(russet: &Russet, place: &Place, hash: &str) -> Result<bool> {
    russet.run(Call::write("DEL", &place.slot).key(&keys::effects(hash))).await
}

/// What is recorded of a step.
pub(super) enum Recorded {
    Result(Vec<u8>),
    Nothing,
    Lost,
}

/// Looks for the result of a step, or records it.
pub(super) async fn record(
    russet: &Russet,
    place: &Place,
    id: TaskId,
    fence: u64,
    step: &str,
    result: Option<&[u8]>,
) -> Result<Recorded> {
    let mut call = place.call(&RECORD).arg(id.as_str()).arg(fence).arg(step);
    if let Some(result) = result {
        call = call.arg(result);
    }
    let mut answer: Vec<Vec<u8>> = russet.run(call.idempotent()).await?;
    Ok(match answer.first().map(Vec::as_slice) {
        Some(b"recorded") => Recorded::Result(answer.pop().unwrap_or_default()),
        Some(b"nothing") => Recorded::Nothing,
        _ => Recorded::Lost,
    })
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
