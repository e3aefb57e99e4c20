//! The tutorial's `SessionCleanupManager` and `SessionExpiredListener`: who is told that a session has ended.
//!
//! `cargo run --example session_expiry --features testing`; with `REDIS_URL` set it uses that server.
//!
//! The textbook looks with `KEYS` for sessions whose TTL is over: Redis has removed those before, so that its listener is never
//! called. Here a session stays until somebody has been told, whenever that is.

mod support;

use std::time::Duration;

use russet::{Device, EndReason, EndedSession, Russet, Sessions, SessionsBuilder, raw};
use support::{Outcome, connect, server};
use tokio::sync::mpsc;

fn brief(russet: &Russet) -> SessionsBuilder {
    Sessions::builder(russet, "web")
        .secret([7; 32])
        .idle_timeout(Duration::from_secs(1))
        .sweep_every(Duration::from_millis(50))
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;

    let (told, mut ended) = mpsc::channel::<EndedSession>(9);
    let listening = move |russet: &Russet| {
        let told = told.clone();
        brief(russet).on_ended(move |ended| {
            let told = told.clone();
            async move { Ok(told.send(ended).await?) }
        })
    };
    let client = Device::unknown();
    {
        // A process that listens is known from its first round on; then it dies.
        let first = listening(&russet).build()?;
        let (token, _) = first.create("user1", &client).await?;
        loop {
            let _ = first.sign_out(&token).await?;
            let (token, _) = first.create("user1", &client).await?;
            let _ = first.sign_out(&token).await?;
            if ended.try_recv().is_ok() {
                break;
            }
        }
        first.create("user123", &client).set("cart", &["apple"]).await?;
    }
    // Nobody runs while the session's time ends. A second process comes later.
    let second = listening(&russet).build()?;
    while let Some(event) = ended.recv().await {
        if event.reason == EndReason::Idle {
            println!(
                "{} was idle; its cart was {:?}",
                event.user,
                event.get::<Vec<String>>("cart")?
            );
            assert_eq!(
                (event.user.as_str(), event.get::<Vec<String>>("cart")?.map(|cart| cart.len())),
                ("user123", Some(1))
            );
            break;
        }
    }
    let newest = second.ended(10).await?;
    println!("the log: {:?}", newest.first().map(|entry| entry.reason.word()));
    assert!(newest.iter().any(|entry| entry.reason == EndReason::Idle));
    println!("shown: each session that ends is told, with its data, whoever runs at that moment");
    Ok(())
}

/// `ttl == -1` is never true of a session whose time is over: it is not there.
async fn textbook(russet: &Russet) -> Outcome {
    let key = format!("{}-textbook-session", russet.namespace());
    raw::command(russet, &["PSETEX", &key, "1", "data"]).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let left = raw::command(russet, &["EXISTS", &key]).await?.into_text();
    println!("textbook: when the clean-up comes, {left:?} of the session is there to tell about");
    Ok(())
}
