//! How long an entry lives.

use std::time::Duration;

use rand::RngExt;

/// A time to live that differs a little from entry to entry, so that what was stored together does not end together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ttl {
    pub(super) base: Duration,
    /// The part of `base` by which an entry's time may be shorter or longer.
    pub(super) jitter: f64,
}

/// The times of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// How long it is fresh; none when it need not say so.
    pub(super) fresh: Option<Duration>,
    /// How long it is kept.
    pub(super) kept: Duration,
}

impl Ttl {
    pub(super) fn draw(&self) -> Duration {
        if self.jitter == 0.0 {
            return self.base;
        }
        let factor = 1.0 + rand::rng().random_range(-self.jitter..=self.jitter);
        self.base.mul_f64(factor).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live_is_spread_over_its_jitter() {
        let ttl = Ttl { base: Duration::from_secs(100), jitter: 0.2 };
        let drawn: Vec<_> = (0..1_000).map(|_| ttl.draw().as_secs_f64()).collect();
        assert!(drawn.iter().all(|seconds| (80.0..=120.0).contains(seconds)));
        assert!(drawn.iter().any(|seconds| *seconds < 85.0));
        assert!(drawn.iter().any(|seconds| *seconds > 115.0));
    }
}
