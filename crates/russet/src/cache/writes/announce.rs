//! What a writer says in Redis before it writes a record, and how it ends.

use std::{sync::Arc, time::Duration};

use super::{
    CachedCopy,
    scripts::{self, Record},
};
use crate::{
    cache::{Inner, scripts::Place},
    client::{Call, Kept, Pulse},
    error::{Advice, Error, ErrorKind, Result},
    id::Id,
};

/// A caller may be cancelled while it writes: then nobody knows whether the record has changed, so that the copies are
/// dropped in the background.
pub(super) struct Announced<'a> {
    inner: &'a Inner,
    places: Vec<Place>,
    token: Id,
    guarded: bool,
    pulse: Arc<Pulse>,
    kept: Vec<Kept>,
    settled: bool,
}

impl<'a> Announced<'a> {
    /// Before the records at these places are written. `through` says that their values are to be stored.
    ///
    /// # Errors
    /// Only of a strict cache, since it needs its guards; nothing has been written then.
    pub(super) async fn new(inner: &'a Inner, places: Vec<Place>, through: bool) -> Result<Self> {
        let time = inner.fill_lease;
        let mut announced = Self {
            inner,
            places,
            token: Id::random()?,
            guarded: inner.strict,
            pulse: Arc::new(Pulse::new(time)),
            kept: Vec::new(),
            settled: false,
        };
        if inner.strict {
            announced.guard(time).await?;
        } else if through {
            let tickets: Vec<_> = announced
                .places
                .iter()
                .map(|place| scripts::ticket(place, announced.token))
                .collect();
            // Without a ticket nothing is stored, which is no reason not to write.
            if let Err(error) = inner.russet.run_many::<()>(&tickets).await
                && !error.is_outage()
            {
                return Err(error);
            }
        }
        Ok(announced)
    }

    async fn guard(&mut self, time: Duration) -> Result<()> {
        let guards: Vec<_> =
            self.places.iter().map(|place| scripts::guard(place, self.token, time)).collect();
        let placed: Vec<bool> = self.inner.russet.run_many(&guards).await?;
        if placed.contains(&false) {
            let message =
                format_args!("cache {}: too many write one key at a time", self.inner.name);
            let later = Advice::RetryAfter(Duration::from_millis(100));
            return Err(Error::new(ErrorKind::Refused, later, message));
        }
        for place in &self.places {
            let renewal = scripts::renewal(place, self.token, time);
            self.kept.push(self.inner.russet.control().keep(time / 3, renewal, &self.pulse));
        }
        Ok(())
    }

    /// Writes, with the guards renewed meanwhile.
    pub(super) async fn during<F: Future>(&self, write: F) -> F::Output {
        if self.guarded { self.pulse.of(write).await } else { write.await }
    }

    /// After the write: stores what was written where a record is given, drops the copy where none is.
    pub(super) async fn settle(mut self, records: &[Option<Record<'_>>]) -> Vec<CachedCopy> {
        let inner = self.inner;
        self.kept.clear();
        let calls: Vec<Call> = self
            .places
            .iter()
            .zip(records)
            .map(|(place, record)| match record {
                Some(record) if self.guarded => scripts::through_guarded(place, self.token, record),
                Some(record) => scripts::through(place, self.token, record),
                None if self.guarded => scripts::unguard(place, self.token),
                None => place.invalidate(),
            })
            .collect();
        let settled = inner.russet.run_many::<i64>(&calls).await;
        self.forget_flights();
        match settled {
            Ok(answers) => {
                self.settled = true;
                let stored =
                    |answer| if answer > 0 { CachedCopy::Stored } else { CachedCopy::Dropped };
                // What an invalidation answers is another thing.
                let copies = answers.into_iter().zip(records);
                copies
                    .map(|(answer, record)| stored(if record.is_some() { answer } else { 0 }))
                    .collect()
            }
            Err(error) => {
                tracing::warn!(cache = %inner.name, %error, "a record was written and its copy not yet dropped");
                // Dropping this one sees to it.
                vec![CachedCopy::Late; records.len()]
            }
        }
    }

    /// Who asks from now on must not share a load that may have read the record before.
    fn forget_flights(&self) {
        for place in &self.places {
            self.inner.flights.forget(place.key());
        }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.forget_flights();
            let guard = self.guarded.then_some(self.token);
            self.inner.debts.owe(std::mem::take(&mut self.places), guard);
        }
    }
}
