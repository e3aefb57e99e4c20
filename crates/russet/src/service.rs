use std::{future::Future, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{backoff::Backoff, error::Result};

/// A background loop: the one shape of every reconnecter, sweeper, reaper and renewer.
///
/// The loop runs its round, rests as the round says, and runs it again. A round that fails is logged and
/// tried again with backoff: no loop ends on an error. Dropping the service stops it.
pub(crate) struct Service {
    stop: CancellationToken,
    wake: Arc<Notify>,
    running: TaskTracker,
}

/// What a round can listen to and pass on.
#[derive(Clone)]
pub(crate) struct Signals {
    /// The service is to end: a round that waits for long ends its wait.
    pub(crate) stop: CancellationToken,
    /// Ends the rest after the round.
    pub(crate) wake: Arc<Notify>,
}

/// How long the loop rests after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Until this time has passed, or somebody wakes the loop.
    For(Duration),
    /// Until somebody wakes the loop.
    UntilWoken,
}

const AFTER_ERROR: Backoff =
    Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500) };

impl Service {
    /// Starts the loop on the current runtime.
    pub(crate) fn start<F, R>(name: &'static str, round: F) -> Self
    where
        F: FnMut(Signals) -> R + Send + 'static,
        R: Future<Output = Result<Rest>> + Send,
    {
        Self::start_on(&Handle::current(), name, round)
    }

    /// Starts the loop on this runtime.
    pub(crate) fn start_on<F, R>(runtime: &Handle, name: &'static str, mut round: F) -> Self
    where
        F: FnMut(Signals) -> R + Send + 'static,
        R: Future<Output = Result<Rest>> + Send,
    {
        let signals = Signals { stop: CancellationToken::new(), wake: Arc::default() };
        let Signals { stop, wake } = signals.clone();
        let running = TaskTracker::new();
        let looping = async move {
            let mut failures = 0;
            while !signals.stop.is_cancelled() {
                let rest = match round(signals.clone()).await {
                    Ok(rest) => {
                        failures = 0;
                        rest
                    }
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(service = name, failures, %error, "a round failed");
                        Rest::For(AFTER_ERROR.delay(failures))
                    }
                };
                tokio::select! {
                    () = signals.stop.cancelled() => {}
                    () = signals.wake.notified() => {}
                    () = rest.over() => {}
                }
            }
        };
        running.spawn_on(looping, runtime);
        running.close();
        Self { stop, wake, running }
    }

    /// Ends the rest of the loop; the next round begins at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Asks the loop to end after its round; returns at once, and may be called again.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops the loop and waits for its end; the deadline is the caller's.
    pub(crate) async fn join(&self) {
        self.stop();
        self.running.wait().await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Rest {
    async fn over(self) {
        match self {
            Rest::For(rest) => tokio::time::sleep(rest).await,
            Rest::UntilWoken => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::Error;

    fn counting(rest: fn(u32) -> Result<Rest>) -> (Service, Arc<AtomicU32>) {
        let rounds = Arc::new(AtomicU32::new(0));
        let counted = rounds.clone();
        let service = Service::start("test", move |_| {
            let round = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move { rest(round) }
        });
        (service, rounds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_round_does_not_end_the_loop() {
        let (service, rounds) = counting(|round| match round {
            1..=5 => Err(Error::internal("as it should")),
            _ => Ok(Rest::UntilWoken),
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(rounds.load(Ordering::SeqCst), 6);
        service.join().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_loop_is_woken_and_stopped() {
        let (service, rounds) = counting(|_| Ok(Rest::UntilWoken));
        tokio::time::sleep(Duration::from_secs(1)).await;
        service.wake();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
        service.stop();
        service.stop();
        service.join().await;
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }
}
