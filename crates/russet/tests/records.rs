//! Records that an older version wrote are read: `records/version-<n>.jsonl` is what version n of the layout left behind,
//! command by command, and never changes. A new version of the layout adds a file.

#![cfg(all(feature = "cache", feature = "counters", feature = "leaderboard"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use russet::testing::TestServer;
use russet::{BoxError, Cache, Counters, Leaderboard, Russet};

/// What each version of the layout wrote, the oldest first.
const VERSIONS: [&str; 1] = [include_str!("records/version-1.jsonl")];

#[tokio::test]
async fn what_older_versions_wrote_is_read_and_written_on() {
    for written in VERSIONS {
        let server = TestServer::start().await.unwrap();
        for line in written.lines() {
            let words: Vec<String> = serde_json::from_str(line).unwrap();
            server.command(&words).await.unwrap();
        }
        let russet = Russet::connect(&server.url()).await.unwrap();
        entries_of_a_cache(&russet).await;
        counts(&russet).await;
        scores(&russet).await;
    }
}

async fn entries_of_a_cache(russet: &Russet) {
    let names = Cache::<u64, String>::builder(russet, "names").build().unwrap();
    let load = async |id: u64| {
        let load = async || Ok::<_, BoxError>(Some("loaded".to_owned()));
        names.find_with(&id, load).await.unwrap()
    };
    assert_eq!(load(42).await.as_deref(), Some("Ada"));
    assert_eq!(load(43).await.as_deref(), Some("Grace"), "fields that it does not know");
    assert_eq!(load(44).await, None);
    assert_eq!(names.stats().loads, 0);
    // Its owner is gone: it is waited for, until it ends.
    assert_eq!(load(45).await.as_deref(), Some("loaded"));
    assert!(names.stats().waits >= 1 && names.stats().loads == 1);
    names.invalidate(&42).await.unwrap();
    assert_eq!(names.get(&42).await.unwrap(), None);
}

async fn counts(russet: &Russet) {
    let views = Counters::builder(russet, "site").build().unwrap();
    let in_2090 = SystemTime::UNIX_EPOCH + Duration::from_secs(3_786_912_000);
    let counts = views.get_at("/home", in_2090).await.unwrap();
    let found = [counts.total, counts.minute, counts.hour, counts.day, counts.month];
    assert_eq!(found, [9, 1, 2, 3, 4]);
    assert_eq!(views.top_total(2).await.unwrap()[0].name, "/home");
    assert_eq!(views.add_at("/home", 10, in_2090).await.unwrap().minute, 11);
}

async fn scores(russet: &Russet) {
    let board = Leaderboard::builder(russet, "game").build().unwrap();
    let members: Vec<_> =
        board.top(9).await.unwrap().into_iter().map(|line| (line.member, line.score)).collect();
    assert_eq!(members, [("player1".to_owned(), 1_700.0), ("player2".to_owned(), -2.5)]);
    assert_eq!(board.increment("player2", 2.5).await.unwrap().score, 0.0);
}
