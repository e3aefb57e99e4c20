//! Sessions: what their calls promise, and what is left in Redis.

#![cfg(feature = "session")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russet::testing::{Reply, eventually};
use russet::{
    Device, EndReason, EndedSession, ErrorKind, FingerprintPart, OnChange, Russet, Saved, Session,
    SessionId, SessionToken, Sessions, SessionsBuilder, SignedOut, Sso, Validation, metered,
};
use support::{
    Stage, commands, needs_one_server, patient_stage, refused_names, server, stage, strange_names,
};

const LONG: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn builder(russet: &Russet) -> SessionsBuilder {
    Sessions::builder(russet, "web").secret([7; 32])
}

fn sessions(stage: &Stage) -> Sessions {
    builder(&stage.russet).build().unwrap()
}

fn device() -> Device {
    Device::unknown().ip([192, 0, 2, 1]).user_agent("Firefox").language("en")
}

async fn valid(sessions: &Sessions, token: &SessionToken) -> Session {
    match sessions.validate(token, &device()).await.unwrap() {
        Validation::Valid(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn is_unknown(sessions: &Sessions, token: &SessionToken) -> bool {
    matches!(sessions.validate(token, &device()).await.unwrap(), Validation::Unknown)
}

fn is_done(signed_out: SignedOut) -> bool {
    matches!(signed_out, SignedOut::Done { .. })
}

/// A number from the environment, for long runs.
fn many(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The keys of the namespace that are no log.
async fn left(stage: &Stage) -> Vec<String> {
    let keys = stage.keys().await.into_iter().map(|stored| stored.key);
    keys.filter(|key| ![":log", ":activity", ":book"].iter().any(|end| key.ends_with(end)))
        .collect()
}

async fn nothing_is_left(stage: &Stage) {
    eventually(LONG, async || match left(stage).await {
        keys if keys.is_empty() => Ok(()),
        keys => Err(format!("{keys:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_session_lives_from_sign_in_to_sign_out() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let client = device();
    let (token, made) =
        sessions.create("user123", &client).roles(["admin"]).set("cart", &["apple"]).await.unwrap();
    assert_eq!((made.user(), made.version()), ("user123", 1));
    assert_eq!(made.get::<Vec<String>>("cart").unwrap().unwrap(), ["apple"]);

    let session = valid(&sessions, &token).await;
    assert_eq!((session.id(), session.user()), (made.id(), "user123"));
    assert!(session.has_role("admin") && !session.has_role("root"));
    assert_eq!(session.get::<Vec<String>>("cart").unwrap().unwrap(), ["apple"]);
    assert_eq!((session.ip(), session.user_agent()), (Some([192, 0, 2, 1].into()), "Firefox"));
    assert_eq!(session.ends().duration_since(session.created()).unwrap().as_secs(), 86_400);
    assert_eq!(session.get::<u8>("none").unwrap(), None);

    assert_eq!(session.set("cart", &["pear"]).await.unwrap(), Saved::Done { version: 2 });
    assert_eq!(session.get::<Vec<String>>("cart").unwrap().unwrap(), ["pear"]);
    assert_eq!(session.remove("cart").await.unwrap(), Saved::Done { version: 3 });
    assert_eq!(valid(&sessions, &token).await.get::<Vec<String>>("cart").unwrap(), None);

    assert!(is_done(sessions.sign_out(&token).await.unwrap()));
    assert!(is_unknown(&sessions, &token).await);
    assert_eq!(sessions.sign_out(&token).await.unwrap(), SignedOut::Unknown);
    assert_eq!(session.set("cart", &["plum"]).await.unwrap(), Saved::Ended);
    nothing_is_left(&stage).await;
}

#[tokio::test]
async fn users_of_any_name_have_sessions_of_their_own() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let client = device();
    for user in strange_names() {
        let (token, _) = sessions.create(&user, &client).set(&user, &user).await.unwrap();
        let session = valid(&sessions, &token).await;
        assert_eq!(
            (session.user(), session.get::<String>(&user).unwrap()),
            (&*user, Some(user.clone()))
        );
    }
    for user in strange_names() {
        let listed = sessions.list(&user).await.unwrap();
        assert_eq!(listed.len(), 1, "{user:?}");
        assert_eq!(listed[0].user, user);
        assert!(is_done(sessions.revoke(&user, listed[0].id).await.unwrap()));
    }
    nothing_is_left(&stage).await;
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_and_nothing_is_written() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let client = device();
    for name in refused_names() {
        let refused = sessions.create(&name, &client).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(sessions.create("u", &client).set(&name, &1).await.is_err());
        assert!(sessions.create("u", &client).roles([name.clone()]).await.is_err());
        assert!(
            sessions.list(&name).await.is_err()
                && sessions.sign_out_everywhere(&name).await.is_err()
        );
        assert!(Sessions::builder(&stage.russet, &name).secret([7; 32]).build().is_err());
    }
    let long = "x".repeat(64 * 1024);
    assert!(sessions.create("u", &client).set("a", &long).await.is_err());
    assert!(sessions.create("u", &client).roles((0..65).map(|n| n.to_string())).await.is_err());
    let build =
        |change: fn(SessionsBuilder) -> SessionsBuilder| change(builder(&stage.russet)).build();
    for (refused, word) in [
        (Sessions::builder(&stage.russet, "web").build(), "secret"),
        (build(|it| it.secret([7; 31])), "32 bytes"),
        (build(|it| it.also_verify([])), "32 bytes"),
        (build(|it| it.shard_secret([1])), "shard_secret"),
        (build(|it| it.idle_timeout(Duration::from_millis(999))), "idle_timeout"),
        (build(|it| it.max_age(Duration::from_secs(1_799))), "idle_timeout is"),
        (build(|it| it.touch_after(f64::NAN)), "touch_after"),
        (build(|it| it.max_sessions(1_001)), "max_sessions"),
        (build(|it| it.max_value_bytes(0)), "max_value_bytes"),
        (build(|it| it.log_entries(1)), "log_entries"),
        (build(|it| it.sweep_every(Duration::ZERO)), "sweep_every"),
    ] {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(left(&stage).await, Vec::<String>::new());

    let (_, session) = sessions.create("u", &client).await.unwrap();
    assert_eq!(session.change().save().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(session.set("", &1).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(session.set("a", &long).await.unwrap_err().kind(), ErrorKind::Invalid);
    for n in 0..128 {
        session.set(&n.to_string(), &n).await.unwrap();
    }
    assert!(session.set("128", &1).await.unwrap_err().to_string().contains("128 attributes"));
    assert_eq!(session.set("127", &1).await.unwrap(), Saved::Done { version: 130 });
}

#[tokio::test]
async fn each_call_is_one_round_trip_and_a_fresh_session_is_not_written() {
    if needs_one_server() {
        return;
    }
    let stage = Stage {
        server: Box::leak(Box::new(support::Ground::start().await.unwrap())),
        ..stage().await
    };
    let russet = support::connect(&stage.server.url()).await;
    // The sweeper would be counted too.
    let sessions = builder(&russet).sweep_every(Duration::from_secs(3_600)).build().unwrap();
    let client = device();
    // Each script is sent once, so that the server knows it.
    let (token, _) = sessions.create("u", &client).await.unwrap();
    let session = valid(&sessions, &token).await;
    session.set("a", &1).await.unwrap();
    let (token, _) = session.rotate().await.unwrap().unwrap();
    assert!(is_done(sessions.sign_out(&token).await.unwrap()));
    sessions.sign_out_everywhere("u").await.unwrap();
    swept(stage.server, 64).await;

    let measure = async |most: u64, call: &mut dyn AsyncCall| {
        let before = commands(stage.server).await;
        let ((), sent) = metered(call.call()).await;
        assert_eq!(sent.round_trips, 1);
        let ran = commands(stage.server).await - before;
        assert!(ran <= most, "{ran} commands, more than {most}");
    };
    let mut token = None;
    measure(12, &mut async || token = Some(sessions.create("u", &client).await.unwrap().0)).await;
    let token = token.unwrap();
    let writes = stage.server.calls("hset").await.unwrap();
    measure(4, &mut async || drop(valid(&sessions, &token).await)).await;
    assert_eq!(stage.server.calls("hset").await.unwrap(), writes, "a fresh session is not written");

    let touching =
        builder(&russet).touch_after(0.0).sweep_every(Duration::from_secs(3_600)).build().unwrap();
    eventually(LONG, async || {
        let before = commands(stage.server).await;
        drop(valid(&touching, &token).await);
        match commands(stage.server).await - before {
            5..=8 => Ok(()),
            ran => Err(format!("{ran} commands")),
        }
    })
    .await;
    swept(stage.server, 128).await;
    let session = valid(&sessions, &token).await;
    measure(5, &mut async || {
        assert_eq!(session.set("a", &1).await.unwrap(), Saved::Done { version: 2 })
    })
    .await;
    let mut rotated = None;
    measure(16, &mut async || rotated = session.rotate().await.unwrap()).await;
    let (token, _) = rotated.unwrap();
    measure(9, &mut async || assert!(is_done(sessions.sign_out(&token).await.unwrap()))).await;
    measure(6, &mut async || assert!(sessions.sign_out_everywhere("u").await.unwrap().in_full))
        .await;
}

/// Waits until so many shards have been looked at: nothing else counts what waits to be heard.
async fn swept(server: &support::Ground, shards: u64) {
    eventually(LONG, async || match server.calls("zcount").await.unwrap() {
        looked if looked >= shards => Ok(()),
        looked => Err(format!("{looked} shards were looked at")),
    })
    .await;
}

trait AsyncCall {
    fn call<'a>(&'a mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;
}

impl<F: AsyncFnMut()> AsyncCall for F {
    fn call<'a>(&'a mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(self())
    }
}

#[tokio::test]
async fn changes_of_different_attributes_at_the_same_time_lose_none() {
    let stage = patient_stage().await;
    let sessions = sessions(&stage);
    let (token, _) = sessions.create("u", &device()).await.unwrap();
    let mut changes = Vec::new();
    for n in 0..64 {
        let session = valid(&sessions, &token).await;
        changes.push(tokio::spawn(async move { session.set(&n.to_string(), &n).await.unwrap() }));
    }
    let mut versions = BTreeSet::new();
    for change in changes {
        let Saved::Done { version } = change.await.unwrap() else { panic!("not done") };
        versions.insert(version);
    }
    assert_eq!(versions.len(), 64, "each change has a version of its own");
    let session = valid(&sessions, &token).await;
    for n in 0..64 {
        assert_eq!(session.get::<u64>(&n.to_string()).unwrap(), Some(n));
    }
}

#[tokio::test]
async fn a_change_for_another_version_changes_nothing() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (token, session) = sessions.create("u", &device()).set("n", &1).await.unwrap();
    let other = valid(&sessions, &token).await;
    let version = session.version();
    let add = session.change().set("n", &2).if_version(version);
    assert_eq!(add.save().await.unwrap(), Saved::Done { version: 2 });
    let late = other.change().set("n", &3).remove("m").if_version(version);
    assert_eq!(late.save().await.unwrap(), Saved::Conflict { version: 2 });
    assert_eq!(valid(&sessions, &token).await.get::<u8>("n").unwrap(), Some(2));
}

#[tokio::test]
async fn nothing_brings_a_session_back_that_was_signed_out() {
    let stage = patient_stage().await;
    let sessions = builder(&stage.russet).touch_after(0.0).build().unwrap();
    let client = device();
    for round in 0..many("RUSSET_SESSION_RACES", 200) {
        let user = format!("u{}", round % 7);
        let (token, session) = sessions.create(&user, &client).await.unwrap();
        let ends = async {
            match round % 3 {
                0 => drop(sessions.sign_out(&token).await.unwrap()),
                1 => drop(sessions.revoke(&user, session.id()).await.unwrap()),
                _ => drop(sessions.sign_out_everywhere(&user).await.unwrap()),
            }
        };
        let (_, _, _, rotated, ()) = tokio::join!(
            sessions.validate(&token, &client),
            session.set("a", &round),
            sessions.validate(&token, &client),
            session.rotate(),
            ends
        );
        assert!(is_unknown(&sessions, &token).await, "round {round}");
        assert_eq!(session.set("a", &1).await.unwrap(), Saved::Ended, "round {round}");
        if let Some((newer, _)) = rotated.unwrap() {
            // It was given another id before its old one was ended.
            match round % 3 {
                2 => assert!(
                    is_unknown(&sessions, &newer).await
                        || is_rotated_after(&sessions, &newer).await
                ),
                _ => assert!(is_done(sessions.sign_out(&newer).await.unwrap())),
            }
        }
    }
    for user in 0..7 {
        sessions.sign_out_everywhere(&format!("u{user}")).await.unwrap();
    }
    nothing_is_left(&stage).await;
}

/// Signing out everywhere ends what is there; a session that got its id afterwards cannot be.
async fn is_rotated_after(sessions: &Sessions, token: &SessionToken) -> bool {
    panic!("{:?} came back", sessions.validate(token, &device()).await)
}

#[tokio::test]
async fn making_a_session_again_with_its_token_gives_the_first_one_and_never_another_users() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let client = device();
    let token = sessions.new_token("u").unwrap();
    let (same, first) = sessions.create("u", &client).token(&token).set("n", &1).await.unwrap();
    assert!(same == token);
    first.set("n", &2).await.unwrap();
    let again = sessions.create("u", &client).token(&token).set("n", &3).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Invalid, "another session stands there");
    let session = valid(&sessions, &token).await;
    assert_eq!((session.id(), session.get::<u8>("n").unwrap()), (first.id(), Some(2)));
    let others = sessions.create("another user", &client).token(&token).await.unwrap_err();
    assert_eq!(others.kind(), ErrorKind::Invalid);
    assert_eq!(sessions.list("u").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_id_keeps_the_data_and_the_old_one_is_unknown_at_once() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (old, session) = sessions.create("u", &device()).set("cart", &1).await.unwrap();
    let csrf = session.csrf_token().unwrap();
    let (new, raised) = session.rotate().roles(["admin"]).await.unwrap().unwrap();
    assert!(is_unknown(&sessions, &old).await);
    assert!(raised.id() != session.id() && raised.has_role("admin"));
    let loaded = valid(&sessions, &new).await;
    assert_eq!((loaded.get::<u8>("cart").unwrap(), loaded.has_role("admin")), (Some(1), true));
    assert_eq!((loaded.created(), loaded.ends()), (session.created(), session.ends()));
    assert!(!loaded.is_csrf_token(&csrf), "a form from before is not one of the new id");
    assert!(session.rotate().await.unwrap().is_none(), "the old one has ended");
    assert_eq!(sessions.list("u").await.unwrap().len(), 1);
    assert!(is_done(sessions.sign_out(&new).await.unwrap()));
    nothing_is_left(&stage).await;
}

#[tokio::test]
async fn what_was_changed_in_redis_is_tampered() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (token, session) = sessions.create("mallory", &device()).await.unwrap();
    let (_, admin) = sessions.create("mallory", &device()).roles(["admin"]).await.unwrap();
    let key = |id: SessionId| {
        let keys = stage.keys();
        async move {
            keys.await.into_iter().find(|at| at.key.ends_with(&format!("record:{id}"))).unwrap().key
        }
    };
    let (key, admins) = (key(session.id()).await, key(admin.id()).await);
    let field = async |key: &str, name: &str| {
        let reply = stage.server.command(&["HGET", key, name]).await.unwrap();
        reply.text().unwrap().to_owned()
    };
    let names = ["identity", "signature", "head"];
    let mut genuine = BTreeMap::new();
    for name in names {
        genuine.insert(name, field(&key, name).await);
    }
    let identity = &genuine["identity"];
    let (_, rest) = identity.split_once("\"ends\":").unwrap();
    let ends = rest[..13].to_owned();
    let later = |name: &str| {
        genuine[name].replace(&ends, &(ends.parse::<u64>().unwrap() + 1_000).to_string())
    };
    let attacks = [
        vec![("identity", identity.replace("mallory", "root"))],
        vec![("identity", later("identity"))],
        vec![("head", later("head"))],
        vec![("identity", later("identity")), ("head", later("head"))],
        vec![("signature", "x".into())],
        vec![("signature", String::new())],
        vec![("head", genuine["head"].replace("mallory", "root"))],
        // Signed by us, for another session of the same user.
        vec![
            ("identity", field(&admins, "identity").await),
            ("signature", field(&admins, "signature").await),
        ],
    ];
    for attack in attacks {
        for (name, value) in &attack {
            stage.server.command(&["HSET", &key, name, value]).await.unwrap();
        }
        let judged = sessions.validate(&token, &device()).await.unwrap();
        let refused = matches!(judged, Validation::Tampered | Validation::Unknown);
        assert!(refused, "{attack:?}: {judged:?}");
        for (name, value) in &genuine {
            stage.server.command(&["HSET", &key, name, value]).await.unwrap();
        }
        valid(&sessions, &token).await;
    }
    let written = sessions.activity(100).await.unwrap();
    let tampered =
        written.iter().filter(|entry| entry.what == "tampered" && entry.id == session.id());
    assert!(tampered.count() >= 5, "{written:?}");
}

#[tokio::test]
async fn a_token_of_another_secret_is_tampered_and_one_of_an_older_secret_is_believed_while_it_is_named()
 {
    let stage = stage().await;
    let old = sessions(&stage);
    let (token, session) = old.create("u", &device()).await.unwrap();
    let other = Sessions::builder(&stage.russet, "web").secret([8; 32]).build().unwrap();
    assert!(matches!(other.validate(&token, &device()).await.unwrap(), Validation::Tampered));
    let new = Sessions::builder(&stage.russet, "web")
        .secret([8; 32])
        .also_verify([7; 32])
        .build()
        .unwrap();
    let believed = valid(&new, &token).await;
    assert_eq!(believed.id(), session.id());
    // A new id is signed by the new secret; the fingerprint is still that of the device.
    let (renewed, _) = believed.rotate().await.unwrap().unwrap();
    valid(&new, &renewed).await;
    assert!(matches!(old.validate(&renewed, &device()).await.unwrap(), Validation::Tampered));
    for garbage in ["", "x", "a.b", "session=1; path=/"] {
        assert!(is_unknown(&new, &SessionToken::from(garbage)).await, "{garbage}");
    }
}

#[tokio::test]
async fn another_device_is_refused_and_the_owner_goes_on() {
    let stage = stage().await;
    let sessions = builder(&stage.russet)
        .fingerprint([FingerprintPart::UserAgent, FingerprintPart::Language])
        .build()
        .unwrap();
    let (token, session) = sessions.create("u", &device()).await.unwrap();
    for thief in [device().user_agent("curl"), device().language("fr"), Device::unknown()] {
        let judged = sessions.validate(&token, &thief).await.unwrap();
        assert!(matches!(judged, Validation::Mismatched), "{judged:?}");
    }
    valid(&sessions, &token).await;
    let written = sessions.activity(10).await.unwrap();
    assert_eq!(written.len(), 3);
    assert_eq!((&*written[2].what, &*written[2].user_agent), ("device_changed", "curl"));
    assert_eq!((written[0].id, written[0].user.as_deref()), (session.id(), Some("u")));

    let strict =
        builder(&stage.russet).on_fingerprint_change(OnChange::RequireLogin).build().unwrap();
    let judged = strict.validate(&token, &device().user_agent("curl")).await.unwrap();
    assert!(matches!(judged, Validation::Mismatched));
    assert!(is_unknown(&sessions, &token).await, "its owner has to sign in again");
}

#[tokio::test]
async fn another_address_is_written_down_once_or_refused() {
    let stage = stage().await;
    let allowing = sessions(&stage);
    let (token, _) = allowing.create("u", &device()).await.unwrap();
    let elsewhere = device().ip([198, 51, 100, 9]);
    for _ in 0..3 {
        let judged = allowing.validate(&token, &elsewhere).await.unwrap();
        assert!(matches!(judged, Validation::Valid(_)));
    }
    let written = allowing.activity(10).await.unwrap();
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(
        (&*written[0].what, written[0].ip.as_deref()),
        ("address_changed", Some("198.51.100.9"))
    );
    let listed = allowing.list("u").await.unwrap().remove(0);
    assert_eq!(listed.ip, Some([192, 0, 2, 1].into()));
    assert_eq!(listed.last_ip, Some([198, 51, 100, 9].into()));

    let rejecting = builder(&stage.russet).on_address_change(OnChange::Reject).build().unwrap();
    let judged = rejecting.validate(&token, &device()).await.unwrap();
    assert!(matches!(judged, Validation::Mismatched));
    assert!(matches!(rejecting.validate(&token, &elsewhere).await.unwrap(), Validation::Valid(_)));
}

#[tokio::test]
async fn a_csrf_token_is_good_for_its_session_alone() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (token, session) = sessions.create("u", &device()).await.unwrap();
    let (_, other) = sessions.create("u", &device()).await.unwrap();
    let (one, two) = (session.csrf_token().unwrap(), session.csrf_token().unwrap());
    assert_ne!(one, two, "each is written otherwise");
    let loaded = valid(&sessions, &token).await;
    assert!(loaded.is_csrf_token(&one) && loaded.is_csrf_token(&two));
    assert!(!other.is_csrf_token(&one));
    for bad in ["", "x", &one[1..], &(one.clone() + "A"), token.expose()] {
        assert!(!loaded.is_csrf_token(bad), "{bad}");
    }
}

#[tokio::test]
async fn tokens_and_tickets_are_not_in_redis() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let sso = Sso::new(&sessions);
    let global = sso.sign_in("u", &device()).await.unwrap();
    let shop = sso.open(&global, "shop", &()).await.unwrap().unwrap();
    let ticket = sso.ticket(&global, "chat").await.unwrap();
    let mut dump = Vec::new();
    for stored in stage.keys().await {
        dump.extend(stored.key.clone().into_bytes());
        for words in [
            vec!["HGETALL", &stored.key],
            vec!["GET", &stored.key],
            vec!["ZRANGE", &stored.key, "0", "-1"],
        ] {
            if let Ok(reply) = stage.server.command(&words).await {
                dump.extend(format!("{reply:?}").into_bytes());
            }
        }
    }
    let dump = String::from_utf8_lossy(&dump);
    assert!(dump.contains(&global.session.id().to_string()), "the dump is one of these sessions");
    for secret in [global.token.expose(), shop.token.expose(), ticket.expose()] {
        for part in secret.split('.') {
            for piece in [part, &part[..20]] {
                assert!(!dump.contains(piece));
            }
        }
    }
}

#[tokio::test]
async fn one_more_session_than_allowed_ends_the_oldest_or_is_refused() {
    let stage = stage().await;
    let sessions = builder(&stage.russet).max_sessions(3).build().unwrap();
    let client = device();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(sessions.create("u", &client).await.unwrap().0);
    }
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(is_unknown(&sessions, token).await, n < 2, "session {n}");
    }
    assert_eq!(sessions.list("u").await.unwrap().len(), 3);
    assert!(sessions.create("u", &client).unless_full().await.unwrap().is_none());
    sessions.sign_out(&tokens[4]).await.unwrap();
    assert!(sessions.create("u", &client).unless_full().await.unwrap().is_some());
    assert!(sessions.create("v", &client).unless_full().await.unwrap().is_some());
    eventually(LONG, async || {
        let ended = sessions.ended(10).await.unwrap();
        let evicted = ended.iter().filter(|it| it.reason == EndReason::Evicted).count();
        if evicted == 2 { Ok(()) } else { Err(format!("{ended:?}")) }
    })
    .await;
}

#[tokio::test]
async fn sessions_that_are_made_at_the_same_time_are_never_more_than_allowed() {
    let stage = patient_stage().await;
    let sessions = builder(&stage.russet).max_sessions(5).build().unwrap();
    let mut making = Vec::new();
    for n in 0..64 {
        let sessions = sessions.clone();
        making.push(tokio::spawn(async move {
            let client = device();
            let create = sessions.create("u", &client);
            if n % 2 == 0 {
                create.unless_full().await.unwrap().is_some()
            } else {
                drop(create.await.unwrap());
                true
            }
        }));
    }
    for made in making {
        made.await.unwrap();
        assert!(sessions.list("u").await.unwrap().len() <= 5);
    }
    assert_eq!(sessions.list("u").await.unwrap().len(), 5);
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_of_a_user_and_nobody_elses() {
    let stage = patient_stage().await;
    let sessions = sessions(&stage);
    let client = device();
    let (mut tokens, mut made) = (Vec::new(), Vec::new());
    for _ in 0..250 {
        let (token, session) = sessions.create("u", &client).await.unwrap();
        tokens.push(token);
        made.push(session.id());
    }
    let (other, _) = sessions.create("v", &client).await.unwrap();
    let listed = sessions.list("u").await.unwrap();
    assert_eq!(listed.len(), 250, "over several pages");
    let listed: Vec<_> = listed.iter().map(|info| info.id).collect();
    assert_eq!(listed, made, "the oldest first");

    sessions.sign_out_everywhere("u").await.unwrap();
    let looked = sessions.look_many(&tokens).await.unwrap();
    assert!(looked.iter().all(Option::is_none));
    assert!(sessions.list("u").await.unwrap().is_empty());
    valid(&sessions, &other).await;
    let (fresh, _) = sessions.create("u", &client).await.unwrap();
    valid(&sessions, &fresh).await;
    eventually(LONG, async || {
        let records = left(&stage).await.into_iter().filter(|key| key.contains("record:")).count();
        if records == 2 { Ok(()) } else { Err(format!("{records} records")) }
    })
    .await;
    valid(&sessions, &fresh).await;
    valid(&sessions, &other).await;
    let reasons: Vec<_> = sessions.ended(1_000).await.unwrap().iter().map(|it| it.reason).collect();
    assert!(reasons.iter().all(|reason| *reason == EndReason::SignedOutEverywhere), "{reasons:?}");
}

#[tokio::test]
async fn signing_out_everywhere_takes_as_long_for_ten_thousand_sessions_as_for_ten() {
    if needs_one_server() {
        return;
    }
    let server = support::Ground::start().await.unwrap();
    let russet = support::patient(&server.url(), "many").await;
    let sessions = builder(&russet).sweep_every(Duration::from_secs(3_600)).build().unwrap();
    let client = device();
    let many = many("RUSSET_SESSIONS", 10_000);
    for from in (0..many).step_by(200) {
        let made =
            (from..many.min(from + 200)).map(|_| sessions.create("many", &client).into_future());
        futures_util::future::try_join_all(made).await.unwrap();
    }
    // The same call again would find the same: what it does does not depend on what it finds. The server's own time is
    // compared, that of the scripts, since that of a busy machine says nothing.
    let micros = async |user: &str, sessions_of: usize| {
        let mut least = u64::MAX;
        for _ in 0..20 {
            if sessions_of <= 10 {
                for _ in 0..sessions_of {
                    sessions.create(user, &client).await.unwrap();
                }
            }
            server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
            let ((), sent) = metered(async {
                assert!(sessions.sign_out_everywhere(user).await.unwrap().in_full)
            })
            .await;
            assert_eq!(sent.round_trips, 1);
            least = least.min(usec(&server).await);
        }
        least
    };
    sessions.sign_out_everywhere("nobody").await.unwrap();
    let (ten, all) = (micros("few", 10).await, micros("many", many).await);
    println!("{ten} µs for ten, {all} µs for {many}");
    assert!(all <= ten * 3 / 2 + 20, "{ten} µs for ten, {all} µs for {many}");
}

/// How long the server's script calls took since its statistics were reset.
async fn usec(server: &support::Ground) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let lines = stats.text().unwrap().lines();
    let evals = lines.filter(|line| line.starts_with("cmdstat_eval"));
    evals
        .filter_map(|line| line.split("usec=").nth(1)?.split(',').next()?.parse::<u64>().ok())
        .sum()
}

#[tokio::test]
async fn signing_out_others_leaves_this_one_and_what_stands_under_it() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let sso = Sso::new(&sessions);
    let kept = sso.sign_in("u", &device()).await.unwrap();
    let shop = sso.open(&kept, "shop", &()).await.unwrap().unwrap();
    let other = sso.sign_in("u", &device()).await.unwrap();
    let chat = sso.open(&other, "chat", &()).await.unwrap().unwrap();
    assert!(sessions.sign_out_others(&kept.session).await.unwrap());
    for (token, lives) in
        [(&kept.token, true), (&shop.token, true), (&other.token, false), (&chat.token, false)]
    {
        assert_eq!(!is_unknown(&sessions, token).await, lives);
    }
    eventually(LONG, async || {
        let ended = sessions.ended(10).await.unwrap().len();
        if ended == 2 { Ok(()) } else { Err(format!("{ended} have ended")) }
    })
    .await;
    valid(&sessions, &kept.token).await;
    valid(&sessions, &shop.token).await;
    assert!(sessions.sign_out_others(&shop.session).await.is_err(), "it is an application's");
    assert!(!sessions.sign_out_others(&other.session).await.unwrap(), "it has ended");
    assert!(is_unknown(&sessions, &kept.token).await, "it was one of the others");
}

#[tokio::test]
async fn a_user_sees_and_ends_its_own_sessions_alone() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (token, mine) = sessions.create("u", &device()).await.unwrap();
    // In the same shard, so that the place alone does not tell them apart.
    let mut other = 0;
    loop {
        let user = format!("v{other}");
        sessions.create(&user, &device()).await.unwrap();
        let shard =
            |key: &str| key.split("web:").nth(1).unwrap().split('}').next().unwrap().to_owned();
        let records = left(&stage).await.into_iter().filter(|key| key.contains("record:"));
        let shards: Vec<_> = records.map(|key| (shard(&key), key)).collect();
        let own = shards.iter().find(|(_, key)| key.ends_with(&mine.id().to_string())).unwrap();
        if shards.iter().filter(|(shard, _)| *shard == own.0).count() > 1 {
            break;
        }
        other += 1;
    }
    let thief = format!("v{other}");
    assert_eq!(sessions.revoke(&thief, mine.id()).await.unwrap(), SignedOut::Unknown);
    assert_eq!(sessions.find(&thief, mine.id()).await.unwrap(), None);
    assert!(sessions.list(&thief).await.unwrap().iter().all(|info| info.user == thief));
    let found = sessions.find("u", mine.id()).await.unwrap().unwrap();
    assert_eq!((found.id, &*found.user_agent), (mine.id(), "Firefox"));
    valid(&sessions, &token).await;
    assert!(is_done(sessions.revoke("u", mine.id()).await.unwrap()));
    assert!(is_unknown(&sessions, &token).await);
}

#[tokio::test]
async fn sessions_end_when_they_are_idle_and_at_their_age_and_use_moves_the_first_alone() {
    let stage = patient_stage().await;
    let of = |age: u64| {
        builder(&stage.russet)
            .idle_timeout(SECOND)
            .max_age(Duration::from_secs(age))
            .touch_after(0.0)
            .build()
            .unwrap()
    };
    let (short, long) = (of(2), of(600));
    let (aged, _) = short.create("u", &device()).await.unwrap();
    let (idle, _) = long.create("u", &device()).await.unwrap();
    eventually(LONG, async || match short.validate(&aged, &device()).await.unwrap() {
        Validation::Expired | Validation::Unknown => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // Both were over, one of them although it was used all the time.
    eventually(LONG, async || {
        let ended = long.ended(10).await.unwrap();
        let mut reasons: Vec<_> = ended.iter().map(|it| it.reason.word()).collect();
        reasons.sort_unstable();
        if reasons == ["idle", "max_age"] { Ok(()) } else { Err(format!("{ended:?}")) }
    })
    .await;
    assert!(is_unknown(&long, &idle).await);
    nothing_is_left(&stage).await;
}

/// What listeners were told, by session.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<SessionId, Vec<EndedSession>>>>);

impl Told {
    fn listener(
        &self,
    ) -> impl Fn(EndedSession) -> std::future::Ready<Result<(), russet::BoxError>> + Send + Sync + 'static
    {
        let told = self.0.clone();
        move |ended| {
            told.lock().unwrap().entry(ended.id).or_default().push(ended);
            std::future::ready(Ok(()))
        }
    }

    async fn until(&self, sessions: usize) -> BTreeMap<SessionId, Vec<EndedSession>> {
        eventually(LONG, async || {
            let told = self.0.lock().unwrap().clone();
            if told.len() >= sessions {
                Ok(told)
            } else {
                Err(format!("{} of {sessions}", told.len()))
            }
        })
        .await
    }
}

#[tokio::test]
async fn each_session_that_ends_is_told_once_with_its_data_and_its_reason() {
    let stage = patient_stage().await;
    let told = Told::default();
    let fast = || builder(&stage.russet).sweep_every(Duration::from_millis(50));
    // Two processes listen: one of them is told.
    let _other = fast().on_ended(told.listener()).build().unwrap();
    let sessions = fast().max_sessions(3).on_ended(told.listener()).build().unwrap();
    listens(&stage).await;
    let brief = fast().idle_timeout(SECOND).build().unwrap();
    let client = device();
    let sso = Sso::new(&sessions);

    let mut expected = BTreeMap::new();
    let (token, signed_out) = sessions.create("a", &client).set("cart", &[1, 2]).await.unwrap();
    sessions.sign_out(&token).await.unwrap();
    expected.insert(signed_out.id(), EndReason::SignedOut);
    let (_, revoked) = sessions.create("b", &client).await.unwrap();
    sessions.revoke("b", revoked.id()).await.unwrap();
    expected.insert(revoked.id(), EndReason::Revoked);
    for n in 0..4 {
        let (_, session) = sessions.create("c", &client).await.unwrap();
        expected.insert(
            session.id(),
            if n == 0 { EndReason::Evicted } else { EndReason::SignedOutEverywhere },
        );
    }
    // The eviction is told before the rest is signed out.
    told.until(3).await;
    sessions.sign_out_everywhere("c").await.unwrap();
    let (_, idle) = brief.create("d", &client).set("n", &1).await.unwrap();
    expected.insert(idle.id(), EndReason::Idle);
    let global = sso.sign_in("e", &client).await.unwrap();
    let shop = sso.open(&global, "shop", &serde_json::json!({"n": 7})).await.unwrap().unwrap();
    let again = sso.open(&global, "shop", &()).await.unwrap().unwrap();
    sso.sign_out(&global).await.unwrap();
    expected.insert(global.session.id(), EndReason::SignedOut);
    expected.insert(shop.session.id(), EndReason::WithGlobal);
    expected.insert(again.session.id(), EndReason::WithGlobal);

    let heard = told.until(expected.len()).await;
    nothing_is_left(&stage).await;
    let reasons: BTreeMap<_, _> =
        heard.iter().map(|(id, events)| (*id, events[0].reason)).collect();
    assert_eq!(reasons, expected);
    assert!(heard.values().all(|events| events.len() == 1), "each is told once");
    assert!(heard.values().flatten().all(|event| event.is_genuine));
    let cart = &heard[&signed_out.id()][0];
    assert_eq!((cart.get::<Vec<u8>>("cart").unwrap(), &*cart.user), (Some(vec![1, 2]), "a"));
    let of_shop = &heard[&shop.session.id()][0];
    assert_eq!((of_shop.app.as_deref(), of_shop.get::<u8>("n").unwrap()), (Some("shop"), Some(7)));
    assert_eq!(sessions.ended(100).await.unwrap().len(), expected.len());
}

/// Waits until a listener is known in all shards.
async fn listens(stage: &Stage) {
    eventually(LONG, async || {
        let books = stage.keys().await.into_iter().filter(|key| key.key.ends_with(":book")).count();
        if books == 64 { Ok(()) } else { Err(format!("{books} shards")) }
    })
    .await;
}

#[tokio::test]
async fn what_ends_while_no_process_runs_is_told_afterwards() {
    let stage = patient_stage().await;
    let told = Told::default();
    let mut ids = BTreeSet::new();
    {
        let first = builder(&stage.russet)
            .idle_timeout(SECOND)
            .sweep_every(Duration::from_secs(3_600)) // It looks once, when nothing has ended yet.
            .on_ended(told.listener())
            .build()
            .unwrap();
        listens(&stage).await;
        for n in 0..10 {
            let (_, session) =
                first.create(&format!("u{n}"), &device()).set("n", &n).await.unwrap();
            ids.insert(session.id());
        }
    }
    // No handle is left when their time comes.
    eventually(LONG, async || {
        let due = stage.keys().await.into_iter().map(|stored| stored.key);
        for key in due.filter(|key| key.ends_with(":due")) {
            let words =
                ["ZRANGE", &key, "+inf", "-inf", "BYSCORE", "REV", "LIMIT", "0", "1", "WITHSCORES"];
            let last = stage.server.command(&words).await.unwrap();
            // A shard's last one may just have been taken away.
            let Some(last) = last.list().get(1).and_then(Reply::text) else { continue };
            let last: f64 = last.parse().unwrap();
            // The servers are on this machine.
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as f64;
            if last >= now {
                return Err(format!("{key} is due at {last}, it is {now}"));
            }
        }
        Ok(())
    })
    .await;
    assert!(told.0.lock().unwrap().is_empty());
    let late = builder(&stage.russet).on_ended(told.listener()).build().unwrap();
    let heard = told.until(10).await;
    assert_eq!(heard.keys().copied().collect::<BTreeSet<_>>(), ids);
    assert!(heard.values().flatten().all(|event| event.reason == EndReason::Idle));
    drop(late);
}

#[tokio::test]
async fn what_a_listener_does_not_take_is_told_again_to_another() {
    let stage = patient_stage().await;
    let told = Told::default();
    let failing = builder(&stage.russet)
        .sweep_every(Duration::from_millis(50))
        .on_ended(async |_| Err("not now".into()))
        .build()
        .unwrap();
    listens(&stage).await;
    let (token, session) = failing.create("u", &device()).await.unwrap();
    failing.sign_out(&token).await.unwrap();
    let events = async || left(&stage).await.into_iter().find(|key| key.ends_with(":events"));
    let key = eventually(LONG, async || events().await.ok_or("no event waits")).await;
    let id = session.id().to_string();
    // It was taken and not heard: it is due when its lease is over. That is moved, not waited for.
    eventually(LONG, async || {
        let due = stage.server.command(&["ZSCORE", &key, &id]).await.unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as f64;
        let due: f64 = due.text().unwrap().parse().unwrap();
        if due > now + 1_000.0 { Ok(()) } else { Err(format!("due at {due}")) }
    })
    .await;
    // A session keeps the handle that it came from.
    drop((failing, session));
    let _other = builder(&stage.russet)
        .sweep_every(Duration::from_millis(50))
        .on_ended(told.listener())
        .build()
        .unwrap();
    eventually(LONG, async || {
        // The last round of the first one may have taken it once more.
        stage.server.command(&["ZADD", &key, "XX", "1", &id]).await.unwrap();
        match told.0.lock().unwrap().keys().any(|told| told.to_string() == id) {
            true => Ok(()),
            false => Err("not told"),
        }
    })
    .await;
    nothing_is_left(&stage).await;
}

#[tokio::test]
async fn the_logs_are_bounded() {
    let stage = patient_stage().await;
    let sessions = builder(&stage.russet).log_entries(64).build().unwrap();
    let client = device();
    for n in 0..400 {
        let (token, session) = sessions.create("u", &client).await.unwrap();
        sessions.note_activity("odd", &session, &client).await.unwrap();
        assert!(is_done(sessions.sign_out(&token).await.unwrap()), "{n}");
    }
    for length in
        [sessions.ended(1_000).await.unwrap().len(), sessions.activity(1_000).await.unwrap().len()]
    {
        // A stream is cut by whole nodes, of 100 entries.
        assert!((1..=200).contains(&length), "{length} entries of a shard");
    }
    assert!(sessions.ended(0).await.is_err() && sessions.activity(1_001).await.is_err());
}

#[tokio::test]
async fn applications_under_one_sign_on_end_together_and_alone() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let sso = Sso::new(&sessions);
    let client = device();
    let global = sso.sign_in("u", &client).await.unwrap();
    global.session.set("name", "Ada").await.unwrap();
    let shop = sso.open(&global, "shop", &serde_json::json!({"cart": [1]})).await.unwrap().unwrap();
    let chat = sso.open(&global, "chat", &()).await.unwrap().unwrap();

    let session = valid(&sessions, &shop.token).await;
    assert_eq!((session.app(), session.global()), (Some("shop"), Some(global.session.id())));
    assert_eq!((session.user(), session.get::<Vec<u8>>("cart").unwrap()), ("u", Some(vec![1])));
    assert_eq!(session.get::<String>("name").unwrap().as_deref(), Some("Ada"), "of the global one");
    session.set("name", "shop's own").await.unwrap();
    let own = valid(&sessions, &shop.token).await;
    assert_eq!(own.get::<String>("name").unwrap().as_deref(), Some("shop's own"));
    assert_eq!(
        valid(&sessions, &global.token).await.get::<String>("name").unwrap().as_deref(),
        Some("Ada")
    );
    let listed = sessions.list("u").await.unwrap();
    assert_eq!(listed.len(), 1);
    let apps: Vec<_> = listed[0].apps.iter().map(|app| &*app.app).collect();
    assert_eq!(apps, ["chat", "shop"]);

    assert!(is_done(sso.close(&global, "shop").await.unwrap()));
    assert!(is_unknown(&sessions, &shop.token).await);
    valid(&sessions, &chat.token).await;
    assert_eq!(sso.close(&global, "shop").await.unwrap(), SignedOut::Unknown);

    let chat_session = valid(&sessions, &chat.token).await;
    assert!(is_done(sso.sign_out_all(&chat_session).await.unwrap()));
    for token in [&global.token, &chat.token] {
        assert!(is_unknown(&sessions, token).await);
    }
    assert_eq!(chat_session.set("a", &1).await.unwrap(), Saved::Ended, "with its global one");
    assert!(sso.open(&global, "shop", &()).await.unwrap().is_none());
    assert!(
        sso.open(&chat_session, "shop", &()).await.is_err(),
        "an application's has none under it"
    );
    assert!(sso.open(&global, "shop", &[1]).await.is_err(), "no attributes");
    nothing_is_left(&stage).await;
}

#[tokio::test]
async fn applications_that_sign_in_at_the_same_time_all_stay() {
    let stage = patient_stage().await;
    let sessions = sessions(&stage);
    let sso = Sso::new(&sessions);
    let global = sso.sign_in("u", &device()).await.unwrap();
    let mut opening = Vec::new();
    for n in 0..16 {
        let (sso, global) = (sso.clone(), global.clone());
        opening.push(tokio::spawn(async move {
            sso.open(&global, &format!("app{n}"), &()).await.unwrap().unwrap().token
        }));
    }
    let mut tokens = Vec::new();
    for opened in opening {
        tokens.push(opened.await.unwrap());
    }
    for token in &tokens {
        valid(&sessions, token).await;
    }
    assert_eq!(sessions.list("u").await.unwrap()[0].apps.len(), 16);
    // One application has one session: of two that sign in, the later one stays.
    let first = sso.open(&global, "app0", &()).await.unwrap().unwrap();
    assert!(is_unknown(&sessions, &tokens[0]).await);
    valid(&sessions, &first.token).await;
}

#[tokio::test]
async fn using_an_application_keeps_the_global_session_alive() {
    let stage = patient_stage().await;
    let sessions = builder(&stage.russet)
        .idle_timeout(Duration::from_secs(20))
        .touch_after(0.0)
        .build()
        .unwrap();
    let sso = Sso::new(&sessions);
    let global = sso.sign_in("u", &device()).await.unwrap();
    let shop = sso.open(&global, "shop", &()).await.unwrap().unwrap();
    let deadline = async || sessions.list("u").await.unwrap()[0].idle_until;
    let before = deadline().await;
    eventually(LONG, async || {
        valid(&sessions, &shop.token).await;
        if deadline().await > before { Ok(()) } else { Err("it has not moved") }
    })
    .await;
}

#[tokio::test]
async fn a_ticket_opens_its_application_once_and_no_other() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let sso = Sso::new(&sessions);
    let client = device();
    let global = sso.sign_in("u", &client).await.unwrap();
    let ticket = sso.ticket(&global, "shop").await.unwrap();
    assert!(
        sso.redeem(ticket.expose(), "chat", &client).await.unwrap().is_none(),
        "another application"
    );
    let thief = client.clone().user_agent("curl");
    assert!(sso.redeem(ticket.expose(), "shop", &thief).await.unwrap().is_none(), "another device");
    let shop = sso.redeem(ticket.expose(), "shop", &client).await.unwrap().unwrap();
    assert_eq!(valid(&sessions, &shop.token).await.app(), Some("shop"));
    assert!(sso.redeem(ticket.expose(), "shop", &client).await.unwrap().is_none(), "a second time");
    for garbage in ["", "x.y", global.token.expose(), shop.token.expose()] {
        assert!(sso.redeem(garbage, "shop", &client).await.unwrap().is_none(), "{garbage}");
    }
    assert!(is_unknown(&sessions, &SessionToken::from(ticket.expose())).await, "it is no token");

    let late = sso.ticket(&global, "chat").await.unwrap();
    let expiry = stage.keys().await.into_iter().find(|key| key.key.contains(":ticket:")).unwrap();
    assert!(expiry.expires_ms.is_some());
    sso.sign_out(&global).await.unwrap();
    assert!(
        sso.redeem(late.expose(), "chat", &client).await.unwrap().is_none(),
        "its session has ended"
    );
}

#[tokio::test]
async fn a_process_whose_clock_is_wrong_dates_its_sessions_by_the_server() {
    let stage = stage().await;
    let sessions = sessions(&stage);
    let (_, session) = sessions.create("u", &device()).await.unwrap();
    let server = server().await;
    let key = stage.key("session:web:0", "any");
    let now = server.command(&["EVAL", "return redis.call('TIME')[1]", "1", &key]).await.unwrap();
    let now: u64 = now.text().unwrap().parse().unwrap();
    let created =
        session.created().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(created.abs_diff(now) <= 60, "{created} and {now}");
}

/// Sessions that nobody takes away: what has ended still stands there.
fn unswept(stage: &Stage) -> Sessions {
    builder(&stage.russet).touch_after(0.0).sweep_every(Duration::from_secs(3_600)).build().unwrap()
}

#[tokio::test]
async fn what_was_signed_out_everywhere_opens_nothing_and_gets_no_new_id_while_its_record_stands() {
    let stage = stage().await;
    let sessions = unswept(&stage);
    let sso = Sso::new(&sessions);
    let global = sso.sign_in("u", &device()).await.unwrap();
    sessions.sign_out_everywhere("u").await.unwrap();
    assert!(left(&stage).await.iter().any(|key| key.contains("record:")), "the record stands");
    assert!(sso.open(&global, "shop", &()).await.unwrap().is_none());
    assert!(global.session.rotate().await.unwrap().is_none());
}

#[tokio::test]
async fn use_never_moves_the_idle_deadline_behind_the_end() {
    let stage = stage().await;
    let minute = Duration::from_secs(60);
    let sessions = builder(&stage.russet).idle_timeout(minute).max_age(minute).touch_after(0.0);
    let sessions = sessions.build().unwrap();
    let (token, _) = sessions.create("u", &device()).await.unwrap();
    valid(&sessions, &token).await;
    let info = sessions.list("u").await.unwrap().remove(0);
    assert!(info.idle_until <= info.ends, "{info:?}");
}

#[tokio::test]
async fn a_new_id_ends_what_stood_under_the_old_one() {
    let stage = stage().await;
    let sessions = builder(&stage.russet).sweep_every(Duration::from_millis(50)).build().unwrap();
    let sso = Sso::new(&sessions);
    let global = sso.sign_in("u", &device()).await.unwrap();
    let shop = sso.open(&global, "shop", &()).await.unwrap().unwrap();
    global.session.rotate().await.unwrap().unwrap();
    assert!(is_unknown(&sessions, &shop.token).await);
    eventually(LONG, async || match sessions.ended(9).await.unwrap().first() {
        Some(entry) if entry.id == shop.session.id() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn the_sweeper_ends_nothing_that_was_used_meanwhile_and_forgets_its_marks() {
    let stage = stage().await;
    let sessions = builder(&stage.russet).sweep_every(Duration::from_millis(50)).build().unwrap();
    let (token, session) = sessions.create("u", &device()).await.unwrap();
    sessions.create("u", &device()).await.unwrap();
    assert!(sessions.sign_out_others(&session).await.unwrap());
    let keys = left(&stage).await;
    let due = keys.iter().find(|key| key.ends_with(":due")).unwrap();
    let members = stage.server.command(&["ZRANGE", due, "0", "-1"]).await.unwrap();
    let id = session.id().to_string();
    let own = members.texts().into_iter().find(|member| member.contains(&id)).unwrap();
    // As when it was found to be due, and used before it was ended.
    stage.server.command(&["ZADD", due, "1", own]).await.unwrap();
    let book = due.replace(":due", ":book");
    eventually(LONG, async || {
        let fields = stage.server.command(&["HKEYS", &book]).await.unwrap();
        match fields.texts().iter().any(|field| field.starts_with("u:")) {
            false => Ok(()),
            true => Err(format!("{fields:?}")),
        }
    })
    .await;
    valid(&sessions, &token).await;
    assert_eq!(sessions.list("u").await.unwrap().len(), 1);
}

/// What decides whether a token is good must take the same time for all; and what a token is made of must be random.
#[test]
fn tokens_are_compared_by_subtle_and_made_by_the_system() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(source.contains("ct_eq"), name == "secrets.rs", "{name}");
        assert_eq!(source.contains("getrandom::"), name == "secrets.rs", "{name}");
        assert!(!source.contains("rand::"), "{name}");
        let secrets = ["mac", "signature", "token", "hidden", "fingerprint", "csrf"];
        for operator in [" == ", " != "] {
            let parts: Vec<_> = source.split(operator).collect();
            for pair in parts.windows(2) {
                let words =
                    [pair[0].split_whitespace().next_back(), pair[1].split_whitespace().next()];
                let compares =
                    |secret: &&str| words.iter().flatten().any(|word| word.contains(*secret));
                assert!(!secrets.iter().any(compares), "{name} compares a secret: {words:?}");
            }
        }
    }
}
