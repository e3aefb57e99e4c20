//! A bound on how often it is stored that there is no such thing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(1);

/// So many in each second, shared by all clones.
#[derive(Clone)]
pub(super) struct NullCap {
    most: u32,
    window: Arc<Mutex<Option<(Instant, u32)>>>,
}

impl NullCap {
    pub(super) fn new(most: u32) -> Self {
        Self { most, window: Arc::default() }
    }

    /// Takes one of those that are left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, taken) = match *window {
            Some((since, taken)) if now.duration_since(since) < WINDOW => (since, taken),
            _ => (now, 0),
        };
        let is_left = taken < self.most;
        *window = Some((since, taken + u32::from(is_left)));
        is_left
    }
}

impl Default for NullCap {
    fn default() -> Self {
        Self::new(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_and_the_next_one_as_many_again() {
        let (cap, start) = (NullCap::new(3), Instant::now());
        let taken = |after: u64, times: usize| {
            let now = start + Duration::from_millis(after);
            (0..times).filter(|_| cap.clone().take(now)).count()
        };
        assert_eq!((taken(0, 2), taken(500, 2), taken(999, 5), taken(1_000, 5)), (2, 1, 0, 3));
        assert!(!NullCap::new(0).take(start));
    }
}
