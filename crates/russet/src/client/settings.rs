//! Everything that connecting needs, from the URL and the builder.

use std::{fmt, time::Duration};

use redis::RedisConnectionInfo;

use super::{address::Address, tls::Tls};

/// What the connections of a handle have in common.
pub(super) struct Settings {
    pub(super) topology: Topology,
    pub(super) login: RedisConnectionInfo,
    pub(super) tls: Option<Tls>,
    /// How long a call may take, waiting for a connection included.
    pub(super) timeout: Duration,
    /// How long opening a connection may take.
    pub(super) connect_timeout: Duration,
}

/// How the servers stand to each other.
pub(super) enum Topology {
    /// One server, whatever its role.
    One(Address),
    /// The primary of a name, as sentinels tell it.
    Sentinel { sentinels: Vec<Address>, primary: String, login: RedisConnectionInfo },
    /// The nodes of a Cluster, found from these.
    Cluster(Vec<Address>),
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[Address]| {
            addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
        };
        match self {
            Topology::One(address) => address.fmt(f),
            Topology::Sentinel { sentinels, primary, .. } => {
                write!(f, "{primary} of the sentinels {}", list(sentinels))
            }
            Topology::Cluster(seeds) => write!(f, "the Cluster at {}", list(seeds)),
        }
    }
}
