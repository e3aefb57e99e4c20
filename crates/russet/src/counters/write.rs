//! Everything that counts.

use std::time::SystemTime;

use super::{Counters, Counts, LARGEST, current::Buckets, scripts};
use crate::{
    clock::millis,
    error::{Error, Result},
    names::check_name,
};

impl Counters {
    /// Adds `n` to a name in the total and in the current minute, hour, day and month, and returns the five
    /// counts. Adding 0 writes nothing and reads them.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// views.add("/home", 2).await?;
    /// let counts = views.add("/home", 1).await?;
    /// assert_eq!((counts.total, counts.month >= 1), (3, true));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when the name is not 1 to 256 bytes long, or `n` or the total would
    /// be over 2^53. `Unknown` when the answer was lost: it may or may not have been counted, and is not sent
    /// again. Otherwise as every write, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "counters.add", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn add(&self, name: &str, n: u64) -> Result<Counts> {
        if n == 0 {
            return self.get(name).await;
        }
        self.check_addition(name, n)?;
        let inner = &*self.inner;
        let add = |buckets: &Buckets| scripts::add(&inner.slot, &inner.total, buckets, name, n);
        let (outcome, counts) = self.call_now(add).await?;
        self.added(&outcome, &counts, n)
    }

    /// Adds `n` to a name in the total and in the minute, hour, day and month of a given time, past or future:
    /// for imports. A bucket whose retention is over is left out, and its count is returned as 0. Adding 0
    /// writes nothing and reads the counts of that time.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let views = russet::Counters::builder(&russet, "site").build()?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let last_week = SystemTime::now() - Duration::from_secs(7 * 24 * 3_600);
    /// let counts = views.add_at("/home", 5, last_week).await?;
    /// assert_eq!((counts.total, counts.day), (5, 5));
    /// assert_eq!(counts.minute, 0); // minutes are kept for an hour
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`add`](Self::add); `Invalid` also when the time is not within the years 1970 to 9998.
    #[tracing::instrument(name = "counters.add_at", level = "debug", skip_all, fields(group = self.object()))]
    pub async fn add_at(&self, name: &str, n: u64, time: SystemTime) -> Result<Counts> {
        if n == 0 {
            return self.get_at(name, time).await;
        }
        self.check_addition(name, n)?;
        let inner = &*self.inner;
        let buckets = Buckets::at(&inner.calendar, inner.retention, millis(time))?;
        let call = scripts::add_at(&inner.slot, &inner.total, &buckets, name, n);
        let (outcome, _, counts): (String, i64, Vec<u64>) = inner.russet.run(call).await?;
        self.added(&outcome, &counts, n)
    }

    fn check_addition(&self, name: &str, n: u64) -> Result<()> {
        check_name("name of a counter", name)?;
        if n > LARGEST {
            return Err(Error::invalid(format_args!(
                "at most 2^53 can be added to a counter, not {n}"
            )));
        }
        self.inner.adds.increment(1);
        Ok(())
    }

    fn added(&self, outcome: &str, counts: &[u64], n: u64) -> Result<Counts> {
        match (outcome, Counts::from_reply(counts)) {
            ("added", Some(counts)) => Ok(counts),
            ("full", _) => Err(Error::invalid(format_args!(
                "{}: adding {n} would take a total over 2^53",
                self.object()
            ))),
            _ => {
                Err(Error::internal(format_args!("{}: unexpected answer {outcome}", self.object())))
            }
        }
    }
}

impl Counts {
    /// From the order in which the scripts return them.
    pub(super) fn from_reply(counts: &[u64]) -> Option<Self> {
        let &[total, minute, hour, day, month] = counts else { return None };
        Some(Self { total, minute, hour, day, month })
    }
}
