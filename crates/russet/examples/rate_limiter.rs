//! A limiter of an API: the usual pair of `INCR` and `EXPIRE`, and what is better.
//!
//! `cargo run --example rate_limiter --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the recipe that is found everywhere: a caller that dies between the two commands leaves a counter that never ends,
//! and a user who is locked out for ever. Then three kinds of limits and two limits in one step with russet.

mod support;

use std::time::{Duration, Instant};

use russet::{Limit, RateLimiter, Russet, raw};
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;
    with_russet(&russet).await?;
    println!("shown: as many as the limit and no more, and every key ends by itself");
    Ok(())
}

async fn textbook(russet: &Russet) -> Outcome {
    let key = format!("{}-textbook-limit", russet.namespace());
    for _ in 0..6 {
        raw::command(russet, &["INCR", &key]).await?;
        // if count == 1: expire(key, 60). The process was killed before it came to that.
    }
    let ttl = raw::command(russet, &["TTL", &key]).await?.into_text();
    println!("the usual: 6 of 5 requests, and the counter's TTL is {ttl:?}: denied for ever");
    assert_eq!(ttl.as_deref(), Some("-1"));
    raw::command(russet, &["DEL", &key]).await?;
    Ok(())
}

async fn with_russet(russet: &Russet) -> Outcome {
    let day = Duration::from_secs(86_400);
    for (name, limit) in [
        ("gcra", Limit::gcra(1, day).burst(5)),
        ("sliding", Limit::sliding(5, day)),
        ("fixed", Limit::fixed(5, 366 * day)),
    ] {
        let api = RateLimiter::builder(russet, name).limit(limit).build()?;
        let checks = (0..100).map(|_| async { api.check("user_7").await });
        let answers = futures_util::future::try_join_all(checks).await?;
        let allowed = answers.iter().filter(|answer| answer.is_allowed).count();
        println!("{name}: {allowed} of 100 concurrent requests are allowed");
        assert_eq!(allowed, 5);
    }

    // Two limits in one step: a login by the minute, and by the day.
    let logins = RateLimiter::builder(russet, "logins")
        .limit(Limit::gcra(10, Duration::from_secs(1)).burst(2))
        .limit(Limit::sliding(20, day))
        .build()?;
    assert_eq!(logins.check("ada").cost(2).await?.remaining, 0);
    let denied = logins.check("ada").await?;
    if !denied.is_allowed {
        println!("two limits: denied, again in {:?}", denied.retry_after);
        let began = Instant::now();
        tokio::time::sleep(denied.retry_after).await;
        assert!(logins.check("ada").await?.is_allowed);
        println!("two limits: allowed after {:?}", began.elapsed());
    }
    Ok(())
}
