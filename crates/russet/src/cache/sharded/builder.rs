use std::{marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;

use super::{DeadNode, ShardedCache, members::Shared};
use crate::{
    cache::Cache,
    client::Russet,
    codec::{Codec, Json},
    error::{Error, Result},
};

/// The settings of a [`ShardedCache`]; made by [`ShardedCache::builder`].
#[must_use]
pub struct ShardedCacheBuilder<K: ?Sized, V, C = Json> {
    name: String,
    nodes: Vec<(String, Russet, u32)>,
    dead_node: DeadNode,
    ttl: Duration,
    null_ttl: Duration,
    ttl_jitter: f64,
    fill_lease: Duration,
    max_value_bytes: usize,
    max_bypass: usize,
    codec: C,
    types: PhantomData<fn(&K) -> V>,
}

impl<K: ?Sized, V> ShardedCacheBuilder<K, V, Json> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nodes: Vec::new(),
            dead_node: DeadNode::default(),
            ttl: Duration::from_secs(300),
            null_ttl: Duration::from_secs(30),
            ttl_jitter: 0.1,
            fill_lease: Duration::from_secs(5),
            max_value_bytes: 1024 * 1024,
            max_bypass: 64,
            codec: Json,
            types: PhantomData,
        }
    }
}

impl<K: ?Sized, V: 'static, C: Codec> ShardedCacheBuilder<K, V, C> {
    /// Adds a server of weight 1 under a name that is the same in every process. The names say where keys belong: a server
    /// that moves to another address keeps its name.
    pub fn node(self, name: &str, russet: &Russet) -> Self {
        self.weighted_node(name, russet, 1)
    }

    /// Adds a server that gets so many times the share of a server of weight 1; 1 to 100.
    pub fn weighted_node(mut self, name: &str, russet: &Russet, weight: u32) -> Self {
        self.nodes.push((name.to_owned(), russet.clone(), weight));
        self
    }

    /// What a key on a dead node is. Defaults to [`DeadNode::Miss`].
    pub fn dead_node(mut self, dead_node: DeadNode) -> Self {
        self.dead_node = dead_node;
        self
    }

    /// How long a value lives; at least a millisecond. Defaults to 5 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long it is remembered that there is no such thing; at least a millisecond, at most the `ttl`. Defaults to 30
    /// seconds.
    pub fn null_ttl(mut self, ttl: Duration) -> Self {
        self.null_ttl = ttl;
        self
    }

    /// The part of its time to live by which an entry may end earlier or later, 0 to below 1. Defaults to 0.1.
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.ttl_jitter = part;
        self
    }

    /// How long others wait for a loader that died before one of them loads, 100 ms to 5 minutes. Defaults to 5
    /// seconds.
    pub fn fill_lease(mut self, time: Duration) -> Self {
        self.fill_lease = time;
        self
    }

    /// The largest encoded value in bytes, 1 to 512 MiB. Defaults to 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// How many loads run at a time past each node that is away, at least 1. Defaults to 64.
    pub fn max_bypass(mut self, loads: usize) -> Self {
        self.max_bypass = loads;
        self
    }

    /// How values become bytes. Defaults to [`Json`].
    pub fn codec<D: Codec>(self, codec: D) -> ShardedCacheBuilder<K, V, D> {
        ShardedCacheBuilder {
            name: self.name,
            nodes: self.nodes,
            dead_node: self.dead_node,
            ttl: self.ttl,
            null_ttl: self.null_ttl,
            ttl_jitter: self.ttl_jitter,
            fill_lease: self.fill_lease,
            max_value_bytes: self.max_value_bytes,
            max_bypass: self.max_bypass,
            codec,
            types: PhantomData,
        }
    }

    /// The cache; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` for no node, a name that is empty, over 256 bytes or comes twice, a handle of a Cluster or of another node, and a setting
    /// out of range, naming it.
    pub fn build(self) -> Result<ShardedCache<K, V, C>>
    where
        V: DeserializeOwned,
    {
        let Some((_, first, _)) = self.nodes.first().cloned() else {
            return Err(Error::invalid(format_args!(
                "sharded cache {}: it has no node",
                self.name
            )));
        };
        let (nodes, dead_node, name) = (self.nodes, self.dead_node, self.name.clone());
        let (ttl, null_ttl, jitter) = (self.ttl, self.null_ttl, self.ttl_jitter);
        let (lease, bytes, bypass) = (self.fill_lease, self.max_value_bytes, self.max_bypass);
        let codec = self.codec;
        let make = move |russet: &Russet| {
            let builder = Cache::builder(russet, &name).ttl(ttl).null_ttl(null_ttl);
            let builder = builder.ttl_jitter(jitter).fill_lease(lease).max_value_bytes(bytes);
            builder.max_bypass(bypass).codec(codec.clone()).build()
        };
        let shared = Shared::new(self.name, dead_node, Box::new(make));
        for (name, russet, weight) in &nodes {
            shared.add_at_start(name, russet, *weight)?;
        }
        shared.start_payer(&first);
        Ok(ShardedCache { shared, types: PhantomData })
    }
}
