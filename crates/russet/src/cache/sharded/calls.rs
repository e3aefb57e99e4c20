//! What goes to which node, and the answers put together again.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    DeadNode, NodeAnswer, ShardedCache,
    members::Members,
    node::{Change, Node},
};
use crate::{
    cache::{
        Found, Loaded, Source,
        fill::Seen,
        read::{Nulls, Read},
        scripts::{self, Place},
    },
    cache_key::CacheKey,
    codec::Codec,
    error::{BoxError, Error, Result},
    names::check_length,
};

/// The most keys of one call.
const MAX_BATCH: usize = 1_000;
/// The longest text of a key in bytes; the epoch stands in front of it.
const MAX_KEY: usize = 1_000;

/// Which node has answered, and what was found.
type Answered<V, C> = (Arc<Node<V, C>>, Found<V>);

/// What is for one node: the places of its keys among all.
struct Parcel<'a, V, C> {
    node: &'a Arc<Node<V, C>>,
    /// Whether it is the keys' own node, and not their next.
    is_owner: bool,
    keys: Vec<usize>,
}

impl<K, V, C> ShardedCache<K, V, C>
where
    K: CacheKey + ?Sized,
    V: Serialize + DeserializeOwned + 'static,
    C: Codec,
{
    #[tracing::instrument(name = "sharded.get", level = "debug", skip_all, fields(cache = self.shared.name(), keys = keys.len()))]
    pub(super) async fn find_many(&self, keys: &[&K]) -> Result<Vec<Option<V>>> {
        let texts = self.texts(keys)?;
        let members = self.shared.members();
        let parcels = pack(&members, &texts, 1);
        let read = join_all(parcels.iter().map(|parcel| {
            let keys: Vec<&str> = parcel.keys.iter().map(|at| &*texts[*at]).collect();
            async move { parcel.node.read(&keys).await }
        }))
        .await;
        let mut values = Vec::new();
        values.resize_with(keys.len(), || None);
        for (parcel, read) in parcels.iter().zip(read) {
            let cache = &parcel.node.cache;
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    self.shared.answer(Err(error))?;
                    cache.inner.counting.misses(parcel.keys.len());
                    continue;
                }
            };
            for (at, (_, entry)) in parcel.keys.iter().zip(read) {
                match cache.inner.see(entry, Source::Hit) {
                    Read::Found(loaded) => {
                        cache.inner.counting.hits(1);
                        values[*at] = cache.decode(&loaded)?.value;
                    }
                    Read::Missing(_) => cache.inner.counting.misses(1),
                }
            }
        }
        Ok(values)
    }

    /// Reads, and on a miss loads once for all; answers also from which node.
    #[tracing::instrument(name = "sharded.get", level = "debug", skip_all, fields(cache = self.shared.name()))]
    pub(super) async fn look_up<F, E>(
        &self,
        key: &K,
        nulls: Nulls,
        load: F,
    ) -> Result<Answered<V, C>>
    where
        F: AsyncFnOnce() -> Result<Option<V>, E>,
        E: Into<BoxError>,
    {
        let text = self.text(key)?;
        let node = self.shared.members().owner(&text).cloned();
        let node = node.ok_or_else(|| Error::internal("a sharded cache without nodes"))?;
        let cache = &node.cache;
        let (place, seen) = match node.read(&[&text]).await {
            Ok(read) => match read.into_iter().next() {
                Some((place, entry)) => match self.usable(&node, &place, entry, nulls).await? {
                    Ok(found) => return Ok((node, found)),
                    Err(seen) => (place, seen),
                },
                None => return Err(Error::internal("a node answered nothing")),
            },
            Err(error) => {
                self.shared.answer(Err(error))?;
                cache.inner.counting.misses(1);
                (node.nowhere(&text)?, Seen::Outage)
            }
        };
        let load = async || cache.encode(load().await.map_err(Into::into)?);
        let found = cache.decode(&cache.inner.fly(&place, seen, load).await?)?;
        Ok((node, found))
    }

    /// What was read, if the caller can use it; else how to go on.
    async fn usable(
        &self,
        node: &Node<V, C>,
        place: &Place,
        entry: Option<crate::cache::entry::Entry>,
        nulls: Nulls,
    ) -> Result<Result<Found<V>, Seen>> {
        let cache = &node.cache;
        let loaded = match cache.inner.see(entry, Source::Hit) {
            Read::Found(loaded) => loaded,
            Read::Missing(seen) => {
                cache.inner.counting.misses(1);
                return Ok(Err(seen));
            }
        };
        cache.inner.counting.hits(1);
        let is_dropped = matches!(loaded, Loaded { payload: None, .. }) && nulls == Nulls::Dropped;
        match cache.decode(&loaded) {
            Ok(found) if !is_dropped => Ok(Ok(found)),
            // Written by an older form of the type, or of no use to this caller: loading again heals it.
            _ => match scripts::invalidate(&cache.inner.russet, place).await {
                Ok(()) => Ok(Err(Seen::Nothing)),
                Err(error) if error.is_outage() && self.shared.dead_node == DeadNode::Miss => {
                    Ok(Err(Seen::Outage))
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Stores values, each with this TTL or the cache's own.
    #[tracing::instrument(name = "sharded.put", level = "debug", skip_all, fields(cache = self.shared.name(), keys = entries.len()))]
    pub(super) async fn store(
        &self,
        entries: &[(&K, &V)],
        ttl: Option<Duration>,
    ) -> Result<Vec<NodeAnswer>> {
        let keys: Vec<_> = entries.iter().map(|(key, _)| *key).collect();
        let texts = self.texts(&keys)?;
        if ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            return Err(self.refuse("a ttl below a millisecond"));
        }
        let members = self.shared.members();
        let mut payloads = Vec::with_capacity(entries.len());
        for ((_, value), text) in entries.iter().zip(&texts) {
            let Some(owner) = members.owner(text) else { continue };
            let payload = owner.cache.codec.encode(*value).map_err(|cause| {
                let what =
                    format_args!("sharded cache {}: a value cannot be encoded", self.shared.name());
                Error::codec(what, cause)
            })?;
            let limit = owner.cache.inner.max_value_bytes;
            if payload.len() > limit {
                let bytes = payload.len();
                return Err(self
                    .refuse(&format!("a value of {bytes} bytes, more than the {limit} allowed")));
            }
            payloads.push((payload, owner.cache.inner.life(true, ttl)));
            owner.cache.inner.counting.puts(1);
        }
        let put = |at: usize| match payloads.get(at) {
            Some((payload, ttl)) => Change::Put(payload, *ttl),
            None => Change::Drop,
        };
        self.change(&members, &texts, put).await
    }

    #[tracing::instrument(name = "sharded.invalidate", level = "debug", skip_all, fields(cache = self.shared.name(), keys = keys.len()))]
    pub(super) async fn drop_many(&self, keys: &[&K]) -> Result<Vec<NodeAnswer>> {
        let texts = self.texts(keys)?;
        let members = self.shared.members();
        for owner in texts.iter().filter_map(|text| members.owner(text)) {
            owner.cache.inner.counting.invalidations(1);
        }
        self.change(&members, &texts, |_| Change::Drop).await
    }

    /// Changes the keys at their own nodes, and drops them at their next: when a node is taken out, its keys come to
    /// nodes that have nothing older.
    async fn change<'a>(
        &self,
        members: &Members<V, C>,
        texts: &'a [Cow<'_, str>],
        change: impl Fn(usize) -> Change<'a>,
    ) -> Result<Vec<NodeAnswer>> {
        let parcels = pack(members, texts, 2);
        let changed = join_all(parcels.iter().map(|parcel| {
            let changes = parcel.keys.iter().map(|at| {
                let change = if parcel.is_owner { change(*at) } else { Change::Drop };
                (&*texts[*at], change)
            });
            let changes: Vec<_> = changes.collect();
            async move { parcel.node.change(&changes).await }
        }))
        .await;
        let mut answers = vec![NodeAnswer::Done; texts.len()];
        let mut failed = None;
        for (parcel, changed) in parcels.iter().zip(changed) {
            match (self.shared.answer(changed), parcel.is_owner) {
                (Ok(answer), true) => parcel.keys.iter().for_each(|at| answers[*at] = answer),
                // Its debt is noted, and it has no say in what became of the keys.
                (_, false) => {}
                (Err(error), true) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(answers),
        }
    }

    fn texts<'a>(&self, keys: &[&'a K]) -> Result<Vec<Cow<'a, str>>> {
        if keys.len() > MAX_BATCH {
            let count = keys.len();
            return Err(
                self.refuse(&format!("{count} keys at a time, more than the {MAX_BATCH} allowed"))
            );
        }
        keys.iter().map(|key| self.text(key)).collect()
    }

    fn text<'a>(&self, key: &'a K) -> Result<Cow<'a, str>> {
        let text = key.cache_key();
        check_length("key of a sharded cache", &text, MAX_KEY)?;
        Ok(text)
    }

    fn refuse(&self, why: &str) -> Error {
        Error::invalid(format_args!("sharded cache {}: {why}", self.shared.name()))
    }
}

/// Sorts the keys by the first so many nodes of each.
fn pack<'a, V, C>(
    members: &'a Members<V, C>,
    texts: &[Cow<'_, str>],
    nodes: usize,
) -> Vec<Parcel<'a, V, C>> {
    let mut parcels: BTreeMap<(&str, bool), Parcel<'a, V, C>> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        for (rank, node) in members.owner_and_next(text).take(nodes).enumerate() {
            let is_owner = rank == 0;
            let parcel = parcels.entry((&node.name, is_owner)).or_insert_with(|| Parcel {
                node,
                is_owner,
                keys: Vec::new(),
            });
            parcel.keys.push(at);
        }
    }
    parcels.into_values().collect()
}
