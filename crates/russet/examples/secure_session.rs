//! The tutorial's `SecureSessionManager`: signatures, devices, CSRF tokens, and what a dump of Redis gives away.
//!
//! `cargo run --example secure_session --features testing`; with `REDIS_URL` set it uses that server.

mod support;

use russet::{Device, OnChange, Sessions, Validation};
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let builder = || Sessions::builder(&russet, "web").secret([7; 32]);
    let sessions = builder().build()?;
    let client = Device::unknown().ip([192, 0, 2, 1]).user_agent("Firefox");
    let (token, session) = sessions.create("user123", &client).await?;

    // One character of the cookie, changed.
    let mut forged = token.expose().to_owned();
    forged.replace_range(0..1, if forged.starts_with('A') { "B" } else { "A" });
    assert!(matches!(sessions.validate(&forged.into(), &client).await?, Validation::Tampered));

    // A thief with the cookie and another browser.
    let thief = client.clone().user_agent("curl");
    assert!(matches!(sessions.validate(&token, &thief).await?, Validation::Mismatched));

    // Another address: allowed and written down, unless the policy is stricter. In the textbook the address is part of the
    // fingerprint, so that its check for a change of address is never reached.
    let train = client.clone().ip([198, 51, 100, 9]);
    assert!(matches!(sessions.validate(&token, &train).await?, Validation::Valid(_)));
    let strict = builder().on_address_change(OnChange::Reject).build()?;
    assert!(matches!(strict.validate(&token, &client).await?, Validation::Mismatched));
    for entry in sessions.activity(10).await? {
        println!("suspicious: {} of {:?} from {:?}", entry.what, entry.user, entry.ip);
    }

    // A form of this session, and one of another.
    let (_, other) = sessions.create("mallory", &client).await?;
    let csrf = session.csrf_token()?;
    assert!(session.is_csrf_token(&csrf) && !other.is_csrf_token(&csrf));

    // More rights, another id: who had planted the old one has nothing.
    let (new, raised) = session.rotate().roles(["admin"]).await?.ok_or("it has ended")?;
    assert!(matches!(sessions.validate(&token, &client).await?, Validation::Unknown));
    assert!(raised.has_role("admin") && !raised.is_csrf_token(&csrf));

    // The key is changed, and nobody is signed out.
    let rotated = Sessions::builder(&russet, "web").secret([8; 32]).also_verify([7; 32]).build()?;
    assert!(matches!(rotated.validate(&new, &train).await?, Validation::Valid(_)));
    println!("shown: changed, stolen and planted sessions are refused, and keys can be changed");
    Ok(())
}
