//! The tutorial's `RedisSessionManager`: sessions that come back, and sessions that do not.
//!
//! `cargo run --example session_store --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's commands: a request that read the session before the logout writes it again after it, and of two changes
//! at the same time one is lost. Then the same with russet.

mod support;

use russet::{Device, Russet, Saved, Sessions, SignedOut, Validation, raw};
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;

    let sessions = Sessions::builder(&russet, "web").secret([7; 32]).build()?;
    let client = Device::unknown().ip([192, 0, 2, 1]).user_agent("Firefox");
    let (token, session) = sessions.create("user123", &client).await?;

    // Two requests change different attributes, and both changes stay.
    let (cart, theme) = tokio::join!(session.set("cart", &["apple"]), session.set("theme", "dark"));
    assert!(matches!((cart?, theme?), (Saved::Done { .. }, Saved::Done { .. })));
    let Validation::Valid(loaded) = sessions.validate(&token, &client).await? else {
        return Err("not valid".into());
    };
    println!(
        "loaded: cart {:?}, theme {:?}",
        loaded.get::<Vec<String>>("cart")?,
        loaded.get::<String>("theme")?
    );
    assert!(
        loaded.get::<Vec<String>>("cart")?.is_some() && loaded.get::<String>("theme")?.is_some()
    );

    for own in sessions.list("user123").await? {
        println!("{}: from {:?} with {}", own.id, own.ip, own.user_agent);
    }

    // A change that was under way when its owner signed out.
    assert!(matches!(sessions.sign_out(&token).await?, SignedOut::Done { .. }));
    assert_eq!(loaded.set("cart", &["pear"]).await?, Saved::Ended);
    assert!(matches!(sessions.validate(&token, &client).await?, Validation::Unknown));

    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(sessions.create("user123", &client).await?.0);
    }
    sessions.sign_out_everywhere("user123").await?;
    for token in &tokens {
        assert!(matches!(sessions.validate(token, &client).await?, Validation::Unknown));
    }
    println!("shown: no change is lost, and nothing brings a session back");
    Ok(())
}

async fn textbook(russet: &Russet) -> Outcome {
    let key = format!("{}-textbook-session", russet.namespace());
    let run = async |words: &[&str]| raw::command(russet, words).await;
    run(&["SETEX", &key, "60", r#"{"user_id":1}"#]).await?;
    // update_session reads…
    let read = run(&["GET", &key]).await?.into_text().unwrap_or_default();
    // …meanwhile destroy_session…
    run(&["DEL", &key]).await?;
    // …and update_session writes what it has read.
    run(&["SETEX", &key, "60", &read]).await?;
    let back = run(&["GET", &key]).await?.into_text();
    println!("textbook: after the logout the session is {back:?}");
    assert_eq!(back.as_deref(), Some(r#"{"user_id":1}"#));
    run(&["DEL", &key]).await?;
    Ok(())
}
