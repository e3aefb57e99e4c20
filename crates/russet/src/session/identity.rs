//! What a session is, signed when it is made or given a new id, and looked at at every load.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{
    device::{Device, FingerprintPart},
    secrets::{Keys, Secrets, random, same},
    token::SessionId,
};
use crate::error::{Error, Result};

/// The fields that nobody may change without the secret. Their JSON is what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    v: u8,
    pub(super) user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    global: Option<String>,
    pub(super) created: i64,
    pub(super) ends: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
    pub(super) fingerprint: String,
    csrf: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) user_agent: String,
}

/// An identity as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) json: String,
    pub(super) signature: String,
}

impl Identity {
    pub(super) fn new(
        user: &str,
        roles: Vec<String>,
        created: i64,
        ends: i64,
        device: &Device,
        parts: &[FingerprintPart],
        keys: &Keys,
    ) -> Result<Self> {
        Ok(Self {
            v: 1,
            user: user.to_owned(),
            app: None,
            global: None,
            created,
            ends,
            roles,
            fingerprint: BASE64.encode(device.fingerprint(keys, parts)),
            csrf: BASE64.encode(random()?),
            ip: device.ip,
            user_agent: device.user_agent.clone(),
        })
    }

    /// The same person on the same device, in an application under this session.
    pub(super) fn under(&self, global: SessionId, app: &str, created: i64) -> Result<Self> {
        let (app, global) = (Some(app.to_owned()), Some(global.to_string()));
        Ok(Self { app, global, created, csrf: BASE64.encode(random()?), ..self.clone() })
    }

    /// The same session after it was given another id, and perhaps other roles.
    pub(super) fn renewed(&self, roles: Option<Vec<String>>) -> Result<Self> {
        let roles = roles.unwrap_or_else(|| self.roles.clone());
        Ok(Self { roles, csrf: BASE64.encode(random()?), ..self.clone() })
    }

    pub(super) fn sign(&self, keys: &Keys, sessions: &str, id: SessionId) -> Result<Signed> {
        let json = serde_json::to_string(self)
            .map_err(|cause| Error::codec("the identity of a session", cause.into()))?;
        let signature = keys.sign_record(sessions, id.as_bytes(), json.as_bytes());
        Ok(Signed { json, signature: BASE64.encode(signature) })
    }

    /// What the text says; none when no key of ours has signed it for this id.
    pub(super) fn read(
        signed: &Signed,
        secrets: &Secrets,
        sessions: &str,
        id: SessionId,
    ) -> Option<Self> {
        let given = BASE64.decode(&signed.signature).ok()?;
        secrets.by(|keys| {
            same(&keys.sign_record(sessions, id.as_bytes(), signed.json.as_bytes()), &given)
        })?;
        serde_json::from_str(&signed.json).ok()
    }

    /// Whether it was made on a device like this. The identity may have been signed again since by a newer key.
    pub(super) fn is_device(
        &self,
        device: &Device,
        parts: &[FingerprintPart],
        secrets: &Secrets,
    ) -> bool {
        let known = BASE64.decode(&self.fingerprint).unwrap_or_default();
        secrets.by(|keys| same(&device.fingerprint(keys, parts), &known)).is_some()
    }

    pub(super) fn stands_under(&self, global: Option<SessionId>) -> bool {
        self.global == global.map(|id| id.to_string())
    }

    /// What CSRF tokens are made of.
    pub(super) fn csrf(&self) -> &[u8] {
        self.csrf.as_bytes()
    }
}
