//! The reply to each request of every public write is lost once: the call either gives the right answer, with its effect
//! there once, or says `Unknown`, and its effect is there at most once.

#![cfg(all(feature = "cache", feature = "counters", feature = "leaderboard"))]
#![cfg(all(feature = "lock", feature = "pubsub", feature = "queue"))]
#![cfg(all(
    feature = "inventory",
    feature = "rate_limit",
    feature = "session",
    feature = "window"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use russet::testing::{Proxy, Reply, TestServer, eventually};
use russet::{
    Acked, BoxError, Cache, Counters, Delivery, Device, Effects, ErrorKind, Group, Inventory,
    Leaderboard, Limit, Loader, Lock, LockGuard, Queue, RateLimit, RateLimiter, ReentrantGuard,
    ReentrantLock, Reservation, Russet, Sessions, Settled, SignedIn, SlidingWindow, Sso, Start,
    Task, TaskId, Ticket, Topic, TopicDelivery, metered,
};
use support::public_methods;
use tokio::sync::Mutex;

use Fate::{Repeated, Unknown};

const LONG: Duration = Duration::from_secs(20);

/// What a call does when the reply to its write is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It asks again: done twice, the write ends the same.
    Repeated,
    /// It says that it does not know.
    Unknown,
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<String, russet::Error>> + 'a>>;

/// A public write: its name, and how to make the call.
type Row = (&'static str, Fate, for<'a> fn(&'a Blocks) -> Work<'a>);

macro_rules! row {
    ($name:literal, $fate:ident, |$blocks:ident| $call:expr) => {
        ($name, $fate, |$blocks: &Blocks| {
            Box::pin(async move { ($call).await.map(|answer| text(&answer)) })
        })
    };
}

/// Every public call that may write, or more of it than one. A look-up is one too: it takes a lease and stores what it
/// loaded.
const WRITES: &[Row] = &[
    row!("Cache::get", Repeated, |b| b.cache.get(&7)),
    row!("Cache::get_with_source", Repeated, |b| b.cache.get_with_source(&7)),
    row!("Cache::get_with", Repeated, |b| b.cache.get_with(&7, async || b.load(7).await)),
    row!("Cache::find_with", Repeated, |b| b.cache.find_with(&7, async || b.find(7).await)),
    row!("Cache::find_with_source", Repeated, |b| b
        .cache
        .find_with_source(&7, async || b.find(7).await)),
    row!("Cache::get_many", Repeated, |b| async { b.cache.get_many(&[1, 7, 8]).await }),
    row!("Cache::put", Unknown, |b| b.cache.put(&1, &2).into_future()),
    row!("Cache::put_many", Unknown, |b| b.cache.put_many([(&1, &2), (&9, &3)])),
    row!("Cache::remove", Repeated, |b| b.cache.remove(&1)),
    row!("Cache::remove_many", Repeated, |b| async { b.cache.remove_many(&[1, 9]).await }),
    row!("Cache::update_with", Repeated, |b| b.cache.update_with(&1, async || b.load(1).await)),
    row!("Cache::invalidate_many", Repeated, |b| async { b.cache.invalidate_many(&[1, 9]).await }),
    row!("Cache::invalidate", Repeated, |b| b.cache.invalidate(&1)),
    row!("Counters::add", Unknown, |b| b.counters.add("views", 5)),
    row!("Counters::add_at", Unknown, |b| b.counters.add_at("views", 5, b.then)),
    row!("Counters::add_many", Unknown, |b| b.counters.add_many([("views", 5)])),
    row!("Counters::add_at_many", Unknown, |b| b
        .counters
        .add_at_many([("views", 5, b.then), ("new", 1, b.then)])),
    row!("Leaderboard::add", Unknown, |b| b.board.add("me", 5.0)),
    row!("Leaderboard::increment", Unknown, |b| b.board.increment("me", 5.0)),
    row!("Leaderboard::add_many", Unknown, |b| b.board.add_many([("me", 5.0), ("new", 1.0)])),
    row!("Leaderboard::increment_many", Unknown, |b| b.board.increment_many([("me", 5.0)])),
    row!("Leaderboard::remove", Unknown, |b| b.board.remove("me")),
    row!("Leaderboard::trim", Unknown, |b| b.board.trim(1)),
    row!("Lock::acquire", Repeated, |b| async { b.keeps(b.free.acquire().await?).await }),
    row!("Lock::try_acquire", Repeated, |b| async {
        b.keeps(b.free.try_acquire().await?.unwrap()).await
    }),
    row!("Lock::try_acquire_for", Repeated, |b| async {
        b.keeps(b.free.try_acquire_for(LONG).await?.unwrap()).await
    }),
    row!("Lock::force_release", Unknown, |b| async { b.taken.force_release(b.fence).await }),
    row!("LockGuard::release", Unknown, |b| async {
        b.guard.lock().await.take().unwrap().release().await
    }),
    row!("ReentrantLock::enter_as", Repeated, |b| async {
        let owner = b.entry.lock().await.as_ref().unwrap().owner();
        b.enters(b.again.enter_as(&owner).await?.unwrap()).await
    }),
    row!("ReentrantGuard::reenter", Repeated, |b| async {
        let inner = b.entry.lock().await.as_ref().unwrap().reenter().await?;
        b.enters(inner).await
    }),
    row!("ReentrantGuard::release", Unknown, |b| async {
        b.entry.lock().await.take().unwrap().release().await
    }),
    row!("Inventory::set_stock", Repeated, |b| b.shop.set_stock("ticket", 7).into_future()),
    row!("Inventory::adjust", Repeated, |b| b.shop.adjust("ticket", 2).into_future()),
    row!("Inventory::reserve", Repeated, |b| b.reserve()),
    row!("Inventory::confirm", Repeated, |b| b.shop.confirm("open")),
    row!("Inventory::cancel", Repeated, |b| b.shop.cancel("open")),
    row!("Inventory::remove", Unknown, |b| b.shop.remove("poster")),
    row!("SlidingWindow::add", Unknown, |b| b.window.add(5)),
    row!("RateLimiter::check", Unknown, |b| async {
        b.limiter.check("me").await.map(|allowance| allowance.remaining)
    }),
    row!("RateLimiter::reset", Unknown, |b| b.limiter.reset("you")),
    row!("Topic::publish", Unknown, |b| async { b.topic.publish(&3).await.map(|_| ()) }),
    row!("Topic::group", Repeated, |b| async { b.topic.group("new").await.map(|_| ()) }),
    row!("Topic::replay", Unknown, |b| b.topic.replay("billing", Start::Now)),
    row!("Topic::remove_group", Unknown, |b| b.topic.remove_group("billing")),
    row!("Topic::delete", Repeated, |b| b.topic.delete()),
    row!("Group::next", Unknown, |b| async { b.reader.lock().await.next().await.map(|_| ()) }),
    row!("Group::next_batch", Unknown, |b| async {
        b.reader.lock().await.next_batch(9).await.map(|_| ())
    }),
    row!("Group::try_next_batch", Unknown, |b| async {
        b.reader.lock().await.try_next_batch(9).await.map(|_| ())
    }),
    row!("Group::leave", Repeated, |b| async {
        b.leaves.lock().await.take().unwrap().leave().await
    }),
    row!("TopicDelivery::ack", Unknown, |b| async {
        b.held.lock().await.take().unwrap().ack().await
    }),
    row!("Sessions::create", Repeated, |b| async {
        let (_, session) = b.sessions.create("u", &b.client).await?;
        Ok::<_, russet::Error>(session.version())
    }),
    row!("Sessions::note_activity", Unknown, |b| b.noted()),
    row!("Sessions::sign_out", Repeated, |b| async {
        b.sessions.sign_out(&b.global.token).await.map(drop)
    }),
    row!("Sessions::revoke", Repeated, |b| async {
        b.sessions.revoke("u", b.global.session.id()).await.map(drop)
    }),
    row!("Sessions::sign_out_everywhere", Repeated, |b| b.sessions.sign_out_everywhere("u")),
    row!("Sessions::sign_out_others", Repeated, |b| b.sessions.sign_out_others(&b.global.session)),
    row!("Session::set", Repeated, |b| b.changed("n", 7)),
    row!("Session::remove", Repeated, |b| async { b.global.session.remove("old").await.map(drop) }),
    row!("Session::rotate", Repeated, |b| async {
        Ok::<_, russet::Error>(b.global.session.rotate().await?.is_some())
    }),
    row!("Sso::sign_in", Repeated, |b| async { b.sso.sign_in("u", &b.client).await.map(drop) }),
    row!("Sso::open", Repeated, |b| async { b.sso.open(&b.global, "shop", &()).await.map(drop) }),
    row!("Sso::ticket", Repeated, |b| async { b.sso.ticket(&b.global, "shop").await.map(drop) }),
    row!("Sso::redeem", Repeated, |b| async {
        let redeemed = b.sso.redeem(b.ticket.expose(), "mail", &b.client).await?;
        Ok::<_, russet::Error>(redeemed.is_some())
    }),
    row!("Sso::close", Repeated, |b| async { b.sso.close(&b.global, "chat").await.map(drop) }),
    row!("Sso::sign_out", Repeated, |b| async { b.sso.sign_out(&b.global).await.map(drop) }),
    row!("Sso::sign_out_all", Repeated, |b| async {
        b.sso.sign_out_all(&b.global.session).await.map(drop)
    }),
    // With a request id it finds out by itself; tests/queue.rs has it.
    row!("Queue::enqueue", Unknown, |b| b.queue.enqueue(Job(1)).into_future()),
    row!("Queue::enqueue_many", Unknown, |b| b.queue.enqueue_many([Job(1), Job(2)]).into_future()),
    row!("Queue::receive", Unknown, |b| async {
        let received = b.queue.receive(Duration::ZERO).await.map(|delivery| delivery.is_some());
        if received.is_err() {
            // What it was given in the answer that was lost is given back in the background.
            b.holds_one_task().await;
        }
        received
    }),
    row!("Queue::cancel", Unknown, |b| b.queue.cancel(b.ready)),
    row!("Queue::redrive", Unknown, |b| b.queue.redrive(b.dead)),
    row!("Queue::redrive_all", Unknown, |b| b.queue.redrive_all()),
    row!("Queue::delete", Unknown, |b| b.queue.delete(b.dead)),
    row!("Queue::purge", Unknown, |b| b.queue.purge(Duration::ZERO)),
    row!("Queue::pause", Unknown, |b| b.queue.pause()),
    row!("Queue::resume", Unknown, |b| b.other_queue.resume()),
    row!("Queue::set_rate_limit", Repeated, |b| b.queue.set_rate_limit(RateLimit::per_second(9))),
    row!("Queue::clear_rate_limit", Repeated, |b| b.other_queue.clear_rate_limit()),
    row!("Queue::remove_effects", Unknown, |b| b.queue.remove_effects("totals")),
    row!("Queue::wait_for", Repeated, |b| b.queue.wait_for(b.ready, Duration::ZERO)),
    row!("Delivery::ack", Unknown, |b| async { b.task().await.ack().await }),
    row!("Delivery::complete_with", Unknown, |b| async {
        b.task().await.complete_with((), Effects::new().add("totals", "n", 5)).await
    }),
    row!("Delivery::retry", Unknown, |b| async { b.task().await.retry("failed").await }),
    row!("Delivery::dead_letter", Unknown, |b| async {
        b.task().await.dead_letter("failed").await
    }),
    row!("Delivery::release", Unknown, |b| async { b.task().await.release().await }),
];

/// Every public call that writes nothing.
const READS: &[&str] = &[
    "Cache::builder",
    "Cache::stats",
    // Of queued writes, which this cache has not; tests/cache_behind makes these calls.
    "Cache::backlog",
    "Cache::close",
    "Cache::dead_writes",
    "Cache::discard",
    "Cache::flush",
    "Cache::redrive",
    "Cache::redrive_all",
    "Counters::builder",
    "Counters::get",
    "Counters::get_at",
    "Counters::total",
    "Counters::top",
    "Counters::top_at",
    "Counters::top_total",
    "Counters::series",
    "Leaderboard::builder",
    // It asks nothing.
    "Leaderboard::at",
    "Leaderboard::top",
    "Leaderboard::page",
    "Leaderboard::around",
    "Leaderboard::standing",
    "Leaderboard::rank",
    "Leaderboard::score",
    "Leaderboard::count",
    "Lock::builder",
    "Lock::names",
    "Lock::status",
    // It acquires and releases, which have their rows.
    "Lock::with",
    // They write a time, which is left out of the comparison.
    "LockGuard::extend",
    "ReentrantGuard::extend",
    "LockGuard::fence",
    "LockGuard::is_lost",
    "LockGuard::lost",
    "LockGuard::with",
    "ReentrantLock::builder",
    // As those of a lock, in the same steps.
    "ReentrantLock::acquire",
    "ReentrantLock::try_acquire",
    "ReentrantLock::try_acquire_for",
    "ReentrantLock::with",
    "ReentrantGuard::fence",
    "ReentrantGuard::is_lost",
    "ReentrantGuard::lost",
    "ReentrantGuard::owner",
    "ReentrantGuard::with",
    "Inventory::builder",
    // It sets a time, which differs from one run to the next; done twice, the reservation ends a little later.
    "Inventory::extend",
    "Inventory::get",
    "Inventory::products",
    "Inventory::reservation",
    "Inventory::reservations",
    "Sessions::builder",
    "Sessions::activity",
    "Sessions::ended",
    "Sessions::find",
    "Sessions::list",
    "Sessions::look_many",
    "Sessions::new_token",
    // It moves a deadline, which differs from one run to the next; done twice, it is a little later.
    "Sessions::validate",
    "Session::app",
    // What it saves is that of `set` and `remove`.
    "Session::change",
    "Session::created",
    "Session::csrf_token",
    "Session::ends",
    "Session::get",
    "Session::global",
    "Session::has_role",
    "Session::id",
    "Session::ip",
    "Session::is_csrf_token",
    "Session::last_seen",
    "Session::reached",
    "Session::roles",
    "Session::user",
    "Session::user_agent",
    "Session::version",
    "Sso::new",
    "SlidingWindow::builder",
    "SlidingWindow::count",
    "SlidingWindow::rate",
    "RateLimiter::builder",
    "RateLimiter::limits",
    "RateLimiter::name",
    "RateLimiter::remaining",
    "PubSub::builder",
    "PubSub::new",
    "PubSub::on",
    "PubSub::on_like",
    // It stores nothing; tests/pubsub has its lost reply.
    "PubSub::publish",
    "PubSub::subscribe",
    "PubSub::subscribe_like",
    "Topic::builder",
    "Topic::history",
    "Topic::stats",
    "TopicDelivery::deliveries",
    // It writes a time, which is left out of the comparison; done twice, the lease begins anew.
    "TopicDelivery::extend",
    "TopicDelivery::id",
    "TopicDelivery::message",
    "Queue::builder",
    "Queue::counts",
    "Queue::dead",
    "Queue::effect",
    "Queue::inspect",
    "Queue::names",
    "Queue::peek",
    "Queue::stats",
    "Queue::status",
    "Queue::waiting",
    "Delivery::attempt",
    "Delivery::body",
    // As that of a topic's.
    "Delivery::extend",
    "Delivery::fence",
    "Delivery::header",
    "Delivery::id",
    "Delivery::name",
    "Delivery::task",
];

/// What the calls are made on, in a namespace of its own.
struct Blocks {
    russet: Russet,
    cache: Cache<u64, u64>,
    counters: Counters,
    board: Leaderboard,
    shop: Inventory,
    sessions: Sessions,
    sso: Sso,
    client: Device,
    /// With an attribute, an application and a ticket for another one.
    global: SignedIn,
    ticket: Ticket,
    window: SlidingWindow,
    limiter: RateLimiter,
    topic: Topic<u64>,
    reader: Mutex<Group<u64>>,
    leaves: Mutex<Option<Group<u64>>>,
    held: Mutex<Option<TopicDelivery<u64>>>,
    /// With a dead task, one in the hands of a caller, two that are ready, and an effect.
    queue: Queue,
    /// Paused, and with a rate.
    other_queue: Queue,
    dead: TaskId,
    ready: TaskId,
    task: Mutex<Option<Delivery>>,
    then: SystemTime,
    free: Lock,
    taken: Lock,
    fence: u64,
    again: ReentrantLock,
    guard: Mutex<Option<LockGuard>>,
    entry: Mutex<Option<ReentrantGuard>>,
    /// What a call took, for as long as it is looked at.
    kept: Mutex<(Vec<LockGuard>, Vec<ReentrantGuard>)>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job(u64);

impl Task for Job {
    const NAME: &'static str = "job";
}

struct Squares;

impl Loader<u64, u64> for Squares {
    async fn load(&self, n: &u64) -> Result<Option<u64>, BoxError> {
        Ok(Some(n * n))
    }
}

impl Blocks {
    /// With something there already: a value of 1, a count and two members.
    async fn new(url: &str, namespace: &str) -> Self {
        let builder = Russet::builder().url(url).namespace(namespace);
        // A call whose reply is lost has time for another connection, on any machine.
        let russet = builder.timeout(LONG).connect_timeout(LONG).connect().await.unwrap();
        // Two messages, one of them in the hands of a subscriber; and one subscriber that has nothing.
        let topic = Topic::builder(&russet, "orders").build().unwrap();
        topic.publish(&1).await.unwrap();
        topic.publish(&2).await.unwrap();
        let mut reader = topic.group("billing").await.unwrap();
        let mut leaves = topic.group("shipping").await.unwrap();
        for delivery in leaves.next_batch(2).await.unwrap() {
            assert_eq!(delivery.ack().await.unwrap(), Acked::Done);
        }
        let held = reader.next().await.unwrap();
        let queue = Queue::builder(&russet, "jobs").build().unwrap();
        let ids = queue.enqueue_many((0..5).map(Job)).await.unwrap().ids;
        let take = async || queue.receive(LONG).await.unwrap().unwrap();
        let effects = Effects::new().add("totals", "n", 1);
        assert_eq!(take().await.complete_with((), effects).await.unwrap(), Settled::Done);
        assert_eq!(take().await.dead_letter("failed").await.unwrap(), Settled::Done);
        let task = take().await;
        let other_queue = Queue::builder(&russet, "other jobs").build().unwrap();
        other_queue.pause().await.unwrap();
        other_queue.set_rate_limit(RateLimit::per_second(9)).await.unwrap();
        // The connection for messages is there.
        let waited = other_queue.enqueue(Job(9)).await.unwrap().id;
        other_queue.wait_for(waited, Duration::from_millis(1)).await.unwrap();
        let sessions = Sessions::builder(&russet, "web")
            .secret([7; 32])
            .sweep_every(LONG * 100)
            .build()
            .unwrap();
        let (sso, client) = (Sso::new(&sessions), Device::unknown());
        let global = sso.sign_in("u", &client).await.unwrap();
        global.session.set("old", &1).await.unwrap();
        sso.open(&global, "chat", &()).await.unwrap();
        let ticket = sso.ticket(&global, "mail").await.unwrap();
        let taken = Lock::builder(&russet, "taken").build().unwrap();
        let guard = taken.acquire().await.unwrap();
        let again = ReentrantLock::builder(&russet, "again").build().unwrap();
        let blocks = Self {
            sessions,
            sso,
            client,
            global,
            ticket,
            queue,
            other_queue,
            dead: ids[1],
            ready: ids[3],
            task: Mutex::new(Some(task)),
            topic,
            reader: Mutex::new(reader),
            leaves: Mutex::new(Some(leaves)),
            held: Mutex::new(Some(held)),
            cache: Cache::builder(&russet, "numbers").loader(Squares).build().unwrap(),
            counters: Counters::builder(&russet, "site").build().unwrap(),
            board: Leaderboard::builder(&russet, "game").build().unwrap(),
            free: Lock::builder(&russet, "free").build().unwrap(),
            taken,
            fence: guard.fence(),
            guard: Mutex::new(Some(guard)),
            entry: Mutex::new(Some(again.acquire().await.unwrap())),
            again,
            kept: Mutex::default(),
            // It sweeps once, at its first call.
            shop: Inventory::builder(&russet, "shop").sweep_every(LONG * 100).build().unwrap(),
            window: SlidingWindow::builder(&russet, "requests").build().unwrap(),
            limiter: RateLimiter::builder(&russet, "api")
                .limit(Limit::fixed(9, 366 * 86_400 * Duration::from_secs(1)))
                .build()
                .unwrap(),
            // In the year 2090: no bucket of it is one of today.
            then: SystemTime::UNIX_EPOCH + Duration::from_secs(3_786_912_000),
            russet,
        };
        blocks.cache.put(&1, &1).await.unwrap();
        blocks.counters.add_at("views", 1, blocks.then).await.unwrap();
        blocks.board.add_many([("me", 3.0), ("you", 4.0)]).await.unwrap();
        let _ = blocks.shop.set_stock("ticket", 9).request_id("1").await.unwrap();
        let _ = blocks.shop.set_stock("poster", 9).request_id("2").await.unwrap();
        let open = blocks.shop.reserve("ticket", 2).request_id("open").await.unwrap();
        assert!(matches!(open, Reservation::Held(_)));
        blocks.window.add(1).await.unwrap();
        let _ = blocks.limiter.check("you").await.unwrap();
        blocks
    }

    async fn holds_one_task(&self) {
        eventually(LONG, async || match self.queue.counts().await {
            Ok(counts) if counts.running == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    async fn noted(&self) -> Result<(), russet::Error> {
        self.sessions.note_activity("odd", &self.global.session, &self.client).await
    }

    async fn changed(&self, name: &str, value: u64) -> Result<(), russet::Error> {
        self.global.session.set(name, &value).await.map(drop)
    }

    async fn task(&self) -> Delivery {
        self.task.lock().await.take().unwrap()
    }

    /// Without what differs from one run to the next.
    async fn reserve(&self) -> Result<&'static str, russet::Error> {
        Ok(match self.shop.reserve("ticket", 3).await? {
            Reservation::Held(_) => "held",
            _ => "not held",
        })
    }

    async fn load(&self, n: u64) -> Result<u64, BoxError> {
        Ok(n * n)
    }

    async fn keeps(&self, guard: LockGuard) -> Result<(), russet::Error> {
        self.kept.lock().await.0.push(guard);
        Ok(())
    }

    async fn enters(&self, guard: ReentrantGuard) -> Result<(), russet::Error> {
        self.kept.lock().await.1.push(guard);
        Ok(())
    }

    async fn find(&self, n: u64) -> Result<Option<u64>, BoxError> {
        Ok(Some(n * n))
    }
}

fn text(answer: &impl Debug) -> String {
    format!("{answer:?}")
}

/// What stands in the namespace, without what differs from one run to the next: times and lease ids.
async fn stored(server: &TestServer, namespace: &str) -> BTreeSet<String> {
    let mut stored = BTreeSet::new();
    let keys = server.command(&["KEYS", &format!("{namespace}:*")]).await.unwrap();
    for key in keys.texts() {
        let (_, part) = key.split_once("}:").unwrap();
        let part = part.split(':').next().unwrap();
        let reply = match part {
            _ if key.contains("{session:") => kept(server, key, part).await,
            _ if key.contains("{queue:") => queued(server, key, part).await,
            "entry" | "waiters" => server.command(&["GET", key]).await,
            "log" => log(server, key).await,
            "record" => record(server, key).await,
            "stock" => server.command(&["HGETALL", key]).await,
            "holds" => holds(server, key).await,
            "due" | "ended" => server.command(&["ZCARD", key]).await,
            "buckets" => server.command(&["HGET", key, "total"]).await,
            "fixed" => server.command(&["GET", key]).await,
            _ => server.command(&["ZRANGE", key, "0", "-1", "WITHSCORES"]).await,
        };
        let content = match reply.unwrap() {
            Reply::Text(entry) if entry.starts_with(b"L1") => "a lease".to_owned(),
            other => text(&other),
        };
        let (object, _) = key[namespace.len()..].split_once('}').unwrap();
        // The four buckets of a time: which of them changed is told by their number.
        let mut line = format!("{object} {part} {content}");
        while !stored.insert(line.clone()) {
            line.push('+');
        }
    }
    stored
}

/// How much there is of a part of a queue: ids, times and fences differ from one run to the next.
async fn queued(server: &TestServer, key: &str, part: &str) -> std::io::Result<Reply> {
    let mut told = Vec::new();
    match part {
        "meta" => {
            for field in ["paused", "limit", "completed", "failed", "retrying", "ghosts"] {
                told.push(server.command(&["HGET", key, field]).await?);
            }
        }
        "effects" => told.push(server.command(&["HGETALL", key]).await?),
        "ready" => told.push(server.command(&["LLEN", key]).await?),
        "scheduled" | "leases" | "dead" | "ended" | "waiters" | "cancels" | "remembered" => {
            told.push(server.command(&["ZCARD", key]).await?)
        }
        _ => told.push(server.command(&["HLEN", key]).await?),
    }
    Ok(Reply::List(told))
}

/// How much there is of a part of the sessions, and of a session what it has: ids and times differ from one run to the next.
async fn kept(server: &TestServer, key: &str, part: &str) -> std::io::Result<Reply> {
    let mut told = Vec::new();
    match part {
        "record" => {
            let fields = server.command(&["HKEYS", key]).await?;
            let mut fields: Vec<_> = fields.texts().into_iter().map(str::to_owned).collect();
            fields.sort_unstable();
            told.extend(fields.into_iter().map(|field| Reply::Text(field.into_bytes())));
        }
        "due" => {
            told.push(server.command(&["ZCARD", key]).await?);
            told.push(server.command(&["ZCOUNT", key, "0", "0"]).await?);
        }
        "users" => told.push(server.command(&["ZCARD", key]).await?),
        "log" | "activity" => told.push(server.command(&["XLEN", key]).await?),
        "book" => {
            // The number itself is larger when the sessions were marked twice, and marks the same.
            told.push(server.command(&["HEXISTS", key, "u:u"]).await?);
        }
        _ => {}
    }
    Ok(Reply::List(told))
}

/// Whether a lock is held, and how often it was entered.
async fn record(server: &TestServer, key: &str) -> std::io::Result<Reply> {
    let record = server.command(&["GET", key]).await?;
    let field = |name: &str| {
        let mut fields = record.text().unwrap_or_default().split(';');
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap()
    };
    let is_held = i64::from(!field("owner").is_empty());
    let entries = field("entries").split(',').filter(|entry| !entry.is_empty()).count();
    Ok(Reply::List(vec![Reply::Int(is_held), Reply::Int(entries as i64)]))
}

/// The reservations of a shop: their states and quantities.
async fn holds(server: &TestServer, key: &str) -> std::io::Result<Reply> {
    let lines = server.command(&["HVALS", key]).await?;
    let mut told: Vec<_> = lines
        .texts()
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .map(|line| Reply::Text(line.into_bytes()))
        .collect();
    told.sort_by_key(|reply| format!("{reply:?}"));
    Ok(Reply::List(told))
}

/// How many messages a topic has, and of each group its name, subscribers, messages in their hands and messages behind.
async fn log(server: &TestServer, key: &str) -> std::io::Result<Reply> {
    let mut told = vec![server.command(&["XLEN", key]).await?];
    for group in server.command(&["XINFO", "GROUPS", key]).await?.list() {
        told.extend([1, 3, 5, 11].map(|place| group.list()[place].clone()));
    }
    Ok(Reply::List(told))
}

#[tokio::test]
async fn every_write_whose_reply_is_lost_is_there_at_most_once_and_says_what_it_knows() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let mut lost = 0;
    for (name, fate, call) in WRITES {
        // Undisturbed: the answer, what it leaves, and how many requests it takes. The first one teaches the scripts.
        let namespace = |what: &str| format!("{}-{what}", name.replace("::", "-"));
        call(&Blocks::new(&server.url(), &namespace("first")).await).await.unwrap();
        let once = Blocks::new(&server.url(), &namespace("once")).await;
        let before = stored(&server, &namespace("once")).await;
        let (answer, sent) = metered(call(&once)).await;
        let (answer, after) = (answer.unwrap(), stored(&server, &namespace("once")).await);
        assert_ne!(before, after, "{name} wrote nothing");

        let mut fates = Vec::new();
        for request in 0..sent.round_trips as usize {
            let here = namespace(&format!("lost-{request}"));
            let blocks = Blocks::new(&proxy.url(), &here).await;
            let connections = proxy.connections();
            proxy.drop_reply_after(request).await.unwrap();
            let outcome = call(&blocks).await;
            let now = stored(&server, &here).await;
            match outcome {
                Ok(got) => {
                    assert_eq!(got, answer, "{name}, reply {request} lost");
                    assert_eq!(now, after, "{name}, reply {request} lost");
                    assert!(proxy.connections() > connections, "{name}: no reply was lost");
                    fates.push(Repeated);
                }
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::Unknown,
                        "{name}, reply {request}: {error}"
                    );
                    assert!(now == before || now == after, "{name}, reply {request}: {now:?}");
                    fates.push(Unknown);
                }
            }
            blocks.russet.close().await;
            lost += 1;
        }
        println!("{name}: {} replies lost, {fates:?}", fates.len());
        assert!(fates.contains(fate) && (*fate == Unknown || !fates.contains(&Unknown)), "{name}");
    }
    println!("{lost} replies lost");
}

const BLOCKS: [&str; 19] = [
    "Cache",
    "Counters",
    "Leaderboard",
    "Lock",
    "LockGuard",
    "ReentrantLock",
    "ReentrantGuard",
    "PubSub",
    "Topic",
    "Group",
    "TopicDelivery",
    "Queue",
    "Delivery",
    "Inventory",
    "SlidingWindow",
    "RateLimiter",
    "Sessions",
    "Session",
    "Sso",
];

#[test]
fn every_public_call_is_a_row_or_a_read() {
    let writes = WRITES.iter().map(|(name, ..)| (*name).to_owned());
    let listed: Vec<String> = writes.chain(READS.iter().map(|name| (*name).to_owned())).collect();
    let found: BTreeSet<_> = BLOCKS.iter().flat_map(|block| public_methods(block)).collect();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), found);
    assert_eq!(listed.len(), found.len(), "listed twice");
}
