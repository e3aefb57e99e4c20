//! Sharded channels: each is carried by the node of its slot alone, and followed when that changes.

#![cfg(feature = "pubsub")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use russet::testing::{Reply, TestCluster, TestServer, eventually};
use russet::{Advice, ErrorKind, Event, Json, Overflow, PubSub, Russet, Sharded, Subscription};
use support::{Ground, clients_are, patient, patient_stage, strange_names};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "shards";

type Rooms = PubSub<Json, Sharded>;

fn rooms(russet: &Russet) -> Rooms {
    PubSub::builder(russet).sharded().build().unwrap()
}

async fn rooms_on(cluster: &TestCluster) -> Rooms {
    rooms(&patient(&cluster.url(), NAMESPACE).await)
}

/// The channel as the server knows it.
fn at_server(namespace: &str, name: &str) -> String {
    format!("{namespace}:{{pubsub:{name}}}:messages")
}

async fn next<T>(subscription: &mut Subscription<T>) -> Event<T> {
    timeout(LONG, subscription.next()).await.expect("nothing came").expect("it ended")
}

async fn message<T: std::fmt::Debug>(subscription: &mut Subscription<T>) -> T {
    match next(subscription).await {
        Event::Message(message) => message,
        other => panic!("{other:?} is no message"),
    }
}

/// How many connections to this node are subscribed to a sharded channel.
async fn subscribers(node: &TestServer, channel: &str) -> i64 {
    let counted = node.command(&["PUBSUB", "SHARDNUMSUB", channel]).await.unwrap();
    counted.list().get(1).and_then(Reply::int).unwrap_or_default()
}

/// A channel whose slot this node has.
async fn room_at(cluster: &TestCluster, node: usize) -> String {
    for n in 0.. {
        let name = format!("room-{n}");
        if owner(cluster, &name).await == node {
            return name;
        }
    }
    unreachable!()
}

async fn slot(cluster: &TestCluster, room: &str) -> u16 {
    cluster.slot(&at_server(NAMESPACE, room)).await.unwrap()
}

async fn owner(cluster: &TestCluster, room: &str) -> usize {
    cluster.owner(slot(cluster, room).await).await.unwrap()
}

#[tokio::test]
async fn everything_published_after_subscribe_is_heard_in_order_whatever_the_name() {
    let stage = patient_stage().await;
    let rooms = rooms(&stage.russet);
    let mut all = Vec::new();
    for name in strange_names() {
        all.push((rooms.subscribe::<String>(&name).await.unwrap(), name));
    }
    for (_, name) in &all {
        for number in 0..5 {
            assert_eq!(rooms.publish(name, &format!("{name} {number}")).await.unwrap(), 1);
        }
    }
    for (subscription, name) in &mut all {
        for number in 0..5 {
            assert_eq!(message(subscription).await, format!("{name} {number}"));
        }
        assert_eq!(subscription.lag(), 0, "{name}");
    }
}

#[tokio::test]
async fn publish_tells_how_many_processes_hear_it_and_each_of_them_does() {
    let stage = patient_stage().await;
    let here = rooms(&stage.russet);
    let there = rooms(&patient(&stage.server.url(), stage.russet.namespace()).await);
    let plain = PubSub::new(&stage.russet);
    assert_eq!(here.publish("lobby", &0).await.unwrap(), 0);
    let mut first = here.subscribe::<u64>("lobby").await.unwrap();
    let mut again = here.subscribe::<u64>("lobby").await.unwrap();
    let mut second = there.subscribe::<u64>("lobby").await.unwrap();
    let mut apart = plain.subscribe::<u64>("lobby").await.unwrap();
    for number in 1..=20 {
        // Exact on a Cluster too: everybody listens where it is published.
        assert_eq!(here.publish("lobby", &number).await.unwrap(), 2);
        for subscription in [&mut first, &mut again, &mut second] {
            assert_eq!(message(subscription).await, number);
        }
    }
    plain.publish("lobby", &100).await.unwrap();
    assert_eq!(message(&mut apart).await, 100, "the channel of that name of others is another one");
    assert_eq!(first.lag() + again.lag() + second.lag(), 0);
}

#[tokio::test]
async fn a_dropped_subscription_is_gone_at_the_server_and_may_come_back() {
    let stage = patient_stage().await;
    let rooms = rooms(&stage.russet);
    let mut stays = rooms.subscribe::<u64>("stays").await.unwrap();
    for number in 0..10 {
        let mut goes = rooms.subscribe::<u64>("goes").await.unwrap();
        assert_eq!(rooms.publish("goes", &number).await.unwrap(), 1);
        assert_eq!(message(&mut goes).await, number);
        drop(goes);
        eventually(LONG, async || match rooms.publish("goes", &1_000).await.unwrap() {
            0 => Ok(()),
            some => Err(format!("{some} listen")),
        })
        .await;
        rooms.publish("stays", &number).await.unwrap();
        assert_eq!(message(&mut stays).await, number, "and no gap");
    }
}

#[tokio::test]
async fn a_slow_subscriber_loses_its_oldest_and_a_callback_is_called_for_each() {
    let stage = patient_stage().await;
    let rooms = rooms(&stage.russet);
    let narrow = PubSub::builder(&stage.russet).buffer(10).overflow(Overflow::DropOldest);
    let narrow = narrow.sharded().build().unwrap();
    let mut slow = narrow.subscribe::<u64>("numbers").await.unwrap();
    let sum = Arc::new(AtomicU64::new(0));
    let adds = sum.clone();
    let callback = rooms
        .on("numbers", move |event: Event<u64>| {
            adds.fetch_add(event.into_message().unwrap(), Ordering::SeqCst);
            async { Ok(()) }
        })
        .await
        .unwrap();
    for number in 1..=100 {
        rooms.publish("numbers", &number).await.unwrap();
    }
    eventually(LONG, async || match (sum.load(Ordering::SeqCst), slow.lag()) {
        (5_050, 10) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(matches!(next(&mut slow).await, Event::Lagged(90)));
    assert_eq!(message(&mut slow).await, 91);
    callback.stop().await;
}

#[tokio::test]
async fn a_killed_connection_gives_a_gap_and_messages_flow_again_on_any_ground() {
    let ground = Ground::start().await.unwrap();
    let rooms = rooms(&patient(&ground.url(), NAMESPACE).await);
    let mut lobby = rooms.subscribe::<u64>("lobby").await.unwrap();
    for round in 0..5 {
        ground.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        assert!(matches!(next(&mut lobby).await, Event::Gap));
        assert_eq!(rooms.publish("lobby", &round).await.unwrap(), 1);
        assert_eq!(message(&mut lobby).await, round);
    }
}

#[tokio::test]
async fn a_channel_that_is_not_allowed_harms_no_other_subscription() {
    let server = TestServer::start().await.unwrap();
    let user = "ACL SETUSER app on >secret ~* &russet:{pubsub:ok*}:messages +@all";
    server.command(&user.split(' ').collect::<Vec<_>>()).await.unwrap();
    let russet = Russet::builder().url(server.url()).user("app").password("secret");
    let rooms = rooms(&russet.timeout(LONG).connect_timeout(LONG).connect().await.unwrap());
    let mut allowed = rooms.subscribe::<u64>("ok then").await.unwrap();
    let refused = rooms.subscribe::<u64>("no").await.unwrap_err();
    assert_eq!((refused.kind(), refused.advice()), (ErrorKind::Refused, Advice::GiveUp));
    rooms.publish("ok then", &1).await.unwrap();
    assert_eq!(message(&mut allowed).await, 1, "and no gap");
}

/// How often the nodes have told each other of a message.
async fn told_each_other(cluster: &TestCluster) -> u64 {
    let mut told = 0;
    for node in cluster.nodes() {
        let info = node.command(&["CLUSTER", "INFO"]).await.unwrap();
        let lines = info.text().unwrap().lines();
        let of_messages =
            lines.filter(|line| line.contains("messages_publish") && line.contains("_sent"));
        told += of_messages
            .map(|line| line.split(':').nth(1).unwrap().trim().parse::<u64>().unwrap())
            .sum::<u64>();
    }
    told
}

#[tokio::test]
async fn only_the_node_of_the_slot_carries_a_channel() {
    let cluster = TestCluster::start().await.unwrap();
    let processes = [rooms_on(&cluster).await, rooms_on(&cluster).await, rooms_on(&cluster).await];
    for node in 0..3 {
        let room = room_at(&cluster, node).await;
        let mut subscriptions = Vec::new();
        for process in &processes {
            subscriptions.push(process.subscribe::<u64>(&room).await.unwrap());
        }
        let mut heard_at = Vec::new();
        for server in cluster.nodes() {
            heard_at.push(subscribers(server, &at_server(NAMESPACE, &room)).await);
        }
        let expected = [0, 1, 2].map(|at| if at == node { 3 } else { 0 });
        assert_eq!(heard_at, expected);
        for number in 0..50 {
            let publisher = &processes[number as usize % 3];
            assert_eq!(publisher.publish(&room, &number).await.unwrap(), 3);
            for subscription in &mut subscriptions {
                assert_eq!(message(subscription).await, number);
            }
        }
    }
    assert_eq!(told_each_other(&cluster).await, 0);
    // What is not sharded goes to all of them, which shows that it would have been seen.
    let plain = PubSub::new(&patient(&cluster.url(), NAMESPACE).await);
    for number in 0..50 {
        plain.publish("plain", &number).await.unwrap();
    }
    eventually(LONG, async || match told_each_other(&cluster).await {
        100 => Ok(()),
        told => Err(format!("{told}")),
    })
    .await;
}

#[tokio::test]
async fn a_process_has_a_connection_for_messages_at_each_node_it_listens_to_and_at_no_other() {
    let cluster = TestCluster::start().await.unwrap();
    let rooms = rooms_on(&cluster).await;
    let names =
        [room_at(&cluster, 0).await, room_at(&cluster, 1).await, room_at(&cluster, 2).await];
    for name in &names {
        rooms.publish(name, &1).await.unwrap();
    }
    clients_are(cluster.nodes(), 3).await;
    let mut subscriptions = Vec::new();
    for (listened, name) in names.iter().enumerate() {
        subscriptions.push(rooms.subscribe::<u64>(name).await.unwrap());
        subscriptions.push(rooms.subscribe::<u64>(name).await.unwrap());
        clients_are(cluster.nodes(), 3 + listened + 1).await;
    }
    subscriptions.drain(..2);
    clients_are(cluster.nodes(), 5).await;
    subscriptions.clear();
    clients_are(cluster.nodes(), 3).await;
    let mut back = rooms.subscribe::<u64>(&names[0]).await.unwrap();
    rooms.publish(&names[0], &2).await.unwrap();
    assert_eq!(message(&mut back).await, 2);
}

/// Publishes 1, 2, 3 and so on until it is stopped; answers the last number that was published for certain.
fn publish_on(rooms: &Rooms, room: &str, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (rooms, room, stop) = (rooms.clone(), room.to_owned(), stop.clone());
    tokio::spawn(async move {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            rooms.publish(&room, &number).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        number
    })
}

/// Reads so many gaps and then, up to a number that is said later, all messages; numbers are left out behind a gap only.
struct Heard {
    last: u64,
    gaps: usize,
    after_gap: bool,
}

impl Heard {
    async fn one(&mut self, subscription: &mut Subscription<u64>) {
        match next(subscription).await {
            Event::Gap => {
                self.gaps += 1;
                self.after_gap = true;
            }
            Event::Message(number) => {
                let follows = number == self.last + 1 || (self.after_gap && number > self.last);
                assert!(follows, "{number} after {}", self.last);
                self.last = number;
                self.after_gap = false;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_slot_that_moves_while_messages_flow_gives_a_gap_and_loses_nothing_else() {
    let cluster = TestCluster::start().await.unwrap();
    let (listens, publishes) = (rooms_on(&cluster).await, rooms_on(&cluster).await);
    let moving = room_at(&cluster, 0).await;
    let mut staying = String::new();
    for n in 0.. {
        staying = format!("staying-{n}");
        if owner(&cluster, &staying).await == 0 {
            break;
        }
    }
    let mut moved = listens.subscribe::<u64>(&moving).await.unwrap();
    let mut stayed = listens.subscribe::<u64>(&staying).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (all_moving, all_staying) =
        (publish_on(&publishes, &moving, &stop), publish_on(&publishes, &staying, &stop));
    let mut heard = Heard { last: 0, gaps: 0, after_gap: false };
    let slot = slot(&cluster, &moving).await;
    for round in 1..=6 {
        while heard.last < round as u64 * 3 || heard.gaps < round - 1 || heard.after_gap {
            heard.one(&mut moved).await;
        }
        let (from, to) = (cluster.owner(slot).await.unwrap(), round % 3);
        cluster.move_slot(slot, to).await.unwrap();
        while heard.gaps < round || heard.after_gap {
            heard.one(&mut moved).await;
        }
        let channel = at_server(NAMESPACE, &moving);
        assert_eq!(subscribers(cluster.node(from), &channel).await, 0);
        assert_eq!(subscribers(cluster.node(to), &channel).await, 1);
    }
    stop.store(true, Ordering::Relaxed);
    let (last_moving, last_staying) = (all_moving.await.unwrap(), all_staying.await.unwrap());
    while heard.last < last_moving {
        heard.one(&mut moved).await;
    }
    for number in 1..=last_staying {
        assert_eq!(message(&mut stayed).await, number, "the same node's other channel has no gap");
    }
}

#[tokio::test]
async fn who_subscribes_where_the_slot_was_is_sent_on() {
    let cluster = TestCluster::start().await.unwrap();
    let rooms = rooms_on(&cluster).await;
    let room = room_at(&cluster, 1).await;
    // It learns that the node has the slot, and not that it is moved.
    assert_eq!(rooms.publish(&room, &0).await.unwrap(), 0);
    cluster.move_slot(slot(&cluster, &room).await, 2).await.unwrap();
    let mut subscription = rooms.subscribe::<u64>(&room).await.unwrap();
    assert_eq!(rooms.publish(&room, &1).await.unwrap(), 1);
    assert_eq!(message(&mut subscription).await, 1);
    assert_eq!(subscribers(cluster.node(2), &at_server(NAMESPACE, &room)).await, 1);
}

/// Publishes until it is heard; what comes before is a gap.
async fn flows_again(publishes: &Rooms, room: &str, subscription: &mut Subscription<u64>) {
    assert!(matches!(next(subscription).await, Event::Gap));
    eventually(LONG, async || publishes.publish(room, &7).await).await;
    while message(subscription).await != 7 {}
}

#[tokio::test]
async fn a_killed_node_is_followed_to_its_replica_and_its_neighbours_have_no_gap() {
    let cluster = TestCluster::builder().replicas(1).start().await.unwrap();
    let (listens, publishes) = (rooms_on(&cluster).await, rooms_on(&cluster).await);
    let (dying, living) = (room_at(&cluster, 0).await, room_at(&cluster, 1).await);
    let mut dies = listens.subscribe::<u64>(&dying).await.unwrap();
    let mut lives = listens.subscribe::<u64>(&living).await.unwrap();
    publishes.publish(&dying, &1).await.unwrap();
    assert_eq!(message(&mut dies).await, 1);
    cluster.node(0).kill().await.unwrap();
    flows_again(&publishes, &dying, &mut dies).await;
    let promoted = owner(&cluster, &dying).await;
    assert!(promoted >= 3, "node {promoted} has the slot");
    eventually(LONG, async || publishes.publish(&living, &2).await).await;
    assert_eq!(message(&mut lives).await, 2, "and no gap");

    // The old node comes back as a replica, and nobody goes back to it.
    cluster.node(0).restart().await.unwrap();
    cluster.complete().await.unwrap();
    publishes.publish(&dying, &3).await.unwrap();
    while message(&mut dies).await != 3 {}
    assert_eq!(subscribers(cluster.node(0), &at_server(NAMESPACE, &dying)).await, 0);
}

#[tokio::test]
async fn a_node_that_comes_back_is_listened_to_again() {
    let settings = TestCluster::builder().arg("cluster-require-full-coverage", "no");
    let cluster = settings.start().await.unwrap();
    let (listens, publishes) = (rooms_on(&cluster).await, rooms_on(&cluster).await);
    let room = room_at(&cluster, 2).await;
    let mut subscription = listens.subscribe::<u64>(&room).await.unwrap();
    cluster.node(2).kill().await.unwrap();
    eventually(LONG, async || if subscription.is_live() { Err("live") } else { Ok(()) }).await;
    cluster.node(2).restart().await.unwrap();
    flows_again(&publishes, &room, &mut subscription).await;
}

#[tokio::test]
async fn a_cut_connection_to_one_node_is_a_gap_for_its_channels_alone() {
    let cluster = TestCluster::builder().proxied().start().await.unwrap();
    let listens = rooms_on(&cluster).await;
    let (here, there) = (room_at(&cluster, 0).await, room_at(&cluster, 1).await);
    let mut cut = listens.subscribe::<u64>(&here).await.unwrap();
    let mut whole = listens.subscribe::<u64>(&there).await.unwrap();
    for round in 0..3 {
        cluster.proxy(0).refuse().await.unwrap();
        eventually(LONG, async || if cut.is_live() { Err("live") } else { Ok(()) }).await;
        assert_eq!(listens.publish(&there, &round).await.unwrap(), 1);
        assert_eq!(message(&mut whole).await, round, "and no gap");
        cluster.proxy(0).heal().await.unwrap();
        flows_again(&listens, &here, &mut cut).await;
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_left_for_its_replica() {
    let cluster = TestCluster::builder().replicas(1).start().await.unwrap();
    let builder = || Russet::builder().url(cluster.url()).namespace(NAMESPACE);
    let listens = rooms(&builder().timeout(LONG).connect().await.unwrap());
    let publishes = rooms(&builder().connect().await.unwrap());
    let room = room_at(&cluster, 1).await;
    let mut subscription = listens.subscribe::<u64>(&room).await.unwrap();
    cluster.node(1).pause().unwrap();
    // Nobody tells the one that listens: its connection looks open.
    eventually(LONG, async || publishes.publish(&room, &1).await).await;
    flows_again(&publishes, &room, &mut subscription).await;
    cluster.node(1).resume().unwrap();
}

#[tokio::test]
async fn a_closed_handle_ends_its_subscriptions() {
    let cluster = TestCluster::start().await.unwrap();
    let russet = patient(&cluster.url(), NAMESPACE).await;
    let rooms = rooms(&russet);
    let mut lobby = rooms.subscribe::<u64>("lobby").await.unwrap();
    rooms.publish("lobby", &1).await.unwrap();
    eventually(LONG, async || if lobby.lag() > 0 { Ok(()) } else { Err("it did not come") }).await;
    russet.close().await;
    assert_eq!(message(&mut lobby).await, 1);
    assert!(timeout(LONG, lobby.next()).await.unwrap().is_none());
    let closed = rooms.subscribe::<u64>("lobby").await.unwrap_err();
    assert_eq!((closed.kind(), closed.advice()), (ErrorKind::Unreachable, Advice::GiveUp));
    clients_are(cluster.nodes(), 0).await;
}
