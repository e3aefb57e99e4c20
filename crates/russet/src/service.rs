use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{backoff::Backoff, error::Result};

/// A background loop: the one shape of every reconnecter, sweeper, reaper and renewer.
///
/// The loop runs its round, rests as the round says, and runs it again. A round that fails is logged and
/// tried again with backoff: no loop ends on an error. Dropping the service stops it.
pub(crate) struct Service {
    stop: CancellationToken,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
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
    pub(crate) fn start<F, R>(name: &'static str, mut round: F) -> Self
    where
        F: FnMut(Signals) -> R + Send + 'static,
        R: Future<Output = Result<Rest>> + Send,
    {
        let signals = Signals { stop: CancellationToken::new(), wake: Arc::default() };
        let Signals { stop, wake } = signals.clone();
        let task = tokio::spawn(async move {
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
        });
        Self { stop, wake, task }
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
    pub(crate) async fn join(mut self) {
        self.stop();
        // A panic of the loop is its own report: there is nothing to clean up here.
        let _ = (&mut self.task).await;
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
