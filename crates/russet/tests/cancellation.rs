//! Cancellation is a fault like any other: the future of every call is dropped at every point at which it waits, and
//! the next call on the handle gets its own answer, and nothing is left behind.

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

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use russet::testing::eventually;
use russet::{
    BoxError, Cache, Counters, Device, Durability, Effects, Event, Granularity, Inventory, Json,
    Leaderboard, Limit, Loader, Lock, OnChannel, Peek, Period, PubSub, Queue, RateLimit,
    RateLimiter, ReentrantLock, Russet, Scheduler, Sessions, Sharded, SlidingWindow, Sso, Start,
    Task, TaskContext, TaskId, Ties, Topic, Worker, raw,
};
use support::{Ground, connect, patient, public_methods};

const LONG: Duration = Duration::from_secs(30);
/// So long that no lock that is left behind ends by itself.
const LEASE: Duration = Duration::from_secs(3_600);

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Polls the future so often, each time when it is woken, and drops it; answers whether it had ended before.
async fn dropped_after(polls: u32, mut work: Work<'_>) -> bool {
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polled >= polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

struct Squares;

impl Loader<u64, u64> for Squares {
    async fn load(&self, n: &u64) -> Result<Option<u64>, BoxError> {
        tokio::task::yield_now().await;
        Ok(Some(n * n))
    }
}

/// What the calls are made on.
struct Blocks {
    russet: Russet,
    durable: Russet,
    cache: Cache<u64, u64>,
    counters: Counters,
    board: Leaderboard,
    daily: Leaderboard,
    shop: Inventory,
    sessions: Sessions,
    sso: Sso,
    client: Device,
    window: SlidingWindow,
    limiter: RateLimiter,
    live: PubSub,
    rooms: PubSub<Json, Sharded>,
    topic: Topic<u64>,
    queue: Queue,
    scheduler: Scheduler,
    lock: Lock,
    again: ReentrantLock,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job(u64);

impl Task for Job {
    const NAME: &'static str = "job";
}

fn blocks(russet: Russet) -> Blocks {
    let timeout = Duration::from_millis(1);
    let queue = Queue::builder(&russet, "jobs").lease(Duration::from_secs(1)).build().unwrap();
    let sessions = Sessions::builder(&russet, "web").secret([7; 32]).build().unwrap();
    Blocks {
        sso: Sso::new(&sessions),
        sessions,
        client: Device::unknown(),
        durable: russet.durability(Durability::Replicated { replicas: 1, timeout }),
        cache: Cache::builder(&russet, "squares").loader(Squares).build().unwrap(),
        counters: Counters::builder(&russet, "site").build().unwrap(),
        board: Leaderboard::builder(&russet, "game").build().unwrap(),
        daily: Leaderboard::builder(&russet, "game")
            .ties(Ties::FirstToReach)
            .period(Period::Day)
            .build()
            .unwrap(),
        shop: Inventory::builder(&russet, "shop").hold(LONG).build().unwrap(),
        window: SlidingWindow::builder(&russet, "requests").build().unwrap(),
        limiter: RateLimiter::builder(&russet, "api")
            .limit(Limit::fixed(1_000, LONG))
            .build()
            .unwrap(),
        live: PubSub::new(&russet),
        rooms: PubSub::builder(&russet).sharded().build().unwrap(),
        topic: Topic::builder(&russet, "orders").build().unwrap(),
        scheduler: Scheduler::new(&queue),
        queue,
        lock: Lock::builder(&russet, "lock").lease(LEASE).build().unwrap(),
        again: ReentrantLock::builder(&russet, "again").lease(LEASE).build().unwrap(),
        russet,
    }
}

/// Every public call that waits for something, by name. Each round takes keys of its own, so that misses stay misses.
fn calls(blocks: &Blocks, round: u64) -> Vec<(&'static str, Work<'_>)> {
    let Blocks { russet, durable, cache, counters, board, live, topic, queue, .. } = blocks;
    let Blocks { daily, rooms, shop, window, limiter, scheduler, lock, again, .. } = blocks;
    let Blocks { sessions, sso, client, .. } = blocks;
    let id: TaskId = "0000000000000000000000".parse().unwrap();
    let now = SystemTime::now();
    macro_rules! calls {
        ($($name:literal: $call:expr),+ $(,)?) => {
            vec![$(($name, Box::pin(async move { let _ = $call.await; }) as Work<'_>)),+]
        };
    }
    let pair: Vec<Vec<Vec<u8>>> =
        ["a", "b"].iter().map(|text| vec![b"ECHO".to_vec(), text.as_bytes().to_vec()]).collect();
    calls! {
        "health": russet.health(),
        "doctor": russet.doctor(),
        "raw": raw::command(russet, &["ECHO", "abandoned"]),
        "pipeline": async { raw::pipeline(russet, &pair).await },
        "durable": raw::durable(durable, &["SET", "durable", "x"]),
        "cache get": cache.get(&round),
        "cache get_with_source": cache.get_with_source(&(round + 1_000)),
        "cache get_with": cache.get_with(&(round + 2_000), async || Ok::<_, BoxError>(1)),
        "cache find_with_source": cache.find_with_source(&(round + 6_000), async || Ok::<_, BoxError>(None)),
        "cache find_with": cache.find_with(&(round + 3_000), async || Ok::<_, BoxError>(None)),
        "cache get_many": async { cache.get_many(&[round + 4_000, round + 4_001]).await },
        "cache put": cache.put(&(round + 5_000), &1).into_future(),
        "cache put_many": cache.put_many([(&(round + 5_001), &1), (&(round + 5_002), &2)]),
        "cache remove": cache.remove(&(round + 5_000)),
        "cache remove_many": async { cache.remove_many(&[round + 5_001, round + 5_002]).await },
        "cache update_with": cache.update_with(&(round + 1_001), async || {
            tokio::task::yield_now().await;
            Ok::<_, BoxError>(())
        }),
        "cache invalidate_many": async { cache.invalidate_many(&[round, round + 1_000]).await },
        "cache flush": cache.flush(),
        "cache close": cache.close(),
        "cache backlog": cache.backlog(),
        "cache dead_writes": cache.dead_writes(10),
        "cache redrive": cache.redrive(&1),
        "cache redrive_all": cache.redrive_all(),
        "cache discard": cache.discard(&1),
        "cache invalidate": cache.invalidate(&(round + 1_000)),
        "counters add": counters.add("n", 1),
        "counters add_at": counters.add_at("n", 1, now),
        "counters add_many": counters.add_many([("n", 1), ("m", 1)]),
        "counters add_at_many": counters.add_at_many([("n", 1, now)]),
        "counters get": counters.get("n"),
        "counters get_at": counters.get_at("n", now),
        "counters total": counters.total("n"),
        "counters top": counters.top(Granularity::Day, 10),
        "counters top_at": counters.top_at(Granularity::Day, now, 10),
        "counters top_total": counters.top_total(10),
        "counters series": counters.series("n", Granularity::Hour, ..),
        "board add": board.add("me", 1.0),
        "board increment": board.increment("me", 1.0),
        "board add_many": board.add_many([("you", 1.0)]),
        "board increment_many": board.increment_many([("you", 1.0)]),
        "board remove": board.remove("you"),
        "board trim": board.trim(10),
        "board top": board.top(10),
        "board page": board.page(0, 10),
        "board around": board.around("me", 1),
        "board standing": board.standing("me"),
        "board rank": board.rank("me"),
        "board score": board.score("me"),
        "board count": board.count(),
        "current board add": daily.add("me", 1.0),
        "current board increment_many": daily.increment_many([("me", 1.0), ("you", 1.0)]),
        "current board remove": daily.remove("you"),
        "current board trim": daily.trim(10),
        "current board top": daily.top(10),
        "current board rank": daily.rank("me"),
        "current board count": daily.count(),
        "shop set_stock": shop.set_stock("ticket", 1_000_000).into_future(),
        "shop adjust": shop.adjust("ticket", 1).into_future(),
        "shop reserve": shop.reserve("ticket", 1).into_future(),
        "shop extend": shop.extend("order", LONG),
        "shop confirm": shop.confirm("order"),
        "shop cancel": shop.cancel("order"),
        "shop get": shop.get("ticket"),
        "shop products": shop.products(None, 10),
        "shop reservation": shop.reservation("order"),
        "shop reservations": shop.reservations(0, 10),
        "shop remove": shop.remove("poster"),
        "sessions create": sessions.create("u", client).into_future(),
        "sessions validate": async {
            let (token, session) = sessions.create("u", client).await?;
            session.set("n", &round).await?;
            sessions.validate(&token, client).await.map(drop)
        },
        "sessions look_many": async { sessions.look_many(&[sessions.new_token("u")?]).await },
        "sessions rotate": async {
            let (_, session) = sessions.create("u", client).await?;
            session.rotate().await.map(drop)
        },
        "sessions sign_out": async {
            let (token, session) = sessions.create("u", client).await?;
            session.remove("n").await?;
            sessions.sign_out(&token).await.map(drop)
        },
        "sessions revoke": sessions.revoke("u", "00000000000000000000000000000000".parse().unwrap()),
        "sessions find": sessions.find("u", "00000000000000000000000000000000".parse().unwrap()),
        "sessions list": sessions.list("v"),
        "sessions note_activity": async {
            let (_, session) = sessions.create("v", client).await?;
            sessions.note_activity("odd", &session, client).await
        },
        "sessions sign_out_others": async {
            let (_, session) = sessions.create("v", client).await?;
            sessions.sign_out_others(&session).await.map(drop)
        },
        "sessions sign_out_everywhere": sessions.sign_out_everywhere("v"),
        "sessions ended": sessions.ended(9),
        "sessions activity": sessions.activity(9),
        "sso sign_in": sso.sign_in("u", client),
        "sso open": async {
            let global = sso.sign_in("u", client).await?;
            sso.open(&global, "shop", &()).await?;
            sso.close(&global, "shop").await?;
            sso.sign_out(&global).await.map(drop)
        },
        "sso close": async {
            let global = sso.sign_in("w", client).await?;
            sso.close(&global, "shop").await.map(drop)
        },
        "sso ticket": async {
            let global = sso.sign_in("w", client).await?;
            sso.ticket(&global, "shop").await.map(drop)
        },
        "sso redeem": async {
            let global = sso.sign_in("w", client).await?;
            let ticket = sso.ticket(&global, "shop").await?;
            sso.redeem(ticket.expose(), "shop", client).await.map(drop)
        },
        "sso sign_out": async {
            let global = sso.sign_in("w", client).await?;
            sso.sign_out(&global).await.map(drop)
        },
        "sso sign_out_all": async {
            let global = sso.sign_in("w", client).await?;
            sso.sign_out_all(&global.session).await.map(drop)
        },
        "window add": window.add(1),
        "window count": window.count(),
        "window rate": window.rate(),
        "limiter check": limiter.check("me").into_future(),
        "limiter remaining": limiter.remaining("me"),
        "limiter reset": limiter.reset("me"),
        "live publish": live.publish("alerts", &1),
        "rooms publish": rooms.publish("lobby", &1),
        "rooms subscribe": rooms.subscribe::<u64>("lobby"),
        "live subscribe": live.subscribe::<u64>("alerts"),
        "live subscribe_like": live.subscribe_like::<u64>("al*"),
        "live on": live.on("alerts", async |_: Event<u64>| Ok(())),
        "live on_like": live.on_like("al*", async |_: Event<OnChannel<u64>>| Ok(())),
        "topic publish": topic.publish(&1),
        "topic group": topic.group("billing"),
        "topic history": topic.history(10),
        "topic replay": topic.replay("billing", Start::Now),
        "topic stats": topic.stats(),
        "topic remove_group": topic.remove_group("billing"),
        "topic delete": topic.delete(),
        "deliveries": take(topic, round),
        "lock acquire": async { lock.acquire().await?.release().await },
        "lock try_acquire": async { lock.try_acquire().await.map(drop) },
        "lock try_acquire_for": lock.try_acquire_for(LONG),
        "lock with": lock.with(async |held| held.extend(LEASE).await),
        "lock status": lock.status(),
        "lock names": Lock::names(russet),
        "lock force_release": lock.force_release(1),
        "entries": async {
            let outer = again.acquire().await?;
            let inner = outer.reenter().await?;
            let third = again.enter_as(&outer.owner()).await?;
            let _ = inner.release().await?;
            drop(third);
            outer.with(async |held| held.fence()).await
        },
        "queue enqueue": queue.enqueue(Job(round)).into_future(),
        "queue enqueue_many": queue.enqueue_many([Job(round), Job(round)]).into_future(),
        "queue receive": async {
            let taken = queue.receive(Duration::from_millis(1)).await?;
            match taken {
                Some(delivery) => delivery.ack().await.map(|_| ()),
                None => Ok(()),
            }
        },
        "queue status": queue.status(id),
        "queue cancel": queue.cancel(id),
        "worker": work(russet, round),
        "queue names": Queue::names(russet),
        "queue counts": queue.counts(),
        "queue peek": queue.peek(Peek::Ready, 0, 10),
        "queue waiting": queue.waiting::<Job>(),
        "queue inspect": queue.inspect(id),
        "queue wait_for": queue.wait_for(id, Duration::from_millis(1)),
        "queue wait_for an end": async {
            let id = queue.enqueue(Job(round)).await?.id;
            queue.wait_for(id, Duration::from_millis(1)).await
        },
        "queue set_rate_limit": queue.set_rate_limit(RateLimit::per_second(1_000_000)),
        "queue clear_rate_limit": queue.clear_rate_limit(),
        "queue effect": queue.effect::<u64>("totals", "n"),
        "queue remove_effects": queue.remove_effects("totals"),
        "delivery complete_with": async {
            match queue.receive(Duration::ZERO).await? {
                Some(delivery) => {
                    let effects = Effects::new().add("totals", "n", 1);
                    delivery.complete_with((), effects).await.map(|_| ())
                }
                None => Ok(()),
            }
        },
        "queue dead": queue.dead(0, 10),
        "queue redrive": queue.redrive(id),
        "queue redrive_all": queue.redrive_all(),
        "queue delete": queue.delete(id),
        "queue purge": queue.purge(LONG),
        "queue pause": queue.pause(),
        "queue resume": queue.resume(),
        "scheduler at": scheduler.at(now, Job(round)).into_future(),
        "scheduler after": scheduler.after(Duration::ZERO, Job(round)).into_future(),
        "scheduler reschedule": scheduler.reschedule(id, now),
        "scheduler reschedule_after": scheduler.reschedule_after(id, LONG),
        "scheduler cancel": scheduler.cancel(id),
        "scheduler status": scheduler.status(id),
        "scheduler cron": scheduler.cron("c", "0 8 * * *", "UTC", Job(round)).into_future(),
        "scheduler every": scheduler.every("e", LONG, Job(round)).into_future(),
        "scheduler list": scheduler.list(),
        "scheduler tick": scheduler.tick(),
        "scheduler tick_at": scheduler.tick_at(now + LONG),
        "scheduler run_now": scheduler.run_now("e"),
        "scheduler pause": scheduler.pause("e"),
        "scheduler resume": scheduler.resume("e"),
        "scheduler remove": scheduler.remove("e"),
        "scheduler run_until": async {
            scheduler.run_until(tokio::task::yield_now()).await;
            Ok::<_, russet::Error>(())
        },
    }
}

/// The calls of a subscriber and of what it takes, in a group that nobody else has.
async fn take(topic: &Topic<u64>, round: u64) -> Result<(), russet::Error> {
    let mut group = topic.group(&round.to_string()).await?;
    topic.publish(&round).await?;
    let first = group.next().await?;
    first.extend().await?;
    first.ack().await?;
    topic.publish(&round).await?;
    let _ = group.next_batch(10).await?;
    let _ = group.try_next_batch(10).await?;
    group.leave().await
}

/// A worker of a queue that nobody else has, and what its handler can call.
async fn work(russet: &Russet, round: u64) -> Result<(), russet::Error> {
    let handler = |_: Job, ctx: TaskContext| async move {
        let _ = ctx.progress(&1).await?;
        ctx.once("step", async || Ok(1)).await?;
        let _ = ctx.complete_with((), Effects::new().add("totals", "n", 1)).await?;
        Ok::<_, BoxError>(())
    };
    let queue = Queue::builder(russet, &["worker", &round.to_string()].join(" ")).build()?;
    queue.enqueue(Job(round)).await?;
    let worker = Worker::builder(&queue).handler(handler).build()?;
    worker.run_until_empty().await.map(|_| ())
}

/// What waits for nothing.
const AT_ONCE: [&str; 22] = [
    "Sessions::builder",
    "Sessions::new_token",
    "Sso::new",
    "Inventory::builder",
    "RateLimiter::builder",
    "RateLimiter::limits",
    "RateLimiter::name",
    "SlidingWindow::builder",
    "Cache::builder",
    "Cache::stats",
    "Counters::builder",
    "Leaderboard::builder",
    "Leaderboard::at",
    "Lock::builder",
    "PubSub::new",
    "PubSub::builder",
    "Topic::builder",
    "Queue::builder",
    "Queue::stats",
    "Scheduler::new",
    "Scheduler::keep_results",
    "Scheduler::queue",
];

#[tokio::test]
async fn every_public_call_is_dropped() {
    let server = Ground::start().await.unwrap();
    let blocks = blocks(connect(&server.url()).await);
    let listed: Vec<_> = calls(&blocks, 0).into_iter().map(|(name, _)| name).collect();
    let words = [
        ("Cache", "cache"),
        ("Counters", "counters"),
        ("Inventory", "shop"),
        ("Leaderboard", "board"),
        ("Lock", "lock"),
        ("RateLimiter", "limiter"),
        ("SlidingWindow", "window"),
        ("PubSub", "live"),
        ("Queue", "queue"),
        ("Scheduler", "scheduler"),
        ("Sessions", "sessions"),
        ("Sso", "sso"),
        ("Topic", "topic"),
    ];
    for (block, word) in words {
        for method in public_methods(block) {
            let name = method.replace(&format!("{block}::"), &format!("{word} "));
            let known = listed.contains(&name.as_str()) || AT_ONCE.contains(&method.as_str());
            assert!(known, "{method} is not among the calls");
        }
    }
}

/// That the next answers belong to their questions.
async fn answers_are_in_step(blocks: &Blocks, what: &str, at: u32) {
    for nth in 0..3 {
        let question = format!("{what} dropped at {at}, {nth}");
        let answer = raw::command(&blocks.russet, &["ECHO", &question]).await;
        let answer = answer.unwrap_or_else(|error| panic!("{question}: {error}"));
        assert_eq!(answer.into_text(), Some(question));
    }
    let question = format!("{what} dropped at {at}, durable");
    let (answer, _) = raw::durable(&blocks.durable, &["ECHO", &question]).await.unwrap();
    assert_eq!(answer.into_text(), Some(question));
}

#[tokio::test]
async fn a_call_dropped_at_any_point_leaves_the_handle_in_step_and_nothing_behind() {
    let server = Ground::start().await.unwrap();
    let blocks = blocks(patient(&server.url(), "dropped").await);
    let (mut drops, mut round) = (0, 0);
    for number in 0..calls(&blocks, 0).len() {
        for polls in 1.. {
            round += 10;
            let (name, call) = calls(&blocks, round).swap_remove(number);
            let ended = dropped_after(polls, call).await;
            answers_are_in_step(&blocks, name, polls).await;
            drops += 1;
            if ended {
                break;
            }
            assert!(polls < 1_000, "{name} never ends");
        }
    }
    println!("{drops} calls dropped");

    // No lease is left: each key that was asked for can be loaded, without a wait for the end of a lease.
    eventually(LONG, async || {
        for key in server.command(&["KEYS", "*:entry:*"]).await.unwrap().texts() {
            let entry = server.command(&["GET", key]).await.unwrap();
            if entry.text().is_some_and(|entry| entry.starts_with('L')) {
                return Err(format!("{key} is still leased"));
            }
        }
        Ok(())
    })
    .await;
    // No subscription is left either.
    eventually(LONG, async || {
        let Ground::One(server) = &server else { return Ok(()) };
        let channels = server.command(&["PUBSUB", "CHANNELS", "*{pubsub:*"]).await.unwrap();
        let sharded = server.command(&["PUBSUB", "SHARDCHANNELS"]).await.unwrap();
        let patterns = server.command(&["PUBSUB", "NUMPAT"]).await.unwrap();
        match (channels.texts().len(), sharded.texts().len(), patterns.int()) {
            (0, 0, Some(0)) => Ok(()),
            left => Err(format!("{left:?} are subscribed")),
        }
    })
    .await;
    // No lock is held by a caller that is gone, and nobody is in line: long before a lease would end.
    eventually(LONG, async || {
        let again = Lock::builder(&blocks.russet, "again").build().unwrap();
        for lock in [&blocks.lock, &again] {
            let status = lock.status().await.unwrap();
            if status.holder.is_some() || status.waiting > 0 {
                return Err(format!("{lock:?}: {status:?}"));
            }
        }
        Ok(())
    })
    .await;
    // No task is held by a caller that is gone: one whose ack was dropped comes back with the end of its lease.
    eventually(LONG, async || {
        while let Some(delivery) = blocks.queue.receive(Duration::ZERO).await.unwrap() {
            let _ = delivery.ack().await.unwrap();
        }
        match blocks.queue.counts().await.unwrap() {
            counts if counts.running + counts.ready == 0 => Ok(()),
            counts => Err(format!("{counts:?}")),
        }
    })
    .await;
    // Data, durable and control, and the connection that asks.
    if let Ground::One(server) = &server {
        let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).await.unwrap();
        let clients = clients.text().unwrap_or_default().lines().count();
        assert!(clients <= 4, "{clients} connections");
    }
    blocks.russet.close().await;
}

#[tokio::test]
async fn a_waiter_dropped_at_any_point_is_forgotten() {
    let server = Ground::start().await.unwrap();
    // A short deadline would end a wait on a busy machine.
    let (one, two) = (patient(&server.url(), "x").await, patient(&server.url(), "x").await);
    let users =
        |russet| Cache::<u64, u64>::builder(russet, "users").fill_lease(LONG).build().unwrap();
    let (here, there) = (users(&one), users(&two));
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let leader = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            Ok::<_, BoxError>(7)
        };
        here.get_with(&1, load).await
    });
    has_started.await.unwrap();
    // It never ends by itself: who waits is dropped at each of its first polls, with others' turns in between.
    for polls in 1..40 {
        let waiter = Box::pin(async {
            let _ = there.get_with(&1, async || Ok::<_, BoxError>(0)).await;
        });
        let mut waiter: Work<'_> = waiter;
        let few = poll_fn(|context| {
            for _ in 0..polls {
                if waiter.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
            }
            Poll::Ready(false)
        });
        assert!(!few.await, "nothing is loaded yet");
        let brief = tokio::time::timeout(Duration::from_millis(polls), waiter);
        assert!(brief.await.is_err(), "nothing is loaded yet");
    }
    let last = there.clone();
    let waiter =
        tokio::spawn(async move { last.get_with(&1, async || Ok::<_, BoxError>(0)).await });
    eventually(LONG, async || match there.stats().waits {
        waits if waits >= 1 => Ok(()),
        waits => Err(format!("{waits} waits")),
    })
    .await;
    go_on.send(()).unwrap();
    assert_eq!(leader.await.unwrap().unwrap(), 7);
    assert_eq!(tokio::time::timeout(LONG / 3, waiter).await.unwrap().unwrap().unwrap(), 7);
}
