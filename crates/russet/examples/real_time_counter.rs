//! The tutorial's `RealTimeCounter`: visits by minute, hour, day and month.
//!
//! `cargo run --example real_time_counter --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way: four times `INCRBY` and `EXPIRE`, one `GET` for each point of a series, `KEYS` for the
//! list of the hottest. (Its days and months cannot be read at all: `get_count` calls `_get_day_counts` and
//! `_get_month_counts`, which the class does not have.) Then the same with russet.

mod support;

use std::{process::Command, time::SystemTime};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use russet::{Counters, Granularity, Russet, Sent, metered, raw, testing::WorkerProcess};
use support::{Outcome, server};

/// What the textbook's key calls a bucket, how it names it, and after how many seconds it ends.
const BUCKETS: [(&str, &str, &str); 4] = [
    ("minute", "%Y%m%d%H%M", "3600"),
    ("hour", "%Y%m%d%H", "604800"),
    ("day", "%Y%m%d", "2592000"),
    ("month", "%Y%m", "31536000"),
];
const MINUTE: usize = 0;

/// How many processes are killed while they count with russet.
const KILLS: usize = 5;

#[tokio::main]
async fn main() -> Outcome {
    if let [_, role, name] = std::env::args().collect::<Vec<_>>().as_slice() {
        return be_killed_as(role, name).await;
    }
    let (_server, url) = server().await?;
    let russet = Russet::connect(&url).await?;
    let stage = Stage::new(&russet, &url)?;
    println!("The textbook's way");
    let (visit, series) = stage.the_textbooks_way().await?;
    println!("With russet");
    let (russet_visit, russet_series) = stage.with_russet().await?;
    russet.close().await;
    println!(
        "shown: {visit} round trips a visit became {russet_visit}, {series} a series became {russet_series}, and no kill \
         leaves half a visit"
    );
    Ok(())
}

/// The visits of both ways fall into one minute of the next hour, which stands still while we look at it.
struct Stage {
    russet: Russet,
    url: String,
    name: String,
    hour: Timestamp,
}

impl Stage {
    fn new(russet: &Russet, url: &str) -> Outcome<Self> {
        let next_hour = Timestamp::now().as_second() / 3_600 + 1;
        Ok(Self {
            russet: russet.clone(),
            url: url.to_owned(),
            name: format!("example-{}", std::process::id()),
            hour: Timestamp::from_second(next_hour * 3_600)?,
        })
    }

    /// So many seconds after the beginning of the hour.
    fn at(&self, seconds: i64) -> Timestamp {
        self.hour + SignedDuration::from_secs(seconds)
    }

    fn visited(&self) -> Timestamp {
        self.at(2 * 60 + 5)
    }

    async fn the_textbooks_way(&self) -> Outcome<(u64, u64)> {
        let (russet, visited) = (&self.russet, self.visited());
        let page = format!("{}-page_views", self.name);
        let trips = round_trips(async || textbook_visit(russet, &page, visited).await).await?;
        println!("  a visit costs {trips} round trips");
        assert_eq!(trips, 8);

        self.textbook_killed().await?;

        let minute = textbook_key(&page, MINUTE, visited);
        let expiry = number(russet, "PEXPIRETIME", &minute).await?;
        for _ in 0..100 {
            textbook_visit(russet, &page, visited).await?;
        }
        let pushed = number(russet, "PEXPIRETIME", &minute).await? - expiry;
        println!("  100 more visits in the same minute push the end of its bucket by {pushed} ms");
        assert!(pushed > 0);

        let counts = textbook_minutes(russet, &page, self.at(50), self.at(130)).await?;
        println!(
            "  104 visits at 2:05, asked for from 0:50 to 2:10: {counts:?}, without that minute"
        );
        assert_eq!(counts, [0, 0]);

        let (first, last) = (self.at(0), self.at(59 * 60));
        let series =
            round_trips(async || textbook_minutes(russet, &page, first, last).await).await?;
        println!("  the minutes of an hour cost {series} round trips");
        assert_eq!(series, 60);

        let top = textbook_top(russet, &format!("counter:{page}:*"), 5).await?;
        println!("  the five hottest pages are one page {} times: its buckets", top.len());
        assert!(top.len() == 4 && top.iter().all(|(_, count)| *count == 104));

        for bucket in 0..BUCKETS.len() {
            raw::command(russet, &["DEL", &textbook_key(&page, bucket, visited)]).await?;
        }
        Ok((trips, series))
    }

    /// A process that dies after three of the eight commands.
    async fn textbook_killed(&self) -> Outcome {
        let before = Timestamp::now();
        let name = format!("{}-killed", self.name);
        self.kill_while_counting("textbook", &name).await?;
        let mut left = Vec::new();
        for bucket in 0..BUCKETS.len() {
            let mut key = textbook_key(&name, bucket, before);
            if number(&self.russet, "EXISTS", &key).await? == 0 {
                // Never counted; or the minute has turned since we looked.
                key = textbook_key(&name, bucket, Timestamp::now());
            }
            let count = number(&self.russet, "GET", &key).await?;
            left.push((count, number(&self.russet, "TTL", &key).await?));
            raw::command(&self.russet, &["DEL", &key]).await?;
        }
        let counts: Vec<_> = left.iter().map(|(count, _)| *count).collect();
        let hour_ttl = left[1].1;
        println!(
            "  a process killed in the middle leaves {counts:?} by minute, hour, day and month,"
        );
        println!("  and an hour that was not given its EXPIRE: TTL {hour_ttl}, it stays for ever");
        assert_eq!((counts.as_slice(), hour_ttl), (&[1, 1, 0, 0][..], -1));
        Ok(())
    }

    async fn with_russet(&self) -> Outcome<(u64, u64)> {
        let (russet, visited) = (&self.russet, SystemTime::from(self.visited()));
        let visits = Counters::builder(russet, &self.name).build()?;
        let trips = round_trips(async || visits.add("page_views", 1).await).await?;
        println!("  a visit costs {trips} round trip");
        assert_eq!(trips, 1);

        self.russet_killed(&visits).await?;

        let label = self.visited().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%MZ").to_string();
        let minute = self.key(&format!("minute:{label}"));
        let an_hour_after_its_end = self.at(3 * 60 + 3_600).as_millisecond();
        for _ in 0..104 {
            visits.add_at("page_views", 1, visited).await?;
            assert_eq!(number(russet, "PEXPIRETIME", &minute).await?, an_hour_after_its_end);
        }
        println!("  104 visits in the same minute leave the end of its bucket where it was");

        let asked = SystemTime::from(self.at(50))..SystemTime::from(self.at(130));
        let points = visits.series("page_views", Granularity::Minute, asked).await?;
        let counts: Vec<_> = points.iter().map(|point| point.count).collect();
        println!("  104 visits at 2:05, asked for from 0:50 to 2:10: {counts:?}");
        assert_eq!(counts, [0, 0, 104]);

        let hour = SystemTime::from(self.at(0))..SystemTime::from(self.at(3_600));
        let series = async || visits.series("page_views", Granularity::Minute, hour.clone()).await;
        let series = round_trips(series).await?;
        println!("  the minutes of an hour cost {series} round trip");
        assert_eq!(series, 1);

        visits.add_at("news_views", 1, visited).await?;
        let top = visits.top_at(Granularity::Minute, visited, 5).await?;
        let top: Vec<_> = top.iter().map(|line| (line.name.as_str(), line.count)).collect();
        println!("  the five hottest pages of a minute: {top:?}");
        assert_eq!(top, [("page_views", 104), ("news_views", 1)]);

        // The buckets end by themselves; a total is the application's to end.
        raw::command(russet, &["DEL", &self.key("total")]).await?;
        Ok((trips, series))
    }

    /// Processes that die at whatever instruction they are.
    async fn russet_killed(&self, visits: &Counters) -> Outcome {
        let before = SystemTime::now();
        for _ in 0..KILLS {
            self.kill_while_counting("russet", &self.name).await?;
        }
        let total = visits.total("killed").await?;
        let mut counts = Vec::new();
        for granularity in Granularity::ALL {
            let points = visits.series("killed", granularity, before..).await?;
            counts.push(points.iter().map(|point| point.count).sum::<u64>());
        }
        println!(
            "  {KILLS} processes killed while they count leave {counts:?}, and {total} in all"
        );
        assert!(total > 0 && counts == [total; 4]);
        Ok(())
    }

    /// Starts this program once more, and kills it with SIGKILL when it counts.
    async fn kill_while_counting(&self, role: &str, name: &str) -> Outcome {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([role, name]).env("REDIS_URL", &self.url);
        let mut process = WorkerProcess::command(&command)?;
        process.line_starting("counting").await?;
        process.kill().await?;
        Ok(())
    }

    fn key(&self, part: &str) -> String {
        format!("{}:{{counters:{}}}:{part}", self.russet.namespace(), self.name)
    }
}

/// What the process that is going to be killed does.
async fn be_killed_as(role: &str, name: &str) -> Outcome {
    let russet = Russet::connect(&std::env::var("REDIS_URL")?).await?;
    if role == "textbook" {
        for command in textbook_commands(name, Timestamp::now()).take(3) {
            raw::command(&russet, &command).await?;
        }
        println!("counting");
        return std::future::pending().await;
    }
    let visits = Counters::builder(&russet, name).build()?;
    loop {
        if visits.add("killed", 1).await?.total % 50 == 0 {
            println!("counting");
        }
    }
}

fn textbook_key(name: &str, bucket: usize, at: Timestamp) -> String {
    let (bucket, format, _) = BUCKETS[bucket];
    format!("counter:{name}:{bucket}:{}", at.to_zoned(TimeZone::UTC).strftime(format))
}

/// The eight commands of a visit, each sent when the one before is answered.
fn textbook_commands(name: &str, at: Timestamp) -> impl Iterator<Item = [String; 3]> {
    (0..BUCKETS.len()).flat_map(move |bucket| {
        let (key, ttl) = (textbook_key(name, bucket, at), BUCKETS[bucket].2);
        [["INCRBY".into(), key.clone(), "1".into()], ["EXPIRE".into(), key, ttl.into()]]
    })
}

async fn textbook_visit(russet: &Russet, name: &str, at: Timestamp) -> Outcome {
    for command in textbook_commands(name, at) {
        raw::command(russet, &command).await?;
    }
    Ok(())
}

/// One GET a minute; the steps begin at `from` itself, and not at the start of its minute.
async fn textbook_minutes(
    russet: &Russet,
    name: &str,
    from: Timestamp,
    to: Timestamp,
) -> Outcome<Vec<i64>> {
    let (mut counts, mut current) = (Vec::new(), from);
    while current <= to {
        counts.push(number(russet, "GET", &textbook_key(name, MINUTE, current)).await?);
        current += SignedDuration::from_mins(1);
    }
    Ok(counts)
}

/// The keys with the largest values among all that match.
async fn textbook_top(russet: &Russet, pattern: &str, limit: usize) -> Outcome<Vec<(String, i64)>> {
    let mut values = Vec::new();
    if let raw::Value::List(keys) = raw::command(russet, &["KEYS", pattern]).await? {
        for key in keys.into_iter().filter_map(raw::Value::into_text) {
            values.push((key.clone(), number(russet, "GET", &key).await?));
        }
    }
    values.sort_by_key(|(_, value)| -value);
    values.truncate(limit);
    Ok(values)
}

/// The answer of a command on one key; 0 when there is nothing.
async fn number(russet: &Russet, command: &str, key: &str) -> Outcome<i64> {
    let text = raw::command(russet, &[command, key]).await?.into_text();
    Ok(text.map_or(Ok(0), |text| text.parse())?)
}

/// What a call costs: the least of four, since one that meets the turn of a minute is made once more.
async fn round_trips<T, E>(call: impl AsyncFn() -> Result<T, E>) -> Result<u64, E> {
    let mut least = u64::MAX;
    for _ in 0..4 {
        let (done, Sent { round_trips, .. }) = metered(call()).await;
        done?;
        least = least.min(round_trips);
    }
    Ok(least)
}
