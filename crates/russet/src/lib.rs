//! The application layer on top of Redis and Valkey: typed building blocks whose every step is atomic, so that a
//! process may be killed at any instruction and leaves nothing half done.
//!
//! ```
//! # use std::io;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, PartialEq, Debug)] struct User { name: String }
//! # struct Db;
//! # impl Db { async fn load_user(&self, id: u64) -> io::Result<User> { Ok(User { name: format!("User {id}") }) } }
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (server, db) = (russet::testing::TestServer::start().await?, Db);
//! # let url = server.url();
//! use std::time::Duration;
//! use russet::{Cache, Russet};
//!
//! let russet = Russet::connect(&url).await?; // such as redis://127.0.0.1
//! let users = Cache::builder(&russet, "users").ttl(Duration::from_secs(600)).build()?;
//!
//! // A hit is one round trip; a miss runs the closure once in the whole fleet.
//! let user: User = users.get_with(&42, async || db.load_user(42).await).await?;
//!
//! // After the record has changed: no older value comes back.
//! users.invalidate(&42).await?;
//! # assert_eq!(user.name, "User 42");
//! # Ok(()) }
//! ```
//!
//! # The blocks
//!
//! | type | what it is for | feature |
//! | --- | --- | --- |
//! | [`Cache`] | values in front of a slow system of record: one load in the fleet for each miss, absence remembered, nothing stale after an invalidation; writes around, through and behind it | `cache` |
//! | [`BloomFilter`] | whether a thing may exist, in a few bits for each: never hides what exists, rebuilt beside the live one | `bloom` |
//! | [`ShardedCache`] | one cache over several plain servers; nodes may die, return, come and go | `cache` |
//! | [`HashRing`] | which of several nodes a key belongs to: even, weighted, the same in every process | `ring` |
//! | [`Counters`] | counts by minute, hour, day and month, their series and the largest of them | `counters` |
//! | [`Leaderboard`] | members by score: rank, page, neighbours, a maximal size | `leaderboard` |
//! | [`SlidingWindow`] | the count and the rate of the last minute, or of any other time, at every moment | `window` |
//! | [`RateLimiter`] | how often a subject may do something: fixed and sliding windows, GCRA, several limits in one step | `rate_limit` |
//! | [`Inventory`] | stock that adds up: reservations that end by themselves, confirmed or cancelled once | `inventory` |
//! | [`PubSub`] | messages for who is there: typed, by channel or pattern, with a word for what was missed | `pubsub` |
//! | [`Topic`] | durable messages: groups, replay, history, nothing lost with a subscriber | `pubsub` |
//! | [`Queue`], [`Worker`] | tasks that no crash loses: priorities, delays, retries, fences, a rate, effects with the end, dead ones that can be brought back | `queue` |
//! | [`Scheduler`] | tasks at a time, after a while, by interval or cron; every worker is a scheduler | `queue` |
//! | [`Sessions`], [`Sso`] | who is signed in: signed, ended everywhere in one step, never back; one sign-on for several applications | `session` |
//! | [`Lock`], [`ReentrantLock`], [`Redlock`] | one holder at a time: a fence for the store, hand-over to who waits longest, and a word when it is lost | `lock` |
//! | `testing` | throw-away servers, a network to break and processes to kill, for your own tests | `testing` |
//!
//! All features but `testing` are on by default, and `cache` brings `bloom` and `ring`; a service that wants a counter
//! alone turns the default off and takes `counters`.
//!
//! Beside them stand what all share: [`Russet`], the connection; [`Error`] with its [`ErrorKind`] and [`Advice`];
//! [`Codec`], how values become bytes; [`metered`], what a piece of work sent to the server; and [`raw`], plain commands
//! for benchmarks and diagnosis.
//!
//! # One feel
//!
//! Every block is made by `Thing::builder(&russet, "name")`, settings, and `build()`, which refuses what is out of range
//! and sends nothing. The handle is a cheap clone, `Send` and `Sync`. Objects are named, and a name means the same object
//! in every process that uses the same server and namespace.
//!
//! Not found, fell off the board and the like are values. An error says what failed on which object, and by
//! [`Error::advice`] what to do: try again, try again later, give up, or change the program. A write whose answer was lost
//! is [`ErrorKind::Unknown`], and is sent again by the library only where a second time changes nothing.
//!
//! Time is the Redis server's: no decision depends on the clock of a client.
//!
//! # Connections of a process
//!
//! A [`Russet`] and all its clones share one multiplexed connection for calls. A second one, for messages, is opened when
//! a block first waits for something, as a cache does for another process's load, or somebody subscribes. No call parks a connection, so two for
//! each handle is all that a server's `maxclients` must allow. Of the nodes of a Cluster, those of sharded channels have one more.
//!
//! # More
//!
//! The guide (`docs/guide`), every key with its type and end (`docs/keys.md`) and the examples (`crates/russet/examples`) are
//! in the repository. They are run by the tests, as the examples on these pages are.

// A build without some of the blocks leaves parts of the ground unused.
#![cfg_attr(
    not(all(
        feature = "cache",
        feature = "counters",
        feature = "inventory",
        feature = "leaderboard",
        feature = "lock",
        feature = "pubsub",
        feature = "queue",
        feature = "rate_limit",
        feature = "session",
        feature = "window"
    )),
    allow(dead_code, unused_imports, unused_macros)
)]

mod backoff;
mod cache_key;
#[cfg(any(feature = "counters", feature = "leaderboard"))]
mod calendar;
mod clock;
mod cluster_slot;
mod codec;
mod error;
mod id;
mod keys;
mod listen;
mod names;
mod script;
mod service;
mod wake;

mod client;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "bloom")]
mod bloom;
#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "counters")]
mod counters;
#[cfg(feature = "inventory")]
mod inventory;
#[cfg(feature = "leaderboard")]
mod leaderboard;
#[cfg(feature = "lock")]
mod lock;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "queue")]
mod queue;
#[cfg(feature = "rate_limit")]
mod rate_limit;
#[cfg(feature = "ring")]
mod ring;
#[cfg(feature = "session")]
mod session;
#[cfg(feature = "window")]
mod window;

#[cfg(feature = "bloom")]
pub use bloom::{
    BloomFilter, BloomFilterBuilder, FilterStatus, ItemSource, Rebuilder, Rebuilt, Verdict,
};
#[cfg(feature = "cache")]
pub use cache::{
    Backlog, Cache, CacheBuilder, CacheStats, CachedCopy, DeadNode, DeadWrite, Flushed, Found,
    Loader, NodeAnswer, NodeStatus, Put, PutItem, PutSharded, ShardedCache, ShardedCacheBuilder,
    Source, Write, WritePolicy, Writer, Written,
};
#[cfg(any(feature = "bloom", feature = "cache"))]
pub use cache_key::CacheKey;
pub use client::{
    Durability, Finding, Health, Reached, Russet, RussetBuilder, Sent, Severity, metered, raw,
};
pub use codec::{Codec, Json};
pub use error::{Advice, BoxError, Error, ErrorKind, Result};

#[cfg(feature = "counters")]
pub use counters::{Counters, CountersBuilder, Counts, Granularity, Point, Top};
#[cfg(feature = "inventory")]
pub use inventory::{
    ChangeStock, ExtendedHold, Held, Hold, HoldState, Inventory, InventoryBuilder, Reservation,
    Reserve, Settlement, Stock, StockChange,
};
#[cfg(feature = "leaderboard")]
pub use leaderboard::{Leaderboard, LeaderboardBuilder, Period, Ranked, Standing, Ties};
#[cfg(feature = "lock")]
pub use lock::{
    Extended, Holder, Lock, LockBuilder, LockGuard, LockNames, LockStatus, NoMajority, NodeVote,
    Owner, Redlock, RedlockBuilder, RedlockGuard, ReentrantGuard, ReentrantLock,
    ReentrantLockBuilder, Released,
};
#[cfg(feature = "pubsub")]
pub use pubsub::{
    Acked, Callback, Event, Everywhere, Group, GroupOptions, GroupStats, History, Logged,
    MessageId, OnChannel, Overflow, PubSub, PubSubBuilder, Published, Sharded, Spread, Start,
    Subscription, Topic, TopicBuilder, TopicDelivery, TopicStats,
};
#[cfg(feature = "queue")]
pub use queue::{
    Cancelled, DeadTask, Delivery, Effects, Enqueue, EnqueueMany, Enqueued, EnqueuedMany, Missed,
    Peek, Queue, QueueBuilder, QueueCounts, QueueNames, QueueStats, RateLimit, Recurring,
    RecurringTask, Registered, Rescheduled, Scheduler, Settled, Task, TaskContext, TaskDetails,
    TaskError, TaskId, TaskPage, TaskState, TaskStatus, Ticked, Times, Timetable, Waited, Worker,
    WorkerBuilder,
};
#[cfg(feature = "rate_limit")]
pub use rate_limit::{
    Allowance, Check, DecidedBy, Limit, RateLimiter, RateLimiterBuilder, WhenAway,
};
#[cfg(feature = "ring")]
pub use ring::HashRing;
#[cfg(feature = "session")]
pub use session::{
    Activity, AppSession, Change, Create, Device, EndReason, EndedEntry, EndedSession,
    FingerprintPart, OnChange, Rotate, Saved, Session, SessionId, SessionInfo, SessionToken,
    Sessions, SessionsBuilder, SignedIn, SignedOut, Sso, Ticket, Validation,
};
#[cfg(feature = "window")]
pub use window::{SlidingWindow, SlidingWindowBuilder};

/// The pages of the guide, run as tests.
#[cfg(all(doctest, feature = "testing"))]
mod guide {
    #[cfg(all(feature = "cache", feature = "leaderboard"))]
    #[doc = include_str!("../../../docs/guide/README.md")]
    mod readme {}
    #[cfg(feature = "cache")]
    #[doc = include_str!("../../../docs/guide/caching.md")]
    mod caching {}
    #[cfg(feature = "inventory")]
    #[doc = include_str!("../../../docs/guide/inventory.md")]
    mod inventory {}
    #[cfg(all(
        feature = "counters",
        feature = "leaderboard",
        feature = "rate_limit",
        feature = "window"
    ))]
    #[doc = include_str!("../../../docs/guide/statistics.md")]
    mod statistics {}
    #[cfg(feature = "lock")]
    #[doc = include_str!("../../../docs/guide/locks.md")]
    mod locks {}
    #[cfg(feature = "queue")]
    #[doc = include_str!("../../../docs/guide/queues.md")]
    mod queues {}
    #[cfg(feature = "queue")]
    #[doc = include_str!("../../../docs/guide/scheduling.md")]
    mod scheduling {}
    #[doc = include_str!("../../../docs/guide/operations.md")]
    mod operations {}
    #[cfg(feature = "session")]
    #[doc = include_str!("../../../docs/guide/sessions.md")]
    mod sessions {}
    #[cfg(feature = "pubsub")]
    #[doc = include_str!("../../../docs/guide/messaging.md")]
    mod messaging {}
    #[cfg(all(feature = "cache", feature = "counters", feature = "leaderboard"))]
    #[cfg(feature = "queue")]
    #[doc = include_str!("../../../docs/guide/testing.md")]
    mod testing {}
}
