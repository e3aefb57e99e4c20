//! Boards that rank members by their score.

mod builder;
mod read;
mod score;
mod scripts;
mod write;

use std::{fmt, sync::Arc};

use metrics::Counter;

use crate::{
    client::Russet,
    error::{Error, Result},
    keys::{Part, Slot},
};

pub use builder::LeaderboardBuilder;

/// How many members one call adds or lists at most.
const MOST_MEMBERS: usize = 1_000;

/// Members ranked by score, the highest first; a rank counts from 1.
///
/// Equal scores stand in Redis order: of two members, the one whose name is greater byte by byte comes first.
/// Names of members have 1 to 256 bytes of any content. Scores are finite numbers between -2^53 and 2^53,
/// the range in which whole numbers are exact; anything else is refused before it is written.
///
/// Each call is one round trip except [`trim`](Self::trim). Reading and updating take a time that grows with
/// the logarithm of the board's size. The handle is cheap to clone.
///
/// A board lives until its last member is removed. A process that dies in the middle of a call leaves the
/// board as it was before the call, or as it is after it.
///
/// ```
/// # use russet::testing::TestServer;
/// use russet::{Leaderboard, Russet};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let board = Leaderboard::builder(&russet, "game_scores").max_size(100).build()?;
///
/// board.add("player1", 1_000).await?;
/// board.add("player2", 1_500.5).await?;
/// let standing = board.increment("player1", 700).await?;
/// assert_eq!((standing.score, standing.rank), (1_700.0, Some(1)));
///
/// let top = board.top(10).await?;
/// assert_eq!(top[0].member, "player1");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Leaderboard {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    slot: Slot,
    scores: Part,
    max_size: Option<u64>,
    updates: Counter,
    reads: Counter,
}

/// Where an update left a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The member's score.
    pub score: f64,
    /// The member's rank, 1 for the best. `None` when the board is full and the score too low for it:
    /// the member fell off the end in the same step.
    pub rank: Option<u64>,
}

/// A line of a board, as [`top`](Leaderboard::top), [`page`](Leaderboard::page) and [`around`](Leaderboard::around) list
/// them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// 1 for the best.
    pub rank: u64,
    /// The member's name.
    pub member: String,
    /// The member's score.
    pub score: f64,
}

impl Leaderboard {
    /// Starts the settings of the board `name`, which has 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> LeaderboardBuilder {
        LeaderboardBuilder::new(russet, name)
    }
}

impl fmt::Debug for Leaderboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { slot, max_size, .. } = &*self.inner;
        f.debug_struct("Leaderboard").field("slot", slot).field("max_size", max_size).finish()
    }
}

/// Refuses to list none or more than the limit.
fn check_entries(what: &str, n: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&n) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("{what} must be {least} to {most}, not {n}")))
}
