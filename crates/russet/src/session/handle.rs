//! A session in the hands of the application.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Sessions,
    change::{Change, Saved},
    identity::Identity,
    record::Record,
    token::{SessionId, Spot},
};
use crate::{
    client::Reached,
    clock::from_millis,
    error::{Error, Result},
};

/// A session as it was when it was loaded, with the changes that were made by this handle.
///
/// A cheap clone; clones share what they know. Reading sends nothing.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Loaded>,
}

struct Loaded {
    sessions: Sessions,
    spot: Spot,
    identity: Identity,
    record: Mutex<Known>,
    above: BTreeMap<String, String>,
    seen: SystemTime,
    reached: Option<Reached>,
}

/// What changes of a session.
struct Known {
    attributes: BTreeMap<String, String>,
    apps: BTreeMap<String, SessionId>,
    version: u64,
}

/// What a session is made of.
pub(super) struct Parts {
    pub(super) spot: Spot,
    pub(super) identity: Identity,
    pub(super) record: Record,
    pub(super) above: Record,
    pub(super) reached: Option<Reached>,
}

impl Session {
    pub(super) fn new(sessions: &Sessions, parts: Parts) -> Self {
        let Parts { spot, identity, record, above, reached } = parts;
        let head = record.head();
        let seen = head.as_ref().map_or(identity.created, |head| head.seen);
        let known = Known {
            version: head.map_or(1, |head| head.version),
            attributes: record.attributes,
            apps: record.apps,
        };
        let inner = Loaded {
            sessions: sessions.clone(),
            spot,
            identity,
            record: Mutex::new(known),
            above: above.attributes,
            seen: from_millis(seen),
            reached,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its public name.
    pub fn id(&self) -> SessionId {
        self.inner.spot.id
    }

    /// Whose it is.
    pub fn user(&self) -> &str {
        &self.identity().user
    }

    /// What the user may do, as was said when it was made or given a new id.
    pub fn roles(&self) -> &[String] {
        &self.identity().roles
    }

    /// Whether this is one of its [`roles`](Self::roles).
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().iter().any(|own| own == role)
    }

    /// The application that it is of, under single sign-on.
    pub fn app(&self) -> Option<&str> {
        self.identity().app.as_deref()
    }

    /// The global session that it stands under, if it is an application's.
    pub fn global(&self) -> Option<SessionId> {
        self.inner.spot.global
    }

    /// When it was made, by the server's clock.
    pub fn created(&self) -> SystemTime {
        from_millis(self.identity().created)
    }

    /// When it ends however much it is used.
    pub fn ends(&self) -> SystemTime {
        from_millis(self.identity().ends)
    }

    /// When it was used last before it was loaded, as exactly as [touches](super::SessionsBuilder::touch_after) are.
    pub fn last_seen(&self) -> SystemTime {
        self.inner.seen
    }

    /// The address that it was made from.
    pub fn ip(&self) -> Option<IpAddr> {
        self.identity().ip
    }

    /// What the device that it was made on said it was.
    pub fn user_agent(&self) -> &str {
        &self.identity().user_agent
    }

    /// What the write that made it had reached, by the handle's [durability](crate::Russet::durability); none when it was loaded.
    pub fn reached(&self) -> Option<Reached> {
        self.inner.reached
    }

    /// Its version: each change makes it one larger.
    pub fn version(&self) -> u64 {
        self.known().version
    }

    /// An attribute; of an application's session, one of the global session when it has none of this name itself.
    ///
    /// # Errors
    /// `Codec` when it is not of this type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let known = self.known();
        let Some(json) = known.attributes.get(name).or_else(|| self.inner.above.get(name)) else {
            return Ok(None);
        };
        serde_json::from_str(json).map(Some).map_err(|cause| {
            Error::codec(format_args!("attribute of {}", self.object()), cause.into())
        })
    }

    /// Sets one attribute, and leaves the others as they are. One round trip.
    ///
    /// # Errors
    /// As [`Change::save`].
    pub async fn set<T: Serialize + Sync + ?Sized>(&self, name: &str, value: &T) -> Result<Saved> {
        self.change().set(name, value).save().await
    }

    /// Removes one attribute. One round trip.
    ///
    /// # Errors
    /// As [`Change::save`].
    pub async fn remove(&self, name: &str) -> Result<Saved> {
        self.change().remove(name).save().await
    }

    /// Several changes of attributes in one step.
    pub fn change(&self) -> Change<'_> {
        Change::new(self)
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    pub(super) fn spot(&self) -> Spot {
        self.inner.spot
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The session of an application under it, as far as is known here.
    pub(super) fn session_of(&self, app: &str) -> Option<SessionId> {
        self.known().apps.get(app).copied()
    }

    /// For messages: nothing that could sign anybody in.
    pub(super) fn object(&self) -> String {
        format!("a session of {}", self.inner.sessions.inner.name())
    }

    pub(super) fn learn(
        &self,
        version: u64,
        sets: impl IntoIterator<Item = (String, String)>,
        removed: &[String],
    ) {
        let mut known = self.known();
        // Two changes may be answered in another order.
        known.version = known.version.max(version);
        known.attributes.extend(sets);
        known.attributes.retain(|name, _| !removed.contains(name));
    }

    pub(super) fn learn_app(&self, app: &str, id: Option<SessionId>) {
        let mut known = self.known();
        match id {
            Some(id) => known.apps.insert(app.to_owned(), id),
            None => known.apps.remove(app),
        };
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Session> for Session {
    fn as_ref(&self) -> &Session {
        self
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("of", &self.inner.sessions.inner.name())
            .finish_non_exhaustive()
    }
}
