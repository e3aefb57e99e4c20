//! The flushing side: finds partitions with work, takes their leases, writes their batches.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Mutex, oneshot},
    time::Instant,
};

use super::{
    failing::{Failing, Verdict},
    marks::Mark,
    queue::Queue,
    scripts::{self, Bound},
};
use crate::{
    cache::{entry::Entry, writes::Encoded},
    client::Pulse,
    error::{BoxError, Result},
    id::Id,
    service::Rest,
};

/// Between two looks at all partitions. It bounds how long the writes of a process that died lie there, beside the lease.
const SWEEP: Duration = Duration::from_secs(1);
/// The most partitions of one round.
const PARTITIONS: usize = 128;
/// The same when they hold more than a round takes: then it takes more of each, which costs less.
const CROWDED: usize = 16;
/// How many writes are tried one by one before a store that takes none of them is left alone.
const PROBES: usize = 3;
/// The longest error that is kept, in bytes.
const LONGEST_ERROR: usize = 500;

/// The flusher of a process.
pub(super) struct Flusher {
    queue: Arc<Queue>,
    id: Id,
    state: Mutex<State>,
    gauge: metrics::Gauge,
}

struct State {
    sweep_due: Instant,
    /// Before that the writes of other partitions are waited for: they fill the batch.
    next_batch: Instant,
    /// The last round left something that it could have taken.
    crowded: bool,
    /// The store took nothing: until when it is left alone.
    pause: Option<Instant>,
    failing: Failing,
    request: Option<Request>,
}

/// Somebody waits until everything up to these numbers is in the store.
struct Request {
    targets: Vec<u64>,
    left: BTreeSet<u32>,
    /// Entries that were written since, and put again meanwhile.
    written: HashSet<(u32, u64)>,
    done: oneshot::Sender<()>,
}

/// A queued write that was claimed.
struct Claimed {
    partition: u32,
    /// The number of its entry.
    entry: u64,
    key: String,
    /// None when it is in the store already, or of a form that this version cannot read.
    write: Option<Encoded>,
    foreign: bool,
}

/// What is left in a partition after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Something that has not lingered yet, or was put again meanwhile.
    Later,
    /// Another flusher has it, for so long.
    Busy(Duration),
    More,
    /// Writes that are to be tried again then.
    Failing(Instant),
}

impl Flusher {
    pub(super) fn new(queue: Arc<Queue>) -> Result<Self> {
        let gauge = metrics::gauge!("russet_cache_backlog", "cache" => queue.name().to_owned());
        let state = State {
            sweep_due: Instant::now(),
            next_batch: Instant::now(),
            crowded: false,
            pause: None,
            failing: Failing::default(),
            request: None,
        };
        Ok(Self { queue, id: Id::random()?, state: Mutex::new(state), gauge })
    }

    /// One batch at most.
    #[tracing::instrument(name = "cache.flusher", level = "debug", skip_all, fields(cache = self.queue.name()))]
    pub(super) async fn round(&self) -> Result<Rest> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if state.sweep_due <= Instant::now() {
            self.sweep().await?;
            state.sweep_due = Instant::now() + SWEEP;
        }
        if let Some(pause) = state.pause
            && pause > Instant::now()
        {
            let next = pause.min(state.sweep_due);
            return Ok(Rest::For(next.saturating_duration_since(Instant::now())));
        }
        if state.request.as_ref().is_some_and(|request| request.done.is_closed()) {
            state.request = None;
        }
        if state.request.is_none() {
            state.request = self.queue.next_request().map(Request::new);
        }
        if state.request.is_some() {
            return self.serve(state).await;
        }
        if state.next_batch <= Instant::now() {
            let most = if state.crowded { CROWDED } else { PARTITIONS };
            let due = self.queue.marks.take_due(Instant::now(), most);
            if !due.is_empty() {
                return self.flush_due(state, due).await;
            }
        }
        let marked = self.queue.marks.next().map(|due| due.max(state.next_batch));
        let next = marked.map_or(state.sweep_due, |due| due.min(state.sweep_due));
        Ok(Rest::For(next.saturating_duration_since(Instant::now())))
    }

    /// Looks for writes that nobody else flushes: one round trip, 256 `XLEN`.
    async fn sweep(&self) -> Result<()> {
        let lengths: Vec<u64> = self.queue.of_each(scripts::backlog).await?;
        self.gauge.set(lengths.iter().sum::<u64>() as f64);
        // Whoever put them comes first.
        let due = Instant::now() + 2 * self.queue.settings.linger;
        for (partition, _) in self.queue.partitions().zip(lengths).filter(|(_, length)| *length > 0)
        {
            self.queue.marks.add(partition, due, false);
        }
        Ok(())
    }

    /// What has lingered.
    async fn flush_due(&self, state: &mut State, due: Vec<(u32, Mark)>) -> Result<Rest> {
        let linger = self.queue.settings.linger;
        let partitions: Vec<_> =
            due.iter().map(|(partition, _)| (*partition, Bound::Lingered(linger))).collect();
        let left = match self.flush(state, &partitions).await {
            Ok(left) => left,
            Err(error) => {
                for (partition, mark) in due {
                    self.queue.marks.add(partition, Instant::now(), mark.own);
                }
                return Err(error);
            }
        };
        let own: HashMap<_, _> =
            due.iter().map(|(partition, mark)| (*partition, mark.own)).collect();
        let mut more = false;
        for (partition, left) in left {
            let own = own.get(&partition).copied().unwrap_or_default();
            let soon = (linger / 2).max(Duration::from_millis(5));
            let again = match left {
                Left::Nothing => continue,
                // The sweep finds again what is another's.
                Left::Later | Left::Busy(_) if !own => continue,
                Left::Later => Instant::now() + soon,
                Left::Busy(time) => Instant::now() + time.clamp(soon, SWEEP),
                Left::Failing(due) => due,
                Left::More => {
                    more = true;
                    Instant::now()
                }
            };
            self.queue.marks.add(partition, again, own);
        }
        state.crowded = more;
        if !more {
            state.next_batch = Instant::now() + linger / 2;
        }
        Ok(Rest::For(Duration::ZERO))
    }

    /// What somebody waits for.
    async fn serve(&self, state: &mut State) -> Result<Rest> {
        let Some(request) = &state.request else { return Ok(Rest::For(Duration::ZERO)) };
        let partitions: Vec<_> = request
            .left
            .iter()
            .take(if state.crowded { CROWDED } else { PARTITIONS })
            .map(|partition| (*partition, Bound::UpTo(request.targets[*partition as usize])))
            .collect();
        let left = self.flush(state, &partitions).await?;
        let mut rest = Duration::from_millis(20);
        state.crowded = left.iter().any(|(_, left)| *left == Left::More);
        if let Some(request) = &mut state.request {
            for (partition, left) in left {
                match left {
                    Left::Nothing | Left::Later => {
                        request.left.remove(&partition);
                        rest = Duration::ZERO;
                    }
                    Left::More => rest = Duration::ZERO,
                    Left::Busy(_) | Left::Failing(_) => {}
                }
            }
            if request.left.is_empty()
                && let Some(request) = state.request.take()
            {
                let _ = request.done.send(());
            }
        }
        Ok(Rest::For(rest))
    }

    /// Claims, writes and forgets one batch of these partitions.
    async fn flush(
        &self,
        state: &mut State,
        partitions: &[(u32, Bound)],
    ) -> Result<Vec<(u32, Left)>> {
        let queue = &self.queue;
        let lease = queue.settings.lease;
        let share = queue.settings.batch.div_ceil(partitions.len().max(1)) + state.failing.count();
        let count = |partition| {
            let written = state.request.as_ref().map_or(0, |request| request.written_in(partition));
            (share + written).min(1_000)
        };
        let claims: Vec<_> = partitions
            .iter()
            .map(|(partition, bound)| {
                scripts::claim(queue.slot(*partition), self.id, lease, *bound, count(*partition))
            })
            .collect();
        let answers: Vec<Vec<Vec<u8>>> = queue.russet.run_many(&claims).await?;

        let mut left: HashMap<u32, Left> = HashMap::new();
        let mut claimed = Vec::new();
        let mut held = Vec::new();
        let pulse = Arc::new(Pulse::new(lease));
        for ((partition, _), answer) in partitions.iter().zip(answers) {
            match read_claim(*partition, answer) {
                Ok(writes) => {
                    let full = writes.len() >= count(*partition);
                    left.insert(*partition, if full { Left::More } else { Left::Nothing });
                    let keep = scripts::keep(queue.slot(*partition), self.id, lease);
                    held.push((*partition, queue.russet.control().keep(lease / 3, keep, &pulse)));
                    claimed.extend(writes);
                }
                Err(nothing) => {
                    left.insert(*partition, nothing);
                }
            }
        }
        let stored = pulse.of(self.write(state, &claimed, &mut left)).await;
        let (kept, partitions): (Vec<_>, Vec<_>) =
            held.into_iter().map(|(partition, kept)| (kept, partition)).unzip();
        drop(kept);
        let acks: Vec<_> = partitions
            .iter()
            .map(|partition| {
                let ours = claimed.iter().zip(&stored);
                let ours = ours.filter(|(one, stored)| **stored && one.partition == *partition);
                let acks: Vec<_> = ours
                    .map(|(one, _)| {
                        let sequence = one.write.as_ref().map(|write| write.sequence.to_string());
                        (one.entry, one.key.as_str(), sequence.unwrap_or_default())
                    })
                    .collect();
                let writes = acks.iter().filter(|(.., sequence)| !sequence.is_empty()).count();
                (*partition, writes, scripts::ack(queue.slot(*partition), self.id, &acks))
            })
            .collect();
        let calls: Vec<_> = acks.iter().map(|(.., call)| call.clone()).collect();
        let settled: Vec<usize> = queue.russet.run_many(&calls).await?;
        for ((partition, writes, _), settled) in acks.into_iter().zip(settled) {
            // Put again meanwhile.
            if settled < writes && left.get(&partition) == Some(&Left::Nothing) {
                left.insert(partition, Left::Later);
            }
        }
        if let Some(request) = &mut state.request {
            let done = claimed.iter().zip(&stored).filter(|(_, stored)| **stored);
            request.written.extend(done.map(|(one, _)| (one.partition, one.entry)));
        }
        Ok(left.into_iter().collect())
    }

    /// Writes what was claimed, as far as it is due; answers for each whether the store has it.
    async fn write(
        &self,
        state: &mut State,
        claimed: &[Claimed],
        left: &mut HashMap<u32, Left>,
    ) -> Vec<bool> {
        let mut stored = vec![false; claimed.len()];
        let mut due = Vec::new();
        for (at, one) in claimed.iter().enumerate() {
            let Some(write) = &one.write else {
                stored[at] = !one.foreign;
                if one.foreign {
                    left.insert(one.partition, Left::Failing(Instant::now() + SWEEP));
                }
                continue;
            };
            let again = state
                .request
                .as_ref()
                .is_some_and(|request| request.written.contains(&(one.partition, one.entry)));
            match state.failing.not_before(write) {
                Some(then) if then > Instant::now() => {
                    left.insert(one.partition, Left::Failing(then));
                }
                _ if again => {}
                _ => due.push((at, write)),
            }
        }
        let (mut taken, mut failed) = (0, false);
        for batch in due.chunks(self.queue.settings.batch) {
            let (ours, more) = self.write_batch(state, claimed, batch, left).await;
            taken += ours.len();
            failed |= more;
            for at in ours {
                stored[at] = true;
            }
            if failed && taken == 0 {
                // The store takes nothing: the rest of the claim waits as well.
                break;
            }
        }
        self.queue.counting.flushed(taken);
        if failed && taken == 0 {
            let pause = Instant::now() + state.failing.outage();
            state.pause = Some(pause);
            for (at, _) in &due {
                if let Some(one) = claimed.get(*at) {
                    left.insert(one.partition, Left::Failing(pause));
                }
            }
        } else if taken > 0 {
            state.pause = None;
        }
        stored
    }

    /// Writes a batch, and when the store does not take it, each write by itself; answers what it took, and whether it
    /// refused anything.
    async fn write_batch(
        &self,
        state: &mut State,
        claimed: &[Claimed],
        batch: &[(usize, &Encoded)],
        left: &mut HashMap<u32, Left>,
    ) -> (Vec<usize>, bool) {
        let queue = &self.queue;
        let writes: Vec<_> = batch.iter().map(|(_, write)| *write).collect();
        let mut taken = Vec::new();
        if writes.len() > 1 {
            match queue.flow.write(&writes).await {
                Ok(()) => {
                    for (at, write) in batch {
                        state.failing.succeeded(write);
                        taken.push(*at);
                    }
                    return (taken, false);
                }
                Err(error) => {
                    queue.counting.flush_errors(1);
                    tracing::warn!(cache = %queue.name(), writes = writes.len(), %error, "a batch was not written");
                }
            }
        }
        for (tried, (at, write)) in batch.iter().enumerate() {
            if tried >= PROBES && taken.is_empty() {
                break;
            }
            match queue.flow.write(&[*write]).await {
                Ok(()) => {
                    state.failing.succeeded(write);
                    taken.push(*at);
                }
                Err(error) => {
                    queue.counting.flush_errors(1);
                    if let Some(one) = claimed.get(*at) {
                        self.refused(state, one, write, &error, left).await;
                    }
                }
            }
        }
        (taken, true)
    }

    /// One write that the store did not take by itself.
    async fn refused(
        &self,
        state: &mut State,
        one: &Claimed,
        write: &Encoded,
        error: &BoxError,
        left: &mut HashMap<u32, Left>,
    ) {
        let queue = &self.queue;
        let verdict = state.failing.failed(write, queue.settings.attempts);
        let due = state.failing.not_before(write).unwrap_or_else(Instant::now);
        let Verdict::Dead(attempts) = verdict else {
            left.insert(one.partition, Left::Failing(due));
            return;
        };
        let mut error = error.to_string();
        error.truncate(error.floor_char_boundary(LONGEST_ERROR));
        let slot = queue.slot(one.partition);
        let bury = scripts::bury(slot, one.entry, &write.key, write.sequence, attempts, &error);
        match queue.russet.run::<bool>(bury).await {
            Ok(buried) => {
                queue.counting.dead(usize::from(buried));
                tracing::error!(cache = %queue.name(), attempts, %error, "a write is dead: the store refuses it");
            }
            Err(failure) => {
                tracing::warn!(cache = %queue.name(), error = %failure, "a dead write stays on the stream");
                left.insert(one.partition, Left::Failing(due + SWEEP));
            }
        }
    }
}

impl Request {
    fn new((targets, done): (Vec<u64>, oneshot::Sender<()>)) -> Self {
        let left =
            (0..).zip(&targets).filter(|(_, target)| **target > 0).map(|(at, _)| at).collect();
        Self { left, targets, written: HashSet::new(), done }
    }

    fn written_in(&self, partition: u32) -> usize {
        self.written.iter().filter(|(of, _)| *of == partition).count()
    }
}

/// What a claim brought, or why it brought nothing.
fn read_claim(partition: u32, answer: Vec<Vec<u8>>) -> Result<Vec<Claimed>, Left> {
    let mut answer = answer.into_iter();
    match answer.next().as_deref() {
        Some(b"claimed") => {}
        Some(b"later") => return Err(Left::Later),
        Some(b"busy") => {
            let left = answer.next().and_then(|left| String::from_utf8(left).ok());
            let left = left.and_then(|left| left.parse().ok()).unwrap_or_default();
            return Err(Left::Busy(Duration::from_millis(left)));
        }
        _ => return Err(Left::Nothing),
    }
    let mut claimed = Vec::new();
    while let (Some(entry), Some(key), Some(queued)) = (answer.next(), answer.next(), answer.next())
    {
        let number = std::str::from_utf8(&entry).ok().and_then(|entry| entry.parse().ok());
        let Some(entry) = number else { continue };
        let key = String::from_utf8_lossy(&key).into_owned();
        let absent = queued.is_empty();
        let write = read_queued(&key, queued);
        let foreign = write.is_none() && !absent;
        claimed.push(Claimed { partition, entry, key, write, foreign });
    }
    Ok(claimed)
}

/// `V1;seq=<number> <payload>` or `N1;seq=<number> `.
fn read_queued(key: &str, queued: Vec<u8>) -> Option<Encoded> {
    let head = queued.iter().position(|byte| *byte == b' ')?;
    let head = std::str::from_utf8(queued.get(..head)?).ok()?;
    let sequence = head.split(';').find_map(|field| field.strip_prefix("seq="))?.parse().ok()?;
    let payload: Option<Bytes> = match Entry::read(queued) {
        Entry::Stored(stored) => stored.payload,
        Entry::Lease | Entry::Foreign => return None,
    };
    Some(Encoded { key: key.to_owned(), payload, sequence })
}
