//! A Cluster's nodes and slots, kept up to date from redirects, from losses and by a slow timer.

mod layout;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use self::layout::Layout;
use super::{address::Address, connection::Aside, fault, settings::Settings};
use crate::{
    error::{Advice, Error, ErrorKind, Result},
    service::{Rest, Service, Signals},
};

/// How often the layout is looked at when nothing happens.
const SELDOM: Duration = Duration::from_secs(30);
/// How soon after one look the next one may follow.
const SOON: Duration = Duration::from_millis(200);
/// How long one node is waited for before another one is asked as well.
const PATIENCE: Duration = Duration::from_millis(150);

/// What all connections to a Cluster share.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    scout: Service,
}

struct Shared {
    seeds: Vec<Address>,
    settings: Arc<Settings>,
    layout: watch::Sender<Arc<Layout>>,
    /// Counts the looks, successful or not.
    looks: AtomicU64,
    /// Why nothing is known, as long as nothing is.
    failure: Mutex<Option<Error>>,
}

impl Cluster {
    /// Starts to look, on the current runtime.
    pub(super) fn start(seeds: &[Address], settings: Arc<Settings>) -> Self {
        let shared = Arc::new(Shared {
            seeds: seeds.to_vec(),
            settings,
            layout: watch::Sender::new(Arc::new(Layout::empty())),
            looks: AtomicU64::new(0),
            failure: Mutex::default(),
        });
        let work = shared.clone();
        let scout = Service::start("cluster scout", move |signals| {
            let work = work.clone();
            async move { Ok(work.look(signals).await) }
        });
        Self { shared, scout }
    }

    /// The node of a slot, or any primary: `prefer` says which one it would rather be. Waits until the deadline while no
    /// node is known.
    ///
    /// # Errors
    /// `Unreachable` or `Refused` when no node of the Cluster tells where its slots are.
    pub(super) async fn node(
        &self,
        slot: Option<u16>,
        prefer: impl Fn(&Address) -> bool,
        deadline: Instant,
    ) -> Result<Address> {
        let find = |layout: &Layout| match slot {
            Some(slot) => layout.owner(slot).cloned(),
            None => {
                let primaries = layout.primaries();
                let preferred = primaries.iter().find(|address| prefer(address));
                // Any: who tries again after a dead one may find a living one.
                preferred.or_else(|| primaries.choose(&mut rand::rng())).cloned()
            }
        };
        if let Some(address) = find(&self.shared.layout.borrow()) {
            return Ok(address);
        }
        self.look_again();
        let mut layout = self.shared.layout.subscribe();
        let looks = self.shared.looks.load(Ordering::Relaxed);
        loop {
            let layout_now = layout.borrow_and_update().clone();
            if let Some(address) = find(&layout_now) {
                return Ok(address);
            }
            // A refused login will be refused again.
            let failure = self.shared.failure();
            let looked = self.shared.looks.load(Ordering::Relaxed) > looks;
            let hopeless = failure.as_ref().is_some_and(|why| why.advice() == Advice::GiveUp);
            if looked && hopeless || timeout_at(deadline, layout.changed()).await.is_err() {
                return Err(failure.unwrap_or_else(|| self.shared.unknown(slot)));
            }
        }
    }

    /// The node of a slot, as far as it is known.
    pub(super) fn owner(&self, slot: u16) -> Option<Address> {
        self.shared.layout.borrow().owner(slot).cloned()
    }

    /// All nodes, the primaries first, each time in another order; waited for until the deadline.
    ///
    /// # Errors
    /// As [`node`](Self::node).
    pub(super) async fn members(&self, deadline: Instant) -> Result<Vec<Address>> {
        self.node(None, |_| true, deadline).await?;
        let layout = self.shared.layout.borrow().clone();
        let is_primary = |address: &&Address| layout.primaries().contains(address);
        let (mut primaries, mut replicas): (Vec<_>, Vec<_>) =
            layout.members().iter().partition(is_primary);
        primaries.shuffle(&mut rand::rng());
        replicas.shuffle(&mut rand::rng());
        Ok(primaries.into_iter().chain(replicas).cloned().collect())
    }

    /// The nodes that have slots; waited for until the deadline.
    ///
    /// # Errors
    /// As [`node`](Self::node).
    pub(super) async fn primaries(&self, deadline: Instant) -> Result<Vec<Address>> {
        self.node(None, |_| true, deadline).await?;
        Ok(self.shared.layout.borrow().primaries().to_vec())
    }

    /// A node said that this one has the slot now.
    pub(super) fn moved(&self, slot: u16, to: &Address) {
        self.shared.layout.send_if_modified(|layout| {
            let is_news = layout.owner(slot) != Some(to);
            if is_news {
                *layout = Arc::new(layout.with(slot, to.clone()));
            }
            is_news
        });
        self.look_again();
    }

    /// Something is not as it was: asks the nodes soon.
    pub(super) fn look_again(&self) {
        self.scout.wake();
    }

    /// Waits until the layout changes.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Layout>> {
        self.shared.layout.subscribe()
    }

    /// Waits until this node does not belong to the Cluster any more.
    pub(super) async fn has_lost(&self, address: &Address) {
        let mut layout = self.shared.layout.subscribe();
        let without = |layout: &Arc<Layout>| {
            !layout.members().is_empty() && !layout.members().contains(address)
        };
        if layout.wait_for(without).await.is_err() {
            std::future::pending().await
        }
    }

    pub(super) fn is_member(&self, address: &Address) -> bool {
        self.shared.layout.borrow().members().contains(address)
    }

    /// A number that grows with each look at the layout.
    pub(super) fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        self.scout.join().await;
    }
}

impl Shared {
    /// Asks the nodes, one after the other but without much patience, and takes the first whole layout.
    async fn look(&self, signals: Signals) -> Rest {
        let found = tokio::select! {
            found = self.ask_all() => found,
            () = signals.stop.cancelled() => return Rest::UntilWoken,
        };
        let is_whole = match found {
            Ok(found) => {
                *self.lock() = None;
                let is_whole = found.is_complete();
                self.layout.send_if_modified(|layout| {
                    let is_news = **layout != found;
                    if is_news {
                        *layout = Arc::new(found);
                    }
                    is_news
                });
                is_whole
            }
            Err(why) => {
                tracing::debug!(error = %why, "no node of the Cluster tells where its slots are");
                *self.lock() = Some(why);
                false
            }
        };
        self.looks.fetch_add(1, Ordering::Relaxed);
        if !is_whole {
            // Who waits for a layout looks whether it is worth while.
            self.layout.send_modify(|_| {});
        }
        // The loop could be woken at once: this much apart all the same.
        tokio::select! {
            () = sleep(SOON) => {}
            () = signals.stop.cancelled() => {}
        }
        if is_whole { Rest::For(SELDOM) } else { Rest::For(Duration::ZERO) }
    }

    async fn ask_all(&self) -> Result<Layout> {
        let mut candidates: Vec<_> = self.layout.borrow().members().iter().cloned().collect();
        candidates.shuffle(&mut rand::rng());
        candidates.extend(self.seeds.iter().cloned());
        let mut candidates = candidates.into_iter();
        let mut asked = FuturesUnordered::new();
        let (mut best, mut failure): (Option<Layout>, _) = (None, None);
        loop {
            if let Some(next) = candidates.next() {
                asked.push(self.ask(next));
            }
            let answer = if candidates.len() == 0 {
                asked.next().await
            } else {
                match timeout(PATIENCE, asked.next()).await {
                    Ok(answer) => answer,
                    Err(_) => continue,
                }
            };
            match answer {
                Some(Ok(layout)) if layout.is_complete() => return Ok(layout),
                Some(Ok(layout)) => {
                    if best.as_ref().is_none_or(|best| best.covered() < layout.covered()) {
                        best = Some(layout);
                    }
                }
                Some(Err(why)) => failure = Some(why),
                None if candidates.len() > 0 => {}
                None => {
                    let known = best.filter(|best| best.covered() > 0);
                    return known.ok_or_else(|| failure.unwrap_or_else(|| self.unknown(None)));
                }
            }
        }
    }

    /// Asks one node, on a connection for this alone: what carries calls may be what does not answer.
    async fn ask(&self, address: Address) -> Result<Layout> {
        let settings = &self.settings;
        let asked = async {
            let tls = settings.tls.as_ref();
            let mut aside = Aside::open(&address, tls, &settings.login).await?;
            let mut question = redis::cmd("CLUSTER");
            let answer = question.arg("SLOTS").query_async(&mut aside.wire).await;
            let answer = answer.map_err(|error| fault::no_layout(&address, &error))?;
            Layout::read(answer, &address).ok_or_else(|| {
                Error::internal(format_args!("{address} answered CLUSTER SLOTS in another form"))
            })
        };
        timeout(settings.connect_timeout, asked).await.unwrap_or_else(|_| {
            let message = format_args!("the node of the Cluster at {address} does not answer");
            Err(Error::new(ErrorKind::Unreachable, Advice::RetryAfter(SOON), message))
        })
    }

    fn unknown(&self, slot: Option<u16>) -> Error {
        let what = slot.map_or_else(|| "nodes".to_owned(), |slot| format!("node for slot {slot}"));
        let message = format_args!("{} has no {what}", self.settings.topology);
        Error::new(ErrorKind::Unreachable, Advice::RetryAfter(SOON), message)
    }

    fn failure(&self) -> Option<Error> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
