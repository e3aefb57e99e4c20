//! The tutorial's `CacheUpdateStrategy.write_around`: the record is written, the copy dropped, the next look-up loads.
//!
//! `cargo run --example write_around --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, in which a writer that dies between the two leaves an old copy for an hour. Then russet, which
//! drops it although Redis is away at that moment, and with `strict()` even when the writer dies.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use russet::{
    BoxError, Cache, CachedCopy, Loader, Russet, Source, Write, Writer, raw,
    testing::{Proxy, TestServer, eventually},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const HOUR: Duration = Duration::from_secs(3_600);

/// A table of names.
#[derive(Clone, Default)]
struct UserTable(Arc<Mutex<HashMap<u64, String>>>);

impl UserTable {
    fn rows(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loader<u64, String> for UserTable {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.rows().get(id).cloned())
    }
}

impl Writer<u64, String> for UserTable {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        match write.value {
            Some(name) => self.rows().insert(*write.key, name.clone()),
            None => self.rows().remove(write.key),
        };
        Ok(None)
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (server, url) = match std::env::var("REDIS_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let server = TestServer::start().await?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let russet = Russet::connect(&url).await?;
    let table = UserTable::default();

    println!("The textbook's way");
    let key = format!("example:around:{}", std::process::id());
    table.rows().insert(1, "Ada".into());
    raw::command(&russet, &["SETEX", &key, "3600", "Ada"]).await?;
    table.rows().insert(1, "Ada Lovelace".into());
    // Killed here, before its DEL.
    let stale = raw::command(&russet, &["GET", &key]).await?.into_text();
    println!("  the writer died between the two: for an hour the cache says {stale:?}");
    assert_eq!(stale.as_deref(), Some("Ada"));
    raw::command(&russet, &["DEL", &key]).await?;

    println!("With russet");
    let name = format!("example around {}", std::process::id());
    let builder =
        || Cache::builder(&russet, &name).loader(table.clone()).writer(table.clone()).ttl(HOUR);
    let users = builder().build()?;
    let look = async |cache: &Cache<u64, String>| {
        let found = cache.get_with_source(&1).await?.ok_or("there is a loader")?;
        Ok::<_, BoxError>((found.value, found.source))
    };
    let loaded = |name: &str, source| (Some(name.to_owned()), source);
    assert_eq!(look(&users).await?, loaded("Ada Lovelace", Source::Miss));
    let written = users.put(&1, &"Ada King".to_owned()).await?;
    println!("  put: the record is {:?}, the copy {:?}", table.rows()[&1], written.copy);
    assert_eq!(look(&users).await?, loaded("Ada King", Source::Miss));
    assert_eq!(look(&users).await?, loaded("Ada King", Source::Hit));

    // The same for a statement of your own.
    let rename = async || Ok::<_, BoxError>(table.rows().insert(1, "Ada Byron".into()));
    users.update_with(&1, rename).await?;
    assert_eq!(look(&users).await?, loaded("Ada Byron", Source::Miss));

    let strict = builder().strict().fill_lease(Duration::from_secs(1)).build()?;
    let (has_begun, begun) = tokio::sync::oneshot::channel();
    let dies = strict.clone();
    let commit = table.clone();
    let writer = tokio::spawn(async move {
        let commit = async || {
            commit.rows().insert(1, "Ada Lovelace".into());
            let _ = has_begun.send(());
            std::future::pending::<Outcome>().await
        };
        dies.update_with(&1, commit).await.map(drop)
    });
    begun.await?;
    let found = look(&strict).await?;
    println!("  strict: while it is written readers go past the cache: {found:?}");
    assert_eq!(found, loaded("Ada Lovelace", Source::Bypass));
    writer.abort();
    eventually(Duration::from_secs(30), async || match look(&strict).await {
        Ok((_, Source::Hit)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(look(&strict).await?, loaded("Ada Lovelace", Source::Hit));

    if let Some(server) = &server {
        let proxy = Proxy::to(server).await?;
        let away = Russet::builder()
            .url(proxy.url())
            .timeout(Duration::from_millis(300))
            .connect()
            .await?;
        let away: Cache<u64, String> = Cache::builder(&away, &name)
            .loader(table.clone())
            .writer(table.clone())
            .ttl(HOUR)
            .build()?;
        proxy.refuse().await?;
        let written = away.put(&1, &"Ada King".to_owned()).await?;
        println!("  Redis away: the record is {:?}, the copy {:?}", table.rows()[&1], written.copy);
        assert_eq!(written.copy, CachedCopy::Late);
        proxy.heal().await?;
        eventually(Duration::from_secs(30), async || match look(&users).await {
            Ok((Some(name), _)) if name == "Ada King" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        println!("  and dropped as soon as it is back");
    }
    users.invalidate(&1).await?;

    println!("shown: the record first, then the copy goes, also when Redis or the writer does not");
    Ok(())
}
