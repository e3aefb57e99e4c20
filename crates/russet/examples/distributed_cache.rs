//! The tutorial's `DistributedCache`: one cache over several servers, of which one dies and returns.
//!
//! `cargo run --example distributed_cache --features testing`. It starts three servers of its own, and kills one: so it
//! does not use `REDIS_URL`.
//!
//! First the textbook's way, in which a dead node is an exception, and serves old values when it is back. Then the same with
//! russet.

use std::{error::Error, time::Duration};

use russet::{
    HashRing, NodeAnswer, Russet, ShardedCache, raw,
    testing::{TestServer, eventually},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const LONG: Duration = Duration::from_secs(30);

/// The textbook's: the ring picks the server, and what it says is the answer.
struct Textbook<'a> {
    ring: HashRing,
    servers: &'a [Russet],
}

impl Textbook<'_> {
    async fn command(&self, key: &str, words: &[&str]) -> Outcome<Option<String>> {
        let node = self.ring.get_node(key).ok_or("no node")?;
        let number: usize = node.trim_start_matches("cache-").parse()?;
        Ok(raw::command(&self.servers[number], words).await?.into_text())
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let mut servers = Vec::new();
    let mut handles = Vec::new();
    for _ in 0..3 {
        let server = TestServer::builder().append_only().start().await?;
        handles.push(Russet::connect(&server.url()).await?);
        servers.push(server);
    }
    let names = ["cache-0", "cache-1", "cache-2"];

    println!("The textbook's way");
    let textbook = Textbook { ring: HashRing::of(names)?, servers: &handles };
    let lost = (0..)
        .map(|n| format!("page:{n}"))
        .find(|key| textbook.ring.get_node(key) == Some("cache-1"));
    let lost = lost.ok_or("a node has keys")?;
    textbook.command(&lost, &["SET", &lost, "old", "EX", "3600"]).await?;
    servers[1].kill().await?;
    let error = textbook.command(&lost, &["GET", &lost]).await.map(drop);
    println!(
        "  its node is dead: {}",
        error.as_ref().err().map(ToString::to_string).unwrap_or_default()
    );
    assert!(error.is_err());
    // The record changes, and the cached copy is to be deleted.
    assert!(textbook.command(&lost, &["DEL", &lost]).await.is_err());
    servers[1].restart().await?;
    let back = eventually(LONG, async || textbook.command(&lost, &["GET", &lost]).await).await;
    println!("  it is back, and says {back:?}, for an hour");
    assert_eq!(back.as_deref(), Some("old"));

    println!("With russet");
    let cache = || {
        let builder = names.iter().zip(&handles);
        let builder = builder.fold(ShardedCache::builder("pages"), |builder, (name, handle)| {
            builder.node(name, handle)
        });
        builder.ttl(Duration::from_secs(3_600)).build()
    };
    let pages: ShardedCache<str, String> = cache()?;
    let keys: Vec<String> = (0..90).map(|n| format!("page:{n}")).collect();
    let stored: Vec<_> = keys.iter().map(|key| (key.as_str(), "old".to_owned())).collect();
    pages.put_many(&stored).await?;
    let found = pages.get_many(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    println!("  {} of 90 pages are cached, on three servers", found.iter().flatten().count());
    assert!(found.iter().all(Option::is_some));

    let lost = keys.iter().find(|key| pages.node_of(key) == "cache-1").ok_or("a node has keys")?;
    servers[1].kill().await?;
    let loaded = pages.get_with(lost, async || std::io::Result::Ok("loaded".to_owned())).await?;
    let found = pages.get_many(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let served = found.iter().flatten().count();
    println!("  a node is dead: its pages are {loaded} past it, {served} others are served");
    assert!(loaded == "loaded" && (30..90).contains(&served));
    let answer = pages.invalidate(lost).await?;
    println!("  a page has changed, its node is {answer:?}");
    assert_eq!(answer, NodeAnswer::Away);

    servers[1].restart().await?;
    eventually(LONG, async || match pages.nodes().iter().any(|node| node.is_away) {
        false => Ok(()),
        true => Err("a node is away"),
    })
    .await;
    let back = pages.get(lost).await?;
    let elsewhere = cache()?.get(lost).await?;
    println!("  it is back, and says {back:?} here, {elsewhere:?} to another process");
    assert!(back.is_none() && elsewhere.is_none());
    assert_eq!(pages.put(lost, &"new".to_owned()).await?, NodeAnswer::Done);
    assert_eq!(pages.get(lost).await?.as_deref(), Some("new"));
    println!("shown: a dead node is a miss, and nothing from before it left came back");
    Ok(())
}
