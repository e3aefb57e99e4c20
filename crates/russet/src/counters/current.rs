//! The buckets of the current minute, worked out once a minute.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Counters, Granularity, builder::Retention};
use crate::{
    calendar::{Bucket, Calendar},
    client::{Call, FromReply},
    error::{Advice, Error, ErrorKind, Result},
    keys::Part,
};

/// How often a call about the current minute is made. The second try knows the server's time; the third is
/// for a minute that ended while the second was on its way.
pub(super) const TRIES: usize = 3;

/// The four buckets that a moment falls in.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The minute, the shortest of them.
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
    /// The shortest first.
    pub(super) places: [Place; 4],
}

/// Where a bucket is stored, and until when.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) part: Part,
    pub(super) expiry_ms: i64,
}

/// Remembers the buckets until their minute is over.
#[derive(Debug)]
pub(super) struct Current {
    calendar: Calendar,
    retention: Retention,
    remembered: RwLock<Option<Arc<Buckets>>>,
}

impl Buckets {
    /// The buckets of any moment, in milliseconds since 1970.
    ///
    /// # Errors
    /// `Invalid` when the moment is not within the years 1970 to 9998.
    pub(super) fn at(calendar: &Calendar, retention: Retention, at_ms: i64) -> Result<Self> {
        let place = |granularity: Granularity| -> Result<Place> {
            let bucket = calendar.bucket(granularity.unit(), at_ms)?;
            Ok(Place::of(granularity, &bucket, retention))
        };
        let [minute, hour, day, month] = Granularity::ALL;
        let window = calendar.bucket(minute.unit(), at_ms)?;
        Ok(Self {
            from_ms: window.start_ms,
            until_ms: window.end_ms,
            places: [place(minute)?, place(hour)?, place(day)?, place(month)?],
        })
    }

    pub(super) fn part(&self, granularity: Granularity) -> &Part {
        &self.places[granularity as usize].part
    }
}

impl Place {
    pub(super) fn of(granularity: Granularity, bucket: &Bucket, retention: Retention) -> Self {
        let expiry_ms = bucket.end_ms + retention.ms(granularity);
        Self { part: granularity.part(&bucket.label), expiry_ms }
    }
}

impl Current {
    pub(super) fn new(calendar: Calendar, retention: Retention) -> Self {
        Self { calendar, retention, remembered: RwLock::default() }
    }

    /// The buckets of this moment, in milliseconds since 1970.
    fn at(&self, now_ms: i64) -> Result<Arc<Buckets>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(buckets) = remembered.filter(|it| (it.from_ms..it.until_ms).contains(&now_ms)) {
            return Ok(buckets);
        }
        let buckets = Arc::new(Buckets::at(&self.calendar, self.retention, now_ms)?);
        *self.remembered.write().unwrap_or_else(PoisonError::into_inner) = Some(buckets.clone());
        Ok(buckets)
    }
}

impl Counters {
    /// Makes a call about the current minute. When that minute is not the server's, the script has answered
    /// `late` and done nothing; the call is made again with the server's time, while the deadline allows it.
    pub(super) async fn call_now<T: FromReply>(
        &self,
        call: impl Fn(&Buckets) -> Call,
    ) -> Result<(String, Vec<T>)> {
        let (russet, clock) = (&self.inner.russet, self.inner.russet.clock());
        let deadline = russet.deadline();
        for _ in 0..TRIES {
            let buckets = self.inner.current.at(clock.now_ms())?;
            let (outcome, server_ms, values): (String, i64, Vec<T>) =
                russet.run_until(deadline, call(&buckets)).await?;
            if outcome != "late" {
                return Ok((outcome, values));
            }
            self.inner.late.increment(1);
            clock.learn(server_ms);
        }
        Err(self.never_on_time())
    }

    /// The server's clock has left the time that it had just told, as often as it was asked.
    pub(super) fn never_on_time(&self) -> Error {
        let message =
            format_args!("{}: the server's clock changed during {TRIES} tries", self.object());
        Error::new(ErrorKind::Refused, Advice::Retry, message)
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::{
        Counts, Russet,
        clock::millis,
        metered,
        testing::{Proxy, TestServer},
    };
    use std::time::{Duration, Instant, SystemTime};

    const DAY_MS: i64 = 24 * 60 * 60_000;

    async fn start() -> (TestServer, Counters) {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let counters = Counters::builder(&russet, "site").build().unwrap();
        (server, counters)
    }

    /// Makes this process believe in another day than the server's.
    fn mislead(counters: &Counters, by_ms: i64) {
        counters.inner.russet.clock().learn(millis(SystemTime::now()) + by_ms);
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_by_a_day_counts_in_the_servers_buckets() {
        let (server, counters) = start().await;
        let one = Counts { total: 1, minute: 1, hour: 1, day: 1, month: 1 };
        for (by_ms, name) in [(DAY_MS, "fast"), (-DAY_MS, "slow")] {
            mislead(&counters, by_ms);
            assert_eq!(counters.add(name, 1).await.unwrap(), one);
            let (counts, sent) = metered(counters.add(name, 1)).await;
            assert_eq!(counts.unwrap().total, 2);
            assert_eq!(sent.round_trips, 1, "the server's time is known by now");

            mislead(&counters, by_ms);
            assert_eq!(counters.get(name).await.unwrap().total, 2);
            mislead(&counters, by_ms);
            let top = counters.top(Granularity::Day, 10).await.unwrap();
            assert_eq!(top[0].count, 2);
            mislead(&counters, by_ms);
            let days = counters.series(name, Granularity::Day, ..).await.unwrap();
            assert_eq!(days.iter().map(|day| day.count).sum::<u64>(), 2);
        }
        let today = SystemTime::now();
        assert_eq!(counters.get_at("fast", today).await.unwrap().total, 2);
        let keys = server.command(&["KEYS", "*:day:*"]).await.unwrap();
        assert!(keys.texts().len() <= 2, "{keys:?}");
    }

    #[tokio::test]
    async fn a_server_whose_clock_never_stands_still_is_an_error() {
        let (_server, counters) = start().await;
        let restless = |_: &Buckets| {
            mislead(&counters, DAY_MS);
            super::super::scripts::get(
                &counters.inner.slot,
                &counters.inner.total,
                &Buckets::at(&counters.inner.calendar, counters.inner.retention, 0).unwrap(),
                "views",
            )
        };
        let error = counters.call_now::<u64>(restless).await.unwrap_err();
        assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::Retry));
    }

    #[tokio::test]
    async fn a_second_try_has_the_deadline_of_the_first() {
        let server = TestServer::start().await.unwrap();
        let proxy = Proxy::to(&server).await.unwrap();
        let russet = Russet::connect(&proxy.url()).await.unwrap();
        let counters = Counters::builder(&russet, "site").build().unwrap();
        counters.add("views", 1).await.unwrap();
        // An answer takes 900 ms, and a call a second.
        proxy.delay(Duration::from_millis(450)).await.unwrap();
        mislead(&counters, DAY_MS);
        let started = Instant::now();
        let error = counters.add("views", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        assert!(started.elapsed() < Duration::from_millis(1_750), "{:?}", started.elapsed());
    }

    #[test]
    fn the_buckets_are_worked_out_once_a_minute() {
        let calendar = Calendar::of("Asia/Kathmandu").unwrap();
        let current = Current::new(calendar, Retention::default());
        let first = current.at(60_000).unwrap();
        assert!(Arc::ptr_eq(&first, &current.at(119_999).unwrap()));
        let next = current.at(120_000).unwrap();
        assert_eq!((next.from_ms, next.until_ms), (120_000, 180_000));
        assert_eq!(current.at(60_000).unwrap().from_ms, 60_000, "a clock may step back");
    }
}
