//! Which bucket of time a moment falls in: pure arithmetic on a time zone.

use jiff::{
    Span, Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::error::{Error, Result};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The first of January 9999: buckets end before the calendar of the library does.
const END_OF_TIME_MS: i64 = 253_370_764_800_000;

/// How long buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Minute,
    Hour,
    Day,
    /// From Monday, as ISO 8601 counts them.
    Week,
    Month,
}

/// The calendar of one time zone.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
}

/// A stretch of time whose counts are added up, from `start_ms` until just before `end_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// What the key calls it.
    pub(crate) label: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Calendar {
    /// The calendar of an IANA zone such as `Asia/Shanghai`, from the database that is part of the program.
    ///
    /// # Errors
    /// `Invalid` when there is no such zone.
    pub(crate) fn of(zone: &str) -> Result<Self> {
        let found = TimeZone::get(zone);
        let zone = found.map_err(|_| {
            Error::invalid(format_args!(
                "unknown time zone {zone:?}; expected a name such as \"Asia/Shanghai\""
            ))
        })?;
        Ok(Self { zone })
    }

    /// The bucket of a moment, in milliseconds since 1970.
    ///
    /// # Errors
    /// `Invalid` when the moment is not within the years 1970 to 9998.
    pub(crate) fn bucket(&self, unit: Unit, at_ms: i64) -> Result<Bucket> {
        if !(0..END_OF_TIME_MS).contains(&at_ms) {
            return Err(Error::invalid("a time to count at must be within the years 1970 to 9998"));
        }
        self.bucket_within_range(unit, at_ms)
            .map_err(|cause| Error::internal(format_args!("calendar: {cause}")))
    }

    fn bucket_within_range(&self, unit: Unit, at_ms: i64) -> Result<Bucket, jiff::Error> {
        let at = Timestamp::from_millisecond(at_ms)?;
        let date = self.zone.to_datetime(at).date();
        let (start, end, date) = match unit {
            Unit::Minute => return self.minute(at_ms),
            Unit::Hour => return self.hour(at),
            Unit::Day => (self.first_moment(date)?, self.first_moment(date.tomorrow()?)?, date),
            Unit::Week => {
                let monday =
                    date.checked_sub(Span::new().days(date.weekday().to_monday_zero_offset()))?;
                let next = monday.checked_add(Span::new().days(7))?;
                (self.first_moment(monday)?, self.first_moment(next)?, date)
            }
            Unit::Month => {
                let next = date.last_of_month().tomorrow()?;
                (self.first_moment(date.first_of_month())?, self.first_moment(next)?, date)
            }
        };
        let form = match unit {
            Unit::Week => "%G-W%V",
            Unit::Month => "%Y%m",
            _ => "%Y%m%d",
        };
        Ok(Bucket {
            label: date.strftime(form).to_string(),
            start_ms: start.as_millisecond(),
            end_ms: end.as_millisecond(),
        })
    }

    fn minute(&self, at_ms: i64) -> Result<Bucket, jiff::Error> {
        let start_ms = floor(at_ms, MINUTE_MS);
        named_by_start(start_ms, start_ms + MINUTE_MS)
    }

    /// A local hour. A zone that changes its offset by part of an hour cuts the hour in which it does so,
    /// so that buckets never overlap.
    fn hour(&self, at: Timestamp) -> Result<Bucket, jiff::Error> {
        let offset_ms = i64::from(self.zone.to_offset(at).seconds()) * 1_000;
        let start_ms = floor(at.as_millisecond() + offset_ms, HOUR_MS) - offset_ms;
        let end_ms = start_ms + HOUR_MS;

        let just_after = Timestamp::from_millisecond(at.as_millisecond() + 1)?;
        let last_change = self.zone.preceding(just_after).next();
        let next_change = self.zone.following(at).next();
        named_by_start(
            last_change
                .map_or(start_ms, |change| start_ms.max(change.timestamp().as_millisecond())),
            next_change.map_or(end_ms, |change| end_ms.min(change.timestamp().as_millisecond())),
        )
    }

    /// When a date begins: at midnight, or when the clock jumps over midnight into it.
    fn first_moment(&self, date: Date) -> Result<Timestamp, jiff::Error> {
        let midnight = self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        match midnight.offset() {
            AmbiguousOffset::Gap { .. } => {
                let before_the_jump = midnight.earlier()?;
                let jump = self.zone.following(before_the_jump).next();
                jump.map_or_else(|| midnight.later(), |change| Ok(change.timestamp()))
            }
            _ => midnight.earlier(),
        }
    }
}

/// Minutes and hours go by the instant they begin at, since a local hour may come twice.
fn named_by_start(start_ms: i64, end_ms: i64) -> Result<Bucket, jiff::Error> {
    let label = Timestamp::from_millisecond(start_ms)?.strftime("%Y%m%dT%H%MZ").to_string();
    Ok(Bucket { label, start_ms, end_ms })
}

fn floor(ms: i64, step: i64) -> i64 {
    ms.div_euclid(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(instant: &str) -> i64 {
        instant.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// The bucket of an instant as `label start..end`.
    fn bucket(zone: &str, unit: Unit, instant: &str) -> String {
        let bucket = Calendar::of(zone).unwrap().bucket(unit, ms(instant)).unwrap();
        let instant = |ms| Timestamp::from_millisecond(ms).unwrap();
        format!("{} {}..{}", bucket.label, instant(bucket.start_ms), instant(bucket.end_ms))
    }

    #[test]
    fn a_minute_is_named_by_its_start() {
        let expected = "20261122T1151Z 2026-11-22T11:51:00Z..2026-11-22T11:52:00Z";
        assert_eq!(bucket("UTC", Unit::Minute, "2026-11-22T11:51:00Z"), expected);
        assert_eq!(bucket("Asia/Kolkata", Unit::Minute, "2026-11-22T11:51:59.999Z"), expected);
    }

    #[test]
    fn a_year_ends_with_its_last_millisecond() {
        let last = "2026-12-31T23:59:59.999Z";
        assert_eq!(
            bucket("UTC", Unit::Hour, last),
            "20261231T2300Z 2026-12-31T23:00:00Z..2027-01-01T00:00:00Z"
        );
        assert_eq!(
            bucket("UTC", Unit::Day, last),
            "20261231 2026-12-31T00:00:00Z..2027-01-01T00:00:00Z"
        );
        assert_eq!(
            bucket("UTC", Unit::Month, last),
            "202612 2026-12-01T00:00:00Z..2027-01-01T00:00:00Z"
        );
        assert_eq!(
            bucket("UTC", Unit::Month, "2027-01-01T00:00:00Z"),
            "202701 2027-01-01T00:00:00Z..2027-02-01T00:00:00Z"
        );
    }

    #[test]
    fn a_leap_year_has_a_29th_of_february() {
        let leap_day = "2028-02-29T12:00:00Z";
        assert_eq!(
            bucket("UTC", Unit::Day, leap_day),
            "20280229 2028-02-29T00:00:00Z..2028-03-01T00:00:00Z"
        );
        assert_eq!(
            bucket("UTC", Unit::Month, leap_day),
            "202802 2028-02-01T00:00:00Z..2028-03-01T00:00:00Z"
        );
        assert_eq!(
            bucket("UTC", Unit::Day, "2027-02-28T12:00:00Z"),
            "20270228 2027-02-28T00:00:00Z..2027-03-01T00:00:00Z"
        );
    }

    #[test]
    fn a_month_begins_at_midnight_of_the_zone() {
        let zone = "Asia/Shanghai";
        assert_eq!(
            bucket(zone, Unit::Month, "2026-10-31T15:59:59Z"),
            "202610 2026-09-30T16:00:00Z..2026-10-31T16:00:00Z"
        );
        assert_eq!(
            bucket(zone, Unit::Month, "2026-10-31T16:00:00Z"),
            "202611 2026-10-31T16:00:00Z..2026-11-30T16:00:00Z"
        );
    }

    #[test]
    fn a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() {
        assert_eq!(
            bucket("UTC", Unit::Week, "2027-01-03T23:59:59Z"),
            "2026-W53 2026-12-28T00:00:00Z..2027-01-04T00:00:00Z"
        );
        assert_eq!(
            bucket("America/New_York", Unit::Week, "2026-03-09T03:59:59Z"),
            "2026-W10 2026-03-02T05:00:00Z..2026-03-09T04:00:00Z"
        );
    }

    #[test]
    fn hours_of_a_half_hour_zone_begin_at_half_past() {
        let zone = "Asia/Kolkata";
        let expected = "20261122T1130Z 2026-11-22T11:30:00Z..2026-11-22T12:30:00Z";
        assert_eq!(bucket(zone, Unit::Hour, "2026-11-22T11:30:00Z"), expected);
        assert_eq!(bucket(zone, Unit::Hour, "2026-11-22T12:29:59Z"), expected);
    }

    #[test]
    fn the_hour_that_daylight_saving_repeats_is_two_buckets() {
        let zone = "America/New_York";
        assert_eq!(
            bucket(zone, Unit::Hour, "2026-11-01T05:30:00Z"),
            "20261101T0500Z 2026-11-01T05:00:00Z..2026-11-01T06:00:00Z"
        );
        assert_eq!(
            bucket(zone, Unit::Hour, "2026-11-01T06:30:00Z"),
            "20261101T0600Z 2026-11-01T06:00:00Z..2026-11-01T07:00:00Z"
        );
        let day_of_25_hours = "20261101 2026-11-01T04:00:00Z..2026-11-02T05:00:00Z";
        assert_eq!(bucket(zone, Unit::Day, "2026-11-01T06:30:00Z"), day_of_25_hours);
    }

    #[test]
    fn the_day_that_daylight_saving_shortens_has_23_hours() {
        let zone = "America/New_York";
        assert_eq!(
            bucket(zone, Unit::Day, "2026-03-08T12:00:00Z"),
            "20260308 2026-03-08T05:00:00Z..2026-03-09T04:00:00Z"
        );
        assert_eq!(
            bucket(zone, Unit::Hour, "2026-03-08T07:00:00Z"),
            "20260308T0700Z 2026-03-08T07:00:00Z..2026-03-08T08:00:00Z"
        );
    }

    #[test]
    fn a_day_without_midnight_begins_when_the_clock_jumps_into_it() {
        let day = bucket("America/Sao_Paulo", Unit::Day, "2018-11-04T12:00:00Z");
        assert_eq!(day, "20181104 2018-11-04T03:00:00Z..2018-11-05T02:00:00Z");
        // Cairo's summer time begins at midnight too.
        let day = bucket("Africa/Cairo", Unit::Day, "2024-04-26T12:00:00Z");
        assert_eq!(day, "20240426 2024-04-25T22:00:00Z..2024-04-26T21:00:00Z");
    }

    #[test]
    fn a_date_that_a_zone_skipped_has_no_bucket() {
        let before = Calendar::of("Pacific/Apia")
            .unwrap()
            .bucket(Unit::Day, ms("2011-12-30T09:59:59Z"))
            .unwrap();
        assert_eq!(before.label, "20111229");
        assert_eq!(
            bucket("Pacific/Apia", Unit::Day, "2011-12-30T10:00:00Z"),
            "20111231 2011-12-30T10:00:00Z..2011-12-31T10:00:00Z"
        );
        assert_eq!(before.end_ms, ms("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn an_offset_that_changes_by_half_an_hour_cuts_an_hour() {
        let zone = "Australia/Lord_Howe";
        assert_eq!(
            bucket(zone, Unit::Hour, "2026-04-04T15:10:00Z"),
            "20260404T1500Z 2026-04-04T15:00:00Z..2026-04-04T15:30:00Z"
        );
        assert_eq!(
            bucket(zone, Unit::Hour, "2026-04-04T14:10:00Z"),
            "20260404T1400Z 2026-04-04T14:00:00Z..2026-04-04T15:00:00Z"
        );
    }

    #[test]
    fn an_unknown_zone_is_refused_by_its_name() {
        for unknown in ["Mars/Olympus", "", "../etc/passwd", "UTC\0"] {
            let error = Calendar::of(unknown).unwrap_err().to_string();
            assert!(error.starts_with(&format!("unknown time zone {unknown:?}")), "{error}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_named_is_refused() {
        let calendar = Calendar::of("Pacific/Kiritimati").unwrap();
        for wrong in [-1, END_OF_TIME_MS, i64::MIN, i64::MAX] {
            assert!(calendar.bucket(Unit::Month, wrong).is_err(), "{wrong}");
        }
        for unit in ALL {
            assert!(calendar.bucket(unit, 0).is_ok());
            assert!(calendar.bucket(unit, END_OF_TIME_MS - 1).is_ok());
        }
    }

    const ALL: [Unit; 5] = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month];

    /// From here on no bucket begins before 1970, where no time can be counted.
    const FIRST_WHOLE_MS: i64 = 40 * 24 * HOUR_MS;

    const ZONES: [&str; 8] = [
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Africa/Monrovia",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ];

    proptest! {
        #[test]
        fn minutes_and_hours_follow_each_other_without_a_gap(
            zone in proptest::sample::select(&ZONES[..]),
            at_ms in FIRST_WHOLE_MS..4_000_000_000_000_i64,
        ) {
            let calendar = Calendar::of(zone).unwrap();
            for unit in [Unit::Minute, Unit::Hour] {
                let bucket = calendar.bucket(unit, at_ms).unwrap();
                prop_assert!((bucket.start_ms..bucket.end_ms).contains(&at_ms));
                prop_assert_eq!(&calendar.bucket(unit, bucket.start_ms).unwrap(), &bucket);
                prop_assert_eq!(&calendar.bucket(unit, bucket.end_ms - 1).unwrap(), &bucket);
                prop_assert_eq!(calendar.bucket(unit, bucket.end_ms).unwrap().start_ms, bucket.end_ms);
            }
        }

        #[test]
        fn days_and_months_are_those_of_the_local_date(
            zone in proptest::sample::select(&ZONES[..]),
            at_ms in FIRST_WHOLE_MS..4_000_000_000_000_i64,
        ) {
            let local = Timestamp::from_millisecond(at_ms).unwrap().to_zoned(TimeZone::get(zone).unwrap());
            let calendar = Calendar::of(zone).unwrap();
            for (unit, form) in
                [(Unit::Day, "%Y%m%d"), (Unit::Week, "%G-W%V"), (Unit::Month, "%Y%m")]
            {
                let bucket = calendar.bucket(unit, at_ms).unwrap();
                prop_assert_eq!(&bucket.label, &local.strftime(form).to_string());
                let first = calendar.bucket(unit, bucket.start_ms).unwrap();
                prop_assert_eq!(first, bucket);
            }
        }

        /// As another library with a table of zones of its own reckons, by walking over the minutes.
        #[test]
        fn buckets_are_those_of_another_library(
            zone in proptest::sample::select(&OTHER_ZONES[..]),
            at_ms in FIRST_WHOLE_MS..2_000_000_000_000_i64,
        ) {
            let other = other::Zone::of(zone);
            let calendar = Calendar::of(zone).unwrap();
            for unit in ALL {
                let bucket = calendar.bucket(unit, at_ms).unwrap();
                let expected = other.bucket(unit, at_ms);
                prop_assert_eq!((bucket.start_ms, bucket.end_ms), expected, "{:?} {}", unit, zone);
            }
        }
    }

    #[test]
    fn borders_of_days_and_months_are_those_of_another_library() {
        for zone in OTHER_ZONES {
            let (other, calendar) = (other::Zone::of(zone), Calendar::of(zone).unwrap());
            // Each border of three years, a leap year among them, and the milliseconds beside it.
            let mut at_ms = ms("2023-01-01T00:00:00Z");
            while at_ms < ms("2026-01-01T00:00:00Z") {
                let end_ms = calendar.bucket(Unit::Day, at_ms).unwrap().end_ms;
                for near_ms in [end_ms - 1, end_ms, end_ms + 1] {
                    for unit in [Unit::Day, Unit::Month] {
                        let bucket = calendar.bucket(unit, near_ms).unwrap();
                        let expected = other.bucket(unit, near_ms);
                        assert_eq!((bucket.start_ms, bucket.end_ms), expected, "{unit:?} {zone}");
                    }
                }
                at_ms = end_ms;
            }
        }
    }

    /// Zones whose rules of the past stand in both tables.
    const OTHER_ZONES: [&str; 8] = [
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Asia/Shanghai",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Europe/Berlin",
    ];

    /// Buckets by `chrono`.
    mod other {
        use chrono::{
            DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc,
        };
        use chrono_tz::Tz;

        use super::Unit;

        const MINUTE_MS: i64 = 60_000;

        pub(super) struct Zone(Tz);

        impl Zone {
            pub(super) fn of(name: &str) -> Self {
                Self(name.parse().unwrap())
            }

            fn local(&self, ms: i64) -> DateTime<Tz> {
                DateTime::<Utc>::from_timestamp_millis(ms).unwrap().with_timezone(&self.0)
            }

            /// What the moments of one hour have in common.
            fn hour(&self, ms: i64) -> (NaiveDate, u32, i32) {
                let local = self.local(ms);
                (local.date_naive(), local.hour(), local.offset().fix().local_minus_utc())
            }

            /// The first moment of a date, or of the first one after it that there is.
            fn begin(&self, date: NaiveDate) -> i64 {
                let midnight: NaiveDateTime = date.and_hms_opt(0, 0, 0).unwrap();
                if let Some(first) = self.0.from_local_datetime(&midnight).earliest() {
                    return first.timestamp_millis();
                }
                let mut ms = midnight.and_utc().timestamp_millis() - 15 * 60 * MINUTE_MS;
                while self.local(ms).date_naive() < date {
                    ms += MINUTE_MS;
                }
                ms
            }

            pub(super) fn bucket(&self, unit: Unit, ms: i64) -> (i64, i64) {
                let date = self.local(ms).date_naive();
                let first = match unit {
                    Unit::Minute => {
                        let start = ms - ms % MINUTE_MS;
                        return (start, start + MINUTE_MS);
                    }
                    Unit::Hour => {
                        let (mut start, mut end) = (ms - ms % MINUTE_MS, ms - ms % MINUTE_MS);
                        while self.hour(start - MINUTE_MS) == self.hour(ms) {
                            start -= MINUTE_MS;
                        }
                        while self.hour(end) == self.hour(ms) {
                            end += MINUTE_MS;
                        }
                        return (start, end);
                    }
                    Unit::Day => date,
                    Unit::Week => date - Days::new(date.weekday().num_days_from_monday().into()),
                    Unit::Month => date.with_day(1).unwrap(),
                };
                let next = match unit {
                    Unit::Day => first + Days::new(1),
                    Unit::Week => first + Days::new(7),
                    _ => first.checked_add_months(chrono::Months::new(1)).unwrap(),
                };
                (self.begin(first), self.begin(next))
            }
        }
    }
}
