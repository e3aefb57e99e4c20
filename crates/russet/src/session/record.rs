//! A session as it stands in Redis.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Inner,
    identity::{Identity, Signed},
    token::{SessionId, Spot},
};
use crate::names::{decode, encode};

/// What stands in a record, before anybody has looked at its signature.
#[derive(Debug, Default)]
pub(super) struct Record {
    head: String,
    signed: Option<Signed>,
    /// The address of its last use.
    pub(super) ip: Option<IpAddr>,
    /// Attributes, as JSON.
    pub(super) attributes: BTreeMap<String, String>,
    /// Who is signed in to applications by it.
    pub(super) apps: BTreeMap<String, SessionId>,
}

/// What changes in a record without being signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) user: String,
    ends: i64,
    pub(super) idle_until: i64,
    pub(super) seen: i64,
    pub(super) version: u64,
}

impl Record {
    /// From the answer to `HGETALL`.
    pub(super) fn read(fields: Vec<String>) -> Self {
        let mut record = Self::default();
        let (mut identity, mut signature) = (None, None);
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match name.as_str() {
                "head" => record.head = value,
                "identity" => identity = Some(value),
                "signature" => signature = Some(value),
                "ip" => record.ip = value.parse().ok(),
                _ => record.read_named(&name, value),
            }
        }
        record.signed = identity.zip(signature).map(|(json, signature)| Signed { json, signature });
        record
    }

    fn read_named(&mut self, name: &str, value: String) {
        if let Some(name) = name.strip_prefix("a:").and_then(decode) {
            self.attributes.insert(name, value);
        } else if let Some(app) = name.strip_prefix("app:").and_then(decode)
            && let Some(id) = value.split(' ').next().and_then(|id| id.parse().ok())
        {
            self.apps.insert(app, id);
        }
    }

    pub(super) fn head(&self) -> Option<Head> {
        let mut words = self.head.split(' ');
        words.next().filter(|version| version.starts_with("V1"))?;
        let user = decode(words.next()?)?;
        let _number = words.next()?;
        let mut ms = || words.next()?.parse::<i64>().ok();
        let (ends, idle_until, seen) = (ms()?, ms()?, ms()?);
        let version = words.next()?.parse().ok()?;
        Some(Head { user, ends, idle_until, seen, version })
    }

    /// The identity, if one of our keys has signed it and the rest of the record agrees with it.
    pub(super) fn identity(&self, inner: &Inner, spot: Spot) -> Option<Identity> {
        let identity =
            Identity::read(self.signed.as_ref()?, &inner.secrets, inner.name(), spot.id)?;
        let head = self.head()?;
        let agrees = identity.user == head.user
            && identity.ends == head.ends
            && identity.stands_under(spot.global);
        agrees.then_some(identity)
    }
}

/// The field of an attribute.
pub(super) fn field(name: &str) -> String {
    ["a:", &encode(name)].concat()
}
