//! Counters on a real server, against a plain list of what was counted.

#![cfg(feature = "counters")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use rand::RngExt;
use russet::{Counters, Counts, ErrorKind, Granularity, Point, Russet, Top, testing::Proxy};
use support::{
    Ground, commands, connect, needs_one_server, random, refused_names, stage, strange_names,
};

const LARGEST: u64 = 1 << 53;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);

fn counters(russet: &Russet) -> Counters {
    Counters::builder(russet, "site").build().unwrap()
}

/// Counters of a zone that keep everything.
fn archive(russet: &Russet, zone: &str) -> Counters {
    let settings = Counters::builder(russet, "archive").time_zone(zone);
    Granularity::ALL
        .into_iter()
        .fold(settings, |settings, each| settings.retention(each, CENTURY))
        .build()
        .unwrap()
}

fn at(instant: &str) -> SystemTime {
    instant.parse::<Timestamp>().unwrap().into()
}

fn point(start: &str, count: u64) -> Point {
    Point { start: at(start), count }
}

fn top(name: &str, count: u64) -> Top {
    Top { name: name.into(), count }
}

fn all(count: u64) -> Counts {
    Counts { total: count, minute: count, hour: count, day: count, month: count }
}

/// What was counted when, and which of it falls into one bucket: those with the same local date and time down
/// to the granularity.
struct Model {
    zone: TimeZone,
    counted: Vec<Counted>,
}

struct Counted {
    name: String,
    n: u64,
    time: SystemTime,
    buckets: [String; 4],
}

impl Model {
    /// What the moments of one bucket have in common. The offset tells the two hours apart that a clock repeats.
    fn bucket(&self, granularity: Granularity, time: SystemTime) -> String {
        let local = Zoned::new(time.try_into().unwrap(), self.zone.clone());
        let form = match granularity {
            Granularity::Minute => "%Y-%m-%d %H:%M %z",
            Granularity::Hour => "%Y-%m-%d %H %z",
            Granularity::Day => "%Y-%m-%d",
            Granularity::Month => "%Y-%m",
        };
        local.strftime(form).to_string()
    }

    fn add(&mut self, name: &str, n: u64, time: SystemTime) {
        let buckets = Granularity::ALL.map(|granularity| self.bucket(granularity, time));
        self.counted.push(Counted { name: name.into(), n, time, buckets });
    }

    /// What was counted in the bucket of a time, or ever.
    fn sums(&self, bucket: Option<(Granularity, SystemTime)>) -> BTreeMap<&str, u64> {
        let bucket =
            bucket.map(|(granularity, time)| (granularity, self.bucket(granularity, time)));
        let mut sums = BTreeMap::new();
        for counted in &self.counted {
            if bucket.as_ref().is_none_or(|(granularity, bucket)| {
                counted.buckets[*granularity as usize] == *bucket
            }) {
                *sums.entry(counted.name.as_str()).or_default() += counted.n;
            }
        }
        sums
    }

    fn top(&self, bucket: Option<(Granularity, SystemTime)>) -> Vec<Top> {
        let mut list: Vec<_> =
            self.sums(bucket).into_iter().map(|(name, count)| top(name, count)).collect();
        list.sort_by(|a, b| b.count.cmp(&a.count).then(b.name.cmp(&a.name)));
        list
    }

    fn count(&self, name: &str, bucket: Option<(Granularity, SystemTime)>) -> u64 {
        self.sums(bucket).get(name).copied().unwrap_or_default()
    }

    fn counts(&self, name: &str, time: SystemTime) -> Counts {
        let count = |granularity| self.count(name, Some((granularity, time)));
        Counts {
            total: self.count(name, None),
            minute: count(Granularity::Minute),
            hour: count(Granularity::Hour),
            day: count(Granularity::Day),
            month: count(Granularity::Month),
        }
    }
}

#[tokio::test]
async fn counts_are_sums_over_random_imports() {
    let stage = stage().await;
    let mut random = random();
    for zone in ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"] {
        let counters = Counters::builder(&stage.russet, zone).time_zone(zone);
        let counters =
            Granularity::ALL.into_iter().fold(counters, |all, each| all.retention(each, CENTURY));
        let counters = counters.build().unwrap();
        let mut model = Model { zone: TimeZone::get(zone).unwrap(), counted: Vec::new() };
        // Both nights in which the clocks of New York and Lord Howe change, and some hours around them.
        let nights = [
            "2026-03-08T00:00:00Z",
            "2026-11-01T00:00:00Z",
            "2026-04-04T10:00:00Z",
            "2026-10-03T10:00:00Z",
        ];
        for _ in 0..250 {
            let name = format!("page{}", random.random_range(0..5));
            let n = random.random_range(0..4);
            let night = at(nights[random.random_range(0..nights.len())]);
            let time = night + Duration::from_millis(random.random_range(0..36 * 3_600_000));
            if n > 0 {
                model.add(&name, n, time);
            }
            assert_eq!(
                counters.add_at(&name, n, time).await.unwrap(),
                model.counts(&name, time),
                "{zone} {time:?}"
            );
        }
        for granularity in Granularity::ALL {
            for Counted { name, time, .. } in model.counted.iter().take(20) {
                let list = model.top(Some((granularity, *time)));
                assert_eq!(counters.top_at(granularity, *time, 1_000).await.unwrap(), list);
                let until = *time + Duration::from_secs(90 * 60);
                for point in counters.series(name, granularity, *time..until).await.unwrap() {
                    let expected = model.count(name, Some((granularity, point.start)));
                    assert_eq!(point.count, expected, "{zone} {granularity:?} {point:?}");
                }
            }
        }
        assert_eq!(counters.top_total(1_000).await.unwrap(), model.top(None));
    }
}

#[tokio::test]
async fn adding_counts_in_all_and_in_the_present() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    assert_eq!(counters.add("views", 3).await.unwrap(), all(3));
    let counts = counters.add("views", 2).await.unwrap();
    assert_eq!(counts.total, 5);
    // The minute may have ended in between, and so may the month.
    for count in [counts.minute, counts.hour, counts.day, counts.month] {
        assert!(count == 5 || count == 2, "{counts:?}");
    }
    assert_eq!(counters.get("views").await.unwrap().total, 5);
    assert_eq!(counters.total("views").await.unwrap(), 5);
    assert_eq!(counters.get("others").await.unwrap(), all(0));
}

#[tokio::test]
async fn adding_nothing_reads_and_makes_no_key() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    assert_eq!(counters.add("views", 0).await.unwrap(), all(0));
    assert_eq!(counters.add_at("views", 0, at("2026-11-22T11:51:00Z")).await.unwrap(), all(0));
    assert_eq!(counters.total("views").await.unwrap(), 0);
    assert_eq!(counters.top(Granularity::Day, 10).await.unwrap(), []);
    assert_eq!(counters.top_total(10).await.unwrap(), []);
    assert_eq!(stage.keys().await, []);
    counters.add("views", 7).await.unwrap();
    assert_eq!(counters.add("views", 0).await.unwrap().total, 7);
}

#[tokio::test]
async fn a_bucket_expires_at_its_end_plus_the_retention_and_the_total_does_not() {
    let stage = stage().await;
    let counters =
        Counters::builder(&stage.russet, "site").time_zone("Asia/Shanghai").build().unwrap();
    let tomorrow = SystemTime::now() + DAY;
    counters.add_at("a", 1, tomorrow).await.unwrap();
    counters.add_at("b", 1, tomorrow).await.unwrap();
    counters.add_at("b", 1, tomorrow).await.unwrap();

    let local = Zoned::new(tomorrow.try_into().unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
    let month_end = local.last_of_month().unwrap().tomorrow().unwrap().start_of_day().unwrap();
    let day_end = local.tomorrow().unwrap().start_of_day().unwrap();
    let ms = local.timestamp().as_millisecond();
    let utc = |form: &str| local.timestamp().strftime(form).to_string();
    let expected = [
        ("total".to_owned(), None),
        (format!("minute:{}", utc("%Y%m%dT%H%MZ")), Some((ms / 60_000 + 1) * 60_000 + 3_600_000)),
        (
            format!("hour:{}", utc("%Y%m%dT%H00Z")),
            Some((ms / 3_600_000 + 1) * 3_600_000 + 7 * 86_400_000),
        ),
        (
            local.strftime("day:%Y%m%d").to_string(),
            Some(day_end.timestamp().as_millisecond() + 30 * 86_400_000),
        ),
        (
            local.strftime("month:%Y%m").to_string(),
            Some(month_end.timestamp().as_millisecond() + 366 * 86_400_000),
        ),
    ];
    let mut expected =
        expected.map(|(part, expires_ms)| (stage.key("counters:site", &part), expires_ms));
    expected.sort();
    let stored: Vec<_> = stage.keys().await.into_iter().map(|it| (it.key, it.expires_ms)).collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn every_bucket_of_the_present_expires() {
    let stage = stage().await;
    let counters = Counters::builder(&stage.russet, "site")
        .retention(Granularity::Minute, DAY)
        .build()
        .unwrap();
    for name in ["a", "b", "a"] {
        counters.add(name, 2).await.unwrap();
    }
    let keys = stage.keys().await;
    assert!(keys.len() >= 5, "{keys:?}");
    let lasting: Vec<_> =
        keys.iter().filter(|it| it.expires_ms.is_none()).map(|it| &it.key).collect();
    assert_eq!(lasting, [&stage.key("counters:site", "total")]);
    let soonest = Timestamp::now().as_millisecond() + 86_400_000 - 60_000;
    assert!(keys.iter().filter_map(|it| it.expires_ms).all(|ms| ms > soonest), "{keys:?}");
}

#[tokio::test]
async fn a_bucket_that_is_no_longer_kept_is_left_out() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    let now = SystemTime::now();
    assert_eq!(
        counters.add_at("views", 2, now - 800 * DAY).await.unwrap(),
        Counts { total: 2, ..all(0) }
    );
    assert_eq!(stage.keys().await.len(), 1);
    // Ten days: no longer kept by minute and by hour, still by day and by month.
    let counts = counters.add_at("views", 1, now - 10 * DAY).await.unwrap();
    assert_eq!(counts, Counts { total: 3, minute: 0, hour: 0, day: 1, month: 1 });
    assert_eq!(stage.keys().await.len(), 3);
}

#[tokio::test]
async fn a_series_fills_in_zeros_and_ends_before_its_end() {
    let stage = stage().await;
    let counters = archive(&stage.russet, "UTC");
    counters.add_at("views", 2, at("2026-12-31T23:59:59.999Z")).await.unwrap();
    counters.add_at("views", 3, at("2027-01-01T00:00:00Z")).await.unwrap();
    counters.add_at("others", 9, at("2026-12-31T23:58:00Z")).await.unwrap();

    let minutes = [
        point("2026-12-31T23:58:00Z", 0),
        point("2026-12-31T23:59:00Z", 2),
        point("2027-01-01T00:00:00Z", 3),
        point("2027-01-01T00:01:00Z", 0),
    ];
    let series = async |range: (Bound<&str>, Bound<&str>)| {
        let range = (range.0.map(at), range.1.map(at));
        counters.series("views", Granularity::Minute, range).await.unwrap()
    };
    use Bound::{Excluded, Included};
    let start = Included("2026-12-31T23:58:59Z");
    assert_eq!(series((start, Excluded("2027-01-01T00:02:00Z"))).await, minutes);
    assert_eq!(series((start, Included("2027-01-01T00:01:00Z"))).await, minutes);
    assert_eq!(series((start, Excluded("2027-01-01T00:01:00.0000001Z"))).await, minutes);
    assert_eq!(series((start, Excluded("2027-01-01T00:01:00Z"))).await, minutes[..3]);
    assert_eq!(series((start, Excluded("2026-12-31T23:58:59Z"))).await, []);
    assert_eq!(series((start, Included("2026-12-31T23:58:59Z"))).await, minutes[..1]);
    assert_eq!(series((start, Included("1999-01-01T00:00:00Z"))).await, []);

    let day = at("2026-12-31T12:00:00Z")..at("2027-01-01T12:00:00Z");
    let days = [point("2026-12-31T00:00:00Z", 2), point("2027-01-01T00:00:00Z", 3)];
    assert_eq!(counters.series("views", Granularity::Day, day.clone()).await.unwrap(), days);
    let months = [point("2026-12-01T00:00:00Z", 2), point("2027-01-01T00:00:00Z", 3)];
    assert_eq!(counters.series("views", Granularity::Month, day).await.unwrap(), months);
}

#[tokio::test]
async fn days_and_hours_of_a_series_follow_the_zone() {
    let cases: [(&str, Granularity, &str, &str, usize, &str); 8] = [
        // Daylight saving begins and ends in New York: 23 and 25 hours.
        (
            "America/New_York",
            Granularity::Hour,
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
            23,
            "2026-03-09T03:00:00Z",
        ),
        (
            "America/New_York",
            Granularity::Hour,
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
            25,
            "2026-11-02T04:00:00Z",
        ),
        // Half-hour zone: its hours begin at half past.
        (
            "Asia/Kolkata",
            Granularity::Hour,
            "2026-11-22T11:40:00Z",
            "2026-11-22T13:40:00Z",
            3,
            "2026-11-22T13:30:00Z",
        ),
        // The day begins at 01:00, since midnight does not exist.
        (
            "America/Sao_Paulo",
            Granularity::Day,
            "2018-11-03T03:00:00Z",
            "2018-11-05T02:00:00Z",
            2,
            "2018-11-04T03:00:00Z",
        ),
        (
            "Africa/Cairo",
            Granularity::Day,
            "2024-04-24T22:00:00Z",
            "2024-04-26T21:00:00Z",
            2,
            "2024-04-25T22:00:00Z",
        ),
        // A month begins at midnight in Shanghai, 16:00 UTC.
        (
            "Asia/Shanghai",
            Granularity::Month,
            "2026-10-31T15:00:00Z",
            "2026-10-31T17:00:00Z",
            2,
            "2026-10-31T16:00:00Z",
        ),
        // A leap year's February.
        (
            "UTC",
            Granularity::Day,
            "2028-02-28T00:00:00Z",
            "2028-03-02T00:00:00Z",
            3,
            "2028-03-01T00:00:00Z",
        ),
        (
            "UTC",
            Granularity::Day,
            "2027-02-28T00:00:00Z",
            "2027-03-02T00:00:00Z",
            2,
            "2027-03-01T00:00:00Z",
        ),
    ];
    let stage = stage().await;
    for (zone, granularity, start, end, points, last) in cases {
        let settings = Counters::builder(&stage.russet, &[zone, start].concat()).time_zone(zone);
        let counters = settings.retention(granularity, CENTURY).build().unwrap();
        let before_last = at(last) - Duration::from_millis(1);
        counters.add_at("views", 2, before_last).await.unwrap();
        counters.add_at("views", 3, at(last)).await.unwrap();
        let series = counters.series("views", granularity, at(start)..at(end)).await.unwrap();
        assert_eq!(series.len(), points, "{zone} {start}: {series:?}");
        assert_eq!(series[points - 1], point(last, 3), "{zone}");
        assert_eq!(series[points - 2].count, 2, "{zone}");
        assert!(series.is_sorted_by(|a, b| a.start < b.start), "{zone}");
    }
}

#[tokio::test]
async fn a_series_without_bounds_is_what_is_kept() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    counters.add("views", 4).await.unwrap();
    let lengths = [
        (Granularity::Minute, 61..=61),
        (Granularity::Hour, 169..=169),
        (Granularity::Day, 31..=31),
        (Granularity::Month, 13..=14),
    ];
    for (granularity, length) in lengths {
        let series = counters.series("views", granularity, ..).await.unwrap();
        assert!(length.contains(&series.len()), "{granularity:?}: {} points", series.len());
        // The bucket of the call, or the one after it.
        assert_eq!(series.iter().rev().take(2).map(|point| point.count).sum::<u64>(), 4);
        assert_eq!(series.iter().map(|point| point.count).sum::<u64>(), 4);
        let last = series.last().unwrap().start;
        assert!((last..last + 31 * DAY).contains(&SystemTime::now()));
    }
    let yesterday = SystemTime::now() - DAY;
    let hours = counters.series("views", Granularity::Hour, yesterday..).await.unwrap();
    assert!((25..=26).contains(&hours.len()), "{} hours", hours.len());
    let future =
        counters.series("views", Granularity::Hour, SystemTime::now() + HOUR..).await.unwrap();
    assert_eq!(future, []);
}

#[tokio::test]
async fn a_series_of_more_than_1000_points_is_refused_with_both_numbers() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    let start = at("2026-01-01T00:00:00Z");
    let minutes = |n: u64| start..start + Duration::from_secs(n * 60);
    assert_eq!(
        counters.series("views", Granularity::Minute, minutes(1_000)).await.unwrap().len(),
        1_000
    );
    for (n, found) in [(1_001, "1002"), (1_000_000, "1000001")] {
        let error = counters.series("views", Granularity::Minute, minutes(n)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let expected =
            format!("a series has at most 1000 points, and this range has about {found}");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn the_largest_counts_are_listed_in_redis_order() {
    let stage = stage().await;
    let counters = archive(&stage.russet, "UTC");
    let day = at("2025-05-10T00:00:00Z");
    for (name, n) in [("a", 2), ("b", 5), ("B", 5), ("c", 1)] {
        counters.add_at(name, n, day).await.unwrap();
        counters.add_at(name, 10 - n, day + DAY).await.unwrap();
    }
    let expected = [top("b", 5), top("B", 5), top("a", 2), top("c", 1)];
    for granularity in [Granularity::Minute, Granularity::Hour, Granularity::Day] {
        assert_eq!(counters.top_at(granularity, day, 10).await.unwrap(), expected);
        assert_eq!(counters.top_at(granularity, day, 2).await.unwrap(), expected[..2]);
        assert_eq!(counters.top_at(granularity, day + 2 * DAY, 2).await.unwrap(), []);
    }
    assert_eq!(counters.top_total(1).await.unwrap(), [top("c", 10)]);
    assert_eq!(counters.top(Granularity::Day, 10).await.unwrap(), []);
    counters.add("now", 1).await.unwrap();
    assert_eq!(counters.top(Granularity::Month, 10).await.unwrap().last(), Some(&top("now", 1)));
}

#[tokio::test]
async fn a_refused_call_changes_nothing() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    counters.add("full", LARGEST).await.unwrap();
    counters.add("nearly", LARGEST - 1).await.unwrap();
    let before = stage.keys().await;

    let now = SystemTime::now();
    let mut refusals = Vec::new();
    for (name, n) in
        [("full", 1), ("full", LARGEST), ("nearly", 2), ("new", LARGEST + 1), ("new", u64::MAX)]
    {
        refusals.push(counters.add(name, n).await.map(drop));
        refusals.push(counters.add_at(name, n, now).await.map(drop));
    }
    for name in refused_names() {
        refusals.push(counters.add(&name, 1).await.map(drop));
        refusals.push(counters.add(&name, 0).await.map(drop));
        refusals.push(counters.add_at(&name, 1, now).await.map(drop));
        refusals.push(counters.get(&name).await.map(drop));
        refusals.push(counters.get_at(&name, now).await.map(drop));
        refusals.push(counters.total(&name).await.map(drop));
        refusals.push(counters.series(&name, Granularity::Day, ..).await.map(drop));
    }
    for time in [at("1969-12-31T23:59:59Z"), at("9999-01-01T00:00:00Z")] {
        refusals.push(counters.add_at("new", 1, time).await.map(drop));
        refusals.push(counters.get_at("new", time).await.map(drop));
        refusals.push(counters.top_at(Granularity::Day, time, 1).await.map(drop));
        refusals.push(counters.series("new", Granularity::Month, time..=time).await.map(drop));
    }
    for n in [0, 1_001, usize::MAX] {
        refusals.push(counters.top(Granularity::Day, n).await.map(drop));
        refusals.push(counters.top_at(Granularity::Day, now, n).await.map(drop));
        refusals.push(counters.top_total(n).await.map(drop));
    }
    for (i, refusal) in refusals.into_iter().enumerate() {
        assert_eq!(
            refusal.expect_err(&format!("refusal {i}")).kind(),
            ErrorKind::Invalid,
            "refusal {i}"
        );
    }
    assert_eq!(stage.keys().await, before);
    assert_eq!(counters.add("nearly", 1).await.unwrap().total, LARGEST);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let stage = stage().await;
    let builder = || Counters::builder(&stage.russet, "site");
    for name in refused_names() {
        assert!(Counters::builder(&stage.russet, &name).build().is_err());
    }
    let error = builder().time_zone("Mars/Olympus").build().unwrap_err().to_string();
    assert!(error.starts_with("unknown time zone \"Mars/Olympus\""), "{error}");
    for wrong in [Duration::ZERO, Duration::from_nanos(1), CENTURY + DAY, Duration::MAX] {
        let error = builder().retention(Granularity::Hour, wrong).build().unwrap_err().to_string();
        assert!(
            error.starts_with("the retention of Hour must be 1 ms to 100 years, not "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn strange_names_are_counters_and_groups_of_their_own() {
    let stage = stage().await;
    let names = strange_names();
    let counters = counters(&stage.russet);
    for (n, name) in (1..).zip(&names) {
        counters.add(name, n).await.unwrap();
        Counters::builder(&stage.russet, name).build().unwrap().add("own", n).await.unwrap();
    }
    let listed: Vec<_> =
        counters.top_total(1_000).await.unwrap().into_iter().rev().map(|top| top.name).collect();
    assert_eq!(listed, names);
    for (n, name) in (1..).zip(&names) {
        assert_eq!(counters.total(name).await.unwrap(), n);
        let own = Counters::builder(&stage.russet, name).build().unwrap();
        assert_eq!(own.top_total(10).await.unwrap(), [top("own", n)]);
    }
    let groups = stage.keys().await.into_iter().filter(|it| it.key.ends_with("}:total")).count();
    assert_eq!(groups, names.len() + 1);
}

#[tokio::test]
async fn concurrent_additions_lose_none() {
    let stage = stage().await;
    let counters = counters(&stage.russet);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let counters = counters.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    counters.add("views", 1).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counters.total("views").await.unwrap(), 3_200);
    let months = counters.series("views", Granularity::Month, ..).await.unwrap();
    assert_eq!(months.iter().map(|point| point.count).sum::<u64>(), 3_200);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_not_sent_again() {
    if needs_one_server() {
        return;
    }
    let proxy = Proxy::to(support::server().await.only()).await.unwrap();
    let counters = counters(&connect(&proxy.url()).await);
    counters.add("views", 1).await.unwrap();
    proxy.drop_next_reply().await.unwrap();
    assert_eq!(counters.add("views", 1).await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(counters.total("views").await.unwrap(), 2);
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    if needs_one_server() {
        return;
    }
    let proxy = Proxy::to(support::server().await.only()).await.unwrap();
    let counters = counters(&connect(&proxy.url()).await);
    let now = SystemTime::now();
    // The server has seen the scripts after this.
    counters.add("views", 1).await.unwrap();
    counters.add_at("views", 1, now).await.unwrap();
    counters.get("views").await.unwrap();
    counters.top(Granularity::Day, 1).await.unwrap();
    counters.series("views", Granularity::Day, ..).await.unwrap();

    let minute = || Timestamp::now().as_second() / 60;
    loop {
        let (begun, mut trips) = (minute(), Vec::new());
        let mut note = |call: &str, done: bool| {
            assert!(done, "{call}");
            trips.push((call.to_owned(), proxy.round_trips()));
            proxy.reset_counts();
        };
        proxy.reset_counts();
        note("add", counters.add("views", 1).await.is_ok());
        note("add_at", counters.add_at("views", 1, now).await.is_ok());
        note("get", counters.get("views").await.is_ok());
        note("get_at", counters.get_at("views", now).await.is_ok());
        note("total", counters.total("views").await.is_ok());
        note("top", counters.top(Granularity::Hour, 10).await.is_ok());
        note("top_at", counters.top_at(Granularity::Hour, now, 10).await.is_ok());
        note("top_total", counters.top_total(10).await.is_ok());
        for granularity in Granularity::ALL {
            note("series", counters.series("views", granularity, ..).await.is_ok());
        }
        // A call during which the minute ends may take one more.
        if begun == minute() {
            assert!(trips.iter().all(|(_, trips)| *trips == 1), "{trips:?}");
            return;
        }
    }
}

#[tokio::test]
async fn an_addition_takes_at_most_nine_commands() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let counters = counters(&connect(&server.url()).await);
    let warm_up = counters.add("warm", 1).await.unwrap();
    assert_eq!(warm_up.total, 1);
    for names in [10, 1_000] {
        let before = commands(&server).await;
        for i in 0..1_000 {
            counters.add(&format!("page{}", i % names), 1).await.unwrap();
        }
        let sent = commands(&server).await - before;
        println!("{names} names: {} commands an addition", sent as f64 / 1_000.0);
        // A bucket that the clock opens meanwhile gets its expiry: four in all, twice at the worst.
        assert!(sent <= 9 * 1_000 + 8, "{names} names: {sent} commands");
    }
}
