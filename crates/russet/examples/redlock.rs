//! The tutorial's `Redlock` over five servers, of which one hangs, two are killed, and then a third.
//!
//! `cargo run --example redlock --features testing`; it starts five servers of its own.
//!
//! What goes wrong there: the servers are asked one after the other, so that one that hangs holds up all; the time that is left is not
//! told; and `False` means both that the lock is taken and that three servers are down.

mod support;

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use russet::{
    ErrorKind, NoMajority, Redlock, Released, Russet,
    testing::{Proxy, TestServer},
};
use support::Outcome;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Outcome {
    let (mut servers, mut proxies, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let server = TestServer::start().await?;
        let proxy = Proxy::to(&server).await?;
        nodes.push(Russet::connect(&proxy.url()).await?);
        servers.push(server);
        proxies.push(proxy);
    }
    let redlock =
        Redlock::builder(&nodes, "critical_resource").lease(Duration::from_secs(30)).build()?;

    let guard = redlock.try_acquire_for(PATIENCE).await?.ok_or("nobody has it")?;
    println!("five servers up: ours for {:?}", guard.validity());
    assert!(redlock.try_acquire().await?.is_none());
    assert_eq!(guard.release().await?, Released::Done);

    // One hangs: it costs the time that one server is given, and not a socket's.
    proxies[0].hang().await?;
    let began = Instant::now();
    let guard = redlock.try_acquire_for(PATIENCE).await?.ok_or("nobody has it")?;
    println!("one of five hangs: acquired in {:?}", began.elapsed());
    let _ = guard.release().await?;
    proxies[0].heal().await?;

    // A minority is lost.
    for server in &servers[..2] {
        server.kill().await?;
    }
    let guard = redlock.try_acquire_for(PATIENCE).await?.ok_or("three of five are a majority")?;
    println!("two of five killed: ours for {:?}", guard.validity());
    let done = guard.with(async |held| !held.is_lost()).await?;
    assert!(done);

    // A majority is lost: that is another answer than "taken", and it says who failed and how.
    servers[2].kill().await?;
    let Err(error) = redlock.try_acquire().await else { return Err("two of five are none".into()) };
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let source = error.source().and_then(|source| source.downcast_ref::<NoMajority>());
    let votes = &source.ok_or("the source names each server")?.votes;
    for (number, vote) in (1..).zip(votes) {
        println!("  server {number}: {vote}");
    }
    assert_eq!(votes.len(), 5);
    println!("shown: a hang passed over, a minority lost and survived, a majority lost and named");
    Ok(())
}
