//! Where the servers are, as far as it is known: what all connections of a handle share.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{
    address::Address,
    cluster::Cluster,
    sentinel::Sentinels,
    settings::{Settings, Topology},
};
use crate::{error::Result, service::Service};

/// One server, whoever is the primary, or a Cluster.
pub(super) enum Places {
    One(Address),
    Sentinel {
        sentinels: Arc<Sentinels>,
        /// Asks the sentinels all the time, so that a primary that was replaced is left soon.
        watcher: Service,
    },
    Cluster(Arc<Cluster>),
}

/// The server that a connection is to go to.
#[derive(Clone)]
pub(super) enum Target {
    Server(Address),
    /// Whoever the sentinels name at the moment.
    Primary(Arc<Sentinels>),
    /// A server as long as it belongs to the Cluster.
    Member(Address, Arc<Cluster>),
}

/// The server that a connection goes to.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) address: Address,
    target: Target,
}

impl Places {
    /// Starts what keeps itself informed, on the current runtime.
    pub(super) fn start(settings: &Arc<Settings>) -> Self {
        match &settings.topology {
            Topology::One(address) => Places::One(address.clone()),
            Topology::Sentinel { sentinels, primary, login } => {
                let sentinels = Sentinels::new(sentinels, primary, login, settings);
                let sentinels = Arc::new(sentinels);
                Places::Sentinel { watcher: sentinels.clone().watch(), sentinels }
            }
            Topology::Cluster(seeds) => {
                Places::Cluster(Arc::new(Cluster::start(seeds, settings.clone())))
            }
        }
    }

    /// Servers that hear every message, the one to try first in front; waited for until the deadline.
    ///
    /// # Errors
    /// When no node of the Cluster is known.
    pub(super) async fn that_hear_all(&self, deadline: Instant) -> Result<Vec<Target>> {
        Ok(match self {
            Places::One(address) => vec![Target::Server(address.clone())],
            Places::Sentinel { sentinels, .. } => vec![Target::Primary(sentinels.clone())],
            Places::Cluster(cluster) => {
                let members = cluster.members(deadline).await?.into_iter();
                members.map(|address| Target::Member(address, cluster.clone())).collect()
            }
        })
    }

    /// A connection was lost, or a server does not answer: looks whether another one has its place.
    pub(super) fn look_again(&self) {
        match self {
            Places::One(_) => {}
            Places::Sentinel { watcher, .. } => watcher.wake(),
            Places::Cluster(cluster) => cluster.look_again(),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Places::One(_) => {}
            Places::Sentinel { watcher, .. } => watcher.join().await,
            Places::Cluster(cluster) => cluster.close().await,
        }
    }
}

impl Target {
    /// Finds the server.
    pub(super) async fn place(&self) -> Result<Place> {
        let address = match self {
            Target::Server(address) | Target::Member(address, _) => address.clone(),
            Target::Primary(sentinels) => sentinels.primary().await?,
        };
        Ok(Place { address, target: self.clone() })
    }

    /// The server that a node of a Cluster means by an address without a host.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Target::Server(address) | Target::Member(address, _) => Some(address),
            Target::Primary(_) => None,
        }
    }
}

impl Place {
    pub(super) fn must_be_primary(&self) -> bool {
        matches!(self.target, Target::Primary(_))
    }

    /// Waits until this server is known to be the wrong one.
    pub(super) async fn is_left(&self) {
        match &self.target {
            Target::Server(_) => std::future::pending().await,
            Target::Primary(sentinels) => sentinels.is_replaced(&self.address).await,
            Target::Member(_, cluster) => cluster.has_lost(&self.address).await,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Server(address) | Target::Member(address, _) => address.fmt(f),
            Target::Primary(sentinels) => write!(f, "the primary {}", sentinels.name()),
        }
    }
}
