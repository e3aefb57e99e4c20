//! Which ids there are: a Bloom filter, so that an id that was never made costs no query.

use std::time::{Duration, Instant};

use russet::{BloomFilter, Russet, Verdict};

use super::UsersSettings;

/// The filter of the ids. A cheap clone.
#[derive(Clone)]
pub(super) struct Ids {
    pub(super) filter: BloomFilter,
    settle: Duration,
}

/// What the filter was told of an id before its row became visible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// The row must be visible by then, or the filter has to be told again: a rebuild may have begun meanwhile, and
    /// read the table too early.
    until: Option<Instant>,
}

impl Ids {
    pub(super) fn new(russet: &Russet, settings: &UsersSettings) -> russet::Result<Self> {
        let settle = settings.settle;
        let filter = BloomFilter::builder(russet, "user_ids").settle(settle).build()?;
        Ok(Self { filter, settle })
    }

    /// Tells the filter of an id. A failure is no error here: the note of the write stays then, and with it the id is
    /// told again.
    pub(super) async fn tell(&self, id: i64) -> Told {
        let told = Told::now(self.settle);
        match self.filter.insert(&id).await {
            Ok(_) => told,
            Err(error) => {
                tracing::debug!(%error, "the filter was not told of a user");
                Told::NOT
            }
        }
    }

    /// Whether the filter is certain that nobody has told it of this id.
    pub(super) async fn is_unknown(&self, id: i64) -> bool {
        self.filter.verdict(&id).await.is_ok_and(|verdict| verdict == Verdict::Absent)
    }
}

impl Told {
    pub(super) const NOT: Self = Self { until: None };

    /// Told from this moment on.
    pub(super) fn now(settle: Duration) -> Self {
        Self { until: Some(Instant::now() + settle) }
    }

    /// Whether the filter was told at all.
    pub(super) fn was(self) -> bool {
        self.until.is_some()
    }

    /// Whether a row that is visible by now is in every filter that is built.
    pub(super) fn in_time(self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}
