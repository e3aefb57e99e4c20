//! How many conversations there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most of a process at the same time, and of one account or address among them.
const MOST: usize = 500;
const MOST_EACH: usize = 50;

/// The conversations of this process, by account or address.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<String, usize>,
}

/// A place among the conversations of this process, until it is dropped.
#[derive(Debug)]
pub struct Place {
    seats: Arc<Seats>,
    whose: String,
}

impl Seats {
    pub(super) fn take(self: &Arc<Self>, whose: &str) -> Option<Place> {
        let mut taken = self.taken();
        let of_this = taken.each.get(whose).copied().unwrap_or_default();
        if taken.all >= MOST || of_this >= MOST_EACH {
            return None;
        }
        taken.all += 1;
        taken.each.insert(whose.to_owned(), of_this + 1);
        drop(taken);
        Some(Place { seats: self.clone(), whose: whose.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        match taken.each.get_mut(&self.whose) {
            Some(left) if *left > 1 => *left -= 1,
            _ => {
                taken.each.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_alone_takes_all_places_and_none_is_lost() {
        let seats = Arc::new(Seats::default());
        let mine: Vec<_> = std::iter::from_fn(|| seats.take("me")).collect();
        assert_eq!(mine.len(), MOST_EACH);
        let others: Vec<_> =
            (0..MOST).filter_map(|number| seats.take(&number.to_string())).collect();
        assert_eq!(others.len(), MOST - MOST_EACH);
        drop(mine);
        assert!(seats.take("me").is_some());
        drop(others);
        assert!(seats.taken().each.is_empty() && seats.taken().all == 0);
    }
}
