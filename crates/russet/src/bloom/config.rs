//! Which generations of a filter there are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::shape::Shape;

/// The format of the record and of the bits.
pub(super) const VERSION: &str = "1";

/// How long a process goes by what it knows of the generations. A rebuild waits for it at each of its steps.
pub(super) const CONFIG_AGE: Duration = Duration::from_millis(250);

/// One set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation {
    /// The server's time of its beginning in milliseconds, and larger than those before.
    pub(super) id: u64,
    pub(super) shape: Shape,
}

/// The record of a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// Asked, and written.
    pub(super) live: Option<Generation>,
    /// Written: it is on its way to be the live one.
    pub(super) building: Option<Generation>,
    /// Written, and asked by those who have not heard of the live one yet.
    pub(super) old: Option<Generation>,
    /// The bits of the live one end by themselves no more.
    pub(super) settled: bool,
    /// Written by another version, which this one does not understand.
    pub(super) foreign: bool,
}

/// What this process knows, and since when.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Arc<Config>, Instant)>>);

/// The fields of the record, in the order in which [`Config::read`] takes them.
pub(super) const FIELDS: [&str; 5] = ["version", "live", "building", "old", "settled"];

impl Generation {
    /// `<id> <shards> <bits> <hashes>`.
    pub(super) fn record(&self) -> String {
        [self.id.to_string(), self.shape.record()].join(" ")
    }

    fn read(record: &str) -> Option<Self> {
        let (id, shape) = record.split_once(' ')?;
        Some(Self { id: id.parse().ok()?, shape: Shape::read(shape)? })
    }
}

impl Config {
    /// The fields of the record; `None` when there is none.
    pub(super) fn read(fields: &[Option<String>]) -> Option<Self> {
        let field = |at: usize| fields.get(at).and_then(Option::as_deref);
        let foreign = Self { foreign: true, ..Self::default() };
        if field(0)? != VERSION {
            return Some(foreign);
        }
        let generation = |at| field(at).map(Generation::read);
        let generations = [generation(1), generation(2), generation(3)];
        if generations.contains(&Some(None)) {
            return Some(foreign);
        }
        let [live, building, old] = generations.map(Option::flatten);
        Some(Self { live, building, old, settled: field(4) == Some("1"), foreign: false })
    }

    /// Whether what was written by this record is right by the other one, which is newer.
    pub(super) fn agrees(&self, newer: &Self) -> bool {
        let is_written = |one| self.written().any(|written| written == one);
        self.live == newer.live && self.foreign == newer.foreign && newer.written().all(is_written)
    }

    /// The generations that an item is written to.
    pub(super) fn written(&self) -> impl Iterator<Item = Generation> {
        [self.live, self.building, self.old].into_iter().flatten()
    }
}

impl Known {
    /// What is known, and whether that is recent enough.
    pub(super) fn get(&self) -> Option<(Arc<Config>, bool)> {
        let known = self.lock();
        let (config, since) = known.as_ref()?;
        Some((config.clone(), since.elapsed() < CONFIG_AGE))
    }

    /// Takes over what a question that was asked at this time brought. That there is no record is not kept: who makes one
    /// would have to wait for those who think so.
    pub(super) fn learn(&self, config: Option<Config>, asked: Instant) -> Option<Arc<Config>> {
        let mut known = self.lock();
        let config = config.map(Arc::new);
        if known.as_ref().is_none_or(|(_, since)| *since <= asked) {
            *known = config.clone().map(|config| (config, asked));
        }
        config
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Arc<Config>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: [&str; 5]) -> Vec<Option<String>> {
        values.iter().map(|value| (!value.is_empty()).then(|| (*value).to_owned())).collect()
    }

    #[test]
    fn a_record_comes_back() {
        let shape = Shape { shards: 2, bits: 100, hashes: 7 };
        let generation = Generation { id: 5, shape };
        let read =
            Config::read(&fields(["1", &generation.record(), "6 2 100 7", "", "1"])).unwrap();
        assert_eq!((read.live, read.old, read.settled), (Some(generation), None, true));
        assert_eq!(read.written().map(|one| one.id).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(Config::read(&fields([""; 5])), None);
    }

    #[test]
    fn a_record_of_another_version_is_used_by_nobody() {
        for values in [["2", "5 2 100 7", "", "", ""], ["1", "5 2 100 7 9", "", "", ""]] {
            let read = Config::read(&fields(values)).unwrap();
            assert!(read.foreign && read.written().next().is_none());
        }
    }
}
