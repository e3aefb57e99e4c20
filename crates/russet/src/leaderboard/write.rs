//! Everything that changes a board.

use super::{Leaderboard, MOST_MEMBERS, Standing, score::check_score, scripts};
use crate::{
    client::Call,
    error::{Error, Result},
    names::check_name,
};

/// How many members one round of a trim removes at most.
const TRIM_ROUND: u64 = 1_000;

impl Leaderboard {
    /// Sets a member's score, whether or not it is on the board, and tells where it stands now.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add("player1", 1_000.0).await?;
    /// let standing = board.add("player2", 1_500.0).await?;
    /// assert_eq!((standing.score, standing.rank), (1_500.0, Some(1)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when the member's name is not 1 to 256 bytes long or the score is
    /// not a number between -2^53 and 2^53; `Unknown` when the answer was lost, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "leaderboard.add", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn add(&self, member: &str, score: impl Into<f64>) -> Result<Standing> {
        check_name("name of a member", member)?;
        let score = check_score("the score", score.into())?;
        self.inner.updates.increment(1);
        let call =
            scripts::add(&self.inner.slot, &self.inner.scores, member, score, self.inner.max_size);
        let index: Option<u64> = self.inner.russet.run(call).await?;
        Ok(Standing { score, rank: index.map(|index| index + 1) })
    }

    /// Adds to a member's score, which may be negative, and tells where it stands now. A member that is not
    /// on the board starts from 0.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.increment("player1", 200.0).await?;
    /// let standing = board.increment("player1", -50.0).await?;
    /// assert_eq!((standing.score, standing.rank), (150.0, Some(1)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when the member's name is not 1 to 256 bytes long, or the difference
    /// or the new score is not a number between -2^53 and 2^53. `Unknown` when the answer was lost: the
    /// increment may or may not have happened, and is not sent again.
    #[tracing::instrument(name = "leaderboard.increment", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn increment(&self, member: &str, by: impl Into<f64>) -> Result<Standing> {
        check_name("name of a member", member)?;
        let by = check_score("the increment", by.into())?;
        self.inner.updates.increment(1);
        let call = scripts::increment(
            &self.inner.slot,
            &self.inner.scores,
            member,
            by,
            self.inner.max_size,
        );
        let (outcome, score, index): (String, f64, Option<u64>) =
            self.inner.russet.run(call).await?;
        match outcome.as_str() {
            "standing" => Ok(Standing { score, rank: index.map(|index| index + 1) }),
            _ => Err(Error::invalid(format_args!(
                "{}: the new score must be between -2^53 and 2^53; it is {score} and {by} would be added",
                self.name()
            ))),
        }
    }

    /// Sets the scores of up to 1,000 members in one step and tells how many of them were not on the board.
    /// When a member comes twice, its last score counts. No members are no call.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// let new = board.add_many([("player1", 1_000.0), ("player2", 1_500.0)]).await?;
    /// assert_eq!(new, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, when there are more than 1,000 members, or a name or a score among
    /// them is not allowed; `Unknown` when the answer was lost.
    #[tracing::instrument(name = "leaderboard.add_many", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn add_many<M: Into<String>>(
        &self,
        members: impl IntoIterator<Item = (M, f64)>,
    ) -> Result<u64> {
        let mut checked = Vec::new();
        for (member, score) in members {
            if checked.len() == MOST_MEMBERS {
                return Err(Error::invalid(format_args!(
                    "add_many takes at most {MOST_MEMBERS} members at a time"
                )));
            }
            let member = member.into();
            check_name("name of a member", &member)?;
            checked.push((member, check_score("the score", score)?));
        }
        if checked.is_empty() {
            return Ok(0);
        }
        self.inner.updates.increment(checked.len() as u64);
        let call =
            scripts::add_many(&self.inner.slot, &self.inner.scores, &checked, self.inner.max_size);
        self.inner.russet.run(call).await
    }

    /// Takes a member off the board; `false` when it was not on it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add("player1", 1_000.0).await?;
    /// assert!(board.remove("player1").await?);
    /// assert!(!board.remove("player1").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the member's name is not 1 to 256 bytes long; otherwise as every write.
    #[tracing::instrument(name = "leaderboard.remove", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn remove(&self, member: &str) -> Result<bool> {
        check_name("name of a member", member)?;
        self.inner.updates.increment(1);
        self.inner
            .russet
            .run(Call::write("ZREM", &self.inner.slot).key(&self.inner.scores).arg(member))
            .await
    }

    /// Keeps the best `n` members, removes the others and tells how many were removed; 0 empties the board.
    ///
    /// Each step removes up to 1,000 members and is one round trip, so that a large board never stops the
    /// server. When there is more than one step, other callers see the board between them, and a call that
    /// fails has done some of them; the same call goes on from there.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add_many([("player1", 1.0), ("player2", 2.0), ("player3", 3.0)]).await?;
    /// assert_eq!(board.trim(1).await?, 2);
    /// assert_eq!(board.top(10).await?[0].member, "player3");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As every write, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "leaderboard.trim", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn trim(&self, n: u64) -> Result<u64> {
        self.inner.updates.increment(1);
        let kept = i64::try_from(n).unwrap_or(i64::MAX).min(1 << 53);
        let mut removed = 0;
        loop {
            let call = Call::write("ZREMRANGEBYRANK", &self.inner.slot)
                .key(&self.inner.scores)
                .arg(-kept - TRIM_ROUND as i64)
                .arg(-kept - 1);
            let round: u64 = self.inner.russet.run(call).await?;
            removed += round;
            if round < TRIM_ROUND {
                return Ok(removed);
            }
        }
    }
}
