//! Cases of counters, windows, limiters and leaderboards.

use std::time::Duration;

use russet::{
    Counters, Leaderboard, Limit, RateLimiter, Russet, SlidingWindow, raw, testing::TestServer,
};

use super::case::{Case, Took, Work};
use crate::Failure;

/// Names that are counted, and members whose scores change.
const NAMES: u64 = 1_000;
const MEMBERS: u64 = 1_000_000;

pub async fn cases(server: &TestServer) -> Result<Vec<Case>, Failure> {
    let russet = Russet::connect(&server.url()).await?;
    let mut cases = vec![counter_add(&russet)?, window_add(&russet)?, window_count(&russet)?];
    cases.extend([limiter_check(&russet)?, board_update(&russet).await?]);
    cases.push(board_around(server, &russet).await?);
    Ok(cases)
}

fn counter_add(russet: &Russet) -> Result<Case, Failure> {
    let counters = Counters::builder(russet, "bench").build()?;
    let ours = Work::new(move |number| {
        let counters = counters.clone();
        async move {
            counters.add(&format!("page {}", number % NAMES), 1).await?;
            Ok(Took::AllOfIt)
        }
    });
    let russet = russet.clone();
    let floor = Work::new(move |number| {
        let russet = russet.clone();
        async move {
            let name = format!("page {}", number % NAMES).into_bytes();
            let buckets = ["total", "minute", "hour", "day", "month"];
            let adds: Vec<_> = buckets
                .iter()
                .map(|bucket| {
                    vec![
                        b"ZINCRBY".to_vec(),
                        format!("floor:{bucket}").into_bytes(),
                        b"1".to_vec(),
                        name.clone(),
                    ]
                })
                .collect();
            raw::pipeline(&russet, &adds).await?;
            Ok(Took::AllOfIt)
        }
    });
    Ok(Case::new("stats", "counter_add", ours).floor("5 ZINCRBY in a pipeline", floor))
}

fn window_add(russet: &Russet) -> Result<Case, Failure> {
    let window = SlidingWindow::builder(russet, "bench").build()?;
    let ours = Work::new(move |_| {
        let window = window.clone();
        async move {
            window.add(1).await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor =
        command(russet, |_| ["HINCRBY", "floor:window", "7", "1"].map(str::to_owned).into());
    Ok(Case::new("stats", "window_add", ours).floor("HINCRBY", floor))
}

fn window_count(russet: &Russet) -> Result<Case, Failure> {
    let window = SlidingWindow::builder(russet, "bench").build()?;
    let ours = Work::new(move |_| {
        let window = window.clone();
        async move {
            window.count().await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor = command(russet, |_| ["HGET", "floor:window", "7"].map(str::to_owned).into());
    Ok(Case::new("stats", "window_count", ours).floor("HGET", floor))
}

fn limiter_check(russet: &Russet) -> Result<Case, Failure> {
    // Nearly all are allowed: a denied one would write nothing.
    let limit = Limit::gcra(1_000_000, Duration::from_secs(1));
    let limiter = RateLimiter::builder(russet, "bench").limit(limit).build()?;
    let ours = Work::new(move |number| {
        let limiter = limiter.clone();
        async move {
            let _ = limiter.check(&member(number % NAMES)).await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor = command(russet, |number| {
        let key = ["floor:limit:", &(number % NAMES).to_string()].concat();
        vec!["SET".into(), key, number.to_string(), "PX".into(), "1000".into()]
    });
    Ok(Case::new("stats", "limiter_check", ours).floor("SET with a TTL", floor))
}

/// A command of the server's own, for each operation.
fn command(russet: &Russet, words: fn(u64) -> Vec<String>) -> Work {
    let russet = russet.clone();
    Work::new(move |number| {
        let russet = russet.clone();
        async move {
            raw::command(&russet, &words(number)).await?;
            Ok(Took::AllOfIt)
        }
    })
}

async fn board_update(russet: &Russet) -> Result<Case, Failure> {
    let board = Leaderboard::builder(russet, "bench").max_size(NAMES).build()?;
    fill(&board, NAMES).await?;
    let ours = Work::new(move |number| {
        let board = board.clone();
        async move {
            board.add(&member(number % NAMES), score(number)).await?;
            Ok(Took::AllOfIt)
        }
    });
    let russet = russet.clone();
    let floor = Work::new(move |number| {
        let russet = russet.clone();
        async move {
            let member = member(number % NAMES).into_bytes();
            let key = b"floor:board".to_vec();
            let add = vec![
                b"ZADD".to_vec(),
                key.clone(),
                score(number).to_string().into_bytes(),
                member.clone(),
            ];
            let trim =
                vec![b"ZREMRANGEBYRANK".to_vec(), key.clone(), b"0".to_vec(), b"-1001".to_vec()];
            let rank = vec![b"ZREVRANK".to_vec(), key, member];
            raw::pipeline(&russet, &[add, trim, rank]).await?;
            Ok(Took::AllOfIt)
        }
    });
    Ok(Case::new("stats", "board_update", ours)
        .floor("ZADD, ZREMRANGEBYRANK, ZREVRANK in a pipeline", floor))
}

async fn board_around(server: &TestServer, russet: &Russet) -> Result<Case, Failure> {
    let before = used_memory(server).await?;
    let board = Leaderboard::builder(russet, "large").build()?;
    fill(&board, MEMBERS).await?;
    let bytes = (used_memory(server).await? - before) / MEMBERS as f64;
    let ours = Work::new(move |number| {
        let board = board.clone();
        async move {
            board.around(&member(scattered(number)), 5).await?;
            Ok(Took::AllOfIt)
        }
    });
    let russet = russet.clone();
    let keys = server.command(&["KEYS", "*large*"]).await?;
    let key =
        keys.texts().first().map(|key| (*key).to_owned()).ok_or("the large board is not there")?;
    let floor = Work::new(move |number| {
        let (russet, key) = (russet.clone(), key.clone().into_bytes());
        async move {
            let member = member(scattered(number)).into_bytes();
            let rank = vec![b"ZREVRANK".to_vec(), key.clone(), member];
            let start = scattered(number).to_string().into_bytes();
            let end = (scattered(number) + 10).to_string().into_bytes();
            let range = vec![b"ZREVRANGE".to_vec(), key, start, end, b"WITHSCORES".to_vec()];
            raw::pipeline(&russet, &[rank, range]).await?;
            Ok(Took::AllOfIt)
        }
    });
    let case = Case::new("stats", "board_around_1000000", ours);
    Ok(case.floor("ZREVRANK, ZREVRANGE of 11 in a pipeline", floor).bytes_per_item(bytes))
}

async fn fill(board: &Leaderboard, members: u64) -> Result<(), Failure> {
    for start in (0..members).step_by(1_000) {
        let batch = (start..(start + 1_000).min(members)).map(|id| (member(id), score(id)));
        board.add_many(batch).await?;
    }
    Ok(())
}

fn member(id: u64) -> String {
    format!("player {id}")
}

/// Spread over the board, and the same in every run.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % MEMBERS
}

fn score(number: u64) -> f64 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64
}

async fn used_memory(server: &TestServer) -> Result<f64, Failure> {
    let reply = server.command(&["INFO", "memory"]).await?;
    let field = |line: &str| {
        line.strip_prefix("used_memory:").and_then(|bytes| bytes.trim().parse::<f64>().ok())
    };
    Ok(reply
        .text()
        .unwrap_or_default()
        .lines()
        .find_map(field)
        .ok_or("the server tells no used_memory")?)
}
