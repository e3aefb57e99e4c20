//! The tutorial's `CachePenetrationProtection`: who asks for users that do not exist must not reach the database.
//!
//! `cargo run --example cache_penetration --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First without protection, where each request for an unknown user is a query; then the textbook's null value, which is
//! no help against ids that differ and hides a new user. Then russet: a filter, absence with a time of its own, and a
//! bound on how much of it is stored.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use russet::{BloomFilter, BoxError, Cache, ItemSource, Loader, Russet, raw, testing::TestServer};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const REQUESTS: u64 = 500;

/// A table of users with the numbers from 0.
#[derive(Clone)]
struct Database {
    users: Arc<AtomicU64>,
    queries: Arc<AtomicU64>,
}

impl Database {
    fn with(users: u64) -> Self {
        Self { users: Arc::new(users.into()), queries: Arc::default() }
    }

    fn find(&self, id: u64) -> Option<String> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        (id < self.users.load(Ordering::SeqCst)).then(|| format!("User {id}"))
    }

    /// How many there were since the last time.
    fn queries(&self) -> u64 {
        self.queries.swap(0, Ordering::SeqCst)
    }
}

impl Loader<u64, String> for Database {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.find(*id))
    }
}

impl ItemSource for Database {
    type Item = u64;

    async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
        let first = after.map_or(0, |last| last + 1);
        Ok((first..self.users.load(Ordering::SeqCst)).take(1_000).collect())
    }
}

/// The textbook's way: the text `NULL` for who does not exist.
async fn textbook_get(
    russet: &Russet,
    db: &Database,
    key: &str,
    id: u64,
) -> Outcome<Option<String>> {
    let key = format!("{key}:{id}");
    match raw::command(russet, &["GET", &key]).await?.into_text() {
        Some(cached) if cached == "NULL" => Ok(None),
        Some(cached) => Ok(Some(cached)),
        None => {
            let found = db.find(id);
            let value = found.as_deref().unwrap_or("NULL");
            raw::command(russet, &["SETEX", &key, "300", value]).await?;
            Ok(found)
        }
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = match std::env::var("REDIS_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let server = TestServer::start().await?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let russet = Russet::connect(&url).await?;
    let run = std::process::id();
    let key = format!("example:penetration:{run}");
    let db = Database::with(100);

    println!("Without protection");
    for _ in 0..REQUESTS {
        // SELECT, nothing, and nothing to cache.
        assert_eq!(db.find(404), None);
    }
    let unprotected = db.queries();
    println!("  {REQUESTS} requests for one unknown user cause {unprotected} queries");

    println!("The textbook's null value");
    for id in 1_000..1_000 + REQUESTS {
        assert_eq!(textbook_get(&russet, &db, &key, id).await?, None);
    }
    let textbook = db.queries();
    println!(
        "  {REQUESTS} requests for different ones cause {textbook} queries and {textbook} keys"
    );
    assert_eq!(textbook, REQUESTS);
    // A user signs up whose number somebody has guessed.
    textbook_get(&russet, &db, &key, 100).await?;
    db.users.fetch_add(1, Ordering::SeqCst);
    let hidden = textbook_get(&russet, &db, &key, 100).await?;
    println!("  a user who has just signed up is {hidden:?}, for 5 minutes");
    assert_eq!(hidden, None);
    for id in (1_000..1_000 + REQUESTS).chain([100]) {
        raw::command(&russet, &["UNLINK", &format!("{key}:{id}")]).await?;
    }
    db.queries();

    println!("With russet");
    let known = BloomFilter::builder(&russet, &format!("example ids {run}"))
        .expected_items(10_000)
        .settle(Duration::ZERO)
        .build()?;
    known.rebuild(&db).await?;
    let users = Cache::builder(&russet, &format!("example penetration {run}"))
        .loader(db.clone())
        .bloom(&known)
        .null_ttl(Duration::from_secs(30))
        .max_nulls_per_second(100)
        .build()?;
    for id in 1_000..1_000 + REQUESTS {
        assert_eq!(users.get(&id).await?, None);
    }
    let protected = db.queries();
    println!("  {REQUESTS} requests for different ones cause {protected} queries");
    assert!(protected < REQUESTS / 50);

    // A new user: insert into the filter, then commit, then drop what may be cached.
    let id = db.users.load(Ordering::SeqCst);
    assert_eq!(users.get(&id).await?, None);
    known.insert(&id).await?;
    db.users.fetch_add(1, Ordering::SeqCst);
    users.invalidate(&id).await?;
    let found = users.get(&id).await?;
    println!("  a user who has just signed up is {found:?}");
    assert!(found.is_some());

    // Deleted, and still in the filter: asked for once, and then remembered as absent.
    db.users.fetch_sub(1, Ordering::SeqCst);
    users.invalidate(&id).await?;
    db.queries();
    for _ in 0..REQUESTS {
        assert_eq!(users.get(&id).await?, None);
    }
    let remembered = db.queries();
    println!("  {REQUESTS} requests for one who has left cause {remembered} query");
    assert_eq!(remembered, 1);
    users.invalidate(&id).await?;
    known.delete().await?;
    println!(
        "shown: {textbook} queries for unknown users became {protected}, and nobody was hidden"
    );
    Ok(())
}
