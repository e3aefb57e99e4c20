//! Sliding windows: exact at the resolution of their buckets, at every moment.

#![cfg(feature = "window")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use russet::testing::eventually;
use russet::{ErrorKind, Russet, SlidingWindow, metered, raw};
use support::{Stage, commands, connect, needs_one_server, patient_stage, refused_names, stage};

const LONG: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

fn window(stage: &Stage) -> SlidingWindow {
    SlidingWindow::builder(&stage.russet, "requests").build().unwrap()
}

#[tokio::test]
async fn what_was_added_is_counted_until_the_window_has_passed() {
    let stage = patient_stage().await;
    let builder = SlidingWindow::builder(&stage.russet, "requests");
    let bucket = Duration::from_millis(100);
    let requests = builder.window(Duration::from_secs(2)).bucket(bucket).build().unwrap();
    assert_eq!(requests.count().await.unwrap(), 0);
    assert!(requests.add(2).await.unwrap() >= 2);
    assert!(requests.add(3).await.unwrap() >= 3);
    eventually(LONG, async || match requests.count().await.unwrap() {
        0 => Ok(()),
        left => Err(format!("{left}")),
    })
    .await;
    // The key has ended by itself, and the next addition begins anew.
    eventually(LONG, async || match stage.keys().await {
        keys if keys.is_empty() => Ok(()),
        keys => Err(format!("{keys:?}")),
    })
    .await;
    assert_eq!(requests.add(1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_rate_is_the_count_for_each_second_of_the_window() {
    let stage = stage().await;
    let hour = SlidingWindow::builder(&stage.russet, "hour").window(60 * MINUTE);
    let hour = hour.bucket(MINUTE).build().unwrap();
    hour.add(7_200).await.unwrap();
    assert_eq!(hour.rate().await.unwrap(), 2.0);
}

#[tokio::test]
async fn each_call_is_one_round_trip_and_at_most_five_commands() {
    if needs_one_server() {
        return;
    }
    // Of its own: the commands of no other test are counted.
    let server = support::Ground::start().await.unwrap();
    let russet = connect(&server.url()).await;
    let requests = SlidingWindow::builder(&russet, "requests").build().unwrap();
    let other = SlidingWindow::builder(&russet, "others").build().unwrap();
    other.add(1).await.unwrap();
    other.count().await.unwrap();
    for first_of_its_bucket in [true, false] {
        let before = commands(&server).await;
        let (total, sent) = metered(requests.add(1)).await;
        let used = commands(&server).await - before;
        assert!(total.unwrap() >= 1);
        println!("an addition, first {first_of_its_bucket}: {used} commands");
        assert!(sent.round_trips == 1 && used <= 5, "{sent:?}, {used} commands");
    }
    let before = commands(&server).await;
    let (_, sent) = metered(requests.count()).await;
    let used = commands(&server).await - before;
    println!("a count: {used} commands");
    assert!(sent.round_trips == 1 && used <= 4, "{sent:?}, {used} commands");
}

#[tokio::test]
async fn what_is_refused_writes_nothing() {
    let stage = stage().await;
    let requests = window(&stage);
    requests.add((1 << 53) - 1).await.unwrap();
    let before = stage.keys().await;
    for amount in [0, 2, (1 << 53) + 1, u64::MAX] {
        let error = requests.add(amount).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(stage.keys().await, before);
    assert_eq!(requests.add(1).await.unwrap(), 1 << 53);
    for name in refused_names() {
        assert!(SlidingWindow::builder(&stage.russet, &name).build().is_err());
    }
    let ms = Duration::from_millis;
    for (long, bucket) in [
        (Duration::ZERO, ms(1)),
        (MINUTE, Duration::ZERO),
        (MINUTE, ms(7_000)),
        (MINUTE, 2 * MINUTE),
        (MINUTE, ms(59)),
        (ms(2_000), ms(1)),
        (Duration::from_micros(1_500), Duration::from_micros(500)),
        (367 * 1_440 * MINUTE, 367 * 1_440 * MINUTE),
    ] {
        let builder = SlidingWindow::builder(&stage.russet, "x").window(long).bucket(bucket);
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{long:?} {bucket:?}: {error}");
    }
    let most = SlidingWindow::builder(&stage.russet, "x").window(MINUTE).bucket(ms(60)).build();
    most.unwrap().add(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn additions_of_many_callers_are_all_counted() {
    let stage = patient_stage().await;
    let requests = SlidingWindow::builder(&stage.russet, "requests").window(60 * MINUTE);
    let requests = requests.build().unwrap();
    let adding = (0..1_000).map(|_| requests.add(2));
    let totals: Vec<u64> = futures_util::future::try_join_all(adding).await.unwrap();
    assert_eq!(totals.iter().max(), Some(&2_000));
    assert_eq!(requests.count().await.unwrap(), 2_000);
}

/// The scripts with the server's clock in the test's hand: the time is a key.
fn with_a_clock(script: &str) -> String {
    let clock = "#!lua\nlocal function now_ms() return tonumber(redis.call('GET', KEYS[2])) end\n";
    [clock, include_str!("../lua/lib/window.lua"), script].concat()
}

async fn at(russet: &Russet, key: &str, script: &str, now: u64, args: &[u64]) -> i64 {
    let clock = key.replace("}:", "}:clock:");
    raw::command(russet, &["SET", &clock, &now.to_string(), "EX", "600"]).await.unwrap();
    let args: Vec<_> = args.iter().map(u64::to_string).collect();
    let mut words = vec!["EVAL", script, "2", key, &clock];
    words.extend(args.iter().map(String::as_str));
    int(raw::command(russet, &words).await.unwrap())
}

fn int(value: raw::Value) -> i64 {
    value.into_text().unwrap().parse().unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time goes by, in ms.
    Wait(u64),
    Add(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0_u64..300).prop_map(Step::Wait),
        1 => (0_u64..5_000).prop_map(Step::Wait),
        4 => (1_u64..100).prop_map(Step::Add),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// `RUSSET_WINDOW_CASES` makes it longer.
    #[test]
    fn a_window_is_exact_at_its_resolution_over_random_times(
        steps in steps(),
        bucket in 1_u64..400,
        buckets in 1_u64..12,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let url = shared_url();
            let russet = connect(&url).await;
            let key = format!("{}:{{window:model}}:buckets", russet.namespace());
            let (add, count) = (
                with_a_clock(include_str!("../lua/window/add.lua")),
                with_a_clock(include_str!("../lua/window/count.lua")),
            );
            // In the year 2090, so that no TTL of this clock ends while the test runs.
            let mut now = 3_786_912_000_000_u64;
            let mut model: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                let total = match step {
                    Step::Wait(ms) => {
                        now += ms;
                        at(&russet, &key, &count, now, &[bucket, buckets]).await
                    }
                    Step::Add(amount) => {
                        model.push((now / bucket, amount));
                        let total = at(&russet, &key, &add, now, &[amount, bucket, buckets]).await;
                        let ttl = int(raw::command(&russet, &["PTTL", &key]).await.unwrap());
                        prop_assert!(ttl > 0, "no TTL");
                        total
                    }
                };
                let within = |(number, _): &&(u64, u64)| *number + buckets > now / bucket;
                let expected: u64 = model.iter().filter(within).map(|(_, amount)| amount).sum();
                prop_assert_eq!(total as u64, expected);
            }
            russet.close().await;
            Ok(())
        })?;
    }
}

fn cases() -> u32 {
    std::env::var("RUSSET_WINDOW_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
}

/// A server that outlives the runtimes of the cases.
fn shared_url() -> String {
    use std::sync::OnceLock;
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let _ = tell.send(support::server().await.url());
                std::future::pending::<()>().await;
            });
        });
        told.recv().unwrap()
    })
    .clone()
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_loses_nor_keeps_for_ever() {
    let stage = patient_stage().await;
    let key = format!("{}:{{window:back}}:buckets", stage.russet.namespace());
    let add = with_a_clock(include_str!("../lua/window/add.lua"));
    let add = async |now: u64| at(&stage.russet, &key, &add, now, &[1, 1_000, 10]).await;
    let now = 3_786_912_000_000_u64;
    assert_eq!(add(now).await, 1);
    // By less than the window: the newest bucket goes on.
    assert_eq!(add(now - 3_000).await, 2);
    assert_eq!(add(now + 9_000).await, 3);
    assert_eq!(add(now + 10_000).await, 2);
    // By more: what was counted then is of no time that can be told.
    assert_eq!(add(now - 3_600_000).await, 1);
    assert_eq!(add(now - 3_600_000 + 9_999).await, 2);
}
