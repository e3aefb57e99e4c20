//! A cache with a Bloom filter, and one under a flood of keys that do not exist.

#![cfg(all(feature = "cache", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use russet::{BloomFilter, BoxError, Cache, Loader, Russet, Source, Verdict, metered};
use support::{Ground, Stage, needs_one_server};

const LONG: Duration = Duration::from_secs(60);

/// Users by number, from 0; counts how many were asked for.
#[derive(Clone)]
struct Table {
    users: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Table {
    fn of(users: u64) -> Self {
        Self { users: Arc::new(users.into()), asked: Arc::default() }
    }

    /// How many were asked for since the last time.
    fn asked(&self) -> u64 {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl Loader<u64, String> for Table {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok((*id < self.users.load(Ordering::SeqCst)).then(|| format!("User {id}")))
    }
}

async fn filter_of(russet: &Russet, users: u64) -> BloomFilter {
    let filter = filter(russet);
    filter.rebuild_from(0..users).await.unwrap();
    filter
}

fn filter(russet: &Russet) -> BloomFilter {
    let builder = BloomFilter::builder(russet, "user_ids").expected_items(10_000);
    builder.settle(Duration::ZERO).build().unwrap()
}

fn cache(russet: &Russet, filter: &BloomFilter, table: &Table) -> Cache<u64, String> {
    Cache::builder(russet, "users").loader(table.clone()).bloom(filter).build().unwrap()
}

async fn elsewhere(stage: &Stage) -> Russet {
    let builder = Russet::builder().url(stage.server.url()).timeout(LONG);
    builder.namespace(stage.russet.namespace()).connect().await.unwrap()
}

/// The servers of this file, and a handle that waits for a busy machine.
async fn stage() -> Stage {
    let stage = support::stage().await;
    let russet = elsewhere(&stage).await;
    Stage { russet, ..stage }
}

async fn entries(stage: &Stage) -> usize {
    stage.keys().await.iter().filter(|stored| stored.key.contains(":entry:")).count()
}

#[tokio::test]
async fn unknown_keys_cost_no_load_and_leave_nothing() {
    let stage = stage().await;
    let table = Table::of(100);
    let filter = filter_of(&stage.russet, 100).await;
    let users = cache(&stage.russet, &filter, &table);
    let found = users.get_with_source(&404).await.unwrap().unwrap();
    assert_eq!((found.value, found.source), (None, Source::Miss));
    for id in 1_000..1_200 {
        assert_eq!(users.get(&id).await.unwrap(), None);
        assert_eq!(users.find_with(&id, async || table.load(&id).await).await.unwrap(), None);
    }
    let ids: Vec<u64> = (50..250).collect();
    let many = users.get_many(&ids).await.unwrap();
    assert_eq!(many.iter().flatten().count(), 50);
    // 100 of the 10,000 that it was made for: it is never wrong about so few.
    assert_eq!(table.asked(), 50);
    assert_eq!((users.stats().filtered, users.stats().misses), (1 + 400 + 150, 1 + 400 + 200));
    assert_eq!(entries(&stage).await, 50);
}

#[tokio::test]
async fn a_record_that_was_put_is_found_at_once_by_every_process() {
    let stage = stage().await;
    let (table, russet) = (Table::of(100), elsewhere(&stage).await);
    let users = cache(&stage.russet, &filter_of(&stage.russet, 100).await, &table);
    let other = cache(&russet, &filter(&russet), &table);
    for id in 500..520 {
        assert_eq!(other.get(&id).await.unwrap(), None);
        users.put(&id, &"new".into()).await.unwrap();
        assert_eq!(other.get(&id).await.unwrap().as_deref(), Some("new"));
        // It ends, and is loaded from the record.
        table.users.store(id + 1, Ordering::SeqCst);
        users.invalidate(&id).await.unwrap();
        assert_eq!(other.get(&id).await.unwrap(), Some(format!("User {id}")));
    }
}

#[tokio::test]
async fn what_was_found_past_the_filter_is_known_from_then_on() {
    let stage = stage().await;
    let (table, filter) = (Table::of(200), filter_of(&stage.russet, 100).await);
    let users = cache(&stage.russet, &filter, &table);
    // A row of a program that does not know the filter.
    assert_eq!(users.get(&150).await.unwrap(), None);
    let load = async || Ok::<_, BoxError>("User 150".to_owned());
    assert_eq!(users.get_with(&150, load).await.unwrap(), "User 150");
    assert_eq!(filter.verdict(&150).await.unwrap(), Verdict::Possible);
    users.invalidate(&150).await.unwrap();
    assert_eq!(users.get(&150).await.unwrap().as_deref(), Some("User 150"));
}

#[tokio::test]
async fn a_filter_costs_a_round_trip_after_a_nil_only() {
    if needs_one_server() {
        return;
    }
    let stage = stage().await;
    let table = Table::of(100);
    let users = cache(&stage.russet, &filter_of(&stage.russet, 100).await, &table);
    // The scripts of the cache are there from now on.
    users.get(&1).await.unwrap();
    let trips = async |id: u64| metered(users.get(&id)).await.1.round_trips;
    assert_eq!((trips(1).await, trips(404).await, trips(2).await), (1, 2, 4));
    let unknown: Vec<u64> = (1_000..1_100).collect();
    assert_eq!(metered(users.get_many(&unknown)).await.1.round_trips, 2);
    let hits = metered(users.get_many(&[1, 2])).await.1.round_trips;
    assert_eq!(hits, 1);
}

#[tokio::test]
async fn a_filter_that_is_lost_or_away_hides_nothing() {
    let stage = stage().await;
    let table = Table::of(100);
    let filter = filter_of(&stage.russet, 100).await;
    let users = cache(&stage.russet, &filter, &table);
    assert_eq!(users.get(&404).await.unwrap(), None);
    assert_eq!(table.asked(), 0);
    for stored in stage.keys().await.iter().filter(|stored| stored.key.contains("{bloom:")) {
        stage.server.command(&["DEL", &stored.key]).await.unwrap();
    }
    assert_eq!(users.get(&1).await.unwrap().as_deref(), Some("User 1"));
    assert_eq!(users.get_many(&[2, 405]).await.unwrap(), [Some("User 2".into()), None]);
    users.put(&3, &"put".into()).await.unwrap();
    assert_eq!(users.get(&3).await.unwrap().as_deref(), Some("put"));
    assert_eq!(table.asked(), 3);

    // The filter is on servers of its own, which are down.
    let ground = Ground::start().await.unwrap();
    let away = filter_of(&Russet::connect(&ground.url()).await.unwrap(), 100).await;
    let users = cache(&stage.russet, &away, &table);
    ground.kill().await.unwrap();
    assert_eq!(users.get(&10).await.unwrap().as_deref(), Some("User 10"));
    let load = async || Ok::<_, BoxError>("User 11".to_owned());
    assert_eq!(users.get_with(&11, load).await.unwrap(), "User 11");
    // A value that could be hidden later is not put.
    assert!(users.put(&12, &"put".into()).await.is_err());
    assert_eq!(users.get(&12).await.unwrap().as_deref(), Some("User 12"));
}

#[tokio::test]
async fn a_flood_of_different_unknown_keys_is_not_all_remembered() {
    let stage = stage().await;
    let table = Table::of(10);
    let users = Cache::builder(&stage.russet, "users").loader(table.clone());
    let users = users.max_nulls_per_second(10).null_ttl(Duration::from_secs(250)).build().unwrap();
    let begun = Instant::now();
    let ids: Vec<u64> = (0..300).collect();
    assert_eq!(users.get_many(&ids).await.unwrap().iter().flatten().count(), 10);
    for id in 1_000..1_050 {
        assert_eq!(users.get(&id).await.unwrap(), None);
    }
    let most = 10 + 10 * (begun.elapsed().as_secs() as usize + 2);
    let (stored, beyond) = (entries(&stage).await, users.stats().nulls_unstored as usize);
    assert_eq!(stored + beyond, 300 + 50, "each is stored or counted");
    assert!((20..=most).contains(&stored), "{stored} entries");
    // Values are stored whatever comes, and nobody is left with the lease of a null.
    let asked = table.asked();
    assert_eq!(asked, 350);
    assert!(users.get(&5).await.unwrap().is_some());
    assert_eq!(table.asked(), 0);
    table.users.store(2_000, Ordering::SeqCst);
    for id in 1_040..1_050 {
        users.invalidate(&id).await.unwrap();
        assert!(users.get(&id).await.unwrap().is_some());
    }
}
