//! `russet counter`: what an operator sees and imports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rand::RngExt as _;
use russet::{Counters, Granularity};
use serde_json::{Value, json};

use super::operator::stage;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn counts_series_and_top_lists_are_seen() {
    let stage = stage("counter").await;
    let views = Counters::builder(&stage.russet, "site").build().unwrap();
    views.add("/home", 3).await.unwrap();
    views.add("/news\u{1b}[2J", 5).await.unwrap();
    let yesterday = SystemTime::now() - DAY;
    views.add_at("/home", 9, yesterday).await.unwrap();

    let counts = stage.json(&["get", "site", "/home"]).await;
    assert_eq!((&counts["name"], &counts["total"]), (&json!("/home"), &json!(12)));
    assert!(stage.text(&["get", "site", "/home"]).await.ends_with("12 in all"));
    let then = Timestamp::try_from(yesterday).unwrap().as_second().to_string();
    assert_eq!(stage.json(&["get", "site", "/home", "--at", &then]).await["day"], 9);
    let (code, output) = stage.run(&["get", "site", "/never"]).await;
    assert_eq!((code, output.trim()), (3, "never counted: /never"));

    let days = stage.json(&["get", "site", "/home", "--series", "day"]).await;
    let sum: u64 =
        days["series"].as_array().unwrap().iter().map(|day| day["count"].as_u64().unwrap()).sum();
    assert_eq!((sum, days["series"].as_array().unwrap().len()), (12, 31));
    let hours = ["get", "site", "/home", "--series", "hour", "--from", &then];
    assert!((25..=26).contains(&stage.json(&hours).await["series"].as_array().unwrap().len()));

    let top = stage.json(&["top", "site"]).await;
    assert_eq!(top["top"][0], json!({"name": "/home", "count": 12}));
    let one = stage.json(&["top", "site", "--limit", "1"]).await;
    assert_eq!(one["top"].as_array().unwrap().len(), 1);
    let then = stage.json(&["top", "site", "--by", "day", "--at", &then]).await;
    assert_eq!(then["top"], json!([{"name": "/home", "count": 9}]));
    let text = stage.text(&["top", "site"]).await;
    assert!(text.contains("/news") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(stage.text(&["top", "other"]).await, "nothing was counted");
}

#[tokio::test]
async fn bad_lines_are_told_by_number_and_lose_none_of_the_good_ones() {
    let stage = stage("counter").await;
    let long = "x".repeat(257);
    let csv = format!(
        "name,timestamp,value\r\n\
         a,2026-01-05T10:00:00Z,3\r\n\
         a,never,3\n\
         b,2026-01-05 12:00,4\n\
         \"a, quoted\nname\",1767600000,5\n\
         ,2026-01-05T10:00:00Z,1\n\
         {long},2026-01-05T10:00:00Z,1\n\
         a,2026-01-05T10:00:00Z,1.5\n\
         a,2026-01-05T10:00:00Z,-1\n\
         a,2026-01-05T10:00:00Z\n\
         a,2026-01-05T10:00:00Z,9007199254740993\n\
         a,1950-01-05T10:00:00Z,1\n\
         a,2026-01-05T10:00:00Z,2,more\n"
    );
    let file = stage.file("views.csv", &csv);
    let file = file.to_str().unwrap();
    let imported = stage.json_of(4, &["import", "site", file, "--retention", "9y"]).await;
    let told: Vec<_> = imported["bad"].as_array().unwrap().iter().map(|bad| &bad["line"]).collect();
    // The name with a line break in it takes two lines.
    assert_eq!(told, [3, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!((&imported["imported"], &imported["bad_lines"]), (&json!(4), &json!(8)));
    assert_eq!(imported["added"]["total"], 14);
    let errors = imported["bad"].to_string();
    for part in ["never", "1 to 256 bytes", "1.5", "there is no value", "before 1970"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let views = Counters::builder(&stage.russet, "site").build().unwrap();
    for (name, total) in [("a", 5), ("b", 4), ("a, quoted\nname", 5)] {
        assert_eq!(views.total(name).await.unwrap(), total, "{name}");
    }
}

#[tokio::test]
async fn a_total_that_would_be_too_large_is_a_bad_line_and_no_other_is_lost() {
    let stage = stage("counter").await;
    let mut csv = "timestamp,name,value\n".to_owned();
    for n in 0..1_500 {
        let value = if n == 700 { (1_u64 << 53) - 5 } else { 1 };
        let name = if n % 100 == 0 { "large" } else { "small" };
        writeln!(csv, "2026-01-05T10:00:00Z,{name},{value}").unwrap();
    }
    let imported = stage.json_from(4, &["import", "site", "-"], &csv).await;
    assert_eq!((&imported["imported"], &imported["bad_lines"]), (&json!(1_499), &json!(1)));
    assert_eq!(imported["bad"][0]["line"], 702);
    assert!(imported["bad"][0]["error"].as_str().unwrap().contains("over 2^53"));
    let views = Counters::builder(&stage.russet, "site").build().unwrap();
    assert_eq!(views.total("small").await.unwrap(), 1_485);
    assert_eq!(views.total("large").await.unwrap(), 14);
}

#[tokio::test]
async fn an_import_counts_in_the_buckets_of_each_line_and_says_what_is_no_longer_kept() {
    let stage = stage("counter").await;
    let mut random = rand::rng();
    // Half a year of New York with a change of the clocks, in no order; 20,000 lines.
    let start = "2025-09-01T00:00:00Z".parse::<Timestamp>().unwrap();
    let (mut csv, mut lines) = ("when,what,how_much\n".to_owned(), Vec::new());
    for _ in 0..20_000 {
        let time = start + Duration::from_secs(random.random_range(0..180 * 86_400));
        let (name, n) = (random.random_range(0..20), random.random_range(0..9_u64));
        writeln!(csv, "{time},name {name},{n}").unwrap();
        lines.push((time, name, n));
    }
    let file = stage.file("views.csv", &csv);
    let columns =
        ["--timestamp-column", "when", "--name-column", "what", "--value-column", "how_much"];
    let zone = ["--time-zone", "America/New_York"];
    let words =
        [&["import", "kept", file.to_str().unwrap(), "--retention", "50y"], &columns[..], &zone]
            .concat();
    let imported = stage.json(&words).await;
    let total: u64 = lines.iter().map(|(_, _, n)| n).sum();
    assert_eq!((&imported["imported"], &imported["bad_lines"]), (&json!(20_000), &json!(0)));
    for of in ["total", "minute", "hour", "day", "month"] {
        assert_eq!(imported["added"][of], total, "{of}");
    }

    let counters =
        Counters::builder(&stage.russet, "kept").time_zone("America/New_York").build().unwrap();
    let new_york = jiff::tz::TimeZone::get("America/New_York").unwrap();
    let mut days: BTreeMap<(u32, jiff::civil::Date), u64> = BTreeMap::new();
    for (time, name, n) in &lines {
        *days.entry((*name, new_york.to_datetime(*time).date())).or_default() += n;
    }
    let range = SystemTime::from(start)..SystemTime::from(start) + 181 * DAY;
    for name in 0..20 {
        let of = format!("name {name}");
        for day in counters.series(&of, Granularity::Day, range.clone()).await.unwrap() {
            let date = new_york.to_datetime(day.start.try_into().unwrap()).date();
            assert_eq!(day.count, days.remove(&(name, date)).unwrap_or(0), "name {name}, {date}");
        }
    }
    assert!(days.values().all(|count| *count == 0), "{days:?}");

    let words =
        [&["import", "old", file.to_str().unwrap(), "--retention", "month=50y"], &columns[..]]
            .concat();
    let imported = stage.json(&words).await;
    assert_eq!(
        (&imported["added"]["total"], &imported["added"]["month"]),
        (&json!(total), &json!(total))
    );
    assert_eq!(imported["added"]["hour"], 0);
    let (code, output) = stage.run(&words).await;
    assert!(
        code == 0 && output.contains(&format!("{total} of it older than hours are kept")),
        "{output}"
    );
}

#[tokio::test]
async fn an_import_reads_the_standard_input_and_counts_lines_without_values() {
    let stage = stage("counter").await;
    let lines = "1767600000,a\n1767600001,b\n1767600002,a\n";
    let csv = ["timestamp,name\n", lines].concat();
    let imported = stage.json_from(0, &["import", "site", "-"], &csv).await;
    assert_eq!(imported["added"]["total"], 3);
    let words = ["import", "site", "-", "--no-header"];
    let values = "1767600000,a,5\n1767600001,b,6\n";
    assert_eq!(stage.json_from(0, &words, values).await["added"]["total"], 11);
    let top: Value = stage.json(&["top", "site"]).await;
    assert_eq!(top["top"], json!([{"name": "b", "count": 7}, {"name": "a", "count": 7}]));
    let empty = stage.json_from(0, &words, "").await;
    assert_eq!((&empty["imported"], &empty["added"]["total"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_is_refused_before_a_server_is_asked() {
    let stage = stage("counter").await;
    let file = stage.file("views.csv", "time,name,value\n1,a,1\n");
    let file = file.to_str().unwrap();
    for (words, part) in [
        (&["import", "site", "/nowhere.csv"] as &[&str], "/nowhere.csv cannot be read"),
        (
            &["import", "site", file],
            "there is no column \"timestamp\" in its first line: time,name,value",
        ),
        (
            &["import", "site", file, "--timestamp-column", "time", "--value-column", "n"],
            "no column \"n\"",
        ),
        (&["import", "site", file, "--time-zone", "Mars/Olympus"], "Mars/Olympus"),
        (&["import", "site", file, "--retention", "0"], "expected more than no time"),
        (&["top", "site", "--limit", "0"], "--limit"),
        (&["get", "site", "a", "--from", "5"], "--series"),
    ] {
        let (code, output) = stage.run(words).await;
        assert!(code == 2 && output.contains(part), "{words:?}: {code} {output}");
    }
}
