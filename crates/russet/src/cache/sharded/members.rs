//! The nodes that there are, and the loop that reaches those again which were away.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use futures_util::future::join_all;

use super::{DeadNode, NodeAnswer, debt::Debt, node::Node};
use crate::{
    cache::{Cache, CacheStats},
    client::Russet,
    codec::Codec,
    error::{Error, Result},
    keys::Slot,
    ring::HashRing,
    service::{Rest, Service},
};

/// How soon a node that is away is tried again. Its calls fail at once, so that this costs nothing.
const AGAIN: Duration = Duration::from_millis(200);

/// How a node's part of the cache is made.
pub(super) type Make<V, C> = dyn Fn(&Russet) -> Result<Cache<str, V, C>> + Send + Sync;

/// What all clones share.
pub(super) struct Shared<V, C> {
    name: String,
    pub(super) dead_node: DeadNode,
    make: Box<Make<V, C>>,
    members: RwLock<Arc<Members<V, C>>>,
    payer: OnceLock<Service>,
}

/// The nodes of a moment; a call goes by the same ones from its beginning to its end.
pub(super) struct Members<V, C> {
    ring: HashRing,
    nodes: BTreeMap<String, Arc<Node<V, C>>>,
}

/// How a node stands; see [`ShardedCache::nodes`](super::ShardedCache::nodes).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its weight in the ring.
    pub weight: u32,
    /// Whether it did not answer, and has not been reached since.
    pub is_away: bool,
    /// What this handle and its clones have asked of it.
    pub stats: CacheStats,
}

impl<V: 'static, C: Codec> Shared<V, C> {
    pub(super) fn new(name: String, dead_node: DeadNode, make: Box<Make<V, C>>) -> Arc<Self> {
        let members = RwLock::new(Arc::new(Members::default()));
        Arc::new(Self { name, dead_node, make, members, payer: OnceLock::new() })
    }

    /// Starts to look after the nodes that are away.
    pub(super) fn start_payer(self: &Arc<Self>, russet: &Russet) {
        let shared = Arc::downgrade(self);
        let round = move |_| Self::round(shared.clone());
        self.payer.get_or_init(|| Service::start_on(russet.runtime(), "sharded cache", round));
    }

    /// Tries to reach those that are away, so that a debt is paid though nobody asks.
    async fn round(shared: Weak<Self>) -> Result<Rest> {
        let Some(shared) = shared.upgrade() else { return Ok(Rest::UntilWoken) };
        let members = shared.members();
        let away = members.nodes.values().filter(|node| node.is_away());
        let reached = join_all(away.map(|node| node.pay())).await;
        let all = reached.iter().all(Result::is_ok);
        Ok(if all { Rest::UntilWoken } else { Rest::For(AGAIN) })
    }

    /// A node may have been lost: the loop looks after it.
    pub(super) fn look_after(&self) {
        if let Some(payer) = self.payer.get() {
            payer.wake();
        }
    }

    pub(super) fn add_at_start(&self, name: &str, russet: &Russet, weight: u32) -> Result<()> {
        self.add_with(name, russet, weight, Debt::default())
    }

    pub(super) fn add(&self, name: &str, russet: &Russet, weight: u32) -> Result<()> {
        // Its keys were changed elsewhere until now.
        self.add_with(name, russet, weight, Debt::of_newcomer())?;
        self.look_after();
        Ok(())
    }

    fn add_with(&self, name: &str, russet: &Russet, weight: u32, debt: Debt) -> Result<()> {
        if russet.is_cluster() {
            return Err(Error::invalid(format_args!(
                "sharded cache {}: node {name} is a Cluster, which spreads the keys by itself: use a Cache",
                self.name
            )));
        }
        let members = self.members();
        if let Some(same) = members.nodes.values().find(|node| node.is_on(russet)) {
            // A put at one of them would be dropped at the other.
            return Err(Error::invalid(format_args!(
                "sharded cache {}: nodes {} and {name} are one handle; each node is a server of its own",
                self.name, same.name
            )));
        }
        let home = Slot::of(russet.names(), "cache", &self.name)?;
        let node = Arc::new(Node::new(name, (self.make)(russet)?, home, debt));
        self.change(|members| {
            members.ring.add_weighted_node(name, weight)?;
            members.nodes.insert(name.to_owned(), node);
            Ok(())
        })
    }

    pub(super) fn set_weight(&self, name: &str, weight: u32) -> Result<bool> {
        self.change(|members| members.ring.set_weight(name, weight))
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let removed = self.change(|members| {
            let is_last = members.nodes.len() == 1;
            let removed = !is_last && members.nodes.remove(name).is_some();
            Ok(removed && members.ring.remove_node(name))
        });
        removed.unwrap_or(false)
    }

    pub(super) async fn invalidate_all(&self) -> Result<NodeAnswer> {
        let members = self.members();
        let emptied = join_all(members.nodes.values().map(|node| node.empty())).await;
        let mut answer = NodeAnswer::Done;
        for emptied in emptied {
            answer = answer.and(self.answer(emptied)?);
        }
        Ok(answer)
    }

    pub(super) fn status(&self) -> Vec<NodeStatus> {
        let members = self.members();
        let status = members.ring.nodes().filter_map(|(name, weight)| {
            let node = members.nodes.get(name)?;
            let stats = node.cache.inner.counting.read();
            Some(NodeStatus { name: name.to_owned(), weight, is_away: node.is_away(), stats })
        });
        status.collect()
    }

    /// What the failure of a node is to its caller.
    pub(super) fn answer(&self, outcome: Result<()>) -> Result<NodeAnswer> {
        match outcome {
            Ok(()) => Ok(NodeAnswer::Done),
            Err(error) if error.is_outage() => {
                self.look_after();
                match self.dead_node {
                    DeadNode::Miss => Ok(NodeAnswer::Away),
                    DeadNode::Error => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Members<V, C>) -> Result<T>) -> Result<T> {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Members { ring: members.ring.clone(), nodes: members.nodes.clone() };
        let outcome = change(&mut changed)?;
        *members = Arc::new(changed);
        Ok(outcome)
    }
}

impl<V, C> Shared<V, C> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn members(&self) -> Arc<Members<V, C>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<V, C> Default for Members<V, C> {
    fn default() -> Self {
        Self { ring: HashRing::new(), nodes: BTreeMap::new() }
    }
}

impl<V, C> Members<V, C> {
    /// The node of a key; `None` only when there are no nodes.
    pub(super) fn owner(&self, key: &str) -> Option<&Arc<Node<V, C>>> {
        self.nodes.get(self.ring.get_node(key)?)
    }

    /// The node of a key, and the one that it would go to.
    pub(super) fn owner_and_next(&self, key: &str) -> impl Iterator<Item = &Arc<Node<V, C>>> {
        self.ring.replicas(key, 2).into_iter().filter_map(|name| self.nodes.get(name))
    }
}

impl NodeAnswer {
    pub(super) fn and(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}
