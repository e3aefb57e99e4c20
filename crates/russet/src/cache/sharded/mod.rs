//! One cache over several independent servers.

mod builder;
mod calls;
mod debt;
mod members;
mod node;
mod put;
mod scripts;

use std::{borrow::Borrow, fmt, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

pub use builder::ShardedCacheBuilder;
pub use members::NodeStatus;
pub use put::PutSharded;

use super::read::Nulls;
use crate::{
    cache_key::CacheKey,
    client::Russet,
    codec::{Codec, Json},
    error::{BoxError, Result},
};
use members::Shared;

/// One cache over several plain servers that know nothing of each other: a [`HashRing`](crate::HashRing) picks the server
/// of a key.
///
/// A hit is one round trip, and a call for many keys asks all servers at the same time. Misses of
/// [`get_with`](Self::get_with) are loaded once in the fleet, as by [`Cache`](crate::Cache). Nodes are added, removed and given other
/// weights [while it runs](Self::add_node); each moves its share of the keys and no others.
///
/// **A dead node** is a miss (or an error, [`DeadNode`]). It costs the calls that are under way one timeout at most; then its
/// calls fail at once, while the connection is tried again in the background.
///
/// **A node that returns** serves nothing from before it left. Every key carries the node's *epoch*, a number that is
/// kept on the node and read in the same round trip as the entry. A process that lost the node, or could not bring it a write
/// or an invalidation, begins a new epoch before it uses the node again, and what is there is of no epoch any more.
///
/// | promised | |
/// | --- | --- |
/// | after `put` or `invalidate` has answered [`NodeAnswer::Done`] | no process gets an older value |
/// | after it has answered [`NodeAnswer::Away`] | this process gets no older value, nor does one that lost the node too. One that reaches it all the time may, until this process reaches the node again (tried five times a second) |
/// | this process dies before it reaches the node again | another one that reaches the node all the time may get the old value until its TTL |
/// | a node is removed | its keys go to nodes that have no older value of them: a `put` or `invalidate` drops the copy of the key's next node too |
/// | a node is added while running | it starts empty |
///
/// Each node is a server of its own, or a namespace of its own on one. All processes must know the same nodes and weights. While a change reaches one after the other, an invalidation of a
/// process that does not know it yet goes to the wrong node: what stands there is right again after its TTL, or after
/// [`invalidate_all`](Self::invalidate_all). The same for a node that was taken out of the configuration for less than a TTL. Data that must not be lost
/// when a node leaves belongs on a Redis Cluster, in a `Cache` or another block.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use russet::{Russet, testing::TestServer};
/// # let servers = [TestServer::start().await?, TestServer::start().await?];
/// # let one = Russet::connect(&servers[0].url()).await?;
/// # let two = Russet::connect(&servers[1].url()).await?;
/// use std::time::Duration;
/// use russet::{DeadNode, ShardedCache};
///
/// let pages: ShardedCache<str, String> = ShardedCache::builder("pages")
///     .node("cache-1", &one)
///     .weighted_node("cache-2", &two, 2)      // twice the share of the keys
///     .dead_node(DeadNode::Miss)
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// pages.put("/home", &"<h1>Home</h1>".to_owned()).await?;
/// let found = pages.get_many(&["/home", "/about"]).await?;
/// assert_eq!(found, [Some("<h1>Home</h1>".to_owned()), None]);
/// # Ok(()) }
/// ```
pub struct ShardedCache<K: ?Sized, V, C = Json> {
    shared: Arc<Shared<V, C>>,
    types: PhantomData<fn(&K) -> V>,
}

/// What a key on a dead node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadNode {
    /// A miss: `get` answers `None`, `get_with` loads past the node, `put` and `invalidate` answer [`NodeAnswer::Away`].
    #[default]
    Miss,
    /// An error of the call.
    Error,
}

/// Whether a change has reached the node of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeAnswer {
    /// It has.
    Done,
    /// The node is away. What it has of old is out of date for this process, and for all as soon as this process reaches the
    /// node again.
    Away,
}

impl<K: ?Sized, V> ShardedCache<K, V, Json> {
    /// A cache of this name, 1 to 256 bytes, with JSON values unless another codec is set.
    pub fn builder(name: &str) -> ShardedCacheBuilder<K, V, Json> {
        ShardedCacheBuilder::new(name)
    }
}

impl<K, V, C> ShardedCache<K, V, C>
where
    K: CacheKey + ?Sized,
    V: Serialize + DeserializeOwned + 'static,
    C: Codec,
{
    /// The value of a key; `None` when it is not cached, or its node is away.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1,000 bytes, `Codec` when what is stored is of another type; with
    /// [`DeadNode::Error`] what its node said.
    pub async fn get(&self, key: &K) -> Result<Option<V>> {
        let found = self.find_many(&[key]).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The values of up to 1,000 keys, in their order: one round trip, to all nodes at the same time.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Invalid` for more than 1,000 keys.
    pub async fn get_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<Vec<Option<V>>> {
        let keys: Vec<&K> = keys.iter().map(Borrow::borrow).collect();
        self.find_many(&keys).await
    }

    /// The value of a key: from its node, or else from the closure, which runs once for all who miss at the same time.
    ///
    /// # Errors
    /// `Load` when the closure failed; `Invalid` for a key that is empty or over 1,000 bytes; with [`DeadNode::Error`]
    /// what its node said.
    pub async fn get_with<F, E>(&self, key: &K, load: F) -> Result<V>
    where
        F: AsyncFnOnce() -> Result<V, E>,
        E: Into<BoxError>,
    {
        let load = async || load().await.map(Some);
        let (node, found) = self.look_up(key, Nulls::Dropped, load).await?;
        node.cache.present(found)
    }

    /// As [`get_with`](Self::get_with), for something that may not exist: `None` is cached too, for the `null_ttl`.
    ///
    /// # Errors
    /// As [`get_with`](Self::get_with).
    pub async fn find_with<F, E>(&self, key: &K, load: F) -> Result<Option<V>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        Ok(self.look_up(key, Nulls::Accepted, load).await?.1.value)
    }

    /// Stores a value on the node of its key, and drops what the key's next node may have: one round trip.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1,000 bytes and for a value over the limit; with [`DeadNode::Error`]
    /// what its node said.
    pub fn put<'a>(&'a self, key: &'a K, value: &'a V) -> PutSharded<'a, K, V, C> {
        PutSharded::new(self, key, value)
    }

    /// Stores up to 1,000 values: one round trip, to all nodes at the same time. Answers for each in their order.
    ///
    /// # Errors
    /// As [`put`](Self::put), some may have been stored; `Invalid` for more than 1,000.
    pub async fn put_many<B: Borrow<K>>(&self, entries: &[(B, V)]) -> Result<Vec<NodeAnswer>> {
        let entries: Vec<_> = entries.iter().map(|(key, value)| (key.borrow(), value)).collect();
        self.store(&entries, None).await
    }

    /// Drops the cached copy of a key: one round trip. Call it after the record has changed.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or over 1,000 bytes; with [`DeadNode::Error`] what its node said. The copy is
    /// then out of date as with [`NodeAnswer::Away`].
    pub async fn invalidate(&self, key: &K) -> Result<NodeAnswer> {
        let answers = self.drop_many(&[key]).await?;
        Ok(answers.first().copied().unwrap_or(NodeAnswer::Away))
    }

    /// Drops the cached copies of up to 1,000 keys: one round trip, to all nodes at the same time. Answers for each in
    /// their order.
    ///
    /// # Errors
    /// As [`invalidate`](Self::invalidate); `Invalid` for more than 1,000 keys.
    pub async fn invalidate_many<B: Borrow<K>>(&self, keys: &[B]) -> Result<Vec<NodeAnswer>> {
        let keys: Vec<&K> = keys.iter().map(Borrow::borrow).collect();
        self.drop_many(&keys).await
    }
}

impl<K: ?Sized, V: 'static, C: Codec> ShardedCache<K, V, C> {
    /// Puts everything that is cached out of date, in one step a node.
    ///
    /// # Errors
    /// With [`DeadNode::Error`] what a node said that is away; it begins anew when it is back.
    pub async fn invalidate_all(&self) -> Result<NodeAnswer> {
        self.shared.invalidate_all().await
    }

    /// Adds a node of weight 1, from now on; its share of the keys moves to it, and it starts empty.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty, over 256 bytes or there already, and for a handle of a Cluster or of another
    /// node.
    pub fn add_node(&self, name: &str, russet: &Russet) -> Result<()> {
        self.shared.add(name, russet, 1)
    }

    /// As [`add_node`](Self::add_node), with so many times the share of a node of weight 1.
    ///
    /// # Errors
    /// As [`add_node`](Self::add_node), and for a weight that is not 1 to 100.
    pub fn add_weighted_node(&self, name: &str, russet: &Russet, weight: u32) -> Result<()> {
        self.shared.add(name, russet, weight)
    }

    /// Gives a node another weight. Answers whether there is such a node.
    ///
    /// # Errors
    /// `Invalid` for a weight that is not 1 to 100.
    pub fn set_weight(&self, name: &str, weight: u32) -> Result<bool> {
        self.shared.set_weight(name, weight)
    }

    /// Takes a node out, from now on; its keys go to the others. Answers whether it was there. The last one stays.
    pub fn remove_node(&self, name: &str) -> bool {
        self.shared.remove(name)
    }

    /// The nodes by name: their weights, whether they are away, and what was asked of them.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.shared.status()
    }

    /// The name of the node that a key belongs to.
    pub fn node_of(&self, key: &K) -> String
    where
        K: CacheKey,
    {
        self.shared
            .members()
            .owner(&key.cache_key())
            .map(|node| node.name.clone())
            .unwrap_or_default()
    }
}

impl<K: ?Sized, V, C> Clone for ShardedCache<K, V, C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), types: PhantomData }
    }
}

impl<K: ?Sized, V, C> fmt::Debug for ShardedCache<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.shared.name();
        f.debug_struct("ShardedCache").field("name", &name).finish_non_exhaustive()
    }
}
