//! Live messages: who is subscribed hears everything, or is told what was missed.

#![cfg(feature = "pubsub")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use russet::testing::{Proxy, TestServer, eventually};
use russet::{
    Advice, ErrorKind, Event, OnChannel, Overflow, PubSub, Russet, Subscription, metered, raw,
};
use serde::{Deserialize, Serialize};
use support::{Ground, needs_one_server, patient, patient_stage, refused_names, strange_names};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Serialize, Deserialize, Debug, PartialEq)]
struct Alert {
    text: String,
}

fn alert(text: impl ToString) -> Alert {
    Alert { text: text.to_string() }
}

/// The next event, which must come.
async fn next<T>(subscription: &mut Subscription<T>) -> Event<T> {
    timeout(LONG, subscription.next()).await.expect("nothing came").expect("it ended")
}

async fn message<T: std::fmt::Debug>(subscription: &mut Subscription<T>) -> T {
    match next(subscription).await {
        Event::Message(message) => message,
        other => panic!("{other:?} is no message"),
    }
}

#[tokio::test]
async fn everything_published_after_subscribe_is_heard_in_order() {
    let stage = patient_stage().await;
    let pubsub = PubSub::new(&stage.russet);
    for round in 0..20 {
        let channel = format!("room {round}");
        let mut subscription = pubsub.subscribe::<Alert>(&channel).await.unwrap();
        for number in 0..10 {
            pubsub.publish(&channel, &alert(number)).await.unwrap();
        }
        for number in 0..10 {
            assert_eq!(message(&mut subscription).await, alert(number));
        }
        assert_eq!(subscription.lag(), 0);
    }
}

#[tokio::test]
async fn a_channel_is_subscribed_and_left_at_any_time_while_others_listen() {
    let stage = patient_stage().await;
    let pubsub = PubSub::new(&stage.russet);
    let mut first = pubsub.subscribe::<u64>("first").await.unwrap();
    let mut again = pubsub.subscribe::<u64>("first").await.unwrap();
    let mut later = pubsub.subscribe::<u64>("later").await.unwrap();
    pubsub.publish("first", &1).await.unwrap();
    pubsub.publish("later", &2).await.unwrap();
    assert_eq!(message(&mut first).await, 1);
    assert_eq!(message(&mut again).await, 1);
    assert_eq!(message(&mut later).await, 2);

    drop(first);
    pubsub.publish("first", &3).await.unwrap();
    assert_eq!(message(&mut again).await, 3);
    drop(again);
    nobody_listens(&stage.russet, "first").await;
    pubsub.publish("first", &4).await.unwrap();
    pubsub.publish("later", &5).await.unwrap();
    assert_eq!(message(&mut later).await, 5);
    let mut back = pubsub.subscribe::<u64>("first").await.unwrap();
    pubsub.publish("first", &6).await.unwrap();
    assert_eq!(message(&mut back).await, 6);
}

/// Waits until no node has a subscriber of this channel.
async fn nobody_listens(russet: &Russet, channel: &str) {
    let channel = format!("{}:{{pubsub:{channel}}}:messages", russet.namespace());
    let server = support::server().await;
    eventually(LONG, async || match server.subscribers(&channel).await.unwrap() {
        0 => Ok(()),
        some => Err(format!("{some} listen")),
    })
    .await;
}

#[tokio::test]
async fn publish_tells_how_many_connections_of_the_node_heard_it() {
    if needs_one_server() {
        return;
    }
    let stage = patient_stage().await;
    let other = patient(&stage.server.url(), stage.russet.namespace()).await;
    let other = PubSub::new(&other);
    let pubsub = PubSub::new(&stage.russet);
    assert_eq!(pubsub.publish("counted", &1).await.unwrap(), 0);
    let _here = pubsub.subscribe::<u64>("counted").await.unwrap();
    let _here_too = pubsub.subscribe::<u64>("counted").await.unwrap();
    assert_eq!(pubsub.publish("counted", &1).await.unwrap(), 1);
    let _there = other.subscribe::<u64>("counted").await.unwrap();
    let (receivers, sent) = metered(pubsub.publish("counted", &1)).await;
    assert_eq!((receivers.unwrap(), sent.round_trips, sent.commands), (2, 1, 1));
}

#[tokio::test]
async fn names_and_patterns_of_any_bytes_hear_their_own_and_nothing_else() {
    let stage = patient_stage().await;
    let pubsub = PubSub::new(&stage.russet);
    let names = strange_names();
    let mut subscriptions = Vec::new();
    for name in &names {
        subscriptions.push(pubsub.subscribe::<String>(name).await.unwrap());
    }
    let mut all = pubsub.subscribe_like::<String>("*").await.unwrap();
    // As text of a pattern these would match others, were they not taken literally.
    let mut literal = pubsub.subscribe_like::<String>("[a]").await.unwrap();
    let mut ending = pubsub.subscribe_like::<String>("*5").await.unwrap();
    for name in &names {
        pubsub.publish(name, name).await.unwrap();
    }
    // Encoded, this one ends with a 5 too.
    pubsub.publish("100%", "no").await.unwrap();
    pubsub.publish("a5", "yes").await.unwrap();
    for (name, subscription) in names.iter().zip(&mut subscriptions) {
        assert_eq!(&message(subscription).await, name);
        assert_eq!(subscription.lag(), 0, "{name}");
    }
    // Of several channels there is no order on a Cluster, whose nodes pass messages on by themselves.
    let mut heard = BTreeSet::new();
    while heard.len() < names.len() {
        let OnChannel { channel, message } = message(&mut all).await;
        if [("100%", "no"), ("a5", "yes")].contains(&(&channel, &message)) {
            continue;
        }
        assert_eq!(channel, message);
        heard.extend(names.contains(&channel).then_some(channel));
    }
    for (subscription, channel) in [(&mut literal, "[a]"), (&mut ending, "a5")] {
        pubsub.publish(channel, "last").await.unwrap();
        loop {
            let one = message(subscription).await;
            assert_eq!(one.channel, channel);
            if one.message == "last" {
                break;
            }
        }
    }

    for name in refused_names() {
        assert_eq!(pubsub.publish(&name, &1).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(pubsub.subscribe::<u64>(&name).await.unwrap_err().kind(), ErrorKind::Invalid);
        let refused = pubsub.subscribe_like::<u64>(&name).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_event_and_what_is_too_large_is_not_sent() {
    let stage = patient_stage().await;
    let pubsub = PubSub::builder(&stage.russet).max_message_bytes(20).build().unwrap();
    let mut alerts = pubsub.subscribe::<Alert>("alerts").await.unwrap();
    let mut like = pubsub.subscribe_like::<Alert>("al*").await.unwrap();
    pubsub.publish("alerts", &17).await.unwrap();
    pubsub.publish("alerts", &alert("x")).await.unwrap();
    let Event::Undecodable(why) = next(&mut alerts).await else { panic!("it was read") };
    assert_eq!(why.kind(), ErrorKind::Codec);
    assert!(why.to_string().starts_with("pubsub:alerts: "), "{why}");
    assert_eq!(message(&mut alerts).await, alert("x"));
    assert!(matches!(next(&mut like).await, Event::Undecodable(_)));
    assert_eq!(message(&mut like).await.message, alert("x"));

    let large = pubsub.publish("alerts", &alert("x".repeat(20))).await.unwrap_err();
    assert_eq!((large.kind(), large.advice()), (ErrorKind::Invalid, Advice::Bug));
    for refused in [
        PubSub::builder(&stage.russet).buffer(0).build(),
        PubSub::builder(&stage.russet).buffer_bytes(0).build(),
        PubSub::builder(&stage.russet).max_message_bytes(0).build(),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_slow_subscriber_loses_messages_is_told_how_many_and_costs_the_others_nothing() {
    let stage = patient_stage().await;
    let fast = PubSub::new(&stage.russet);
    let narrow = |overflow| PubSub::builder(&stage.russet).buffer(10).overflow(overflow).build();
    let (oldest, newest) = (Overflow::DropOldest, Overflow::DropNewest);
    let mut reads = fast.subscribe::<u64>("numbers").await.unwrap();
    let mut oldest = narrow(oldest).unwrap().subscribe::<u64>("numbers").await.unwrap();
    let mut newest = narrow(newest).unwrap().subscribe::<u64>("numbers").await.unwrap();
    for number in 0..100 {
        fast.publish("numbers", &number).await.unwrap();
        // It gets each at once, while two others do not read.
        assert_eq!(message(&mut reads).await, number);
    }
    // The ears are told one after the other: the last message has reached all when the last ear has it.
    eventually(LONG, async || match (oldest.lag(), newest.lag()) {
        (10, 10) => Ok(()),
        lag => Err(format!("{lag:?}")),
    })
    .await;
    assert!(matches!(next(&mut oldest).await, Event::Lagged(90)));
    for number in 90..100 {
        assert_eq!(message(&mut oldest).await, number);
    }
    for number in 0..10 {
        assert_eq!(message(&mut newest).await, number);
    }
    assert!(matches!(next(&mut newest).await, Event::Lagged(90)));
    fast.publish("numbers", &100).await.unwrap();
    assert_eq!((message(&mut oldest).await, message(&mut newest).await), (100, 100));
}

#[tokio::test]
async fn callbacks_are_called_for_each_event_and_one_that_fails_or_panics_harms_nobody() {
    let stage = patient_stage().await;
    let pubsub = PubSub::new(&stage.russet);
    let (told, mut telling) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicU64::new(0));
    let count = calls.clone();
    let panics = pubsub
        .on("alerts", move |event: Event<Alert>| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { panic!("{event:?}") }
        })
        .await
        .unwrap();
    let count = calls.clone();
    let fails = pubsub.on("alerts", move |_: Event<Alert>| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Err("as it should".into()) }
    });
    let fails = fails.await.unwrap();
    let hangs = pubsub.on("alerts", |_: Event<Alert>| std::future::pending()).await.unwrap();
    let like = told.clone();
    let works = pubsub
        .on("alerts", move |event: Event<Alert>| {
            let told = told.clone();
            async move { Ok(told.send(event.into_message().unwrap().text)?) }
        })
        .await
        .unwrap();
    let works_too = pubsub
        .on_like("a*", move |event: Event<OnChannel<Alert>>| {
            let told = like.clone();
            async move { Ok(told.send(event.into_message().unwrap().channel)?) }
        })
        .await
        .unwrap();
    for number in 0..3 {
        pubsub.publish("alerts", &alert(number)).await.unwrap();
        let mut heard = [
            timeout(LONG, telling.recv()).await.unwrap().unwrap(),
            timeout(LONG, telling.recv()).await.unwrap().unwrap(),
        ];
        heard.sort();
        assert_eq!(heard, [number.to_string(), "alerts".to_owned()]);
    }
    eventually(LONG, async || match calls.load(Ordering::SeqCst) {
        6 => Ok(()),
        calls => Err(format!("{calls} calls of those that fail")),
    })
    .await;
    for callback in [panics, fails, works, works_too] {
        callback.stop().await;
    }
    // The one that hangs is dropped, without a wait for it.
    drop(hangs);
    assert!(telling.recv().await.is_none(), "a stopped callback is gone");
}

#[tokio::test]
async fn a_subscription_is_a_stream() {
    let stage = patient_stage().await;
    let pubsub = PubSub::new(&stage.russet);
    let stream = pubsub.subscribe::<u64>("stream").await.unwrap();
    for number in 0..5 {
        pubsub.publish("stream", &number).await.unwrap();
    }
    let read = stream.take(5).filter_map(async |event| event.into_message()).collect::<Vec<_>>();
    assert_eq!(timeout(LONG, read).await.unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_cut_connection_gives_a_gap_and_messages_flow_again() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let direct = PubSub::new(&Russet::connect(&server.url()).await.unwrap());
    let behind = Russet::builder()
        .url(proxy.url())
        .timeout(LONG)
        .connect_timeout(LONG)
        .connect()
        .await
        .unwrap();
    let behind = PubSub::new(&behind);
    let mut alerts = behind.subscribe::<u64>("alerts").await.unwrap();
    let mut like = behind.subscribe_like::<u64>("al*").await.unwrap();
    for round in 0..5 {
        direct.publish("alerts", &round).await.unwrap();
        assert_eq!(message(&mut alerts).await, round);
        assert_eq!(message(&mut like).await.message, round);
        proxy.refuse().await.unwrap();
        eventually(LONG, async || if alerts.is_live() { Err("live") } else { Ok(()) }).await;
        direct.publish("alerts", &1_000).await.unwrap();
        proxy.heal().await.unwrap();
        // What is published after the gap was told is heard, above.
        assert!(matches!(next(&mut alerts).await, Event::Gap));
        assert!(alerts.is_live());
        assert!(matches!(next(&mut like).await, Event::Gap));
    }
}

#[tokio::test]
async fn a_killed_connection_is_opened_again_on_any_ground() {
    let ground = Ground::start().await.unwrap();
    let pubsub = PubSub::new(&patient(&ground.url(), "killed").await);
    let mut alerts = pubsub.subscribe::<u64>("alerts").await.unwrap();
    for round in 0..5 {
        ground.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        assert!(matches!(next(&mut alerts).await, Event::Gap));
        pubsub.publish("alerts", &round).await.unwrap();
        // An older one may come once more: it can reach another node of a Cluster later than the subscriber does.
        while message(&mut alerts).await != round {}
    }
}

#[tokio::test]
async fn a_server_that_is_away_ends_subscribe_by_its_deadline_and_a_closed_handle_ends_all() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let russet = Russet::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(300))
        .connect_timeout(LONG / 12);
    let russet = russet.connect().await.unwrap();
    let pubsub = PubSub::new(&russet);
    proxy.hang().await.unwrap();
    let late = timeout(LONG, pubsub.subscribe::<u64>("alerts")).await.unwrap().unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unreachable, "{late}");
    assert!(matches!(late.advice(), Advice::RetryAfter(_)));
    proxy.heal().await.unwrap();

    let mut alerts = eventually(LONG, async || pubsub.subscribe::<u64>("alerts").await).await;
    eventually(LONG, async || pubsub.publish("alerts", &1).await).await;
    eventually(LONG, async || if alerts.lag() > 0 { Ok(()) } else { Err("it did not come") }).await;
    russet.close().await;
    // What was there is read first.
    assert_eq!(message(&mut alerts).await, 1);
    // A publication whose answer was lost was tried again.
    while let Some(event) = timeout(LONG, alerts.next()).await.unwrap() {
        assert!(matches!(event, Event::Message(1)), "{event:?}");
    }
    let closed = pubsub.subscribe::<u64>("alerts").await.unwrap_err();
    assert_eq!((closed.kind(), closed.advice()), (ErrorKind::Unreachable, Advice::GiveUp));
}

#[tokio::test]
async fn a_publication_whose_answer_is_lost_is_unknown_and_not_sent_again() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let heard = PubSub::new(&Russet::connect(&server.url()).await.unwrap());
    let mut alerts = heard.subscribe::<u64>("alerts").await.unwrap();
    let russet = Russet::builder()
        .url(proxy.url())
        .timeout(LONG)
        .connect_timeout(LONG)
        .connect()
        .await
        .unwrap();
    let pubsub = PubSub::new(&russet);
    proxy.drop_reply_after(0).await.unwrap();
    let lost = pubsub.publish("alerts", &1).await.unwrap_err();
    assert_eq!((lost.kind(), lost.advice()), (ErrorKind::Unknown, Advice::GiveUp));
    pubsub.publish("alerts", &2).await.unwrap();
    assert_eq!((message(&mut alerts).await, message(&mut alerts).await), (1, 2));
}

#[tokio::test]
async fn a_pattern_that_is_not_allowed_harms_no_other_subscription() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let user = "ACL SETUSER app on >secret ~* &russet:* &russet:{pubsub:ok*}:messages +@all";
    server.command(&user.split(' ').collect::<Vec<_>>()).await.unwrap();
    let russet = Russet::builder().url(server.url()).user("app").password("secret");
    let russet = russet.timeout(LONG).connect_timeout(LONG).connect().await.unwrap();
    let pubsub = PubSub::new(&russet);
    let mut alerts = pubsub.subscribe::<u64>("ok then").await.unwrap();
    let refused = pubsub.subscribe_like::<u64>("not*").await.unwrap_err();
    assert_eq!((refused.kind(), refused.advice()), (ErrorKind::Refused, Advice::GiveUp));
    let mut like = pubsub.subscribe_like::<u64>("ok*").await.unwrap();
    pubsub.publish("ok then", &1).await.unwrap();
    assert_eq!(message(&mut alerts).await, 1, "and no gap");
    assert_eq!(message(&mut like).await.message, 1);

    let none = "ACL SETUSER app resetchannels";
    server.command(&none.split(' ').collect::<Vec<_>>()).await.unwrap();
    let refused = timeout(LONG / 2, pubsub.subscribe::<u64>("other")).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let answer = raw::command(&russet, &["ECHO", "in step"]).await.unwrap();
    assert_eq!(answer.into_text().as_deref(), Some("in step"));
}
