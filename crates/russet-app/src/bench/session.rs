//! Cases of sessions: made, validated while they are fresh, touched, and all of a user's signed out.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use russet::{
    Device, Russet, SessionToken, Sessions, SessionsBuilder, Validation, raw, testing::TestServer,
};

use super::case::{CALLERS, Case, Took, Work};
use crate::Failure;

/// How many sessions are validated by turns.
const KNOWN: usize = 1_000;
/// How many sessions the user has who signs out everywhere.
const ALL: usize = 10_000;
const USER: &str = "many";

pub async fn cases(server: &TestServer) -> Result<Vec<Case>, Failure> {
    let russet = Russet::connect(&server.url()).await?;
    let builder = |name: &str| Sessions::builder(&russet, name).secret([7; 32]);
    let fresh = known(&builder("fresh")).await?;
    let touched = known(&builder("touched").touch_after(0.0)).await?;
    Ok(vec![
        create(&russet, &builder("made").build()?),
        validate(&russet, "validate_fresh", fresh),
        validate(&russet, "validate_touch", touched),
        sign_out(&russet, &builder("many").build()?).await?,
    ])
}

/// Sessions, and the tokens of so many that live.
type Known = (Sessions, Arc<Vec<SessionToken>>);

async fn known(builder: &SessionsBuilder) -> Result<Known, Failure> {
    let sessions = builder.clone().build()?;
    let users = stream::iter(0..KNOWN).map(|number| {
        let sessions = &sessions;
        async move {
            let (user, client) = (["user", &number.to_string()].concat(), client());
            let (token, _) = sessions.create(&user, &client).set("cart", &["apple"]).await?;
            Ok::<_, Failure>(token)
        }
    });
    let tokens = users.buffer_unordered(CALLERS).try_collect().await?;
    Ok((sessions, Arc::new(tokens)))
}

fn create(russet: &Russet, sessions: &Sessions) -> Case {
    let sessions = sessions.clone();
    let ours = Work::new(move |number| {
        let sessions = sessions.clone();
        async move {
            let user = ["user", &(number % 1_000_000).to_string()].concat();
            sessions.create(&user, &client()).await?;
            Ok(Took::AllOfIt)
        }
    });
    Case::new("session", "create", ours).floor("SET with a TTL", set(russet))
}

fn validate(russet: &Russet, name: &'static str, (sessions, tokens): Known) -> Case {
    let ours = Work::new(move |number| {
        let (sessions, tokens) = (sessions.clone(), tokens.clone());
        async move {
            let token = &tokens[(number % KNOWN as u64) as usize];
            match sessions.validate(token, &client()).await? {
                Validation::Valid(_) => Ok(Took::AllOfIt),
                other => Err(format!("not valid: {other:?}").into()),
            }
        }
    });
    Case::new("session", name, ours).floor("GET of 500 bytes", get(russet))
}

/// All of a user's are in the index once: signing out again finds as many, since no process takes them away.
async fn sign_out(russet: &Russet, sessions: &Sessions) -> Result<Case, Failure> {
    let made = stream::iter(0..ALL).map(|_| async {
        let client = client();
        sessions.create(USER, &client).await.map(drop)
    });
    made.buffer_unordered(CALLERS).try_collect::<Vec<_>>().await?;
    let sessions = sessions.clone();
    let ours = Work::new(move |_| {
        let sessions = sessions.clone();
        async move {
            sessions.sign_out_everywhere(USER).await?;
            Ok(Took::AllOfIt)
        }
    });
    Ok(Case::new("session", "sign_out_all_10000", ours).floor("SET with a TTL", set(russet)))
}

fn client() -> Device {
    Device::unknown().ip([192, 0, 2, 1]).user_agent("Mozilla/5.0 (X11; Linux x86_64)")
}

fn set(russet: &Russet) -> Work {
    let (russet, value) = (russet.clone(), "x".repeat(500));
    Work::new(move |number| {
        let (russet, value) = (russet.clone(), value.clone());
        async move {
            let key = ["floor:", &(number % 1_000_000).to_string()].concat();
            raw::command(&russet, &["SET", &key, &value, "EX", "1800"]).await?;
            Ok(Took::AllOfIt)
        }
    })
}

fn get(russet: &Russet) -> Work {
    let russet = russet.clone();
    let known = set(&russet);
    Work::new(move |number| {
        let (russet, known) = (russet.clone(), known.clone());
        async move {
            if number < KNOWN as u64 {
                return known.run(number).await;
            }
            let key = ["floor:", &(number % KNOWN as u64).to_string()].concat();
            raw::command(&russet, &["GET", &key]).await?;
            Ok(Took::AllOfIt)
        }
    })
}
