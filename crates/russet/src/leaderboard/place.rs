//! Where a board is stored, and which one of those of a period is the current one.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use super::{Leaderboard, Ties};
use crate::{
    calendar::{Bucket, Calendar, Unit},
    client::{Call, FromReply},
    clock::millis,
    error::{Advice, Error, ErrorKind, Result},
    keys::{Part, leaderboard as keys},
};

/// How often a call about the current period is made. The second try knows the server's time; the third is for a period that
/// ended while the second was on its way.
const TRIES: usize = 3;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long the boards of a game last that begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A day of the board's time zone, 23 or 25 hours long when daylight saving changes.
    Day,
    /// A week of the board's time zone, from Monday.
    Week,
    /// A month of the board's time zone.
    Month,
}

/// Where a board is stored, and when.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) scores: Part,
    /// Only where the order in which scores were reached counts.
    pub(super) places: Option<Part>,
    /// When its period is the current one; 0 when that does not matter.
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
    /// When it ends; 0 when it does not.
    pub(super) ends_ms: i64,
}

/// The place of the board, or of the current one.
#[derive(Clone, Debug)]
pub(super) enum Whereabouts {
    Here(Arc<Place>),
    Current(Arc<Periods>),
}

/// How the boards of a period follow each other.
#[derive(Debug)]
pub(super) struct Periods {
    pub(super) period: Period,
    pub(super) calendar: Calendar,
    pub(super) keep: Duration,
    pub(super) ties: Ties,
    remembered: RwLock<Option<Arc<Place>>>,
}

impl Period {
    fn unit(self) -> Unit {
        match self {
            Self::Day => Unit::Day,
            Self::Week => Unit::Week,
            Self::Month => Unit::Month,
        }
    }

    /// How long its boards are kept unless said otherwise.
    pub(super) fn usual_keep(self) -> Duration {
        match self {
            Self::Day => 30 * DAY,
            Self::Week | Self::Month => 366 * DAY,
        }
    }
}

impl Place {
    /// The place of the board that never ends.
    pub(super) fn endless(ties: Ties) -> Self {
        let (scores, places) = parts(ties);
        Self { scores, places, from_ms: 0, until_ms: 0, ends_ms: 0 }
    }
}

impl Periods {
    pub(super) fn new(period: Period, calendar: Calendar, keep: Duration, ties: Ties) -> Self {
        Self { period, calendar, keep, ties, remembered: RwLock::default() }
    }

    /// The place of the board that is current at this moment, worked out once a period.
    fn current(&self, now_ms: i64) -> Result<Arc<Place>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(place) = remembered.filter(|it| (it.from_ms..it.until_ms).contains(&now_ms)) {
            return Ok(place);
        }
        let bucket = self.calendar.bucket(self.period.unit(), now_ms)?;
        let place =
            Place { from_ms: bucket.start_ms, until_ms: bucket.end_ms, ..self.place(&bucket) };
        let place = Arc::new(place);
        *self.remembered.write().unwrap_or_else(PoisonError::into_inner) = Some(place.clone());
        Ok(place)
    }

    /// The place of a period's board, whenever it is asked.
    fn place(&self, bucket: &Bucket) -> Place {
        let (scores, places) = parts(self.ties);
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        Place {
            scores: keys::of_period(&scores, &bucket.label),
            places: places.map(|places| keys::of_period(&places, &bucket.label)),
            from_ms: 0,
            until_ms: 0,
            ends_ms: bucket.end_ms + keep_ms,
        }
    }
}

fn parts(ties: Ties) -> (Part, Option<Part>) {
    match ties {
        Ties::RedisOrder | Ties::Shared => (keys::scores(), None),
        Ties::FirstToReach => (keys::reached(), Some(keys::places())),
    }
}

impl Leaderboard {
    /// The board of the period that holds this time, past or future: to read who won, or to import. It is the same kind of
    /// handle, and stays with its board.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use std::time::{Duration, SystemTime};
    /// use russet::{Leaderboard, Period};
    ///
    /// let today = Leaderboard::builder(&russet, "game").period(Period::Day).build()?;
    /// let yesterday = today.at(SystemTime::now() - Duration::from_secs(24 * 3_600))?;
    /// yesterday.add("player1", 1_000.0).await?;
    /// assert_eq!(yesterday.rank("player1").await?, Some(1));
    /// assert_eq!(today.rank("player1").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the board has no [`period`](super::LeaderboardBuilder::period), was made by this call itself, or the time
    /// is not within the years 1970 to 9998. A write to a board that has ended is `Invalid` too.
    pub fn at(&self, time: SystemTime) -> Result<Self> {
        let Whereabouts::Current(periods) = &self.whereabouts else {
            let message = format_args!("{}: this board has no periods", self.name());
            return Err(Error::invalid(message));
        };
        let bucket = periods.calendar.bucket(periods.period.unit(), millis(time))?;
        let place = Arc::new(periods.place(&bucket));
        Ok(Self { inner: self.inner.clone(), whereabouts: Whereabouts::Here(place) })
    }

    /// Calls a script; of the current period's board, when there are periods. When the server's time is in another one, the
    /// script has answered `late` and done nothing, and is called again with that time, while the deadline allows it.
    pub(super) async fn ask<T: FromReply>(
        &self,
        call: impl Fn(&Place) -> Call,
    ) -> Result<(String, f64, T)> {
        let russet = &self.inner.russet;
        let (clock, deadline) = (russet.clock(), russet.deadline());
        for _ in 0..TRIES {
            let place = match &self.whereabouts {
                Whereabouts::Here(place) => place.clone(),
                Whereabouts::Current(periods) => periods.current(clock.now_ms())?,
            };
            let (outcome, number, rest): (String, f64, T) =
                russet.run_until(deadline, call(&place)).await?;
            match outcome.as_str() {
                "late" => {
                    self.inner.late.increment(1);
                    clock.learn(number as i64);
                }
                "over" => {
                    let message = format_args!("{}: the board of that time has ended", self.name());
                    return Err(Error::invalid(message));
                }
                _ => return Ok((outcome, number, rest)),
            }
        }
        let message =
            format_args!("{}: the server's clock changed during {TRIES} tries", self.name());
        Err(Error::new(ErrorKind::Refused, Advice::Retry, message))
    }

    /// The key of the scores, when plain commands say all about the board: there is one, and ranks are positions.
    pub(super) fn plain(&self) -> Option<&Part> {
        match (&self.whereabouts, self.inner.ties) {
            (Whereabouts::Here(place), Ties::RedisOrder) => Some(&place.scores),
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::{Russet, metered, testing::TestServer};

    const WEEK_MS: i64 = 7 * 24 * 60 * 60_000;

    #[tokio::test]
    async fn a_clock_that_is_wrong_by_a_week_writes_and_reads_the_servers_board() {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        for ties in [Ties::RedisOrder, Ties::Shared, Ties::FirstToReach] {
            let board = Leaderboard::builder(&russet, &format!("{ties:?}"));
            let board = board.ties(ties).period(Period::Day).build().unwrap();
            let now = SystemTime::now();
            let mislead = |by_ms| russet.clock().learn(millis(now) + by_ms);
            for (by_ms, member) in [(WEEK_MS, "fast"), (-WEEK_MS, "slow")] {
                mislead(by_ms);
                assert_eq!(board.increment(member, 1.0).await.unwrap().score, 1.0);
                let (standing, sent) = metered(board.increment(member, 1.0)).await;
                assert_eq!((standing.unwrap().score, sent.round_trips), (2.0, 1));
                mislead(by_ms);
                assert_eq!(board.score(member).await.unwrap(), Some(2.0));
                mislead(by_ms);
                assert!(board.rank(member).await.unwrap().is_some());
                mislead(by_ms);
                assert_eq!(board.around(member, 0).await.unwrap().len(), 1);
                mislead(by_ms);
                board.add_many([(member, 3.0)]).await.unwrap();
                mislead(by_ms);
                board.add(member, 4.0).await.unwrap();
                mislead(by_ms);
                assert_eq!(board.trim(5).await.unwrap(), 0);
            }
            mislead(WEEK_MS);
            assert_eq!(board.count().await.unwrap(), 2);
            mislead(WEEK_MS);
            assert_eq!(board.top(9).await.unwrap().len(), 2);
            mislead(WEEK_MS);
            assert!(board.remove("slow").await.unwrap());
            // Midnight may have come in between.
            let days = [now, SystemTime::now()].map(|time| board.at(time).unwrap());
            let counts = [days[0].count().await.unwrap(), days[1].count().await.unwrap()];
            assert!(counts.iter().sum::<u64>() >= 1, "{counts:?}");
            let keys = server.command(&["KEYS", &format!("*:{ties:?}*:*")]).await.unwrap();
            assert!(keys.texts().len() <= 4, "{keys:?}");
        }
    }

    #[test]
    fn the_place_is_worked_out_once_a_period() {
        let calendar = Calendar::of("Asia/Kathmandu").unwrap();
        let periods = Periods::new(Period::Week, calendar, DAY, Ties::RedisOrder);
        let first = periods.current(10 * WEEK_MS).unwrap();
        assert!(Arc::ptr_eq(&first, &periods.current(first.until_ms - 1).unwrap()));
        let next = periods.current(first.until_ms).unwrap();
        assert_eq!((next.from_ms, next.until_ms - next.from_ms), (first.until_ms, WEEK_MS));
        assert_eq!(next.ends_ms - next.until_ms, 24 * 60 * 60_000);
        assert_eq!(periods.current(10 * WEEK_MS).unwrap().from_ms, first.from_ms);
    }
}
