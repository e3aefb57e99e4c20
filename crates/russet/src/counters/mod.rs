//! Counts by minute, hour, day and month.

mod builder;
mod current;
mod granularity;
mod read;
mod scripts;
mod series;
mod write;
mod write_many;

use std::{fmt, sync::Arc, time::SystemTime};

use metrics::Counter;

use crate::{
    calendar::Calendar,
    client::Russet,
    keys::{Part, Slot},
};
use builder::Retention;
use current::Current;

pub use builder::CountersBuilder;
pub use granularity::Granularity;

/// How many buckets or names one call lists at most.
const MOST_ENTRIES: usize = 1_000;

/// The largest count, 2^53: up to here every whole number is exact.
const LARGEST: u64 = 1 << 53;

/// A group of counters, each counted in all and by minute, hour, day and month.
///
/// A counter is there as soon as it is counted; names have 1 to 256 bytes of any content. Counts are whole
/// numbers from 0 to 2^53 and only go up; an amount that would take a total beyond is refused before it is
/// written, so every count is exact.
///
/// Adding, reading, a series and a list of the largest counts are one round trip each. The Redis server's
/// clock decides which minute it is: a call that names the wrong one changes nothing, learns the server's
/// time and is made again. Days and months are those of the group's time zone.
///
/// A bucket expires by itself, at its end plus the retention of its granularity. Totals stay. All counters
/// of a group share one Cluster slot; independent counters under heavy load belong in groups of their own.
/// A process that dies in the middle of `add` has counted in all five places or in none.
///
/// ```
/// # use russet::testing::TestServer;
/// use russet::{Counters, Granularity, Russet};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let views = Counters::builder(&russet, "site").time_zone("Asia/Shanghai").build()?;
///
/// views.add("/home", 1).await?;
/// let counts = views.add("/home", 2).await?;
/// assert_eq!((counts.total, counts.day), (3, 3));
///
/// let days = views.series("/home", Granularity::Day, ..).await?; // the last is today
/// assert_eq!(days.iter().map(|day| day.count).sum::<u64>(), 3);
///
/// let top = views.top_total(10).await?;
/// assert_eq!((top[0].name.as_str(), top[0].count), ("/home", 3));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Counters {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    slot: Slot,
    total: Part,
    calendar: Calendar,
    retention: Retention,
    current: Current,
    adds: Counter,
    reads: Counter,
    late: Counter,
}

/// The counts of one name, as they stood at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Since the counter was first used.
    pub total: u64,
    /// In the minute.
    pub minute: u64,
    /// In the hour.
    pub hour: u64,
    /// In the day.
    pub day: u64,
    /// In the month.
    pub month: u64,
}

/// One bucket of a [series](Counters::series).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When the bucket begins; it ends where the next one begins.
    pub start: SystemTime,
    /// What was counted in it.
    pub count: u64,
}

/// A line of a [list of the largest counts](Counters::top).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The counter's name.
    pub name: String,
    /// What was counted.
    pub count: u64,
}

impl Counters {
    /// Starts the settings of a group of counters; its name has 1 to 256 bytes.
    pub fn builder(russet: &Russet, group: &str) -> CountersBuilder {
        CountersBuilder::new(russet, group)
    }

    /// What kind of object and its name as they stand in its keys, for spans and messages.
    fn object(&self) -> &str {
        self.inner.slot.object()
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { slot, calendar, retention, .. } = &*self.inner;
        f.debug_struct("Counters")
            .field("slot", slot)
            .field("calendar", calendar)
            .field("retention", retention)
            .finish()
    }
}
