//! The links of one purpose (data, control or durable writes), and which of them a call takes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{ServerError, ServerErrorKind, Value};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    address::Address,
    cluster::Cluster,
    connection::Connection,
    fault,
    link::Link,
    places::{Places, Target},
    settings::Settings,
};
use crate::{
    clock::ServerClock,
    error::{Advice, Error, ErrorKind, Result},
};

/// How long one primary is waited for before another one is tried as well.
const PATIENCE: Duration = Duration::from_millis(150);

/// One link to the server, or one to each node that was needed so far.
pub(super) struct Router {
    ways: Ways,
    places: Arc<Places>,
    settings: Arc<Settings>,
    clock: Arc<ServerClock>,
    /// Where the links live, whoever needs them first.
    runtime: Handle,
}

enum Ways {
    One(Arc<Link>),
    Cluster { cluster: Arc<Cluster>, links: Mutex<Links> },
}

#[derive(Default)]
struct Links {
    made: HashMap<Address, Arc<Link>>,
    /// How many looks the Cluster had had when links were last dropped.
    swept: u64,
    closed: bool,
}

/// What a node answers that did nothing, because the call belongs elsewhere.
pub(super) enum Detour {
    /// To this node, and later calls too.
    Moved(Arc<Link>),
    /// To this node, this once, with `ASKING` in front.
    Ask(Arc<Link>),
    /// The keys are between two nodes for a moment.
    TryAgain,
}

impl Router {
    /// Starts to connect where it is clear where to, in the background of this runtime.
    pub(super) fn start(
        places: &Arc<Places>,
        settings: &Arc<Settings>,
        clock: &Arc<ServerClock>,
        runtime: &Handle,
    ) -> Self {
        let to = |target| {
            let (settings, clock) = (settings.clone(), clock.clone());
            Ways::One(Arc::new(Link::start(target, settings, clock, runtime)))
        };
        let ways = match &**places {
            Places::One(address) => to(Target::Server(address.clone())),
            Places::Sentinel { sentinels, .. } => to(Target::Primary(sentinels.clone())),
            Places::Cluster(cluster) => {
                Ways::Cluster { cluster: cluster.clone(), links: Mutex::default() }
            }
        };
        Self {
            ways,
            places: places.clone(),
            settings: settings.clone(),
            clock: clock.clone(),
            runtime: runtime.clone(),
        }
    }

    /// Waits for the first connection, whatever the breaker says; on a Cluster to any primary, since one may be dead.
    pub(super) async fn first(&self, deadline: Instant) -> Result<()> {
        let (cluster, links) = match &self.ways {
            Ways::One(link) => return link.first(deadline).await,
            Ways::Cluster { cluster, links } => (cluster, links),
        };
        let mut others = cluster.primaries(deadline).await?.into_iter();
        let mut tried = FuturesUnordered::new();
        loop {
            if let Some(address) = others.next() {
                let link = self.link_to(&address, cluster, links)?;
                tried.push(async move { link.first(deadline).await });
            }
            let patience = if others.len() == 0 { deadline } else { Instant::now() + PATIENCE };
            match timeout_at(patience.min(deadline), tried.next()).await {
                Ok(Some(outcome)) => return outcome,
                Err(_) if others.len() > 0 && Instant::now() < deadline => {}
                Ok(None) | Err(_) => {
                    let message = "no primary of the Cluster is reached";
                    let advice = Advice::RetryAfter(fault::RECOVERING);
                    return Err(Error::new(ErrorKind::Unreachable, advice, message));
                }
            }
        }
    }

    /// The link to the node of a slot; without a slot, to a primary that is connected, if there is one.
    ///
    /// # Errors
    /// When no node is known by the deadline.
    pub(super) async fn link(&self, slot: Option<u16>, deadline: Instant) -> Result<Arc<Link>> {
        match &self.ways {
            Ways::One(link) => Ok(link.clone()),
            Ways::Cluster { cluster, links } => {
                let is_up = |address: &Address| {
                    lock(links).made.get(address).is_some_and(|link| link.ready().is_some())
                };
                let address = cluster.node(slot, is_up, deadline).await?;
                self.link_to(&address, cluster, links)
            }
        }
    }

    /// The links to all primaries.
    ///
    /// # Errors
    /// When none is known by the deadline.
    pub(super) async fn primaries(&self, deadline: Instant) -> Result<Vec<Arc<Link>>> {
        match &self.ways {
            Ways::One(link) => Ok(vec![link.clone()]),
            Ways::Cluster { cluster, links } => {
                let all = cluster.primaries(deadline).await?;
                all.iter().map(|address| self.link_to(address, cluster, links)).collect()
            }
        }
    }

    fn link_to(
        &self,
        address: &Address,
        cluster: &Arc<Cluster>,
        links: &Mutex<Links>,
    ) -> Result<Arc<Link>> {
        let mut links = lock(links);
        if links.closed {
            let message = "the handle was closed";
            return Err(Error::new(ErrorKind::Unreachable, Advice::GiveUp, message));
        }
        let looks = cluster.looks();
        if links.swept != looks {
            links.swept = looks;
            // Nobody connects for ever to a node that is gone. One that the layout does not name, because it has no
            // slot yet, may be up.
            links.made.retain(|address, link| cluster.is_member(address) || link.ready().is_some());
        }
        if let Some(link) = links.made.get(address) {
            return Ok(link.clone());
        }
        let target = Target::Member(address.clone(), cluster.clone());
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        let link = Arc::new(Link::start(target, settings, clock, &self.runtime));
        links.made.insert(address.clone(), link.clone());
        Ok(link)
    }

    /// The connection of a link; `None` when the Cluster has changed while it was waited for, and the call may belong
    /// elsewhere.
    ///
    /// # Errors
    /// When there is none by the deadline; at once while the breaker is open.
    pub(super) async fn connection(
        &self,
        link: &Link,
        deadline: Instant,
    ) -> Result<Option<Connection>> {
        if let Some(connection) = link.ready() {
            return Ok(Some(connection));
        }
        let Ways::Cluster { cluster, .. } = &self.ways else {
            return link.connection(deadline).await.map(Some);
        };
        let mut changes = cluster.changes();
        cluster.look_again();
        tokio::select! {
            biased;
            connection = link.connection(deadline) => connection.map(Some),
            Ok(()) = changes.changed() => Ok(None),
        }
    }

    /// Where an answer sends its call; `None` when it is the call's own.
    pub(super) fn detour(&self, link: &Link, answer: &Value) -> Option<Detour> {
        let (Ways::Cluster { cluster, links }, Value::ServerError(error)) = (&self.ways, answer)
        else {
            return None;
        };
        let other = |address: &Address| self.link_to(address, cluster, links).ok();
        match error.kind()? {
            ServerErrorKind::Moved => {
                let (slot, address) = named(link, error)?;
                cluster.moved(slot, &address);
                other(&address).map(Detour::Moved)
            }
            ServerErrorKind::Ask => other(&named(link, error)?.1).map(Detour::Ask),
            ServerErrorKind::TryAgain => Some(Detour::TryAgain),
            ServerErrorKind::ClusterDown => {
                cluster.look_again();
                None
            }
            _ => None,
        }
    }

    /// A call found this connection lost.
    pub(super) fn lost(&self, link: &Link, connection: &Connection) {
        link.lost(connection);
        self.places.look_again();
    }

    /// A call on this connection was not answered by its deadline.
    pub(super) fn unanswered(&self, link: &Link, connection: &Connection) {
        link.unanswered(connection);
        self.places.look_again();
    }

    /// The server on this connection takes no writes.
    pub(super) fn read_only(&self, link: &Link, connection: &Connection) {
        link.retire(connection);
        self.places.look_again();
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ends the connections; calls fail from now on.
    pub(super) async fn close(&self) {
        let all: Vec<_> = match &self.ways {
            Ways::One(link) => vec![link.clone()],
            Ways::Cluster { links, .. } => {
                let mut links = lock(links);
                links.closed = true;
                links.made.drain().map(|(_, link)| link).collect()
            }
        };
        for link in all {
            link.close().await;
        }
    }
}

/// The slot and the node that `MOVED` and `ASK` name.
fn named(link: &Link, error: &ServerError) -> Option<(u16, Address)> {
    Address::redirected(link.target().address()?, error.details()?)
}

fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}
