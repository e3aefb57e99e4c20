//! A name's counts over a stretch of time.

use std::{
    ops::{Bound, RangeBounds},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Counters, Granularity, MOST_ENTRIES, Point, builder::Retention, current::TRIES, scripts,
};
use crate::{
    calendar::{Bucket, Calendar},
    clock::{from_millis, millis},
    error::{Error, Result},
    names::check_name,
};

/// From the bucket that holds `start_ms` to the last one that begins before `end_ms`.
struct Span {
    /// `None` is as far back as buckets are kept.
    start_ms: Option<i64>,
    /// `None` is now.
    end_ms: Option<i64>,
}

impl Counters {
    /// A name's count in each bucket of a range of time, the oldest first, with 0 where nothing was counted.
    ///
    /// The first bucket is the one that holds the range's start; the last is the last that begins within the
    /// range. A range without a start reaches as far back as buckets are kept, one without an end to the
    /// current bucket by the server's clock. A range that ends before it starts is empty. Buckets whose
    /// retention is over read as 0.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use std::time::{Duration, SystemTime};
    /// use russet::Granularity;
    ///
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 24 * 3_600 + 12 * 3_600);
    /// let day = noon..noon + Duration::from_secs(24 * 3_600);
    /// let hours = views.series("/home", Granularity::Hour, day).await?;
    /// assert_eq!((hours.len(), hours[0].start, hours[0].count), (24, noon, 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the range has more than 1,000 buckets or leaves the years 1970 to 9998, or the name is
    /// not 1 to 256 bytes long; otherwise as every read, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "counters.series", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn series(
        &self,
        name: &str,
        granularity: Granularity,
        range: impl RangeBounds<SystemTime>,
    ) -> Result<Vec<Point>> {
        check_name("name of a counter", name)?;
        let span = Span::of(&range);
        self.inner.reads.increment(1);
        let (clock, deadline) = (self.inner.russet.clock(), self.inner.russet.deadline());
        for _ in 0..TRIES {
            let now_ms = clock.now_ms();
            let buckets =
                span.buckets(&self.inner.calendar, self.inner.retention, granularity, now_ms)?;
            let (counts, server_ms) = self.counts_in(deadline, &buckets, name, granularity).await?;
            if span.is_right_at(server_ms, now_ms, &self.inner.calendar, granularity)? {
                let points = buckets.iter().zip(counts);
                return Ok(points.map(|(bucket, count)| bucket.point(count)).collect());
            }
            self.inner.late.increment(1);
            clock.learn(server_ms);
        }
        Err(self.never_on_time())
    }

    /// One pipeline: the server's time and the count in each bucket.
    async fn counts_in(
        &self,
        deadline: Instant,
        buckets: &[Bucket],
        name: &str,
        granularity: Granularity,
    ) -> Result<(impl Iterator<Item = u64> + use<>, i64)> {
        let counts =
            buckets.iter().map(|bucket| self.count_in(&granularity.part(&bucket.label), name));
        let calls: Vec<_> = std::iter::once(scripts::now(&self.inner.slot)).chain(counts).collect();
        let answers: Vec<Option<u64>> = self.inner.russet.run_many_until(deadline, &calls).await?;
        let mut answers = answers.into_iter().map(Option::unwrap_or_default);
        let server_ms = answers.next().and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
        Ok((answers, server_ms))
    }
}

impl Span {
    fn of(range: &impl RangeBounds<SystemTime>) -> Self {
        let start_ms = match range.start_bound() {
            Bound::Included(time) | Bound::Excluded(time) => Some(millis(*time)),
            Bound::Unbounded => None,
        };
        let end_ms = match range.end_bound() {
            Bound::Included(time) => Some(millis(*time).saturating_add(1)),
            Bound::Excluded(time) => Some(millis_up(*time)),
            Bound::Unbounded => None,
        };
        Self { start_ms, end_ms }
    }

    /// The buckets of the span when the server's time is `now_ms`.
    fn buckets(
        &self,
        calendar: &Calendar,
        retention: Retention,
        granularity: Granularity,
        now_ms: i64,
    ) -> Result<Vec<Bucket>> {
        let start_ms = self.start_ms.unwrap_or((now_ms - retention.ms(granularity)).max(0));
        let end_ms = self.end_ms.unwrap_or(now_ms + 1);
        let mut buckets = Vec::new();
        let mut at_ms = start_ms;
        // The first bucket begins before the start, and is asked for only when the span is not empty.
        while at_ms < end_ms {
            if buckets.len() == MOST_ENTRIES {
                let about = (end_ms - start_ms) / granularity.usual_ms() + 1;
                let found = about.max(MOST_ENTRIES as i64 + 1);
                return Err(Error::invalid(format_args!(
                    "a series has at most {MOST_ENTRIES} points, and this range has about {found}"
                )));
            }
            let bucket = calendar.bucket(granularity.unit(), at_ms)?;
            at_ms = bucket.end_ms;
            buckets.push(bucket);
        }
        Ok(buckets)
    }

    /// Whether the buckets worked out for `now_ms` are those of the server's time.
    fn is_right_at(
        &self,
        server_ms: i64,
        now_ms: i64,
        calendar: &Calendar,
        granularity: Granularity,
    ) -> Result<bool> {
        let is_fixed = self.start_ms.is_some() && self.end_ms.is_some();
        Ok(is_fixed
            || calendar.bucket(granularity.unit(), server_ms)?
                == calendar.bucket(granularity.unit(), now_ms)?)
    }
}

impl Bucket {
    fn point(&self, count: u64) -> Point {
        Point { start: from_millis(self.start_ms), count }
    }
}

impl Granularity {
    /// The length of most buckets.
    fn usual_ms(self) -> i64 {
        const MINUTE_MS: i64 = 60_000;
        match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => 60 * MINUTE_MS,
            Self::Day => 24 * 60 * MINUTE_MS,
            Self::Month => 30 * 24 * 60 * MINUTE_MS,
        }
    }
}

/// Milliseconds since 1970, rounded up, so that a bucket that begins within the last millisecond counts.
fn millis_up(time: SystemTime) -> i64 {
    time.checked_add(Duration::from_nanos(999_999)).map_or(i64::MAX, millis)
}
