//! Inserts and tests: which generations they go to, in one round trip.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Inner, Verdict,
    config::{Config, Generation},
    foreign,
    rebuild::OLD_TTL,
    scripts::{self, Answer},
};
use crate::{
    client::Call,
    error::{Error, Result},
    names::check_length,
};

/// The most items of one call.
pub(super) const MAX_BATCH: usize = 1_000;
/// The longest text of an item, in bytes.
const MAX_ITEM: usize = 1_024;

impl Inner {
    #[tracing::instrument(name = "bloom.test", level = "debug", skip_all, fields(filter = self.name, items = items.len()))]
    pub(super) async fn verdicts(&self, items: &[Cow<'_, str>]) -> Result<Vec<Verdict>> {
        check(items)?;
        let calls = |config: &Config| {
            let live = config.live;
            let calls = items.iter().filter_map(|item| {
                let live = live?;
                self.places.test(live, &live.shape.bits_of(item.as_bytes()))
            });
            calls.collect()
        };
        let answered = self.ask(calls, |asked, now| asked.live == now.live).await?.pop();
        let answers = answered.map(|(_, answers)| answers).unwrap_or_default();
        let mut verdicts: Vec<_> = answers.iter().map(|answer| Verdict::read(answer)).collect();
        // Nothing was ever built, or another version has built it.
        verdicts.resize(items.len(), Verdict::Unready);
        for verdict in &verdicts {
            match verdict {
                Verdict::Absent => self.metrics.absent.increment(1),
                Verdict::Possible => self.metrics.possible.increment(1),
                Verdict::Unready => self.metrics.unready.increment(1),
            }
        }
        Ok(verdicts)
    }

    /// Answers for each item whether it is new to those who ask.
    #[tracing::instrument(name = "bloom.insert", level = "debug", skip_all, fields(filter = self.name, items = items.len()))]
    pub(super) async fn insert(&self, items: &[Cow<'_, str>]) -> Result<Vec<bool>> {
        check(items)?;
        let calls = |config: &Config| self.inserts(config.written(), items);
        let tries = self.ask(calls, Config::agrees).await?;
        if tries.last().is_some_and(|(config, _)| config.foreign) {
            return Err(foreign(&self.name));
        }
        self.metrics.inserts.increment(items.len() as u64);
        let mut new = vec![tries.iter().all(|(config, _)| config.live.is_none()); items.len()];
        for (config, answers) in &tries {
            self.end_orphans(config.written(), items, answers).await?;
            // The live generation is the first one written. What one try has set, the next one finds set.
            let live = if config.live.is_some() { &answers[..] } else { &[] };
            for (new, bits) in new.iter_mut().zip(live) {
                *new |= was_new(bits);
            }
        }
        Ok(new)
    }

    /// The calls that set the bits of all items in each generation.
    pub(super) fn inserts(
        &self,
        generations: impl Iterator<Item = Generation>,
        items: &[Cow<'_, str>],
    ) -> Vec<Call> {
        let calls = generations.flat_map(|generation| {
            items.iter().filter_map(move |item| {
                self.places.insert(generation, &generation.shape.bits_of(item.as_bytes()))
            })
        });
        calls.collect()
    }

    /// A shard that was lost, or ended a moment ago, was made anew by the insert: it must not stay for ever.
    async fn end_orphans(
        &self,
        generations: impl Iterator<Item = Generation>,
        items: &[Cow<'_, str>],
        answers: &[Answer],
    ) -> Result<()> {
        let written =
            generations.flat_map(|generation| items.iter().map(move |item| (generation, item)));
        let orphans: BTreeSet<_> = written
            .zip(answers)
            .filter(|(_, answer)| answer.first().is_none_or(|born| !is_set(born)))
            .map(|((generation, item), _)| {
                (generation, generation.shape.bits_of(item.as_bytes()).shard)
            })
            .collect();
        if orphans.is_empty() {
            return Ok(());
        }
        let orphans: Vec<_> = orphans.into_iter().collect();
        scripts::end_orphans(&self.russet, &self.places, &orphans, OLD_TTL).await
    }

    /// Sends what the record of generations asks for. Where that is not known for certain it is read in the same round
    /// trip, and should what was done not be right by it, it is done again. Answers what each try has brought, the right
    /// one last; nothing when there is no record.
    async fn ask(
        &self,
        calls: impl Fn(&Config) -> Vec<Call>,
        is_right: impl Fn(&Config, &Config) -> bool,
    ) -> Result<Vec<(Arc<Config>, Vec<Answer>)>> {
        let mut tries = Vec::new();
        loop {
            let asked = Instant::now();
            let (config, is_recent) = self.known.get().unzip();
            let is_recent = is_recent == Some(true);
            let mut sent = Vec::new();
            if !is_recent {
                sent.push(self.places.config());
            }
            sent.extend(config.as_deref().map(&calls).unwrap_or_default());
            let mut answers: Vec<Answer> = self.russet.run_many(&sent).await?;
            if let (true, Some(config)) = (is_recent, &config) {
                tries.push((config.clone(), answers));
                return Ok(tries);
            }
            let behind = answers.split_off(1);
            let record = answers.first().and_then(|fields| scripts::read_config(fields));
            let Some(learned) = self.known.learn(record, asked) else { return Ok(Vec::new()) };
            self.settle_if_needed(&learned).await;
            if let Some(config) = config {
                let is_right = is_right(&config, &learned);
                tries.push((config, behind));
                if is_right {
                    return Ok(tries);
                }
            }
        }
    }

    /// The record of generations as it is now.
    pub(super) async fn config(&self) -> Result<Option<Arc<Config>>> {
        let asked = Instant::now();
        let fields: Answer = self.russet.run(self.places.config()).await?;
        Ok(self.known.learn(scripts::read_config(&fields), asked))
    }
}

impl Verdict {
    /// The mark of the shard, and the item's bits.
    fn read(answer: &[Option<String>]) -> Self {
        match answer.split_first() {
            Some((ready, bits)) if is_set(ready) => {
                if bits.iter().all(is_set) {
                    Self::Possible
                } else {
                    Self::Absent
                }
            }
            _ => Self::Unready,
        }
    }
}

/// Whether a bit behind the mark was not set before.
fn was_new(answer: &[Option<String>]) -> bool {
    answer.iter().skip(1).any(|bit| !is_set(bit))
}

fn is_set(bit: &Option<String>) -> bool {
    bit.as_deref() == Some("1")
}

pub(super) fn check(items: &[Cow<'_, str>]) -> Result<()> {
    if items.len() > MAX_BATCH {
        return Err(Error::invalid(format_args!(
            "{} items for a bloom filter at a time, more than the {MAX_BATCH} allowed",
            items.len()
        )));
    }
    items.iter().try_for_each(|item| check_length("item of a bloom filter", item, MAX_ITEM))
}
