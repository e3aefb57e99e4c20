//! Copies that are still to be dropped: the record has changed, and Redis did not answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::scripts;
use crate::{
    cache::scripts::Place,
    client::{Call, Russet},
    error::Result,
    id::Id,
    service::{Rest, Service},
};

/// The most that are remembered; what is beyond ends with its TTL.
const MOST: usize = 100_000;
/// The most of one pipeline.
const BATCH: usize = 1_000;

/// By key and guard: where, and until when.
type Owed = HashMap<(String, Option<Id>), (Place, Instant)>;

/// What this process owes, and the loop that pays it as soon as Redis is back.
pub(in crate::cache) struct Debts {
    shared: Arc<Shared>,
    service: OnceLock<Service>,
}

struct Shared {
    russet: Russet,
    cache: String,
    /// When a copy has ended by itself.
    lasts: Duration,
    owed: Mutex<Owed>,
}

impl Debts {
    pub(in crate::cache) fn new(russet: &Russet, cache: &str, lasts: Duration) -> Self {
        let (russet, cache) = (russet.clone(), cache.to_owned());
        let shared = Shared { russet, cache, lasts, owed: Mutex::default() };
        Self { shared: Arc::new(shared), service: OnceLock::new() }
    }

    /// The copies at these places are to be dropped, with the guards of this token.
    pub(super) fn owe(&self, places: Vec<Place>, guard: Option<Id>) {
        {
            let mut owed = self.shared.lock();
            let end = Instant::now() + self.shared.lasts;
            for place in places {
                if owed.len() >= MOST {
                    tracing::warn!(cache = %self.shared.cache, "an old copy was left to its TTL");
                    break;
                }
                owed.insert((place.key().to_owned(), guard), (place, end));
            }
        }
        let start = || {
            let shared = self.shared.clone();
            let round = move |_| {
                let shared = shared.clone();
                async move { shared.pay().await }
            };
            Service::start_on(self.shared.russet.runtime(), "late invalidations", round)
        };
        self.service.get_or_init(start).wake();
    }
}

impl Shared {
    async fn pay(&self) -> Result<Rest> {
        let due: Vec<_> = {
            let mut owed = self.lock();
            owed.retain(|_, (_, end)| *end > Instant::now());
            owed.iter()
                .take(BATCH)
                .map(|(debt, (place, _))| (debt.clone(), place.clone()))
                .collect()
        };
        if due.is_empty() {
            return Ok(Rest::UntilWoken);
        }
        let calls: Vec<Call> = due
            .iter()
            .map(|((_, guard), place)| match guard {
                Some(token) => scripts::unguard(place, *token),
                None => place.invalidate(),
            })
            .collect();
        match self.russet.run_many::<i64>(&calls).await {
            Ok(_) => {}
            Err(error) if error.is_outage() => return Err(error),
            Err(error) => {
                tracing::warn!(cache = %self.cache, %error, "old copies were left to their TTL")
            }
        }
        let mut owed = self.lock();
        for (debt, _) in due {
            owed.remove(&debt);
        }
        Ok(Rest::For(Duration::ZERO))
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
