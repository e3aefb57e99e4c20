//! How much came in the last minute, or in any other time, at every moment.

mod builder;
mod scripts;

use std::{fmt, sync::Arc, time::Duration};

use metrics::Counter;

pub use builder::SlidingWindowBuilder;

use crate::{
    client::Russet,
    error::{Error, Result},
    keys::{Part, Slot},
};

/// The most that a window counts, 2^53: up to here every whole number is exact in a script.
const MOST: u64 = 1 << 53;

/// A count of what came within the last `window`, by the server's clock, in buckets.
///
/// The window is the bucket that is not over yet and those before it, `window` ÷ `bucket` in all: a count is of the last
/// `window`, and of up to one bucket less. What is in it is exact at every moment, also when nothing came for a while; the
/// memory is bounded by the number of buckets. It ends by itself, one window after the last addition.
///
/// All handles of one name and the same two times are the same window; with other times it is another one. A cheap clone.
/// Each call is one round trip.
///
/// ```
/// # use russet::testing::TestServer;
/// use std::time::Duration;
/// use russet::{Russet, SlidingWindow};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let minute = Duration::from_secs(60);
/// let requests = SlidingWindow::builder(&russet, "api_requests").window(minute).build()?;
///
/// requests.add(1).await?;
/// assert_eq!(requests.add(59).await?, 60);
/// println!("{:.1} requests a second", requests.rate().await?);
/// # assert_eq!(requests.rate().await?, 1.0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SlidingWindow {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    slot: Slot,
    part: Part,
    bucket_ms: u64,
    buckets: u64,
    window: Duration,
    additions: Counter,
    reads: Counter,
}

impl SlidingWindow {
    /// Settings for the window of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> SlidingWindowBuilder {
        SlidingWindowBuilder::new(russet, name)
    }

    /// Counts `amount` more, from 1 on, now, and tells how much is in the window with it.
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, for an amount of 0, and when the count would pass 2^53. `Unknown` when the answer
    /// was lost: it may or may not be counted, and is not sent again.
    #[tracing::instrument(name = "window.add", level = "debug", skip_all, fields(window = self.inner.slot.object()))]
    pub async fn add(&self, amount: u64) -> Result<u64> {
        let inner = &*self.inner;
        let name = inner.slot.object();
        if !(1..=MOST).contains(&amount) {
            return Err(Error::invalid(format_args!(
                "{name}: the amount must be 1 to 2^53, not {amount}"
            )));
        }
        inner.additions.increment(1);
        let total: i64 = inner.russet.run(scripts::add(inner, amount)).await?;
        u64::try_from(total).map_err(|_| {
            Error::invalid(format_args!(
                "{name}: {amount} more would pass 2^53, the most it counts"
            ))
        })
    }

    /// How much is in the window now.
    ///
    /// # Errors
    /// As every read, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "window.count", level = "debug", skip_all, fields(window = self.inner.slot.object()))]
    pub async fn count(&self) -> Result<u64> {
        self.inner.reads.increment(1);
        self.inner.russet.run(scripts::count(&self.inner)).await
    }

    /// How much came for each second of the window: the count divided by the window.
    ///
    /// # Errors
    /// As every read.
    pub async fn rate(&self) -> Result<f64> {
        Ok(self.count().await? as f64 / self.inner.window.as_secs_f64())
    }
}

impl fmt::Debug for SlidingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { slot, window, buckets, .. } = &*self.inner;
        f.debug_struct("SlidingWindow")
            .field("slot", slot)
            .field("window", window)
            .field("buckets", buckets)
            .finish()
    }
}
