//! Everything that changes a board.

use std::collections::HashMap;

use super::{
    Leaderboard, MOST_MEMBERS, Standing,
    score::check_score,
    scripts::{self, How},
};
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
        let inner = &*self.inner;
        let (_, score, index): (_, _, Option<u64>) =
            self.ask(|place| scripts::add(inner, place, member, score)).await?;
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
        let inner = &*self.inner;
        let (outcome, score, index): (_, _, Option<u64>) =
            self.ask(|place| scripts::increment(inner, place, member, by)).await?;
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
        self.update_many(How::Set, members).await
    }

    /// Adds to the scores of up to 1,000 members in one step, all of them or none, and tells how many of them were not on the
    /// board. When a member comes twice, both are added. No members are no call.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let board = russet::Leaderboard::builder(&russet, "game_scores").build()?;
    /// board.add("player1", 1_000.0).await?;
    /// let new = board.increment_many([("player1", 200.0), ("player2", 700.0)]).await?;
    /// assert_eq!((new, board.score("player1").await?), (1, Some(1_200.0)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`add_many`](Self::add_many); `Invalid` also when a new score would not be a number between -2^53 and 2^53.
    #[tracing::instrument(name = "leaderboard.increment_many", level = "debug", skip_all, fields(board = self.name()))]
    pub async fn increment_many<M: Into<String>>(
        &self,
        members: impl IntoIterator<Item = (M, f64)>,
    ) -> Result<u64> {
        self.update_many(How::Sum, members).await
    }

    async fn update_many<M: Into<String>>(
        &self,
        how: How,
        members: impl IntoIterator<Item = (M, f64)>,
    ) -> Result<u64> {
        let mut checked = Vec::new();
        for (member, score) in members {
            if checked.len() == MOST_MEMBERS {
                return Err(Error::invalid(format_args!(
                    "at most {MOST_MEMBERS} members can be added at a time"
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
        let members = merged(how, checked)?;
        let inner = &*self.inner;
        let (outcome, number, _): (_, _, Option<u64>) =
            self.ask(|place| scripts::add_many(inner, place, how, &members)).await?;
        match outcome.as_str() {
            "added" => Ok(number as u64),
            _ => Err(Error::invalid(format_args!(
                "{}: the new scores must be between -2^53 and 2^53, and that of one of the members would not",
                self.name()
            ))),
        }
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
        let inner = &*self.inner;
        if let Some(scores) = self.plain() {
            return inner
                .russet
                .run(Call::write("ZREM", &inner.slot).key(scores).arg(member))
                .await;
        }
        let (_, removed, _): (_, _, Option<u64>) =
            self.ask(|place| scripts::remove(inner, place, member)).await?;
        Ok(removed > 0.0)
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
        let kept = i64::try_from(n).unwrap_or(i64::MAX).min(1 << 52);
        let mut removed = 0;
        loop {
            let round = self.trim_round(kept).await?;
            removed += round;
            if round < TRIM_ROUND {
                return Ok(removed);
            }
        }
    }

    async fn trim_round(&self, kept: i64) -> Result<u64> {
        let inner = &*self.inner;
        if let Some(scores) = self.plain() {
            let call = Call::write("ZREMRANGEBYRANK", &inner.slot).key(scores);
            let call = call.arg(-kept - TRIM_ROUND as i64).arg(-kept - 1);
            return inner.russet.run(call).await;
        }
        let (_, removed, _): (_, _, Option<u64>) =
            self.ask(|place| scripts::trim(inner, place, kept)).await?;
        Ok(removed as u64)
    }
}

/// Each member once, in the order in which they come last.
fn merged(how: How, members: Vec<(String, f64)>) -> Result<Vec<(String, f64)>> {
    let mut scores: HashMap<String, (usize, f64)> = HashMap::new();
    for (at, (member, score)) in members.into_iter().enumerate() {
        let entry = scores.entry(member).or_insert((at, 0.0));
        let score = match how {
            How::Set => score,
            How::Sum => check_score("the increment", entry.1 + score)?,
        };
        *entry = (at, score);
    }
    let mut members: Vec<_> = scores.into_iter().collect();
    members.sort_unstable_by_key(|(_, (at, _))| *at);
    Ok(members.into_iter().map(|(member, (_, score))| (member, score)).collect())
}
