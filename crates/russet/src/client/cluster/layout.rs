//! Which node of a Cluster has which slot.

use std::collections::HashSet;

use redis::{FromRedisValue, Value};

use crate::client::address::Address;
use crate::cluster_slot::COUNT;

/// Nobody's slot.
const NONE: u16 = u16::MAX;

/// What one node told, and the redirects that came since.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::client) struct Layout {
    /// For each slot, the place of its owner among the primaries.
    owners: Vec<u16>,
    primaries: Vec<Address>,
    /// All nodes, the replicas included.
    members: HashSet<Address>,
}

impl Layout {
    /// Before anything is known.
    pub(super) fn empty() -> Self {
        let owners = vec![NONE; usize::from(COUNT)];
        Self { owners, primaries: Vec::new(), members: HashSet::new() }
    }

    /// Reads the answer to `CLUSTER SLOTS` of this node; `None` when it has another form.
    pub(super) fn read(answer: Value, node: &Address) -> Option<Self> {
        let mut layout = Self::empty();
        for range in list(answer)? {
            let mut parts = list(range)?.into_iter();
            let (first, last) = (number(parts.next()?)?, number(parts.next()?)?);
            let owner = layout.member(parts.next()?, node)?;
            for replica in parts {
                layout.member(replica, node)?;
            }
            layout.give(first..=last, owner);
        }
        Some(layout)
    }

    fn member(&mut self, described: Value, node: &Address) -> Option<Address> {
        let mut parts = list(described)?.into_iter();
        // A node that does not know a host leaves it out.
        let host: Option<String> = FromRedisValue::from_redis_value(parts.next()?).ok()?;
        let port = number(parts.next()?)?;
        let address = Address::beside(node, host.as_deref().unwrap_or_default(), port);
        self.members.insert(address.clone());
        Some(address)
    }

    /// The same with one slot at another node.
    pub(super) fn with(&self, slot: u16, owner: Address) -> Self {
        let mut changed = self.clone();
        changed.members.insert(owner.clone());
        changed.give(slot..=slot, owner);
        changed
    }

    fn give(&mut self, slots: std::ops::RangeInclusive<u16>, owner: Address) {
        let known = self.primaries.iter().position(|primary| *primary == owner);
        let place = known.unwrap_or_else(|| {
            self.primaries.push(owner);
            self.primaries.len() - 1
        });
        let place = u16::try_from(place).unwrap_or(NONE);
        for slot in slots {
            if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
                *owner = place;
            }
        }
    }

    /// The node of a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        let place = *self.owners.get(usize::from(slot))?;
        self.primaries.get(usize::from(place))
    }

    pub(super) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    pub(super) fn members(&self) -> &HashSet<Address> {
        &self.members
    }

    /// How many slots have a node.
    pub(super) fn covered(&self) -> usize {
        self.owners.iter().filter(|owner| **owner != NONE).count()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.covered() == usize::from(COUNT)
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn number(value: Value) -> Option<u16> {
    FromRedisValue::from_redis_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: i64) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Array(vec![text("10.0.0.9"), Value::Int(port), text("id"), Value::Array(vec![])])
    }

    fn address(port: u16) -> Address {
        Address::Tcp { host: "10.0.0.9".into(), port }
    }

    fn answer() -> Value {
        let range = |first, last, nodes: &[i64]| {
            let bounds = [Value::Int(first), Value::Int(last)];
            Value::Array(bounds.into_iter().chain(nodes.iter().map(|port| node(*port))).collect())
        };
        Value::Array(vec![range(0, 99, &[1, 4]), range(100, 16_383, &[2])])
    }

    #[test]
    fn each_slot_has_its_node_and_replicas_are_members() {
        let layout = Layout::read(answer(), &address(1)).unwrap();
        assert!(layout.is_complete());
        assert_eq!((layout.owner(99), layout.owner(100)), (Some(&address(1)), Some(&address(2))));
        assert_eq!(layout.owner(16_384), None);
        assert!(layout.members().contains(&address(4)) && layout.primaries().len() == 2);
    }

    #[test]
    fn a_moved_slot_is_at_its_new_node_alone() {
        let layout = Layout::read(answer(), &address(1)).unwrap().with(99, address(3));
        assert_eq!((layout.owner(99), layout.owner(98)), (Some(&address(3)), Some(&address(1))));
    }

    #[test]
    fn an_answer_of_another_form_is_none() {
        assert!(Layout::read(Value::Int(1), &address(1)).is_none());
        assert!(Layout::read(Value::Array(vec![Value::Nil]), &address(1)).is_none());
    }
}
