//! What a write promises: the record first, an order that leaves nothing stale, and nothing half told.

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::testing::{Proxy, TestServer, WorkerProcess, eventually, worker_env, worker_report};
use russet::{
    Backlog, BoxError, Cache, CacheKey, CachedCopy, ErrorKind, Loader, PutItem, Russet, Source,
    Write, WritePolicy, Writer, metered,
};
use support::{Ground, needs_one_server};
use tokio::sync::{Notify, oneshot};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

async fn ground() -> Result<(Ground, Russet), Box<dyn Error>> {
    let server = Ground::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    Ok((server, russet))
}

/// A table of names whose rows have versions.
#[derive(Clone, Default)]
struct Table {
    rows: Arc<Mutex<HashMap<u64, String>>>,
    versions: Arc<AtomicU64>,
    /// Whether it tells them.
    versioned: bool,
    broken: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
    batches: Arc<AtomicUsize>,
    loads: Arc<AtomicUsize>,
    gate: Option<Arc<Gate>>,
}

/// Holds up a write between its commit and its answer.
#[derive(Default)]
struct Gate {
    committed: Notify,
    go_on: Notify,
}

impl Table {
    fn versioned() -> Self {
        Self { versioned: true, ..Self::default() }
    }

    fn gated(&self) -> (Self, Arc<Gate>) {
        let gate = Arc::<Gate>::default();
        (Self { gate: Some(gate.clone()), ..self.clone() }, gate)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn row(&self, id: u64) -> Option<String> {
        self.rows().get(&id).cloned()
    }

    fn set(&self, id: u64, name: Option<&str>) -> Option<u64> {
        let mut rows = self.rows();
        match name {
            Some(name) => rows.insert(id, name.to_owned()),
            None => rows.remove(&id),
        };
        // In the order of the commits.
        let version = self.versions.fetch_add(1, Ordering::SeqCst) + 1;
        self.versioned.then_some(version)
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, String> for Table {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.row(*id))
    }
}

impl Writer<u64, String> for Table {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        assert_eq!(write.sequence, None, "nothing is queued");
        if self.broken.load(Ordering::SeqCst) {
            return Err("no such table".into());
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let version = self.set(*write.key, write.value.map(String::as_str));
        if let Some(gate) = &self.gate {
            gate.committed.notify_one();
            gate.go_on.notified().await;
        }
        Ok(version)
    }

    async fn write_many(
        &self,
        writes: &[Write<'_, u64, String>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        self.batches.fetch_add(1, Ordering::SeqCst);
        Ok(writes.iter().map(|one| self.set(*one.key, one.value.map(String::as_str))).collect())
    }
}

type Users = Cache<u64, String>;

fn users(russet: &Russet, table: &Table, policy: WritePolicy) -> Result<Users, russet::Error> {
    let builder = Cache::builder(russet, "users").loader(table.clone()).writer(table.clone());
    builder.write_policy(policy).fill_lease(LONG).build()
}

fn strict(russet: &Russet, table: &Table, lease: Duration) -> Result<Users, russet::Error> {
    let builder = Cache::builder(russet, "users").loader(table.clone()).writer(table.clone());
    builder.strict().fill_lease(lease).build()
}

async fn source(users: &Users, id: u64) -> Result<(Option<String>, Source), Box<dyn Error>> {
    let found = users.get_with_source(&id).await?.ok_or("there is a loader")?;
    Ok((found.value, found.source))
}

fn name(name: &str) -> String {
    name.to_owned()
}

#[tokio::test]
async fn around_writes_the_record_and_drops_the_copy() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let users = users(&russet, &table, WritePolicy::Around)?;
    assert_eq!(source(&users, 1).await?, (None, Source::Miss));
    let written = users.put(&1, &name("Ada")).await?;
    assert_eq!((written.copy, written.reached), (CachedCopy::Dropped, None));
    assert_eq!(table.row(1).as_deref(), Some("Ada"));
    assert_eq!(source(&users, 1).await?, (Some(name("Ada")), Source::Miss));
    assert_eq!(users.remove(&1).await?.copy, CachedCopy::Dropped);
    assert_eq!((table.row(1), source(&users, 1).await?), (None, (None, Source::Miss)));
    assert_eq!((users.stats().writes, users.stats().puts), (2, 1));
    Ok(())
}

#[tokio::test]
async fn through_stores_what_was_written_when_the_record_tells_its_version() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let users = users(&russet, &table, WritePolicy::Through)?;
    for text in ["Ada", "Ada King", "Ada Lovelace"] {
        assert_eq!(users.put(&1, &name(text)).await?.copy, CachedCopy::Stored);
        assert_eq!(source(&users, 1).await?, (Some(name(text)), Source::Hit));
    }
    assert_eq!(users.remove(&1).await?.copy, CachedCopy::Stored, "that there is none is stored");
    assert_eq!(source(&users, 1).await?, (None, Source::Hit));
    assert_eq!(table.loads(), 0);

    let other = Cache::<u64, String>::builder(&russet, "others")
        .loader(Table::default())
        .writer(Table::default())
        .write_policy(WritePolicy::Through)
        .build()?;
    assert_eq!(other.put(&1, &name("Ada")).await?.copy, CachedCopy::Dropped, "it has no version");
    Ok(())
}

#[tokio::test]
async fn a_write_that_comes_late_does_not_replace_a_newer_one() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let (slow_table, gate) = table.gated();
    let (slow, fast) = (
        users(&russet, &slow_table, WritePolicy::Through)?,
        users(&russet, &table, WritePolicy::Through)?,
    );
    let late = tokio::spawn(async move { slow.put(&1, &name("older")).await });
    gate.committed.notified().await;
    fast.put(&1, &name("newer")).await?;
    gate.go_on.notify_one();
    assert_eq!(late.await??.copy, CachedCopy::Stored, "something newer is there");
    assert_eq!(source(&fast, 1).await?, (Some(name("newer")), Source::Hit));
    Ok(())
}

#[tokio::test]
async fn a_write_that_comes_late_does_not_undo_an_invalidation() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let (slow_table, gate) = table.gated();
    let (slow, fast) = (
        users(&russet, &slow_table, WritePolicy::Through)?,
        users(&russet, &table, WritePolicy::Through)?,
    );
    let late = tokio::spawn(async move { slow.put(&1, &name("older")).await });
    gate.committed.notified().await;
    // Somebody who knows nothing of the writer.
    table.set(1, Some("newer"));
    fast.invalidate(&1).await?;
    gate.go_on.notify_one();
    assert_eq!(late.await??.copy, CachedCopy::Dropped);
    assert_eq!(source(&fast, 1).await?.0, Some(name("newer")));

    // The same when its newer version had been stored, and is gone.
    let (slow_table, gate) = table.gated();
    let slow = users(&russet, &slow_table, WritePolicy::Through)?;
    let late = tokio::spawn(async move { slow.put(&2, &name("older")).await });
    gate.committed.notified().await;
    fast.put(&2, &name("newer")).await?;
    fast.invalidate(&2).await?;
    gate.go_on.notify_one();
    assert_eq!(late.await??.copy, CachedCopy::Dropped);
    assert_eq!(source(&fast, 2).await?.0, Some(name("newer")));
    Ok(())
}

#[tokio::test]
async fn a_load_that_comes_late_does_not_replace_what_was_written_through() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let users = users(&russet, &table, WritePolicy::Through)?;
    let (has_read, was_read) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let slow = users.clone();
    let late = tokio::spawn(async move {
        let load = async || {
            let _ = has_read.send(());
            let _ = may_go_on.await;
            Ok::<_, BoxError>(name("old"))
        };
        slow.get_with(&1, load).await
    });
    was_read.await?;
    assert_eq!(users.put(&1, &name("new")).await?.copy, CachedCopy::Stored);
    go_on.send(()).ok();
    assert_eq!(late.await??, "old", "it asked before");
    assert_eq!(source(&users, 1).await?, (Some(name("new")), Source::Hit));
    Ok(())
}

#[tokio::test]
async fn versions_beyond_two_to_the_53_are_told_apart() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    table.versions.store(u64::MAX - 10, Ordering::SeqCst);
    let (slow_table, gate) = table.gated();
    let (slow, fast) = (
        users(&russet, &slow_table, WritePolicy::Through)?,
        users(&russet, &table, WritePolicy::Through)?,
    );
    let late = tokio::spawn(async move { slow.put(&1, &name("older")).await });
    gate.committed.notified().await;
    fast.put(&1, &name("newer")).await?;
    gate.go_on.notify_one();
    late.await??;
    assert_eq!(source(&fast, 1).await?, (Some(name("newer")), Source::Hit));
    assert_eq!(fast.put(&1, &name("newest")).await?.copy, CachedCopy::Stored);
    assert_eq!(source(&fast, 1).await?, (Some(name("newest")), Source::Hit));
    Ok(())
}

#[tokio::test]
async fn a_failed_write_is_the_callers_error_and_drops_the_copy() -> Outcome {
    let (_server, russet) = ground().await?;
    for policy in [WritePolicy::Around, WritePolicy::Through] {
        let table = Table::versioned();
        table.set(1, Some("Ada"));
        let users = users(&russet, &table, policy)?;
        users.invalidate(&1).await?;
        assert_eq!(source(&users, 1).await?.1, Source::Miss);
        table.broken.store(true, Ordering::SeqCst);
        let error = users.put(&1, &name("Ada King")).await.unwrap_err();
        assert_eq!((error.kind(), error.source().is_some()), (ErrorKind::Write, true), "{error}");
        // It may have been written before its answer was lost.
        assert_eq!(source(&users, 1).await?.1, Source::Miss);
        assert_eq!(users.stats().write_errors, 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_update_runs_the_closure_and_drops_the_copy_whatever_it_says() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let users = users(&russet, &table, WritePolicy::Around)?;
    source(&users, 1).await?;
    let rename = async || Ok::<_, BoxError>(table.set(1, Some("Ada")));
    assert_eq!(users.update_with(&1, rename).await?, (None, CachedCopy::Dropped));
    assert_eq!(source(&users, 1).await?, (Some(name("Ada")), Source::Miss));
    let lost = async || {
        table.set(1, Some("Ada King"));
        Err::<(), BoxError>("the answer was lost".into())
    };
    assert_eq!(users.update_with(&1, lost).await.unwrap_err().kind(), ErrorKind::Write);
    assert_eq!(source(&users, 1).await?, (Some(name("Ada King")), Source::Miss));
    Ok(())
}

#[tokio::test]
async fn a_writer_that_is_cancelled_leaves_no_old_copy() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    let (slow_table, gate) = table.gated();
    for strictly in [false, true] {
        let users = match strictly {
            false => users(&russet, &slow_table, WritePolicy::Around)?,
            true => strict(&russet, &slow_table, LONG)?,
        };
        users.invalidate(&1).await?;
        table.set(1, Some("old"));
        source(&users, 1).await?;
        let writer = users.clone();
        let cancelled = tokio::spawn(async move { writer.put(&1, &name("new")).await });
        gate.committed.notified().await;
        cancelled.abort();
        assert!(cancelled.await.is_err());
        eventually(LONG, async || {
            match source(&users, 1).await.map_err(|error| error.to_string())? {
                (Some(found), Source::Hit) if found == "new" => Ok(()),
                other => Err(format!("strict {strictly}: {other:?}")),
            }
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn while_redis_is_away_records_are_written_and_old_copies_dropped_afterwards() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let timeout = Duration::from_millis(500);
    let russet = Russet::builder().url(proxy.url()).timeout(timeout).connect().await?;
    let reader = Russet::connect(&server.url()).await?;
    let table = Table::versioned();
    let policies = [WritePolicy::Around, WritePolicy::Through];
    let caches: Vec<_> = policies
        .into_iter()
        .map(|policy| users(&russet, &table, policy))
        .collect::<Result<_, _>>()?;
    let watched = users(&reader, &table, WritePolicy::Around)?;
    for id in 1..=2 {
        table.set(id, Some("old"));
        source(&watched, id).await?;
    }
    proxy.refuse().await?;
    for (id, cache) in (1..).zip(&caches) {
        assert_eq!(cache.put(&id, &name("new")).await?.copy, CachedCopy::Late);
        assert_eq!(table.row(id).as_deref(), Some("new"));
        assert_eq!(source(&watched, id).await?, (Some(name("old")), Source::Hit));
    }
    let strict = strict(&russet, &table, LONG)?;
    let error = strict.put(&1, &name("newest")).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Write, "a strict cache writes nothing without its guard");
    assert_eq!(table.row(1).as_deref(), Some("new"));
    proxy.heal().await?;
    for id in 1..=2 {
        eventually(LONG, async || {
            match source(&watched, id).await.map_err(|error| error.to_string())?.0.as_deref() {
                Some("new") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn under_a_strict_write_readers_load_past_the_cache_and_store_nothing() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    table.set(1, Some("old"));
    let (slow_table, gate) = table.gated();
    let (writer, reader) = (strict(&russet, &slow_table, LONG)?, strict(&russet, &table, LONG)?);
    assert_eq!(source(&reader, 1).await?.1, Source::Miss);
    let writing = tokio::spawn(async move { writer.put(&1, &name("new")).await });
    gate.committed.notified().await;
    assert_eq!(source(&reader, 1).await?, (Some(name("new")), Source::Bypass));
    assert_eq!(reader.get_many(&[1]).await?, [Some(name("new"))]);
    // Neither of these takes the guard away.
    reader.invalidate(&1).await?;
    let plain: Users = Cache::builder(&russet, "users").build()?;
    assert_eq!(plain.put(&1, &name("mine")).await?.copy, CachedCopy::Dropped);
    assert_eq!(source(&reader, 1).await?.1, Source::Bypass);
    gate.go_on.notify_one();
    assert_eq!(writing.await??.copy, CachedCopy::Dropped);
    assert!(server.command(&["KEYS", "*:entry:1"]).await?.list().is_empty());
    assert_eq!(source(&reader, 1).await?, (Some(name("new")), Source::Miss));
    assert_eq!(source(&reader, 1).await?, (Some(name("new")), Source::Hit));
    Ok(())
}

#[tokio::test]
async fn the_guard_of_one_strict_writer_outlives_another_ones() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let (first_table, first_gate) = table.gated();
    let (second_table, second_gate) = table.gated();
    let through = |table: &Table| {
        let builder = Cache::builder(&russet, "users").loader(table.clone()).writer(table.clone());
        builder.write_policy(WritePolicy::Through).strict().fill_lease(LONG).build()
    };
    let (first, second, reader) =
        (through(&first_table)?, through(&second_table)?, through(&table)?);
    let one = tokio::spawn(async move { first.put(&1, &name("first")).await });
    first_gate.committed.notified().await;
    let two = tokio::spawn(async move { second.put(&1, &name("second")).await });
    second_gate.committed.notified().await;
    second_gate.go_on.notify_one();
    assert_eq!(two.await??.copy, CachedCopy::Dropped);
    assert_eq!(source(&reader, 1).await?, (Some(name("second")), Source::Bypass));
    first_gate.go_on.notify_one();
    assert_eq!(one.await??.copy, CachedCopy::Dropped, "another one wrote meanwhile");
    assert_eq!(source(&reader, 1).await?, (Some(name("second")), Source::Miss));
    // Alone, what was written takes the guard's place.
    assert_eq!(reader.put(&1, &name("third")).await?.copy, CachedCopy::Stored);
    assert_eq!(source(&reader, 1).await?, (Some(name("third")), Source::Hit));
    Ok(())
}

#[tokio::test]
async fn a_guard_is_renewed_while_its_writer_runs() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    let (slow_table, gate) = table.gated();
    let lease = Duration::from_millis(1_500);
    let writer = strict(&russet, &slow_table, lease)?;
    let writing = tokio::spawn(async move { writer.put(&1, &name("new")).await });
    gate.committed.notified().await;
    let guard = async || {
        let keys = server.command(&["KEYS", "*:entry:1"]).await?;
        let key = keys.texts().first().map(|key| (*key).to_owned()).ok_or("no guard")?;
        let guard = server.command(&["GET", &key]).await?;
        Ok::<_, Box<dyn Error>>(guard.text().unwrap_or_default().to_owned())
    };
    let first = guard().await?;
    assert!(first.starts_with("W1;alone=1 "), "{first}");
    eventually(LONG, async || match guard().await.map_err(|error| error.to_string())? {
        same if same == first => Err("not renewed".to_owned()),
        _ => Ok(()),
    })
    .await;
    gate.go_on.notify_one();
    writing.await??;
    Ok(())
}

/// A writer that is killed between the record and the cache.
#[test]
fn strict_writer_process() -> Outcome {
    let Some(url) = worker_env("REDIS") else { return Ok(()) };
    tokio::runtime::Runtime::new()?.block_on(async {
        let russet = Russet::connect(&url).await?;
        let (table, gate) = Table::default().gated();
        let writer = strict(&russet, &table, Duration::from_secs(2))?;
        let writing = tokio::spawn(async move { writer.put(&1, &name("new")).await });
        gate.committed.notified().await;
        worker_report("committed");
        writing.await??;
        Ok(())
    })
}

#[tokio::test]
async fn a_strict_writer_that_is_killed_costs_its_guards_time() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    table.set(1, Some("old"));
    let reader = strict(&russet, &table, Duration::from_secs(2))?;
    source(&reader, 1).await?;
    let mut writer = WorkerProcess::spawn("strict_writer_process", &[("REDIS", &server.url())])?;
    writer.line_starting("committed").await?;
    table.set(1, Some("new"));
    writer.kill().await?;
    assert_eq!(source(&reader, 1).await?, (Some(name("new")), Source::Bypass));
    eventually(LONG, async || {
        match source(&reader, 1).await.map_err(|error| error.to_string())? {
            (Some(found), Source::Hit) if found == "new" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn many_are_written_at_once_each_key_once_and_in_order() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::versioned();
    let users = users(&russet, &table, WritePolicy::Through)?;
    let names: Vec<_> = (0..100).map(|id| format!("User {id}")).collect();
    let items = (0..100_u64).map(|id| names[id as usize].clone()).collect::<Vec<_>>();
    let ids: Vec<u64> = (0..100).collect();
    let written = users.put_many(ids.iter().zip(&items)).await?;
    assert_eq!((written.len(), written[7].copy), (100, CachedCopy::Stored));
    assert_eq!((table.batches.load(Ordering::SeqCst), table.writes.load(Ordering::SeqCst)), (1, 0));
    let (first, last) = (name("first"), name("last"));
    let twice = users.put_many([(&1, &first), (&2, &first), (&1, &last)]).await?;
    assert_eq!(twice.len(), 3);
    assert_eq!(table.row(1).as_deref(), Some("last"));
    assert_eq!(users.get_many(&[1, 2]).await?, [Some(last), Some(first)]);
    users.remove_many(&[1, 2]).await?;
    assert_eq!((table.row(1), users.get_many(&[1, 2]).await?), (None, vec![None, None]));
    assert_eq!(table.loads(), 0);
    users.invalidate_many(&ids).await?;
    assert_eq!(source(&users, 7).await?.1, Source::Miss);

    let none: [(&u64, &String); 0] = [];
    assert_eq!(users.put_many(none).await?.len(), 0);
    let ids: Vec<u64> = (0..1_001).collect();
    assert_eq!(users.invalidate_many(&ids).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(users.remove_many(&ids).await.unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

#[tokio::test]
async fn many_puts_and_invalidations_are_one_round_trip() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = Russet::connect(&proxy.url()).await?;
    let pages: Cache<u64, String> = Cache::builder(&russet, "pages").build()?;
    let page = name("<h1>Page</h1>");
    pages.put(&0, &page).await?;
    pages.invalidate(&0).await?;
    let ids: Vec<u64> = (0..100).collect();

    proxy.reset_counts();
    let (put, sent) = metered(pages.put_many(ids.iter().map(|id| (id, &page)))).await;
    assert_eq!(put?.len(), 100);
    assert_eq!((sent.commands, sent.round_trips, proxy.round_trips()), (100, 1, 1));
    let item = PutItem::new(&7, &page).ttl(Duration::from_secs(10));
    pages.put_many([item]).await?;
    let key = server.command(&["KEYS", "*:entry:7"]).await?.texts()[0].to_owned();
    assert!(server.command(&["PTTL", &key]).await?.int() <= Some(10_000));

    proxy.reset_counts();
    let (dropped, sent) = metered(pages.invalidate_many(&ids)).await;
    dropped?;
    assert_eq!((sent.commands, sent.round_trips, proxy.round_trips()), (100, 1, 1));
    assert!(server.command(&["KEYS", "*:entry:*"]).await?.list().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_write_costs_what_its_policy_needs() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let table = Table::versioned();
    let around = users(&russet, &table, WritePolicy::Around)?;
    let through = users(&russet, &table, WritePolicy::Through)?;
    let strict = strict(&russet, &table, LONG)?;
    for (cache, trips) in [(around, 1), (through, 2), (strict, 2)] {
        cache.put(&1, &name("scripts are known from here on")).await?;
        let (put, sent) = metered(async { cache.put(&1, &name("Ada")).await }).await;
        put?;
        assert_eq!(sent.round_trips, trips);
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused_by_name() -> Outcome {
    let (_server, russet) = ground().await?;
    let build = || Cache::<u64, String>::builder(&russet, "users");
    let writer = || build().writer(Table::default());
    let behind = || writer().write_policy(WritePolicy::Behind);
    let refused = [
        (build().write_policy(WritePolicy::Through).build(), ["Through", "writer"]),
        (build().write_policy(WritePolicy::Behind).build(), ["Behind", "writer"]),
        (behind().strict().build(), ["strict", "Behind"]),
        (writer().linger(Duration::ZERO).build(), ["linger", "Around"]),
        (writer().write_batch(1).build(), ["write_batch", "Around"]),
        (writer().backlog(1, Backlog::Error).build(), ["backlog", "Around"]),
        (writer().write_attempts(1).build(), ["write_attempts", "Around"]),
        (writer().flush_lease(LONG).build(), ["flush_lease", "Around"]),
        (behind().linger(Duration::from_secs(61)).build(), ["linger", "61s"]),
        (behind().write_batch(0).build(), ["write_batch", "0"]),
        (behind().write_batch(1_001).build(), ["write_batch", "1001"]),
        (behind().backlog(0, Backlog::Error).build(), ["backlog", "0"]),
        (behind().backlog(1, Backlog::Wait(Duration::ZERO)).build(), ["backlog", "Wait"]),
        (behind().write_attempts(0).build(), ["write_attempts", "0"]),
        (behind().flush_lease(Duration::from_millis(99)).build(), ["flush_lease", "99ms"]),
    ];
    for (outcome, words) in refused {
        let error = outcome.expect_err(words[0]);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{words:?}: {error}");
    }
    Ok(())
}

#[test]
fn keys_are_read_back_from_their_text() {
    assert_eq!(i8::from_cache_key("-7"), Some(Box::new(-7)));
    assert_eq!(u8::from_cache_key("256"), None);
    assert_eq!(str::from_cache_key("a:b").as_deref(), Some("a:b"));
    assert_eq!(<(u8, u8)>::from_cache_key("1:2:3"), None);
    assert_eq!(<(u8, u8)>::from_cache_key("1"), None);
    assert_eq!(<&str>::from_cache_key("a"), None, "a reference cannot be made from a text");
}

/// For queued writes, whose numbers this table does not need.
#[derive(Clone)]
struct Sink;

impl Writer<u64, String> for Sink {
    async fn write(&self, _: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        Ok(None)
    }
}

#[tokio::test]
async fn copies_in_other_processes_go_with_every_write() -> Outcome {
    let (server, russet) = ground().await?;
    let other = Russet::connect(&server.url()).await?;
    let table = Table::versioned();
    let build = || Cache::<u64, String>::builder(&russet, "users");
    let behind: Users = build().writer(Sink).write_policy(WritePolicy::Behind).build()?;
    let writers = [
        users(&russet, &table, WritePolicy::Around)?,
        users(&russet, &table, WritePolicy::Through)?,
        strict(&russet, &table, LONG)?,
        behind,
    ];
    // Only a message takes a copy out.
    let reader: Users = Cache::builder(&other, "users")
        .loader(table.clone())
        .near_entries(100)
        .near_max_age(LONG)
        .build()?;
    for (n, writer) in writers.iter().enumerate() {
        let old = name(format!("old {n}").as_str());
        table.set(1, Some(&old));
        reader.invalidate(&1).await?;
        eventually(LONG, async || {
            match source(&reader, 1).await.map_err(|error| error.to_string())? {
                (Some(found), Source::Near) if found == old => Ok(()),
                found => Err(format!("{n}: {found:?} is no copy in the process")),
            }
        })
        .await;
        let new = name(format!("new {n}").as_str());
        writer.put(&1, &new).await?;
        eventually(LONG, async || {
            match source(&reader, 1).await.map_err(|error| error.to_string())?.0 {
                Some(found) if found == new => Ok(()),
                found => Err(format!("{n}: {found:?} after {new}")),
            }
        })
        .await;
    }
    Ok(())
}
