//! Counts and the largest of them. What was never counted, or is no longer kept, reads as 0.

use std::time::SystemTime;

use super::{Counters, Counts, Granularity, MOST_ENTRIES, Top, current::Buckets, scripts};
use crate::{
    client::Call,
    clock::millis,
    error::{Error, Result},
    keys::Part,
    names::check_name,
};

impl Counters {
    /// A name's total and its counts in the current minute, hour, day and month, as they stand at one moment.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// views.add("/home", 1).await?;
    /// assert_eq!(views.get("/home").await?.total, 1);
    /// assert_eq!(views.get("/never").await?, russet::Counts::default());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read, see
    /// [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "counters.get", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn get(&self, name: &str) -> Result<Counts> {
        check_name("name of a counter", name)?;
        self.inner.reads.increment(1);
        let inner = &*self.inner;
        let get = |buckets: &Buckets| scripts::get(&inner.slot, &inner.total, buckets, name);
        let (_, counts) = self.call_now(get).await?;
        let unexpected = || Error::internal(format_args!("{}: unexpected answer", self.object()));
        Counts::from_reply(&counts).ok_or_else(unexpected)
    }

    /// A name's total of today and its counts in the minute, hour, day and month of a given time.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let last_week = SystemTime::now() - Duration::from_secs(7 * 24 * 3_600);
    /// views.add_at("/home", 5, last_week).await?;
    /// assert_eq!(views.get_at("/home", last_week).await?.day, 5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long or the time not within the years 1970 to 9998;
    /// otherwise as every read.
    #[tracing::instrument(name = "counters.get_at", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn get_at(&self, name: &str, time: SystemTime) -> Result<Counts> {
        check_name("name of a counter", name)?;
        let inner = &*self.inner;
        let buckets = Buckets::at(&inner.calendar, inner.retention, millis(time))?;
        inner.reads.increment(1);
        let parts = buckets.places.iter().map(|place| &place.part);
        let calls: Vec<_> = std::iter::once(&inner.total)
            .chain(parts)
            .map(|part| self.count_in(part, name))
            .collect();
        let counts: Vec<Option<u64>> = inner.russet.run_many(&calls).await?;
        let counts: Vec<_> = counts.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Counts::from_reply(&counts).unwrap_or_default())
    }

    /// What was ever counted under a name.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// views.add("/home", 3).await?;
    /// assert_eq!(views.total("/home").await?, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read.
    #[tracing::instrument(name = "counters.total", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn total(&self, name: &str) -> Result<u64> {
        check_name("name of a counter", name)?;
        self.inner.reads.increment(1);
        let count: Option<u64> =
            self.inner.russet.run(self.count_in(&self.inner.total, name)).await?;
        Ok(count.unwrap_or_default())
    }

    /// The `n` names, 1 to 1,000, with the largest counts in the current bucket, the largest first. Of equal
    /// counts, the name that is greater byte by byte comes first.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use russet::Granularity;
    ///
    /// views.add("/home", 3).await?;
    /// views.add("/news", 5).await?;
    /// for line in views.top(Granularity::Hour, 10).await? {
    ///     println!("{} {}", line.count, line.name);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of range; otherwise as every read.
    #[tracing::instrument(name = "counters.top", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn top(&self, granularity: Granularity, n: usize) -> Result<Vec<Top>> {
        self.check_top(n)?;
        let slot = &self.inner.slot;
        let top = |buckets: &Buckets| scripts::top(slot, buckets, buckets.part(granularity), n);
        let (_, names) = self.call_now(top).await?;
        Ok(listed(names))
    }

    /// As [`top`](Self::top), in the bucket of a given time.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use std::time::{Duration, SystemTime};
    /// use russet::Granularity;
    ///
    /// let yesterday = SystemTime::now() - Duration::from_secs(24 * 3_600);
    /// views.add_at("/home", 3, yesterday).await?;
    /// let top = views.top_at(Granularity::Day, yesterday, 10).await?;
    /// assert_eq!((top[0].name.as_str(), top[0].count), ("/home", 3));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of range or the time not within the years 1970 to 9998; otherwise as every read.
    #[tracing::instrument(name = "counters.top_at", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn top_at(
        &self,
        granularity: Granularity,
        time: SystemTime,
        n: usize,
    ) -> Result<Vec<Top>> {
        let bucket = self.inner.calendar.bucket(granularity.unit(), millis(time))?;
        self.top_of(&granularity.part(&bucket.label), n).await
    }

    /// As [`top`](Self::top), of what was ever counted.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// views.add("/home", 3).await?;
    /// views.add("/news", 5).await?;
    /// let top = views.top_total(10).await?;
    /// assert_eq!((top[0].name.as_str(), top[0].count), ("/news", 5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of range; otherwise as every read.
    #[tracing::instrument(name = "counters.top_total", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn top_total(&self, n: usize) -> Result<Vec<Top>> {
        self.top_of(&self.inner.total, n).await
    }

    async fn top_of(&self, part: &Part, n: usize) -> Result<Vec<Top>> {
        self.check_top(n)?;
        let call =
            Call::read("ZREVRANGE", &self.inner.slot).key(part).arg(0).arg(n - 1).arg("WITHSCORES");
        Ok(listed(self.inner.russet.run(call).await?))
    }

    fn check_top(&self, n: usize) -> Result<()> {
        if !(1..=MOST_ENTRIES).contains(&n) {
            return Err(Error::invalid(format_args!(
                "a top list must have 1 to {MOST_ENTRIES} entries, not {n}"
            )));
        }
        self.inner.reads.increment(1);
        Ok(())
    }

    /// Reads a name's count in one bucket.
    pub(super) fn count_in(&self, bucket: &Part, name: &str) -> Call {
        Call::read("ZSCORE", &self.inner.slot).key(bucket).arg(name)
    }
}

fn listed(names: Vec<(String, u64)>) -> Vec<Top> {
    names.into_iter().map(|(name, count)| Top { name, count }).collect()
}
