//! The tutorial's `DistributedSessionManager`: one sign-on for several applications.
//!
//! `cargo run --example single_sign_on --features testing`; with `REDIS_URL` set it uses that server.

mod support;

use russet::{Device, Sessions, Sso, Validation};
use serde_json::json;
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let sessions = Sessions::builder(&russet, "company").secret([7; 32]).build()?;
    let (sso, client) = (Sso::new(&sessions), Device::unknown().user_agent("Firefox"));

    let global = sso.sign_in("user123", &client).await?;
    global.session.set("name", "Ada").await?;

    // Both at the same time: the textbook's two logins write the whole global session, and one mapping is lost.
    let (cart, nothing) = (json!({"cart": ["apple"]}), json!({}));
    let (shop, chat) =
        tokio::join!(sso.open(&global, "shop", &cart), sso.open(&global, "chat", &nothing));
    let (shop, chat) = (shop?.ok_or("no shop")?, chat?.ok_or("no chat")?);

    // The merged view: the application's own attributes, and those of the global session.
    let Validation::Valid(session) = sessions.validate(&shop.token, &client).await? else {
        return Err("the shop's session is not valid".into());
    };
    println!(
        "shop: {} has {:?}",
        session.get::<String>("name")?.unwrap_or_default(),
        session.get::<Vec<String>>("cart")?
    );
    assert_eq!(session.get::<String>("name")?.as_deref(), Some("Ada"));

    // Another application is reached by a ticket in the address, which is good once.
    let ticket = sso.ticket(&global, "mail").await?;
    let mail = sso.redeem(ticket.expose(), "mail", &client).await?.ok_or("no mail")?;
    assert!(sso.redeem(ticket.expose(), "mail", &client).await?.is_none());

    let _ = sso.close(&global, "chat").await?;
    assert!(matches!(sessions.validate(&chat.token, &client).await?, Validation::Unknown));
    assert!(matches!(sessions.validate(&mail.token, &client).await?, Validation::Valid(_)));

    let _ = sso.sign_out(&global).await?;
    for token in [&global.token, &shop.token, &mail.token] {
        assert!(matches!(sessions.validate(token, &client).await?, Validation::Unknown));
    }
    println!(
        "shown: applications sign in side by side, one ends alone, and all end with the global session"
    );
    Ok(())
}
