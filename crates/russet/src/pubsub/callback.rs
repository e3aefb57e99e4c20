use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{runtime::Handle, sync::Mutex};

use super::{event::Event, subscription::Subscription};
use crate::{
    error::BoxError,
    service::{Rest, Service, Signals},
};

/// A function that is called for what happens on a channel; made by [`PubSub::on`](super::PubSub::on). Dropping it
/// unsubscribes, and lets a call that is under way end.
#[must_use = "dropping it unsubscribes"]
pub struct Callback {
    service: Service,
}

impl Callback {
    pub(super) fn start<T, F, R>(
        runtime: &Handle,
        subscription: Subscription<T>,
        callback: F,
    ) -> Self
    where
        T: Send + 'static,
        F: Fn(Event<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        // Nobody else takes the lock: a round borrows the subscription, and a loop can only own it.
        let subscription = Arc::new(Mutex::new(subscription));
        let callback = Arc::new(callback);
        let service = Service::start_on(runtime, "pubsub callback", move |signals| {
            let (subscription, callback) = (subscription.clone(), callback.clone());
            async move {
                let mut subscription = subscription.lock().await;
                call_for_each(&mut subscription, &*callback, &signals).await;
                Ok(Rest::UntilWoken)
            }
        });
        Self { service }
    }

    /// Unsubscribes, and waits for the end of a call that is under way.
    pub async fn stop(self) {
        self.service.join().await;
    }
}

async fn call_for_each<T, F, R>(subscription: &mut Subscription<T>, callback: &F, signals: &Signals)
where
    F: Fn(Event<T>) -> R,
    R: Future<Output = Result<(), BoxError>>,
{
    loop {
        let event = tokio::select! {
            biased;
            () = signals.stop.cancelled() => return,
            event = subscription.next() => event,
        };
        let Some(event) = event else { return };
        let called = AssertUnwindSafe(async { callback(event).await }).catch_unwind().await;
        let how = match called {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => format!("failed: {why}"),
            Err(_) => "panicked".to_owned(),
        };
        metrics::counter!("russet_pubsub_callback_failures_total").increment(1);
        tracing::warn!(?subscription, "a callback {how}");
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}
