use std::time::Duration;

use super::{Queue, builder::check_time, scripts};
use crate::error::{Error, Result};

/// How many tasks a queue gives at most: so many in each time, evenly, by all its workers together.
///
/// ```
/// # use std::time::Duration;
/// use russet::RateLimit;
///
/// let limit = RateLimit::per_second(100);                       // one each 10 ms
/// let bursts = RateLimit::new(600, Duration::from_secs(60)).burst(50);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    tasks: u32,
    time: Duration,
    burst: u32,
}

/// A worker asks again after a millisecond or more, so this many come at a time when the rate is high.
const A_TURN: Duration = Duration::from_millis(10);
const MOST_TASKS: u32 = 1_000_000;

impl RateLimit {
    /// So many tasks in each such time, 1 to 1,000,000 of them and 1 ms to 366 days. They come evenly, one after the other,
    /// and when the rate is high as many together as it allows in 10 ms.
    pub fn new(tasks: u32, time: Duration) -> Self {
        let together = u128::from(tasks) * A_TURN.as_micros() / time.as_micros().max(1);
        Self { tasks, time, burst: u32::try_from(together).unwrap_or(u32::MAX).max(1) }
    }

    /// So many tasks in each second.
    pub fn per_second(tasks: u32) -> Self {
        Self::new(tasks, Duration::from_secs(1))
    }

    /// How many may come at once after a pause, 1 to 1,000,000: in any time there are at most so many more than the rate
    /// gives.
    pub fn burst(mut self, tasks: u32) -> Self {
        self.burst = tasks;
        self
    }

    /// How many tasks in each such time.
    pub fn tasks(&self) -> u32 {
        self.tasks
    }

    /// The time of so many tasks.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// How many may come at once.
    pub fn at_once(&self) -> u32 {
        self.burst
    }

    /// `<tasks> <ms> <burst>`, as it stands in Redis.
    fn write(&self) -> Result<String> {
        check_time("the time of a rate", Some(self.time), Duration::from_millis(1))?;
        for (what, number) in [("tasks", self.tasks), ("burst", self.burst)] {
            if !(1..=MOST_TASKS).contains(&number) {
                return Err(Error::invalid(format_args!(
                    "the {what} of a rate must be 1 to {MOST_TASKS}, not {number}"
                )));
            }
        }
        Ok([u128::from(self.tasks), self.time.as_millis(), self.burst.into()]
            .map(|number| number.to_string())
            .join(" "))
    }

    /// None for nothing, and for what another version wrote.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (tasks, time, burst) = (next()?, next()?, next()?);
        let time = Duration::from_millis(time);
        Some(Self { tasks: tasks.try_into().ok()?, time, burst: burst.try_into().ok()? })
    }
}

impl Queue {
    /// Lets the queue give tasks at this rate and no faster, to all its workers together; those that are too many stay ready,
    /// in their order. The server's clock decides, in the claim itself. In force at once, for workers that run too, whose
    /// wait is a second at most; the rate stands in Redis until it is changed or cleared. One round trip; a queue without a
    /// rate has no cost of it.
    ///
    /// A task that comes back counts as often as it is given.
    ///
    /// # Errors
    /// `Invalid` when a number is out of its range; otherwise when the server cannot be asked.
    pub async fn set_rate_limit(&self, limit: RateLimit) -> Result<()> {
        scripts::limit(&self.inner.russet, &self.inner.place, &limit.write()?).await
    }

    /// Lets the queue give tasks as fast as they can be done. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn clear_rate_limit(&self) -> Result<()> {
        scripts::limit(&self.inner.russet, &self.inner.place, "").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_comes_back_and_a_high_one_has_bursts() {
        let limit = RateLimit::new(600, Duration::from_secs(60)).burst(50);
        assert_eq!(limit.write().unwrap(), "600 60000 50");
        assert_eq!(RateLimit::read("600 60000 50"), Some(limit));
        let told = (limit.tasks(), limit.time(), limit.at_once());
        assert_eq!(told, (600, Duration::from_secs(60), 50));
        assert_eq!(RateLimit::per_second(100).burst, 1);
        assert_eq!(RateLimit::per_second(10_000).burst, 100);
        assert_eq!(RateLimit::read(""), None);
        for bad in [
            RateLimit::per_second(0),
            RateLimit::per_second(1_000_001),
            RateLimit::new(1, Duration::ZERO),
            RateLimit::per_second(1).burst(0),
        ] {
            assert!(bad.write().is_err(), "{bad:?}");
        }
    }
}
