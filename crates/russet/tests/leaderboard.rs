//! Leaderboards on a real server, against a plain sorted list.

#![cfg(feature = "leaderboard")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};
use rand::RngExt;
use russet::{ErrorKind, Leaderboard, Ranked, Russet, Standing, metered, testing::Proxy};
use support::{
    Ground, commands, connect, needs_one_server, random, refused_names, stage, strange_names,
};

const LARGEST: f64 = 9_007_199_254_740_992.0;

fn board(russet: &Russet) -> Leaderboard {
    Leaderboard::builder(russet, "game").build().unwrap()
}

fn line(rank: u64, member: &str, score: f64) -> Ranked {
    Ranked { rank, member: member.into(), score }
}

/// What a board is: members by score, the greatest name first among equals.
#[derive(Default)]
struct Model {
    scores: HashMap<String, f64>,
    max_size: Option<usize>,
}

impl Model {
    fn lines(&self) -> Vec<Ranked> {
        let mut members: Vec<_> = self.scores.iter().collect();
        members.sort_by(|a, b| b.1.total_cmp(a.1).then(b.0.cmp(a.0)));
        (1..).zip(members).map(|(rank, (member, score))| line(rank, member, *score)).collect()
    }

    fn line(&self, member: &str) -> Option<Ranked> {
        self.lines().into_iter().find(|line| line.member == member)
    }

    fn set(&mut self, member: &str, score: f64) -> Standing {
        self.scores.insert(member.into(), score);
        self.trim(self.max_size.unwrap_or(usize::MAX));
        Standing { score, rank: self.line(member).map(|line| line.rank) }
    }

    fn trim(&mut self, n: usize) -> u64 {
        let gone: Vec<_> = self.lines().into_iter().skip(n).collect();
        self.scores.retain(|member, _| !gone.iter().any(|line| line.member == *member));
        gone.len() as u64
    }

    fn around(&self, member: &str, n: usize) -> Vec<Ranked> {
        let lines = self.lines();
        let Some(at) = lines.iter().position(|line| line.member == member) else {
            return Vec::new();
        };
        lines[at.saturating_sub(n)..(at + n + 1).min(lines.len())].to_vec()
    }
}

#[tokio::test]
async fn a_board_is_a_sorted_list_over_random_operations() {
    let stage = stage().await;
    let mut random = random();
    for max_size in [None, Some(1), Some(7), Some(30)] {
        let name = format!("model {max_size:?}");
        let mut builder = Leaderboard::builder(&stage.russet, &name);
        if let Some(size) = max_size {
            builder = builder.max_size(size);
        }
        let board = builder.build().unwrap();
        let mut model = Model { max_size: max_size.map(|size| size as usize), ..Model::default() };
        for _ in 0..400 {
            let member = format!("player{}", random.random_range(0..40));
            // Few different scores, so that many are equal.
            let score = f64::from(random.random_range(-4..5)) / 2.0;
            match random.random_range(0..10) {
                0..3 => {
                    assert_eq!(board.add(&member, score).await.unwrap(), model.set(&member, score))
                }
                3..6 => {
                    let sum = model.scores.get(&member).unwrap_or(&0.0) + score;
                    assert_eq!(
                        board.increment(&member, score).await.unwrap(),
                        model.set(&member, sum)
                    );
                }
                6 => {
                    let members: Vec<_> = (0..random.random_range(0..20))
                        .map(|_| (format!("player{}", random.random_range(0..60)), score))
                        .collect();
                    let new: std::collections::HashSet<_> = members
                        .iter()
                        .map(|(member, _)| member)
                        .filter(|it| !model.scores.contains_key(*it))
                        .collect();
                    let new = new.len() as u64;
                    model.scores.extend(members.clone());
                    model.trim(model.max_size.unwrap_or(usize::MAX));
                    assert_eq!(board.add_many(members).await.unwrap(), new);
                }
                7 => assert_eq!(
                    board.remove(&member).await.unwrap(),
                    model.scores.remove(&member).is_some()
                ),
                8 => {
                    let n = random.random_range(0..40);
                    assert_eq!(board.trim(n).await.unwrap(), model.trim(n as usize));
                }
                _ => {}
            }
            let lines = model.lines();
            let (offset, n) = (random.random_range(0..20), random.random_range(1..20));
            let page: Vec<_> = lines.iter().skip(offset).take(n).cloned().collect();
            assert_eq!(board.page(offset as u64, n).await.unwrap(), page);
            assert_eq!(board.top(1_000).await.unwrap(), lines);
            assert_eq!(board.around(&member, n).await.unwrap(), model.around(&member, n));
            assert_eq!(
                board.rank(&member).await.unwrap(),
                model.line(&member).map(|line| line.rank)
            );
            assert_eq!(board.score(&member).await.unwrap(), model.scores.get(&member).copied());
            let standing = model
                .line(&member)
                .map(|line| Standing { score: line.score, rank: Some(line.rank) });
            assert_eq!(board.standing(&member).await.unwrap(), standing);
            assert_eq!(board.count().await.unwrap(), lines.len() as u64);
        }
    }
}

#[tokio::test]
async fn equal_scores_stand_in_redis_order() {
    let stage = stage().await;
    let board = board(&stage.russet);
    board.add_many([("anna", 5.0), ("zoe", 5.0), ("Zoe", 5.0), ("best", 6.0)]).await.unwrap();
    let expected =
        [line(1, "best", 6.0), line(2, "zoe", 5.0), line(3, "anna", 5.0), line(4, "Zoe", 5.0)];
    assert_eq!(board.top(10).await.unwrap(), expected);
}

#[tokio::test]
async fn around_is_centred_and_ends_with_the_board() {
    let stage = stage().await;
    let board = board(&stage.russet);
    board.add_many((1..=9).map(|i| (format!("p{i}"), f64::from(i)))).await.unwrap();
    let ranks = |lines: Vec<Ranked>| lines.iter().map(|line| line.rank).collect::<Vec<_>>();
    assert_eq!(ranks(board.around("p5", 2).await.unwrap()), [3, 4, 5, 6, 7]);
    assert_eq!(ranks(board.around("p9", 2).await.unwrap()), [1, 2, 3]);
    assert_eq!(ranks(board.around("p8", 2).await.unwrap()), [1, 2, 3, 4]);
    assert_eq!(ranks(board.around("p1", 2).await.unwrap()), [7, 8, 9]);
    assert_eq!(board.around("p5", 0).await.unwrap(), [line(5, "p5", 5.0)]);
    assert_eq!(board.around("p5", 499).await.unwrap().len(), 9);
}

#[tokio::test]
async fn a_full_board_drops_its_last_member_in_the_same_step() {
    let stage = stage().await;
    let board = Leaderboard::builder(&stage.russet, "game").max_size(3).build().unwrap();
    board.add_many([("a", 1.0), ("b", 2.0), ("c", 3.0)]).await.unwrap();
    assert_eq!(board.add("d", 2.5).await.unwrap(), Standing { score: 2.5, rank: Some(2) });
    assert_eq!(board.rank("a").await.unwrap(), None);
    assert_eq!(board.add("e", 0.5).await.unwrap(), Standing { score: 0.5, rank: None });
    assert_eq!(board.increment("f", 1.0).await.unwrap(), Standing { score: 1.0, rank: None });
    assert_eq!(board.count().await.unwrap(), 3);
}

#[tokio::test]
async fn no_reader_sees_more_members_than_the_board_keeps() {
    let stage = stage().await;
    let board = Leaderboard::builder(&stage.russet, "game").max_size(10).build().unwrap();
    let writers = stream::iter(0..2_000).map(|i| {
        let board = board.clone();
        async move { board.add(&format!("p{i}"), f64::from(i % 97)).await.map(drop) }
    });
    let readers = stream::iter(0..2_000).map(|_| {
        let board = board.clone();
        async move {
            assert!(board.count().await? <= 10);
            Ok(())
        }
    });
    let calls = stream::select(writers.buffer_unordered(32), readers.buffer_unordered(32));
    let done: Vec<russet::Result<()>> = calls.collect().await;
    done.into_iter().collect::<russet::Result<()>>().unwrap();
}

#[tokio::test]
async fn a_board_that_became_smaller_is_cut_by_a_thousand_at_a_time() {
    let stage = stage().await;
    let large = board(&stage.russet);
    for thousand in 0..3 {
        let members =
            (0..1_000).map(|i| (format!("p{thousand}-{i}"), f64::from(thousand * 1_000 + i)));
        assert_eq!(large.add_many(members).await.unwrap(), 1_000);
    }
    let small = Leaderboard::builder(&stage.russet, "game").max_size(10).build().unwrap();
    small.increment("p2-999", 1.0).await.unwrap();
    assert_eq!(large.count().await.unwrap(), 2_000);

    let (removed, sent) = metered(large.trim(10)).await;
    assert_eq!(removed.unwrap(), 1_990);
    assert_eq!(sent.round_trips, 2);
    let best: Vec<_> = large.top(1_000).await.unwrap().into_iter().map(|line| line.score).collect();
    let mut expected: Vec<_> = (2_990..3_000).rev().map(f64::from).collect();
    expected[0] = 3_000.0;
    assert_eq!(best, expected);
    assert_eq!(large.trim(0).await.unwrap(), 10);
    assert!(stage.keys().await.is_empty(), "an empty board is no key");
}

#[tokio::test]
async fn a_refused_update_changes_nothing() {
    let stage = stage().await;
    let board = Leaderboard::builder(&stage.russet, "game").max_size(2).build().unwrap();
    board.add_many([("top", LARGEST), ("low", -LARGEST)]).await.unwrap();
    let before = stage.keys().await;

    let mut refusals = Vec::new();
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
        refusals.push(board.add("a", score).await.map(drop));
        refusals.push(board.increment("a", score).await.map(drop));
        refusals.push(board.add_many([("a", 1.0), ("b", score)]).await.map(drop));
    }
    for member in refused_names() {
        refusals.push(board.add(&member, 1.0).await.map(drop));
        refusals.push(board.increment(&member, 1.0).await.map(drop));
        refusals
            .push(board.add_many([("a".to_owned(), 1.0), (member.clone(), 1.0)]).await.map(drop));
        refusals.push(board.remove(&member).await.map(drop));
        refusals.push(board.rank(&member).await.map(drop));
        refusals.push(board.score(&member).await.map(drop));
        refusals.push(board.around(&member, 1).await.map(drop));
    }
    // 2^53 + 1 would be rounded to 2^53.
    refusals.push(board.increment("top", 1.0).await.map(drop));
    refusals.push(board.increment("low", -1.0).await.map(drop));
    refusals.push(board.increment("top", LARGEST).await.map(drop));
    refusals.push(board.add_many((0..1_001).map(|i| (format!("p{i}"), 1.0))).await.map(drop));
    for n in [0, 1_001, usize::MAX] {
        refusals.push(board.top(n).await.map(drop));
        refusals.push(board.page(5, n).await.map(drop));
    }
    refusals.push(board.around("top", 500).await.map(drop));

    for (i, refusal) in refusals.into_iter().enumerate() {
        assert_eq!(
            refusal.expect_err(&format!("refusal {i}")).kind(),
            ErrorKind::Invalid,
            "refusal {i}"
        );
    }
    assert_eq!(stage.keys().await, before);
    assert_eq!(board.increment("top", -1.0).await.unwrap().score, LARGEST - 1.0);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let stage = stage().await;
    for name in refused_names() {
        assert!(Leaderboard::builder(&stage.russet, &name).build().is_err());
    }
    for size in [0, (1 << 32) + 1, u64::MAX] {
        let error = Leaderboard::builder(&stage.russet, "game").max_size(size).build().unwrap_err();
        assert_eq!(error.to_string(), format!("max_size must be 1 to 4294967296, not {size}"));
    }
    assert!(Leaderboard::builder(&stage.russet, "game").max_size(1 << 32).build().is_ok());
}

#[tokio::test]
async fn strange_names_are_members_and_boards_of_their_own() {
    let stage = stage().await;
    let names = strange_names();
    let board = board(&stage.russet);
    for (score, name) in (0..).zip(&names) {
        board.add(name, f64::from(score)).await.unwrap();
        let own = Leaderboard::builder(&stage.russet, name).build().unwrap();
        own.add("me", f64::from(score)).await.unwrap();
    }
    let listed: Vec<_> =
        board.top(1_000).await.unwrap().into_iter().rev().map(|line| line.member).collect();
    assert_eq!(listed, names);
    for (score, name) in (0..).zip(&names) {
        let own = Leaderboard::builder(&stage.russet, name).build().unwrap();
        assert_eq!(own.top(10).await.unwrap(), [line(1, "me", f64::from(score))]);
        assert_eq!(board.score(name).await.unwrap(), Some(f64::from(score)));
    }
    assert_eq!(stage.keys().await.len(), names.len() + 1);
}

#[tokio::test]
async fn a_score_comes_back_as_it_was() {
    let stage = stage().await;
    let board = board(&stage.russet);
    for score in [
        0.1,
        -0.1,
        1.0 / 3.0,
        f64::MIN_POSITIVE,
        LARGEST,
        -LARGEST,
        LARGEST - 1.0,
        1e-300,
        123_456.789,
    ] {
        assert_eq!(board.add("me", score).await.unwrap().score, score);
        assert_eq!(board.score("me").await.unwrap(), Some(score));
        assert_eq!(board.increment("me", 0.0).await.unwrap().score, score);
    }
    board.add("me", 0.1).await.unwrap();
    assert_eq!(board.increment("me", 0.2).await.unwrap().score, 0.1 + 0.2);
    assert!(board.add("me", -0.0).await.unwrap().score.is_sign_positive());
    assert!(board.score("me").await.unwrap().unwrap().is_sign_positive());
}

#[tokio::test]
async fn a_board_that_is_not_there_reads_as_empty() {
    let stage = stage().await;
    let board = board(&stage.russet);
    assert_eq!(board.top(10).await.unwrap(), []);
    assert_eq!(board.page(u64::MAX, 10).await.unwrap(), []);
    assert_eq!(board.around("me", 3).await.unwrap(), []);
    assert_eq!(board.rank("me").await.unwrap(), None);
    assert_eq!(board.score("me").await.unwrap(), None);
    assert_eq!(board.standing("me").await.unwrap(), None);
    assert_eq!(board.count().await.unwrap(), 0);
    assert_eq!(board.trim(10).await.unwrap(), 0);
    assert!(!board.remove("me").await.unwrap());
    assert_eq!(board.add_many(Vec::<(String, f64)>::new()).await.unwrap(), 0);
    assert!(stage.keys().await.is_empty());
}

#[tokio::test]
async fn concurrent_increments_lose_none() {
    let stage = stage().await;
    let board = board(&stage.russet);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let board = board.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    board.increment("me", 1.0).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(board.score("me").await.unwrap(), Some(3_200.0));
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_not_sent_again() {
    if needs_one_server() {
        return;
    }
    let server = support::server().await;
    let proxy = Proxy::to(server.only()).await.unwrap();
    let board = board(&connect(&proxy.url()).await);
    board.increment("me", 1.0).await.unwrap();
    proxy.drop_next_reply().await.unwrap();
    let error = board.increment("me", 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(board.score("me").await.unwrap(), Some(2.0));
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    if needs_one_server() {
        return;
    }
    let server = support::server().await;
    let proxy = Proxy::to(server.only()).await.unwrap();
    let russet = connect(&proxy.url()).await;
    let board = Leaderboard::builder(&russet, "game").max_size(100).build().unwrap();
    // The server has seen the scripts after this.
    board.add("me", 1.0).await.unwrap();
    board.increment("me", 1.0).await.unwrap();
    board.add_many([("you", 1.0)]).await.unwrap();
    board.around("me", 1).await.unwrap();

    macro_rules! one_round_trip {
        ($($call:expr),+ $(,)?) => {$(
            proxy.reset_counts();
            $call.await.unwrap();
            assert_eq!(proxy.round_trips(), 1, "{}", stringify!($call));
        )+};
    }
    one_round_trip! {
        board.add("me", 2.0),
        board.increment("me", 2.0),
        board.add_many((0..1_000).map(|i| (format!("p{i}"), 1.0))),
        board.top(100),
        board.page(10, 10),
        board.around("me", 5),
        board.rank("me"),
        board.score("me"),
        board.standing("me"),
        board.count(),
        board.trim(50),
        board.remove("me"),
    }
}

#[tokio::test]
async fn an_update_takes_at_most_five_commands() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let board =
        Leaderboard::builder(&connect(&server.url()).await, "game").max_size(100).build().unwrap();
    board.add("warm", 1.0).await.unwrap();
    board.increment("warm", 1.0).await.unwrap();
    for (update, most) in [("add", 4), ("increment", 5)] {
        let before = commands(&server).await;
        for i in 0..1_000 {
            let (member, score) = (format!("p{}", i % 150), f64::from(i));
            match update {
                "add" => board.add(&member, score).await.unwrap(),
                _ => board.increment(&member, score).await.unwrap(),
            };
        }
        let each = (commands(&server).await - before) as f64 / 1_000.0;
        println!("{update}: {each} commands");
        assert!(each <= f64::from(most), "{update} takes {each} commands");
    }
}

/// Server CPU in microseconds a call, one after the other, the round trip's reading and writing included.
async fn cpu<F: Future>(server: &Ground, call: impl Fn(u32) -> F) -> f64 {
    const CALLS: u32 = 1_000;
    let before = server.only().cpu_micros().await.unwrap();
    for i in 0..CALLS {
        call(i).await;
    }
    (server.only().cpu_micros().await.unwrap() - before) as f64 / f64::from(CALLS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_members_cost_at_most_twice_what_ten_thousand_do() {
    if needs_one_server() {
        return;
    }
    const SIZES: [u32; 2] = [10_000, 1_000_000];
    let server = Ground::start().await.unwrap();
    let russet = Russet::builder()
        .url(server.url())
        .timeout(Duration::from_secs(30))
        .connect()
        .await
        .unwrap();
    let boards =
        SIZES.map(|size| Leaderboard::builder(&russet, &size.to_string()).build().unwrap());
    for (board, size) in boards.iter().zip(SIZES) {
        let thousands = stream::iter(0..size / 1_000).map(|thousand| {
            let first = thousand * 1_000;
            board.add_many(
                (first..first + 1_000)
                    .map(|i| (format!("player{i}"), f64::from(i.wrapping_mul(2_654_435_761) >> 8))),
            )
        });
        let added: Vec<_> = thousands.buffer_unordered(4).collect().await;
        assert!(added.into_iter().all(|added| added.unwrap() == 1_000));
        assert_eq!(board.count().await.unwrap(), u64::from(size));
    }

    let million = &boards[1];
    million.around("player1", 5).await.unwrap(); // the server knows the script from here on
    for call in ["around", "rank"] {
        let sent = match call {
            "around" => metered(million.around("player500000", 5)).await.1,
            _ => metered(million.rank("player500000")).await.1,
        };
        assert_eq!((sent.round_trips, sent.commands), (1, 1), "{call}");
    }

    for call in ["around", "rank", "increment"] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..7 {
            for (at, (board, size)) in boards.iter().zip(SIZES).enumerate() {
                let cost = cpu(&server, |i| {
                    let member = format!("player{}", i.wrapping_mul(2_654_435_761) % size);
                    async move {
                        match call {
                            "around" => {
                                assert!(!board.around(&member, 5).await.unwrap().is_empty());
                            }
                            "rank" => assert!(board.rank(&member).await.unwrap().is_some()),
                            _ => {
                                assert!(board.increment(&member, 1.0).await.unwrap().rank.is_some())
                            }
                        }
                    }
                });
                costs[at].push(cost.await);
            }
        }
        let [small, large] = costs.map(median);
        println!(
            "{call}: {small:.1} µs of server CPU with 10,000 members, {large:.1} µs with 1,000,000"
        );
        assert!(large <= 2.0 * small, "{call}: {small:.1} µs, {large:.1} µs");
    }
}
