use std::time::Duration;

use super::timetable::Timetable;
use crate::{
    error::{Error, Result},
    queue::{builder::check_time, scripts::millis},
};

/// The most missed ticks that are run at once.
const MOST: u32 = 1_000;

/// What becomes of ticks that nobody saw at their time, because no worker was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missed {
    /// The last of them is run, however late; those before it are not.
    #[default]
    RunOnce,
    /// None of them is run. The last one counts as missed when it is seen later than this after its time; those that another
    /// one has followed do so always.
    Skip {
        /// How late a tick may be.
        later_than: Duration,
    },
    /// All of them are run, as many of the last as this, the oldest first.
    RunAll {
        /// 1 to 1,000.
        at_most: u32,
    },
}

/// What is to be done about an entry that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The ticks to run, the oldest first.
    pub(super) run: Vec<i64>,
    pub(super) next: i64,
}

impl Missed {
    /// # Errors
    /// `Invalid` for a time or a number that is out of its range.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::RunOnce => Ok(()),
            Self::Skip { later_than } => {
                check_time("later_than", Some(later_than), Duration::from_millis(1))
            }
            Self::RunAll { at_most } if (1..=MOST).contains(&at_most) => Ok(()),
            Self::RunAll { at_most } => Err(Error::invalid(format_args!(
                "at_most must be 1 to {MOST} missed ticks, not {at_most}"
            ))),
        }
    }

    /// What an entry that was due then is to do now. None when its times have an end.
    pub(super) fn plan(self, times: &Timetable, due: i64, now: i64) -> Option<Plan> {
        let next = times.next(now.max(due))?;
        // Another database of time zones may not know the tick for which it was.
        let last = times.last(now).filter(|last| *last > due).unwrap_or(due);
        let run = match self {
            Self::RunOnce => vec![last],
            Self::Skip { later_than } if now - last > signed(later_than) => Vec::new(),
            Self::Skip { .. } => vec![last],
            Self::RunAll { at_most } => {
                let mut run = vec![last];
                while run.len() < at_most as usize
                    && let Some(before) = times.last(run[run.len() - 1] - 1)
                    && before >= due
                {
                    run.push(before);
                }
                run.reverse();
                run
            }
        };
        Some(Plan { run, next })
    }

    /// How it stands in a record.
    pub(super) fn write(self) -> String {
        match self {
            Self::RunOnce => "once".to_owned(),
            Self::Skip { later_than } => ["skip,", &millis(later_than).to_string()].concat(),
            Self::RunAll { at_most } => ["all,", &at_most.to_string()].concat(),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        match text.split_once(',') {
            None if text == "once" => Some(Self::RunOnce),
            Some(("skip", ms)) => {
                Some(Self::Skip { later_than: Duration::from_millis(ms.parse().ok()?) })
            }
            Some(("all", most)) => Some(Self::RunAll { at_most: most.parse().ok()? }),
            _ => None,
        }
    }
}

fn signed(time: Duration) -> i64 {
    i64::try_from(millis(time)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    /// The first tick is one minute after the beginning, which is 0.
    const DUE: i64 = 10 * MINUTE;

    fn plan(missed: Missed, now: i64) -> Plan {
        let times = Timetable::since(Duration::from_secs(60), 0);
        missed.plan(&times, DUE, now).unwrap()
    }

    fn minutes<const N: usize>(run: [i64; N], next: i64) -> Plan {
        Plan { run: run.map(|minute| minute * MINUTE).to_vec(), next: next * MINUTE }
    }

    #[test]
    fn a_tick_that_is_seen_at_its_time_is_run_by_every_policy() {
        let skip = Missed::Skip { later_than: Duration::from_secs(5) };
        for missed in [Missed::RunOnce, skip, Missed::RunAll { at_most: 9 }] {
            assert_eq!(plan(missed, DUE), minutes([10], 11));
            assert_eq!(plan(missed, DUE + 5_000), minutes([10], 11));
        }
    }

    #[test]
    fn missed_ticks_are_run_as_the_policy_says() {
        let now = DUE + 3 * MINUTE + 20_000;
        assert_eq!(plan(Missed::RunOnce, now), minutes([13], 14));
        let skip = |seconds| Missed::Skip { later_than: Duration::from_secs(seconds) };
        assert_eq!(plan(skip(19), now), minutes([], 14));
        assert_eq!(plan(skip(20), now), minutes([13], 14));
        assert_eq!(plan(Missed::RunAll { at_most: 1_000 }, now), minutes([10, 11, 12, 13], 14));
        assert_eq!(plan(Missed::RunAll { at_most: 2 }, now), minutes([12, 13], 14));
    }

    #[test]
    fn a_long_absence_costs_no_more_than_its_bound() {
        let year = 366 * 24 * 60;
        let plan = plan(Missed::RunAll { at_most: 3 }, year * MINUTE);
        assert_eq!(plan, minutes([year - 2, year - 1, year], year + 1));
    }

    #[test]
    fn a_due_time_that_its_table_does_not_know_is_run_for_itself() {
        let times = Timetable::since(Duration::from_secs(60), 0);
        let plan = Missed::RunAll { at_most: 9 }.plan(&times, DUE + 1, DUE + 2).unwrap();
        assert_eq!(plan, Plan { run: vec![DUE + 1], next: 11 * MINUTE });
    }

    #[test]
    fn a_policy_comes_back_from_its_record() {
        let skip = Missed::Skip { later_than: Duration::from_millis(1_500) };
        for missed in [Missed::RunOnce, skip, Missed::RunAll { at_most: 7 }] {
            assert_eq!(Missed::read(&missed.write()), Some(missed));
            missed.check().unwrap();
        }
        assert_eq!(Missed::read("later"), None);
        for at_most in [0, 1_001] {
            assert!(Missed::RunAll { at_most }.check().is_err());
        }
        assert!(Missed::Skip { later_than: Duration::ZERO }.check().is_err());
    }
}
