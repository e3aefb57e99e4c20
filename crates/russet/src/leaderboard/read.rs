//! Everything that reads a board. A board that does not exist reads as an empty one.

use super::{
    Leaderboard, MOST_MEMBERS, Ranked, Standing, Ties, check_entries, place::Place, scripts,
};
use crate::{client::Call, error::Result, keys::Part, names::check_name};

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
        // No board is larger, and a script's numbers are exact to here.
        let first = i64::try_from(offset).unwrap_or(i64::MAX).min(1 << 52);
        let last = first + n as i64 - 1;
        if let Some(scores) = self.plain() {
            let call = self.read("ZREVRANGE", scores).arg(first).arg(last).arg("WITHSCORES");
            return Ok(self.ranked(offset, offset, self.inner.russet.run(call).await?));
        }
        let inner = &*self.inner;
        self.lines(|place| scripts::page(inner, place, first, last)).await
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
        let inner = &*self.inner;
        self.lines(|place| scripts::around(inner, place, member, n)).await
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
    #[tracing::instrument(name = "leaderboard.standing", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn standing(&self, member: &str) -> Result<Option<Standing>> {
        check_name("name of a member", member)?;
        self.inner.reads.increment(1);
        let inner = &*self.inner;
        let (_, score, index): (_, _, Option<u64>) =
            self.ask(|place| scripts::standing(inner, place, member)).await?;
        Ok(index.map(|index| Standing { score, rank: Some(index + 1) }))
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
        let Some(scores) = self.plain() else {
            return Ok(self.standing(member).await?.and_then(|standing| standing.rank));
        };
        check_name("name of a member", member)?;
        self.inner.reads.increment(1);
        let call = self.read("ZREVRANK", scores).arg(member);
        let index: Option<u64> = self.inner.russet.run(call).await?;
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
        let Some(scores) = self.plain() else {
            return Ok(self.standing(member).await?.map(|standing| standing.score));
        };
        check_name("name of a member", member)?;
        self.inner.reads.increment(1);
        self.inner.russet.run(self.read("ZSCORE", scores).arg(member)).await
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
        if let Some(scores) = self.plain() {
            return self.inner.russet.run(self.read("ZCARD", scores)).await;
        }
        let inner = &*self.inner;
        let (_, count, _): (_, _, Option<u64>) =
            self.ask(|place| scripts::count(inner, place)).await?;
        Ok(count as u64)
    }

    /// `leaderboard:<name>` as it stands in its keys, for spans and messages.
    pub(super) fn name(&self) -> &str {
        self.inner.slot.object()
    }

    fn read(&self, command: &'static str, scores: &Part) -> Call {
        Call::read(command, &self.inner.slot).key(scores)
    }

    async fn lines(&self, call: impl Fn(&Place) -> Call) -> Result<Vec<Ranked>> {
        let (_, first, (above, members)): (_, _, (u64, Vec<(String, f64)>)) =
            self.ask(call).await?;
        Ok(self.ranked(first as u64, above, members))
    }

    /// Numbers members that stand behind so many others, of which so many are above the first by the tie rule.
    fn ranked(&self, first: u64, above: u64, members: Vec<(String, f64)>) -> Vec<Ranked> {
        let mut lines: Vec<Ranked> = Vec::with_capacity(members.len());
        for (nth, (member, score)) in (1..).zip(members) {
            let rank = match lines.last() {
                None => above.saturating_add(1),
                Some(last) if self.inner.ties == Ties::Shared && last.score == score => last.rank,
                Some(_) => first.saturating_add(nth),
            };
            lines.push(Ranked { rank, member, score });
        }
        lines
    }
}
