//! Tie rules and boards of a period, against a plain list; and many updates in one step.

#![cfg(feature = "leaderboard")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use proptest::prelude::*;
use russet::{
    ErrorKind, Leaderboard, Period, Ranked, Russet, Standing, Ties, metered,
    testing::{TestServer, eventually},
};
use support::{
    Ground, commands, connect, needs_one_server, refused_names, server, stage, strange_names,
};

const LARGEST: f64 = 9_007_199_254_740_992.0;
const DAY: Duration = Duration::from_secs(86_400);
const EACH: [Ties; 3] = [Ties::RedisOrder, Ties::Shared, Ties::FirstToReach];

fn board(russet: &Russet, ties: Ties) -> Leaderboard {
    Leaderboard::builder(russet, &format!("{ties:?}")).ties(ties).build().unwrap()
}

fn line(rank: u64, member: &str, score: f64) -> Ranked {
    Ranked { rank, member: member.into(), score }
}

fn at(instant: &str) -> SystemTime {
    instant.parse::<Timestamp>().unwrap().into()
}

/// A board as a list: members with their scores and when they reached them.
struct Model {
    ties: Ties,
    max_size: usize,
    scores: HashMap<String, (f64, u64)>,
    moment: u64,
}

impl Model {
    fn lines(&self) -> Vec<Ranked> {
        let mut members: Vec<_> = self.scores.iter().collect();
        members.sort_by(|(a, (score_a, reached_a)), (b, (score_b, reached_b))| {
            let ties = match self.ties {
                Ties::FirstToReach => reached_a.cmp(reached_b),
                _ => b.cmp(a),
            };
            score_b.total_cmp(score_a).then(ties)
        });
        let mut lines: Vec<Ranked> = Vec::new();
        for (position, (member, (score, _))) in (1..).zip(members) {
            let last =
                lines.last().filter(|last| self.ties == Ties::Shared && last.score == *score);
            let rank = last.map_or(position, |last| last.rank);
            lines.push(line(rank, member, *score));
        }
        lines
    }

    fn line(&self, member: &str) -> Option<Ranked> {
        self.lines().into_iter().find(|line| line.member == member)
    }

    /// Whether the member was not there.
    fn write(&mut self, member: &str, score: f64) -> bool {
        let before = self.scores.get(member).map(|(score, _)| *score);
        if before != Some(score) {
            self.moment += 1;
            self.scores.insert(member.into(), (score, self.moment));
        }
        before.is_none()
    }

    fn set(&mut self, member: &str, score: f64) -> Standing {
        self.write(member, score);
        self.trim(self.max_size);
        Standing { score, rank: self.line(member).map(|line| line.rank) }
    }

    fn score(&self, member: &str) -> f64 {
        self.scores.get(member).map_or(0.0, |(score, _)| *score)
    }

    fn trim(&mut self, n: usize) -> u64 {
        let gone: Vec<_> = self.lines().into_iter().skip(n).collect();
        for line in &gone {
            self.scores.remove(&line.member);
        }
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

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i8),
    Increment(u8, i8),
    AddMany(Vec<(u8, i8)>),
    IncrementMany(Vec<(u8, i8)>),
    Remove(u8),
    Trim(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few members and few scores, so that many are equal.
    let (member, score) = (0_u8..12, -2_i8..3);
    let many = prop::collection::vec((member.clone(), score.clone()), 1..8);
    let step = prop_oneof![
        4 => (member.clone(), score.clone()).prop_map(|(member, score)| Step::Add(member, score)),
        4 => (member.clone(), score).prop_map(|(member, by)| Step::Increment(member, by)),
        2 => many.clone().prop_map(Step::AddMany),
        2 => many.prop_map(Step::IncrementMany),
        1 => member.prop_map(Step::Remove),
        1 => (0_usize..14).prop_map(Step::Trim),
    ];
    prop::collection::vec(step, 1..40)
}

fn cases() -> u32 {
    std::env::var("RUSSET_BOARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// `RUSSET_BOARD_CASES` makes it longer.
    #[test]
    fn a_board_is_a_list_under_each_tie_rule_and_in_each_period(
        ties in prop::sample::select(&EACH[..]),
        max_size in prop::option::of(1_u64..15),
        period in prop::option::of(prop::sample::select(vec![Period::Day, Period::Week, Period::Month])),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let russet = connect(&shared_url().await).await;
            let mut builder = Leaderboard::builder(&russet, "game").ties(ties);
            if let Some(size) = max_size {
                builder = builder.max_size(size);
            }
            // A board of a time to come, so that no border of a period comes while it is written.
            let board = match period {
                Some(period) => {
                    let board = builder.period(period).build().unwrap();
                    board.at(SystemTime::now() + 40 * DAY).unwrap()
                }
                None => builder.build().unwrap(),
            };
            let max_size = max_size.map_or(usize::MAX, |size| size as usize);
            let mut model = Model { ties, max_size, scores: HashMap::new(), moment: 0 };
            for step in steps {
                follow(&board, &mut model, step).await?;
            }
            russet.close().await;
            Ok::<(), TestCaseError>(())
        })?;
    }
}

/// The server of all cases; their runtimes end, it does not.
async fn shared_url() -> String {
    static SERVER: std::sync::OnceLock<TestServer> = std::sync::OnceLock::new();
    if let Some(server) = SERVER.get() {
        return server.url();
    }
    let server = TestServer::start().await.unwrap();
    SERVER.get_or_init(|| server).url()
}

async fn follow(board: &Leaderboard, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let name = |member: u8| format!("player{member}");
    let names = |many: Vec<(u8, i8)>| many.into_iter().map(|(m, s)| (name(m), f64::from(s) / 2.0));
    let mut asked = name(0);
    match step {
        Step::Add(member, score) => {
            asked = name(member);
            let score = f64::from(score) / 2.0;
            prop_assert_eq!(board.add(&asked, score).await.unwrap(), model.set(&asked, score));
        }
        Step::Increment(member, by) => {
            asked = name(member);
            let by = f64::from(by) / 2.0;
            let sum = model.score(&asked) + by;
            prop_assert_eq!(board.increment(&asked, by).await.unwrap(), model.set(&asked, sum));
        }
        Step::AddMany(many) => {
            let many: Vec<_> = names(many).collect();
            let new = board.add_many(many.clone()).await.unwrap();
            // The last score of a member counts, and when it came.
            let mut expected = 0;
            for (at, (member, score)) in many.iter().enumerate() {
                if !many[at + 1..].iter().any(|(other, _)| other == member) {
                    expected += u64::from(model.write(member, *score));
                }
            }
            model.trim(model.max_size);
            prop_assert_eq!(new, expected);
        }
        Step::IncrementMany(many) => {
            let many: Vec<_> = names(many).collect();
            let new = board.increment_many(many.clone()).await.unwrap();
            let mut expected = 0;
            for (at, (member, _)) in many.iter().enumerate() {
                if !many[at + 1..].iter().any(|(other, _)| other == member) {
                    let by: f64 =
                        many.iter().filter(|(other, _)| other == member).map(|(_, by)| by).sum();
                    expected += u64::from(model.write(member, model.score(member) + by));
                }
            }
            model.trim(model.max_size);
            prop_assert_eq!(new, expected);
        }
        Step::Remove(member) => {
            asked = name(member);
            let was_there = model.scores.remove(&asked).is_some();
            prop_assert_eq!(board.remove(&asked).await.unwrap(), was_there);
        }
        Step::Trim(n) => prop_assert_eq!(board.trim(n as u64).await.unwrap(), model.trim(n)),
    }
    let lines = model.lines();
    prop_assert_eq!(board.top(1_000).await.unwrap(), lines.clone());
    let page: Vec<_> = lines.iter().skip(3).take(4).cloned().collect();
    prop_assert_eq!(board.page(3, 4).await.unwrap(), page);
    prop_assert_eq!(board.around(&asked, 2).await.unwrap(), model.around(&asked, 2));
    let own = model.line(&asked);
    prop_assert_eq!(board.rank(&asked).await.unwrap(), own.as_ref().map(|line| line.rank));
    prop_assert_eq!(board.score(&asked).await.unwrap(), own.as_ref().map(|line| line.score));
    let standing = own.map(|line| Standing { score: line.score, rank: Some(line.rank) });
    prop_assert_eq!(board.standing(&asked).await.unwrap(), standing);
    prop_assert_eq!(board.count().await.unwrap(), lines.len() as u64);
    Ok(())
}

#[tokio::test]
async fn equal_scores_stand_where_their_rule_puts_them() {
    let stage = stage().await;
    let expected = [
        [
            line(1, "best", 9.0),
            line(2, "zoe", 5.0),
            line(3, "mia", 5.0),
            line(4, "anna", 5.0),
            line(5, "last", 1.0),
        ],
        [
            line(1, "best", 9.0),
            line(2, "zoe", 5.0),
            line(2, "mia", 5.0),
            line(2, "anna", 5.0),
            line(5, "last", 1.0),
        ],
        [
            line(1, "best", 9.0),
            line(2, "mia", 5.0),
            line(3, "zoe", 5.0),
            line(4, "anna", 5.0),
            line(5, "last", 1.0),
        ],
    ];
    for (ties, expected) in EACH.into_iter().zip(expected) {
        let board = board(&stage.russet, ties);
        board.add("mia", 5.0).await.unwrap();
        board.add_many([("last", 1.0), ("zoe", 5.0), ("anna", 2.0), ("best", 9.0)]).await.unwrap();
        board.increment("anna", 3.0).await.unwrap();
        // They have this score already.
        board.add("mia", 5.0).await.unwrap();
        board.increment("mia", 0.0).await.unwrap();
        board.add_many([("mia", 5.0)]).await.unwrap();
        board.increment_many([("mia", 1.0), ("mia", -1.0)]).await.unwrap();
        assert_eq!(board.top(10).await.unwrap(), expected, "{ties:?}");
        assert_eq!(board.page(3, 1).await.unwrap(), expected[3..4], "{ties:?}");
        assert_eq!(board.around("anna", 1).await.unwrap(), expected[2..5], "{ties:?}");
        let rank = board.rank("anna").await.unwrap();
        assert_eq!(rank, Some(expected[3].rank), "{ties:?}");
        // Who leaves a score and comes back reaches it again.
        board.add("mia", 6.0).await.unwrap();
        let standing = board.add("mia", 5.0).await.unwrap();
        let again = [Some(3), Some(2), Some(4)][EACH.iter().position(|it| *it == ties).unwrap()];
        assert_eq!(standing.rank, again, "{ties:?}");
    }
}

#[tokio::test]
async fn a_score_of_any_size_keeps_the_order_in_which_it_was_reached() {
    let stage = stage().await;
    let board = board(&stage.russet, Ties::FirstToReach);
    for score in [LARGEST, -LARGEST, 0.1, 1e-300] {
        for member in ["b", "c", "a"] {
            board.add(member, score).await.unwrap();
        }
        let expected = [line(1, "b", score), line(2, "c", score), line(3, "a", score)];
        assert_eq!(board.top(3).await.unwrap(), expected);
    }
    let strange = strange_names();
    board.add_many(strange.iter().map(|name| (name, 7.0))).await.unwrap();
    let listed: Vec<_> =
        board.top(1_000).await.unwrap().into_iter().filter(|it| it.score == 7.0).collect();
    assert_eq!(
        listed.iter().map(|line| &line.member).collect::<Vec<_>>(),
        strange.iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn places_end_with_their_members() {
    let stage = stage().await;
    let board = Leaderboard::builder(&stage.russet, "game").ties(Ties::FirstToReach);
    let board = board.max_size(3).build().unwrap();
    let members: Vec<_> = (0..10).map(|i| (format!("p{i}"), f64::from(i))).collect();
    board.add_many(members).await.unwrap();
    let places = stage.key("leaderboard:game", "places");
    // One for each member, and the number of the place that was given last.
    let count = async || stage.server.command(&["HLEN", &places]).await.unwrap().int();
    assert_eq!(count().await, Some(4));
    board.increment("p1", 0.5).await.unwrap();
    assert_eq!(count().await, Some(4), "it fell off the end in the same step");
    board.add("p9", 20.0).await.unwrap();
    assert_eq!(count().await, Some(4));
    assert!(board.remove("p7").await.unwrap());
    assert_eq!(count().await, Some(3));
    assert_eq!(board.trim(0).await.unwrap(), 2);
    assert!(stage.keys().await.is_empty(), "an empty board is no key");
    board.add("p1", 1.0).await.unwrap();
    assert!(board.remove("p1").await.unwrap());
    assert!(stage.keys().await.is_empty());
}

#[tokio::test]
async fn a_large_board_of_places_is_cut_by_a_thousand_at_a_time() {
    let stage = stage().await;
    let large = board(&stage.russet, Ties::FirstToReach);
    for thousand in 0..3 {
        let members = (0..1_000).map(|i| (format!("p{thousand}-{i}"), 1.0));
        assert_eq!(large.add_many(members).await.unwrap(), 1_000);
    }
    let small = Leaderboard::builder(&stage.russet, "FirstToReach").ties(Ties::FirstToReach);
    let small = small.max_size(10).build().unwrap();
    small.add("p0-0", 2.0).await.unwrap();
    assert_eq!(large.count().await.unwrap(), 2_000);
    let (removed, sent) = metered(large.trim(10)).await;
    assert_eq!(removed.unwrap(), 1_990);
    assert!(sent.round_trips <= 3, "two, and one in which the server learns the script");
    let expected = (0..10).map(|i| format!("p0-{i}")).collect::<Vec<_>>();
    let best: Vec<_> = large.top(99).await.unwrap().into_iter().map(|line| line.member).collect();
    assert_eq!(best, expected);
}

#[tokio::test]
async fn each_period_has_a_board_of_its_own_in_the_zone() {
    let stage = stage().await;
    // Of the past, so kept for long; in New York the day has 25 hours, and the week before it ends with Sunday.
    let cases = [
        (Period::Day, "20261101", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        (Period::Week, "2026-W45", "2026-11-02T05:00:00Z", "2026-11-09T05:00:00Z"),
        (Period::Month, "202611", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        (Period::Day, "20280229", "2028-02-29T05:00:00Z", "2028-03-01T05:00:00Z"),
        (Period::Week, "2026-W53", "2026-12-28T05:00:00Z", "2027-01-04T05:00:00Z"),
    ];
    let keep = 36_500 * DAY;
    for (period, label, start, end) in cases {
        for ties in EACH {
            let board = Leaderboard::builder(&stage.russet, label).ties(ties).period(period);
            let board = board.time_zone("America/New_York").keep(keep).build().unwrap();
            let (start, end) = (at(start), at(end));
            let before_end = end - Duration::from_millis(1);
            board.at(start).unwrap().increment("me", 1.0).await.unwrap();
            board.at(before_end).unwrap().increment_many([("me", 2.0)]).await.unwrap();
            board.at(start - Duration::from_millis(1)).unwrap().add("me", 10.0).await.unwrap();
            board.at(end).unwrap().add_many([("me", 20.0)]).await.unwrap();
            assert_eq!(board.at(start).unwrap().score("me").await.unwrap(), Some(3.0));
            assert_eq!(board.at(before_end).unwrap().top(9).await.unwrap(), [line(1, "me", 3.0)]);

            let parts: &[&str] = match ties {
                Ties::FirstToReach => &["reached", "places"],
                _ => &["scores"],
            };
            for part in parts {
                let key = stage.key(&format!("leaderboard:{label}"), &format!("{part}:{label}"));
                let expires = stage.server.command(&["PEXPIRETIME", &key]).await.unwrap().int();
                let until = Timestamp::try_from(end + keep).unwrap().as_millisecond();
                assert_eq!(expires, Some(until), "{key}");
            }
            let all = [start, end, start - DAY];
            for time in all {
                board.at(time).unwrap().trim(0).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_current_board_is_that_of_the_moment_and_ends() {
    let stage = stage().await;
    for ties in EACH {
        for period in [Period::Day, Period::Week, Period::Month] {
            let board = Leaderboard::builder(&stage.russet, &format!("{ties:?} {period:?}"));
            let board = board.ties(ties).period(period).max_size(2).build().unwrap();
            let before = SystemTime::now();
            board.add_many([("a", 1.0), ("b", 2.0), ("c", 3.0)]).await.unwrap();
            let after = SystemTime::now();
            // One of them, when the period ends just then.
            let mut counts = Vec::new();
            for time in [before, after] {
                counts.push(board.at(time).unwrap().count().await.unwrap());
            }
            assert!(counts.contains(&2), "{counts:?}");
        }
    }
    let keys = stage.keys().await;
    assert_eq!(keys.len(), 12);
    let lasting: Vec<_> = keys.iter().filter(|it| it.expires_ms.is_none()).collect();
    assert!(lasting.is_empty(), "{lasting:?}");
}

#[tokio::test]
async fn a_board_that_has_ended_reads_as_empty_and_takes_nothing() {
    let stage = stage().await;
    for ties in EACH {
        let board = Leaderboard::builder(&stage.russet, "game").ties(ties).period(Period::Day);
        let board = board.keep(Duration::from_millis(1)).build().unwrap();
        let old = board.at(SystemTime::now() - 3 * DAY).unwrap();
        let refusals = [
            old.add("me", 1.0).await.map(drop),
            old.increment("me", 1.0).await.map(drop),
            old.add_many([("me", 1.0)]).await.map(drop),
            old.increment_many([("me", 1.0)]).await.map(drop),
        ];
        for refusal in refusals {
            let error = refusal.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert_eq!(error.to_string(), "leaderboard:game: the board of that time has ended");
        }
        assert_eq!(old.top(9).await.unwrap(), []);
        assert_eq!(old.around("me", 1).await.unwrap(), []);
        assert_eq!(old.standing("me").await.unwrap(), None);
        assert_eq!(old.count().await.unwrap(), 0);
    }
    assert!(stage.keys().await.is_empty());
}

#[tokio::test]
async fn a_board_of_a_period_is_gone_when_its_time_is_over() {
    let stage = stage().await;
    for ties in EACH {
        let name = format!("{ties:?}");
        let board = Leaderboard::builder(&stage.russet, &name).ties(ties).period(Period::Day);
        let midnight = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
        let midnight: SystemTime = midnight.start_of_day().unwrap().timestamp().into();
        // Kept until two seconds from now.
        let keep = midnight.elapsed().unwrap() + Duration::from_secs(2);
        let board = board.keep(keep).build().unwrap();
        let yesterday = board.at(midnight - DAY / 2).unwrap();
        yesterday.add("me", 1.0).await.unwrap();
        eventually(Duration::from_secs(60), async || match stage.keys().await {
            keys if keys.is_empty() => Ok(()),
            keys => Err(format!("{keys:?}")),
        })
        .await;
        assert_eq!(yesterday.count().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_refused_update_of_many_changes_nothing() {
    let stage = stage().await;
    for ties in EACH {
        let board = board(&stage.russet, ties);
        board.add_many([("top", LARGEST), ("low", -LARGEST)]).await.unwrap();
        let before = stage.keys().await;
        let mut refusals = Vec::new();
        for by in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            refusals.push(board.increment_many([("a", 1.0), ("b", by)]).await);
        }
        // 2^53 + 1 would be rounded to 2^53.
        refusals.push(board.increment_many([("a", 1.0), ("top", 1.0)]).await);
        refusals.push(board.increment_many([("a", 1.0), ("low", -1.0)]).await);
        refusals.push(board.increment_many([("a", LARGEST), ("a", LARGEST)]).await);
        refusals.push(board.increment_many((0..1_001).map(|i| (format!("p{i}"), 1.0))).await);
        for name in refused_names() {
            refusals.push(board.increment_many([("a".to_owned(), 1.0), (name, 1.0)]).await);
        }
        for (i, refusal) in refusals.into_iter().enumerate() {
            let kind = refusal.expect_err(&format!("refusal {i}")).kind();
            assert_eq!(kind, ErrorKind::Invalid, "refusal {i}");
        }
        assert_eq!(stage.keys().await, before, "{ties:?}");
        assert_eq!(board.increment_many([("top", -1.0), ("new", 1.0)]).await.unwrap(), 1);
        assert_eq!(board.score("top").await.unwrap(), Some(LARGEST - 1.0));
        let nothing: [(&str, f64); 0] = [];
        assert_eq!(board.increment_many(nothing).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn settings_of_a_period_are_refused_without_one_and_out_of_their_range() {
    let stage = stage().await;
    let builder = || Leaderboard::builder(&stage.russet, "game");
    let refused = |error: russet::Error| error.to_string();
    assert_eq!(
        refused(builder().time_zone("UTC").build().unwrap_err()),
        "time_zone needs a period"
    );
    assert_eq!(refused(builder().keep(DAY).build().unwrap_err()), "keep needs a period");
    let daily = || builder().period(Period::Day);
    let error = refused(daily().time_zone("Mars/Olympus").build().unwrap_err());
    assert!(error.starts_with("unknown time zone \"Mars/Olympus\""), "{error}");
    for wrong in [Duration::ZERO, Duration::from_micros(999), 36_526 * DAY, Duration::MAX] {
        let error = refused(daily().keep(wrong).build().unwrap_err());
        assert!(error.starts_with("a board must be kept for 1 ms to 100 years, not "), "{error}");
    }
    let endless = builder().build().unwrap();
    let error = refused(endless.at(SystemTime::now()).unwrap_err());
    assert_eq!(error, "leaderboard:game: this board has no periods");
    let daily = daily().build().unwrap();
    for wrong in ["1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"] {
        assert_eq!(daily.at(at(wrong)).unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
    }
    let fixed = daily.at(SystemTime::now()).unwrap();
    assert!(fixed.at(SystemTime::now()).is_err(), "it stays with its board");
}

#[tokio::test]
async fn each_call_under_each_rule_costs_what_its_docs_say() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let russet = connect(&server.url()).await;
    // Commands of add, increment, rank, top and around, the call of the script among them.
    let expected = [
        (Ties::RedisOrder, false, [4, 5, 1, 1, 3]),
        (Ties::Shared, false, [5, 6, 4, 3, 4]),
        (Ties::FirstToReach, false, [9, 9, 4, 2, 4]),
        (Ties::RedisOrder, true, [6, 7, 4, 3, 4]),
    ];
    let mut found = Vec::new();
    for (ties, has_period, _) in expected {
        let builder = Leaderboard::builder(&russet, &format!("{ties:?}")).ties(ties).max_size(50);
        let board = match has_period {
            true => builder.period(Period::Month).build().unwrap(),
            false => builder.build().unwrap(),
        };
        // The server knows the scripts after this.
        for round in 0..2 {
            let mut sent = Vec::new();
            macro_rules! counted {
                ($($call:expr),+ $(,)?) => {$(
                    let before = commands(&server).await;
                    let (done, cost) = metered($call).await;
                    done.unwrap();
                    assert!(round == 0 || cost.round_trips == 1, "{}", stringify!($call));
                    sent.push(commands(&server).await - before);
                )+};
            }
            board.add("me", 1.0).await.unwrap();
            counted! {
                board.add("me", 2.0),
                board.increment("me", 3.0),
                board.rank("me"),
                board.top(10),
                board.around("me", 3),
            }
            if round > 0 {
                found.push((ties, has_period, [sent[0], sent[1], sent[2], sent[3], sent[4]]));
            }
        }
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn handles_of_other_rules_share_a_board_or_see_none_of_it() {
    let stage = stage().await;
    let boards =
        EACH.map(|ties| Leaderboard::builder(&stage.russet, "game").ties(ties).build().unwrap());
    boards[0].add_many([("a", 1.0), ("b", 1.0)]).await.unwrap();
    assert_eq!(boards[1].rank("a").await.unwrap(), Some(1));
    assert_eq!(boards[2].count().await.unwrap(), 0);
    assert_eq!(server().await.url(), stage.server.url());
}
