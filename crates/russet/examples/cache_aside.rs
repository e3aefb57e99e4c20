//! The tutorial's `CacheAside`: look in the cache, load on a miss, drop the copy after an update.
//!
//! `cargo run --example cache_aside --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, which fails twice: callers that miss together all load, and a slow load brings an old
//! value back after an update. Then the same with russet.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use russet::{Cache, Russet, raw};
use support::{Outcome, server};

const CALLERS: usize = 500;

/// A slow table of users.
#[derive(Clone, Default)]
struct Database {
    name: Arc<Mutex<String>>,
    queries: Arc<AtomicUsize>,
}

impl Database {
    async fn load_user(&self) -> Outcome<String> {
        let name = self.name.lock().map_err(|_| "the table is gone")?.clone();
        self.queries.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(name)
    }

    fn update_user(&self, name: &str) {
        if let Ok(mut stored) = self.name.lock() {
            name.clone_into(&mut stored);
        }
    }

    async fn is_being_read(&self) {
        while self.queries.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// How many there were since the last time.
    fn queries(&self) -> usize {
        self.queries.swap(0, Ordering::SeqCst)
    }
}

/// The textbook's way: GET, and on a miss SELECT and SETEX.
async fn textbook_get(russet: &Russet, db: &Database, key: &str) -> Outcome<String> {
    if let Some(cached) = raw::command(russet, &["GET", key]).await?.into_text() {
        return Ok(cached);
    }
    let name = db.load_user().await?;
    raw::command(russet, &["SETEX", key, "3600", &name]).await?;
    Ok(name)
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = Russet::connect(&url).await?;
    let key = format!("example:user:{}", std::process::id());
    let db = Database::default();
    db.update_user("Ada");

    println!("The textbook's way");
    let callers = (0..CALLERS).map(|_| {
        let (russet, db, key) = (russet.clone(), db.clone(), key.clone());
        tokio::spawn(async move { textbook_get(&russet, &db, &key).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    let stampede = db.queries();
    println!("  {CALLERS} callers of one cold key cause {stampede} queries");
    assert!(stampede > CALLERS / 2);

    raw::command(&russet, &["DEL", &key]).await?;
    let slow = tokio::spawn({
        let (russet, db, key) = (russet.clone(), db.clone(), key.clone());
        async move { textbook_get(&russet, &db, &key).await }
    });
    db.is_being_read().await;
    db.update_user("Ada Lovelace");
    raw::command(&russet, &["DEL", &key]).await?;
    slow.await??;
    let stale = textbook_get(&russet, &db, &key).await?;
    println!("  after an update during a load the cache says {stale:?}, for an hour");
    assert_eq!(stale, "Ada");
    raw::command(&russet, &["DEL", &key]).await?;

    println!("With russet");
    let users: Cache<str, String> =
        Cache::builder(&russet, "example users").ttl(Duration::from_secs(3_600)).build()?;
    users.invalidate(&key).await?;
    db.queries();
    let callers = (0..CALLERS).map(|_| {
        let (users, db, key) = (users.clone(), db.clone(), key.clone());
        tokio::spawn(async move { users.get_with(&key, async || db.load_user().await).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await??, "Ada Lovelace");
    }
    let protected = db.queries();
    println!("  {CALLERS} callers of one cold key cause {protected} query");
    assert_eq!(protected, 1);

    users.invalidate(&key).await?;
    let slow = tokio::spawn({
        let (users, db, key) = (users.clone(), db.clone(), key.clone());
        async move { users.get_with(&key, async || db.load_user().await).await }
    });
    db.is_being_read().await;
    db.update_user("Countess Lovelace");
    users.invalidate(&key).await?;
    slow.await??;
    let fresh = users.get_with(&key, async || db.load_user().await).await?;
    println!("  after an update during a load the cache says {fresh:?}");
    assert_eq!(fresh, "Countess Lovelace");

    users.invalidate(&key).await?;
    println!("shown: {stampede} queries became {protected}, and no old value came back");
    Ok(())
}
