//! One server of a sharded cache: every question goes with the question for its epoch, in one round trip.

use std::fmt;

use tokio::sync::Mutex;

use super::{
    debt::{Debt, Owed},
    scripts,
};
use crate::{
    cache::{Cache, entry::Entry, scripts::Place, ttl::Life},
    client::{Call, FromReply, Russet},
    error::{ErrorKind, Result},
    keys::Slot,
};

/// A node, and how this process stands to it.
pub(super) struct Node<V, C> {
    pub(super) name: String,
    pub(super) cache: Cache<str, V, C>,
    home: Slot,
    debt: Debt,
    paying: Mutex<()>,
    away: metrics::Counter,
}

/// A change of one entry.
pub(super) enum Change<'a> {
    Put(&'a [u8], Life),
    Drop,
}

/// Changes by the text of their keys.
pub(super) type Changes<'a> = [(&'a str, Change<'a>)];

impl<V, C> Node<V, C> {
    pub(super) fn new(name: &str, cache: Cache<str, V, C>, home: Slot, debt: Debt) -> Self {
        let labels = [("cache", cache.inner.name.clone()), ("node", name.to_owned())];
        let away = metrics::counter!("russet_sharded_node_away_total", &labels);
        let paying = Mutex::default();
        Self { name: name.to_owned(), cache, home, debt, paying, away }
    }

    fn russet(&self) -> &Russet {
        &self.cache.inner.russet
    }

    pub(super) fn is_on(&self, russet: &Russet) -> bool {
        self.russet().is_clone_of(russet)
    }

    /// Whether it has to be reached before it may be used.
    pub(super) fn is_away(&self) -> bool {
        self.debt.due().is_some()
    }

    /// What stands at these keys, and where that is.
    pub(super) async fn read(&self, keys: &[&str]) -> Result<Vec<(Place, Option<Entry>)>> {
        let calls = |places: &[Place]| places.iter().map(Place::get).collect();
        let read = self.ask::<Vec<u8>>(keys, calls).await;
        self.noted(&read, Owed::UnlessNewer);
        let (places, answers) = read?;
        let entries = answers.into_iter().map(|bytes| bytes.map(Entry::read));
        Ok(places.into_iter().zip(entries).collect())
    }

    /// Changes these entries. One that could not be put is dropped, or its whole node owes a new epoch.
    pub(super) async fn change(&self, changes: &Changes<'_>) -> Result<()> {
        let changed = self.try_change(changes).await;
        // Also when the answer was lost: who asks from now on must not share a load that may have read the record before.
        for epoch in [0, self.debt.known()] {
            for (key, _) in changes {
                self.cache.inner.flights.forget(self.place(epoch, key)?.key());
            }
        }
        let is_full = changed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
        if is_full {
            // What takes no more may still drop what is out of date.
            let drops: Vec<_> = changes.iter().map(|(key, _)| (*key, Change::Drop)).collect();
            if self.try_change(&drops).await.is_ok() {
                return changed;
            }
        }
        self.noted(&changed, Owed::Always);
        changed
    }

    async fn try_change(&self, changes: &Changes<'_>) -> Result<()> {
        let keys: Vec<_> = changes.iter().map(|(key, _)| *key).collect();
        let calls = |places: &[Place]| {
            let changes = places.iter().zip(changes);
            let calls = changes.map(|(place, (_, change))| match change {
                Change::Put(payload, ttl) => place.put(payload, *ttl),
                Change::Drop => place.invalidate(),
            });
            calls.collect()
        };
        self.ask::<String>(&keys, calls).await.map(drop)
    }

    /// Puts everything that it has behind it.
    pub(super) async fn empty(&self) -> Result<()> {
        self.debt.owe(Owed::Always);
        self.pay().await
    }

    /// Pays what is owed, so that the node may be used again.
    pub(super) async fn pay(&self) -> Result<()> {
        if !self.is_away() {
            return Ok(());
        }
        let _one_at_a_time = self.paying.lock().await;
        let Some(due) = self.debt.due() else { return Ok(()) };
        let epoch = scripts::raise(self.russet(), &self.home, due.known, due.unless_newer).await?;
        self.debt.paid(&due, epoch);
        tracing::info!(cache = %self.cache.inner.name, node = %self.name, epoch, "a node begins anew");
        Ok(())
    }

    /// One pipeline: the epoch, and what is asked by it. Done again when the epoch is another one.
    async fn ask<T: FromReply + AsRef<[u8]>>(
        &self,
        keys: &[&str],
        calls: impl Fn(&[Place]) -> Vec<Call>,
    ) -> Result<(Vec<Place>, Vec<Option<T>>)> {
        loop {
            self.pay().await?;
            let asked_by = self.debt.epoch();
            let places = match asked_by {
                Some(epoch) => keys.iter().map(|key| self.place(epoch, key)).collect(),
                None => Ok(Vec::new()),
            }?;
            let mut sent = vec![scripts::epoch(&self.home)];
            sent.extend(calls(&places));
            let mut answers: Vec<Option<T>> = self.russet().run_many(&sent).await?;
            let behind = answers.split_off(1);
            let epoch = scripts::read_epoch(answers.first().and_then(Option::as_ref));
            if self.debt.learn(epoch, asked_by) {
                if self.debt.is_to_be_kept() {
                    scripts::keep(self.russet(), &self.home).await?;
                }
                return Ok((places, behind));
            }
        }
    }

    /// Where the entry of a key stands in an epoch.
    fn place(&self, epoch: u64, key: &str) -> Result<Place> {
        self.cache.inner.place(&[&epoch.to_string(), " ", key].concat())
    }

    /// Where nothing stands: for a load past the node, which others of this process share.
    pub(super) fn nowhere(&self, key: &str) -> Result<Place> {
        self.place(0, key)
    }

    /// Notes that the node did not do what it was asked for.
    fn noted<T>(&self, outcome: &Result<T>, owed: Owed) {
        let Err(error) = outcome else { return };
        if !error.is_outage() {
            return;
        }
        self.away.increment(1);
        // A read that was late does not tell that the node was gone, and its next one may be answered.
        if owed == Owed::UnlessNewer && error.kind() == ErrorKind::Timeout {
            return;
        }
        if self.debt.owe(owed) {
            tracing::warn!(cache = %self.cache.inner.name, node = %self.name, %error, "a node is away");
        }
    }
}

impl<V, C> fmt::Debug for Node<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
