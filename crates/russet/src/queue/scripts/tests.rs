//! What each line of the queue's scripts is for: mutants of them do what the line prevents. And what a batch costs, exactly.

use bytes::Bytes;

use super::*;
use crate::{keys::Namespace, queue::stats::Counting, testing::TestServer};

const LONG: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(1);

struct Scene {
    _server: TestServer,
    russet: Russet,
    place: Place,
    id: TaskId,
}

/// A queue with one task that is ready.
async fn scene() -> Scene {
    let server = TestServer::start().await.unwrap();
    let russet = Russet::connect(&server.url()).await.unwrap();
    let slot = Slot::of(&Namespace::new("test").unwrap(), "queue", "mutants").unwrap();
    let (place, id) = (Place::new(slot), TaskId::new(1, 0));
    let body = Bytes::from_static(b"{}");
    let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
    let task = [(id, record.write())];
    enqueue(&russet, &place, Single::default(), When::default(), &task).await.unwrap();
    Scene { _server: server, russet, place, id }
}

impl Scene {
    async fn turn(
        &self,
        scripts: Scripts,
        claimant: &str,
        most: usize,
        lease: Duration,
        settlements: &[Settlement],
    ) -> Turned {
        let is_whole = &|_, _| false;
        self.turn_of(scripts, claimant, most, lease, settlements, is_whole).await
    }

    /// A turn of a worker that thinks so of what makes a whole claim.
    async fn turn_of(
        &self,
        scripts: Scripts,
        claimant: &str,
        most: usize,
        lease: Duration,
        settlements: &[Settlement],
        is_whole: &(dyn Fn(u64, usize) -> bool + Sync),
    ) -> Turned {
        let waits = Waits::default();
        let kept = Kept { cancelled: LONG, most: 10, most_bytes: 1_000 };
        let turn = Turn { most, lease, claimant, waits, kept, settlements, is_whole };
        turn_by(scripts, &self.russet, &self.place, turn).await.unwrap()
    }

    /// Claims with this script until there is something, for a while.
    async fn claim(&self, scripts: Scripts, claimant: &str, lease: Duration) -> Option<u64> {
        for _ in 0..100 {
            let turned = self.turn(scripts, claimant, 1, lease, &[]).await;
            if !turned.claimed.is_empty() {
                return Some(turned.fence);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    fn ack(&self, fence: u64) -> [Settlement; 1] {
        let verdict = Verdict::Ack { attempt: 1 };
        let kind = Counting::new("mutants").kind("task");
        [Settlement { id: self.id, fence, unique: None, verdict, kind }]
    }
}

/// The script with one line changed.
fn mutant(of: &'static Script, from: &str, to: &str) -> &'static Script {
    assert_eq!(of.source.matches(from).count(), 1, "{from}");
    let source = of.source.replace(from, to).leak();
    Box::leak(Box::new(Script::new("mutant", source, "allow-oom")))
}

fn with_turn(from: &str, to: &str) -> Scripts {
    Scripts { turn: mutant(&TURN, from, to), ..SCRIPTS }
}

/// Whether the ack of a worker whose lease ended, and whose task another one has, does anything.
async fn a_late_ack_settles(scripts: Scripts) -> bool {
    let scene = scene().await;
    let late = scene.claim(SCRIPTS, "late", BRIEF).await.unwrap();
    let current = scene.claim(SCRIPTS, "current", LONG).await.unwrap();
    assert!(current > late);
    let settled = scene.turn(scripts, "late", 0, LONG, &scene.ack(late)).await.settled;
    let is_there =
        scene.turn(SCRIPTS, "current", 0, LONG, &scene.ack(current)).await.settled == [true];
    assert_ne!(settled == [true], is_there, "one of them settles");
    settled == [true]
}

#[tokio::test]
async fn a_late_ack_changes_nothing() {
    assert!(!a_late_ack_settles(SCRIPTS).await);
}

#[tokio::test]
async fn without_its_token_check_a_late_ack_would_take_the_task_from_another_worker() {
    let check = "if held[j] == claim then";
    assert!(a_late_ack_settles(with_turn(check, "if held[j] then")).await);
}

/// Whether a second worker gets a task that the first one holds.
async fn a_held_task_is_given_to_another(scripts: Scripts) -> bool {
    let scene = scene().await;
    scene.claim(scripts, "first", LONG).await.unwrap();
    scene.claim(scripts, "second", LONG).await.is_some()
}

#[tokio::test]
async fn a_held_task_is_nobody_elses() {
    assert!(!a_held_task_is_given_to_another(SCRIPTS).await);
}

#[tokio::test]
async fn without_its_look_at_the_time_the_reaper_would_give_away_what_is_held() {
    let always = with_turn("  if tonumber(lease[2]) <= now then is_dead", "  if true then is_dead");
    assert!(!a_held_task_is_given_to_another(always).await, "the reaper looks itself");
    let reap = mutant(&REAP, " or tonumber(lease[2]) > now then", " then");
    assert!(a_held_task_is_given_to_another(Scripts { reap, ..always }).await);
}

/// Whether the task of a worker that died comes to another one.
async fn an_orphan_comes_back(scripts: Scripts) -> bool {
    let scene = scene().await;
    scene.claim(scripts, "dies", BRIEF).await.unwrap();
    scene.claim(scripts, "lives", LONG).await.is_some()
}

#[tokio::test]
async fn the_task_of_a_dead_worker_comes_back() {
    assert!(an_orphan_comes_back(SCRIPTS).await);
}

#[tokio::test]
async fn without_its_lease_a_claimed_task_would_be_lost_with_its_worker() {
    let lease = "  redis.call('ZADD', leases, now + ARGV[2], claim .. ' ' .. ARGV[3])\n";
    assert!(!an_orphan_comes_back(with_turn(lease, "")).await);
}

/// What is left of the claim of three tasks: how many run, and what stands of them, after one is acknowledged, a second
/// one, and the last one is given back.
async fn left_after_each_part(scripts: Scripts) -> Vec<(i64, i64, i64)> {
    let scene = scene().await;
    let Scene { _server: server, russet, place, id } = &scene;
    let body = Bytes::from_static(b"{}");
    let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
    let more: Vec<_> = (2..4).map(|n| (TaskId::new(n, 0), record.write())).collect();
    enqueue(russet, place, Single::default(), When::default(), &more).await.unwrap();
    let held = scene.turn(scripts, "worker", 3, LONG, &[]).await;
    assert_eq!(held.claimed.len(), 3);
    let kind = Counting::new("mutants").kind("task");
    let settle =
        |id, fence, verdict| Settlement { id, fence, unique: None, verdict, kind: kind.clone() };
    let ack = || Verdict::Ack { attempt: 1 };
    let parts = [
        // With one that is of no claim: it takes nothing from the others.
        vec![settle(*id, held.fence, ack()), settle(TaskId::new(9, 0), held.fence, ack())],
        vec![settle(more[0].0, held.fence, ack())],
        vec![settle(more[1].0, held.fence, Verdict::Release)],
    ];
    let mut left = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let settled = scene.turn(scripts, "worker", 0, LONG, part).await.settled;
        assert_eq!(settled, if at == 0 { vec![true, false] } else { vec![true] });
        let key = |part: &str| format!("test:{{queue:mutants}}:{part}");
        let fields = server.command(&["HLEN", &key("running")]).await.unwrap();
        let leases = server.command(&["ZCARD", &key("leases")]).await.unwrap();
        let (fields, leases) = (fields.int().unwrap(), leases.int().unwrap());
        let running = counts(russet, place).await.unwrap().0[2];
        left.push((running, fields, leases));
    }
    left
}

const IN_PARTS: [(i64, i64, i64); 3] = [(2, 3, 1), (1, 2, 1), (0, 0, 0)];

#[tokio::test]
async fn a_claim_that_is_settled_in_parts_ends_with_its_last_task() {
    assert_eq!(left_after_each_part(SCRIPTS).await, IN_PARTS);
}

#[tokio::test]
async fn without_any_line_of_its_book_keeping_something_of_a_claim_would_stay() {
    for line in [
        "  if #left > 0 then redis.call('HSET', running, unpack(left)) end\n",
        "  redis.call('HDEL', running, unpack(acked))\n",
    ] {
        assert_ne!(left_after_each_part(with_turn(line, "")).await, IN_PARTS, "{line}");
    }
    for line in [
        "redis.call('HDEL', running, unpack(settled))\n",
        "settle_claims(counts, ARGV[1])\n",
        "      redis.call('HDEL', running, claim)\n",
        "      redis.call('ZREM', leases, claim .. ' ' .. claimant)\n",
    ] {
        let settle = mutant(&SETTLE, line, "");
        let left = left_after_each_part(Scripts { settle, ..SCRIPTS }).await;
        assert_ne!(left, IN_PARTS, "{line}");
    }
}

/// What is left when two tasks of a claim are acknowledged as a whole, of which one was given back before: whether they
/// were settled, how many run, and whether the other one is still there.
async fn a_claim_as_a_whole(scripts: Scripts, gives_back: bool) -> (bool, i64, bool) {
    let scene = scene().await;
    let Scene { russet, place, id, .. } = &scene;
    let body = Bytes::from_static(b"{}");
    let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
    let other = TaskId::new(2, 0);
    let more = [(other, record.write())];
    enqueue(russet, place, Single::default(), When::default(), &more).await.unwrap();
    let held = scene.turn(scripts, "worker", 2, LONG, &[]).await;
    assert_eq!(held.claimed.len(), 2);
    let kind = Counting::new("mutants").kind("task");
    let settle = |id, verdict| {
        let (unique, kind) = (None, kind.clone());
        Settlement { id, fence: held.fence, unique, verdict, kind }
    };
    if gives_back {
        let back = [settle(other, Verdict::Release)];
        assert_eq!(scene.turn(scripts, "worker", 0, LONG, &back).await.settled, [true]);
    }
    let both = [*id, other].map(|id| settle(id, Verdict::Ack { attempt: 1 }));
    let is_whole = |fence, tasks| fence == held.fence && tasks == 2;
    let turned = scene.turn_of(scripts, "worker", 0, LONG, &both, &is_whole).await;
    assert_eq!(turned.settled[0], turned.settled[1]);
    let running = counts(russet, place).await.unwrap().0[2];
    let is_there = status(russet, place, other).await.unwrap()[0] != b"unknown";
    (turned.settled[0], running, is_there)
}

#[tokio::test]
async fn a_claim_is_acknowledged_as_a_whole_only_as_long_as_none_of_its_tasks_was_settled() {
    assert_eq!(a_claim_as_a_whole(SCRIPTS, false).await, (true, 0, false));
    assert_eq!(a_claim_as_a_whole(SCRIPTS, true).await, (false, 1, true));
}

#[tokio::test]
async fn without_its_look_at_the_number_a_task_that_was_given_back_would_be_lost() {
    let look = " and #entry == before + 22 * string.sub(entry, 1, before - 1) then";
    let (is_settled, _, is_there) = a_claim_as_a_whole(with_turn(look, " then"), true).await;
    assert!(is_settled && !is_there);
}

#[tokio::test]
async fn without_the_end_of_its_lease_a_claim_that_is_over_would_be_looked_at_as_a_dead_one() {
    let line = "  if #finished > 0 then redis.call('ZREM', leases, unpack(finished)) end\n";
    let counted = a_claim_as_a_whole(with_turn(line, ""), false).await;
    assert_ne!(counted, (true, 0, false));
}

/// How often a turn looks at the lists that has 2,500 cancelled tasks before it, by how many it wants, and how many turns
/// it takes to come to the one behind them.
async fn looks_behind_cancelled_ones(scripts: Scripts, most: usize) -> (u64, usize) {
    let scene = scene().await;
    let Scene { _server: server, russet, place, .. } = &scene;
    let body = Bytes::from_static(b"{}");
    let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
    let tasks: Vec<_> = (2..=2_502).map(|n| (TaskId::new(n, 0), record.write())).collect();
    for tasks in tasks.chunks(1_000) {
        enqueue(russet, place, Single::default(), When::default(), tasks).await.unwrap();
    }
    let kept = Kept { cancelled: Duration::ZERO, most: 10, most_bytes: 1_000 };
    let before = tasks[..tasks.len() - 1].iter().map(|(id, _)| *id);
    for id in before.chain([scene.id]) {
        assert_eq!(cancel(russet, place, id, kept).await.unwrap(), "cancelled");
    }
    let mut looks = 0;
    for turns in 1..20 {
        commands(server).await;
        let claimed = scene.turn(scripts, "worker", most, LONG, &[]).await.claimed;
        let stats = commands(server).await.1;
        let calls = stats.split("(\"lmpop\", ").nth(1).and_then(|rest| rest.split(')').next());
        looks = looks.max(calls.unwrap().parse().unwrap());
        if !claimed.is_empty() {
            return (looks, turns);
        }
    }
    panic!("the task behind them was not found");
}

#[tokio::test]
async fn a_turn_passes_over_a_thousand_cancelled_tasks_and_no_more() {
    assert_eq!(looks_behind_cancelled_ones(SCRIPTS, 1).await, (1_000, 3));
    assert_eq!(looks_behind_cancelled_ones(SCRIPTS, 100).await, (10, 3));
    let bound = with_turn(" or ghosts >= 1000\nend", "\nend");
    assert_eq!(looks_behind_cancelled_ones(bound, 1).await, (2_502, 1));
}

/// What the server has run since the last look, its own statistics left out.
async fn commands(server: &TestServer) -> (u64, String) {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let mut lines: Vec<_> = stats
        .text()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .filter_map(|(name, rest)| Some((name, rest.split(',').next()?.parse::<u64>().ok()?)))
        .filter(|(name, _)| !["info", "config|resetstat", "ping"].contains(name))
        .collect();
    lines.sort_unstable();
    let sum = (lines.iter().map(|(_, calls)| calls).sum(), format!("{lines:?}"));
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    sum
}

/// What each step may cost when its batch is full; exact, whatever the machine does.
#[tokio::test]
async fn a_task_costs_the_commands_that_its_budget_allows() {
    let scene = scene().await;
    let Scene { _server: server, russet, place, .. } = &scene;
    let batch = |tasks: u64| {
        let body = Bytes::from_static(b"{}");
        let record = Record { name: "task".into(), max_attempts: 5, body, ..Record::default() };
        (0..tasks).map(|n| (TaskId::new(n as i64, 0), record.write())).collect::<Vec<_>>()
    };
    let put = async |tasks: &[(TaskId, Vec<u8>)]| {
        enqueue(russet, place, Single::default(), When::default(), tasks).await.unwrap();
    };
    // One claim is under way, as in a worker that is never idle; and each script is known.
    put(&batch(49)).await;
    put(&batch(50)).await;
    let mut held = scene.turn(SCRIPTS, "worker", 50, LONG, &[]).await;
    let kind = Counting::new("mutants").kind("task");
    let acks = |held: &Turned| -> Vec<Settlement> {
        let fence = held.fence;
        let ids = held.claimed.iter().map(|(id, _)| *id);
        let ack = |id| {
            let verdict = Verdict::Ack { attempt: 1 };
            Settlement { id, fence, unique: None, verdict, kind: kind.clone() }
        };
        ids.map(ack).collect()
    };
    held = scene.turn(SCRIPTS, "worker", 50, LONG, &acks(&held)).await;
    assert_eq!(held.claimed.len(), 50);

    commands(server).await;
    put(&batch(1)).await;
    let (one, list) = commands(server).await;
    assert!(one <= 5, "enqueue one: {one}, {list}");
    put(&batch(50)).await;
    let (enqueued, list) = commands(server).await;
    println!("enqueue of 50: {enqueued}, {list}");
    assert!(enqueued <= 5, "enqueue of 50: {enqueued}, {list}");
    let next = scene.turn(SCRIPTS, "worker", 50, LONG, &acks(&held)).await;
    assert_eq!(next.claimed.len(), 50);
    let (worked, list) = commands(server).await;
    println!("claim and ack of 50: {worked}, {list}");
    assert!(worked <= 14, "claim and ack of 50: {worked}, {list}");
    assert!(enqueued + worked <= 18, "a whole life of 50: {enqueued} and {worked}");
}
