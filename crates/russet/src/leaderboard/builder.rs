use std::sync::Arc;

use super::{Inner, Leaderboard};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::{Slot, leaderboard as keys},
};

/// The largest `max_size`: every rank below it is exact in a script.
const LARGEST_BOARD: u64 = 1 << 32;

/// The settings of a [`Leaderboard`]; made by [`Leaderboard::builder`].
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// use russet::Leaderboard;
///
/// let board = Leaderboard::builder(&russet, "game_scores").max_size(100).build()?;
/// # assert_eq!(board.count().await?, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LeaderboardBuilder {
    russet: Russet,
    name: String,
    max_size: Option<u64>,
}

impl LeaderboardBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self { russet: russet.clone(), name: name.to_owned(), max_size: None }
    }

    /// How many members the board keeps, 1 to 2^32; each update removes those below in the same step, up to
    /// 1,000 of them. A board that already holds many more is cut down by its next updates, or at once by
    /// [`trim`](Leaderboard::trim). Unlimited unless set.
    pub fn max_size(mut self, members: u64) -> Self {
        self.max_size = Some(members);
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long or the size not 1 to 2^32.
    pub fn build(self) -> Result<Leaderboard> {
        let slot = Slot::of(self.russet.names(), "leaderboard", &self.name)?;
        if let Some(size) = self.max_size.filter(|size| !(1..=LARGEST_BOARD).contains(size)) {
            return Err(Error::invalid(format_args!(
                "max_size must be 1 to {LARGEST_BOARD}, not {size}"
            )));
        }
        let updates =
            metrics::counter!("russet_leaderboard_updates_total", "board" => self.name.clone());
        let reads = metrics::counter!("russet_leaderboard_reads_total", "board" => self.name);
        let inner = Inner {
            russet: self.russet,
            slot,
            scores: keys::scores(),
            max_size: self.max_size,
            updates,
            reads,
        };
        Ok(Leaderboard { inner: Arc::new(inner) })
    }
}
