//! Where a server listens.

use std::{fmt, path::PathBuf};

/// The address of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// The host; empty for a socket.
    pub(super) fn host(&self) -> &str {
        match self {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) => "",
        }
    }

    /// What a node of a Cluster names, `host:port`. A host that is left out or unknown to it is its own.
    pub(super) fn named_by(node: &Address, text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::beside(node, host, port.parse().ok()?))
    }

    /// The slot and the node that this one names in `MOVED` and `ASK`.
    pub(super) fn redirected(node: &Address, details: &str) -> Option<(u16, Self)> {
        let (slot, address) = details.split_once(' ')?;
        Some((slot.parse().ok()?, Self::named_by(node, address)?))
    }

    /// As [`named_by`](Self::named_by), in two parts.
    pub(super) fn beside(node: &Address, host: &str, port: u16) -> Self {
        let host = match host.trim_matches(['[', ']']) {
            "" | "?" => node.host(),
            host => host,
        };
        Self::Tcp { host: host.to_owned(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_names_no_host_means_its_own() {
        let node = Address::Tcp { host: "10.0.0.1".into(), port: 7_000 };
        let named = |text| Address::named_by(&node, text).map(|address| address.to_string());
        assert_eq!(named("10.0.0.2:7001").as_deref(), Some("10.0.0.2:7001"));
        assert_eq!(named(":7001").as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(named("?:7001").as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(named("::1:7001").as_deref(), Some("[::1]:7001"));
        assert_eq!(named("7001"), None);
    }
}
