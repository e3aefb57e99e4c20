//! The callers of one process who want the same lock: they take turns in the order in which they came, and only the first of
//! them has a place at the server.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turns, MutexGuard as Turn},
    time::{Instant, sleep_until},
};

use super::{
    Inner,
    scripts::{self, GRANT, Place},
};
use crate::{client::Russet, id::Id};

/// All lines of this process, by handle and lock, for as long as somebody has the lock's handle.
static LINES: LazyLock<Mutex<HashMap<String, Weak<Line>>>> = LazyLock::new(Mutex::default);

/// How much later than the end of a grant it is looked whether it was taken up.
const LATER: Duration = Duration::from_millis(50);

pub(super) struct Line {
    key: String,
    /// Tokio's mutex is fair: first come, first served.
    turns: Turns<()>,
    /// The lock was somebody else's when it was asked for last.
    is_contended: AtomicBool,
    watch: Mutex<Watch>,
}

/// When it is to be looked whether the last hand-over was taken up; none when nobody will look.
#[derive(Default)]
struct Watch {
    due: Option<Instant>,
}

impl Line {
    /// The line of a lock; the same for all handles of the lock on one handle of the server.
    pub(super) fn of(russet: &Russet, place: &Place) -> Arc<Self> {
        let key = [russet.inbox().channel(), " ", &place.key()].concat();
        let mut lines = lines();
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Self {
            key: key.clone(),
            turns: Turns::new(()),
            is_contended: AtomicBool::new(false),
            watch: Mutex::default(),
        });
        lines.insert(key, Arc::downgrade(&line));
        line
    }

    /// Waits until it is this caller's turn to ask the server.
    pub(super) async fn turn(&self) -> Turn<'_, ()> {
        self.turns.lock().await
    }

    pub(super) fn is_contended(&self) -> bool {
        self.is_contended.load(Ordering::Relaxed)
    }

    pub(super) fn found_contended(&self, is_contended: bool) {
        self.is_contended.store(is_contended, Ordering::Relaxed);
    }

    /// A release handed the lock to another process, which may stand still. When the grant is over it is looked once, from here,
    /// whether it was taken up; otherwise those who wait would learn of it only with their next renewal.
    pub(super) fn handed_over(&self, inner: &Arc<Inner>, owner: Id) {
        let due = Instant::now() + GRANT.min(inner.lease) + LATER;
        if self.watch().due.replace(due).is_some() {
            return;
        }
        let inner = inner.clone();
        inner.russet.clone().runtime().spawn(async move {
            while let Some(due) = inner.line.still_due() {
                sleep_until(due).await;
                let is_last = inner.line.watch().due == Some(due);
                if is_last && inner.is_handed_over_again(owner).await {
                    let again = Instant::now() + GRANT + LATER;
                    let mut watch = inner.line.watch();
                    watch.due = watch.due.max(Some(again));
                }
            }
        });
    }

    /// When to look; past that, it was looked.
    fn still_due(&self) -> Option<Instant> {
        let mut watch = self.watch();
        watch.due = watch.due.filter(|due| *due > Instant::now());
        watch.due
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Hands a lock over whose time has ended; one that was released long ago is nobody's to release.
    async fn is_handed_over_again(&self, owner: Id) -> bool {
        let freed = scripts::release(&self.russet, &self.place, owner, None).await;
        freed.is_ok_and(|freed| freed.was_handed_over)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = lines();
        // A new one may have taken its place.
        if lines.get(&self.key).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.key);
        }
    }
}

fn lines() -> MutexGuard<'static, HashMap<String, Weak<Line>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}
