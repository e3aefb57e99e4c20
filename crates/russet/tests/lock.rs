//! Locks: who holds them, who learns what, and whose turn is next.

#![cfg(feature = "lock")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use russet::testing::{TestServer, eventually};
use russet::{
    ErrorKind, Extended, Lock, LockGuard, Owner, ReentrantLock, Released, Russet, metered, raw,
};
use support::{
    Stage, commands, needs_one_server, patient, patient_stage, refused_names, strange_names,
};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);

fn lock(russet: &Russet, name: &str) -> Lock {
    Lock::builder(russet, name).lease(LONG).build().unwrap()
}

/// A handle of another process, as far as a lock can tell.
async fn another(stage: &Stage) -> Russet {
    patient(&stage.server.url(), stage.russet.namespace()).await
}

/// Waits until so many processes are in line.
async fn in_line(lock: &Lock, processes: u64) {
    eventually(LONG, async || match lock.status().await.unwrap().waiting {
        waiting if waiting == processes => Ok(()),
        waiting => Err(format!("{waiting} wait")),
    })
    .await;
}

fn acquiring(lock: &Lock) -> JoinHandle<LockGuard> {
    let lock = lock.clone();
    tokio::spawn(async move { lock.acquire().await.unwrap() })
}

#[tokio::test]
async fn one_has_it_and_the_next_one_has_a_larger_fence() {
    let stage = patient_stage().await;
    let (here, there) = (lock(&stage.russet, "one"), lock(&another(&stage).await, "one"));
    let mut last = 0;
    for _ in 0..3 {
        for (holder, other) in [(&here, &there), (&there, &here)] {
            let guard = holder.acquire().await.unwrap();
            assert!(other.try_acquire().await.unwrap().is_none());
            assert!(holder.try_acquire().await.unwrap().is_none(), "not even its own process");
            assert!(guard.fence() > last && !guard.is_lost());
            last = guard.fence();
            assert_eq!(guard.release().await.unwrap(), Released::Done);
        }
    }
    assert_eq!(here.status().await.unwrap().holder, None);
    assert_eq!(here.status().await.unwrap().last_fence, last);
}

#[tokio::test]
async fn acquire_and_release_are_two_round_trips_and_ten_commands() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "cost").await;
    let lock = lock(&russet, "cost");
    let _ = lock.acquire().await.unwrap().release().await.unwrap();
    let (guard, sent) = metered(lock.acquire()).await;
    let (_, given_back) = metered(guard.unwrap().release()).await;
    assert_eq!((sent.round_trips, given_back.round_trips), (1, 1));

    let ground = support::Ground::One(Box::new(server));
    let before = commands(&ground).await;
    for _ in 0..100 {
        let _ = lock.acquire().await.unwrap().release().await.unwrap();
    }
    let commands = commands(&ground).await - before;
    println!("{:.2} commands a pair", commands as f64 / 100.0);
    assert!(commands <= 1_000, "{commands} commands of 100 pairs");
}

#[tokio::test]
async fn a_lock_that_ends_with_its_lease_is_lost_before_another_one_has_it() {
    let stage = patient_stage().await;
    let lease = Duration::from_millis(300);
    let brief = Lock::builder(&stage.russet, "brief").lease(lease).watchdog(false);
    let first = brief.build().unwrap().acquire().await.unwrap();
    let second = lock(&another(&stage).await, "brief").acquire().await.unwrap();
    assert!(first.is_lost() && second.fence() > first.fence());
    first.lost().await;
    assert_eq!(first.extend(LONG).await.unwrap(), Extended::Lost);
    assert_eq!(first.release().await.unwrap(), Released::Lost);
    assert!(!second.is_lost());
}

#[tokio::test]
async fn a_body_that_loses_the_lock_is_cancelled() {
    let stage = patient_stage().await;
    struct Told(Arc<Mutex<bool>>);
    impl Drop for Told {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let lease = Duration::from_millis(300);
    let brief = Lock::builder(&stage.russet, "body").lease(lease).watchdog(false).build().unwrap();
    let told = Told(Arc::default());
    let is_dropped = told.0.clone();
    let ended = brief
        .with(async |_| {
            let _told = told;
            pending::<()>().await;
        })
        .await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Lost);
    assert!(*is_dropped.lock().unwrap());
    let lock = lock(&stage.russet, "body");
    assert!(lock.with(async |held| held.fence() > 0).await.unwrap());
}

/// A handler of a web framework has to be `Send`.
#[tokio::test]
async fn a_body_runs_in_a_task() {
    let stage = patient_stage().await;
    let (lock, russet) = (lock(&stage.russet, "task"), stage.russet.clone());
    let task = tokio::spawn(async move {
        let held = lock.with(async |held| {
            raw::command(&russet, &["PING"]).await.unwrap();
            held.fence()
        });
        held.await
    });
    assert!(task.await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_holder_that_blocks_its_thread_keeps_the_lock() {
    let stage = patient_stage().await;
    // A renewal may be late by more than two seconds.
    let lease = Duration::from_secs(4);
    let held = Lock::builder(&stage.russet, "blocks").lease(lease).build().unwrap();
    let fence = held
        .with(async |held| {
            std::thread::sleep(Duration::from_secs(6));
            held.fence()
        })
        .await
        .unwrap();
    assert_eq!(held.status().await.unwrap().last_fence, fence, "nobody had it meanwhile");
}

#[tokio::test]
async fn a_dropped_guard_gives_the_lock_to_who_waits() {
    let stage = patient_stage().await;
    let (here, there) = (lock(&stage.russet, "dropped"), lock(&another(&stage).await, "dropped"));
    let first = here.acquire().await.unwrap();
    let waits = acquiring(&there);
    in_line(&here, 1).await;
    drop(first);
    // Long before its lease would have ended.
    let second = tokio::time::timeout(LONG / 2, waits).await.unwrap().unwrap();
    drop(second);
    assert!(here.try_acquire_for(LONG / 2).await.unwrap().is_some());
}

#[tokio::test]
async fn processes_take_turns_and_so_do_the_callers_of_each() {
    let stage = patient_stage().await;
    let a = lock(&stage.russet, "turns");
    let (b, c) = (lock(&another(&stage).await, "turns"), lock(&another(&stage).await, "turns"));
    let first = a.acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let take = |who: &'static str, lock: &Lock| {
        let (lock, order) = (lock.clone(), order.clone());
        tokio::spawn(async move {
            let guard = lock.acquire().await.unwrap();
            order.lock().unwrap().push((who, guard.fence()));
            assert_eq!(guard.release().await.unwrap(), Released::Done);
        })
    };
    let mut all = vec![take("b1", &b)];
    in_line(&a, 1).await;
    all.push(take("b2", &b));
    // In line in their own process only; two calls, so that the second one is behind.
    assert!(b.try_acquire_for(Duration::from_millis(1)).await.unwrap().is_none());
    all.push(take("b3", &b));
    all.push(take("c1", &c));
    in_line(&a, 2).await;
    all.push(take("a2", &a));
    in_line(&a, 3).await;
    assert_eq!(first.release().await.unwrap(), Released::Done);
    for one in all {
        one.await.unwrap();
    }
    let order = order.lock().unwrap().clone();
    let names: Vec<_> = order.iter().map(|(who, _)| *who).collect();
    assert_eq!(names, ["b1", "c1", "a2", "b2", "b3"]);
    assert!(order.is_sorted_by_key(|(_, fence)| *fence));
}

#[tokio::test]
async fn who_waits_sends_nothing_while_the_lock_is_held() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let (one, two) = (patient(&server.url(), "x").await, patient(&server.url(), "x").await);
    let (here, there) = (lock(&one, "silent"), lock(&two, "silent"));
    let guard = here.acquire().await.unwrap();
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let lock = if n % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move { lock.acquire().await?.release().await })
        })
        .collect();
    in_line(&here, 2).await;
    let sent =
        async || server.calls("evalsha").await.unwrap() + server.calls("eval").await.unwrap();
    let before = sent().await;
    // Time has to pass for nothing to happen in it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sent().await, before);
    drop(guard);
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap(), Released::Done);
    }
}

#[tokio::test]
async fn a_place_in_line_is_renewed_once_in_half_of_its_time() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let (one, two) = (patient(&server.url(), "x").await, patient(&server.url(), "x").await);
    let holder = lock(&one, "renewed");
    let held = holder.acquire().await.unwrap();
    let lease = Duration::from_secs(2);
    let waits = acquiring(&Lock::builder(&two, "renewed").lease(lease).build().unwrap());
    in_line(&holder, 1).await;
    let (before, began) = (server.calls("evalsha").await.unwrap(), Instant::now());
    eventually(LONG, async || match server.calls("evalsha").await.unwrap() - before {
        renewals if renewals >= 3 => Ok(()),
        renewals => Err(format!("{renewals} renewals")),
    })
    .await;
    let took = began.elapsed();
    assert!(took > lease / 2, "three renewals within {took:?}");
    in_line(&holder, 1).await;
    assert_eq!(held.release().await.unwrap(), Released::Done);
    assert_eq!(waits.await.unwrap().release().await.unwrap(), Released::Done);
}

#[tokio::test]
async fn a_waiter_that_is_gone_is_passed_over() {
    let stage = patient_stage().await;
    let a = lock(&stage.russet, "gone");
    let (other, third) = (another(&stage).await, another(&stage).await);
    let first = a.acquire().await.unwrap();
    let gone = {
        let lock = lock(&other, "gone");
        tokio::spawn(async move { lock.acquire().await.map(|_| ()) })
    };
    in_line(&a, 1).await;
    let waits = acquiring(&lock(&third, "gone"));
    in_line(&a, 2).await;
    // Its place stays: it cannot give it back.
    other.close().await;
    assert!(gone.await.unwrap().is_err());
    assert_eq!(first.release().await.unwrap(), Released::Done);
    let second = tokio::time::timeout(LONG / 2, waits).await.expect("not for a whole lease");
    assert!(!second.unwrap().is_lost());
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_place() {
    let stage = patient_stage().await;
    let (here, there) = (lock(&stage.russet, "up"), lock(&another(&stage).await, "up"));
    let guard = here.acquire().await.unwrap();
    let aborted = acquiring(&there);
    in_line(&here, 1).await;
    aborted.abort();
    in_line(&here, 0).await;
    assert!(there.try_acquire_for(Duration::from_millis(50)).await.unwrap().is_none());
    in_line(&here, 0).await;
    assert!(!guard.is_lost());
    assert_eq!(guard.release().await.unwrap(), Released::Done);
    assert!(there.try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn the_fence_grows_when_the_keys_are_lost() {
    let stage = patient_stage().await;
    let lock = lock(&stage.russet, "fence");
    let mut last = 0;
    for _ in 0..3 {
        let guard = lock.acquire().await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        stage.server.command(&["DEL", &stage.key("lock:fence", "record")]).await.unwrap();
        assert_eq!(guard.release().await.unwrap(), Released::Lost);
    }
    // A counter that is ahead of the clock, as after the clock was set back, is not left behind either.
    let ahead = 4_000_000_000_000_000_u64;
    let record = format!("V1;owner=;fence={ahead};since=0;until=0;entries=");
    stage.server.command(&["SET", &stage.key("lock:fence", "record"), &record]).await.unwrap();
    assert_eq!(lock.acquire().await.unwrap().fence(), ahead + 1);
}

#[tokio::test]
async fn the_fence_grows_over_a_restart_without_data() {
    if needs_one_server() {
        return;
    }
    let server = TestServer::start().await.unwrap();
    let russet = patient(&server.url(), "x").await;
    let lock = lock(&russet, "restart");
    let first = lock.acquire().await.unwrap();
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    let second = eventually(LONG, async || lock.acquire().await).await;
    assert!(second.fence() > first.fence());
    assert_eq!(first.extend(LONG).await.unwrap(), Extended::Lost);
    assert!(first.is_lost() && !second.is_lost());
}

#[tokio::test]
async fn a_lock_that_was_taken_away_is_lost_with_the_next_renewal() {
    let stage = patient_stage().await;
    let lease = Duration::from_secs(3);
    let here = Lock::builder(&stage.russet, "force").lease(lease).build().unwrap();
    let there = lock(&another(&stage).await, "force");
    let guard = here.acquire().await.unwrap();
    let waits = acquiring(&there);
    in_line(&here, 1).await;
    assert!(!here.force_release(guard.fence() + 1).await.unwrap(), "another holder was meant");
    assert!(here.force_release(guard.fence()).await.unwrap());
    assert!(waits.await.unwrap().fence() > guard.fence());
    guard.lost().await;
    assert!(!here.force_release(guard.fence()).await.unwrap());
    let ended = guard.with(async |_| panic!("it is not begun")).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn extend_sets_the_time_that_is_left() {
    let stage = patient_stage().await;
    let lock = lock(&stage.russet, "extend");
    let guard = lock.acquire().await.unwrap();
    let left = async || lock.status().await.unwrap().holder.unwrap().left;
    assert_eq!(guard.extend(10 * LONG).await.unwrap(), Extended::Done);
    assert!(left().await > 9 * LONG);
    assert_eq!(guard.extend(LONG / 60).await.unwrap(), Extended::Done);
    assert!(left().await <= LONG / 60);
    guard.lost().await;
    for time in [Duration::ZERO, Duration::from_secs(86_401)] {
        assert_eq!(guard.extend(time).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_reentrant_lock_is_free_when_each_entry_was_given_back() {
    let stage = patient_stage().await;
    let build = |russet| ReentrantLock::builder(russet, "again").lease(LONG).build().unwrap();
    let (here, there) = (build(&stage.russet), build(&another(&stage).await));
    let plain = lock(&stage.russet, "again");
    let outer = here.acquire().await.unwrap();
    let inner = outer.reenter().await.unwrap();
    let other_process = there.enter_as(&outer.owner()).await.unwrap().expect("it holds the lock");
    assert_eq!((inner.fence(), other_process.fence()), (outer.fence(), outer.fence()));
    assert_eq!(plain.status().await.unwrap().holder.unwrap().entries, 3);

    // Given back in any order, also from another task.
    let owner = outer.owner();
    assert_eq!(outer.release().await.unwrap(), Released::Done);
    let released = tokio::spawn(inner.release()).await.unwrap().unwrap();
    assert_eq!(released, Released::Done);
    assert!(
        here.try_acquire().await.unwrap().is_none() && plain.try_acquire().await.unwrap().is_none()
    );
    assert_eq!(other_process.release().await.unwrap(), Released::Done);
    assert!(there.enter_as(&owner).await.unwrap().is_none(), "the owner has it no more");
    let next = plain.try_acquire().await.unwrap().expect("it is free");
    assert!(there.enter_as(&owner).await.unwrap().is_none());
    drop(next);
}

#[tokio::test]
async fn a_guard_of_a_lost_lock_enters_nothing() {
    let stage = patient_stage().await;
    let again = ReentrantLock::builder(&stage.russet, "lost").lease(LONG).build().unwrap();
    let outer = again.acquire().await.unwrap();
    assert!(lock(&stage.russet, "lost").force_release(outer.fence()).await.unwrap());
    assert_eq!(outer.reenter().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(outer.is_lost());
}

#[tokio::test]
async fn a_lock_is_entered_255_times_and_not_once_more() {
    let stage = patient_stage().await;
    let deep = ReentrantLock::builder(&stage.russet, "deep").lease(LONG).build().unwrap();
    let mut entries = vec![deep.acquire().await.unwrap()];
    for _ in 1..255 {
        let next = entries[0].reenter().await.unwrap();
        entries.push(next);
    }
    let error = entries[0].reenter().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(!entries[0].is_lost(), "too deep is not lost");
    for entry in entries {
        assert_eq!(entry.release().await.unwrap(), Released::Done);
    }
    assert!(deep.try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn an_owner_can_be_passed_on_and_is_not_shown() {
    let stage = patient_stage().await;
    let again = ReentrantLock::builder(&stage.russet, "owner").build().unwrap();
    let owner = again.acquire().await.unwrap().owner();
    assert_eq!(owner.to_string().parse::<Owner>().unwrap(), owner);
    assert_eq!(format!("{owner:?}"), "Owner(..)");
    for wrong in ["", "x", "0123456789abcdef0123456789abcde+", "0123456789abcdef0123456789abcdef0"]
    {
        assert_eq!(wrong.parse::<Owner>().unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
    }
}

#[tokio::test]
async fn names_and_leases_out_of_range_are_refused_and_strange_names_are_locks_of_their_own() {
    let stage = patient_stage().await;
    for name in refused_names() {
        assert_eq!(
            Lock::builder(&stage.russet, &name).build().unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    for lease in [Duration::ZERO, Duration::from_millis(99), Duration::from_secs(86_401)] {
        let built = Lock::builder(&stage.russet, "x").lease(lease).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Invalid, "{lease:?}");
    }
    let mut all = Vec::new();
    for name in strange_names() {
        let guard = lock(&stage.russet, &name).try_acquire().await.unwrap();
        all.push(guard.expect("no other name is this lock"));
    }
    for guard in all {
        assert_eq!(guard.release().await.unwrap(), Released::Done);
    }
    // Nothing is left but what ends by itself, a day after the lease at most.
    for key in stage.keys().await {
        assert!(key.expires_ms.is_some(), "{key:?}");
    }
}

#[tokio::test]
async fn a_record_of_another_version_is_left_as_it_is() {
    let stage = patient_stage().await;
    let lock = lock(&stage.russet, "foreign");
    let key = stage.key("lock:foreign", "record");
    stage.server.command(&["SET", &key, "V2;who knows"]).await.unwrap();
    assert!(lock.try_acquire().await.is_err() && lock.status().await.is_err());
    let there = stage.server.command(&["GET", &key]).await.unwrap();
    assert_eq!(there.text(), Some("V2;who knows"));
}

#[tokio::test]
async fn callers_of_two_processes_never_have_it_together() {
    let stage = patient_stage().await;
    let (here, there) = (lock(&stage.russet, "many"), lock(&another(&stage).await, "many"));
    let key = stage.key("test:many", "count");
    let add = |lock: &Lock| {
        let (lock, russet, key) = (lock.clone(), stage.russet.clone(), key.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                let guard = lock.acquire().await.unwrap();
                // Read, and written after: without the lock some would be lost.
                let count = raw::command(&russet, &["GET", &key]).await.unwrap();
                let count: u64 = count.into_text().map_or(0, |count| count.parse().unwrap());
                raw::command(&russet, &["SET", &key, &(count + 1).to_string()]).await.unwrap();
                assert_eq!(guard.release().await.unwrap(), Released::Done);
            }
        })
    };
    let all: Vec<_> = (0..20).map(|n| add(if n % 2 == 0 { &here } else { &there })).collect();
    for one in all {
        one.await.unwrap();
    }
    let count = stage.server.command(&["GET", &key]).await.unwrap();
    assert_eq!(count.text(), Some("100"));
}
