//! The tutorial's `ReentrantRedisLock` with its recursion: the owner as a thread's number, and the owner as a guard.
//!
//! `cargo run --example reentrant_lock --features testing`; with `REDIS_URL` set it uses that server.
//!
//! What goes wrong there: two processes whose threads have the same number hold the lock together. Here who has the guard can enter,
//! and nobody else: not another task on the same thread, and not another process, unless it was given the owner.

mod support;

use russet::{Owner, ReentrantGuard, ReentrantLock, Released, Russet, raw};
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;

    // Thread numbers are addresses, and two processes can have the same.
    let (ours, theirs) = (140_735_198_u64, 140_735_198_u64);
    assert!(tutorial_acquire(&russet, ours).await? && tutorial_acquire(&russet, theirs).await?);
    println!("the tutorial: two processes hold the lock, since their threads have one number");

    let lock = ReentrantLock::builder(&russet, "recursive_resource").build()?;
    let outer = lock.acquire().await?;
    let deepest = recursive_function(3, &outer).await?;
    println!("russet: entered {deepest} times by one guard");
    assert_eq!(deepest, 5);

    // A task on the same thread has no guard.
    assert!(lock.try_acquire().await?.is_none());

    // A process that works for this one is given the owner as text.
    let text = outer.owner().to_string();
    let helper = connect(&url).await?;
    let there = ReentrantLock::builder(&helper, "recursive_resource").build()?;
    let owner: Owner = text.parse()?;
    let inner = there.enter_as(&owner).await?.ok_or("the owner holds the lock")?;
    assert_eq!(inner.fence(), outer.fence());
    assert_eq!(outer.release().await?, Released::Done);
    assert!(lock.try_acquire().await?.is_none(), "the helper is still inside");
    assert_eq!(inner.release().await?, Released::Done);
    assert!(there.enter_as(&owner).await?.is_none());
    assert!(lock.try_acquire().await?.is_some());
    println!(
        "shown: a recursion of {deepest} entries, an entry in another process, and free with the last one"
    );
    Ok(())
}

/// How many entries there are at its bottom.
async fn recursive_function(depth: u32, held: &ReentrantGuard) -> Outcome<u32> {
    let inner = held.reenter().await?;
    println!("depth {depth}");
    let entries = match depth {
        0 => 1,
        _ => Box::pin(recursive_function(depth - 1, &inner)).await?,
    };
    assert_eq!(inner.release().await?, Released::Done);
    Ok(entries + 1)
}

/// `acquire`: re-entry when the holder is a thread of this number.
async fn tutorial_acquire(russet: &Russet, thread_id: u64) -> Outcome<bool> {
    let (key, thread_id) = ("reentrant_lock:recursive_resource", thread_id.to_string());
    let holder = raw::command(russet, &["HGET", key, "holder"]).await?.into_text();
    if holder.as_deref() == Some(&thread_id) {
        raw::command(russet, &["HINCRBY", key, "count", "1"]).await?;
        return Ok(true);
    }
    let script = "if redis.call('exists', KEYS[1]) == 0 then redis.call('hset', KEYS[1], 'holder', ARGV[1]) \
        redis.call('hset', KEYS[1], 'count', 1) redis.call('expire', KEYS[1], 10) return 'OK' end return false";
    let taken = raw::command(russet, &["EVAL", script, "1", key, &thread_id]).await?;
    Ok(taken.into_text().is_some())
}
