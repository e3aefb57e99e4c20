//! `russet board`: what an operator sees and imports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rand::RngExt as _;
use russet::{Leaderboard, Period, Ties};
use serde_json::json;

use super::operator::stage;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn who_leads_is_seen() {
    let stage = stage("board").await;
    let board = Leaderboard::builder(&stage.russet, "game").build().unwrap();
    let players = [("ada", 3.0), ("bob", 5.5), ("eve\u{1b}[2J", 3.0), ("zoe", 1.0)];
    board.add_many(players).await.unwrap();

    let top = stage.json(&["top", "game", "--limit", "2"]).await;
    let first = json!({"rank": 1, "member": "bob", "score": 5.5});
    assert_eq!((&top["lines"][0], top["lines"].as_array().unwrap().len()), (&first, 2));
    let page = stage.json(&["top", "game", "--offset", "3"]).await;
    assert_eq!(page["lines"], json!([{"rank": 4, "member": "zoe", "score": 1.0}]));
    let text = stage.text(&["top", "game"]).await;
    assert!(text.starts_with("rank") && text.contains("5.5") && !text.contains('\u{1b}'), "{text}");

    assert_eq!(stage.text(&["rank", "game", "ada"]).await, "rank 3, score 3");
    let shared = stage.json(&["rank", "game", "ada", "--ties", "shared"]).await;
    assert_eq!(shared, json!({"member": "ada", "rank": 2, "score": 3.0}));
    let around = stage.json(&["around", "game", "ada", "--neighbours", "1"]).await;
    let ranks: Vec<_> =
        around["lines"].as_array().unwrap().iter().map(|line| &line["rank"]).collect();
    assert_eq!(ranks, [2, 3, 4]);
    for words in [["rank", "game", "nobody"], ["around", "game", "nobody"]] {
        let (code, output) = stage.run(&words).await;
        assert_eq!((code, output.trim()), (3, "not on the board: nobody"));
    }
    assert_eq!(stage.text(&["top", "empty"]).await, "nobody is on the board");
    let (code, output) = stage.run(&["top", "game", "--at", "0"]).await;
    assert!(code == 2 && output.contains("--period"), "{output}");
}

#[tokio::test]
async fn an_import_adds_or_sets_the_scores_and_tells_bad_lines() {
    let stage = stage("board").await;
    let (mut random, mut sums, mut last) = (rand::rng(), BTreeMap::new(), BTreeMap::new());
    let mut csv = "timestamp,name,value\n".to_owned();
    for n in 0..3_000 {
        let (name, value) =
            (format!("p{}", random.random_range(0..50)), random.random_range(-40..90));
        let value = f64::from(value) / 4.0;
        if n % 500 == 7 {
            writeln!(csv, "never looked at,{name},NA").unwrap();
            continue;
        }
        writeln!(csv, "never looked at,{name},{value}").unwrap();
        *sums.entry(name.clone()).or_insert(0.0) += value;
        last.insert(name, value);
    }
    writeln!(csv, "x,p0,inf\nx,p0,1e300\nx,,1").unwrap();
    let file = stage.file("scores.csv", &csv);
    let file = file.to_str().unwrap();
    for (board, set, expected) in [("sums", None, sums), ("last", Some("--set"), last)] {
        let words = [&["import", board, file], set.as_slice()].concat();
        let imported = stage.json_of(4, &words).await;
        assert_eq!((&imported["imported"], &imported["bad_lines"]), (&json!(2_994), &json!(9)));
        let told: Vec<_> =
            imported["bad"].as_array().unwrap().iter().map(|it| &it["line"]).collect();
        assert_eq!(told, [9, 509, 1_009, 1_509, 2_009, 2_509, 3_002, 3_003, 3_004]);
        let board = Leaderboard::builder(&stage.russet, board).build().unwrap();
        assert_eq!(board.count().await.unwrap(), 50);
        for (name, score) in expected {
            assert_eq!(board.score(&name).await.unwrap(), Some(score), "{name}");
        }
    }
}

#[tokio::test]
async fn an_import_fills_the_board_of_each_lines_period() {
    let stage = stage("board").await;
    let (mut random, mut csv) = (rand::rng(), "timestamp,name,value\n".to_owned());
    let mut sums: BTreeMap<(i64, u32), u32> = BTreeMap::new();
    // Forty days of UTC, a hundred days ago.
    let first = i64::try_from(
        (SystemTime::now() - 100 * DAY).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
            / 86_400,
    )
    .unwrap();
    for _ in 0..2_500 {
        let (day, name, n) =
            (random.random_range(0..40), random.random_range(0..9), random.random_range(1..5));
        let second = (first + day) * 86_400 + random.random_range(0..86_400);
        writeln!(csv, "{second},p{name},{n}").unwrap();
        *sums.entry((first + day, name)).or_default() += n;
    }
    writeln!(csv, "never,p0,1").unwrap();
    let words = ["import", "game", "-", "--period", "day", "--ties", "first", "--retention", "1y"];
    let imported = stage.json_from(4, &words, &csv).await;
    assert_eq!(
        (&imported["imported"], &imported["bad"][0]["line"]),
        (&json!(2_500), &json!(2_502))
    );
    let board = Leaderboard::builder(&stage.russet, "game").ties(Ties::FirstToReach);
    let board = board.period(Period::Day).build().unwrap();
    for day in first..first + 40 {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(day as u64 * 86_400 + 43_200);
        let board = board.at(noon).unwrap();
        for name in 0..9 {
            let expected = sums.get(&(day, name)).map(|sum| f64::from(*sum));
            assert_eq!(board.score(&format!("p{name}")).await.unwrap(), expected, "{day} p{name}");
        }
    }
    let at = ((first + 3) * 86_400).to_string();
    let words = ["top", "game", "--period", "day", "--ties", "first", "--at", &at];
    let lines = stage.json(&words).await["lines"].as_array().unwrap().len();
    assert_eq!(lines, (0..9).filter(|name| sums.contains_key(&(first + 3, *name))).count());

    // Boards that are over by now take nothing.
    let words = ["import", "old", "-", "--period", "day", "--retention", "1d"];
    let imported = stage.json_from(4, &words, &csv).await;
    assert_eq!((&imported["imported"], &imported["bad_lines"]), (&json!(0), &json!(2_501)));
    assert!(imported["bad"][0]["error"].as_str().unwrap().contains("has ended"), "{imported}");
}
