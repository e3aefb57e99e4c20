//! Whether a claim is still ours, by what this process knows: it gives up before the server could give the tasks to others.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The lease of one claim, shared by its tasks.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) fence: u64,
    /// Until when no one else can have the tasks.
    safe_until: Mutex<Instant>,
    /// Lost, or the worker ends.
    over: CancellationToken,
}

impl Lease {
    /// A lease of this length, asked for at this moment: the server counts from a later one.
    pub(super) fn new(
        fence: u64,
        asked: Instant,
        length: Duration,
        end: &CancellationToken,
    ) -> Self {
        let safe_until = Mutex::new(asked + safe(length));
        Self { fence, safe_until, over: end.child_token() }
    }

    /// Renewed by a call that was sent at this moment.
    pub(super) fn renewed(&self, asked: Instant, length: Duration) {
        *self.safe_until.lock().unwrap_or_else(PoisonError::into_inner) = asked + safe(length);
    }

    /// The server says that it is not ours any more.
    pub(super) fn lose(&self) {
        *self.safe_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.over.cancel();
    }

    pub(super) fn is_lost(&self) -> bool {
        Instant::now() >= self.until()
    }

    fn until(&self) -> Instant {
        *self.safe_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work while the lease is ours; none when it is not, or when the worker ends. It is looked at before each poll
    /// of the work, so that a process that was stopped does not go on with it.
    pub(super) async fn hold<F: Future>(&self, mut work: Pin<&mut F>) -> Option<F::Output> {
        // Made when the work does not end at once, as most does.
        let mut ends = None;
        poll_fn(|context| {
            loop {
                if self.over.is_cancelled() || self.is_lost() {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(Some(done));
                }
                let (over, end) = ends.get_or_insert_with(|| {
                    (Box::pin(self.over.cancelled()), Box::pin(sleep_until(self.until())))
                });
                if over.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
                if end.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                end.as_mut().reset(self.until());
            }
        })
        .await
    }
}

/// What may be believed of a lease: two clocks do not go alike.
fn safe(length: Duration) -> Duration {
    length - length / 100
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_lease_and_goes_on_with_a_renewed_one() {
        let second = Duration::from_secs(1);
        let end = CancellationToken::new();
        let lease = Lease::new(1, Instant::now(), second, &end);
        assert_eq!(lease.hold(pin!(tokio::time::sleep(2 * second))).await, None);
        let lease = Lease::new(1, Instant::now(), second, &end);
        let renewing = async {
            for _ in 0..4 {
                tokio::time::sleep(second / 2).await;
                lease.renewed(Instant::now(), second);
            }
        };
        let work = pin!(tokio::time::sleep(2 * second));
        let (done, ()) = tokio::join!(lease.hold(work), renewing);
        assert_eq!(done, Some(()));
        end.cancel();
        assert_eq!(lease.hold(pin!(std::future::pending::<()>())).await, None);
        assert!(!lease.is_lost());
    }

    #[tokio::test]
    async fn work_is_not_polled_once_more_when_the_lease_has_ended() {
        let end = CancellationToken::new();
        let lease = Lease::new(1, Instant::now(), Duration::from_secs(60), &end);
        lease.lose();
        let polled = lease.hold(pin!(async { panic!("polled") })).await;
        assert!(polled.is_none() && lease.is_lost());
    }
}
