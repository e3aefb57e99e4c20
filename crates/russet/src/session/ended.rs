//! What is told of a session that has ended.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Inner,
    log::EndReason,
    record::Record,
    token::{SessionId, Spot},
};
use crate::{
    clock::from_millis,
    error::{Error, Result},
};

/// A session that has ended, as [listeners](super::SessionsBuilder::on_ended) are told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndedSession {
    /// The session's public name. It ends once, so it is the event's id too: who is told twice knows by it.
    pub id: SessionId,
    /// Whose it was.
    pub user: String,
    /// The application that it was of.
    pub app: Option<String>,
    /// Why it ended.
    pub reason: EndReason,
    /// When it was made.
    pub created: SystemTime,
    /// When it was taken away, by the server's clock; soon after its time was over.
    pub ended: SystemTime,
    /// The address that it was made from.
    pub ip: Option<IpAddr>,
    /// Whether it was signed by us. Of one that was not, nothing but the id is to be believed.
    pub is_genuine: bool,
    attributes: BTreeMap<String, String>,
}

/// As `lua/session/finish.lua` writes it.
#[derive(Deserialize)]
struct Written {
    why: String,
    at: i64,
    parent: String,
    fields: Vec<String>,
}

impl EndedSession {
    pub(super) fn read(inner: &Inner, shard: u8, id: &str, text: &str) -> Option<Self> {
        let id: SessionId = id.parse().ok()?;
        let written: Written = serde_json::from_str(text).ok()?;
        let record = Record::read(written.fields);
        let spot = Spot { shard, id, global: written.parent.parse().ok() };
        let identity = record.identity(inner, spot);
        let user = record.head().map(|head| head.user);
        Some(Self {
            id,
            user: identity.as_ref().map(|own| own.user.clone()).or(user).unwrap_or_default(),
            app: identity.as_ref().and_then(|own| own.app.clone()),
            reason: EndReason::read(&written.why),
            created: from_millis(identity.as_ref().map_or(0, |own| own.created)),
            ended: from_millis(written.at),
            ip: identity.as_ref().and_then(|own| own.ip),
            is_genuine: identity.is_some(),
            attributes: record.attributes,
        })
    }

    /// An attribute that it had.
    ///
    /// # Errors
    /// `Codec` when it is not of this type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(json) = self.attributes.get(name) else { return Ok(None) };
        serde_json::from_str(json)
            .map(Some)
            .map_err(|cause| Error::codec("attribute of an ended session", cause.into()))
    }
}
