//! Many additions in one step.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    Counters, Counts, Granularity, LARGEST, MOST_ENTRIES,
    current::{Buckets, Place},
    scripts,
};
use crate::{
    clock::millis,
    error::{Error, Result},
    names::check_name,
};

/// What is added to each name of a bucket.
pub(super) type Amounts = BTreeMap<String, u64>;

/// A bucket with what is added in it.
struct Filled {
    granularity: Granularity,
    place: Place,
    start_ms: i64,
    end_ms: i64,
    amounts: Amounts,
}

impl Counters {
    /// Adds to up to 1,000 names in the total and in the current minute, hour, day and month, in one step: all of them are
    /// counted or none is. When a name comes twice, both count. An amount of 0 writes nothing; no names are no call.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// views.add_many([("/home", 3), ("/news", 5)]).await?;
    /// assert_eq!(views.total("/news").await?, 5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when there are more than 1,000 names, one is not 1 to 256 bytes long, or an amount
    /// or a total would be over 2^53. `Unknown` when the answer was lost: all may have been counted or none, and nothing is
    /// sent again. Otherwise as every write, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "counters.add_many", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn add_many<N: Into<String>>(
        &self,
        additions: impl IntoIterator<Item = (N, u64)>,
    ) -> Result<()> {
        let mut amounts = Amounts::new();
        for (i, (name, n)) in additions.into_iter().enumerate() {
            add(&mut amounts, i, name.into(), n)?;
        }
        if amounts.is_empty() {
            return Ok(());
        }
        let inner = &*self.inner;
        inner.adds.increment(1);
        let add = |buckets: &Buckets| {
            let places = buckets.places.iter().map(|place| (place, &amounts));
            let window = (buckets.from_ms, buckets.until_ms);
            scripts::add_many(&inner.slot, &inner.total, &amounts, Some(window), places)
        };
        let (outcome, _) = self.call_now::<u64>(add).await?;
        self.all_added(&outcome)
    }

    /// Adds to up to 1,000 names in the total and in the minutes, hours, days and months of given times, past or future, in
    /// one step: for imports. A bucket whose retention is over is left out, as [`add_at`](Self::add_at) does.
    ///
    /// The answer is how much was added in all, and how much of it in minutes, hours, days and months that are still kept.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let now = SystemTime::now();
    /// let last_week = now - Duration::from_secs(7 * 24 * 3_600);
    /// let added = views.add_at_many([("/home", 3, now), ("/home", 5, last_week)]).await?;
    /// assert_eq!((added.total, added.day), (8, 8));
    /// assert_eq!(added.minute, 3); // minutes are kept for an hour
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`add_many`](Self::add_many); `Invalid` also when a time is not within the years 1970 to 9998.
    #[tracing::instrument(name = "counters.add_at_many", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn add_at_many<N: Into<String>>(
        &self,
        additions: impl IntoIterator<Item = (N, u64, SystemTime)>,
    ) -> Result<Counts> {
        let mut amounts = Amounts::new();
        let mut timed = Vec::new();
        for (i, (name, n, time)) in additions.into_iter().enumerate() {
            let (name, at_ms) = (name.into(), millis(time));
            self.inner.calendar.bucket(Granularity::Minute.unit(), at_ms)?;
            add(&mut amounts, i, name.clone(), n)?;
            if n > 0 {
                timed.push((at_ms, name, n));
            }
        }
        if amounts.is_empty() {
            return Ok(Counts::default());
        }
        let filled = self.fill(timed)?;
        let inner = &*self.inner;
        inner.adds.increment(1);
        let places = filled.iter().map(|bucket| (&bucket.place, &bucket.amounts));
        let call = scripts::add_many(&inner.slot, &inner.total, &amounts, None, places);
        let (outcome, now_ms, _): (String, i64, Vec<u64>) = inner.russet.run(call).await?;
        self.all_added(&outcome)?;
        let mut added = Counts { total: amounts.values().sum(), ..Counts::default() };
        for bucket in filled.iter().filter(|bucket| bucket.place.expiry_ms > now_ms) {
            *added.of(bucket.granularity) += bucket.amounts.values().sum::<u64>();
        }
        Ok(added)
    }

    /// The buckets of what was counted at these times. In the order of time, so that each bucket is worked out once.
    fn fill(&self, mut timed: Vec<(i64, String, u64)>) -> Result<Vec<Filled>> {
        let inner = &*self.inner;
        timed.sort_unstable();
        let mut filled: Vec<Filled> = Vec::new();
        for granularity in Granularity::ALL {
            let first = filled.len();
            for (at_ms, name, n) in &timed {
                let is_in = |bucket: &Filled| (bucket.start_ms..bucket.end_ms).contains(at_ms);
                if !filled[first..].last().is_some_and(is_in) {
                    let bucket = inner.calendar.bucket(granularity.unit(), *at_ms)?;
                    filled.push(Filled {
                        granularity,
                        place: Place::of(granularity, &bucket, inner.retention),
                        start_ms: bucket.start_ms,
                        end_ms: bucket.end_ms,
                        amounts: Amounts::new(),
                    });
                }
                if let Some(bucket) = filled.last_mut() {
                    *bucket.amounts.entry(name.clone()).or_default() += n;
                }
            }
        }
        Ok(filled)
    }

    fn all_added(&self, outcome: &str) -> Result<()> {
        match outcome {
            "added" => Ok(()),
            "full" => Err(Error::invalid(format_args!(
                "{}: these additions would take a total over 2^53",
                self.object()
            ))),
            _ => {
                Err(Error::internal(format_args!("{}: unexpected answer {outcome}", self.object())))
            }
        }
    }
}

impl Counts {
    fn of(&mut self, granularity: Granularity) -> &mut u64 {
        match granularity {
            Granularity::Minute => &mut self.minute,
            Granularity::Hour => &mut self.hour,
            Granularity::Day => &mut self.day,
            Granularity::Month => &mut self.month,
        }
    }
}

/// Notes the addition number `i`, from 0.
fn add(amounts: &mut Amounts, i: usize, name: String, n: u64) -> Result<()> {
    if i == MOST_ENTRIES {
        return Err(Error::invalid(format_args!(
            "at most {MOST_ENTRIES} counts can be added at a time"
        )));
    }
    check_name("name of a counter", &name)?;
    if n == 0 {
        return Ok(());
    }
    let amount = amounts.entry(name).or_default();
    *amount = amount.saturating_add(n);
    if *amount > LARGEST {
        return Err(Error::invalid(format_args!(
            "at most 2^53 can be added to a counter, not {amount}"
        )));
    }
    Ok(())
}
