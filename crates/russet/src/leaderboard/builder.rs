use std::{sync::Arc, time::Duration};

use super::{
    Inner, Leaderboard, Period, Ties,
    place::{Periods, Place, Whereabouts},
};
use crate::{
    calendar::Calendar,
    client::Russet,
    error::{Error, Result},
    keys::Slot,
};

/// The largest `max_size`: every rank below it is exact in a script.
const LARGEST_BOARD: u64 = 1 << 32;

/// The longest time that the board of a period is kept: a hundred years.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 3_600);

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
    ties: Ties,
    period: Option<Period>,
    time_zone: Option<String>,
    keep: Option<Duration>,
}

impl LeaderboardBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        Self {
            russet: russet.clone(),
            name: name.to_owned(),
            max_size: None,
            ties: Ties::default(),
            period: None,
            time_zone: None,
            keep: None,
        }
    }

    /// How many members the board keeps, 1 to 2^32; each update removes those below in the same step, up to
    /// 1,000 of them. A board that already holds many more is cut down by its next updates, or at once by
    /// [`trim`](Leaderboard::trim). Unlimited unless set.
    pub fn max_size(mut self, members: u64) -> Self {
        self.max_size = Some(members);
        self
    }

    /// Where members with equal scores stand. All handles of a board must agree on it: one with
    /// [`FirstToReach`](Ties::FirstToReach) does not see what the others see. Defaults to [`RedisOrder`](Ties::RedisOrder).
    pub fn ties(mut self, ties: Ties) -> Self {
        self.ties = ties;
        self
    }

    /// Begins anew with each day, week or month: calls are about the current one, by the server's clock, and
    /// [`at`](Leaderboard::at) is about another. An update takes two commands more, a read up to three, and no more round trips,
    /// but when the period ends while a call is on its way. A board that never ends unless set.
    pub fn period(mut self, period: Period) -> Self {
        self.period = Some(period);
        self
    }

    /// The zone whose days, weeks and months are meant, by its IANA name such as `Asia/Shanghai`. All handles of a board must
    /// agree on it. Defaults to `UTC`.
    pub fn time_zone(mut self, name: &str) -> Self {
        self.time_zone = Some(name.to_owned());
        self
    }

    /// How long the board of a period is kept after the period's end, 1 ms to 100 years. A board that exists keeps the end
    /// that it was made with. Defaults to 30 days for days, 366 days for weeks and months.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, the size not 1 to 2^32, the time zone unknown, the time to keep out
    /// of its range, or when there is one of these two and no period.
    pub fn build(self) -> Result<Leaderboard> {
        let slot = Slot::of(self.russet.names(), "leaderboard", &self.name)?;
        if let Some(size) = self.max_size.filter(|size| !(1..=LARGEST_BOARD).contains(size)) {
            return Err(Error::invalid(format_args!(
                "max_size must be 1 to {LARGEST_BOARD}, not {size}"
            )));
        }
        let whereabouts = self.whereabouts()?;
        let updates =
            metrics::counter!("russet_leaderboard_updates_total", "board" => self.name.clone());
        let reads =
            metrics::counter!("russet_leaderboard_reads_total", "board" => self.name.clone());
        let late = metrics::counter!("russet_leaderboard_late_total", "board" => self.name);
        let inner = Inner {
            russet: self.russet,
            slot,
            ties: self.ties,
            max_size: self.max_size,
            updates,
            reads,
            late,
        };
        Ok(Leaderboard { inner: Arc::new(inner), whereabouts })
    }

    fn whereabouts(&self) -> Result<Whereabouts> {
        let Some(period) = self.period else {
            let set = [self.time_zone.as_ref().map(|_| "time_zone"), self.keep.map(|_| "keep")];
            return match set.into_iter().flatten().next() {
                Some(set) => Err(Error::invalid(format_args!("{set} needs a period"))),
                None => Ok(Whereabouts::Here(Arc::new(Place::endless(self.ties)))),
            };
        };
        let calendar = Calendar::of(self.time_zone.as_deref().unwrap_or("UTC"))?;
        let keep = self.keep.unwrap_or_else(|| period.usual_keep());
        if !(Duration::from_millis(1)..=LONGEST).contains(&keep) {
            return Err(Error::invalid(format_args!(
                "a board must be kept for 1 ms to 100 years, not {keep:?}"
            )));
        }
        let periods = Periods::new(period, calendar, keep, self.ties);
        Ok(Whereabouts::Current(Arc::new(periods)))
    }
}
