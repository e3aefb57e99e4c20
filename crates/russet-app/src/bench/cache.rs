//! Cases of the cache, with values of 1 KB.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use russet::{BoxError, Cache, Russet, raw, testing::TestServer};
use tokio::sync::oneshot;

use super::case::{Case, Took, Work};
use crate::Failure;

/// Keys that are there.
const KEYS: u64 = 10_000;
const BATCH: u64 = 100;

pub async fn cases(server: &TestServer) -> Result<Vec<Case>, Failure> {
    let russet = Russet::connect(&server.url()).await?;
    let value: Arc<str> = "x".repeat(1_024).into();
    let cache: Cache<u64, String> =
        Cache::builder(&russet, "bench").ttl(Duration::from_secs(3_600)).build()?;
    for id in 0..KEYS {
        cache.put(&id, &value.to_string()).await?;
        raw::command(&russet, &["SET", &floor_key(id), &*value]).await?;
    }
    Ok(vec![
        hit_near(&russet).await?,
        hit(&russet, &cache),
        miss(&russet, &cache, &value),
        get_many(&russet, &cache),
        wake(server, &cache).await?,
    ])
}

fn floor_key(id: u64) -> String {
    format!("floor:{id}")
}

/// Copies in the process; one caller, since no server is asked.
async fn hit_near(russet: &Russet) -> Result<Case, Failure> {
    const AT_ONCE: u32 = 1_000;
    let cache: Cache<u64, String> =
        Cache::builder(russet, "bench near").near_entries(KEYS as usize).build()?;
    let value = "x".repeat(1_024);
    for id in 0..KEYS / 10 {
        cache.put(&id, &value).await?;
    }
    // Copies are kept when the changes are heard.
    while cache.stats().near_hits == 0 {
        cache.get(&0).await?;
    }
    let ours = Work::new(move |number| {
        let cache = cache.clone();
        async move {
            for at in 0..u64::from(AT_ONCE) {
                cache.get(&((number + at) % (KEYS / 10))).await?;
            }
            Ok(Took::AllOfIt)
        }
    });
    Ok(Case::new("cache", "hit_near", ours).alone(AT_ONCE))
}

fn hit(russet: &Russet, cache: &Cache<u64, String>) -> Case {
    let (russet, cache) = (russet.clone(), cache.clone());
    let ours = Work::new(move |number| {
        let cache = cache.clone();
        async move {
            let load = async || Err(BoxError::from("it is there"));
            cache.get_with(&(number % KEYS), load).await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor = Work::new(move |number| {
        let russet = russet.clone();
        async move {
            raw::command(&russet, &["GET", &floor_key(number % KEYS)]).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("cache", "hit", ours).floor("GET", floor)
}

fn miss(russet: &Russet, cache: &Cache<u64, String>, value: &Arc<str>) -> Case {
    let (russet, cache) = (russet.clone(), cache.clone());
    let (ours, floor) = (value.clone(), value.clone());
    let ours = Work::new(move |number| {
        let (cache, value) = (cache.clone(), ours.clone());
        async move {
            let load = async || Ok::<_, BoxError>(value.to_string());
            cache.get_with(&(KEYS + number), load).await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor = Work::new(move |number| {
        let (russet, value) = (russet.clone(), floor.clone());
        async move {
            let key = floor_key(KEYS + number);
            raw::command(&russet, &["GET", &key]).await?;
            raw::command(&russet, &["SET", &key, "lease", "NX", "GET", "PX", "5000"]).await?;
            raw::command(&russet, &["SET", &key, &*value, "PX", "3600000"]).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("cache", "miss", ours).floor("GET, SET NX GET PX, SET PX", floor)
}

fn get_many(russet: &Russet, cache: &Cache<u64, String>) -> Case {
    let (russet, cache) = (russet.clone(), cache.clone());
    let ids = |number: u64| (0..BATCH).map(move |at| (number * BATCH + at) % KEYS);
    let ours = Work::new(move |number| {
        let cache = cache.clone();
        async move {
            cache.get_many(&ids(number).collect::<Vec<_>>()).await?;
            Ok(Took::AllOfIt)
        }
    });
    let floor = Work::new(move |number| {
        let russet = russet.clone();
        async move {
            let gets: Vec<_> =
                ids(number).map(|id| vec![b"GET".to_vec(), floor_key(id).into_bytes()]).collect();
            raw::pipeline(&russet, &gets).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("cache", "get_many_100", ours).floor("100 GET in a pipeline", floor)
}

/// From the end of a load in one process to the return of a caller that waits in another.
async fn wake(server: &TestServer, cache: &Cache<u64, String>) -> Result<Case, Failure> {
    let elsewhere = Russet::connect(&server.url()).await?;
    let there: Cache<u64, String> = Cache::builder(&elsewhere, "bench").build()?;
    let here = cache.clone();
    let ours = Work::new(move |number| {
        let (here, there, key) = (here.clone(), there.clone(), u64::MAX - number);
        async move {
            let (loading, is_loading) = oneshot::channel();
            let leader = tokio::spawn(async move {
                let mut loaded = Instant::now();
                let load = async || {
                    let _ = loading.send(());
                    // Long enough for the waiter to be on the list.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    loaded = Instant::now();
                    Ok::<_, BoxError>("woken".to_owned())
                };
                here.get_with(&key, load).await?;
                Ok::<_, Failure>(loaded)
            });
            is_loading.await?;
            there.get_with(&key, async || Err(BoxError::from("the other one loads"))).await?;
            let woken = Instant::now();
            Ok(Took::Part(woken.saturating_duration_since(leader.await??)))
        }
    });
    Ok(Case::new("cache", "wake", ours))
}
