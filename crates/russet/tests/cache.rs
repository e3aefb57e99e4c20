//! What `Cache` promises to one process: what is stored, for how long, at which cost, and what is refused.

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::testing::{Proxy, TestServer};
use russet::{BoxError, Cache, ErrorKind, Loader, Russet, Sent, Source, metered};

use support::{Ground, needs_one_server};

type Outcome = Result<(), Box<dyn Error>>;

async fn server() -> Result<(Ground, Russet), Box<dyn Error>> {
    let server = Ground::start().await?;
    let russet = Russet::connect(&server.url()).await?;
    Ok((server, russet))
}

/// A system of record that counts how often it is asked.
#[derive(Clone, Default)]
struct Table {
    rows: Arc<Mutex<HashMap<u64, String>>>,
    loads: Arc<AtomicUsize>,
    batches: Arc<AtomicUsize>,
}

impl Table {
    fn with(rows: impl IntoIterator<Item = u64>) -> Self {
        let table = Self::default();
        table.rows().extend(rows.into_iter().map(|id| (id, format!("User {id}"))));
        table
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, String> for Table {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.rows().get(id).cloned())
    }

    async fn load_many(&self, ids: &[&u64]) -> Result<Vec<Option<String>>, BoxError> {
        self.batches.fetch_add(1, Ordering::SeqCst);
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }
}

fn loaded(value: &str) -> Result<String, BoxError> {
    Ok(value.to_owned())
}

#[tokio::test]
async fn a_miss_costs_three_round_trips_and_six_commands_and_a_hit_one_get() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = Russet::connect(&proxy.url()).await?;
    let cache: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    cache.get_with(&0, async || loaded("scripts are known from here on")).await?;
    server.command(&["CONFIG", "RESETSTAT"]).await?;
    proxy.reset_counts();

    let (missed, sent) = metered(cache.get_with(&1, async || loaded("Ada"))).await;
    assert_eq!(missed?, "Ada");
    assert_eq!((sent.commands, sent.round_trips, proxy.round_trips()), (3, 3, 3));
    let mut commands = 0;
    for command in ["get", "set", "evalsha", "eval", "lpop", "publish", "del", "pexpire", "time"] {
        commands += server.calls(command).await?;
    }
    assert!(commands <= 6, "{commands} commands for a miss, those inside the script included");

    server.command(&["CONFIG", "RESETSTAT"]).await?;
    proxy.reset_counts();
    let (hit, sent) = metered(cache.get_with(&1, async || loaded("not loaded again"))).await;
    assert_eq!(hit?, "Ada");
    assert_eq!((sent.commands, sent.round_trips, proxy.round_trips()), (1, 1, 1));
    assert_eq!(server.calls("get").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_lookup_says_where_its_answer_came_from() -> Outcome {
    let (server, russet) = server().await?;
    let cache = Cache::builder(&russet, "users").loader(Table::with([1])).build()?;
    let source = async |id: u64| {
        Ok::<_, russet::Error>(cache.get_with_source(&id).await?.map(|found| found.source))
    };
    assert_eq!(source(1).await?, Some(Source::Miss));
    assert_eq!(source(1).await?, Some(Source::Hit));
    assert_eq!(source(2).await?, Some(Source::Miss));
    assert_eq!(source(2).await?, Some(Source::Hit), "a cached absence is a hit");
    server.kill().await?;
    assert_eq!(source(1).await?, Some(Source::Bypass));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads, stats.bypasses), (2, 3, 3, 1));
    Ok(())
}

#[tokio::test]
async fn absence_is_cached_for_its_own_shorter_time() -> Outcome {
    let (server, russet) = server().await?;
    let table = Table::with([1]);
    let cache: Cache<u64, String> = Cache::builder(&russet, "users")
        .ttl(Duration::from_secs(600))
        .null_ttl(Duration::from_secs(20))
        .ttl_jitter(0.0)
        .loader(table.clone())
        .build()?;
    for _ in 0..3 {
        assert_eq!(cache.get(&1).await?.as_deref(), Some("User 1"));
        assert_eq!(cache.get(&404).await?, None);
    }
    assert_eq!(table.loads(), 2);
    let keys = server.command(&["KEYS", "russet:{cache:users:*}:entry:*"]).await?;
    for key in keys.texts() {
        let ttl = server.command(&["PTTL", key]).await?.int().unwrap_or_default();
        let expected = if key.ends_with(":404") { 15_000..=20_000 } else { 590_000..=600_000 };
        assert!(expected.contains(&ttl), "{key} lives {ttl} ms");
    }
    Ok(())
}

#[tokio::test]
async fn a_created_record_is_seen_after_its_invalidation() -> Outcome {
    let (_server, russet) = server().await?;
    let table = Table::default();
    let cache = Cache::builder(&russet, "users").loader(table.clone()).build()?;
    assert_eq!(cache.get(&7).await?, None);
    table.rows().insert(7, "Grace".into());
    cache.invalidate(&7).await?;
    assert_eq!(cache.get(&7).await?.as_deref(), Some("Grace"));
    Ok(())
}

#[tokio::test]
async fn no_text_of_a_user_is_taken_for_a_mark() -> Outcome {
    let (_server, russet) = server().await?;
    let cache: Cache<str, String> = Cache::builder(&russet, "texts").build()?;
    for text in ["NULL", "null", "", "N1 ", "L1 0123", "V1 x", "\0\r\n"] {
        cache.put("k", &text.to_owned()).await?;
        assert_eq!(cache.get("k").await?.as_deref(), Some(text));
    }
    let maybe: Cache<str, Option<String>> = Cache::builder(&russet, "options").build()?;
    maybe.put("k", &None).await?;
    assert_eq!(maybe.get("k").await?, Some(None), "a stored none is a value");
    Ok(())
}

#[tokio::test]
async fn entries_stored_together_do_not_end_together() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<u64, String> =
        Cache::builder(&russet, "users").ttl(Duration::from_secs(1_000)).ttl_jitter(0.2).build()?;
    let mut ttls = Vec::new();
    for id in 0..60 {
        cache.put(&id, &"x".into()).await?;
    }
    for key in server.command(&["KEYS", "*"]).await?.texts() {
        ttls.push(server.command(&["PTTL", key]).await?.int().unwrap_or_default());
    }
    assert_eq!(ttls.len(), 60);
    assert!(ttls.iter().all(|ttl| (790_000..=1_200_000).contains(ttl)), "{ttls:?}");
    let spread = ttls.iter().max().zip(ttls.iter().min()).map(|(most, least)| most - least);
    assert!(spread > Some(200_000), "{ttls:?}");

    cache.put(&0, &"x".into()).ttl(Duration::from_secs(5)).await?;
    let reply = server.command(&["KEYS", "*:entry:0"]).await?;
    let ttl = server.command(&["PTTL", reply.texts()[0]]).await?.int();
    assert!(ttl <= Some(5_000), "a ttl of its own has no jitter: {ttl:?}");
    Ok(())
}

#[tokio::test]
async fn many_keys_are_read_in_one_round_trip_and_loaded_in_one_batch() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = Russet::connect(&proxy.url()).await?;
    let table = Table::with([1, 2, 3, 5]);
    let cache = Cache::builder(&russet, "users").loader(table.clone()).build()?;
    let user = |id: u64| Some(format!("User {id}"));

    let keys = [3, 1, 4, 1, 5];
    let expected = [user(3), user(1), None, user(1), user(5)];
    assert_eq!(cache.get_many(&keys).await?, expected);
    assert_eq!((table.batches.load(Ordering::SeqCst), table.loads()), (1, 0));

    proxy.reset_counts();
    let (again, sent) = metered(cache.get_many(&keys)).await;
    assert_eq!(again?, expected);
    assert_eq!(sent, {
        let mut hits = Sent::default();
        hits.commands = 4;
        hits.round_trips = 1;
        hits
    });
    assert_eq!(proxy.round_trips(), 1);
    assert_eq!(table.batches.load(Ordering::SeqCst), 1);

    assert_eq!(cache.get_many(&[2, 3]).await?, [user(2), user(3)]);
    assert_eq!(table.batches.load(Ordering::SeqCst), 2);
    assert_eq!(cache.get_many::<u64>(&[]).await?, Vec::<Option<String>>::new());
    let too_many: Vec<u64> = (0..1_001).collect();
    assert_eq!(cache.get_many(&too_many).await.unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

#[tokio::test]
async fn a_batch_waits_for_what_another_caller_is_loading() -> Outcome {
    let (server, russet) = server().await?;
    let elsewhere = Russet::connect(&server.url()).await?;
    let table = Table::with([1, 2]);
    let here = Cache::builder(&russet, "users").loader(table.clone()).build()?;
    let there: Cache<u64, String> = Cache::builder(&elsewhere, "users").build()?;

    let (started, is_started) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel();
    let slow = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            loaded("loaded elsewhere")
        };
        there.get_with(&1, load).await
    });
    is_started.await?;
    let batch = tokio::spawn(async move { here.get_many(&[1, 2]).await });
    // It waits once it is on the list of the waiters.
    russet::testing::eventually(Duration::from_secs(10), async || {
        let lists =
            server.command(&["KEYS", "*:waiters:1"]).await.map_err(|error| error.to_string())?;
        if lists.list().is_empty() { Err("nobody waits".to_owned()) } else { Ok(()) }
    })
    .await;
    go_on.send(()).ok();
    slow.await??;
    assert_eq!(batch.await??, [Some("loaded elsewhere".into()), Some("User 2".to_owned())]);
    assert_eq!(table.loads(), 0);
    Ok(())
}

#[tokio::test]
async fn a_failing_loader_is_told_to_its_callers_and_not_cached() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    let failed =
        cache.get_with(&1, async || Err(BoxError::from("no such table"))).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Load);
    assert_eq!(failed.to_string(), "cache users: the loader failed: no such table");
    assert!(server.command(&["KEYS", "*"]).await?.list().is_empty(), "the lease is given back");
    assert_eq!(cache.get_with(&1, async || loaded("Ada")).await?, "Ada");
    Ok(())
}

#[tokio::test]
async fn a_value_of_an_older_form_is_loaded_again() -> Outcome {
    let (_server, russet) = server().await?;
    let old: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    let new: Cache<u64, (String, u32)> = Cache::builder(&russet, "users").build()?;
    old.put(&1, &"Ada".into()).await?;
    let load = async || Ok::<_, BoxError>(("Ada".to_owned(), 36));
    assert_eq!(new.get_with(&1, load).await?, ("Ada".to_owned(), 36));
    assert_eq!(new.get(&1).await?, Some(("Ada".to_owned(), 36)));
    Ok(())
}

#[tokio::test]
async fn an_unusable_entry_on_a_server_that_takes_no_writes_is_loaded_past() -> Outcome {
    if needs_one_server() {
        return Ok(());
    }
    let (server, russet) = server().await?;
    let old: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    old.put(&1, &"Ada".into()).await?;
    assert_eq!(old.find_with(&2, async || Ok::<_, BoxError>(None)).await?, None);
    // A replica whose master is gone: it reads, and refuses to write.
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;

    let new: Cache<u64, u32> = Cache::builder(&russet, "users").build()?;
    assert_eq!(new.get_with(&1, async || Ok::<_, BoxError>(36)).await?, 36, "of an older form");
    assert_eq!(
        new.get_with(&2, async || Ok::<_, BoxError>(36)).await?,
        36,
        "a null of no use here"
    );
    assert_eq!(new.stats().bypasses, 2);
    Ok(())
}

#[tokio::test]
async fn a_batch_counts_its_misses_also_when_redis_is_away() -> Outcome {
    let (server, russet) = server().await?;
    let cache = Cache::builder(&russet, "users").loader(Table::with([1])).build()?;
    server.kill().await?;
    assert_eq!(cache.get_many(&[1, 2]).await?, [Some("User 1".into()), None]);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.bypasses, stats.loads), (2, 2, 1));
    Ok(())
}

#[tokio::test]
async fn an_entry_of_an_unknown_format_is_neither_used_nor_overwritten() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<u64, String> = Cache::builder(&russet, "users").build()?;
    cache.put(&1, &"Ada".into()).await?;
    let reply = server.command(&["KEYS", "*"]).await?;
    let key = reply.texts()[0];
    server.command(&["SET", key, "V9 from the future"]).await?;
    assert_eq!(cache.get_with(&1, async || loaded("Ada")).await?, "Ada");
    assert_eq!(server.command(&["GET", key]).await?.text(), Some("V9 from the future"));
    Ok(())
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_before_anything_is_written() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<str, String> =
        Cache::builder(&russet, "texts").max_value_bytes(100).build()?;
    let large = "x".repeat(99);
    let refused = [
        cache.put("", &"x".into()).await.map(drop),
        cache.put(&"k".repeat(1_025), &"x".into()).await.map(drop),
        cache.put("k", &large).await.map(drop),
        cache.put("k", &"x".into()).ttl(Duration::ZERO).await.map(drop),
        cache.invalidate("").await.map(drop),
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(server.command(&["KEYS", "*"]).await?.list().is_empty());
    cache.put(&"k".repeat(1_024), &"x".into()).await?;

    let build = |name: &str| Cache::<str, String>::builder(&russet, name);
    let settings = [
        build("").build(),
        build(&"n".repeat(257)).build(),
        build("n").ttl(Duration::ZERO).build(),
        build("n").null_ttl(Duration::ZERO).build(),
        build("n").ttl_jitter(1.0).build(),
        build("n").ttl_jitter(f64::NAN).build(),
        build("n").fill_lease(Duration::from_millis(99)).build(),
        build("n").max_value_bytes(0).build(),
        build("n").max_bypass(0).build(),
    ];
    for outcome in settings {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    }
    Ok(())
}

#[tokio::test]
async fn a_loaded_value_that_is_too_large_goes_to_its_caller_and_is_not_cached() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<u64, String> =
        Cache::builder(&russet, "texts").max_value_bytes(100).build()?;
    let large = "x".repeat(200);
    assert_eq!(cache.get_with(&1, async || loaded(&large)).await?, large);
    assert!(server.command(&["KEYS", "*"]).await?.list().is_empty());
    assert_eq!(cache.stats().unstored, 1);
    Ok(())
}

#[tokio::test]
async fn neither_a_value_nor_a_key_is_logged() -> Outcome {
    let log = Arc::<Mutex<Vec<u8>>>::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let writer = log.clone();
    let subscriber = subscriber.with_writer(move || Log(writer.clone())).finish();
    // With one subscriber alone, tracing asks the thread that is the first to log a line whether anybody wants it, for
    // all threads and for ever; the other tests have threads that nobody listens to.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    // Of this thread, on which everything below runs.
    let _guard = tracing::subscriber::set_default(subscriber);

    let (server, russet) = server().await?;
    let texts: Cache<str, String> =
        Cache::builder(&russet, "users").max_value_bytes(100).build()?;
    texts.put("secret-key", &"secret-value".into()).await?;
    let numbers: Cache<str, u32> = Cache::builder(&russet, "users").build()?;
    assert_eq!(numbers.get_with("secret-key", async || Ok::<_, BoxError>(1)).await?, 1);
    let large = "secret-value".repeat(10);
    assert_eq!(texts.get_with("secret-key-2", async || loaded(&large)).await?, large);
    let failed = texts.get_with("secret-key-3", async || Err::<String, _>("secret-value")).await;
    assert!(failed.is_err());
    server.kill().await?;
    assert_eq!(
        texts.get_with("secret-key", async || loaded("secret-value")).await?,
        "secret-value"
    );

    let log = String::from_utf8(log.lock().unwrap_or_else(PoisonError::into_inner).clone())?;
    for expected in ["another form", "too large", "past the cache", "connection was lost"] {
        assert!(log.contains(expected), "nothing of {expected:?} in\n{log}");
    }
    assert!(!log.contains("secret"), "{log}");
    Ok(())
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn keys_of_any_text_stay_apart() -> Outcome {
    let (_server, russet) = server().await?;
    let cache: Cache<str, String> = Cache::builder(&russet, "a}:{b*\r\n").build()?;
    let keys =
        ["a", "A", "a b", "a%20b", "a:b", "{a}", "}a{", "*", "?", "\r\n", "\0", "密钥", "🍎"];
    for key in keys {
        cache.put(key, &key.to_owned()).await?;
    }
    for key in keys {
        assert_eq!(cache.get(key).await?.as_deref(), Some(key));
    }
    let other: Cache<str, String> = Cache::builder(&russet, "a").build()?;
    assert_eq!(other.get("a").await?, None);
    Ok(())
}

#[tokio::test]
async fn loads_past_the_cache_are_bounded() -> Outcome {
    let (server, russet) = server().await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "users").max_bypass(4).build()?;
    server.kill().await?;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers = (0..40).map(|id| {
        let (cache, running, most) = (cache.clone(), running.clone(), most.clone());
        tokio::spawn(async move {
            let load = async || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, BoxError>(id)
            };
            cache.get_with(&id, load).await
        })
    });
    for (id, caller) in callers.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(caller.await??, id as u64);
    }
    assert!(most.load(Ordering::SeqCst) <= 4);
    assert_eq!(cache.stats().bypasses, 40);
    Ok(())
}
