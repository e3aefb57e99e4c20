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
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{keys::Namespace, queue::stats::Counting, testing::TestServer};

    const LONG: Duration = Duration::from_secs(60);
    const BRIEF: Duration = Duration::from_millis(1);

    struct Scene {
        _server: TestServer,
        russet: Russet,
        place: Place,
        id: TaskId,
    }

    /// A queue with one task that is ready.
    async fn scene() -> Scene {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let slot = Slot::of(&Namespace::new("test").unwrap(), "queue", "mutants").unwrap();
        let (place, id) = (Place::new(slot), TaskId::new(1, 0));
        let body = Bytes::from_static(b"{}");
        let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
        let task = [(id, record.write())];
        enqueue(&russet, &place, Single::default(), When::default(), &task).await.unwrap();
        Scene { _server: server, russet, place, id }
    }

    impl Scene {
        async fn turn(
            &self,
            scripts: Scripts,
            claimant: &str,
            most: usize,
            lease: Duration,
            settlements: &[Settlement],
        ) -> Turned {
            let is_whole = &|_, _| false;
            self.turn_of(scripts, claimant, most, lease, settlements, is_whole).await
        }

        /// A turn of a worker that thinks so of what makes a whole claim.
        async fn turn_of(
            &self,
            scripts: Scripts,
            claimant: &str,
            most: usize,
            lease: Duration,
            settlements: &[Settlement],
            is_whole: &(dyn Fn(u64, usize) -> bool + Sync),
        ) -> Turned {
            let waits = Waits::default();
            let kept = Kept { cancelled: LONG, most: 10, most_bytes: 1_000 };
            let turn = Turn { most, lease, claimant, waits, kept, settlements, is_whole };
            turn_by(scripts, &self.russet, &self.place, turn).await.unwrap()
        }

        /// Claims with this script until there is something, for a while.
        async fn claim(&self, scripts: Scripts, claimant: &str, lease: Duration) -> Option<u64> {
            for _ in 0..100 {
                let turned = self.turn(scripts, claimant, 1, lease, &[]).await;
                if !turned.claimed.is_empty() {
                    return Some(turned.fence);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            None
        }

        fn ack(&self, fence: u64) -> [Settlement; 1] {
            let verdict = Verdict::Ack { attempt: 1 };
            let kind = Counting::new("mutants").kind("task");
            [Settlement { id: self.id, fence, unique: None, verdict, kind }]
        }
    }

    /// The script with one line changed.
    fn mutant(of: &'static Script, from: &str, to: &str) -> &'static Script {
        assert_eq!(of.source.matches(from).count(), 1, "{from}");
        let source = of.source.replace(from, to).leak();
        Box::leak(Box::new(Script::new("mutant", source, "allow-oom")))
    }

    fn with_turn(from: &str, to: &str) -> Scripts {
        Scripts { turn: mutant(&TURN, from, to), ..SCRIPTS }
    }

    /// Whether the ack of a worker whose lease ended, and whose task another one has, does anything.
    async fn a_late_ack_settles(scripts: Scripts) -> bool {
        let scene = scene().await;
        let late = scene.claim(SCRIPTS, "late", BRIEF).await.unwrap();
        let current = scene.claim(SCRIPTS, "current", LONG).await.unwrap();
        assert!(current > late);
        let settled = scene.turn(scripts, "late", 0, LONG, &scene.ack(late)).await.settled;
        let is_there =
            scene.turn(SCRIPTS, "current", 0, LONG, &scene.ack(current)).await.settled == [true];
        assert_ne!(settled == [true], is_there, "one of them settles");
        settled == [true]
    }

    #[tokio::test]
    async fn a_late_ack_changes_nothing() {
        assert!(!a_late_ack_settles(SCRIPTS).await);
    }

    #[tokio::test]
    async fn without_its_token_check_a_late_ack_would_take_the_task_from_another_worker() {
        let check = "if held[j] == claim then";
        assert!(a_late_ack_settles(with_turn(check, "if held[j] then")).await);
    }

    /// Whether a second worker gets a task that the first one holds.
    async fn a_held_task_is_given_to_another(scripts: Scripts) -> bool {
        let scene = scene().await;
        scene.claim(scripts, "first", LONG).await.unwrap();
        scene.claim(scripts, "second", LONG).await.is_some()
    }

    #[tokio::test]
    async fn a_held_task_is_nobody_elses() {
        assert!(!a_held_task_is_given_to_another(SCRIPTS).await);
    }

    #[tokio::test]
    async fn without_its_look_at_the_time_the_reaper_would_give_away_what_is_held() {
        let always =
            with_turn("  if tonumber(lease[2]) <= now then is_dead", "  if true then is_dead");
        assert!(!a_held_task_is_given_to_another(always).await, "the reaper looks itself");
        let reap = mutant(&REAP, " or tonumber(lease[2]) > now then", " then");
        assert!(a_held_task_is_given_to_another(Scripts { reap, ..always }).await);
    }

    /// Whether the task of a worker that died comes to another one.
    async fn an_orphan_comes_back(scripts: Scripts) -> bool {
        let scene = scene().await;
        scene.claim(scripts, "dies", BRIEF).await.unwrap();
        scene.claim(scripts, "lives", LONG).await.is_some()
    }

    #[tokio::test]
    async fn the_task_of_a_dead_worker_comes_back() {
        assert!(an_orphan_comes_back(SCRIPTS).await);
    }

    #[tokio::test]
    async fn without_its_lease_a_claimed_task_would_be_lost_with_its_worker() {
        let lease = "  redis.call('ZADD', leases, now + ARGV[2], claim .. ' ' .. ARGV[3])\n";
        assert!(!an_orphan_comes_back(with_turn(lease, "")).await);
    }

    /// What is left of the claim of three tasks: how many run, and what stands of them, after one is acknowledged, a second
    /// one, and the last one is given back.
    async fn left_after_each_part(scripts: Scripts) -> Vec<(i64, i64, i64)> {
        let scene = scene().await;
        let Scene { _server: server, russet, place, id } = &scene;
        let body = Bytes::from_static(b"{}");
        let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
        let more: Vec<_> = (2..4).map(|n| (TaskId::new(n, 0), record.write())).collect();
        enqueue(russet, place, Single::default(), When::default(), &more).await.unwrap();
        let held = scene.turn(scripts, "worker", 3, LONG, &[]).await;
        assert_eq!(held.claimed.len(), 3);
        let kind = Counting::new("mutants").kind("task");
        let settle = |id, fence, verdict| Settlement {
            id,
            fence,
            unique: None,
            verdict,
            kind: kind.clone(),
        };
        let ack = || Verdict::Ack { attempt: 1 };
        let parts = [
            // With one that is of no claim: it takes nothing from the others.
            vec![settle(*id, held.fence, ack()), settle(TaskId::new(9, 0), held.fence, ack())],
            vec![settle(more[0].0, held.fence, ack())],
            vec![settle(more[1].0, held.fence, Verdict::Release)],
        ];
        let mut left = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let settled = scene.turn(scripts, "worker", 0, LONG, part).await.settled;
            assert_eq!(settled, if at == 0 { vec![true, false] } else { vec![true] });
            let key = |part: &str| format!("test:{{queue:mutants}}:{part}");
            let fields = server.command(&["HLEN", &key("running")]).await.unwrap();
            let leases = server.command(&["ZCARD", &key("leases")]).await.unwrap();
            let (fields, leases) = (fields.int().unwrap(), leases.int().unwrap());
            let running = counts(russet, place).await.unwrap().0[2];
            left.push((running, fields, leases));
        }
        left
    }

    const IN_PARTS: [(i64, i64, i64); 3] = [(2, 3, 1), (1, 2, 1), (0, 0, 0)];

    #[tokio::test]
    async fn a_claim_that_is_settled_in_parts_ends_with_its_last_task() {
        assert_eq!(left_after_each_part(SCRIPTS).await, IN_PARTS);
    }

    #[tokio::test]
    async fn without_any_line_of_its_book_keeping_something_of_a_claim_would_stay() {
        for line in [
            "  if #left > 0 then redis.call('HSET', running, unpack(left)) end\n",
            "  redis.call('HDEL', running, unpack(acked))\n",
        ] {
            assert_ne!(left_after_each_part(with_turn(line, "")).await, IN_PARTS, "{line}");
        }
        for line in [
            "redis.call('HDEL', running, unpack(settled))\n",
            "settle_claims(counts, ARGV[1])\n",
            "      redis.call('HDEL', running, claim)\n",
            "      redis.call('ZREM', leases, claim .. ' ' .. claimant)\n",
        ] {
            let settle = mutant(&SETTLE, line, "");
            let left = left_after_each_part(Scripts { settle, ..SCRIPTS }).await;
            assert_ne!(left, IN_PARTS, "{line}");
        }
    }

    /// What is left when two tasks of a claim are acknowledged as a whole, of which one was given back before: whether they
    /// were settled, how many run, and whether the other one is still there.
    async fn a_claim_as_a_whole(scripts: Scripts, gives_back: bool) -> (bool, i64, bool) {
        let scene = scene().await;
        let Scene { russet, place, id, .. } = &scene;
        let body = Bytes::from_static(b"{}");
        let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
        let other = TaskId::new(2, 0);
        let more = [(other, record.write())];
        enqueue(russet, place, Single::default(), When::default(), &more).await.unwrap();
        let held = scene.turn(scripts, "worker", 2, LONG, &[]).await;
        assert_eq!(held.claimed.len(), 2);
        let kind = Counting::new("mutants").kind("task");
        let settle = |id, verdict| {
            let (unique, kind) = (None, kind.clone());
            Settlement { id, fence: held.fence, unique, verdict, kind }
        };
        if gives_back {
            let back = [settle(other, Verdict::Release)];
            assert_eq!(scene.turn(scripts, "worker", 0, LONG, &back).await.settled, [true]);
        }
        let both = [*id, other].map(|id| settle(id, Verdict::Ack { attempt: 1 }));
        let is_whole = |fence, tasks| fence == held.fence && tasks == 2;
        let turned = scene.turn_of(scripts, "worker", 0, LONG, &both, &is_whole).await;
        assert_eq!(turned.settled[0], turned.settled[1]);
        let running = counts(russet, place).await.unwrap().0[2];
        let is_there = status(russet, place, other).await.unwrap()[0] != b"unknown";
        (turned.settled[0], running, is_there)
    }

    #[tokio::test]
    async fn a_claim_is_acknowledged_as_a_whole_only_as_long_as_none_of_its_tasks_was_settled() {
        assert_eq!(a_claim_as_a_whole(SCRIPTS, false).await, (true, 0, false));
        assert_eq!(a_claim_as_a_whole(SCRIPTS, true).await, (false, 1, true));
    }

    #[tokio::test]
    async fn without_its_look_at_the_number_a_task_that_was_given_back_would_be_lost() {
        let look = " and #entry == before + 22 * string.sub(entry, 1, before - 1) then";
        let (is_settled, _, is_there) = a_claim_as_a_whole(with_turn(look, " then"), true).await;
        assert!(is_settled && !is_there);
    }

    #[tokio::test]
    async fn without_the_end_of_its_lease_a_claim_that_is_over_would_be_looked_at_as_a_dead_one() {
        let line = "  if #finished > 0 then redis.call('ZREM', leases, unpack(finished)) end\n";
        let counted = a_claim_as_a_whole(with_turn(line, ""), false).await;
        assert_ne!(counted, (true, 0, false));
    }

    /// How often a turn looks at the lists that has 2,500 cancelled tasks before it, by how many it wants, and how many turns
    /// it takes to come to the one behind them.
    async fn looks_behind_cancelled_ones(scripts: Scripts, most: usize) -> (u64, usize) {
        let scene = scene().await;
        let Scene { _server: server, russet, place, .. } = &scene;
        let body = Bytes::from_static(b"{}");
        let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
        let tasks: Vec<_> = (2..=2_502).map(|n| (TaskId::new(n, 0), record.write())).collect();
        for tasks in tasks.chunks(1_000) {
            enqueue(russet, place, Single::default(), When::default(), tasks).await.unwrap();
        }
        let kept = Kept { cancelled: Duration::ZERO, most: 10, most_bytes: 1_000 };
        let before = tasks[..tasks.len() - 1].iter().map(|(id, _)| *id);
        for id in before.chain([scene.id]) {
            assert_eq!(cancel(russet, place, id, kept).await.unwrap(), "cancelled");
        }
        let mut looks = 0;
        for turns in 1..20 {
            commands(server).await;
            let claimed = scene.turn(scripts, "worker", most, LONG, &[]).await.claimed;
            let stats = commands(server).await.1;
            let calls = stats.split("(\"lmpop\", ").nth(1).and_then(|rest| rest.split(')').next());
            looks = looks.max(calls.unwrap().parse().unwrap());
            if !claimed.is_empty() {
                return (looks, turns);
            }
        }
        panic!("the task behind them was not found");
    }

    #[tokio::test]
    async fn a_turn_passes_over_a_thousand_cancelled_tasks_and_no_more() {
        assert_eq!(looks_behind_cancelled_ones(SCRIPTS, 1).await, (1_000, 3));
        assert_eq!(looks_behind_cancelled_ones(SCRIPTS, 100).await, (10, 3));
        let bound = with_turn(" or ghosts >= 1000\nend", "\nend");
        assert_eq!(looks_behind_cancelled_ones(bound, 1).await, (2_502, 1));
    }

    /// What the server has run since the last look, its own statistics left out.
    async fn commands(server: &TestServer) -> (u64, String) {
        let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
        let mut lines: Vec<_> = stats
            .text()
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
            .filter_map(|(name, rest)| Some((name, rest.split(',').next()?.parse::<u64>().ok()?)))
            .filter(|(name, _)| !["info", "config|resetstat", "ping"].contains(name))
            .collect();
        lines.sort_unstable();
        let sum = (lines.iter().map(|(_, calls)| calls).sum(), format!("{lines:?}"));
        server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
        sum
    }

    /// What each step may cost when its batch is full; exact, whatever the machine does.
    #[tokio::test]
    async fn a_task_costs_the_commands_that_its_budget_allows() {
        let scene = scene().await;
        let Scene { _server: server, russet, place, .. } = &scene;
        let batch = |tasks: u64| {
            let body = Bytes::from_static(b"{}");
            let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
            (0..tasks).map(|n| (TaskId::new(n as i64, 0), record.write())).collect::<Vec<_>>()
        };
        let put = async |tasks: &[(TaskId, Vec<u8>)]| {
            enqueue(russet, place, Single::default(), When::default(), tasks).await.unwrap();
        };
        // One claim is under way, as in a worker that is never idle; and each script is known.
        put(&batch(49)).await;
        put(&batch(50)).await;
        let mut held = scene.turn(SCRIPTS, "worker", 50, LONG, &[]).await;
        let kind = Counting::new("mutants").kind("task");
        let acks = |held: &Turned| -> Vec<Settlement> {
            let fence = held.fence;
            let ids = held.claimed.iter().map(|(id, _)| *id);
            let ack = |id| {
                let verdict = Verdict::Ack { attempt: 1 };
                Settlement { id, fence, unique: None, verdict, kind: kind.clone() }
            };
            ids.map(ack).collect()
        };
        held = scene.turn(SCRIPTS, "worker", 50, LONG, &acks(&held)).await;
        assert_eq!(held.claimed.len(), 50);

        commands(server).await;
        put(&batch(1)).await;
        let (one, list) = commands(server).await;
        assert!(one <= 5, "enqueue one: {one}, {list}");
        put(&batch(50)).await;
        let (enqueued, list) = commands(server).await;
        println!("enqueue of 50: {enqueued}, {list}");
        assert!(enqueued <= 5, "enqueue of 50: {enqueued}, {list}");
        let next = scene.turn(SCRIPTS, "worker", 50, LONG, &acks(&held)).await;
        assert_eq!(next.claimed.len(), 50);
        let (worked, list) = commands(server).await;
        println!("claim and ack of 50: {worked}, {list}");
        assert!(worked <= 14, "claim and ack of 50: {worked}, {list}");
        assert!(enqueued + worked <= 18, "a whole life of 50: {enqueued} and {worked}");
    }
}
