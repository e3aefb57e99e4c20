//! `docs/keys.md` against the server: every key that the library makes, what it looks like, and what a user needs
//! to be allowed.

#![cfg(all(feature = "cache", feature = "counters", feature = "leaderboard"))]
#![cfg(all(feature = "lock", feature = "pubsub", feature = "queue"))]
#![cfg(all(
    feature = "inventory",
    feature = "rate_limit",
    feature = "session",
    feature = "window"
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use russet::{
    Acked, Advice, Backlog, BloomFilter, BoxError, Cache, Cancelled, Counters, DeadNode, Device,
    Effects, EndedSession, ErrorKind, Event, Extended, FingerprintPart, Granularity, Inventory,
    ItemSource, Json, Leaderboard, Limit, Loader, Lock, Missed, NodeAnswer, OnChange, OnChannel,
    Overflow, Peek, Period, PubSub, PutItem, Queue, RateLimit, RateLimiter, Redlock, ReentrantLock,
    Released, Rescheduled, Reservation, Russet, Scheduler, Sessions, Settled, ShardedCache,
    SlidingWindow, Sso, Start, Subscription, Task, TaskContext, Ties, Timetable, Topic, WhenAway,
    Worker, Write, WritePolicy, Writer, raw,
    testing::{Reply, TestServer, eventually},
};
use tokio::sync::{Notify, mpsc, oneshot};

const PAGE: &str = include_str!("../../../docs/keys.md");
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_key_is_a_row_of_the_table_and_the_acl_is_enough() {
    let stage = Stage::start().await;
    let russet = stage.connect_as_documented().await;
    let other_process = stage.connect_as_documented().await;
    let mut seen = BTreeSet::new();

    let waited = every_call_of_the_cache(&stage, &russet, &other_process, &mut seen).await;
    every_write_of_the_cache(&stage, &russet, &mut seen).await;
    every_call_of_the_queue_of_writes(&stage, &russet, &mut seen).await;
    every_call_of_the_sharded(&russet).await;
    every_call_of_the_bloom(&stage, &russet, &mut seen).await;
    every_call_of_the_counters(&russet).await;
    every_call_of_the_leaderboard(&russet).await;
    every_call_of_the_lock(&stage, &russet, &other_process, &mut seen).await;
    every_call_of_the_reentrant(&russet).await;
    every_call_of_the_redlock(&stage, &mut seen).await;
    every_call_of_the_inventory(&stage, &russet, &mut seen).await;
    every_call_of_the_sessions(&stage, &russet, &mut seen).await;
    every_call_of_the_window(&russet).await;
    every_call_of_the_limiter(&russet).await;
    every_call_of_the_queue(&stage, &russet, &mut seen).await;
    every_call_of_the_worker(&stage, &russet, &mut seen).await;
    every_call_of_the_scheduler(&stage, &russet, &mut seen).await;
    every_call_of_the_pubsub(&stage, &russet, &mut seen).await;
    assert_eq!(russet.health().await.unwrap().role, "master");
    stage.observe(&mut seen).await;

    assert!(waited, "the second process was woken through its inbox");
    let rows: BTreeSet<_> = table().into_iter().map(|row| row.pattern).collect();
    assert_eq!(
        seen, rows,
        "left: the rows that were seen in the server, right: the rows of the table"
    );
    let denied = stage.server.command(&["ACL", "LOG"]).await.unwrap();
    assert!(denied.list().is_empty(), "the documented user was denied {denied:?}");
}

#[tokio::test]
async fn the_acl_allows_nothing_else() {
    let stage = Stage::start().await;
    let russet = stage.connect_as_documented().await;
    let forbidden = [
        &["GET", "other:key"] as &[&str],
        &["SET", "russe", "x"],
        &["EVAL", "return redis.call('DEL', KEYS[1])", "1", "another:key"],
        &["EVAL", "return redis.call('KEYS', '*')", "0"],
        &["PUBLISH", "other", "x"],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "dir"],
        &["ACL", "LIST"],
        &["SHUTDOWN"],
    ];
    for words in forbidden {
        let error = raw::command(&russet, words).await.expect_err(words[0]);
        if words[0] != "EVAL" {
            assert_eq!(
                (error.kind(), error.advice()),
                (ErrorKind::Refused, Advice::GiveUp),
                "{error}"
            );
        }
    }
    let denied = stage.server.command(&["ACL", "LOG", "100"]).await.unwrap();
    assert_eq!(
        denied.list().len(),
        forbidden.len(),
        "each is denied, and for its own reason: {denied:?}"
    );
}

#[tokio::test]
async fn the_commands_on_the_page_print_what_it_says() {
    let stage = Stage::start().await;
    let russet = Russet::connect(&stage.server.url()).await.unwrap();
    let names: Cache<u64, String> = Cache::builder(&russet, "names").build().unwrap();
    names.put(&42, &"Ada".to_owned()).await.unwrap();
    let views = Counters::builder(&russet, "site").build().unwrap();
    views.add("/home", 1).await.unwrap();
    views.add("/home", 1).await.unwrap();
    let board = Leaderboard::builder(&russet, "game_scores").build().unwrap();
    board.add("player1", 1_700.0).await.unwrap();

    let (_, console) = PAGE.split_once("```console\n").unwrap();
    let (console, _) = console.split_once("```").unwrap();
    let mut commands = 0;
    for block in console.split("$ redis-cli ").skip(1) {
        let (command, printed) = block.split_once('\n').unwrap();
        let mut words: Vec<_> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
        if words[0] == "--scan" {
            // The program's own loop over SCAN.
            words = vec!["KEYS", words[2]];
        }
        let reply = stage.server.command(&words).await.unwrap();
        assert_eq!(as_redis_cli_prints(&reply), printed, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 5);
}

/// What `redis-cli` prints when it does not write to a terminal, as in a script.
fn as_redis_cli_prints(reply: &Reply) -> String {
    match reply {
        Reply::List(replies) => replies.iter().map(as_redis_cli_prints).collect(),
        Reply::Int(number) => format!("{number}\n"),
        other => format!("{}\n", other.text().unwrap()),
    }
}

#[test]
fn the_page_and_the_code_list_the_same_keys() {
    let code =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keys.rs")).unwrap();
    let code: BTreeSet<_> = code
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
        .map(|(pattern, _)| format!("russet:{pattern}"))
        .collect();
    let page: BTreeSet<_> = table().into_iter().map(|row| row.pattern).collect();
    assert_eq!(code, page);
}

#[test]
fn every_public_call_is_made_here() {
    let calls = include_str!("keys.rs");
    for (folder, function) in [
        ("cache", "every_call_of_the_cache"),
        ("cache/sharded", "every_call_of_the_sharded"),
        ("cache/writes", "every_write_of_the_cache"),
        ("cache/behind", "every_call_of_the_queue_of_writes"),
        ("bloom", "every_call_of_the_bloom"),
        ("counters", "every_call_of_the_counters"),
        ("leaderboard", "every_call_of_the_leaderboard"),
        ("lock", "every_call_of_the_lock"),
        ("lock/reentrant", "every_call_of_the_reentrant"),
        ("lock/redlock", "every_call_of_the_redlock"),
        ("inventory", "every_call_of_the_inventory"),
        ("session", "every_call_of_the_sessions"),
        ("window", "every_call_of_the_window"),
        ("rate_limit", "every_call_of_the_limiter"),
        ("queue", "every_call_of_the_queue"),
        ("queue/worker", "every_call_of_the_worker"),
        ("queue/schedule", "every_call_of_the_scheduler"),
        ("pubsub", "every_call_of_the_pubsub"),
    ] {
        let (_, made) = calls.split_once(&["async fn ", function, "("].concat()).unwrap();
        let (made, _) = made.split_once("\n}\n").unwrap();
        for name in
            public_functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder))
        {
            let forms = [format!(".{name}("), format!(".{name}::<"), format!("::{name}(")];
            let is_called = forms.iter().any(|form| made.contains(form));
            assert!(is_called, "{folder}: {name} is not called, so its keys are not looked at");
        }
    }
}

fn public_functions(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue; // with a row of its own
        }
        let source = fs::read_to_string(path).unwrap();
        for line in source.lines() {
            let line = line.trim_start();
            let Some(line) = line.strip_prefix("pub fn ").or(line.strip_prefix("pub async fn "))
            else {
                continue;
            };
            names.insert(line.split(['(', '<']).next().unwrap().to_owned());
        }
    }
    assert!(!names.is_empty(), "{}", folder.display());
    names
}

/// Row by row what the page says.
struct Row {
    pattern: String,
    kind: String,
    /// The longest time to live; `None` when russet never ends the key.
    longest: Option<Duration>,
}

fn table() -> Vec<Row> {
    let rows: Vec<_> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `russet:"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [pattern, kind, ends_by, longest, _owner, _holds] = cells[..] else {
                panic!("six columns: {line}")
            };
            assert_eq!(ends_by == "TTL", longest != "–", "{line}");
            Row {
                pattern: pattern.trim_matches('`').to_owned(),
                kind: kind.to_owned(),
                longest: (ends_by == "TTL").then(|| duration(longest)),
            }
        })
        .collect();
    assert!(rows.len() > 5);
    rows
}

/// `7 d 1 h` as a duration.
fn duration(text: &str) -> Duration {
    let units = BTreeMap::from([("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]);
    let words: Vec<_> = text.split(' ').collect();
    let seconds = words.chunks(2).map(|pair| pair[0].parse::<u64>().unwrap() * units[pair[1]]);
    Duration::from_secs(seconds.sum())
}

/// Whether the key is of this form: `<…>` stands for one or more of the bytes that a name can have.
fn is_of_form(key: &str, pattern: &str) -> bool {
    match pattern.split_once('<') {
        None => key == pattern,
        Some((literal, rest)) => {
            let (_, pattern) = rest.split_once('>').unwrap();
            let Some(key) = key.strip_prefix(literal) else { return false };
            let is_outside = |c: char| !c.is_ascii_alphanumeric() && !"_.-%".contains(c);
            let name = key.find(is_outside).unwrap_or(key.len());
            name > 0 && is_of_form(&key[name..], pattern)
        }
    }
}

#[test]
fn a_pattern_matches_its_form_only() {
    let pattern = "russet:{cache:<name>:<partition>}:entry:<key>";
    assert!(is_of_form("russet:{cache:a%3Ab:7}:entry:k", pattern));
    for other in
        ["russet:{cache:a}:entry:k", "russet:{cache:a:7}:entry:", "russet:{cache:a:7}:entry:k:l"]
    {
        assert!(!is_of_form(other, pattern), "{other}");
    }
    assert_eq!(duration("7 d 1 h"), Duration::from_secs(608_400));
}

struct Stage {
    server: TestServer,
}

impl Stage {
    async fn start() -> Self {
        Self { server: TestServer::start().await.unwrap() }
    }

    /// Makes the user of the page, word by word, and logs in as it.
    async fn connect_as_documented(&self) -> Russet {
        let line = PAGE.lines().find(|line| line.starts_with("ACL SETUSER ")).unwrap();
        let words: Vec<_> = line.split(' ').collect();
        self.server.command(&words).await.unwrap();
        let password = words.iter().find_map(|word| word.strip_prefix('>')).unwrap();
        let builder = Russet::builder().url(self.server.url()).user(words[2]).password(password);
        builder.connect().await.unwrap()
    }

    /// Finds the row of every key and channel that is there now, and checks type and expiry.
    async fn observe(&self, seen: &mut BTreeSet<String>) {
        let rows = table();
        let row_of = |key: &str| {
            let mut of_form = rows.iter().filter(|row| is_of_form(key, &row.pattern));
            let row = of_form.next().unwrap_or_else(|| panic!("{key} is no row of docs/keys.md"));
            assert!(of_form.next().is_none(), "{key} is more than one row");
            row
        };
        for key in self.server.command(&["KEYS", "*"]).await.unwrap().texts() {
            let row = row_of(key);
            let kind = self.server.command(&["TYPE", key]).await.unwrap();
            let ttl = self.server.command(&["PTTL", key]).await.unwrap().int().unwrap();
            if ttl == -2 {
                continue; // expired meanwhile
            }
            assert_eq!(kind.text(), Some(row.kind.as_str()), "{key}");
            match row.longest {
                Some(longest) => {
                    assert!((0..=longest.as_millis() as i64).contains(&ttl), "{key}: {ttl} ms")
                }
                // Those of a filter that is being built do end.
                None => assert!(ttl == -1 || key.contains(":bits:"), "{key}: {ttl} ms"),
            }
            seen.insert(row.pattern.clone());
        }
        for channel in self.server.command(&["PUBSUB", "CHANNELS"]).await.unwrap().texts() {
            let row = row_of(channel);
            assert_eq!(row.kind, "channel");
            seen.insert(row.pattern.clone());
        }
    }
}

struct Table;

impl Loader<u64, String> for Table {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok((*id < 100).then(|| format!("User {id}")))
    }
}

/// Answers whether a caller of another process was woken with what this one loaded.
async fn every_call_of_the_cache(
    stage: &Stage,
    russet: &Russet,
    other_process: &Russet,
    seen: &mut BTreeSet<String>,
) -> bool {
    let users: Cache<u64, String> = Cache::builder(russet, "users")
        .ttl(Duration::from_secs(300))
        .null_ttl(Duration::from_secs(30))
        .ttl_jitter(0.1)
        .fill_lease(Duration::from_secs(5))
        .max_value_bytes(1_000)
        .max_bypass(4)
        .max_nulls_per_second(100)
        .loader(Table)
        .codec(Json)
        .build()
        .unwrap();
    assert!(users.get(&1).await.unwrap().is_some());
    assert!(users.get(&404).await.unwrap().is_none());
    assert!(users.get_with_source(&2).await.unwrap().is_some());
    assert_eq!(users.get_many(&[1, 3, 405]).await.unwrap().iter().flatten().count(), 2);
    users.put(&4, &"User 4".into()).await.unwrap();
    users.put(&5, &"User 5".into()).ttl(Duration::from_secs(10)).await.unwrap();
    stage.observe(seen).await;
    users.invalidate(&4).await.unwrap();

    let known = BloomFilter::builder(russet, "never built").build().unwrap();
    let texts = Cache::builder(russet, "a:b}{*").bloom(&known);
    let texts: Cache<str, String> = texts.build().unwrap();
    let none = async || Ok::<_, BoxError>(None);
    texts.get_with("a key: \r\n}{", async || Ok::<_, BoxError>("x".to_owned())).await.unwrap();
    assert!(texts.find_with("2", none).await.unwrap().is_none());
    assert!(texts.find_with_source("3", none).await.unwrap().value.is_none());
    let failed =
        texts.get_with("4", async || Err::<String, BoxError>("no such table".into())).await;
    assert!(failed.is_err());
    assert_eq!(texts.stats().load_errors, 1);
    stage.observe(seen).await;

    // A refresh under way: a lease beside the entry; and the channel of the copies.
    let (reads, mut reading) = mpsc::unbounded_channel();
    let warm: Cache<u64, String> = Cache::builder(russet, "warm")
        .ttl(Duration::from_secs(100))
        .refresh_ahead(0.9999)
        .stale_while_revalidate(LONG)
        .stale_if_error(LONG)
        .soft_timeout(LONG)
        .load_timeout(2 * LONG)
        .near_entries(10)
        .near_bytes(10_000)
        .near_max_age(Duration::from_millis(1))
        .loader(Held(reads))
        .build()
        .unwrap();
    warm.put(&1, &"old".into()).await.unwrap();
    let mut may_end = eventually(LONG, async || {
        warm.get(&1).await.unwrap();
        reading.try_recv().map_err(|_| "nobody refreshes")
    })
    .await;
    eventually(LONG, async || {
        let channels = stage.server.command(&["PUBSUB", "CHANNELS", "*:changes"]).await.unwrap();
        if channels.list().is_empty() { Err("nobody listens") } else { Ok(()) }
    })
    .await;
    stage.observe(seen).await;
    assert!(seen.iter().any(|pattern| pattern.contains(":refresh:")));
    may_end.close();

    // A load under way: a lease, and the list of who waits for it in another process.
    let elsewhere: Cache<str, String> = Cache::builder(other_process, "a:b}{*").build().unwrap();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let (has_begun, begun) = oneshot::channel();
    let slow = async move || {
        let _ = has_begun.send(());
        let _ = may_go_on.await;
        Ok::<_, BoxError>("loaded".to_owned())
    };
    let leader = tokio::spawn(async move { texts.get_with("slow", slow).await });
    begun.await.unwrap();
    let waiter = tokio::spawn(async move {
        elsewhere.get_with("slow", async || Err::<String, BoxError>("loaded twice".into())).await
    });
    eventually(LONG, async || {
        let lists = stage.server.command(&["KEYS", "*:waiters:slow"]).await.unwrap();
        if lists.list().is_empty() { Err("nobody waits") } else { Ok(()) }
    })
    .await;
    stage.observe(seen).await;
    go_on.send(()).unwrap();
    leader.await.unwrap().unwrap() == "loaded" && waiter.await.unwrap().unwrap() == "loaded"
}

/// A load that goes on until the test closes what it got.
struct Held(mpsc::UnboundedSender<oneshot::Receiver<()>>);

impl Loader<u64, String> for Held {
    async fn load(&self, _: &u64) -> Result<Option<String>, BoxError> {
        let (mut held, end) = oneshot::channel();
        self.0.send(end)?;
        held.closed().await;
        Ok(Some("new".to_owned()))
    }
}

/// Refuses row 7, and holds each statement up until it is let through.
#[derive(Clone, Default)]
struct Gated {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Writer<u64, String> for Gated {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        if *write.key == 7 {
            return Err("row 7 breaks a constraint".into());
        }
        self.begun.notify_one();
        self.go_on.notified().await;
        Ok(Some(1))
    }

    async fn write_many(
        &self,
        writes: &[Write<'_, u64, String>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        match writes.iter().find(|write| *write.key == 7) {
            Some(_) => Err("row 7 breaks a constraint".into()),
            None => Ok(Vec::new()),
        }
    }
}

async fn every_write_of_the_cache(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let table = Gated::default();
    let build = || Cache::<u64, String>::builder(russet, "written").writer(table.clone());
    let through = build().write_policy(WritePolicy::Through).build().unwrap();
    let strict = build().strict().build().unwrap();
    let ada = "Ada".to_owned();
    for users in [through, strict] {
        let writer = users.clone();
        let writing = tokio::spawn(async move { writer.put(&1, &"Ada".into()).await });
        table.begun.notified().await;
        stage.observe(seen).await;
        table.go_on.notify_one();
        writing.await.unwrap().unwrap();
        table.go_on.notify_one();
        users.remove(&1).await.unwrap();
        let items = [PutItem::new(&2, &ada).ttl(Duration::from_secs(10)), PutItem::new(&3, &ada)];
        users.put_many(items).await.unwrap();
        users.update_with(&3, async || Ok::<_, BoxError>(())).await.unwrap();
        users.remove_many(&[2, 3]).await.unwrap();
        users.invalidate_many(&[2, 3]).await.unwrap();
    }
    let behind = build().write_policy(WritePolicy::Behind).linger(Duration::from_millis(10));
    let behind = behind.write_batch(10).backlog(1_000, Backlog::Error).write_attempts(1);
    behind.flush_lease(Duration::from_secs(5)).build().unwrap();
}

async fn every_call_of_the_queue_of_writes(
    stage: &Stage,
    russet: &Russet,
    seen: &mut BTreeSet<String>,
) {
    let table = Gated::default();
    let users = Cache::<u64, String>::builder(russet, "queued")
        .writer(table.clone())
        .write_policy(WritePolicy::Behind)
        .linger(Duration::from_millis(10))
        .backlog(1, Backlog::Wait(Duration::from_secs(60)))
        .write_attempts(1)
        .build()
        .unwrap();
    users.put(&1, &"Ada".into()).await.unwrap();
    table.begun.notified().await;
    assert_eq!(users.backlog().await.unwrap(), 1);
    // Another key of the same partition has to wait.
    let partition = |id: u64| xxhash_rust::xxh3::xxh3_64(id.to_string().as_bytes()) % 256;
    let other = (100..).find(|id| partition(*id) == partition(1)).unwrap();
    let waiter = users.clone();
    let waiting = tokio::spawn(async move { waiter.put(&other, &"Bob".into()).await });
    eventually(LONG, async || {
        let lists = stage.server.command(&["KEYS", "*:room"]).await.unwrap();
        if lists.list().is_empty() { Err("nobody waits") } else { Ok(()) }
    })
    .await;
    stage.observe(seen).await;
    table.go_on.notify_one();
    waiting.await.unwrap().unwrap();
    users.put(&7, &"refused".into()).await.unwrap();
    let dead = eventually(LONG, async || {
        table.go_on.notify_one();
        users.put(&2, &"Eve".into()).await.unwrap();
        users.dead_writes(10).await.unwrap().pop().ok_or("none is dead")
    })
    .await;
    assert_eq!(dead.key, "7");
    stage.observe(seen).await;
    assert!(users.redrive(&7).await.unwrap());
    eventually(LONG, async || {
        table.go_on.notify_one();
        users.put(&2, &"Eve".into()).await.unwrap();
        users.dead_writes(10).await.unwrap().pop().ok_or("none is dead")
    })
    .await;
    assert_eq!(users.redrive_all().await.unwrap(), 1);
    eventually(LONG, async || {
        table.go_on.notify_one();
        users.put(&2, &"Eve".into()).await.unwrap();
        if users.discard(&7).await.unwrap() { Ok(()) } else { Err("not dead again yet") }
    })
    .await;
    let flushing = async {
        loop {
            table.go_on.notify_one();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = flushing => {}
        flushed = async { users.flush().await.unwrap(); users.close().await } => {
            assert_eq!(flushed.unwrap().dead, 0);
        }
    }
}

async fn every_call_of_the_sharded(russet: &Russet) {
    let mut servers = Vec::new();
    let mut others = Vec::new();
    for _ in 0..3 {
        let server = TestServer::start().await.unwrap();
        others.push(Russet::connect(&server.url()).await.unwrap());
        servers.push(server);
    }
    let pages: ShardedCache<u64, String> = ShardedCache::builder("pages: a}{*")
        .node("one", russet)
        .weighted_node("two", &others[0], 2)
        .dead_node(DeadNode::Miss)
        .ttl(LONG)
        .null_ttl(Duration::from_secs(30))
        .ttl_jitter(0.1)
        .fill_lease(Duration::from_secs(5))
        .max_value_bytes(1_000)
        .max_bypass(4)
        .codec(Json)
        .build()
        .unwrap();
    pages.put(&1, &"x".into()).ttl(LONG).await.unwrap();
    pages.put_many(&[(2, "y".to_owned())]).await.unwrap();
    assert!(pages.get(&1).await.unwrap().is_some());
    assert_eq!(pages.get_many(&[2, 3]).await.unwrap(), [Some("y".into()), None]);
    let load = async || Ok::<_, BoxError>("z".to_owned());
    assert_eq!(pages.get_with(&4, load).await.unwrap(), "z");
    let none = async || Ok::<_, BoxError>(None);
    assert_eq!(pages.find_with(&5, none).await.unwrap(), None);
    assert_eq!(pages.invalidate(&1).await.unwrap(), NodeAnswer::Done);
    assert_eq!(pages.invalidate_many(&[2]).await.unwrap(), [NodeAnswer::Done]);
    assert_eq!(pages.invalidate_all().await.unwrap(), NodeAnswer::Done);
    pages.add_node("three", &others[1]).unwrap();
    pages.add_weighted_node("four", &others[2], 2).unwrap();
    assert!(pages.set_weight("four", 3).unwrap() && pages.remove_node("four"));
    assert!(pages.nodes().iter().any(|node| node.name == pages.node_of(&1)));
}

/// Tells its first page, and that it did; then it waits.
struct Halting(mpsc::UnboundedSender<()>, tokio::sync::Notify);

impl ItemSource for Halting {
    type Item = u64;

    async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
        let Some(_) = after else { return Ok(vec![1, 2, 3]) };
        self.0.send(())?;
        self.1.notified().await;
        Ok(vec![])
    }
}

async fn every_call_of_the_bloom(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let filter = BloomFilter::builder(russet, "ids: a}{*")
        .expected_items(1_000)
        .false_positive_rate(0.01)
        .settle(Duration::ZERO)
        .build()
        .unwrap();
    assert!(filter.start_empty().await.unwrap());
    filter.rebuild_from([1, 2]).await.unwrap();
    assert!(filter.insert(&3).await.unwrap());
    assert_eq!(filter.insert_many(&[3, 4]).await.unwrap(), [false, true]);
    assert!(
        filter.might_contain(&4).await.unwrap() && filter.verdict(&4).await.unwrap().is_possible()
    );
    assert_eq!(filter.might_contain_many(&[4, 5]).await.unwrap(), [true, false]);
    assert_eq!(filter.verdicts(&[4, 5]).await.unwrap().len(), 2);
    assert_eq!(filter.status().await.unwrap().unwrap().estimated_items, 4);

    let (told, mut telling) = mpsc::unbounded_channel();
    let source = Halting(told, tokio::sync::Notify::new());
    let (rebuilt, ()) = tokio::join!(filter.rebuild(&source), async {
        telling.recv().await.unwrap();
        stage.observe(seen).await;
        source.1.notify_one();
    });
    rebuilt.unwrap();

    let other = BloomFilter::builder(russet, "other").settle(Duration::ZERO).build().unwrap();
    let (told, mut telling) = mpsc::unbounded_channel();
    let source = Halting(told, tokio::sync::Notify::new());
    source.1.notify_one();
    let rebuilder = other.rebuild_every(LONG, source).unwrap();
    telling.recv().await.unwrap();
    rebuilder.stop().await;
    other.delete().await.unwrap();
}

async fn every_call_of_the_counters(russet: &Russet) {
    let [minute, _, day, _] = Granularity::ALL;
    let views = Counters::builder(russet, "site: a}{*")
        .time_zone("America/New_York")
        .retention(minute, Duration::from_secs(3_600))
        .build()
        .unwrap();
    let now = SystemTime::now();
    views.add("/home?a=b:c", 1).await.unwrap();
    views.add_at("/home?a=b:c", 1, now).await.unwrap();
    views.add_many([("many: 1", 1)]).await.unwrap();
    views.add_at_many([("many: 2", 1, now)]).await.unwrap();
    assert_eq!(views.get("/home?a=b:c").await.unwrap().total, 2);
    assert_eq!(views.get_at("/home?a=b:c", now).await.unwrap().total, 2);
    assert_eq!(views.total("/home?a=b:c").await.unwrap(), 2);
    for granularity in Granularity::ALL {
        let points = views.series("/home?a=b:c", granularity, ..).await.unwrap();
        assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 2);
    }
    // Midnight may come before this one.
    assert!(views.top(day, 10).await.unwrap().len() <= 3);
    assert!(views.top_at(day, now, 10).await.unwrap().len() >= 2);
    assert_eq!(views.top_total(10).await.unwrap().len(), 3);
}

async fn every_call_of_the_leaderboard(russet: &Russet) {
    let board = Leaderboard::builder(russet, "game: a}{*").max_size(100).build().unwrap();
    board.add("player: 1", 1_000.0).await.unwrap();
    board.add_many([("player2", 1.0), ("player3", 2.0), ("player4", 3.0)]).await.unwrap();
    board.increment("player: 1", 200.0).await.unwrap();
    assert!(board.remove("player4").await.unwrap());
    assert_eq!(board.trim(2).await.unwrap(), 1);
    assert_eq!(board.top(10).await.unwrap().len(), 2);
    assert_eq!(board.page(1, 10).await.unwrap().len(), 1);
    assert_eq!(board.around("player: 1", 3).await.unwrap().len(), 2);
    assert_eq!(board.standing("player: 1").await.unwrap().unwrap().rank, Some(1));
    assert_eq!(board.rank("player: 1").await.unwrap(), Some(1));
    assert_eq!(board.score("player: 1").await.unwrap(), Some(1_200.0));
    assert_eq!(board.count().await.unwrap(), 2);
    assert_eq!(board.increment_many([("player2", 1.0)]).await.unwrap(), 1);
    for ties in [Ties::RedisOrder, Ties::Shared, Ties::FirstToReach] {
        let builder = || Leaderboard::builder(russet, "ties: a}{*").ties(ties);
        let daily = || builder().period(Period::Day).time_zone("Asia/Shanghai");
        let fixed = daily().keep(30 * 24 * 60 * LONG).build().unwrap();
        let boards = [
            builder().build().unwrap(),
            daily().build().unwrap(),
            fixed.at(SystemTime::now()).unwrap(),
            builder().period(Period::Week).build().unwrap(),
            builder().period(Period::Month).build().unwrap(),
        ];
        for board in boards {
            board.add("player: 1", 1.0).await.unwrap();
            board.increment("player: 1", 2.0).await.unwrap();
            board.add_many([("player2", 3.0), ("player3", 4.0)]).await.unwrap();
            board.increment_many([("player2", 1.0)]).await.unwrap();
            board.remove("player3").await.unwrap();
            board.trim(5).await.unwrap();
            assert!(board.top(9).await.unwrap().len() <= 2);
            assert!(board.around("player2", 1).await.unwrap().len() <= 2);
            assert!(board.rank("player2").await.unwrap() <= Some(2));
            assert!(board.score("player2").await.unwrap() <= Some(4.0));
            assert!(board.count().await.unwrap() <= 2);
        }
    }
}

async fn every_call_of_the_lock(
    stage: &Stage,
    russet: &Russet,
    other: &Russet,
    seen: &mut BTreeSet<String>,
) {
    let build = |russet| Lock::builder(russet, "lock: a}{*").watchdog(true);
    let lock = build(russet).lease(Duration::from_secs(30)).build().unwrap();
    let guard = lock.acquire().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none() && !guard.is_lost());
    let there = build(other).build().unwrap();
    let (next, ()) = tokio::join!(there.acquire(), async {
        eventually(LONG, async || match lock.status().await.unwrap().waiting {
            1 => Ok(()),
            _ => Err("nobody waits"),
        })
        .await;
        stage.observe(seen).await;
        assert_eq!(guard.extend(Duration::from_secs(30)).await.unwrap(), Extended::Done);
        assert_eq!(guard.release().await.unwrap(), Released::Done);
    });
    let next = next.unwrap();
    assert!(lock.force_release(next.fence()).await.unwrap());
    assert_eq!(next.extend(LONG / 2).await.unwrap(), Extended::Lost);
    next.lost().await;
    drop(lock.try_acquire_for(LONG).await.unwrap().unwrap());
    lock.with(async |held| held.fence()).await.unwrap();
    let found = Lock::names(russet).await.unwrap();
    assert_eq!((found.names, found.is_complete), (vec!["lock: a}{*".to_owned()], true));
    stage.observe(seen).await;
}

async fn every_call_of_the_reentrant(russet: &Russet) {
    let builder = ReentrantLock::builder(russet, "again").lease(Duration::from_secs(30));
    let lock = builder.watchdog(true).build().unwrap();
    let outer = lock.acquire().await.unwrap();
    let inner = outer.reenter().await.unwrap();
    let third = lock.enter_as(&outer.owner()).await.unwrap().unwrap();
    assert!(third.fence() == inner.fence() && !inner.is_lost());
    assert!(lock.try_acquire().await.unwrap().is_none());
    let _ = third.extend(Duration::from_millis(1)).await.unwrap();
    third.lost().await;
    for entry in [outer, inner, third] {
        let _ = entry.release().await.unwrap();
    }
    drop(lock.try_acquire_for(LONG).await.unwrap().unwrap());
    lock.with(async |held| held.fence()).await.unwrap();
}

async fn every_call_of_the_redlock(stage: &Stage, seen: &mut BTreeSet<String>) {
    let mut nodes = vec![stage.connect_as_documented().await];
    let servers = [TestServer::start().await.unwrap(), TestServer::start().await.unwrap()];
    for server in &servers {
        nodes.push(Russet::connect(&server.url()).await.unwrap());
    }
    let builder = Redlock::builder(&nodes, "critical: a}{*").lease(Duration::from_secs(30));
    let builder = builder.watchdog(true).node_timeout(Duration::from_secs(10));
    let lock = builder.retry_delay(Duration::from_millis(10)).build().unwrap();
    let guard = lock.acquire().await.unwrap();
    stage.observe(seen).await;
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(!guard.is_lost() && guard.validity() > Duration::ZERO);
    assert_eq!(guard.extend(Duration::from_secs(20)).await.unwrap(), Extended::Done);
    assert_eq!(guard.release().await.unwrap(), Released::Done);
    let brief = lock.try_acquire_for(LONG).await.unwrap().unwrap();
    let _ = brief.extend(Duration::from_millis(1)).await.unwrap();
    brief.lost().await;
    drop(brief);
    lock.with(async |held| held.is_lost()).await.unwrap();
}

async fn every_call_of_the_inventory(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let shop = Inventory::builder(russet, "shop: a}{*")
        .hold(LONG)
        .request_window(LONG)
        .user_limit(5)
        .user_limit_period(LONG)
        .sweep_every(Duration::from_secs(1))
        .build()
        .unwrap();
    let _ = shop.set_stock("ticket: 1", 10).request_id("1 2").await.unwrap();
    let _ = shop.adjust("ticket: 1", 1).await.unwrap();
    let wish = shop.reserve("ticket: 1", 2).user("a b").request_id("1 2").hold(LONG);
    assert!(matches!(wish.await.unwrap(), Reservation::Held(_)));
    let _ = shop.extend("1 2", LONG).await.unwrap();
    assert!(shop.reservation("1 2").await.unwrap().is_some());
    assert_eq!(shop.reservations(0, 10).await.unwrap().len(), 1);
    stage.observe(seen).await;
    let _ = shop.confirm("1 2").await.unwrap();
    let _ = shop.cancel("1 2").await.unwrap();
    assert_eq!(shop.get("ticket: 1").await.unwrap().unwrap().sold, 2);
    assert_eq!(shop.products(None, 10).await.unwrap().len(), 1);
    stage.observe(seen).await;
    assert_eq!(shop.remove("ticket: 1").await.unwrap(), Some(true));
}

async fn every_call_of_the_sessions(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let client = Device::unknown().ip([127, 0, 0, 1]).user_agent("a b").language("en");
    let builder = Sessions::builder(russet, "web: a}{*").secret([7; 32]).also_verify([8; 32]);
    let (told, ended) = mpsc::channel(9);
    let told = move |event: EndedSession| {
        let told = told.clone();
        async move { Ok(told.send(event.get::<u8>("n")?).await?) }
    };
    let failing = async |_: EndedSession| Err("not now".into());
    let sessions = builder
        .shard_secret([9; 32])
        .idle_timeout(LONG)
        .max_age(LONG * 2)
        .touch_after(0.0)
        .max_sessions(2)
        .fingerprint([FingerprintPart::UserAgent, FingerprintPart::Language])
        .on_fingerprint_change(OnChange::Allow)
        .on_address_change(OnChange::Allow)
        .max_value_bytes(100)
        .log_entries(64)
        .sweep_every(Duration::from_millis(10))
        .on_ended(failing)
        .build()
        .unwrap();
    let token = sessions.new_token("a b").unwrap();
    let create = sessions.create("a b", &client).token(&token).roles(["r"]).set("n", &1);
    let (_, session) = create.unless_full().await.unwrap().unwrap();
    assert!(session.has_role("r") && session.roles() == ["r"] && session.reached().is_some());
    assert_eq!(
        (session.get::<u8>("n").unwrap(), session.app(), session.version()),
        (Some(1), None, 1)
    );
    assert!(session.ends() > session.created() && session.last_seen() >= session.created());
    assert!(session.user_agent() == "a b" && session.ip().is_some() && session.global().is_none());
    assert!(session.is_csrf_token(&session.csrf_token().unwrap()));
    session.set("n", &2).await.unwrap();
    session.change().set("m", &3).remove("o").if_version(2).save().await.unwrap();
    let _ = sessions.validate(&token, &client).await.unwrap();
    let _ = sessions.validate(&token, &client.clone().ip([127, 0, 0, 2])).await.unwrap();
    sessions.note_activity("odd", &session, &client).await.unwrap();
    assert_eq!(sessions.activity(9).await.unwrap().len(), 2);
    let (token, session) = session.rotate().roles(["s"]).await.unwrap().unwrap();
    assert_eq!((session.user(), sessions.list("a b").await.unwrap()[0].id), ("a b", session.id()));
    assert!(sessions.find("a b", session.id()).await.unwrap().is_some());
    assert_eq!(sessions.look_many(&[token.expose().into()]).await.unwrap().len(), 1);
    let sso = Sso::new(&sessions);
    let shop = sso.open(&session, "a shop", &()).await.unwrap().unwrap();
    assert!(shop.session.global().is_some());
    let ticket = sso.ticket(&session, "a shop").await.unwrap();
    stage.observe(seen).await;
    assert!(sso.redeem(ticket.expose(), "a shop", &client).await.unwrap().is_some());
    let _ = sso.close(&session, "a shop").await.unwrap();
    let global = sso.sign_in("a b", &client).await.unwrap();
    assert!(sessions.sign_out_others(&global.session).await.unwrap());
    stage.observe(seen).await;
    let _ = sso.sign_out_all(&global.session).await.unwrap();
    let _ = sso.sign_out(&global).await.unwrap();
    let _ = sessions.sign_out(&global.token).await.unwrap();
    let _ = sessions.revoke("a b", global.session.id()).await.unwrap();
    sessions.sign_out_everywhere("a b").await.unwrap();
    // An event that nobody takes stands there to be seen.
    eventually(LONG, async || {
        stage.observe(&mut BTreeSet::new()).await;
        match sessions.ended(99).await.unwrap().first() {
            Some(entry) if !entry.reason.word().is_empty() => Ok(()),
            _ => Err("nothing has ended"),
        }
    })
    .await;
    stage.observe(seen).await;
    drop((sessions, session, shop, global, sso));
    let listening = Sessions::builder(russet, "listening").secret([7; 32]).on_ended(told);
    let listening = listening.sweep_every(Duration::from_millis(10)).build().unwrap();
    heard_by(&listening, &client, ended).await;
}

/// Ends sessions until one is told: events are kept from when the listener is known in all shards.
async fn heard_by(sessions: &Sessions, client: &Device, mut ended: mpsc::Receiver<Option<u8>>) {
    let ending = async {
        loop {
            let (token, _) = sessions.create("a", client).set("n", &7).await.unwrap();
            let _ = sessions.sign_out(&token).await.unwrap();
            if let Ok(told) = ended.try_recv() {
                break told;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(LONG, ending).await.unwrap(), Some(7));
}

async fn every_call_of_the_window(russet: &Russet) {
    let builder =
        SlidingWindow::builder(russet, "requests: a}{*").window(LONG).metrics_label("label");
    let requests = builder.bucket(Duration::from_secs(1)).build().unwrap();
    requests.add(2).await.unwrap();
    assert_eq!(requests.count().await.unwrap(), 2);
    assert!(requests.rate().await.unwrap() > 0.0);
}

async fn every_call_of_the_limiter(russet: &Russet) {
    let month = Duration::from_secs(30 * 86_400);
    let api = RateLimiter::builder(russet, "api: a}{*")
        .limit(Limit::gcra(7, month).burst(9))
        .limit(Limit::sliding(7, Duration::from_secs(27 * 86_400)).buckets(30))
        .limit(Limit::fixed(7, month))
        .when_away(WhenAway::Deny)
        .build()
        .unwrap();
    assert!(api.check("user: 1").await.unwrap().is_allowed);
    assert!(api.reset("user: 1").await.unwrap());
    assert!(api.check("user: 1").cost(2).await.unwrap().is_allowed);
    assert_eq!(api.remaining("user: 1").await.unwrap(), 5);
    assert_eq!((api.name().is_empty(), api.limits().is_empty()), (false, false));
    assert!(api.limits().iter().all(|limit| limit.quota().0 > 0));
}

async fn every_call_of_the_pubsub(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let builder = PubSub::builder(russet).codec(Json).buffer(10).buffer_bytes(1_000);
    let live = builder.overflow(Overflow::DropNewest).max_message_bytes(100).build().unwrap();
    let mut alerts: Subscription<u64> = live.subscribe("alerts: a}{*").await.unwrap();
    // The pattern that the user of the page may listen to.
    let like: Subscription<OnChannel<u64>> = live.subscribe_like("*").await.unwrap();
    let on = live.on("alerts: a}{*", async |_: Event<u64>| Ok(())).await;
    let on_like = live.on_like("*", async |_: Event<OnChannel<u64>>| Ok(())).await;
    stage.observe(seen).await;
    PubSub::new(russet).publish("alerts: a}{*", &7).await.unwrap();
    assert_eq!(alerts.next().await.unwrap().into_message(), Some(7));
    assert!(alerts.is_live() && alerts.lag() == 0 && like.is_live());
    on.unwrap().stop().await;
    on_like.unwrap().stop().await;
    let rooms = PubSub::builder(russet).sharded().build().unwrap();
    let mut lobby: Subscription<u64> = rooms.subscribe("lobby: a}{*").await.unwrap();
    let channels = stage.server.command(&["PUBSUB", "SHARDCHANNELS"]).await.unwrap();
    assert_eq!(channels.texts(), ["russet:{pubsub:lobby%3A%20a%7D%7B%2A}:messages"]);
    assert_eq!(rooms.publish("lobby: a}{*", &7).await.unwrap(), 1);
    assert_eq!(lobby.next().await.unwrap().into_message(), Some(7));

    let orders = Topic::<u64>::builder(russet, "orders: a}{*")
        .codec(Json)
        .metrics_label("label")
        .keep_at_most(1_000);
    let orders = orders.keep_for(Duration::from_secs(7 * 86_400)).max_message_bytes(100);
    let orders = orders.build().unwrap();
    let mut group = orders.group("billing").from(Start::Oldest).lease(LONG).await.unwrap();
    let (order, ()) = tokio::join!(group.next(), async {
        eventually(LONG, async || {
            let waiters = stage.server.command(&["KEYS", "*{topic:*}:waiters"]).await.unwrap();
            if waiters.list().is_empty() { Err("nobody waits") } else { Ok(()) }
        })
        .await;
        stage.observe(seen).await;
        orders.publish(&7).await.unwrap();
    });
    let order = order.unwrap();
    assert_eq!((order.message().unwrap(), order.deliveries()), (&7, 1));
    assert!(order.id().time() > SystemTime::UNIX_EPOCH);
    assert_eq!(order.extend().await.unwrap(), Acked::Done);
    assert_eq!(order.ack().await.unwrap(), Acked::Done);
    let last = orders.publish(&8).await.unwrap().id;
    assert_eq!(group.next_batch(10).await.unwrap().len(), 1);
    assert!(group.try_next_batch(10).await.unwrap().is_empty());
    let history = orders.history(10).before(last).oldest_first().await.unwrap();
    assert_eq!(history[0].message().unwrap(), &7);
    assert_eq!(history.into_iter().next().unwrap().into_message().unwrap(), 7);
    assert_eq!(orders.stats().await.unwrap().messages, 2);
    assert!(orders.replay("billing", Start::Now).await.unwrap());
    stage.observe(seen).await;
    group.leave().await.unwrap();
    assert!(orders.remove_group("billing").await.unwrap());
    orders.delete().await.unwrap();
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job(String);

impl Task for Job {
    const NAME: &'static str = "job";
}

async fn every_call_of_the_queue(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let queue = Queue::builder(russet, "jobs: a}{*")
        .max_attempts(5)
        .backoff(LONG, LONG)
        .lease(LONG)
        .max_task_bytes(1_000)
        .keep_dead(LONG)
        .keep_results(LONG)
        .keep_cancelled(LONG)
        .keep_at_most(1_000, 100_000)
        .task_timeout(LONG)
        .request_window(LONG)
        .build()
        .unwrap();
    let job = || Job("x".into());
    let first = queue.enqueue(job()).priority(9).unique("a b:{*}").request_id("1 2").await.unwrap();
    let options = queue.enqueue(job()).delay(LONG).max_attempts(2).timeout(LONG).keep_result(LONG);
    let later = options.execute_at(SystemTime::now()).await.unwrap();
    let many =
        queue.enqueue_many([job(), job(), job(), job(), job(), job()]).header("from", "here");
    let many = many.await.unwrap();
    assert_eq!((many.ids.len(), later.id.as_str().len()), (6, 22));
    let mut delivery = queue.receive(LONG).await.unwrap().unwrap();
    assert_eq!((delivery.id(), delivery.name(), delivery.attempt()), (first.id, "job", 1));
    assert_eq!((delivery.id().priority(), delivery.body()), (9, b"\"x\"".as_slice()));
    assert!(delivery.id().time() > SystemTime::UNIX_EPOCH);
    let task: Job = delivery.task().unwrap();
    assert!(delivery.fence() > 0 && task.0 == "x");
    assert_eq!(delivery.extend(LONG).await.unwrap(), Settled::Done);
    assert_eq!(queue.cancel(first.id).await.unwrap(), Cancelled::Asked);
    stage.observe(seen).await;
    queue.set_rate_limit(RateLimit::per_second(1_000_000).burst(1_000)).await.unwrap();
    let limit = RateLimit::new(1_000_000, LONG);
    assert_eq!((limit.tasks(), limit.time()), (1_000_000, LONG));
    assert!(limit.at_once() > 0);
    queue.set_rate_limit(limit).await.unwrap();
    queue.clear_rate_limit().await.unwrap();
    let waiting = tokio::join!(queue.wait_for(delivery.id(), LONG), async {
        eventually(LONG, async || {
            let watchers = stage.server.command(&["KEYS", "*{queue:*}:watchers"]).await.unwrap();
            if watchers.list().is_empty() { Err("nobody waits") } else { Ok(()) }
        })
        .await;
        stage.observe(seen).await;
        let effects = Effects::new().put("a:b{*", "x", "y").add("a:b{*", "n", 1);
        delivery.complete_with("done", effects.remove("a:b{*", "z")).await.unwrap()
    });
    assert_eq!(waiting.1, Settled::Done);
    let result: Option<String> = waiting.0.unwrap().result().unwrap();
    assert_eq!(result.as_deref(), Some("done"));
    assert_eq!(queue.effect("a:b{*", "n").await.unwrap(), Some(1));
    stage.observe(seen).await;
    assert!(queue.remove_effects("a:b{*").await.unwrap());
    let page = queue.peek(Peek::Ready, 0, 10).await.unwrap();
    assert_eq!(page.tasks[0].task::<Job>().unwrap().0, "x");
    let jobs: Vec<Job> = queue.waiting().await.unwrap();
    assert_eq!(jobs.len(), page.tasks.len());
    assert!(queue.inspect(many.ids[0]).await.unwrap().is_some());
    let waited = queue.stats().waited;
    assert!(waited.mean() <= waited.longest);
    let delivery = queue.receive(LONG).await.unwrap().unwrap();
    assert_eq!(delivery.header("from"), Some("here"));
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    let take = async || queue.receive(LONG).await.unwrap().unwrap();
    assert_eq!(take().await.retry("failed").await.unwrap(), Settled::Done);
    assert_eq!(take().await.dead_letter("failed").await.unwrap(), Settled::Done);
    assert_eq!(take().await.release().await.unwrap(), Settled::Done);
    assert_eq!(queue.cancel(later.id).await.unwrap(), Cancelled::Done);
    assert!(queue.status(later.id).await.unwrap().is_some());
    assert!(queue.pause().await.unwrap() && queue.resume().await.unwrap());
    stage.observe(seen).await;
    let dead = queue.dead(0, 10).await.unwrap()[0].id;
    assert!(queue.redrive(dead).await.unwrap());
    assert_eq!(queue.redrive_all().await.unwrap(), 0);
    assert!(!queue.delete(dead).await.unwrap());
    assert_eq!(queue.purge(LONG).await.unwrap(), 0);
    assert!(queue.counts().await.unwrap().ready >= 3);
    assert_eq!(Queue::names(russet).await.unwrap().names, ["jobs: a}{*"]);
}

async fn every_call_of_the_worker(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let queue = Queue::builder(russet, "work").build().unwrap();
    let (told, mut telling) = mpsc::unbounded_channel();
    let handle = |job: Job, ctx: TaskContext<mpsc::UnboundedSender<String>>| async move {
        let step = async || Ok(job.0.clone());
        let done = ctx.once("a step", step).await?;
        assert!(ctx.attempt() == 1 && ctx.fence() > 0 && !ctx.is_cancelled());
        assert_eq!(ctx.idempotency_key(), ctx.id().to_string());
        assert_eq!((ctx.header("none"), ctx.progress(&50).await?), (None, Settled::Done));
        ctx.state().send(done)?;
        ctx.cancelled().await;
        assert_eq!(ctx.complete_with((), Effects::new()).await?, Settled::Done);
        ctx.queue().enqueue(Job("next".into())).delay(LONG).await?;
        Ok::<_, BoxError>(())
    };
    let builder = Worker::builder(&queue).state(told).concurrency(2);
    let worker = builder.shutdown_timeout(LONG).handler(handle).build().unwrap();
    let id = queue.enqueue(Job("x".into())).await.unwrap().id;
    let looking = async {
        assert_eq!(telling.recv().await.as_deref(), Some("x"));
        eventually(LONG, async || {
            let waiters = stage.server.command(&["KEYS", "*{queue:work}:waiters"]).await.unwrap();
            if waiters.list().is_empty() { Err("nobody waits") } else { Ok(()) }
        })
        .await;
        stage.observe(seen).await;
        assert!(worker.is_alive());
        assert_eq!(queue.cancel(id).await.unwrap(), Cancelled::Asked);
        eventually(LONG, async || match queue.counts().await.unwrap() {
            counts if counts.scheduled == 1 && counts.completed == 1 => Ok(()),
            counts => Err(format!("{counts:?}")),
        })
        .await;
    };
    worker.run_until(looking).await.unwrap();
    assert_eq!(worker.run_until_empty().await.unwrap().scheduled, 1);
}

async fn every_call_of_the_scheduler(stage: &Stage, russet: &Russet, seen: &mut BTreeSet<String>) {
    let queue = Queue::builder(russet, "chores: a}{*").build().unwrap();
    let scheduler = Scheduler::new(&queue).keep_results(LONG);
    let job = || Job("x".into());
    let id = scheduler.at(SystemTime::now() + LONG, job()).await.unwrap().id;
    assert!(scheduler.after(LONG, job()).await.unwrap().is_new);
    assert_eq!(scheduler.reschedule(id, SystemTime::now()).await.unwrap(), Rescheduled::Done);
    assert_eq!(scheduler.reschedule_after(id, LONG).await.unwrap(), Rescheduled::Done);
    assert!(scheduler.status(id).await.unwrap().is_some());
    assert_eq!(scheduler.cancel(id).await.unwrap(), Cancelled::Done);
    let all = Missed::RunAll { at_most: 9 };
    let daily = scheduler.cron("daily: a}{*", "0 8 * * *", "Asia/Shanghai", job()).missed(all);
    let daily = daily.jitter(LONG).priority(9).alone().max_attempts(2).timeout(LONG);
    let due = daily.keep_result(LONG).await.unwrap().next.unwrap();
    let hour = Duration::from_secs(3_600);
    let hourly = scheduler.every("hourly", hour, job()).await.unwrap().next.unwrap();
    let times = Timetable::every(hour, hourly).unwrap();
    assert!(times.after(due).next().unwrap() > due);
    assert!(Timetable::cron("0 8 * * *", "UTC").is_ok());
    assert_eq!(scheduler.tick_at(due).await.unwrap().tasks.len(), 2);
    assert!(scheduler.tick().await.unwrap().tasks.is_empty());
    assert!(!scheduler.run_now("daily: a}{*").await.unwrap().is_new);
    assert!(scheduler.pause("hourly").await.unwrap() && scheduler.resume("hourly").await.unwrap());
    assert_eq!(scheduler.list().await.unwrap().len(), 2);
    let looking = async {
        eventually(LONG, async || {
            let channels = stage.server.command(&["PUBSUB", "CHANNELS", "*:ticking"]).await;
            if channels.unwrap().list().is_empty() { Err("nobody listens") } else { Ok(()) }
        })
        .await;
        stage.observe(seen).await;
    };
    scheduler.run_until(looking).await;
    assert!(scheduler.queue().counts().await.unwrap().scheduled >= 2);
    assert!(scheduler.remove("hourly").await.unwrap());
}
