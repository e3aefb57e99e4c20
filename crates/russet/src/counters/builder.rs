use std::{sync::Arc, time::Duration};

use super::{Counters, Granularity, Inner, current::Current};
use crate::{
    calendar::Calendar,
    client::Russet,
    error::{Error, Result},
    keys::{Slot, counters as keys},
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The longest retention: a hundred years.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 3_600);

/// The settings of [`Counters`]; made by [`Counters::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::Duration;
/// use russet::{Counters, Granularity};
///
/// let views = Counters::builder(&russet, "site")
///     .time_zone("Asia/Shanghai")
///     .retention(Granularity::Day, Duration::from_secs(90 * 24 * 3_600))
///     .build()?;
/// # views.add("/home", 1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CountersBuilder {
    russet: Russet,
    group: String,
    time_zone: String,
    retention: Retention,
}

/// How long the buckets of each granularity are kept after their end, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention([i64; 4]);

impl Default for Retention {
    fn default() -> Self {
        Self([HOUR, 7 * DAY, 30 * DAY, 366 * DAY].map(millis))
    }
}

impl Retention {
    pub(super) fn ms(&self, granularity: Granularity) -> i64 {
        self.0[granularity as usize]
    }
}

impl CountersBuilder {
    pub(super) fn new(russet: &Russet, group: &str) -> Self {
        Self {
            russet: russet.clone(),
            group: group.to_owned(),
            time_zone: "UTC".to_owned(),
            retention: Retention::default(),
        }
    }

    /// The zone whose hours, days and months are counted, by its IANA name such as `Asia/Shanghai`. The rules
    /// are part of the program, so that they are the same on every machine. All handles of a group must agree
    /// on it. Defaults to `UTC`.
    pub fn time_zone(mut self, name: &str) -> Self {
        self.time_zone = name.to_owned();
        self
    }

    /// How long a bucket is kept after its end, 1 ms to 100 years. Buckets that exist keep the expiry they
    /// were made with. Defaults to 1 hour for minutes, 7 days for hours, 30 days for days, 366 days for months.
    pub fn retention(mut self, granularity: Granularity, keep: Duration) -> Self {
        self.retention.0[granularity as usize] = millis(keep);
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the group's name is not 1 to 256 bytes long, the time zone is unknown or a retention
    /// is not 1 ms to 100 years.
    pub fn build(self) -> Result<Counters> {
        let slot = Slot::of(self.russet.names(), "counters", &self.group)?;
        let calendar = Calendar::of(&self.time_zone)?;
        for granularity in Granularity::ALL {
            let keep = self.retention.ms(granularity);
            if !(1..=millis(LONGEST)).contains(&keep) {
                return Err(Error::invalid(format_args!(
                    "the retention of {granularity:?} must be 1 ms to 100 years, not {keep} ms"
                )));
            }
        }
        let inner = Inner {
            current: Current::new(calendar.clone(), self.retention),
            adds: metrics::counter!("russet_counters_adds_total", "group" => self.group.clone()),
            reads: metrics::counter!("russet_counters_reads_total", "group" => self.group.clone()),
            late: metrics::counter!("russet_counters_late_total", "group" => self.group),
            russet: self.russet,
            slot,
            total: keys::total(),
            calendar,
            retention: self.retention,
        };
        Ok(Counters { inner: Arc::new(inner) })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
