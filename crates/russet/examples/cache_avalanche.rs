//! The tutorial's `CacheAvalancheProtection`: what was stored together must not end together.
//!
//! `cargo run --example cache_avalanche --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First a thousand entries with one time to live: they all end within a second, and the database gets them all at
//! once. Then the same with `ttl_jitter`. That an entry which is asked for does not end at all is in `refresh_ahead`.

mod support;

use std::{collections::HashMap, time::Duration};

use russet::{BoxError, Cache, Loader, Russet, raw};
use support::{Outcome, connect, server};

const ENTRIES: u64 = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

struct Products;

impl Loader<u64, String> for Products {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(Some(format!("Product {id}")))
    }
}

/// How many of these keys end in the second in which most of them end, and over how many seconds they end.
async fn worst_second(russet: &Russet, pattern: &str) -> Outcome<(usize, i64)> {
    let raw::Value::List(keys) = raw::command(russet, &["KEYS", pattern]).await? else {
        return Err("KEYS answers a list".into());
    };
    let mut seconds = HashMap::<i64, usize>::new();
    for key in keys.into_iter().filter_map(raw::Value::into_text) {
        let ends = raw::command(russet, &["EXPIRETIME", &key]).await?;
        let ends =
            ends.into_text().and_then(|ends| ends.parse().ok()).ok_or("a key without end")?;
        *seconds.entry(ends).or_default() += 1;
    }
    let (first, last) = (seconds.keys().min(), seconds.keys().max());
    let over = first.zip(last).map_or(0, |(first, last)| last - first);
    Ok((seconds.into_values().max().unwrap_or_default(), over))
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let namespace = russet.namespace();

    println!("The textbook's way");
    for id in 0..ENTRIES {
        let key = format!("{namespace}:product:{id}");
        raw::command(&russet, &["SETEX", &key, "3600", "a product"]).await?;
    }
    let (textbook, over) = worst_second(&russet, &format!("{namespace}:product:*")).await?;
    println!("  of {ENTRIES} entries {textbook} end in one second, all of them within {over} s");
    for id in 0..ENTRIES {
        raw::command(&russet, &["DEL", &format!("{namespace}:product:{id}")]).await?;
    }
    assert!(textbook as u64 > ENTRIES / 20, "stored together, they end together");

    println!("With russet");
    let products =
        Cache::builder(&russet, "products").ttl(HOUR).ttl_jitter(0.2).loader(Products).build()?;
    products.get_many(&(0..ENTRIES).collect::<Vec<_>>()).await?;
    let (spread, over) = worst_second(&russet, &format!("{namespace}:*:entry:*")).await?;
    println!(
        "  of {ENTRIES} entries at most {spread} end in one second, all of them within {over} s"
    );
    assert!(over > 1_000, "± 20 % of an hour");
    assert!((spread as u64) < ENTRIES / 50);
    for id in 0..ENTRIES {
        products.invalidate(&id).await?;
    }
    println!("shown: the worst second ends {spread} entries in place of {textbook}");
    Ok(())
}
