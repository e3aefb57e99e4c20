//! The tutorial's `RealTimeLeaderboard`: players by score, the best first, not more than a maximum.
//!
//! `cargo run --example real_time_leaderboard --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, each step a command of its own, with what can happen between two of them; and what it
//! does with scores and numbers that are none. Then the same with russet.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use russet::{ErrorKind, Leaderboard, Period, Russet, Ties, metered, raw};
use support::{Outcome, server};

/// How many players a board keeps.
const MAX_SIZE: usize = 3;

/// How often something is tried while others change the board.
const TRIES: usize = 500;

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = Russet::connect(&url).await?;
    let name = format!("example-{}", std::process::id());

    println!("The textbook's way");
    let board = Textbook { russet: russet.clone(), key: format!("leaderboard:{name}") };
    let (textbook_trips, sent) = metered(board.update("player1", 1_000.0)).await;
    textbook_trips?;
    let textbook_trips = sent.round_trips;
    println!("  an update and its rank cost {textbook_trips} round trips");
    assert_eq!(textbook_trips, 3);
    board.between_two_steps().await?;
    board.what_falls_off().await?;
    board.what_is_no_number().await?;
    raw::command(&russet, &["DEL", &board.key]).await?;

    println!("With russet");
    let board = Leaderboard::builder(&russet, &name).max_size(MAX_SIZE as u64).build()?;
    board.add("player1", 1_000.0).await?; // the server knows the script from here on
    let (standing, sent) = metered(board.add("player1", 1_000.0)).await;
    assert_eq!((standing?.rank, sent.round_trips), (Some(1), 1));
    println!("  an update and its rank cost {} round trip", sent.round_trips);
    while_others_play(&board).await?;
    told_what_falls_off(&board).await?;
    refuses_what_is_no_number(&russet, &board).await?;
    board.trim(0).await?;
    by_who_came_first_and_by_the_week(&russet, &name).await?;
    russet.close().await;
    println!(
        "shown: {textbook_trips} round trips became {}, every reader sees one moment, and a lost score is told",
        sent.round_trips
    );
    Ok(())
}

/// The textbook's board: a zset, and a command for each step.
struct Textbook {
    russet: Russet,
    key: String,
}

impl Textbook {
    async fn update(&self, member: &str, score: f64) -> Outcome {
        self.set(member, score).await?;
        self.trim(MAX_SIZE as i64).await?;
        self.run(&["ZREVRANK", &self.key, member]).await?;
        Ok(())
    }

    /// `increment_score`: it returns what ZINCRBY said, whatever the trim did afterwards.
    async fn increment(&self, member: &str, by: &str) -> Outcome<Option<String>> {
        let score = self.run(&["ZINCRBY", &self.key, by, member]).await?.into_text();
        self.trim(MAX_SIZE as i64).await?;
        Ok(score)
    }

    async fn between_two_steps(&self) -> Outcome {
        for (member, score) in [("player2", 900.0), ("player3", 800.0)] {
            self.update(member, score).await?;
        }
        self.set("player4", 700.0).await?;
        let seen = self.top(10).await?.len();
        self.trim(MAX_SIZE as i64).await?;
        println!("  between ZADD and the trim a reader sees {seen} players of {MAX_SIZE} at most");
        assert_eq!(seen, MAX_SIZE + 1);

        // get_around("player1", 1), and the others win between its two commands.
        let rank = self.run(&["ZREVRANK", &self.key, "player1"]).await?;
        assert_eq!(rank, raw::Value::Int(0));
        for member in ["player2", "player3"] {
            self.update(member, 5_000.0).await?;
        }
        let around = self.range(0, 1).await?;
        println!("  the neighbours of player1, who was overtaken meanwhile: {around:?}");
        assert!(!around.iter().any(|member| member == "player1"));
        Ok(())
    }

    async fn what_falls_off(&self) -> Outcome {
        let answers =
            [self.increment("newcomer", "600").await?, self.increment("newcomer", "600").await?];
        println!("  a newcomer who twice earns 600 points is told {answers:?},");
        let kept = self.run(&["ZSCORE", &self.key, "newcomer"]).await?;
        println!("  and the board has {kept:?}: the points are lost, and nobody is told");
        assert!(answers.iter().all(|score| score.as_deref() == Some("600")));
        assert_eq!(kept, raw::Value::Nil);
        Ok(())
    }

    async fn what_is_no_number(&self) -> Outcome {
        let listed = self.top(0).await?.len();
        println!("  get_top(0) lists {listed} players: all of them");
        assert_eq!(listed, MAX_SIZE);

        self.increment("cheat", "inf").await?;
        self.increment("cheat", "-5000").await?;
        let best = self.top(1).await?;
        println!("  a player who once got \"inf\" points is first for ever: {best:?}");
        assert_eq!(best, ["cheat"]);

        self.set("counted", 9_007_199_254_740_992.0).await?;
        let score = self.increment("counted", "1").await?;
        println!("  a point that is added to 2^53 is dropped: {score:?}");
        assert_eq!(score.as_deref(), Some("9007199254740992"));

        self.trim(0).await?;
        let left = self.top(10).await?.len();
        println!("  a board with max_size=0 has {left} players after an update");
        assert_eq!(left, 0);
        Ok(())
    }

    async fn set(&self, member: &str, score: f64) -> Outcome {
        self.run(&["ZADD", &self.key, &score.to_string(), member]).await?;
        Ok(())
    }

    async fn trim(&self, size: i64) -> Outcome {
        self.run(&["ZREMRANGEBYRANK", &self.key, "0", &(-(size + 1)).to_string()]).await?;
        Ok(())
    }

    async fn top(&self, count: i64) -> Outcome<Vec<String>> {
        self.range(0, count - 1).await
    }

    async fn range(&self, start: i64, end: i64) -> Outcome<Vec<String>> {
        let (start, end) = (start.to_string(), end.to_string());
        let raw::Value::List(members) = self.run(&["ZREVRANGE", &self.key, &start, &end]).await?
        else {
            return Err("ZREVRANGE answers a list".into());
        };
        Ok(members.into_iter().filter_map(raw::Value::into_text).collect())
    }

    async fn run(&self, words: &[&str]) -> Outcome<raw::Value> {
        Ok(raw::command(&self.russet, words).await?)
    }
}

/// Reads the board again and again while others update it.
async fn while_others_play(board: &Leaderboard) -> Outcome {
    let over = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn({
        let (board, over) = (board.clone(), over.clone());
        async move {
            let mut changes = 0_u32;
            while !over.load(Ordering::SeqCst) {
                // Two of the three at most are ahead of player1 at any moment: it keeps its place on the board.
                let member = ["player2", "player3", "player4"][changes as usize % 3];
                board.add(member, f64::from(changes % 2) * 2_000.0).await?;
                board.add("player1", 1_000.0).await?;
                changes += 1;
            }
            Ok::<_, russet::Error>(changes)
        }
    });
    let mut most = 0;
    for _ in 0..TRIES {
        most = most.max(board.top(10).await?.len());
        let around = board.around("player1", 1).await?;
        assert!(around.iter().any(|line| line.member == "player1"), "{around:?}");
        assert!(around.windows(2).all(|pair| pair[0].rank + 1 == pair[1].rank), "{around:?}");
    }
    over.store(true, Ordering::SeqCst);
    let changes = others.await??;
    println!("  during {changes} rounds of updates a reader saw {most} players at most,");
    println!("  and {TRIES} times the neighbours of player1 with player1 among them");
    assert!(most <= MAX_SIZE && changes > 0);
    Ok(())
}

async fn told_what_falls_off(board: &Leaderboard) -> Outcome {
    board.trim(0).await?;
    board.add_many([("player1", 1_000.0), ("player2", 900.0), ("player3", 800.0)]).await?;
    let standing = board.increment("newcomer", 600.0).await?;
    println!("  a newcomer who earns 600 points is told {standing:?}: off the board");
    assert_eq!((standing.score, standing.rank), (600.0, None));
    let standing = board.increment("newcomer", 850.0).await?;
    println!("  and who earns enough at once: {standing:?}");
    assert_eq!((standing.score, standing.rank), (850.0, Some(3)));
    Ok(())
}

async fn refuses_what_is_no_number(russet: &Russet, board: &Leaderboard) -> Outcome {
    let refused = |error: Option<russet::Error>| error.map(|error| error.kind());
    let answers = [
        refused(board.top(0).await.err()),
        refused(board.increment("cheat", f64::INFINITY).await.err()),
        refused(Leaderboard::builder(russet, "empty").max_size(0).build().err()),
    ];
    assert_eq!(answers, [Some(ErrorKind::Invalid); 3]);
    board.add("counted", 9_007_199_254_740_992.0).await?;
    let inexact = board.increment("counted", 1.0).await.map_err(|error| error.to_string());
    println!(
        "  top(0), \"inf\" points and max_size(0) are refused, and so is what cannot be exact:"
    );
    println!("    {}", inexact.as_ref().err().ok_or("it was added")?);
    assert_eq!(board.score("counted").await?, Some(9_007_199_254_740_992.0));
    Ok(())
}

/// What the textbook's board cannot do: equals by who came first, and a board that begins anew each week.
async fn by_who_came_first_and_by_the_week(russet: &Russet, name: &str) -> Outcome {
    let builder = Leaderboard::builder(russet, name).ties(Ties::FirstToReach);
    let board = builder.period(Period::Week).time_zone("Asia/Shanghai").build()?;
    let next_week = board.at(SystemTime::now() + Duration::from_secs(8 * 24 * 3_600))?;
    for (player, points) in [("ada", 500.0), ("zoe", 300.0), ("zoe", 200.0)] {
        next_week.increment(player, points).await?;
    }
    let top = next_week.top(2).await?;
    println!("  next week's board has {} before {}, who has 500 too", top[0].member, top[1].member);
    assert_eq!((top[0].member.as_str(), top[1].rank), ("ada", 2));
    next_week.trim(0).await?;
    Ok(())
}
