use std::{sync::Arc, time::Duration};

use super::{Inner, SlidingWindow};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::{Slot, window as keys},
};

/// A step reads and writes each bucket of a window at most once.
const MOST_BUCKETS: u64 = 1_000;
const LONGEST_MS: u64 = 366 * 86_400_000;

/// The settings of a [`SlidingWindow`]; made by [`SlidingWindow::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use std::time::Duration;
/// use russet::SlidingWindow;
///
/// let logins = SlidingWindow::builder(&russet, "logins")
///     .window(Duration::from_secs(3_600))
///     .bucket(Duration::from_secs(60))
///     .build()?;
/// # assert_eq!(logins.count().await?, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SlidingWindowBuilder {
    russet: Russet,
    name: String,
    window: Duration,
    bucket: Option<Duration>,
    label: Option<String>,
}

impl SlidingWindowBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self {
            russet: russet.clone(),
            name: name.to_owned(),
            window: Duration::from_secs(60),
            bucket: None,
            label: None,
        }
    }

    /// How long the window is, in whole milliseconds, up to 366 days. Defaults to a minute.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How exact it is, in whole milliseconds: 1 to 1,000 buckets make the window. Defaults to a sixtieth of the window.
    pub fn bucket(mut self, bucket: Duration) -> Self {
        self.bucket = Some(bucket);
        self
    }

    /// What the metrics call it, where names are made up by others: a label lives as long as the process. Defaults to the
    /// window's own name.
    pub fn metrics_label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, a time is out of its range, or the window is not made of 1 to
    /// 1,000 whole buckets.
    pub fn build(self) -> Result<SlidingWindow> {
        let slot = Slot::of(self.russet.names(), "window", &self.name)?;
        let window = self.window;
        let bucket = self.bucket.unwrap_or(window / 60);
        let (window_ms, bucket_ms) = (whole_ms("window", window)?, whole_ms("bucket", bucket)?);
        let buckets = window_ms / bucket_ms;
        if !window_ms.is_multiple_of(bucket_ms) || buckets > MOST_BUCKETS {
            return Err(Error::invalid(format_args!(
                "a window of {window:?} must be made of 1 to {MOST_BUCKETS} whole buckets, which {bucket:?} does not give"
            )));
        }
        let part = keys::buckets(bucket_ms, buckets);
        let label = self.label.unwrap_or(self.name);
        let additions =
            metrics::counter!("russet_window_additions_total", "window" => label.clone());
        let reads = metrics::counter!("russet_window_reads_total", "window" => label);
        let russet = self.russet;
        let inner = Inner { russet, slot, part, bucket_ms, buckets, window, additions, reads };
        Ok(SlidingWindow { inner: Arc::new(inner) })
    }
}

fn whole_ms(what: &str, time: Duration) -> Result<u64> {
    let is_whole = time.subsec_nanos().is_multiple_of(1_000_000);
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if is_whole && (1..=LONGEST_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(Error::invalid(format_args!(
        "the {what} must be a whole number of milliseconds, up to 366 days, not {time:?}"
    )))
}
