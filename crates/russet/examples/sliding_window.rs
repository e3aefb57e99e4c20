//! The tutorial's `SlidingWindowCounter`: a count that never ends and one that vanishes, and what is exact here.
//!
//! `cargo run --example sliding_window --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's script, with the times that its callers give: in a window of one bucket nothing is ever reset, and a
//! caller whose clock is behind takes the counts of others out of the window. Then the same with russet, by the server's
//! clock.

mod support;

use std::time::{Duration, Instant};

use russet::{Russet, SlidingWindow, metered, raw};
use support::{Outcome, connect, server};

/// `increment`, word by word.
const INCREMENT: &str = "
local current_time, bucket_size, value = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last_update = redis.call('get', KEYS[2])
if last_update then
  if current_time - tonumber(last_update) >= bucket_size then redis.call('set', KEYS[1], value)
  else redis.call('incrby', KEYS[1], value) end
else redis.call('set', KEYS[1], value) end
redis.call('set', KEYS[2], current_time)
redis.call('expire', KEYS[1], ARGV[4])
redis.call('expire', KEYS[2], ARGV[4])
return redis.call('get', KEYS[1])";

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;
    with_russet(&russet).await?;
    println!("shown: a window holds what came within it, at every moment, in one round trip");
    Ok(())
}

struct Textbook<'a> {
    russet: &'a Russet,
    name: String,
    window: u64,
    bucket: u64,
}

impl Textbook<'_> {
    fn keys(&self, index: u64) -> (String, String) {
        let key = format!("{}-sliding-{}-{index}", self.russet.namespace(), self.name);
        (key.clone(), key + "-ts")
    }

    async fn increment(&self, now: u64) -> Outcome {
        let (key, ts) = self.keys(now / self.bucket % (self.window / self.bucket));
        let numbers = [now, self.bucket, 1, self.window * 2].map(|number| number.to_string());
        let mut words = vec!["EVAL", INCREMENT, "2", &key, &ts];
        words.extend(numbers.iter().map(String::as_str));
        raw::command(self.russet, &words).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Outcome<Option<u64>> {
        let value = raw::command(self.russet, &["GET", key]).await?;
        Ok(value.into_text().and_then(|text| text.parse().ok()))
    }

    async fn count(&self, now: u64) -> Outcome<u64> {
        let mut total = 0;
        for index in 0..self.window / self.bucket {
            let (key, ts) = self.keys(index);
            if let Some(last) = self.get(&ts).await?
                && now.saturating_sub(last) < self.window
            {
                total += self.get(&key).await?.unwrap_or(0);
            }
        }
        Ok(total)
    }
}

async fn textbook(russet: &Russet) -> Outcome {
    let minute = Textbook { russet, name: "minute".into(), window: 60, bucket: 60 };
    for second in 0..600 {
        minute.increment(1_000 + second).await?;
    }
    let count = minute.count(1_600).await?;
    println!("textbook: one request a second for ten minutes, of the last minute: {count}");
    assert_eq!(count, 600);

    let fine = Textbook { russet, name: "fine".into(), window: 60, bucket: 1 };
    for _ in 0..100 {
        fine.increment(6_000).await?;
    }
    let before = fine.count(6_001).await?;
    // A caller whose clock is a minute behind, once.
    fine.increment(5_940).await?;
    let (after, sent) = metered(fine.count(6_001)).await;
    let after = after?;
    println!("textbook: {before} requests, {after} after one call with a clock that is behind");
    println!("textbook: a count takes {} round trips", sent.round_trips);
    assert_eq!((before, after), (100, 0));
    Ok(())
}

async fn with_russet(russet: &Russet) -> Outcome {
    let second = Duration::from_secs(1);
    let requests = SlidingWindow::builder(russet, "api_requests").window(second).build();
    assert!(requests.is_err(), "a sixtieth of a second is no whole number of milliseconds");
    let builder = SlidingWindow::builder(russet, "api_requests").window(second);
    let requests = builder.bucket(second / 10).build()?;

    let began = Instant::now();
    let mut most = 0;
    let mut added = 0;
    while began.elapsed() < 2 * second {
        most = most.max(requests.add(1).await?);
        added += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("russet: {added} requests in two seconds, at most {most} in one");
    assert!(most < added);
    requests.count().await?; // the server knows the script
    let (count, sent) = metered(requests.count()).await;
    println!(
        "russet: {} now, {:.1}/s, {} round trip",
        count?,
        requests.rate().await?,
        sent.round_trips
    );
    assert_eq!(sent.round_trips, 1);

    tokio::time::sleep(second).await;
    assert_eq!(requests.count().await?, 0);
    println!("russet: none a second later");
    Ok(())
}
