//! Copies in the process: a hit that costs no round trip.
//!
//! Whoever changes an entry publishes its key, and all processes drop their copy. Why no older value stays is argued in
//! `docs/design/near-cache.md`.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::{notification::RemovalCause, sync};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::stats::Counting;
use crate::{
    client::Russet,
    listen::{Heard, Listener},
};

/// Bounds of the copies of one cache in one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) max_age: Duration,
}

/// A value that was kept.
pub(super) struct Kept<V> {
    pub(super) value: Option<V>,
    /// By the server's clock; `None` when it is fresh as long as it is kept.
    pub(super) fresh_until: Option<i64>,
}

/// What a reader got from Redis.
pub(super) struct Answer<'a, V> {
    pub(super) value: Option<&'a V>,
    /// Still encoded.
    pub(super) payload: &'a [u8],
    pub(super) fresh_until: Option<i64>,
    /// How long it needs no look at the clock.
    pub(super) undue_for: Duration,
}

/// The copies, without what only their maker must know of the values.
pub(super) trait Copies<V>: Send + Sync {
    fn get(&self, key: &str) -> Option<Kept<V>>;
    /// Registers a reader of the entry; none while nothing can be kept, because changes would not be heard.
    fn begin(&self, key: &str) -> Option<Changes>;
    fn answered(&self, key: &str, since: Changes, answer: &Answer<'_, V>);
    fn end(&self, key: &str);
    /// After a change by this process, which need not wait for its own message.
    fn forget(&self, key: &str);
}

/// How often a key was changed while it was read.
type Changes = u64;

/// A reader of an entry. Taken before the entry is read: what was read is kept only if it was not changed since.
pub(super) struct Reader<V> {
    near: Arc<dyn Copies<V>>,
    key: Box<str>,
    since: Changes,
}

impl<V> Reader<V> {
    pub(super) fn begin(near: &Arc<dyn Copies<V>>, key: &str) -> Option<Self> {
        let since = near.begin(key)?;
        Some(Self { near: near.clone(), key: key.into(), since })
    }

    pub(super) fn keep(&self, answer: &Answer<'_, V>) {
        self.near.answered(&self.key, self.since, answer);
    }
}

impl<V> Drop for Reader<V> {
    fn drop(&mut self) {
        self.near.end(&self.key);
    }
}

/// Copies of values that can be cloned.
pub(super) struct Near<V> {
    shared: Arc<Shared<V>>,
    _listener: Listener,
}

struct Shared<V> {
    max_age: Duration,
    copies: sync::Cache<Box<str>, Copy<V>, KeyHash>,
    stripes: [Mutex<Stripe>; STRIPES],
}

#[derive(Clone)]
struct Copy<V> {
    value: Option<V>,
    bytes: u32,
    fresh_until: Option<i64>,
    print: u64,
}

/// For texts as short as keys are: one pass, and no state to set up. The seed is this process's, so that nobody outside
/// can choose keys that collide.
#[derive(Clone)]
struct KeyHash(u64);

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    // What ends a text: the same for all.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Some of the keys. What happens to a key happens under the lock of its stripe.
#[derive(Default)]
struct Stripe {
    is_live: bool,
    /// The keys that are being read from Redis.
    read: HashMap<Box<str>, Reading>,
}

#[derive(Default)]
struct Reading {
    readers: usize,
    changes: Changes,
    /// The print of what the last of them got.
    answer: Option<u64>,
}

const STRIPES: usize = 64;

/// What an entry takes beside its key and its value, about.
const OVERHEAD: usize = 64;

impl<V: Clone + Send + Sync + 'static> Near<V> {
    pub(super) fn start(
        russet: &Russet,
        changes: &str,
        bounds: Bounds,
        counting: Arc<Counting>,
    ) -> Arc<dyn Copies<V>> {
        let shared = Arc::new(Shared::new(bounds, counting));
        let told = shared.clone();
        let _listener = russet.listeners().listen(changes, move |heard| told.hear(heard));
        Arc::new(Self { shared, _listener })
    }
}

impl<V: Clone + Send + Sync + 'static> Shared<V> {
    fn new(bounds: Bounds, counting: Arc<Counting>) -> Self {
        // Each weighs its bytes, and at least its part of them all: so both bounds hold.
        let least = (bounds.bytes / bounds.entries).max(1);
        let copies = sync::CacheBuilder::<Box<str>, Copy<V>, _>::new(bounds.bytes as u64)
            .weigher(move |key, copy| {
                let bytes = key.len() + copy.bytes as usize + OVERHEAD;
                u32::try_from(bytes.max(least)).unwrap_or(u32::MAX)
            })
            .time_to_live(bounds.max_age)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counting.near_evictions(1);
                }
            })
            .build_with_hasher(KeyHash(rand::random()));
        Self { max_age: bounds.max_age, copies, stripes: std::array::from_fn(|_| Mutex::default()) }
    }

    fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Live => self.stripes.iter().for_each(|stripe| lock(stripe).is_live = true),
            Heard::Message(key) => match std::str::from_utf8(key) {
                Ok(key) => self.forget(key),
                Err(_) => tracing::warn!("a message of another form on a cache's channel"),
            },
            Heard::Gap => {
                for stripe in &self.stripes {
                    let mut stripe = lock(stripe);
                    stripe.is_live = false;
                    stripe.read.values_mut().for_each(|reading| reading.changes += 1);
                }
                self.copies.invalidate_all();
            }
        }
    }

    fn forget(&self, key: &str) {
        let mut stripe = self.stripe(key);
        if let Some(reading) = stripe.read.get_mut(key) {
            reading.changes += 1;
        }
        self.copies.invalidate(key);
    }

    fn begin(&self, key: &str) -> Option<Changes> {
        let mut stripe = self.stripe(key);
        if !stripe.is_live {
            return None;
        }
        let reading = stripe.read.entry(key.into()).or_default();
        reading.readers += 1;
        Some(reading.changes)
    }

    fn answered(&self, key: &str, since: Changes, answer: &Answer<'_, V>) {
        let print = print(answer);
        let copy = Copy {
            value: answer.value.cloned(),
            bytes: u32::try_from(answer.payload.len()).unwrap_or(u32::MAX),
            fresh_until: answer.fresh_until.filter(|_| answer.undue_for < self.max_age),
            print,
        };
        let mut stripe = self.stripe(key);
        let is_live = stripe.is_live;
        let Some(reading) = stripe.read.get_mut(key) else { return };
        let others = reading.answer.replace(print);
        let kept = self.copies.get(key).map(|copy| copy.print);
        if [others, kept].into_iter().flatten().any(|other| other != print) {
            // Readers of one time saw different entries, and which is the older one is not known here: nobody keeps.
            reading.changes += 1;
            self.copies.invalidate(key);
        } else if is_live && reading.changes == since {
            self.copies.insert(key.into(), copy);
        }
    }

    fn end(&self, key: &str) {
        let mut stripe = self.stripe(key);
        if let Some(reading) = stripe.read.get_mut(key) {
            reading.readers -= 1;
            if reading.readers == 0 {
                stripe.read.remove(key);
            }
        }
    }

    fn stripe(&self, key: &str) -> MutexGuard<'_, Stripe> {
        lock(&self.stripes[xxh3_64(key.as_bytes()) as usize % STRIPES])
    }
}

impl<V: Clone + Send + Sync + 'static> Copies<V> for Near<V> {
    fn get(&self, key: &str) -> Option<Kept<V>> {
        let Copy { value, fresh_until, .. } = self.shared.copies.get(key)?;
        Some(Kept { value, fresh_until })
    }

    fn begin(&self, key: &str) -> Option<Changes> {
        self.shared.begin(key)
    }

    fn answered(&self, key: &str, since: Changes, answer: &Answer<'_, V>) {
        self.shared.answered(key, since, answer);
    }

    fn end(&self, key: &str) {
        self.shared.end(key);
    }

    fn forget(&self, key: &str) {
        self.shared.forget(key);
    }
}

/// Tells one entry from another. A value that is stored again has another time until which it is fresh.
fn print<V>(answer: &Answer<'_, V>) -> u64 {
    let fresh_until = answer.fresh_until.unwrap_or_default().cast_unsigned();
    xxh3_64_with_seed(answer.payload, fresh_until << 1 | u64::from(answer.value.is_some()))
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(bounds: Bounds) -> Shared<u64> {
        Shared::new(bounds, Arc::new(Counting::new("test")))
    }

    const WIDE: Bounds =
        Bounds { entries: 1_000, bytes: 1_000_000, max_age: Duration::from_secs(60) };

    fn live() -> Shared<u64> {
        let near = shared(WIDE);
        near.hear(Heard::Live);
        near
    }

    fn answer(near: &Shared<u64>, key: &str, since: Option<Changes>, value: u64) {
        let payload = format!("{value:098}");
        let answer = Answer {
            value: Some(&value),
            payload: payload.as_bytes(),
            fresh_until: None,
            undue_for: Duration::ZERO,
        };
        near.answered(key, since.unwrap(), &answer);
        near.end(key);
    }

    fn copy(near: &Shared<u64>) -> Option<u64> {
        near.copies.get("k").and_then(|copy| copy.value)
    }

    /// Whether an answer is kept when this happens between the question and the answer.
    fn is_kept_after(happens: impl Fn(&Shared<u64>)) -> bool {
        let near = live();
        let since = near.begin("k");
        happens(&near);
        answer(&near, "k", since, 1);
        assert!(near.stripe("k").read.is_empty(), "nobody reads any more");
        copy(&near).is_some()
    }

    #[test]
    fn an_answer_that_was_on_its_way_when_the_message_came_is_not_kept() {
        assert!(is_kept_after(|_| ()));
        assert!(!is_kept_after(|near| near.hear(Heard::Message(b"k"))));
        assert!(!is_kept_after(|near| near.hear(Heard::Gap)));
        let back = |near: &Shared<u64>| [Heard::Gap, Heard::Live].map(|heard| near.hear(heard));
        assert!(!is_kept_after(|near| _ = back(near)), "what was missed is not known");
    }

    #[test]
    fn a_lost_connection_empties_it_and_nothing_is_kept_before_the_next() {
        let near = shared(WIDE);
        assert!(near.begin("k").is_none());
        near.hear(Heard::Live);
        answer(&near, "k", near.begin("k"), 1);
        assert_eq!(copy(&near), Some(1));
        near.hear(Heard::Gap);
        assert!(copy(&near).is_none() && near.begin("k").is_none());
    }

    /// The change from 1 to 2 was not heard yet, and the answers come in any order.
    #[test]
    fn what_one_reader_saw_is_not_followed_by_an_older_copy() {
        for (first, second) in [(1, 2), (2, 1)] {
            let near = live();
            let readers = [near.begin("k"), near.begin("k"), near.begin("k")];
            answer(&near, "k", readers[0], first);
            assert_eq!(copy(&near), Some(first));
            answer(&near, "k", readers[1], second);
            assert_eq!(copy(&near), None, "{first}, then {second}");
            answer(&near, "k", readers[2], second);
            assert_eq!(copy(&near), None, "begun before it was known");
            answer(&near, "k", near.begin("k"), 2);
            assert_eq!(copy(&near), Some(2));
        }
    }

    #[test]
    fn readers_of_one_entry_do_not_disturb_each_other() {
        let near = live();
        let readers = [near.begin("k"), near.begin("k")];
        for reader in readers {
            answer(&near, "k", reader, 1);
            assert_eq!(copy(&near), Some(1));
        }
    }

    #[test]
    fn only_a_copy_that_may_come_due_while_it_is_kept_is_looked_at_with_the_clock() {
        for (undue_for, until) in [(WIDE.max_age, None), (Duration::from_secs(59), Some(1))] {
            let near = live();
            let since = near.begin("k").unwrap();
            near.answered(
                "k",
                since,
                &Answer { value: Some(&1), payload: b"1", fresh_until: Some(1), undue_for },
            );
            assert_eq!(near.copies.get("k").unwrap().fresh_until, until);
        }
    }

    #[test]
    fn both_bounds_hold() {
        for bounds in [Bounds { entries: 10, ..WIDE }, Bounds { bytes: 10 * 165, ..WIDE }] {
            let shared = shared(bounds);
            shared.hear(Heard::Live);
            for n in 0..1_000 {
                let key = format!("{n:03}");
                answer(&shared, &key, shared.begin(&key), n);
            }
            shared.copies.run_pending_tasks();
            assert!((1..=10).contains(&shared.copies.entry_count()), "{bounds:?}");
        }
    }
}
