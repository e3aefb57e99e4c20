//! What must go on while the caller's runtime does not: renewals, on a thread and a connection of the library's own.

mod heartbeat;
mod pulse;
mod renewals;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    heartbeat::Heartbeat,
    pulse::Pulse,
    renewals::{Keeper, Kept},
};

use self::renewals::Renewals;
use super::{call::Call, places::Places, router::Router, send::Errand, settings::Settings};
use crate::{clock::ServerClock, service::Service};

/// The control thread of a handle, which starts when the first lease is taken; its connection is opened when the first
/// one has to be renewed.
pub(crate) struct Control {
    places: Arc<Places>,
    settings: Arc<Settings>,
    clock: Arc<ServerClock>,
    renewals: Arc<Renewals>,
    thread: Mutex<Thread>,
}

enum Thread {
    NotYet,
    Runs(Running),
    Over,
}

struct Running {
    renewer: Service,
    runtime: Handle,
    router: Arc<OnceLock<Router>>,
    end: CancellationToken,
    ended: CancellationToken,
}

impl Control {
    pub(super) fn new(
        places: &Arc<Places>,
        settings: &Arc<Settings>,
        clock: &Arc<ServerClock>,
    ) -> Self {
        Self {
            places: places.clone(),
            settings: settings.clone(),
            clock: clock.clone(),
            renewals: Arc::default(),
            thread: Mutex::new(Thread::NotYet),
        }
    }

    /// Makes this call, which renews a lease and answers whether it was current, again and again while its work goes on,
    /// until what is returned is dropped.
    pub(crate) fn keep<K: Keeper>(&self, every: Duration, call: Call, keeper: &Arc<K>) -> Kept {
        let (kept, is_early) = self.renewals.add(every, call, keeper.clone());
        if is_early {
            let mut thread = self.lock();
            if matches!(*thread, Thread::NotYet) {
                match self.start() {
                    Some(running) => *thread = Thread::Runs(running),
                    None => tracing::warn!("no thread for renewals: leases end with their time"),
                }
            }
            if let Thread::Runs(running) = &*thread {
                running.renewer.wake();
            }
        }
        kept
    }

    fn start(&self) -> Option<Running> {
        let (end, ended) = (CancellationToken::new(), CancellationToken::new());
        let runtime = run(end.clone(), ended.clone())?;
        let router = Arc::<OnceLock<Router>>::default();
        let (places, settings) = (self.places.clone(), self.settings.clone());
        let (clock, renewals) = (self.clock.clone(), self.renewals.clone());
        let (connected, home) = (router.clone(), runtime.clone());
        let renewer = Service::start_on(&runtime, "renewer", move |signals| {
            let (places, settings, clock) = (places.clone(), settings.clone(), clock.clone());
            let (renewals, router, home) = (renewals.clone(), connected.clone(), home.clone());
            async move {
                let renew = |call: Call| {
                    let router =
                        router.get_or_init(|| Router::start(&places, &settings, &clock, &home));
                    async move { Errand::new(router, Duration::ZERO).run(&call).await }
                };
                renewals.run(signals, renew).await
            }
        });
        Some(Running { renewer, runtime, router, end, ended })
    }

    /// Ends the renewals, the connection and the thread.
    pub(super) async fn close(&self) {
        let thread = std::mem::replace(&mut *self.lock(), Thread::Over);
        if let Thread::Runs(running) = thread {
            running.renewer.join().await;
            if let Some(router) = running.router.get() {
                router.close().await;
            }
            running.end.cancel();
            running.ended.cancelled().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Starts a thread with a runtime that lives until it is told to end.
fn run(end: CancellationToken, ended: CancellationToken) -> Option<Handle> {
    let (started, has_started) = mpsc::sync_channel(1);
    let body = move || {
        let _ended = ended.drop_guard();
        if let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() {
            let _ = started.send(runtime.handle().clone());
            runtime.block_on(end.cancelled());
        }
    };
    thread::Builder::new().name("russet-control".to_owned()).spawn(body).ok()?;
    has_started.recv().ok()
}
