use std::time::Duration;

use crate::{
    error::{Error, Result},
    keys::{Part, rate_limit as keys},
};

const MOST: u64 = 1_000_000_000;
const LONGEST_MS: u64 = 366 * 86_400_000;
const MOST_BUCKETS: u64 = 100;
/// What a script can count exactly, twice.
const EXACT: u64 = 1 << 52;

/// How often: one limit of a [`RateLimiter`](super::RateLimiter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limit {
    kind: Kind,
    most: u64,
    period: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed,
    Sliding { buckets: u64 },
    Gcra { burst: u64 },
}

/// A limit that was checked, as a script takes it.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) part: Part,
    pub(super) kind: &'static str,
    /// What a subject has that did nothing for long.
    pub(super) most: u64,
    /// In microseconds: the period, the bucket, or the time of `more` calls.
    pub(super) time_us: u64,
    pub(super) more: u64,
}

impl Limit {
    /// `most` in each period, 1 to 10^9; the periods, a millisecond to 366 days, follow each other from 1970 on, in UTC: an
    /// hour begins at the full hour. Cheap and easy to explain; up to twice as many can come around the border of two
    /// periods.
    pub fn fixed(most: u64, period: Duration) -> Self {
        Self { kind: Kind::Fixed, most, period }
    }

    /// `most`, 1 to 10^9, within any time of this length, a millisecond to 366 days: never more, whenever one looks. What
    /// came counts until it is older than the period, up to a [bucket](Self::buckets) longer.
    pub fn sliding(most: u64, period: Duration) -> Self {
        Self { kind: Kind::Sliding { buckets: 10 }, most, period }
    }

    /// `most`, 1 to 10^9, in a period, a millisecond to 366 days, evenly: a bucket of tokens that is refilled all the time.
    /// After a pause a [burst](Self::burst) of them can come at once. The smallest in memory.
    pub fn gcra(most: u64, period: Duration) -> Self {
        Self { kind: Kind::Gcra { burst: most }, most, period }
    }

    /// How many can come at once after a pause, for [`gcra`](Self::gcra), 1 to 10^9. Defaults to what comes in a period.
    /// Without effect on the others.
    pub fn burst(mut self, burst: u64) -> Self {
        if let Kind::Gcra { .. } = self.kind {
            self.kind = Kind::Gcra { burst };
        }
        self
    }

    /// Into how many parts the period is divided, for [`sliding`](Self::sliding), 1 to 100: more are more exact and more
    /// memory. Defaults to 10. Without effect on the others.
    pub fn buckets(mut self, buckets: u64) -> Self {
        if let Kind::Sliding { .. } = self.kind {
            self.kind = Kind::Sliding { buckets };
        }
        self
    }

    /// How many calls can come at once after a pause, and within which time no more can, on the average.
    ///
    /// ```
    /// use std::time::Duration;
    /// use russet::Limit;
    ///
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(Limit::fixed(100, minute).quota(), (100, minute));
    /// // A bucket of 10, which is full again in six seconds.
    /// assert_eq!(Limit::gcra(100, minute).burst(10).quota(), (10, Duration::from_secs(6)));
    /// ```
    pub fn quota(&self) -> (u64, Duration) {
        match self.kind {
            Kind::Gcra { burst } => {
                let us = self.period.as_micros() * u128::from(burst) / u128::from(self.most.max(1));
                (burst, Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX)))
            }
            _ => (self.most, self.period),
        }
    }

    pub(super) fn ready(&self) -> Result<Ready> {
        let Self { kind, most, period } = *self;
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        check("a limit", most, MOST)?;
        if !(1..=LONGEST_MS).contains(&period_ms)
            || !period.subsec_nanos().is_multiple_of(1_000_000)
        {
            return Err(Error::invalid(format_args!(
                "the period of a limit must be a whole number of milliseconds, up to 366 days, not {period:?}"
            )));
        }
        let period_us = period_ms * 1_000;
        Ok(match kind {
            Kind::Fixed => {
                let part = keys::fixed(period_ms);
                Ready { part, kind: "fixed", most, time_us: period_us, more: 0 }
            }
            Kind::Sliding { buckets } => {
                check("the buckets of a limit", buckets, MOST_BUCKETS)?;
                let part = keys::sliding(period_ms, buckets);
                let time_us = period_us.div_ceil(buckets);
                Ready { part, kind: "sliding", most, time_us, more: buckets }
            }
            Kind::Gcra { burst } => {
                check("the burst of a limit", burst, MOST)?;
                let (time_us, more) = self.interval(period_us, burst)?;
                let part = keys::gcra(period_ms);
                Ready { part, kind: "gcra", most: burst, time_us, more }
            }
        })
    }

    /// `more` calls in so many microseconds, in the smallest whole numbers.
    fn interval(&self, period_us: u64, burst: u64) -> Result<(u64, u64)> {
        let common = greatest_common(period_us, self.most);
        let (us, calls) = (period_us / common, self.most / common);
        let is_exact = |us: u64| u128::from(us) * u128::from(burst) <= u128::from(EXACT);
        if is_exact(us) {
            return Ok((us, calls));
        }
        // A thousandth stricter at most, and most often much less.
        let whole = period_us.div_ceil(self.most);
        if whole >= 1_000 && is_exact(whole) {
            return Ok((whole, 1));
        }
        Err(Error::invalid(format_args!(
            "{} in {:?} with a burst of {burst} cannot be reckoned exactly: a smaller burst or rounder numbers can",
            self.most, self.period
        )))
    }
}

fn check(what: &str, number: u64, most: u64) -> Result<()> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("{what} must be 1 to {most}, not {number}")))
}

fn greatest_common(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn calls_in_a_time_are_in_the_smallest_numbers_that_are_exact() {
        let ready = |most, period| Limit::gcra(most, period).ready().map(|r| (r.time_us, r.more));
        assert_eq!(ready(10, SECOND).unwrap(), (100_000, 1));
        assert_eq!(ready(3, SECOND).unwrap(), (1_000_000, 3));
        assert_eq!(ready(10_000_000, SECOND).unwrap(), (1, 10));
        assert_eq!(ready(10_000, 30 * 86_400 * SECOND).unwrap(), (259_200_000, 1));
        // A prime number a month: the interval is rounded up to the next microsecond.
        assert_eq!(ready(99_991, 30 * 86_400 * SECOND).unwrap(), (25_922_334, 1));
        assert!(ready(999_999_937, 30 * 86_400 * SECOND).is_ok());
        assert!(Limit::gcra(1, 366 * 86_400 * SECOND).burst(1_000_000).ready().is_err());
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for wrong in [
            Limit::fixed(0, SECOND),
            Limit::fixed(MOST + 1, SECOND),
            Limit::fixed(1, Duration::ZERO),
            Limit::fixed(1, Duration::from_micros(1_500)),
            Limit::fixed(1, 367 * 86_400 * SECOND),
            Limit::sliding(1, SECOND).buckets(0),
            Limit::sliding(1, SECOND).buckets(101),
            Limit::gcra(1, SECOND).burst(0),
        ] {
            assert!(wrong.ready().is_err(), "{wrong:?}");
        }
    }
}
