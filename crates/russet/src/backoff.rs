//! How long to wait before the next try.

use std::time::Duration;

use rand::RngExt;

/// Exponential backoff with full jitter: the n-th wait is a random time between zero and
/// `base` · 2ⁿ, at most `cap`. Clients that failed together do not come back together.
///
/// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row; 1 is the first.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        rand::rng().random_range(Duration::ZERO..=self.ceiling(failures))
    }

    fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let backoff = Backoff { base: Duration::from_millis(10), cap: Duration::from_millis(500) };
        let ceilings: Vec<_> = (1..=8).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [10, 20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(backoff.ceiling(u32::MAX).as_millis(), 500);
        assert!((1..100).all(|n| backoff.delay(n) <= backoff.ceiling(n)));
    }
}
