//! Which of several nodes a key belongs to, with nothing asked and nothing sent.

mod points;

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    names::check_name,
};
use points::{Points, hash_of_key};

/// How many points a node of weight 1 has. A node's share is off by about one in the root of this: of 10 nodes the
/// busiest is within 10 % of the mean, whatever their names (4.5 standard deviations).
const POINTS_A_NODE: u32 = 2_048;

/// The largest weight of a node.
const MAX_WEIGHT: u32 = 100;

/// The most nodes of a ring.
const MAX_NODES: usize = 1_000;

/// A consistent-hash ring: says to which node a key belongs, so that a node that comes or goes moves its own keys only.
///
/// Every node has many points on a circle of 64-bit numbers, and a key belongs to the node of the next point. The points
/// are a fixed hash (xxh3) of the node's name: every process and every version of russet that knows the same names and
/// weights gives the same answers, in whatever order the nodes were added. Of 10 nodes of one weight the busiest has at most 1.10 of the
/// mean. Adding the n-th node moves about 1/n of the keys, all of them to it; removing it moves them back.
///
/// Finding a node is a binary search, and allocates nothing. A clone is cheap and shares the points until one of the two
/// is changed: keep the ring in a lock, and give each reader a clone.
///
/// ```
/// use russet::HashRing;
///
/// let mut ring = HashRing::of(["cache-1", "cache-2", "cache-3"])?;
/// let node = ring.get_node("user:42").expect("there are nodes");
/// let (first, then) = (node.to_owned(), ring.replicas("user:42", 2));
/// assert_eq!(then[0], first);
///
/// ring.add_weighted_node("cache-4", 2)?; // twice the share of the others
/// ring.remove_node("cache-4");
/// assert_eq!(ring.get_node("user:42"), Some(first.as_str()));
/// # Ok::<(), russet::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct HashRing {
    inner: Arc<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    /// By name, so that the ring does not depend on the order in which they came.
    nodes: Vec<Node>,
    points: Points,
}

#[derive(Clone)]
struct Node {
    name: Arc<str>,
    weight: u32,
}

impl HashRing {
    /// A ring without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A ring of these nodes, each of weight 1.
    ///
    /// # Errors
    /// As [`add_node`](Self::add_node).
    pub fn of<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self> {
        let mut ring = Self::new();
        for name in names {
            ring.add_node(name.as_ref())?;
        }
        Ok(ring)
    }

    /// Adds a node of weight 1.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty, over 256 bytes or there already, and for the 1,001st node.
    pub fn add_node(&mut self, name: &str) -> Result<()> {
        self.add_weighted_node(name, 1)
    }

    /// Adds a node that gets so many times the share of a node of weight 1.
    ///
    /// # Errors
    /// As [`add_node`](Self::add_node), and for a weight that is not 1 to 100.
    pub fn add_weighted_node(&mut self, name: &str, weight: u32) -> Result<()> {
        check_name("name of a ring's node", name)?;
        check_weight(name, weight)?;
        let Err(at) = self.position(name) else {
            return Err(Error::invalid(format_args!("the ring has a node {name} already")));
        };
        if self.inner.nodes.len() == MAX_NODES {
            return Err(Error::invalid(format_args!("the ring has {MAX_NODES} nodes already")));
        }
        let inner = Arc::make_mut(&mut self.inner);
        inner.nodes.insert(at, Node { name: name.into(), weight });
        inner.place();
        Ok(())
    }

    /// Gives a node another weight: keys move to it when it is heavier, and away from it when it is lighter, and no others
    /// do. Answers whether there is such a node.
    ///
    /// # Errors
    /// `Invalid` for a weight that is not 1 to 100.
    pub fn set_weight(&mut self, name: &str, weight: u32) -> Result<bool> {
        check_weight(name, weight)?;
        let Ok(at) = self.position(name) else { return Ok(false) };
        let inner = Arc::make_mut(&mut self.inner);
        if let Some(node) = inner.nodes.get_mut(at) {
            node.weight = weight;
        }
        inner.place();
        Ok(true)
    }

    /// Removes a node; answers whether it was there.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let Ok(at) = self.position(name) else { return false };
        let inner = Arc::make_mut(&mut self.inner);
        inner.nodes.remove(at);
        inner.place();
        true
    }

    /// The node of a key; `None` only when there are no nodes.
    pub fn get_node(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        let inner = &*self.inner;
        let node = inner.points.from(hash_of_key(key.as_ref())).next()?;
        inner.name(node)
    }

    /// The first `count` different nodes for a key, its own first: where copies of it would go. Each of them is where the
    /// key belongs once those before it are gone. Fewer when there are not so many nodes.
    pub fn replicas(&self, key: impl AsRef<[u8]>, count: usize) -> Vec<&str> {
        let inner = &*self.inner;
        let count = count.min(inner.nodes.len());
        let mut found = Vec::with_capacity(count);
        for node in inner.points.from(hash_of_key(key.as_ref())) {
            if found.len() == count {
                break;
            }
            if !found.contains(&node) {
                found.push(node);
            }
        }
        found.into_iter().filter_map(|node| inner.name(node)).collect()
    }

    /// The nodes and their weights, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, u32)> {
        self.inner.nodes.iter().map(|node| (&*node.name, node.weight))
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.inner.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.nodes.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.inner.nodes.binary_search_by(|node| (*node.name).cmp(name))
    }
}

impl Inner {
    /// Makes the points anew: a change of nodes is rare, and a look-up is not.
    fn place(&mut self) {
        let nodes = self.nodes.iter().map(|node| (&*node.name, node.weight * POINTS_A_NODE));
        self.points = Points::of(nodes);
    }

    fn name(&self, node: u32) -> Option<&str> {
        self.nodes.get(node as usize).map(|node| &*node.name)
    }
}

impl fmt::Debug for HashRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.nodes()).finish()
    }
}

fn check_weight(name: &str, weight: u32) -> Result<()> {
    match weight {
        1..=MAX_WEIGHT => Ok(()),
        _ => Err(Error::invalid(format_args!(
            "the ring's node {name} has the weight {weight}; it must be 1 to {MAX_WEIGHT}"
        ))),
    }
}
