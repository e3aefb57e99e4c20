//! The record store, the same claims for each kind: SQLite, and a real MariaDB server where there is one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test cannot do ends it")]

mod mariadb;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, join_all, try_join_all};
use mariadb::MariaDb;
use russet_app::db::{Admitted, Database, NewUser, OutboxMessage, QueuedWrite, User};
use tokio::sync::OnceCell;

/// Runs each claim on each kind of store.
macro_rules! claims {
    ($($claim:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                let folder = tempfile::tempdir().unwrap();
                super::$claim(&super::Database::url_in(folder.path())).await;
            })*
        }
        mod on_mariadb {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                if let Some(url) = super::fresh_mariadb().await {
                    super::$claim(&url).await;
                }
            })*
        }
    };
}
claims! {
    a_user_is_created_found_changed_and_deleted
    what_is_stored_comes_back_as_it_was
    of_many_who_put_one_id_one_made_it
    many_write_at_once_and_none_is_lost
    a_user_with_the_largest_id_does_not_end_all_creation
    a_batch_leaves_those_who_are_there
    a_list_goes_on_after_an_id
    a_write_leaves_a_note_until_a_later_write_removes_it
    an_older_queued_write_is_refused_also_after_a_delete
    many_flushers_leave_the_newest_of_each_user
    notes_grow_in_the_order_of_the_commits_of_a_user
    a_refused_id_leaves_nothing_and_a_taken_one_is_given_to_nobody
    a_milestone_is_passed_once
    a_task_leaves_one_message_and_an_order_one_owner
    several_processes_open_a_new_database_at_once
}

async fn a_task_leaves_one_message_and_an_order_one_owner(url: &str) {
    let db = Database::open(url).await.unwrap();
    let message = |task: &str, to: &str| OutboxMessage {
        task: task.to_owned(),
        kind: "email".to_owned(),
        recipient: to.to_owned(),
        subject: "欢迎".to_owned(),
        content: "Hello\n'Ada'; DROP TABLE outbox".to_owned(),
    };
    assert!(db.put_into_outbox(&message("A", "one")).await.unwrap());
    // At once, and later: the first one stays. Keys that differ in case are two.
    let same = [(); 8].map(|()| message("B", "two"));
    let many = join_all(same.iter().map(|one| db.put_into_outbox(one)));
    let new = many.await.into_iter().filter(|new| *new.as_ref().unwrap()).count();
    assert_eq!(new, 1);
    assert!(!db.put_into_outbox(&message("A", "other")).await.unwrap());
    assert!(db.put_into_outbox(&message("a", "three")).await.unwrap());
    let outbox = db.outbox(10).await.unwrap();
    assert_eq!(outbox, [message("a", "three"), message("B", "two"), message("A", "one")]);
    assert_eq!(db.outbox(1).await.unwrap().len(), 1);

    for order in ["1", "订单 1", "x"] {
        assert!(db.take_order(order, "task").await.unwrap());
        assert!(db.take_order(order, "task").await.unwrap(), "a second delivery of the same task");
        assert!(!db.take_order(order, "other").await.unwrap());
    }
    assert!(db.take_order("X", "other").await.unwrap());
}

async fn a_user_is_created_found_changed_and_deleted(url: &str) {
    let db = Database::open(url).await.unwrap();
    let ada = create(&db, &named("Ada")).await;
    assert_eq!(db.find_user(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(db.find_user(ada.id + 1).await.unwrap(), None);

    let (changed, new) = put(&db, ada.id, &named("Ada King")).await;
    assert!(!new && changed.name == "Ada King" && changed.created_at == ada.created_at);
    let (same, new) = put(&db, ada.id, &named("Ada King")).await;
    assert!(!new && same == changed, "a write that changes nothing makes nothing");
    let (grace, new) = put(&db, 700, &named("Grace")).await;
    assert!(new && grace.id == 700);
    assert_eq!(db.count_users().await.unwrap(), 2);

    assert!(db.delete_user(700, &[]).await.unwrap().outcome);
    assert!(!db.delete_user(700, &[]).await.unwrap().outcome);
    assert_eq!(db.find_user(700).await.unwrap(), None);
}

async fn what_is_stored_comes_back_as_it_was(url: &str) {
    let db = Database::open(url).await.unwrap();
    for (id, name) in (1..).zip(["李小龙", "🦀", "O'Brien \\ \"x\" %", "<b>", &"é".repeat(100)])
    {
        let user = NewUser {
            name: name.to_owned(),
            email: format!("{}@example.com", "e".repeat(60)),
            created_at: Some(1_795_645_839.723_243_2 + f64::from(id) / 7.0),
        };
        let (stored, _) = put(&db, id.into(), &user).await;
        assert_eq!((stored.name, stored.email), (user.name, user.email));
        assert_eq!(Some(stored.created_at), user.created_at, "to the last bit");
    }
}

async fn of_many_who_put_one_id_one_made_it(url: &str) {
    let db = Database::open(url).await.unwrap();
    for id in 1..=10 {
        let writers = (0..8).map(|number| {
            let db = db.clone();
            async move { put(&db, id, &named(&format!("writer {number}"))).await }
        });
        let outcomes = join_all(writers).await;
        assert_eq!(outcomes.iter().filter(|(_, new)| *new).count(), 1, "{outcomes:?}");
        let there = db.find_user(id).await.unwrap().unwrap();
        assert!(outcomes.iter().any(|(user, _)| *user == there), "{there:?}: {outcomes:?}");
    }
}

async fn many_write_at_once_and_none_is_lost(url: &str) {
    let db = Database::open(url).await.unwrap();
    let creations = (0..50).map(|number| {
        let db = db.clone();
        tokio::spawn(async move { create(&db, &named(&format!("user {number}"))).await })
    });
    let created = try_join_all(creations).await.unwrap();
    let mut ids: Vec<_> = created.iter().map(|user| user.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    assert_eq!(db.count_users().await.unwrap(), 50);
}

async fn a_user_with_the_largest_id_does_not_end_all_creation(url: &str) {
    let db = Database::open(url).await.unwrap();
    put(&db, i64::MAX, &named("Omega")).await;
    for name in ["Alpha", "Beta"] {
        let user = create(&db, &named(name)).await;
        assert!((1..i64::MAX).contains(&user.id), "{user:?}");
        assert_eq!(db.find_user(user.id).await.unwrap(), Some(user));
    }
}

async fn a_batch_leaves_those_who_are_there(url: &str) {
    let db = Database::open(url).await.unwrap();
    let (grace, _) = put(&db, 2, &named("Grace")).await;
    let batch: Vec<_> = (1..=3).map(|id| user(id, "batch")).collect();
    assert_eq!(db.insert_missing_users(&batch).await.unwrap(), 2);
    assert_eq!(db.insert_missing_users(&batch).await.unwrap(), 0);
    assert_eq!(db.find_user(2).await.unwrap(), Some(grace));
    assert_eq!(db.find_user(3).await.unwrap(), Some(user(3, "batch")));
}

async fn a_write_leaves_a_note_until_a_later_write_removes_it(url: &str) {
    let db = Database::open(url).await.unwrap();
    let first = db.put_user(1, &named("Ada"), &[]).await.unwrap();
    let second = db.delete_user(1, &[]).await.unwrap();
    let notes = db.stale_copies().await.unwrap();
    assert_eq!(notes, [(first.note, 1), (second.note, 1)]);
    let third = db.create_user(&named("Grace"), &[first.note, second.note]).await.unwrap();
    assert_eq!(db.stale_copies().await.unwrap(), [(third.note, third.outcome.id)]);
    assert!(third.note > second.note, "a number is never given twice");

    let all: Vec<_> = (1..=2_500).chain([third.note]).collect();
    let last = db.put_user(7, &named("Alan"), &all).await.unwrap();
    assert_eq!(db.stale_copies().await.unwrap(), [(last.note, 7)], "however many there are");
}

async fn an_older_queued_write_is_refused_also_after_a_delete(url: &str) {
    let db = Database::open(url).await.unwrap();
    let queue = async |id: i64, sequence: i64, name: Option<&str>| {
        let user = name.map(|name| user(id, name));
        db.write_queued(&[QueuedWrite { id, sequence, user: user.as_ref() }]).await.unwrap();
        db.find_user(id).await.unwrap().map(|user| user.name)
    };
    assert_eq!(queue(1, 10, Some("ten")).await.as_deref(), Some("ten"));
    assert_eq!(queue(1, 9, Some("nine")).await.as_deref(), Some("ten"));
    assert_eq!(queue(1, 12, None).await, None);
    assert_eq!(queue(1, 11, Some("eleven")).await, None, "a delete leaves its number");
    assert_eq!(queue(1, 13, Some("thirteen")).await.as_deref(), Some("thirteen"));
    assert_eq!(queue(1, 12, None).await.as_deref(), Some("thirteen"));

    // A batch is one write of each; a number that was written is not written again.
    let (two, three) = (user(2, "two"), user(3, "three"));
    let batch = [
        QueuedWrite { id: 3, sequence: 1, user: Some(&three) },
        QueuedWrite { id: 1, sequence: 12, user: None },
        QueuedWrite { id: 2, sequence: 5, user: Some(&two) },
    ];
    db.write_queued(&batch).await.unwrap();
    db.delete_user(3, &[]).await.unwrap();
    db.write_queued(&batch).await.unwrap();
    let listed = db.list_users(0, 10).await.unwrap();
    let names: Vec<_> = listed.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["thirteen", "two"]);
    db.write_queued(&[]).await.unwrap();
}

async fn many_flushers_leave_the_newest_of_each_user(url: &str) {
    let db = Database::open(url).await.unwrap();
    let flushers = (1..=20_i64).map(|sequence| {
        let db = db.clone();
        tokio::spawn(async move {
            let users: Vec<_> = (1..=20).map(|id| user(id, &format!("write {sequence}"))).collect();
            let mut writes: Vec<_> = users
                .iter()
                .map(|user| QueuedWrite { id: user.id, sequence, user: Some(user) })
                .collect();
            writes.rotate_left(sequence as usize);
            db.write_queued(&writes).await.unwrap();
        })
    });
    try_join_all(flushers).await.unwrap();
    let listed = db.list_users(0, 100).await.unwrap();
    assert_eq!(listed.len(), 20);
    assert!(listed.iter().all(|user| user.name == "write 20"), "{listed:?}");
}

/// What the versions of a cache that is written through rest on.
async fn notes_grow_in_the_order_of_the_commits_of_a_user(url: &str) {
    let db = Database::open(url).await.unwrap();
    for id in 1..=5 {
        let writers = (0..10).map(|number| {
            let db = db.clone();
            tokio::spawn(async move {
                db.put_user(id, &named(&format!("writer {number}")), &[]).await.unwrap()
            })
        });
        let written = try_join_all(writers).await.unwrap();
        let last = written.iter().max_by_key(|written| written.note).unwrap();
        assert_eq!(db.find_user(id).await.unwrap().as_ref(), Some(&last.outcome.0));
    }
}

async fn a_refused_id_leaves_nothing_and_a_taken_one_is_given_to_nobody(url: &str) {
    let db = Database::open(url).await.unwrap();
    let ada = named("Ada");
    let refuse = |_| std::future::ready(Admitted::No).boxed();
    assert_eq!(db.create_admitted_user(&ada, &[], &refuse).await.unwrap(), None);
    assert_eq!((db.count_users().await.unwrap(), db.stale_copies().await.unwrap()), (0, vec![]));
    let first = AtomicU32::new(0);
    let one_is_taken = |id: i64| {
        let taken = first.fetch_add(1, Ordering::Relaxed) == 0;
        assert!(taken || id > 1_000, "{id}");
        std::future::ready(if taken { Admitted::Taken } else { Admitted::Yes }).boxed()
    };
    let made = db.create_admitted_user(&ada, &[], &one_is_taken).await.unwrap().unwrap();
    let listed = db.list_users(0, 10).await.unwrap();
    assert_eq!(listed, [made.outcome]);
}

async fn a_milestone_is_passed_once(url: &str) {
    let db = Database::open(url).await.unwrap();
    assert!(!db.has_passed("first start").await.unwrap());
    for _ in 0..2 {
        db.pass("first start").await.unwrap();
        assert!(db.has_passed("first start").await.unwrap());
    }
    assert!(!db.has_passed("another").await.unwrap());
}

async fn a_list_goes_on_after_an_id(url: &str) {
    let db = Database::open(url).await.unwrap();
    let all: Vec<_> = (1..=5).map(|number| user(number * 10, "listed")).collect();
    db.insert_missing_users(&all).await.unwrap();
    assert_eq!(db.list_users(0, 2).await.unwrap(), all[..2]);
    assert_eq!(db.list_users(20, 2).await.unwrap(), all[2..4]);
    assert_eq!(db.list_users(40, 2).await.unwrap(), all[4..]);
    assert_eq!(db.list_users(50, 2).await.unwrap(), []);
}

async fn several_processes_open_a_new_database_at_once(url: &str) {
    let opened = join_all((0..8).map(|_| Database::open(url))).await;
    for db in opened {
        assert_eq!(db.unwrap().count_users().await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_what_it_acknowledged_over_a_kill_and_its_absence_is_told_in_time() {
    if mariadb::is_left_out() {
        return;
    }
    let mut server = MariaDb::start("killed").await;
    server.create("russet").await;
    let db = Database::open(&server.url("russet")).await.unwrap();
    assert_eq!(db.version().await.unwrap().kind, "mariadb");
    let ada = create(&db, &named("Ada")).await;

    server.kill().await;
    let asked = Instant::now();
    let error = db.find_user(ada.id).await.unwrap_err().to_string();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}: {error}", asked.elapsed());
    assert!(db.ping().await.is_err());

    server.restart().await;
    assert_eq!(db.find_user(ada.id).await.unwrap(), Some(ada));
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named_without_its_password() {
    let refused = async |url: &str| Database::open(url).await.unwrap_err().to_string();
    let away = refused("mysql://app:secret@127.0.0.1:1/russet").await;
    assert!(away.contains("mysql:russet at 127.0.0.1:1"), "{away}");
    let unnamed = refused("mysql://app:secret@127.0.0.1:1").await;
    assert!(unnamed.contains("names no database"), "{unnamed}");
    let odd = refused("postgres://app:secret@127.0.0.1/russet").await;
    for text in [away, unnamed, odd] {
        assert!(!text.contains("secret"), "{text}");
    }
    if let Some(url) = fresh_mariadb().await {
        let wrong = refused(&url.replace("p%40ss", "wrong")).await;
        assert!(wrong.contains("Access denied") && !wrong.contains("wrong"), "{wrong}");
        let absent = refused(&format!("{url}_absent")).await;
        assert!(absent.contains("Unknown database"), "{absent}");
    }
}

/// An empty database on the server that the tests of this file share.
async fn fresh_mariadb() -> Option<String> {
    static SERVER: OnceCell<MariaDb> = OnceCell::const_new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    if mariadb::is_left_out() {
        return None;
    }
    let server = SERVER.get_or_init(|| MariaDb::start("shared")).await;
    let name = format!("russet_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.create(&name).await;
    Some(server.url(&name))
}

async fn create(db: &Database, user: &NewUser) -> User {
    db.create_user(user, &[]).await.unwrap().outcome
}

async fn put(db: &Database, id: i64, user: &NewUser) -> (User, bool) {
    db.put_user(id, user, &[]).await.unwrap().outcome
}

fn named(name: &str) -> NewUser {
    NewUser { name: name.to_owned(), email: "someone@example.com".to_owned(), created_at: None }
}

fn user(id: i64, name: &str) -> User {
    let email = "someone@example.com".to_owned();
    User { id, name: name.to_owned(), email, created_at: 1_700_000_000.0 }
}
