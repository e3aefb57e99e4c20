//! The tutorial's `WriteThrough`: record and cache are written together.
//!
//! `cargo run --example write_through --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, in which two writers commit in one order and reach the cache in the other: the older value
//! stays, for an hour. Then russet, which keeps the larger version.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use russet::{
    BoxError, Cache, CachedCopy, Loader, Russet, Source, Write, WritePolicy, Writer, raw,
    testing::TestServer,
};
use tokio::sync::Notify;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rows with a version, as `UPDATE … SET version = version + 1 … RETURNING version` gives them.
#[derive(Clone, Default)]
struct UserTable {
    rows: Arc<Mutex<HashMap<u64, (u64, String)>>>,
    /// The writer of this name is slow on its way from the commit to the cache.
    slow: Arc<(Notify, Notify)>,
}

const SLOW: &str = "Ada King";

impl UserTable {
    fn rows(&self) -> MutexGuard<'_, HashMap<u64, (u64, String)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, id: u64, name: &str) -> u64 {
        let mut rows = self.rows();
        let (version, stored) = rows.entry(id).or_default();
        *version += 1;
        name.clone_into(stored);
        *version
    }
}

impl Loader<u64, String> for UserTable {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.rows().get(id).map(|(_, name)| name.clone()))
    }
}

impl Writer<u64, String> for UserTable {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        let name = write.value.ok_or("this table deletes nothing")?;
        let version = self.commit(*write.key, name);
        if name == SLOW {
            self.slow.0.notify_one();
            self.slow.1.notified().await;
        }
        Ok(Some(version))
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
    let table = UserTable::default();

    println!("The textbook's way: commit, then SETEX");
    let key = format!("example:through:{}", std::process::id());
    table.commit(1, SLOW);
    table.commit(1, "Ada Lovelace");
    raw::command(&russet, &["SETEX", &key, "3600", "Ada Lovelace"]).await?;
    raw::command(&russet, &["SETEX", &key, "3600", SLOW]).await?; // The first one comes late.
    let stale = raw::command(&russet, &["GET", &key]).await?.into_text();
    println!("  the record is {:?}, and for an hour the cache says {stale:?}", table.rows()[&1].1);
    assert_eq!(stale.as_deref(), Some(SLOW));
    raw::command(&russet, &["DEL", &key]).await?;

    println!("With russet");
    let users = Cache::builder(&russet, &format!("example through {}", std::process::id()))
        .loader(table.clone())
        .writer(table.clone())
        .write_policy(WritePolicy::Through)
        .ttl(Duration::from_secs(3_600))
        .build()?;
    let look = async || {
        let found = users.get_with_source(&1).await?.ok_or("there is a loader")?;
        Ok::<_, BoxError>((found.value.unwrap_or_default(), found.source))
    };
    let written = users.put(&1, &"Ada".to_owned()).await?;
    assert_eq!((written.copy, look().await?), (CachedCopy::Stored, ("Ada".into(), Source::Hit)));
    println!("  put: record and copy are written, and the next look-up is a hit");

    let late = users.clone();
    let late = tokio::spawn(async move { late.put(&1, &SLOW.to_owned()).await });
    table.slow.0.notified().await;
    users.put(&1, &"Ada Lovelace".to_owned()).await?;
    table.slow.1.notify_one();
    late.await??;
    let found = look().await?;
    println!("  a writer that comes late: record {:?}, cache {:?}", table.rows()[&1].1, found.0);
    assert_eq!(found, ("Ada Lovelace".into(), Source::Hit));

    let late = users.clone();
    let late = tokio::spawn(async move { late.put(&1, &SLOW.to_owned()).await });
    table.slow.0.notified().await;
    // Somebody else changes the record, past the cache, and invalidates.
    table.commit(1, "Ada Byron");
    users.invalidate(&1).await?;
    table.slow.1.notify_one();
    let copy = late.await??.copy;
    let found = look().await?;
    println!(
        "  and after an invalidation: its copy is {copy:?}, the next look-up loads {:?}",
        found.0
    );
    assert_eq!((copy, found), (CachedCopy::Dropped, ("Ada Byron".into(), Source::Miss)));
    users.invalidate(&1).await?;

    println!("shown: what was written is in the cache at once, and nothing older takes its place");
    Ok(())
}
