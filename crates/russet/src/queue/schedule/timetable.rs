use std::{
    fmt, iter,
    time::{Duration, SystemTime},
};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{
    clock::{from_millis, millis},
    error::{Error, Result},
    queue::{builder::check_time, scripts::millis as length},
};

/// The shortest time between two ticks of [`Timetable::every`].
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest expression, in bytes.
const LONGEST_EXPRESSION: usize = 256;

/// The times at which something recurs: plain arithmetic, without a server and without a clock.
///
/// A program's tests can ask it what an expression means, and need not wait for the time to come.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::{Duration, SystemTime};
/// use russet::Timetable;
///
/// let day = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * days);
/// let weekdays = Timetable::cron("0 8 * * MON-FRI", "Asia/Shanghai")?;
/// let times: Vec<_> = weekdays.after(day(0)).take(3).collect(); // 1970-01-01 was a Thursday
/// assert_eq!(times, [day(1), day(4), day(5)]);                  // 8 o'clock there is midnight in UTC
/// # Ok(()) }
/// ```
///
/// # Daylight saving time
///
/// The fields of an expression are compared with the clock on the wall of the zone.
///
/// - **A clock put forward** leaves out an hour. A tick at a fixed time within it comes at the first moment after it, once;
///   those of an expression with `*` or a step in its second, minute or hour are left out, as the hour is.
/// - **A clock put back** gives an hour twice. A tick at a fixed time within it comes the first time only; those of an
///   expression with `*` or a step come both times.
///
/// So a daily tick comes once on each day, and one of every five minutes each five minutes. With the exception of a step of
/// hours: `0 */2 * * *` comes after one hour or three on such a day.
#[derive(Clone)]
pub struct Timetable(Kind);

#[derive(Clone)]
enum Kind {
    Cron {
        expression: String,
        zone: String,
        cron: Box<Cron>,
        calendar: TimeZone,
    },
    /// Both in ms; the first tick is one interval after the beginning.
    Every {
        interval: i64,
        from: i64,
    },
}

impl Timetable {
    /// The times of a cron expression, on the clock of an IANA time zone such as `Asia/Shanghai` or `UTC`.
    ///
    /// Five fields: minute, hour, day of the month, month, day of the week; or six, with the second in front. A field is `*`,
    /// a number, a name (`MON`, `JAN`), a range, a list or a step (`*/5`); `L`, `W` and `#` for days, and `@daily` and its
    /// like. When both days are given, either one is enough.
    ///
    /// # Errors
    /// `Invalid` for an expression that cannot be read or whose time never comes, and for an unknown zone.
    pub fn cron(expression: &str, zone: &str) -> Result<Self> {
        let bad = |why: &dyn fmt::Display| {
            Error::invalid(format_args!("the cron expression {expression:?}: {why}"))
        };
        if expression.len() > LONGEST_EXPRESSION {
            let (length, most) = (expression.len(), LONGEST_EXPRESSION);
            return Err(bad(&format_args!("{length} bytes, more than the {most} allowed")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed);
        let cron = parser.build().parse(expression).map_err(|cause| bad(&cause))?;
        let calendar = TimeZone::get(zone).map_err(|_| {
            Error::invalid(format_args!(
                "unknown time zone {zone:?}; expected a name such as \"Asia/Shanghai\""
            ))
        })?;
        let (expression, zone) = (expression.to_owned(), zone.to_owned());
        let table = Self(Kind::Cron { expression, zone, cron: Box::new(cron), calendar });
        if table.next(0).is_none() {
            return Err(Error::invalid(format_args!("{table}: that time never comes")));
        }
        Ok(table)
    }

    /// One interval after the beginning, and again after each further one.
    ///
    /// # Errors
    /// `Invalid` for an interval below 100 milliseconds or above 366 days.
    pub fn every(interval: Duration, from: SystemTime) -> Result<Self> {
        check_time("the interval", Some(interval), SHORTEST)?;
        Ok(Self::since(interval, millis(from)))
    }

    /// The times after this one, in their order; each step of the iterator looks for one.
    pub fn after(&self, time: SystemTime) -> impl Iterator<Item = SystemTime> + '_ {
        iter::successors(self.next(millis(time)), |last| self.next(*last)).map(from_millis)
    }

    /// An interval that was checked.
    pub(super) fn since(interval: Duration, from: i64) -> Self {
        let interval = i64::try_from(length(interval)).unwrap_or(i64::MAX).max(1);
        Self(Kind::Every { interval, from })
    }

    /// The same table with another beginning; that of a cron expression has none.
    pub(super) fn from(self, beginning: i64) -> Self {
        match self.0 {
            Kind::Every { interval, .. } => Self(Kind::Every { interval, from: beginning }),
            cron @ Kind::Cron { .. } => Self(cron),
        }
    }

    /// The first time after this one, in ms since 1970; none in the calendar's last years.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        match &self.0 {
            Kind::Every { interval, from } => {
                let passed = after.saturating_sub(*from).div_euclid(*interval).max(0);
                passed.checked_add(1)?.checked_mul(*interval)?.checked_add(*from)
            }
            Kind::Cron { cron, calendar, .. } => {
                let moment = second(after, calendar)?;
                cron.find_next_occurrence(&moment, false).ok().map(in_ms)
            }
        }
    }

    /// The last time that is not after this one.
    pub(super) fn last(&self, until: i64) -> Option<i64> {
        match &self.0 {
            Kind::Every { interval, from } => {
                let passed = until.checked_sub(*from)?.div_euclid(*interval);
                (passed >= 1).then(|| from + passed * interval)
            }
            Kind::Cron { cron, calendar, .. } => {
                let moment = second(until, calendar)?;
                cron.find_previous_occurrence(&moment, true).ok().map(in_ms)
            }
        }
    }

    /// How it stands in a record: the fields that say which times these are, without the beginning.
    pub(super) fn write(&self) -> Vec<(&'static str, String)> {
        match &self.0 {
            Kind::Every { interval, .. } => vec![("every", interval.to_string())],
            Kind::Cron { expression, zone, .. } => {
                vec![("cron", expression.clone()), ("zone", zone.clone())]
            }
        }
    }
}

/// Its whole second: an expression knows no less.
fn second(ms: i64, calendar: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_second(ms.div_euclid(1_000)).ok()?.to_zoned(calendar.clone()))
}

fn in_ms(moment: Zoned) -> i64 {
    moment.timestamp().as_millisecond()
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Every { interval, .. } => {
                write!(f, "every {:?}", Duration::from_millis(interval.unsigned_abs()))
            }
            Kind::Cron { expression, zone, .. } => write!(f, "cron {expression:?} in {zone}"),
        }
    }
}

impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timetable({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(instant: &str) -> i64 {
        instant.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn instant(ms: i64) -> String {
        Timestamp::from_millisecond(ms).unwrap().to_string()
    }

    /// The first times after an instant, all of them in UTC.
    fn times(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let table = Timetable::cron(expression, zone).unwrap();
        table.after(from_millis(ms(after))).take(count).map(|at| instant(millis(at))).collect()
    }

    #[test]
    fn a_daily_tick_within_the_hour_that_is_left_out_comes_once_after_it() {
        // New York, 8 March 2026: after 01:59:59 comes 03:00:00.
        assert_eq!(
            times("30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", 4),
            [
                "2026-03-07T07:30:00Z",
                "2026-03-08T07:00:00Z", // 03:00, for 02:30
                "2026-03-09T06:30:00Z",
                "2026-03-10T06:30:00Z",
            ]
        );
        // In Havana midnight is left out.
        assert_eq!(
            times("0 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", 2),
            ["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"]
        );
        // Lord Howe puts its clock by half an hour.
        assert_eq!(
            times("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00:00Z", 2),
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]
        );
    }

    #[test]
    fn a_daily_tick_within_the_hour_that_comes_twice_comes_the_first_time() {
        // New York, 1 November 2026: after 01:59:59 (EDT) comes 01:00:00 (EST).
        assert_eq!(
            times("30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3),
            ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]
        );
    }

    #[test]
    fn an_interval_keeps_its_pace_through_both_changes() {
        assert_eq!(
            times("*/30 * * * *", "America/New_York", "2026-03-08T06:00:00Z", 3),
            ["2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"]
        );
        assert_eq!(
            times("*/30 * * * *", "America/New_York", "2026-11-01T05:00:00Z", 4),
            [
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:30:00Z",
                "2026-11-01T07:00:00Z"
            ]
        );
    }

    #[test]
    fn a_zone_without_summer_time_is_not_confused_by_one() {
        assert_eq!(
            times("0 8 * * MON-FRI", "Asia/Shanghai", "2026-11-26T00:00:00Z", 3),
            ["2026-11-27T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]
        );
    }

    #[test]
    fn seconds_names_and_leap_days_are_understood() {
        assert_eq!(
            times("*/20 0 0 29 FEB *", "UTC", "2026-01-01T00:00:00Z", 3),
            ["2028-02-29T00:00:00Z", "2028-02-29T00:00:20Z", "2028-02-29T00:00:40Z"]
        );
        assert_eq!(times("@daily", "UTC", "2026-11-26T00:00:00Z", 1), ["2026-11-27T00:00:00Z"]);
        assert_eq!(times("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", 1), ["2026-02-28T00:00:00Z"]);
        // Either day is enough.
        assert_eq!(
            times("0 0 1 * MON", "UTC", "2026-11-28T00:00:00Z", 2),
            ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (expression, zone, word) in [
            ("", "UTC", "\"\""),
            ("61 * * * *", "UTC", "\"61 * * * *\""),
            ("* * * *", "UTC", "\"* * * *\""),
            ("0 0 0 1 1 * 2030", "UTC", "2030"),
            ("never", "UTC", "\"never\""),
            ("0 0 30 2 *", "UTC", "never comes"),
            ("0 8 * * *", "Mars/Olympus", "\"Mars/Olympus\""),
            ("0 8 * * *", "", "time zone"),
            (&"1".repeat(300), "UTC", "300 bytes"),
        ] {
            let error = Timetable::cron(expression, zone).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(error.kind(), crate::error::ErrorKind::Invalid);
        }
        assert!(Timetable::every(Duration::from_millis(99), SystemTime::UNIX_EPOCH).is_err());
    }

    /// What each expression says of a clock on the wall.
    const EXPRESSIONS: [&str; 8] = [
        "0 0 * * *",
        "30 2 * * *",
        "*/5 * * * *",
        "15 1,2,3 * * *",
        "0 3 1 * *",
        "0 8 * * MON-FRI",
        "59 59 23 * * *",
        "7 */3 * * *",
    ];
    const ZONES: [&str; 5] =
        ["UTC", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"];

    proptest! {
        #[test]
        fn back_and_forth_are_the_same_ticks(
            expression in 0..EXPRESSIONS.len(), zone in 0..ZONES.len(), at in 1_700_000_000_000_i64..1_900_000_000_000,
        ) {
            let table = Timetable::cron(EXPRESSIONS[expression], ZONES[zone]).unwrap();
            let next = table.next(at).unwrap();
            prop_assert!(next > at);
            prop_assert_eq!(table.last(next), Some(next));
            prop_assert_eq!(table.last(next - 1), table.last(at));
            let before = table.last(at).unwrap();
            prop_assert!(before <= at);
            prop_assert_eq!(table.next(before), Some(next));
        }

        #[test]
        fn an_interval_counts_from_its_beginning(
            interval in 100_u64..10_000_000, from in 0_i64..1_900_000_000_000, passed in -10_000_000_i64..10_000_000_000,
        ) {
            let table = Timetable::since(Duration::from_millis(interval), from);
            let at = from + passed;
            let (next, last) = (table.next(at).unwrap(), table.last(at));
            prop_assert!(next > at && next > from && (next - from) % interval as i64 == 0);
            prop_assert_eq!(table.last(next), Some(next));
            match last {
                Some(last) => prop_assert!(last <= at && last + interval as i64 == next),
                None => prop_assert_eq!(next, from + interval as i64),
            }
        }
    }
}
