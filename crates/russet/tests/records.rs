//! Records that an older version wrote are read: `records/version-<n>.jsonl` is what version n of the layout left behind,
//! command by command, and never changes. A new version of the layout adds a file.

#![cfg(all(feature = "cache", feature = "counters", feature = "leaderboard", feature = "queue"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use russet::testing::TestServer;
use russet::{
    BoxError, Cache, Counters, Leaderboard, Peek, Queue, RateLimit, Russet, Settled, Task,
};
use serde::{Deserialize, Serialize};

/// What each version of the layout wrote, the oldest first.
const VERSIONS: [&str; 1] = [include_str!("records/version-1.jsonl")];
/// The same of queues, which came later.
const QUEUES: [&str; 1] = [include_str!("records/queue-version-1.jsonl")];

#[tokio::test]
async fn what_older_versions_wrote_is_read_and_written_on() {
    for written in VERSIONS {
        let (_server, russet) = with(written).await;
        entries_of_a_cache(&russet).await;
        counts(&russet).await;
        scores(&russet).await;
    }
    for written in QUEUES {
        let (_server, russet) = with(written).await;
        tasks_of_a_queue(&russet).await;
    }
}

/// A server in which this was written.
async fn with(written: &str) -> (TestServer, Russet) {
    let server = TestServer::start().await.unwrap();
    for line in written.lines() {
        let words: Vec<String> = serde_json::from_str(line).unwrap();
        server.command(&words).await.unwrap();
    }
    let russet = Russet::connect(&server.url()).await.unwrap();
    (server, russet)
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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

impl Task for SendEmail {
    const NAME: &'static str = "send_email";
}

async fn tasks_of_a_queue(russet: &Russet) {
    let queue = Queue::builder(russet, "mail").build().unwrap();
    let mail = |to: &str| SendEmail { to: to.to_owned() };
    let id = |last: &str| ["0NslEhg0NlpiNhsZB8jO", last].concat().parse().unwrap();
    let minute = Duration::from_secs(60);

    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.ready, counts.scheduled, counts.dead, counts.kept), (3, 1, 1, 1));
    assert_eq!((counts.completed, counts.failed, counts.is_paused), (7, 3, false));
    assert_eq!(counts.rate_limit, Some(RateLimit::new(600, minute).burst(50)));
    let found = queue.inspect(id("F9")).await.unwrap().unwrap();
    assert_eq!((found.status.attempts, found.max_attempts, found.timeout), (1, 3, Some(minute)));
    assert_eq!(
        (found.unique.as_deref(), found.headers["trace"].as_str()),
        (Some("one key"), "00-ab")
    );
    assert_eq!(found.status.progress.as_deref(), Some(b"50".as_slice()));
    let errors = queue.dead(0, 9).await.unwrap().remove(0).errors;
    assert_eq!(
        errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(),
        ["the first", "the last"]
    );
    let done = queue.status(id("E0")).await.unwrap().unwrap();
    assert_eq!(done.result.as_deref(), Some(b"\"sent\"".as_slice()));
    assert_eq!(
        queue.peek(Peek::Scheduled, 0, 9).await.unwrap().tasks[0].task::<SendEmail>().unwrap(),
        mail("c")
    );
    assert_eq!(queue.effect("totals", "cents").await.unwrap(), Some(4_200));

    // And written on.
    let again = queue.enqueue(mail("x")).request_id("signup 42").await.unwrap();
    assert!(!again.is_new && again.id == id("A0"));
    assert_eq!(queue.enqueue(mail("x")).unique("one key").await.unwrap().id, id("F9"));
    for (to, attempt) in [("f", 2), ("a", 1)] {
        let delivery = queue.receive(minute).await.unwrap().unwrap();
        assert_eq!(
            (delivery.task::<SendEmail>().unwrap(), delivery.attempt()),
            (mail(to), attempt)
        );
        assert!(delivery.fence() > 1_795_661_000_000_001);
        assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    }
    // What it cannot read is kept as it is.
    assert!(queue.receive(Duration::from_millis(1)).await.unwrap().is_none());
    assert_eq!(queue.counts().await.unwrap().dead, 2);
    assert!(queue.redrive(id("B0")).await.unwrap());
    assert_eq!(queue.waiting::<SendEmail>().await.unwrap(), [mail("b")]);
}
