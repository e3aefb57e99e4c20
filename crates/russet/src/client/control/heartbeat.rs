//! Many leases renewed by one call: what a worker holds, whatever its handlers do to their threads.

use std::{sync::Arc, time::Duration};

use super::{Control, Router, Running, Thread};
use crate::{
    client::{Call, send::Errand},
    service::{Rest, Service},
};

/// What is to be renewed at each beat, and who hears the answer.
pub(crate) trait Heartbeat: Send + Sync + 'static {
    /// The call that renews all that is held now; none when nothing is.
    fn call(&self) -> Option<Call>;

    /// What the server answered; on the control thread: it must not wait.
    fn answered(&self, answer: Vec<String>);
}

impl Control {
    /// Beats on the control thread until what is returned is dropped; a beat that fails is tried again soon. None when
    /// the handle is closed or there is no thread to be had.
    pub(crate) fn beat(&self, every: Duration, heart: Arc<dyn Heartbeat>) -> Option<Service> {
        let mut thread = self.lock();
        if matches!(*thread, Thread::NotYet) {
            match self.start() {
                Some(running) => *thread = Thread::Runs(running),
                None => tracing::warn!("no thread for heartbeats: leases end with their time"),
            }
        }
        let Thread::Runs(Running { runtime, router, .. }) = &*thread else { return None };
        let (home, router) = (runtime.clone(), router.clone());
        let (places, settings, clock) =
            (self.places.clone(), self.settings.clone(), self.clock.clone());
        Some(Service::start_on(runtime, "heartbeat", move |_| {
            let (heart, router, home) = (heart.clone(), router.clone(), home.clone());
            let (places, settings, clock) = (places.clone(), settings.clone(), clock.clone());
            async move {
                if let Some(call) = heart.call() {
                    let router =
                        router.get_or_init(|| Router::start(&places, &settings, &clock, &home));
                    heart.answered(Errand::new(router, Duration::ZERO).run(&call).await?);
                }
                Ok(Rest::For(every))
            }
        }))
    }
}
