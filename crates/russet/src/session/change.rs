use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Session, record::field, scripts};
use crate::{
    error::{Error, Result},
    names::check_name,
};

/// The most attributes of a session.
const MOST: usize = 128;

/// Changes of a session's attributes; made by [`Session::change`], sent by [`save`](Self::save).
#[must_use = "nothing is changed before it is saved"]
pub struct Change<'a> {
    session: &'a Session,
    sets: BTreeMap<String, Vec<u8>>,
    removed: BTreeSet<String>,
    version: Option<u64>,
    fault: Option<Error>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is done.
    Done {
        /// The session's version from now on.
        version: u64,
    },
    /// The session has another version than was asked for. Nothing was changed.
    Conflict {
        /// The version that it has.
        version: u64,
    },
    /// The session has ended. Nothing was changed, and it does not come back.
    Ended,
}

impl<'a> Change<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        let (sets, removed) = Default::default();
        Self { session, sets, removed, version: None, fault: None }
    }

    /// Sets an attribute. Its name has 1 to 256 bytes; its value becomes JSON of up to
    /// [`max_value_bytes`](super::SessionsBuilder::max_value_bytes).
    pub fn set<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        match self.encode(name, value) {
            Ok(json) => {
                self.removed.remove(name);
                self.sets.insert(name.to_owned(), json);
            }
            Err(error) => self.fault = self.fault.or(Some(error)),
        }
        self
    }

    /// Removes an attribute, whether or not it is there.
    pub fn remove(mut self, name: &str) -> Self {
        if let Err(error) = check_name("name of an attribute", name) {
            self.fault = self.fault.or(Some(error));
        }
        self.sets.remove(name);
        self.removed.insert(name.to_owned());
        self
    }

    /// Changes only while the session has this [`version`](Session::version).
    pub fn if_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Makes the changes, all or none. One round trip.
    ///
    /// # Errors
    /// `Invalid` for a name or a value out of its range, and when the session would have more than 128 attributes;
    /// `Codec` for a value that JSON cannot express; `Unknown` when the answer to a change with a version was lost.
    #[tracing::instrument(name = "session.change", level = "debug", skip_all)]
    pub async fn save(self) -> Result<Saved> {
        let Self { session, sets, removed, version, fault } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if sets.is_empty() && removed.is_empty() {
            return Err(Error::invalid("a change of a session changes nothing"));
        }
        let inner = &session.sessions().inner;
        let changes = scripts::Changes {
            version,
            sets: sets.iter().map(|(name, json)| (field(name), json.clone())).collect(),
            removed: removed.iter().map(|name| field(name)).collect(),
            most: MOST,
        };
        let (word, version) =
            scripts::update(&inner.russet, &inner.place, session.spot(), &changes).await?;
        match word.as_str() {
            "done" => {
                let text = |json: Vec<u8>| String::from_utf8_lossy(&json).into_owned();
                let sets = sets.into_iter().map(|(name, json)| (name, text(json)));
                session.learn(version, sets, &removed.into_iter().collect::<Vec<_>>());
                Ok(Saved::Done { version })
            }
            "conflict" => Ok(Saved::Conflict { version }),
            "full" => Err(Error::invalid(format_args!(
                "{} would have more than {MOST} attributes",
                session.object()
            ))),
            _ => Ok(Saved::Ended),
        }
    }

    fn encode<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<Vec<u8>> {
        encode(self.session.sessions(), name, value)
    }
}

/// An attribute's value as it is stored.
pub(super) fn encode<T: Serialize + ?Sized>(
    sessions: &super::Sessions,
    name: &str,
    value: &T,
) -> Result<Vec<u8>> {
    check_name("name of an attribute", name)?;
    let inner = &sessions.inner;
    let json = serde_json::to_vec(value).map_err(|cause| {
        Error::codec(
            format_args!("attribute {name} of a session of {}", inner.name()),
            cause.into(),
        )
    })?;
    let most = inner.settings.max_value_bytes;
    if json.len() > most {
        return Err(Error::invalid(format_args!(
            "attribute {name} of a session has {} bytes, more than the {most} allowed",
            json.len()
        )));
    }
    Ok(json)
}
