//! Every key of russet, each as one function.
//!
//! A key is `<namespace>:{<kind>:<name>}:<part>`. What stands before the part is the object's [`Slot`]: the hash tag
//! is made there and nowhere else, and a call takes one slot, so that two keys of one script cannot lie in two slots.
//!
//! | pattern | type | ends by | owner |
//! | --- | --- | --- | --- |
//! | `{bloom:<name>}:config` | hash | the application | `bloom` |
//! | `{bloom:<name>}:rebuilder` | string | TTL | `bloom` |
//! | `{bloom:<name>:<shard>}:bits:<generation>` | string | the application | `bloom` |
//! | `{cache:<name>:<partition>}:entry:<key>` | string | TTL | `cache` |
//! | `{cache:<name>:<partition>}:refresh:<key>` | string | TTL | `cache` |
//! | `{cache:<name>:<partition>}:waiters:<key>` | list | TTL | `cache` |
//! | `{cache:<name>:<partition>}:ticket:<key>` | string | TTL | `cache` |
//! | `{cache:<name>:<partition>}:dirty` | hash | the flusher | `cache` |
//! | `{cache:<name>:<partition>}:writes` | stream | the flusher | `cache` |
//! | `{cache:<name>:<partition>}:sequence` | string | the application | `cache` |
//! | `{cache:<name>:<partition>}:dead` | hash | the application | `cache` |
//! | `{cache:<name>:<partition>}:flusher` | string | TTL | `cache` |
//! | `{cache:<name>:<partition>}:room` | list | TTL | `cache` |
//! | `{cache:<name>}:changes` | channel | the caches | `cache` |
//! | `{cache:<name>}:epoch` | string | TTL | `cache` |
//! | `{counters:<group>}:total` | zset | the application | `counters` |
//! | `{counters:<group>}:minute:<start, UTC>` | zset | TTL | `counters` |
//! | `{counters:<group>}:hour:<start, UTC>` | zset | TTL | `counters` |
//! | `{counters:<group>}:day:<date>` | zset | TTL | `counters` |
//! | `{counters:<group>}:month:<year and month>` | zset | TTL | `counters` |
//! | `{leaderboard:<name>}:scores` | zset | the application | `leaderboard` |
//! | `{leaderboard:<name>}:reached` | zset | the application | `leaderboard` |
//! | `{leaderboard:<name>}:places` | hash | the application | `leaderboard` |
//! | `{leaderboard:<name>}:scores:<period>` | zset | TTL | `leaderboard` |
//! | `{leaderboard:<name>}:reached:<period>` | zset | TTL | `leaderboard` |
//! | `{leaderboard:<name>}:places:<period>` | hash | TTL | `leaderboard` |
//! | `{lock:<name>}:record` | string | TTL | `lock` |
//! | `{lock:<name>}:waiters` | zset | TTL | `lock` |
//! | `{lock:<name>}:places` | hash | TTL | `lock` |
//! | `{redlock:<name>}:vote` | string | TTL | `lock` |
//! | `{inventory:<shop>}:stock` | hash | the application | `inventory` |
//! | `{inventory:<shop>}:products` | zset | the application | `inventory` |
//! | `{inventory:<shop>}:holds` | hash | the shop's scripts | `inventory` |
//! | `{inventory:<shop>}:due` | zset | the shop's scripts | `inventory` |
//! | `{inventory:<shop>}:ended` | zset | the shop's scripts | `inventory` |
//! | `{inventory:<shop>}:users` | hash | the shop's scripts | `inventory` |
//! | `{session:<name>:<shard>}:record:<id>` | hash | the sessions | `session` |
//! | `{session:<name>:<shard>}:book` | hash | the sessions | `session` |
//! | `{session:<name>:<shard>}:due` | zset | the sessions | `session` |
//! | `{session:<name>:<shard>}:users` | zset | the sessions | `session` |
//! | `{session:<name>:<shard>}:events` | zset | the sessions | `session` |
//! | `{session:<name>:<shard>}:ended` | hash | the sessions | `session` |
//! | `{session:<name>:<shard>}:log` | stream | the application | `session` |
//! | `{session:<name>:<shard>}:activity` | stream | the application | `session` |
//! | `{session:<name>:<shard>}:ticket:<hash>` | string | TTL | `session` |
//! | `{window:<name>}:buckets:<bucket>:<buckets>` | hash | TTL | `window` |
//! | `{rate_limit:<name>:<subject>}:fixed:<period>` | string | TTL | `rate_limit` |
//! | `{rate_limit:<name>:<subject>}:sliding:<period>:<buckets>` | string | TTL | `rate_limit` |
//! | `{rate_limit:<name>:<subject>}:gcra:<period>` | string | TTL | `rate_limit` |
//! | `{queue:<name>}:tasks` | hash | the workers | `queue` |
//! | `{queue:<name>}:ready:<priority>` | list | the workers | `queue` |
//! | `{queue:<name>}:scheduled` | zset | the workers | `queue` |
//! | `{queue:<name>}:running` | hash | the workers | `queue` |
//! | `{queue:<name>}:leases` | zset | the workers | `queue` |
//! | `{queue:<name>}:meta` | hash | the application | `queue` |
//! | `{queue:<name>}:dead` | zset | the workers | `queue` |
//! | `{queue:<name>}:errors` | hash | the workers | `queue` |
//! | `{queue:<name>}:ended` | zset | the workers | `queue` |
//! | `{queue:<name>}:outcomes` | hash | the workers | `queue` |
//! | `{queue:<name>}:uniques` | hash | the workers | `queue` |
//! | `{queue:<name>}:once` | hash | the workers | `queue` |
//! | `{queue:<name>}:waiters` | zset | the workers | `queue` |
//! | `{queue:<name>}:cancels` | zset | the workers | `queue` |
//! | `{queue:<name>}:requests` | hash | the workers | `queue` |
//! | `{queue:<name>}:remembered` | zset | the workers | `queue` |
//! | `{queue:<name>}:progress` | hash | the workers | `queue` |
//! | `{queue:<name>}:watchers` | hash | the workers | `queue` |
//! | `{queue:<name>}:effects:<hash>` | hash | the application | `queue` |
//! | `{queue:<name>}:cancelling` | channel | the workers | `queue` |
//! | `{queue:<name>}:recurring` | hash | the application | `queue` |
//! | `{queue:<name>}:ticks` | zset | the application | `queue` |
//! | `{queue:<name>}:ticking` | channel | the workers | `queue` |
//! | `{pubsub:<name>}:messages` | channel | the subscribers | `pubsub` |
//! | `{topic:<name>}:log` | stream | TTL | `pubsub` |
//! | `{topic:<name>}:waiters` | hash | TTL | `pubsub` |
//! | `{inbox:<process>}:news` | channel | the process | `wake` |

use std::{fmt, sync::Arc};

#[cfg(any(feature = "lock", feature = "queue"))]
use crate::names::decode;
use crate::{
    cluster_slot,
    error::Result,
    names::{check_name, encode},
};

/// The first part of every key, checked and encoded: `russet` unless set.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    pub(crate) fn new(name: &str) -> Result<Self> {
        check_name("namespace", name)?;
        Ok(Self(encode(name).into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where all keys of one object live: `<namespace>:{<kind>:<name>}:`, one Cluster slot.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    prefix: Arc<str>,
    /// Its number in a Cluster; none when no key says where the call belongs.
    number: Option<u16>,
}

/// What follows the slot in a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Part(String);

impl Slot {
    /// The slot of the object `name` of this kind.
    ///
    /// # Errors
    /// `Invalid` when the name is empty or over 256 bytes.
    pub(crate) fn of(namespace: &Namespace, kind: &str, name: &str) -> Result<Self> {
        check_name(&format!("name of a {kind}"), name)?;
        Ok(Self::tagged(namespace, &format!("{kind}:{}", encode(name))))
    }

    /// One of the slots over which a large object is spread.
    ///
    /// # Errors
    /// `Invalid` when the name is empty or over 256 bytes.
    pub(crate) fn partition(
        namespace: &Namespace,
        kind: &str,
        name: &str,
        partition: u32,
    ) -> Result<Self> {
        check_name(&format!("name of a {kind}"), name)?;
        Ok(Self::tagged(namespace, &format!("{kind}:{}:{partition}", encode(name))))
    }

    /// The slot of one of the many subjects of an object.
    ///
    /// # Errors
    /// `Invalid` when a name is empty or over 256 bytes.
    #[cfg(feature = "rate_limit")]
    pub(crate) fn subject(
        namespace: &Namespace,
        kind: &str,
        name: &str,
        subject: &str,
    ) -> Result<Self> {
        check_name(&format!("name of a {kind}"), name)?;
        check_name(&format!("subject of a {kind}"), subject)?;
        Ok(Self::tagged(namespace, &format!("{kind}:{}:{}", encode(name), encode(subject))))
    }

    /// No object's, for commands whose keys are taken as they are: the slot of this key.
    pub(crate) fn of_key(key: Option<&[u8]>) -> Self {
        Self { prefix: "".into(), number: key.map(cluster_slot::of) }
    }

    fn tagged(namespace: &Namespace, tag: &str) -> Self {
        let number = Some(cluster_slot::of(tag.as_bytes()));
        Self { prefix: format!("{}:{{{tag}}}:", namespace.0).into(), number }
    }

    /// The number of the slot in a Cluster.
    pub(crate) fn number(&self) -> Option<u16> {
        self.number
    }

    /// The whole key, as it is sent.
    pub(crate) fn key(&self, part: &Part) -> String {
        [&self.prefix, part.0.as_str()].concat()
    }

    /// `<kind>:<name>`, for errors and logs.
    pub(crate) fn object(&self) -> &str {
        let inside = self.prefix.split_once('{').map_or("", |(_, rest)| rest);
        inside.split_once('}').map_or("", |(object, _)| object)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

/// The pattern of all keys of a kind of object, for operators who look for them.
#[cfg(any(feature = "lock", feature = "queue"))]
pub(crate) fn all_of(namespace: &Namespace, kind: &str) -> String {
    // No character of a pattern stands in an encoded namespace.
    [namespace.as_str(), ":{", kind, ":*}:*"].concat()
}

/// The name of the object that a whole key is of, if it is of this kind.
#[cfg(any(feature = "lock", feature = "queue"))]
pub(crate) fn object_of(key: &str, kind: &str) -> Option<String> {
    let (tag, _) = key.split_once(":{")?.1.split_once("}:")?;
    let name = tag.strip_prefix(kind)?.strip_prefix(':')?;
    decode(name)
}

/// Whether a whole key is of a kind that ends by a TTL; not for keys that this version does not know.
pub(crate) fn must_expire(key: &str) -> bool {
    let Some((tag, part)) = key.split_once(":{").and_then(|(_, rest)| rest.split_once("}:")) else {
        return false;
    };
    match tag.split_once(':').map(|(kind, _)| kind) {
        Some("bloom") => part == "rebuilder",
        Some("cache") => !["dirty", "writes", "sequence", "dead"].contains(&part),
        Some("counters") => part != "total",
        Some("session") => part.starts_with("ticket:"),
        Some("leaderboard") => part.contains(':'),
        Some("lock" | "rate_limit" | "redlock" | "topic" | "window") => true,
        _ => false,
    }
}

/// Keys of a Bloom filter.
#[cfg(feature = "bloom")]
pub(crate) mod bloom {
    use super::Part;

    /// Hash: which generations there are. The application deletes it with the filter.
    pub(crate) fn config() -> Part {
        Part("config".into())
    }

    /// String: the lease of the process that rebuilds. Ends by its TTL.
    pub(crate) fn rebuilder() -> Part {
        Part("rebuilder".into())
    }

    /// String: the bits of a shard. While it is built, and when another one is live, it ends by a TTL.
    pub(crate) fn bits(generation: u64) -> Part {
        Part(["bits:", &generation.to_string()].concat())
    }
}

/// Keys of a cache; the object is one of its partitions.
#[cfg(feature = "cache")]
pub(crate) mod cache {
    use super::{Namespace, Part, Slot, encode};
    use crate::error::Result;

    /// Channel: the keys whose entries were changed. Nothing is stored.
    pub(crate) fn changes(namespace: &Namespace, name: &str) -> Result<String> {
        let slot = Slot::of(namespace, "cache", name)?;
        Ok(slot.key(&Part("changes".into())))
    }

    /// String: the entry of a key, a value, a null or a lease. Ends by its TTL.
    pub(crate) fn entry(key: &str) -> Part {
        Part(["entry:", &encode(key)].concat())
    }

    /// String: the lease of who loads a key anew while its entry still stands. Ends by its TTL.
    pub(crate) fn refresh(key: &str) -> Part {
        Part(["refresh:", &encode(key)].concat())
    }

    /// String: the epoch of a node of a sharded cache, a number. Ends by a TTL, when nobody asks for it any more.
    pub(crate) fn epoch() -> Part {
        Part("epoch".into())
    }

    /// List: who waits for the load of a key. Ends by a TTL, shortly after the lease.
    pub(crate) fn waiters(key: &str) -> Part {
        Part(["waiters:", &encode(key)].concat())
    }

    /// String: the id of the write that went through last, until what it wrote is stored. Ends by its TTL.
    pub(crate) fn ticket(key: &str) -> Part {
        Part(["ticket:", &encode(key)].concat())
    }

    /// Hash: the queued writes of a partition, by key. The flusher takes out what is in the store.
    pub(crate) fn dirty() -> Part {
        Part("dirty".into())
    }

    /// Stream: the keys of the queued writes, in order. The flusher takes out what is in the store.
    pub(crate) fn writes() -> Part {
        Part("writes".into())
    }

    /// String: the last order number of a partition. Stays as long as the cache is used.
    pub(crate) fn sequence() -> Part {
        Part("sequence".into())
    }

    /// Hash: the writes that the store refused, by key. Ends when they are tried again with success, or discarded.
    pub(crate) fn dead() -> Part {
        Part("dead".into())
    }

    /// String: which process flushes a partition. Ends by its TTL.
    pub(crate) fn flusher() -> Part {
        Part("flusher".into())
    }

    /// List: who waits for room among the queued writes. Ends by its TTL.
    pub(crate) fn room() -> Part {
        Part("room".into())
    }
}

/// Keys of a group of counters. In each, a member is a counter's name and its score the count.
#[cfg(feature = "counters")]
pub(crate) mod counters {
    use super::{Part, encode};

    /// Zset: what was ever counted. The application deletes it when the group is no longer used.
    pub(crate) fn total() -> Part {
        Part("total".into())
    }

    /// Zset: a minute, labelled with its start in UTC, `20261122T1151Z`. Ends by its TTL.
    pub(crate) fn minute(label: &str) -> Part {
        Part(["minute:", &encode(label)].concat())
    }

    /// Zset: an hour of the group's time zone, labelled with its start in UTC, `20261122T1100Z`. Ends by its TTL.
    pub(crate) fn hour(label: &str) -> Part {
        Part(["hour:", &encode(label)].concat())
    }

    /// Zset: a day of the group's time zone, `20261122`. Ends by its TTL.
    pub(crate) fn day(label: &str) -> Part {
        Part(["day:", &encode(label)].concat())
    }

    /// Zset: a month of the group's time zone, `202611`. Ends by its TTL.
    pub(crate) fn month(label: &str) -> Part {
        Part(["month:", &encode(label)].concat())
    }
}

/// Keys of a leaderboard.
#[cfg(feature = "leaderboard")]
pub(crate) mod leaderboard {
    use super::{Part, encode};

    /// Zset: members by their score. Ends with its last member; the application removes them.
    pub(crate) fn scores() -> Part {
        Part("scores".into())
    }

    /// Zset: the same where equal scores stand in the order in which they were reached; in front of each member its place.
    pub(crate) fn reached() -> Part {
        Part("reached".into())
    }

    /// Hash: the place of each member in `reached`. Ends with the board's last member.
    pub(crate) fn places() -> Part {
        Part("places".into())
    }

    /// The same key for a period: a day, `20261122`, a week, `2026-W47`, or a month, `202611`. Ends by its TTL.
    pub(crate) fn of_period(part: &Part, label: &str) -> Part {
        Part([&part.0, ":", &encode(label)].concat())
    }
}

/// Keys of locks.
#[cfg(feature = "lock")]
pub(crate) mod lock {
    use super::Part;

    /// String: who has the lock, and its last fence. Ends by its TTL, a day after the lease.
    pub(crate) fn record() -> Part {
        Part("record".into())
    }

    /// Zset: who waits for the lock, by when it came. Ends by its TTL.
    pub(crate) fn waiters() -> Part {
        Part("waiters".into())
    }

    /// Hash: of those who wait, until when they count, and where they are told. Ends by its TTL.
    pub(crate) fn places() -> Part {
        Part("places".into())
    }

    /// String: for whom a server of a Redlock votes. Ends by its TTL.
    pub(crate) fn vote() -> Part {
        Part("vote".into())
    }
}

/// Keys of a shop. Its scripts end what is in them: a reservation at its end, what is remembered by and by.
#[cfg(feature = "inventory")]
pub(crate) mod inventory {
    use super::Part;

    /// All of them, in the order of `lua/lib/inventory.lua`.
    pub(crate) fn all() -> [Part; 6] {
        ["stock", "holds", "due", "ended", "users", "products"].map(|part| Part(part.into()))
    }
}

/// Keys of sessions, the same in each shard.
#[cfg(feature = "session")]
pub(crate) mod session {
    use super::Part;

    /// Hash: a session. Its end removes it: by a call, or by the sweeper.
    pub(crate) fn record(id: &str) -> Part {
        Part(["record:", id].concat())
    }

    /// Hash book, zsets due, users and events, hash ended, stream log: in the order of `lua/lib/session.lua`. The sessions'
    /// scripts keep them, the log by its length.
    pub(crate) fn indexes() -> [Part; 6] {
        ["book", "due", "users", "events", "ended", "log"].map(|part| Part(part.into()))
    }

    /// Stream: what was suspicious, bounded by its length.
    pub(crate) fn activity() -> Part {
        Part("activity".into())
    }

    /// String: the application that a ticket is for. Ends by its TTL.
    pub(crate) fn ticket(hash: &str) -> Part {
        Part(["ticket:", hash].concat())
    }
}

/// The key of a sliding window.
#[cfg(feature = "window")]
pub(crate) mod window {
    use super::Part;

    /// Hash: the counts of the last buckets, for windows of so many buckets of so many milliseconds. Ends by its TTL.
    pub(crate) fn buckets(bucket_ms: u64, buckets: u64) -> Part {
        Part(["buckets:", &bucket_ms.to_string(), ":", &buckets.to_string()].concat())
    }
}

/// Keys of a subject of a rate limiter. Each ends by its TTL, when it limits nothing any more.
#[cfg(feature = "rate_limit")]
pub(crate) mod rate_limit {
    use super::Part;

    /// String: what came in the current period.
    pub(crate) fn fixed(period_ms: u64) -> Part {
        Part(["fixed:", &period_ms.to_string()].concat())
    }

    /// String: what came in the last buckets.
    pub(crate) fn sliding(period_ms: u64, buckets: u64) -> Part {
        Part(["sliding:", &period_ms.to_string(), ":", &buckets.to_string()].concat())
    }

    /// String: when all that came will be worked off.
    pub(crate) fn gcra(period_ms: u64) -> Part {
        Part(["gcra:", &period_ms.to_string()].concat())
    }
}

/// Channels of live messages.
#[cfg(feature = "pubsub")]
pub(crate) mod pubsub {
    use percent_encoding::percent_decode_str;

    use super::{Namespace, Part, Slot, encode};
    use crate::error::Result;

    /// Channel: what is published to it. Nothing is stored.
    pub(crate) fn messages(namespace: &Namespace, name: &str) -> Result<(Slot, Part)> {
        Ok((Slot::of(namespace, "pubsub", name)?, Part(PART.into())))
    }

    /// What the names of the channels are like, for the server: each `*` of the pattern stands for any bytes, and nothing
    /// else of it is special.
    pub(crate) fn like(namespace: &Namespace, pattern: &str) -> String {
        let encoded: Vec<_> = pattern.split('*').map(encode).collect();
        Slot::tagged(namespace, &["pubsub:", &encoded.join("*")].concat()).key(&Part(PART.into()))
    }

    /// The name of a channel, from what it is called in the server.
    pub(crate) fn name(namespace: &Namespace, channel: &str) -> Option<String> {
        let rest = channel.strip_prefix(namespace.as_str())?.strip_prefix(":{pubsub:")?;
        let encoded = rest.strip_suffix(PART)?.strip_suffix("}:")?;
        Some(percent_decode_str(encoded).decode_utf8().ok()?.into_owned())
    }

    const PART: &str = "messages";
}

/// Keys of a topic.
#[cfg(feature = "pubsub")]
pub(crate) mod topic {
    use super::Part;

    /// Stream: the messages, and how far each group has read. Ends by its TTL when nothing was published for the time that
    /// messages are kept.
    pub(crate) fn log() -> Part {
        Part("log".into())
    }

    /// Hash: who waits for a message, by consumer. Ends by a TTL.
    pub(crate) fn waiters() -> Part {
        Part("waiters".into())
    }
}

/// Keys of a queue. Its workers end what is in them: each task when it is done, what is kept of one by a sweep.
#[cfg(feature = "queue")]
pub(crate) mod queue {
    use super::{Part, Slot, encode};

    /// All of them, in the order of `lua/lib/queue.lua`; ten of them are the ready tasks by priority, 9 first.
    pub(crate) fn all() -> Vec<Part> {
        let hashes = ["tasks", "scheduled", "running", "leases", "meta", "dead", "errors"];
        let others = ["ended", "outcomes", "uniques", "once", "waiters", "cancels", "requests"];
        let named = hashes.into_iter().chain(others).map(|part| Part(part.into()));
        let ready = (0..10).rev().map(|priority| Part(["ready:", &priority.to_string()].concat()));
        let more = ["remembered", "progress", "watchers"].map(|part| Part(part.into()));
        named.chain(ready).chain(more).collect()
    }

    /// Of all of them those that a task takes which is ready at once: the tasks, the ready ones of its priority, the waiters.
    pub(crate) fn of_ready(all: &[Part], priority: u8) -> [&Part; 3] {
        [&all[0], &all[23 - usize::from(priority.min(9))], &all[11]]
    }

    /// Hash: effects that were written together with the end of their tasks. The application removes them.
    pub(crate) fn effects(hash: &str) -> Part {
        Part(["effects:", &encode(hash)].concat())
    }

    /// Channel: the ids of running tasks that are to be cancelled. Nothing is stored.
    pub(crate) fn cancelling(slot: &Slot) -> String {
        slot.key(&Part("cancelling".into()))
    }

    /// Hash: the recurring tasks, by name; and a zset: when each of them is due. The application removes them.
    pub(crate) fn recurring() -> [Part; 2] {
        ["recurring", "ticks"].map(|part| Part(part.into()))
    }

    /// Channel: the names of recurring tasks that were changed. Nothing is stored.
    pub(crate) fn ticking(slot: &Slot) -> String {
        slot.key(&Part("ticking".into()))
    }
}

/// The channel of a process.
pub(crate) mod inbox {
    use super::{Namespace, Part, Slot};
    use crate::{error::Result, id::Id};

    /// Channel: what wakes the waiters of a process. Nothing is stored.
    pub(crate) fn news(namespace: &Namespace, process: Id) -> Result<String> {
        let slot = Slot::of(namespace, "inbox", &process.to_string())?;
        Ok(slot.key(&Part("news".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Namespace {
        Namespace::new("russet").unwrap()
    }

    #[test]
    fn a_name_cannot_leave_its_hash_tag() {
        let slot = Slot::of(&namespace(), "queue", "a}:{b*\r\n\0").unwrap();
        assert_eq!(slot.key(&Part("ready".into())), "russet:{queue:a%7D%3A%7Bb%2A%0D%0A%00}:ready");
        assert_eq!(slot.object(), "queue:a%7D%3A%7Bb%2A%0D%0A%00");
    }

    #[test]
    fn a_partition_is_no_name_of_another_object() {
        let partition = Slot::partition(&namespace(), "cache", "users", 7).unwrap();
        let named = Slot::of(&namespace(), "cache", "users:7").unwrap();
        assert_ne!(partition, named);
    }

    #[test]
    fn what_lasts_is_told_from_what_ends() {
        for ends in [
            "ns:{cache:users:7}:entry:1",
            "ns:{cache:users:7}:flusher",
            "ns:{counters:site}:day:20261122",
            "ns:{leaderboard:game}:places:2026-W47",
        ] {
            assert!(must_expire(ends), "{ends}");
        }
        for lasts in [
            "ns:{cache:users:7}:dirty",
            "ns:{counters:site}:total",
            "ns:{leaderboard:game}:scores",
            "ns:other",
            "x",
        ] {
            assert!(!must_expire(lasts), "{lasts}");
        }
    }

    #[test]
    #[cfg(any(feature = "lock", feature = "queue"))]
    fn an_object_is_found_by_its_keys() {
        let slot = Slot::of(&namespace(), "queue", "a}:{b").unwrap();
        let key = slot.key(&Part("ready:0".into()));
        assert!(key.starts_with(all_of(&namespace(), "queue").split('*').next().unwrap()));
        assert_eq!(object_of(&key, "queue").as_deref(), Some("a}:{b"));
        assert_eq!(object_of(&key, "topic"), None);
        assert_eq!(object_of("russet:other", "queue"), None);
    }

    #[test]
    fn a_namespace_is_encoded_too() {
        assert_eq!(Namespace::new("a:b").unwrap().as_str(), "a%3Ab");
        assert!(Namespace::new("").is_err());
    }
}
