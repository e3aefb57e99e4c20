//! Durable messages: every group gets each of them, whoever dies in between.

#![cfg(feature = "pubsub")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use russet::testing::{WorkerProcess, eventually, worker_env, worker_report};
use russet::{
    Acked, Advice, Durability, ErrorKind, Group, MessageId, Russet, Start, Topic, TopicDelivery,
    TopicStats, metered,
};
use support::{Ground, Stage, patient, patient_stage, refused_names, strange_names};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
/// So short that it is over before a test goes on, and so long that a claim is answered in it.
const SHORT: Duration = Duration::from_millis(50);

fn topic(russet: &Russet, name: &str) -> Topic<u64> {
    Topic::builder(russet, name).build().unwrap()
}

/// The next message of a group, which must come.
async fn next(group: &mut Group<u64>) -> TopicDelivery<u64> {
    timeout(LONG, group.next()).await.expect("nothing came").unwrap()
}

async fn read(group: &mut Group<u64>, count: usize) -> Vec<u64> {
    let mut read = Vec::new();
    while read.len() < count {
        let delivery = next(group).await;
        read.push(*delivery.message().unwrap());
        assert_eq!(delivery.ack().await.unwrap(), Acked::Done);
    }
    read
}

/// Publishes the numbers, and returns their ids.
async fn publish(topic: &Topic<u64>, numbers: std::ops::Range<u64>) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(topic.publish(&number).await.unwrap().id);
    }
    ids
}

/// Waits until somebody waits for a message of the topic.
async fn somebody_waits(stage: &Stage, name: &str) {
    let waiters = stage.key(&format!("topic:{name}"), "waiters");
    eventually(LONG, async || match stage.server.command(&["HLEN", &waiters]).await {
        Ok(answer) if answer.int() > Some(0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn every_group_reads_every_message_also_those_from_before_it_was_there() {
    let stage = patient_stage().await;
    for name in strange_names() {
        let orders = topic(&stage.russet, &name);
        let ids = publish(&orders, 0..10).await;
        assert!(ids.is_sorted() && ids[0].time() <= SystemTime::now() + LONG);
        let mut billing = orders.group("billing").await.unwrap();
        let mut shipping = orders.group(&name).await.unwrap();
        publish(&orders, 10..20).await;
        for group in [&mut billing, &mut shipping] {
            assert_eq!(read(group, 20).await, (0..20).collect::<Vec<_>>());
            assert!(group.try_next_batch(1).await.unwrap().is_empty());
        }
    }
    for name in refused_names() {
        assert!(Topic::<u64>::builder(&stage.russet, &name).build().is_err());
        let orders = topic(&stage.russet, "orders");
        assert_eq!(orders.group(&name).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(orders.replay(&name, Start::Now).await.is_err());
        assert!(orders.remove_group(&name).await.is_err());
    }
}

#[tokio::test]
async fn of_the_subscribers_of_a_group_each_message_goes_to_one() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "shared");
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut group = orders.group("billing").await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let delivery = next(&mut group).await;
                let number = *delivery.message().unwrap();
                assert_eq!(
                    (delivery.deliveries(), delivery.ack().await.unwrap()),
                    (1, Acked::Done)
                );
                if number >= 1_000 {
                    return got;
                }
                got.push(number);
            }
        }));
    }
    publish(&orders, 0..200).await;
    // One for each reader, which ends with it.
    publish(&orders, 1_000..1_004).await;
    let mut all = Vec::new();
    for reader in readers {
        let got = reader.await.unwrap();
        assert!(got.is_sorted(), "{got:?}");
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_waits_is_woken_by_the_publisher_and_asks_for_nothing_meanwhile() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "woken");
    let mut group = orders.group("billing").await.unwrap();
    // It does not wait without the connection for messages, which is opened for the first wait.
    for number in 0..20 {
        let started = Instant::now();
        let (delivery, ()) = tokio::join!(metered(next(&mut group)), async {
            somebody_waits(&stage, "woken").await;
            orders.publish(&number).await.unwrap();
        });
        let (delivery, sent) = delivery;
        assert_eq!(*delivery.message().unwrap(), number);
        delivery.ack().await.unwrap();
        // A claim, the note that it waits, and a claim; and two for each look that a slow machine gives time for.
        let looks = started.elapsed().as_secs() / 4;
        assert!(sent.round_trips <= 3 + 2 * looks, "{sent:?} with {looks} looks");
    }
}

#[tokio::test]
async fn a_message_costs_one_round_trip_to_publish_one_to_take_and_one_to_acknowledge() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "cheap");
    let mut group = orders.group("billing").await.unwrap();
    // Teaches the scripts.
    publish(&orders, 0..1).await;
    read(&mut group, 1).await;
    let (published, sent) = metered(orders.publish(&1)).await;
    assert_eq!((published.unwrap().reached.in_full, sent.round_trips), (true, 1));
    let (delivery, sent) = metered(group.next()).await;
    assert_eq!(sent.round_trips, 1);
    let (acked, sent) = metered(delivery.unwrap().ack()).await;
    assert_eq!((acked.unwrap(), sent.round_trips), (Acked::Done, 1));

    publish(&orders, 0..50).await;
    let (batch, sent) = metered(group.next_batch(1_000)).await;
    assert_eq!((batch.unwrap().len(), sent.round_trips), (50, 1));
    for refused in [0, 1_001] {
        assert_eq!(group.next_batch(refused).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(group.try_next_batch(refused).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(orders.history(refused).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

/// Takes batches, acknowledges all but the last of each, and says so. It is killed.
#[tokio::test]
async fn subscriber_that_is_killed() {
    let Some(url) = worker_env("URL") else { return };
    let russet = patient(&url, &worker_env("NAMESPACE").unwrap()).await;
    let mut group = topic(&russet, "killed").group("billing").lease(10 * SHORT).await.unwrap();
    loop {
        let mut batch = group.next_batch(7).await.unwrap();
        let held = batch.pop();
        for delivery in batch {
            worker_report(&format!("took {}", delivery.message().unwrap()));
            let _ = delivery.ack().await.unwrap();
        }
        if let Some(held) = held {
            worker_report(&format!("holds {}", held.message().unwrap()));
        }
    }
}

#[tokio::test]
async fn a_subscriber_killed_in_the_middle_misses_nothing() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "killed");
    let url = stage.server.url();
    let environment = [("URL", url.as_str()), ("NAMESPACE", stage.russet.namespace())];
    let mut seen = BTreeSet::new();
    let mut held = BTreeSet::new();
    let mut published = 0;
    for kill_after in [1, 3, 2, 1] {
        publish(&orders, published..published + 50).await;
        published += 50;
        let mut worker = WorkerProcess::spawn("subscriber_that_is_killed", &environment).unwrap();
        let mut holds = 0;
        while holds < kill_after {
            let line = worker.line_starting("").await.unwrap();
            holds += usize::from(line.contains("holds "));
            note(&line, &mut seen, &mut held);
        }
        worker.kill().await.unwrap();
        while let Ok(line) = worker.line_starting("").await {
            note(&line, &mut seen, &mut held);
        }
    }

    // Who lives on gets what nobody has acknowledged: what was held, and what was never said.
    let mut group = orders.group("billing").lease(10 * SHORT).await.unwrap();
    let mut again = BTreeSet::new();
    eventually(LONG, async || {
        for delivery in group.try_next_batch(100).await.unwrap() {
            let number = *delivery.message().unwrap();
            again.insert(number);
            seen.insert(number);
            let _ = delivery.ack().await.unwrap();
        }
        match orders.stats().await.unwrap().groups.first() {
            Some(group) if (group.pending, group.lag) == (0, Some(0)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(seen, (0..published).collect());
    // A worker may itself have taken over what an earlier one held, and acknowledged it; the last one's came here.
    assert!(!held.is_disjoint(&again), "{held:?} {again:?}");
}

/// What a worker said. A message that it holds is not seen before somebody takes it again.
fn note(line: &str, seen: &mut BTreeSet<u64>, held: &mut BTreeSet<u64>) {
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    if let Some((_, took)) = line.split_once("took ") {
        seen.insert(number(took));
    } else if let Some((_, holds)) = line.split_once("holds ") {
        held.insert(number(holds));
    }
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_taken_over_says_so_and_changes_nothing() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "taken over");
    let mut slow = orders.group("billing").lease(SHORT).await.unwrap();
    let mut other = orders.group("billing").lease(SHORT).await.unwrap();
    let id = publish(&orders, 7..8).await[0];
    let first = next(&mut slow).await;
    assert_eq!((first.id(), first.deliveries()), (id, 1));
    let second = next(&mut other).await;
    assert_eq!((second.id(), second.deliveries()), (id, 2));
    assert_eq!(first.extend().await.unwrap(), Acked::TakenOver);
    assert_eq!(first.ack().await.unwrap(), Acked::TakenOver);
    // Its own lease ends too, and the same subscriber takes it again: the earlier delivery has no say any more.
    let third = next(&mut other).await;
    assert_eq!((third.id(), third.deliveries()), (id, 3));
    assert_eq!(second.ack().await.unwrap(), Acked::TakenOver);
    assert_eq!(orders.stats().await.unwrap().groups[0].pending, 1);
    assert_eq!(third.extend().await.unwrap(), Acked::Done);
    assert_eq!(third.ack().await.unwrap(), Acked::Done);
    assert_eq!(orders.stats().await.unwrap().groups[0].pending, 0);
}

#[tokio::test]
async fn an_extended_lease_keeps_a_message_for_longer_than_a_lease() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "extended");
    let lease = Duration::from_secs(2);
    let mut slow = orders.group("billing").lease(lease).await.unwrap();
    let mut other = orders.group("billing").lease(lease).await.unwrap();
    publish(&orders, 7..8).await;
    let held = next(&mut slow).await;
    let started = Instant::now();
    while started.elapsed() < lease + lease / 2 {
        let extended = Instant::now();
        let kept = held.extend().await.unwrap();
        // A look of its own each time: `reclaim` is not for every claim.
        let mut look = orders.group("billing").lease(lease).await.unwrap();
        let taken = look.try_next_batch(1).await.unwrap();
        if extended.elapsed() >= lease / 2 {
            return println!("a machine as slow as this proves nothing");
        }
        assert_eq!((kept, taken.len()), (Acked::Done, 0));
        look.leave().await.unwrap();
    }
    // Without it, it is taken.
    assert_eq!(next(&mut other).await.id(), held.id());
}

#[tokio::test]
async fn what_is_too_much_or_too_old_goes_when_others_come_and_a_group_that_missed_it_is_told() {
    let stage = patient_stage().await;
    let few = Topic::<u64>::builder(&stage.russet, "few").keep_at_most(100).build().unwrap();
    let mut group = few.group("slow").await.unwrap();
    publish(&few, 0..1_000).await;
    let TopicStats { messages, groups, .. } = few.stats().await.unwrap();
    assert!((100..=300).contains(&messages), "{messages}");
    let (slow, kept) = (&groups[0], messages);
    assert_eq!((slow.lag, slow.missed), (Some(kept), Some(1_000 - kept)), "{slow:?}");
    assert_eq!(*next(&mut group).await.message().unwrap(), 1_000 - kept);

    let brief = Topic::<u64>::builder(&stage.russet, "brief").keep_for(20 * SHORT).build().unwrap();
    publish(&brief, 0..300).await;
    let mut number = 300;
    eventually(LONG, async || {
        number = publish(&brief, number..number + 1).await.len() as u64 + number;
        let oldest = brief.history(1).oldest_first().await.unwrap();
        match oldest.first().map(|logged| *logged.message().unwrap()) {
            Some(0) => Err("the first is still there"),
            _ => Ok(()),
        }
    })
    .await;
    // And all of it, when nobody publishes any more; a group that waits is made again, and reads on.
    let mut waits = brief.group("waits").from(Start::Now).lease(SHORT).await.unwrap();
    let log = stage.key("topic:brief", "log");
    let (first, ()) = tokio::join!(next(&mut waits), async {
        let mut ttl = i64::MAX;
        eventually(LONG, async || {
            let now = stage.server.command(&["PTTL", &log]).await.unwrap().int().unwrap();
            // A new time to live is another topic's.
            let is_new = now > ttl;
            ttl = now;
            if is_new || now == -2 { Ok(()) } else { Err(format!("{now} ms")) }
        })
        .await;
        publish(&brief, 7..8).await;
    });
    assert_eq!(*first.message().unwrap(), 7);

    for refused in [
        Topic::<u64>::builder(&stage.russet, "x").keep_for(Duration::ZERO).build(),
        Topic::<u64>::builder(&stage.russet, "x").keep_for(Duration::MAX).build(),
        Topic::<u64>::builder(&stage.russet, "x").keep_at_most(0).build(),
        Topic::<u64>::builder(&stage.russet, "x").max_message_bytes(0).build(),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
    for lease in [Duration::ZERO, Duration::from_secs(86_401)] {
        let refused = few.group("x").lease(lease).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let small = Topic::<u64>::builder(&stage.russet, "x").max_message_bytes(3).build().unwrap();
    assert_eq!(small.publish(&1_000).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_group_reads_from_where_it_is_told_and_once_more_after_a_replay() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "replayed");
    let ids = publish(&orders, 0..5).await;
    // Another millisecond than all before.
    eventually(LONG, async || {
        let id = publish(&orders, 5..6).await[0];
        if id.time() > ids[4].time() { Ok(()) } else { Err("still the same millisecond") }
    })
    .await;
    let last = orders.history(1).await.unwrap()[0].id;
    let mut at = orders.group("at").from(Start::At(last.time())).await.unwrap();
    assert_eq!(next(&mut at).await.id(), last);
    let mut after = orders.group("after").from(Start::After(ids[1])).await.unwrap();
    assert_eq!(next(&mut after).await.id(), ids[2]);
    let mut now = orders.group("now").from(Start::Now).await.unwrap();
    assert!(now.try_next_batch(1).await.unwrap().is_empty());

    let mut group = orders.group("billing").from(Start::Now).await.unwrap();
    let lag = async || {
        let groups = orders.stats().await.unwrap().groups;
        groups.into_iter().find(|group| group.name == "billing").unwrap().lag
    };
    assert_eq!(lag().await, Some(0));
    assert!(orders.replay("billing", Start::Oldest).await.unwrap());
    assert_eq!(lag().await, Some(orders.stats().await.unwrap().messages));
    assert_eq!(read(&mut group, 5).await, [0, 1, 2, 3, 4]);
    assert!(orders.replay("billing", Start::After(ids[2])).await.unwrap());
    assert_eq!(read(&mut group, 2).await, [3, 4]);
    assert!(orders.replay("billing", Start::Now).await.unwrap());
    assert_eq!(lag().await, Some(0));
    publish(&orders, 9..10).await;
    assert_eq!((lag().await, read(&mut group, 1).await), (Some(1), vec![9]));
    assert!(!orders.replay("nobody", Start::Oldest).await.unwrap());
    assert!(!topic(&stage.russet, "nothing").replay("billing", Start::Oldest).await.unwrap());
}

#[tokio::test]
async fn the_history_is_read_from_both_ends_page_by_page() {
    let stage = patient_stage().await;
    let room = topic(&stage.russet, "room");
    assert!(room.history(10).await.unwrap().is_empty());
    let ids = publish(&room, 0..10).await;
    let numbers = |page: Vec<russet::Logged<u64>>| -> Vec<u64> {
        page.into_iter().map(|logged| logged.into_message().unwrap()).collect()
    };
    assert_eq!(numbers(room.history(3).await.unwrap()), [9, 8, 7]);
    assert_eq!(numbers(room.history(3).before(ids[7]).await.unwrap()), [6, 5, 4]);
    assert_eq!(numbers(room.history(3).oldest_first().await.unwrap()), [0, 1, 2]);
    let on = room.history(3).from(Start::After(ids[2])).oldest_first();
    assert_eq!(numbers(on.await.unwrap()), [3, 4, 5]);
    let between = room.history(9).from(Start::After(ids[2])).before(ids[5]);
    assert_eq!(numbers(between.await.unwrap()), [4, 3]);
    let at = room.history(1).from(Start::At(ids[0].time())).oldest_first();
    assert_eq!(at.await.unwrap()[0].id, ids[0]);
    assert!(room.history(3).from(Start::Now).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_reaches_the_handler_as_such_until_it_is_acknowledged() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "poison");
    let log = stage.key("topic:poison", "log");
    for fields in [
        &["v", "1", "body", "no number"] as &[&str],
        &["v", "2", "body", "7"],
        &["x", "y"],
        &["v", "1", "body", "7", "later", "field"],
    ] {
        let words = [&["XADD", &log, "*"], fields].concat();
        stage.server.command(&words).await.unwrap();
    }
    let mut group = orders.group("billing").lease(SHORT).await.unwrap();
    let poison = next(&mut group).await;
    assert_eq!(poison.message().unwrap_err().kind(), ErrorKind::Codec);
    assert!(!format!("{poison:?}").contains("no number"));
    // It comes back, and says how often it did.
    let mut newer = Vec::new();
    let again = loop {
        let delivery = next(&mut group).await;
        if delivery.id() == poison.id() {
            break delivery;
        }
        newer.push(delivery);
    };
    assert!(again.deliveries() >= 2);
    let history = orders.history(4).oldest_first().await.unwrap();
    let read: Vec<_> = history.iter().map(|logged| logged.message().copied().ok()).collect();
    assert_eq!(read, [None, None, None, Some(7)]);
    let why = history[1].message().unwrap_err().to_string();
    assert!(why.contains("unknown version 2"), "{why}");
}

#[tokio::test]
async fn who_leaves_is_forgotten_but_not_what_it_holds() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "left");
    let subscribers = async || orders.stats().await.unwrap().groups[0].subscribers;
    let mut holds = orders.group("billing").lease(SHORT).await.unwrap();
    let mut leaves = orders.group("billing").lease(SHORT).await.unwrap();
    publish(&orders, 0..1).await;
    let held = next(&mut holds).await;
    assert!(leaves.try_next_batch(1).await.unwrap().is_empty() || subscribers().await == 2);
    leaves.leave().await.unwrap();
    holds.leave().await.unwrap();
    drop(held);
    let mut stays = orders.group("billing").lease(SHORT).await.unwrap();
    assert_eq!(read(&mut stays, 1).await, [0]);
    // The ones that went without a word are forgotten while others wait.
    for _ in 0..5 {
        let mut gone = orders.group("billing").lease(SHORT).await.unwrap();
        publish(&orders, 1..2).await;
        assert_eq!(read(&mut gone, 1).await, [1]);
    }
    eventually(LONG, async || {
        assert!(timeout(4 * SHORT, stays.next()).await.is_err(), "there is no message");
        match subscribers().await {
            // One that waits and has nothing is not always listed.
            0 | 1 => Ok(()),
            others => Err(format!("{others} subscribers")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_topic_or_a_group_that_is_gone_is_made_again_by_who_goes_on_and_nothing_is_missed() {
    let stage = patient_stage().await;
    let orders = topic(&stage.russet, "deleted");
    assert_eq!(orders.stats().await.unwrap(), TopicStats::default());
    assert!(!orders.remove_group("billing").await.unwrap());
    publish(&orders, 0..3).await;
    let mut group = orders.group("billing").lease(4 * SHORT).await.unwrap();
    let held = next(&mut group).await;
    orders.delete().await.unwrap();
    assert_eq!(held.ack().await.unwrap(), Acked::TakenOver);
    let (delivery, ()) = tokio::join!(next(&mut group), async {
        somebody_waits(&stage, "deleted").await;
        publish(&orders, 7..8).await;
    });
    assert_eq!(*delivery.message().unwrap(), 7);
    assert!(orders.remove_group("billing").await.unwrap());
    assert_eq!(delivery.ack().await.unwrap(), Acked::TakenOver);
    assert_eq!(read(&mut group, 1).await, [7]);
    // Deleted, and made by a publisher before the subscriber looks.
    orders.delete().await.unwrap();
    publish(&orders, 8..10).await;
    assert_eq!(read(&mut group, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_full_server_refuses_to_publish_and_still_hands_out_what_it_has() {
    let ground = Ground::start().await.unwrap();
    let russet = patient(&ground.url(), "full").await;
    let orders = topic(&russet, "full");
    publish(&orders, 0..3).await;
    let mut group = orders.group("billing").await.unwrap();
    ground.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let refused = orders.publish(&3).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(matches!(refused.advice(), Advice::RetryAfter(_)));
    assert_eq!(read(&mut group, 3).await, [0, 1, 2]);
    ground.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    publish(&orders, 3..4).await;
    assert_eq!(read(&mut group, 1).await, [3]);
}

#[tokio::test]
async fn publishing_says_how_durable_it_was() {
    let stage = patient_stage().await;
    let wanted = Durability::Replicated { replicas: 1, timeout: SHORT };
    let orders = topic(&stage.russet.durability(wanted), "durable");
    let published = orders.publish(&1).await.unwrap();
    // No replica is there; the message is.
    assert!(!published.reached.in_full && published.reached.replicas == 0);
    assert_eq!(orders.history(1).await.unwrap()[0].id, published.id);
}

#[tokio::test]
async fn a_server_that_was_restarted_goes_on_with_what_was_published() {
    let server = russet::testing::TestServer::builder().arg("appendonly", "yes");
    let server = server.arg("appendfsync", "always").start().await.unwrap();
    let russet = Russet::builder()
        .url(server.url())
        .timeout(LONG)
        .connect_timeout(LONG)
        .connect()
        .await
        .unwrap();
    let orders = topic(&russet, "restarted");
    let mut group = orders.group("billing").lease(SHORT).await.unwrap();
    publish(&orders, 0..3).await;
    let held = next(&mut group).await;
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    // What waits is told by the outage; the loop is the caller's.
    let mut seen = BTreeSet::new();
    eventually(LONG, async || {
        for delivery in group.try_next_batch(10).await.map_err(|why| why.to_string())? {
            seen.insert(*delivery.message().unwrap());
            delivery.ack().await.map_err(|why| why.to_string())?;
        }
        if seen.len() == 3 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert_eq!(held.ack().await.unwrap(), Acked::TakenOver);
}
