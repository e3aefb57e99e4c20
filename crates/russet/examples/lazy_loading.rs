//! The tutorial's `lazy_loading`: look in the cache, and load what is not there.
//!
//! `cargo run --example lazy_loading --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, in which whoever does not exist is asked for each time (`if user_data:`), and a page of users
//! costs a query each. Then the same with russet: absence is cached too, and what is missing is loaded in one query.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use russet::{BoxError, Cache, Loader, Russet, raw};
use support::{Outcome, connect, server};

const LOOK_UPS: usize = 50;

/// A table of a hundred users, which counts its queries.
#[derive(Clone, Default)]
struct Users(Arc<AtomicUsize>);

impl Users {
    fn select(&self, ids: &[u64]) -> Vec<Option<String>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        ids.iter().map(|id| (*id < 100).then(|| format!("User {id}"))).collect()
    }

    /// How many there were since the last time.
    fn queries(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Loader<u64, String> for Users {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.select(&[*id]).pop().flatten())
    }

    async fn load_many(&self, ids: &[&u64]) -> Result<Vec<Option<String>>, BoxError> {
        Ok(self.select(&ids.iter().map(|id| **id).collect::<Vec<_>>()))
    }
}

/// The textbook's way: what is not found is not stored.
async fn textbook_get(russet: &Russet, users: &Users, id: u64) -> Outcome<Option<String>> {
    let key = format!("{}:user:{id}", russet.namespace());
    if let Some(cached) = raw::command(russet, &["GET", &key]).await?.into_text() {
        return Ok(Some(cached));
    }
    let user = users.select(&[id]).pop().flatten();
    if let Some(user) = &user {
        raw::command(russet, &["SETEX", &key, "60", user]).await?;
    }
    Ok(user)
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let users = Users::default();
    let page: Vec<u64> = (0..20).collect();

    println!("The textbook's way");
    for _ in 0..LOOK_UPS {
        textbook_get(&russet, &users, 404).await?;
    }
    let unknown = users.queries();
    for id in &page {
        textbook_get(&russet, &users, *id).await?;
    }
    let one_by_one = users.queries();
    println!(
        "  {LOOK_UPS} look-ups of one unknown user cause {unknown} queries, a page of 20 users {one_by_one}"
    );
    assert_eq!((unknown, one_by_one), (LOOK_UPS, page.len()));
    for id in &page {
        raw::command(&russet, &["DEL", &format!("{}:user:{id}", russet.namespace())]).await?;
    }

    println!("With russet");
    let cache: Cache<u64, String> =
        Cache::builder(&russet, "users").loader(users.clone()).build()?;
    for _ in 0..LOOK_UPS {
        assert_eq!(cache.get(&404).await?, None);
    }
    let remembered = users.queries();
    assert_eq!(cache.get_many(&page).await?[7].as_deref(), Some("User 7"));
    let together = users.queries();
    println!("  the same cause {remembered} query and {together} query");
    assert_eq!((remembered, together), (1, 1));
    cache.invalidate(&404).await?;
    for id in &page {
        cache.invalidate(id).await?;
    }
    println!(
        "shown: {unknown} queries for an unknown user became {remembered}, {one_by_one} for a page {together}"
    );
    Ok(())
}
