//! Random interleavings of readers, writers, invalidations and losses, step by step against a real server: at the end no
//! copy is older than its record.
//!
//! Many keys run at a time, each with a history of its own, so that a step of all of them is one pipeline.
//! `RUSSET_INTERLEAVINGS` says how many, `RUSSET_SEED` repeats a run.

#[cfg(test)]
use std::{env, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::scripts::{self, Record};
use crate::{
    cache::{
        behind::{model as behind, scripts::acquire as acquire_behind},
        entry::Entry,
        scripts::Place,
        ttl::Life,
    },
    client::{Call, Russet, raw::Value},
    id::Id,
    keys::{Namespace, Slot, cache as keys},
    testing::TestServer,
};

const TTL: Duration = Duration::from_secs(600);

/// Who acts on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Reader,
    /// Dies after it has read the record.
    LostReader,
    Around,
    Through,
    Strict,
    StrictThrough,
    /// Dies after the commit; its guard costs its time.
    LostStrict,
    /// Changes the record past the cache, and invalidates.
    Outsider,
    /// What a TTL or an eviction does.
    Expiry,
    TicketExpiry,
    Put,
    Flusher,
}

/// An order of steps that is wrong, and must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The copy is dropped before the record changes.
    InvalidatesFirst,
    /// The ticket is taken when the record has changed already.
    LateTicket,
    /// A reader stores what it read without its lease.
    FillsAnyhow,
    /// The guard is placed when the record has changed already.
    LateGuard,
    /// A reader of a key with queued writes asks the record alone.
    IgnoresQueued,
}

const AROUND: [Who; 6] =
    [Who::Reader, Who::LostReader, Who::Around, Who::Outsider, Who::Expiry, Who::Reader];
const THROUGH: [Who; 7] = [
    Who::Reader,
    Who::Through,
    Who::Through,
    Who::Outsider,
    Who::Expiry,
    Who::TicketExpiry,
    Who::Around,
];
const STRICT: [Who; 6] =
    [Who::Reader, Who::Reader, Who::Strict, Who::StrictThrough, Who::LostStrict, Who::Outsider];
const MIXED: [Who; 7] = [
    Who::Reader,
    Who::Reader,
    Who::Strict,
    Who::StrictThrough,
    Who::Through,
    Who::Outsider,
    Who::Expiry,
];
const BEHIND: [Who; 6] = [Who::Reader, Who::Reader, Who::Put, Who::Put, Who::Flusher, Who::Expiry];

struct Actor {
    who: Who,
    step: usize,
    token: Id,
    /// What it has read or written: the value, and the version of the record.
    seen: (Option<u64>, u64),
    done: bool,
    /// What a flusher has claimed.
    claimed: Vec<behind::Claim>,
}

/// One key with its record and its history.
struct World {
    place: Place,
    record: Option<u64>,
    version: u64,
    /// The number of the last queued write that the record has.
    sequence: u64,
    /// The last value that was queued, and its number.
    queued: (u64, Option<u64>),
    actors: Vec<Actor>,
    mutant: Mutant,
    history: Vec<(Who, usize)>,
}

impl World {
    fn new(number: u32, cast: &[Who], mutant: Mutant, random: &mut StdRng) -> Self {
        let slot = Slot::partition(&Namespace::new("model").unwrap(), "cache", "model", number);
        let is_behind = cast.contains(&Who::Put);
        let place = Place::new(slot.unwrap(), "k".to_owned(), "changes".into()).behind(is_behind);
        let actors = (0..random.random_range(3..=6)).map(|_| Actor {
            who: *cast.choose(random).unwrap(),
            step: 0,
            token: Id::random().unwrap(),
            seen: (None, 0),
            done: false,
            claimed: Vec::new(),
        });
        Self {
            place,
            record: Some(0),
            version: 0,
            sequence: 0,
            queued: (0, Some(0)),
            actors: actors.collect(),
            mutant,
            history: Vec::new(),
        }
    }

    fn change(&mut self, random: &mut StdRng) -> (Option<u64>, u64) {
        self.version += 1;
        self.record = random.random_bool(0.8).then_some(self.version);
        (self.record, self.version)
    }

    /// The next step of somebody: what it sends, if it sends anything. None when all are done.
    fn step(&mut self, random: &mut StdRng) -> Option<(usize, Option<Call>)> {
        let waiting: Vec<_> = (0..self.actors.len()).filter(|at| !self.actors[*at].done).collect();
        let at = *waiting.choose(random)?;
        let Actor { who, step, token, .. } = self.actors[at];
        self.history.push((who, step));
        self.actors[at].step += 1;
        let place = self.place.clone();
        let get = |place: &Place| Call::read("GET", place.slot()).key(place.entry());
        let early = |mutant, this: &Self| this.mutant == mutant;
        let call = match (who, step) {
            (Who::Reader | Who::LostReader, 0) => get(&place),
            (Who::Reader | Who::LostReader, 1)
                if place.is_behind() && !early(Mutant::IgnoresQueued, self) =>
            {
                acquire_behind(&place, Entry::lease(token), TTL)
            }
            (Who::Reader | Who::LostReader, 1) => {
                let set = Call::write("SET", place.slot()).key(place.entry());
                set.arg(Entry::lease(token)).arg("NX").arg("GET").arg("PX").arg(600_000)
            }
            (Who::Reader, 2) => {
                self.actors[at].seen = (self.record, self.version);
                return Some((at, None));
            }
            (Who::LostReader, 2) => {
                self.actors[at].done = true;
                return Some((at, None));
            }
            (Who::Reader, 3) => {
                self.actors[at].done = true;
                let payload = self.actors[at].seen.0.map(|value| value.to_string());
                let entry = Entry::write(payload.as_deref().map(str::as_bytes));
                if early(Mutant::FillsAnyhow, self) {
                    let set = Call::write("SET", place.slot()).key(place.entry());
                    set.arg(entry).arg("PX").arg(600_000)
                } else {
                    crate::cache::scripts::fill_of(&place, token, entry, TTL)
                }
            }
            (Who::Around | Who::Outsider, 0 | 1) => {
                if (step == 0) == early(Mutant::InvalidatesFirst, self) {
                    self.actors[at].done = step == 1;
                    place.invalidate()
                } else {
                    self.change(random);
                    self.actors[at].done = step == 1;
                    return Some((at, None));
                }
            }
            (Who::Through, 0 | 1) => {
                if (step == 0) == early(Mutant::LateTicket, self) {
                    self.actors[at].seen = self.change(random);
                    return Some((at, None));
                }
                scripts::ticket(&place, token)
            }
            (Who::Strict | Who::StrictThrough | Who::LostStrict, 0 | 1) => {
                if (step == 0) == early(Mutant::LateGuard, self) {
                    self.actors[at].seen = self.change(random);
                    self.actors[at].done = who == Who::LostStrict && step == 1;
                    return Some((at, None));
                }
                self.actors[at].done = who == Who::LostStrict && step == 1;
                scripts::guard(&place, token, TTL)
            }
            (Who::Strict, _) => {
                self.actors[at].done = true;
                scripts::unguard(&place, token)
            }
            (Who::Through | Who::StrictThrough, _) => {
                self.actors[at].done = true;
                let (value, version) = self.actors[at].seen;
                let text = value.map(|value| value.to_string());
                let record = Record {
                    payload: text.as_deref().map(str::as_bytes),
                    version,
                    life: Life { fresh: None, kept: TTL },
                };
                match who {
                    Who::Through => scripts::through(&place, token, &record),
                    _ => scripts::through_guarded(&place, token, &record),
                }
            }
            (Who::Expiry, _) => {
                self.actors[at].done = true;
                Call::write("DEL", place.slot()).key(place.entry())
            }
            (Who::TicketExpiry, _) => {
                self.actors[at].done = true;
                Call::write("DEL", place.slot()).key(&keys::ticket(place.key()))
            }
            (Who::Put, _) => {
                self.actors[at].done = true;
                self.version += 1;
                let value = random.random_bool(0.8).then_some(self.version);
                self.actors[at].seen = (value, self.version);
                behind::put(&place, value, TTL)
            }
            (Who::Flusher, 0) => behind::claim(&place, token),
            (Who::Flusher, 1) => {
                // The guarded upsert of the store.
                for claim in &self.actors[at].claimed {
                    if claim.sequence > self.sequence {
                        (self.sequence, self.record) = (claim.sequence, claim.value);
                    }
                }
                return Some((at, None));
            }
            (Who::Flusher, _) => {
                self.actors[at].done = true;
                behind::ack(&place, token, &self.actors[at].claimed)
            }
            (Who::Reader | Who::LostReader | Who::Around | Who::Outsider | Who::LostStrict, _) => {
                unreachable!("it is done")
            }
        };
        Some((at, Some(call)))
    }

    /// What the server answered to a step.
    fn take(&mut self, at: usize, answer: Value) {
        let actor = &mut self.actors[at];
        match actor.who {
            Who::Reader | Who::LostReader if actor.step == 1 => actor.done = answer != Value::Nil,
            Who::Reader | Who::LostReader if actor.step == 2 => {
                // The lease is its own, or somebody else was faster.
                actor.done = answer != Value::Nil;
            }
            Who::Put => {
                let sequence = behind::sequence(&answer);
                if sequence > self.queued.0 {
                    self.queued = (sequence, actor.seen.0);
                }
            }
            Who::Flusher if actor.step == 1 => {
                actor.claimed = behind::claimed(answer);
                actor.done = actor.claimed.is_empty();
            }
            _ => {}
        }
    }

    /// What is wrong with what stands there at the end.
    fn stale(&self, entry: Option<Entry>) -> Option<String> {
        let copy = match entry {
            None | Some(Entry::Lease | Entry::Foreign) => return None,
            Some(Entry::Stored(stored)) => stored
                .payload
                .map(|payload| std::str::from_utf8(&payload).unwrap().parse().unwrap()),
        };
        (copy != self.record)
            .then(|| format!("{copy:?} stands for {:?} after {:?}", self.record, self.history))
    }
}

/// Plays so many worlds to their end; answers what is wrong with some of them.
async fn play(russet: &Russet, worlds: u32, cast: &[Who], mutant: Mutant) -> Vec<String> {
    let seed = env::var("RUSSET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    println!("RUSSET_SEED={seed} {mutant:?} {cast:?}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Vec<_> = (0..worlds).map(|n| World::new(n, cast, mutant, &mut random)).collect();
    loop {
        let (mut calls, mut whose, mut over) = (Vec::new(), Vec::new(), true);
        for (number, world) in all.iter_mut().enumerate() {
            if let Some((actor, call)) = world.step(&mut random) {
                over = false;
                if let Some(call) = call {
                    calls.push(call);
                    whose.push((number, actor));
                }
            }
        }
        if over {
            break;
        }
        for (answer, (number, actor)) in send(russet, &calls).await.into_iter().zip(whose) {
            all[number].take(actor, answer);
        }
    }
    // A dead writer's guard has ended. What is queued is flushed.
    if cast.contains(&Who::Put) {
        let claims: Vec<_> = all.iter().map(|world| behind::claim_all(&world.place)).collect();
        for (world, answer) in all.iter_mut().zip(send(russet, &claims).await) {
            for claim in behind::claimed(answer) {
                if claim.sequence > world.sequence {
                    (world.sequence, world.record) = (claim.sequence, claim.value);
                }
            }
        }
    }
    let reads: Vec<_> = all
        .iter()
        .map(|world| Call::read("GET", world.place.slot()).key(world.place.entry()))
        .collect();
    let mut faults = Vec::new();
    for (world, answer) in all.iter().zip(send(russet, &reads).await) {
        let entry = match answer {
            Value::Text(bytes) => Some(Entry::read(bytes)),
            _ => None,
        };
        faults.extend(world.stale(entry));
        if world.queued.0 > 0 && world.record != world.queued.1 {
            faults.push(format!(
                "{:?} was put last, the record is {:?} after {:?}",
                world.queued.1, world.record, world.history
            ));
        }
    }
    let drops: Vec<_> = all.iter().flat_map(|world| behind::everything(&world.place)).collect();
    send(russet, &drops).await;
    faults
}

async fn send(russet: &Russet, calls: &[Call]) -> Vec<Value> {
    let mut answers = Vec::with_capacity(calls.len());
    for calls in calls.chunks(1_000) {
        answers.extend(russet.run_many::<Value>(calls).await.unwrap());
    }
    answers
}

async fn ground() -> (TestServer, Russet) {
    let server = TestServer::start().await.unwrap();
    let builder = Russet::builder().url(server.url()).timeout(Duration::from_secs(30));
    (server, builder.connect().await.unwrap())
}

#[tokio::test]
async fn no_interleaving_leaves_an_older_copy() {
    let (_server, russet) = ground().await;
    let interleavings = env::var("RUSSET_INTERLEAVINGS").ok().and_then(|n| n.parse().ok());
    let casts: [&[Who]; 5] = [&AROUND, &THROUGH, &STRICT, &MIXED, &BEHIND];
    let mut left: u32 = interleavings.unwrap_or(5_000);
    println!("{left} interleavings");
    while left > 0 {
        let worlds = left.div_ceil(5).min(2_000);
        for cast in casts {
            let faults = play(&russet, worlds, cast, Mutant::None).await;
            assert!(faults.is_empty(), "{} of {worlds}: {:?}", faults.len(), faults.first());
        }
        left = left.saturating_sub(5 * worlds);
    }
}

#[tokio::test]
async fn the_model_shows_an_order_that_is_wrong() {
    let (_server, russet) = ground().await;
    let mutants: [(Mutant, &[Who]); 5] = [
        (Mutant::InvalidatesFirst, &AROUND),
        (Mutant::FillsAnyhow, &AROUND),
        (Mutant::LateTicket, &THROUGH),
        (Mutant::LateGuard, &STRICT),
        (Mutant::IgnoresQueued, &BEHIND),
    ];
    for (mutant, cast) in mutants {
        let faults = play(&russet, 4_000, cast, mutant).await;
        println!("{mutant:?}: {} of 4000 are stale, such as {:?}", faults.len(), faults.first());
        assert!(!faults.is_empty(), "{mutant:?} does not show: the check above could not fail");
    }
}
