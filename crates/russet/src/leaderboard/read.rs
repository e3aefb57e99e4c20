//! Everything that reads a board. A board that does not exist reads as an empty one.

use super::{Leaderboard, MOST_MEMBERS, Ranked, Standing, check_entries, scripts};
use crate::{client::Call, error::Result, names::check_name};

/// The largest window of [`Leaderboard::around`] lists 999 members.
const MOST_NEIGHBOURS: usize = 499;

impl Leaderboard {
    /// The best `n` members, 1 to 1,000, the best first.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// for line in board.top(10).await? {
    ///     println!("{}. {} {}", line.rank, line.member, line.score);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of range; otherwise as every read, see [`ErrorKind`](crate::ErrorKind).
    pub async fn top(&self, n: usize) -> Result<Vec<Ranked>> {
        self.page(0, n).await
    }

    /// The `n` members, 1 to 1,000, that follow the best `offset`; fewer at the end of the board, none beyond it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// let second_page = board.page(2, 2).await?;
    /// assert_eq!((second_page[0].rank, second_page[0].member.as_str()), (3, "player3"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of range; otherwise as every read.
    #[tracing::instrument(name = "leaderboard.page", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn page(&self, offset: u64, n: usize) -> Result<Vec<Ranked>> {
        check_entries("a page of a board", n, 1, MOST_MEMBERS)?;
        self.inner.reads.increment(1);
        let first = i64::try_from(offset).unwrap_or(i64::MAX);
        let last = first.saturating_add(n as i64 - 1);
        let call = self.read("ZREVRANGE").arg(first).arg(last).arg("WITHSCORES");
        Ok(ranked(offset, self.inner.russet.run(call).await?))
    }

    /// The member with up to `n` members, 0 to 499, directly above and `n` directly below it, the best first,
    /// as they stand at one moment. Fewer at the ends of the board; empty when the member is not on it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// let around = board.around("player2", 1).await?;
    /// let members: Vec<_> = around.iter().map(|line| line.member.as_str()).collect();
    /// assert_eq!(members, ["player2", "player1"]); // nobody is above the best
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is over 499 or the name not 1 to 256 bytes long; otherwise as every read.
    #[tracing::instrument(name = "leaderboard.around", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn around(&self, member: &str, n: usize) -> Result<Vec<Ranked>> {
        check_name("name of a member", member)?;
        check_entries("the neighbours on each side", n, 0, MOST_NEIGHBOURS)?;
        self.inner.reads.increment(1);
        let call = scripts::around(&self.inner.slot, &self.inner.scores, member, n);
        let (first, members): (u64, Vec<(String, f64)>) = self.inner.russet.run(call).await?;
        Ok(ranked(first, members))
    }

    /// The member's score and rank as they stand at one moment; `None` when it is not on the board.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// let standing = board.standing("player3").await?.expect("it is on the board");
    /// assert_eq!((standing.score, standing.rank), (800.0, Some(3)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read.
    pub async fn standing(&self, member: &str) -> Result<Option<Standing>> {
        let alone = self.around(member, 0).await?;
        Ok(alone.first().map(|line| Standing { score: line.score, rank: Some(line.rank) }))
    }

    /// The member's rank, 1 for the best; `None` when it is not on the board.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// assert_eq!(board.rank("player2").await?, Some(1));
    /// assert_eq!(board.rank("nobody").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read.
    #[tracing::instrument(name = "leaderboard.rank", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn rank(&self, member: &str) -> Result<Option<u64>> {
        check_name("name of a member", member)?;
        self.inner.reads.increment(1);
        let index: Option<u64> = self.inner.russet.run(self.read("ZREVRANK").arg(member)).await?;
        Ok(index.map(|index| index + 1))
    }

    /// The member's score; `None` when it is not on the board.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// assert_eq!(board.score("player2").await?, Some(1_500.0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read.
    #[tracing::instrument(name = "leaderboard.score", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn score(&self, member: &str) -> Result<Option<f64>> {
        check_name("name of a member", member)?;
        self.inner.reads.increment(1);
        self.inner.russet.run(self.read("ZSCORE").arg(member)).await
    }

    /// How many members the board has.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1_000.0), ("player2", 1_500.0), ("player3", 800.0)]).await?;
    /// assert_eq!(board.count().await?, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As every read.
    #[tracing::instrument(name = "leaderboard.count", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn count(&self) -> Result<u64> {
        self.inner.reads.increment(1);
        self.inner.russet.run(self.read("ZCARD")).await
    }

    /// `leaderboard:<name>` as it stands in its keys, for spans and messages.
    pub(super) fn name(&self) -> &str {
        self.inner.slot.object()
    }

    fn read(&self, command: &'static str) -> Call {
        Call::read(command, &self.inner.slot).key(&self.inner.scores)
    }
}

/// Numbers the members; `first` of them stand above.
fn ranked(first: u64, members: Vec<(String, f64)>) -> Vec<Ranked> {
    let numbered = (1..).zip(members);
    numbered
        .map(|(nth, (member, score))| Ranked { rank: first.saturating_add(nth), member, score })
        .collect()
}
