//! Write-behind: what a put has acknowledged comes to the store, whatever happens; and every reader sees it at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod crash;
mod dead;
mod sql;
mod table;

#[path = "../support/mod.rs"]
mod support;

use std::borrow::Cow;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russet::testing::{TestServer, eventually};
use russet::{
    Backlog, BoxError, Cache, CacheKey, CachedCopy, Durability, ErrorKind, Loader, Russet, Source,
    Write, WritePolicy, Writer, metered,
};
use support::{Ground, needs_one_server};
use table::{Table, Users, behind, name};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(60);

async fn ground() -> Result<(Ground, Russet), Box<dyn Error>> {
    let server = Ground::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    Ok((server, russet))
}

/// Drops the cached copy the hard way, as an eviction does.
async fn evict(server: &Ground, id: u64) -> Outcome {
    for key in server.command(&["KEYS", &format!("*:entry:{id}")]).await?.texts() {
        server.command(&["DEL", key]).await?;
    }
    Ok(())
}

async fn until(what: impl Fn() -> bool) {
    eventually(LONG, async || if what() { Ok(()) } else { Err("not yet") }).await;
}

/// Keys that hold queued writes, or something about them, but the counters.
async fn leftovers(server: &Ground) -> Result<usize, Box<dyn Error>> {
    let mut left = 0;
    for part in ["dirty", "writes", "dead", "flusher", "room"] {
        left += server.command(&["KEYS", &format!("*:{part}")]).await?.list().len();
    }
    Ok(left)
}

#[tokio::test]
async fn a_put_is_seen_at_once_and_is_in_the_store_soon() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::gated();
    let users = behind(&russet, &table).build()?;
    let written = users.put(&1, &name("Ada")).await?;
    assert_eq!(written.copy, CachedCopy::Stored);
    assert!(written.reached.is_some_and(|reached| reached.in_full));
    assert_eq!(users.get(&1).await?.as_deref(), Some("Ada"));
    assert_eq!((table.row(1), users.backlog().await?), (None, 1));
    table.gate.add_permits(1);
    until(|| table.row(1).as_deref() == Some("Ada")).await;
    users.flush().await?;
    assert_eq!((users.backlog().await?, leftovers(&server).await?), (0, 0));
    assert_eq!((users.stats().queued, users.stats().flushed), (1, 1));
    assert_eq!(table.loads(), 0);
    Ok(())
}

#[tokio::test]
async fn a_queued_value_is_read_although_its_copy_is_gone() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::gated();
    table.set(1, "old");
    let users = behind(&russet, &table).build()?;
    let without_loader = Cache::<u64, String>::builder(&russet, "users")
        .writer(table.clone())
        .write_policy(WritePolicy::Behind)
        .build()?;
    users.put(&1, &name("new")).await?;
    for way in ["evicted", "invalidated"] {
        match way {
            "evicted" => evict(&server, 1).await?,
            _ => users.invalidate(&1).await?,
        }
        let found = users.get_with_source(&1).await?.ok_or("there is a loader")?;
        assert_eq!((found.value.as_deref(), found.source), (Some("new"), Source::Hit), "{way}");
        assert_eq!(users.get_many(&[1]).await?, [Some(name("new"))], "{way}");
        assert_eq!(without_loader.get(&1).await?, Some(name("new")), "{way}");
        assert_eq!(without_loader.get_many(&[1]).await?, [Some(name("new"))], "{way}");
    }
    assert_eq!((table.loads(), table.row(1).as_deref()), (0, Some("old")));
    // Once it is in the store it is loaded from there.
    table.gate.add_permits(10);
    users.flush().await?;
    evict(&server, 1).await?;
    let found = users.get_with_source(&1).await?.ok_or("there is a loader")?;
    assert_eq!((found.value.as_deref(), found.source), (Some("new"), Source::Miss));
    Ok(())
}

#[tokio::test]
async fn a_delete_takes_the_same_way() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::gated();
    table.set(1, "Ada");
    let users = behind(&russet, &table).build()?;
    assert_eq!(users.remove(&1).await?.copy, CachedCopy::Stored);
    for _ in 0..2 {
        assert_eq!((users.get(&1).await?, table.row(1).as_deref()), (None, Some("Ada")));
        evict(&server, 1).await?;
    }
    users.put_many([(&1, &name("Ada King")), (&2, &name("Bob"))]).await?;
    users.remove_many(&[2]).await?;
    table.gate.add_permits(10);
    users.flush().await?;
    assert_eq!((table.row(1).as_deref(), table.row(2)), (Some("Ada King"), None));
    assert!(table.rows().contains_key(&2), "the delete was written");
    Ok(())
}

#[tokio::test]
async fn a_hit_is_one_get_and_a_put_one_round_trip() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let users = behind(&russet, &Table::default()).build()?;
    users.put(&1, &name("scripts are known from here on")).await?;
    let (put, sent) = metered(async { users.put(&1, &name("Ada")).await }).await;
    put?;
    assert_eq!((sent.commands, sent.round_trips), (1, 1));
    let (hit, sent) = metered(users.get(&1)).await;
    assert_eq!(hit?, Some(name("Ada")));
    assert_eq!((sent.commands, sent.round_trips), (1, 1));
    let ids: Vec<u64> = (0..100).collect();
    let value = name("Ada");
    let (put, sent) = metered(users.put_many(ids.iter().map(|id| (id, &value)))).await;
    put?;
    assert_eq!((sent.commands, sent.round_trips), (100, 1));
    // A miss costs what it costs without a queue: look, lease, store.
    users.flush().await?;
    users.invalidate(&1).await?;
    users.get(&1).await?;
    users.invalidate(&1).await?;
    let (miss, sent) = metered(users.get(&1)).await;
    assert_eq!((miss?, sent.round_trips), (Some(name("Ada")), 3));
    Ok(())
}

#[tokio::test]
async fn puts_of_one_key_become_few_statements_and_the_last_value_wins() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let users = behind(&russet, &table).linger(Duration::from_millis(200)).build()?;
    for round in 0..10 {
        let names: Vec<_> = (0..200).map(|id| format!("{id} {round}")).collect();
        let ids: Vec<u64> = (0..200).collect();
        users.put_many(ids.iter().zip(&names)).await?;
    }
    users.flush().await?;
    for id in 0..200 {
        assert_eq!(table.row(id), Some(format!("{id} 9")));
    }
    let (statements, largest) = (table.statements(), table.largest_batch.load(Ordering::SeqCst));
    assert!(statements * 5 <= 2_000, "{statements} statements for 2,000 puts");
    assert!((2..=200).contains(&largest), "{largest} writes in one statement");
    Ok(())
}

#[tokio::test]
async fn a_put_during_the_flush_of_its_key_is_not_forgotten() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::gated();
    let users = behind(&russet, &table).build()?;
    users.put(&1, &name("first")).await?;
    until(|| table.waiting.load(Ordering::SeqCst) == 1).await;
    users.put(&1, &name("second")).await?;
    table.gate.add_permits(1);
    until(|| table.row(1).as_deref() == Some("first")).await;
    // Its acknowledgement must leave the second one.
    until(|| table.waiting.load(Ordering::SeqCst) == 1).await;
    assert_eq!(users.backlog().await?, 1);
    table.gate.add_permits(10);
    users.flush().await?;
    assert_eq!((table.row(1).as_deref(), users.backlog().await?), (Some("second"), 0));
    Ok(())
}

#[tokio::test]
async fn a_flush_ends_although_its_keys_are_put_all_the_time() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let users = behind(&russet, &table).build()?;
    users.put(&1, &name(0)).await?;
    let writer = users.clone();
    let putting = tokio::spawn(async move {
        for n in 1_u64.. {
            writer.put(&1, &name(n)).await.unwrap();
        }
    });
    for _ in 0..5 {
        let before: u64 = users.get(&1).await?.unwrap().parse()?;
        tokio::time::timeout(LONG, users.flush()).await??;
        let stored: u64 = table.row(1).unwrap().parse()?;
        assert!(stored >= before, "{before} was put, and the store has {stored}");
    }
    putting.abort();
    Ok(())
}

#[tokio::test]
async fn closing_brings_everything_to_the_store() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    // Nothing would be written by itself in the time of this test.
    let users = behind(&russet, &table).linger(LONG).build()?;
    for id in 0..500 {
        users.put(&id, &name(id)).await?;
    }
    assert_eq!(table.statements(), 0);
    assert_eq!(users.close().await?.dead, 0);
    assert_eq!((table.count(), leftovers(&server).await?), (500, 0));
    assert_eq!(users.flush().await.unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

#[tokio::test]
async fn what_a_process_leaves_is_flushed_by_another() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let gone = behind(&russet, &table).linger(LONG).build()?;
    for id in 0..100 {
        gone.put(&id, &name(id)).await?;
    }
    drop(gone);
    let other = Russet::connect(&_server.url()).await?;
    let _users = behind(&other, &table).build()?;
    until(|| table.rows().len() == 100).await;
    Ok(())
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_given_up() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    table.down.store(true, Ordering::SeqCst);
    let users = behind(&russet, &table).write_attempts(1).build()?;
    for id in 0..50 {
        users.put(&id, &name(id)).await?;
    }
    until(|| users.stats().flush_errors > 10).await;
    assert_eq!((users.backlog().await?, users.dead_writes(10).await?.len()), (50, 0));
    assert_eq!(users.get(&7).await?, Some(name(7)));
    table.down.store(false, Ordering::SeqCst);
    assert_eq!(users.flush().await?.dead, 0);
    assert_eq!((table.count(), users.backlog().await?), (50, 0));
    Ok(())
}

/// Two keys of one partition.
fn neighbours(russet: &Russet, table: &Table) -> Result<(u64, u64), russet::Error> {
    // The layout is documented: xxh3_64 of the key's text, modulo 256.
    let _ = (russet, table);
    let partition = |id: u64| xxhash_rust::xxh3::xxh3_64(id.to_string().as_bytes()) % 256;
    let other = (1..).find(|id| partition(*id) == partition(0));
    Ok((0, other.expect("there are many")))
}

#[tokio::test]
async fn a_full_backlog_is_an_error_or_waits_for_room() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::gated();
    let (one, two) = neighbours(&russet, &table)?;
    let refuses = behind(&russet, &table).backlog(256, Backlog::Error).build()?;
    refuses.put(&one, &name("Ada")).await?;
    refuses.put(&one, &name("Ada King")).await?; // Takes no more room.
    let error = refuses.put(&two, &name("Bob")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(matches!(error.advice(), russet::Advice::RetryAfter(_)));
    assert_eq!(refuses.get(&two).await?, None);

    let short = Duration::from_millis(50);
    let impatient = behind(&russet, &table).backlog(256, Backlog::Wait(short)).build()?;
    assert_eq!(impatient.put(&two, &name("Bob")).await.unwrap_err().kind(), ErrorKind::Refused);
    let waits = behind(&russet, &table).backlog(256, Backlog::Wait(LONG)).build()?;
    let waiting = tokio::spawn(async move { waits.put(&two, &name("Bob")).await });
    eventually(LONG, async || {
        let lists =
            _server.command(&["KEYS", "*:room"]).await.map_err(|error| error.to_string())?;
        if lists.list().is_empty() { Err("nobody waits".to_owned()) } else { Ok(()) }
    })
    .await;
    table.gate.add_permits(100);
    assert_eq!(waiting.await??.copy, CachedCopy::Stored);
    refuses.flush().await?;
    assert_eq!(table.row(two).as_deref(), Some("Bob"));
    Ok(())
}

#[tokio::test]
async fn a_server_that_throws_away_what_it_was_given_is_refused() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await?;
    let russet = Russet::connect(&server.url()).await?;
    let users = behind(&russet, &Table::default()).build()?;
    let error = users.put(&1, &name("Ada")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("noeviction"), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await?;
    users.put(&1, &name("Ada")).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_server_refuses_puts_and_still_drains() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let table = Table::gated();
    let users = behind(&russet, &table).build()?;
    for id in 0..100 {
        users.put(&id, &name(id)).await?;
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    assert_eq!(users.put(&1, &name("late")).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(users.get(&1).await?, Some(name(1)));
    table.gate.add_permits(1_000);
    users.flush().await?;
    assert_eq!((table.count(), users.backlog().await?), (100, 0));
    Ok(())
}

#[tokio::test]
async fn a_put_says_how_safe_it_is() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::builder().append_only().start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let synced = behind(&russet.durability(Durability::Synced), &Table::default()).build()?;
    let reached = synced.put(&1, &name("Ada")).await?.reached.unwrap();
    assert!(reached.synced && reached.in_full);
    let timeout = Duration::from_millis(20);
    let replicated = russet.durability(Durability::Replicated { replicas: 1, timeout });
    let users = behind(&replicated, &Table::default()).build()?;
    let written = users.put_many([(&1, &name("Ada")), (&2, &name("Bob"))]).await?;
    for written in written {
        let reached = written.reached.unwrap();
        assert!(!reached.in_full && reached.replicas == 0, "there is no replica");
    }
    Ok(())
}

#[derive(Debug)]
struct Opaque(u64);

impl CacheKey for Opaque {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Owned(self.0.to_string())
    }
}

struct Sink;

impl Writer<Opaque, String> for Sink {
    async fn write(&self, _: Write<'_, Opaque, String>) -> Result<Option<u64>, BoxError> {
        Ok(None)
    }
}

impl Loader<Opaque, String> for Sink {
    async fn load(&self, _: &Opaque) -> Result<Option<String>, BoxError> {
        Ok(None)
    }
}

#[tokio::test]
async fn what_could_not_be_flushed_is_refused_before_anything_is_written() -> Outcome {
    let (server, russet) = ground().await?;
    let opaque: Cache<Opaque, String> =
        Cache::builder(&russet, "opaque").writer(Sink).write_policy(WritePolicy::Behind).build()?;
    let error = opaque.put(&Opaque(1), &name("Ada")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("from_cache_key"), "{error}");
    let users: Users = behind(&russet, &Table::default()).build()?;
    let update = users.update_with(&1, async || Ok::<_, BoxError>(())).await;
    assert_eq!(update.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(server.command(&["KEYS", "*"]).await?.list().is_empty());
    Ok(())
}
