//! `russet lock`: what an operator sees and takes away.

use std::time::Duration;

use russet::testing::eventually;
use russet::{Lock, Released};
use serde_json::json;

use super::operator::stage;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn locks_are_listed_with_their_holders_and_waiters() {
    let stage = stage("lock").await;
    assert_eq!(stage.text(&["ls"]).await, "nobody has a lock");
    let lock = |name: &str| Lock::builder(&stage.russet, name).lease(LONG * 10).build().unwrap();
    let guard = lock("import\u{1b}[2J").acquire().await.unwrap();
    let free = lock("nightly").acquire().await.unwrap();
    let last_fence = free.fence();
    assert_eq!(free.release().await.unwrap(), Released::Done);

    let listed = stage.json(&["ls"]).await;
    assert_eq!(listed["is_complete"], true);
    assert_eq!(listed["locks"].as_array().unwrap().len(), 1);
    let one = &listed["locks"][0];
    assert_eq!(
        (&one["name"], &one["holder"]["fence"]),
        (&json!("import\u{1b}[2J"), &json!(guard.fence()))
    );
    assert!(one["holder"]["left_ms"].as_u64() > Some(300_000), "{one}");
    let all = stage.json(&["ls", "--all"]).await;
    assert_eq!(all["locks"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&all["locks"][1]["name"], &all["locks"][1]["holder"]),
        (&json!("nightly"), &json!(null))
    );
    let text = stage.text(&["ls", "--all"]).await;
    assert!(
        text.starts_with("lock") && text.contains("free") && !text.contains('\u{1b}'),
        "{text}"
    );

    // One that waits in another process.
    let other = russet::Russet::builder().url(stage.url()).connect().await.unwrap();
    let waiting = Lock::builder(&other, "import\u{1b}[2J").build().unwrap();
    let waiting = tokio::spawn(async move { waiting.acquire().await.map(|guard| guard.fence()) });
    eventually(LONG, async || match lock("import\u{1b}[2J").status().await.unwrap().waiting {
        1 => Ok(()),
        n => Err(n),
    })
    .await;
    let shown = stage.json(&["show", "import\u{1b}[2J"]).await;
    assert_eq!(shown["waiting"], 1);
    assert!(stage.text(&["show", "import\u{1b}[2J"]).await.ends_with("; 1 waiting"));

    let (code, output) = stage.run(&["show", "nightly"]).await;
    let expected = format!("nobody has the lock; the last fence was {last_fence}");
    assert_eq!((code, output.trim()), (3, expected.as_str()));
    let (code, output) = stage.run(&["show", "never"]).await;
    assert!(code == 3 && output.contains("nobody had it for a day"), "{output}");
    assert_eq!(guard.release().await.unwrap(), Released::Done);
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_lock_is_taken_away_after_a_yes_and_from_whom_it_was_shown() {
    let stage = stage("lock").await;
    let lock = Lock::builder(&stage.russet, "import").lease(LONG * 10).build().unwrap();
    let stuck = lock.acquire().await.unwrap();
    let (code, output) = stage.run(&["force-release", "import"]).await;
    assert!(code == 2 && output.contains("--yes"), "nobody can be asked: {output}");
    let wrong = (stuck.fence() + 1).to_string();
    let (code, output) = stage.run(&["force-release", "import", "--yes", "--fence", &wrong]).await;
    assert!(code == 3 && output.contains("another one's"), "{output}");
    assert!(lock.try_acquire().await.unwrap().is_none(), "it is held all the time");

    let fence = stuck.fence().to_string();
    let words = ["force-release", "import", "--yes", "--fence", &fence];
    assert_eq!(stage.json(&words).await, json!({"released": true}));
    let next = lock.try_acquire().await.unwrap().expect("it is free");
    assert!(next.fence() > stuck.fence());
    assert_eq!(stage.text(&["force-release", "import", "--yes"]).await, "released");
    let (code, output) = stage.run(&["force-release", "import", "--yes"]).await;
    assert!(code == 3 && output.starts_with("nobody has the lock"), "{output}");
}
