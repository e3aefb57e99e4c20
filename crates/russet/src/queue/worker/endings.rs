//! What the handlers of a claim loop leave when they end. The loop is woken by the first one and by the last one, not by each
//! of them.

use std::{
    iter::repeat_with,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::queue::scripts::Settlement;

/// A handler has ended that was of this claim; with nothing to settle when its lease was lost.
pub(super) type Ending = (u64, Option<Settlement>);

/// A handler that runs. It has ended too when this is dropped, as by a panic in a destructor of the handler's: its task comes back
/// with the end of its lease.
pub(super) struct Running {
    endings: Arc<Endings>,
    fence: u64,
    has_ended: bool,
}

impl Running {
    pub(super) fn end(mut self, settlement: Option<Settlement>) {
        self.has_ended = true;
        self.endings.end(self.fence, settlement);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.endings.end(self.fence, None);
        }
    }
}

pub(super) struct Endings {
    left: Mutex<Vec<Ending>>,
    /// How many handlers have not ended.
    running: AtomicUsize,
    news: Notify,
    /// So many are not waited for any longer.
    enough: usize,
}

impl Endings {
    pub(super) fn new(enough: usize) -> Self {
        let (left, running, news) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Self { left, running, news, enough }
    }

    /// So many handlers of a claim begin; no more when some of them have ended.
    pub(super) fn begin(self: &Arc<Self>, fence: u64, handlers: usize) -> Vec<Running> {
        self.running.fetch_add(handlers, Ordering::AcqRel);
        let running = || Running { endings: self.clone(), fence, has_ended: false };
        repeat_with(running).take(handlers).collect()
    }

    fn end(&self, fence: u64, settlement: Option<Settlement>) {
        let mut left = self.lock();
        left.push((fence, settlement));
        let count = left.len();
        drop(left);
        let is_last = self.running.fetch_sub(1, Ordering::AcqRel) == 1;
        if count == 1 || count == self.enough || is_last {
            self.news.notify_one();
        }
    }

    /// Until there is something that was not taken; at times for nothing.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn are_there(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Until all have ended, or enough.
    pub(super) async fn all(&self) {
        while self.running.load(Ordering::Acquire) > 0 && self.lock().len() < self.enough {
            self.news.notified().await;
        }
    }

    pub(super) fn take(&self) -> Vec<Ending> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ending>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_first_one_the_last_one_and_the_one_that_makes_enough_are_told() {
        let endings = Arc::new(Endings::new(3));
        let is_told = || endings.news().now_or_never().is_some();
        let mut told = Vec::new();
        for running in endings.begin(1, 5) {
            running.end(None);
            told.push(is_told());
        }
        assert_eq!(told, [true, false, true, false, true]);
        assert_eq!(endings.take().len(), 5);
        let mut running = endings.begin(2, 2);
        drop(running.pop());
        assert!(is_told(), "the first one after they were taken, though it was only dropped");
        assert!(endings.all().now_or_never().is_none(), "one still runs");
        running.remove(0).end(None);
        assert!(endings.all().now_or_never().is_some());
    }
}
