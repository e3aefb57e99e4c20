//! Boards that rank members by their score.

mod builder;
mod place;
mod read;
mod score;
mod scripts;
mod write;

use std::{fmt, sync::Arc};

use metrics::Counter;

use crate::{
    client::Russet,
    error::{Error, Result},
    keys::Slot,
};

use place::Whereabouts;

pub use builder::LeaderboardBuilder;
pub use place::Period;

/// How many members one call adds or lists at most.
const MOST_MEMBERS: usize = 1_000;

/// Members ranked by score, the highest first; a rank counts from 1.
///
/// Equal scores stand in Redis order, unless the board has another [tie rule](Ties): of two members, the one whose name is
/// greater byte by byte comes first. A board may begin anew with each [day, week or month](LeaderboardBuilder::period).
/// Names of members have 1 to 256 bytes of any content. Scores are finite numbers between -2^53 and 2^53,
/// the range in which whole numbers are exact; anything else is refused before it is written.
///
/// Each call is one round trip except [`trim`](Self::trim). Reading and updating take a time that grows with
/// the logarithm of the board's size. The handle is cheap to clone.
///
/// A board lives until its last member is removed, one of a period until it is no longer kept. A process that dies in the middle of a call leaves the
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
    whereabouts: Whereabouts,
}

struct Inner {
    russet: Russet,
    slot: Slot,
    ties: Ties,
    max_size: Option<u64>,
    updates: Counter,
    reads: Counter,
    late: Counter,
}

/// Where members with equal scores stand. Costs are beside those of [`RedisOrder`](Self::RedisOrder).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ties {
    /// One behind the other, the name that is greater byte by byte first. A sorted set and nothing more.
    #[default]
    RedisOrder,
    /// Listed as in Redis order, with one rank for all of them: 1, 2, 2, 4. An update, a rank and a list ask the set for one
    /// number more; nothing more is stored. A board that is full drops members as they are listed, so that one of equals
    /// may go while another stays.
    Shared,
    /// One behind the other, in the order in which they reached the score; a member that is given the score that it has
    /// keeps its place. Beside the set there is a hash with the place of each member, so a board takes about twice the
    /// memory, and an update five commands more. Such a board is stored apart from those of the other rules.
    FirstToReach,
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
        let Inner { slot, ties, max_size, .. } = &*self.inner;
        f.debug_struct("Leaderboard")
            .field("slot", slot)
            .field("ties", ties)
            .field("max_size", max_size)
            .field("whereabouts", &self.whereabouts)
            .finish()
    }
}

/// Refuses to list none or more than the limit.
fn check_entries(what: &str, n: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&n) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("{what} must be {least} to {most}, not {n}")))
}
