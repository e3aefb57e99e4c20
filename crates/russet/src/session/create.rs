use std::future::IntoFuture;

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;

use super::{
    Sessions,
    change::encode,
    check_user,
    device::Device,
    handle::{Parts, Session},
    identity::Identity,
    record::{Record, field},
    scripts::{self, New},
    token::{SessionToken, Spot},
};
use crate::{
    error::{Advice, Error, ErrorKind, Result},
    names::check_name,
};

/// How often a session is dated: the second time it is known what the server's time is.
const TRIES: usize = 3;
/// The most roles of a session.
const MOST_ROLES: usize = 64;

/// A session that is being made; made by [`Sessions::create`], sent by `.await`.
#[must_use = "there is no session before it is awaited"]
pub struct Create<'a> {
    sessions: &'a Sessions,
    user: &'a str,
    device: &'a Device,
    roles: Vec<String>,
    attributes: Vec<(String, Vec<u8>)>,
    token: Option<SessionToken>,
    fault: Option<Error>,
}

/// Somebody who has just signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// What the client is to keep.
    pub token: SessionToken,
    /// The session.
    pub session: Session,
}

/// What a session is made of, whoever makes it.
pub(super) struct Draft<'a> {
    pub(super) identity: Identity,
    pub(super) spot: Spot,
    pub(super) attributes: Vec<(String, Vec<u8>)>,
    pub(super) evicts: bool,
    pub(super) ticket: Option<&'a str>,
    pub(super) ip: String,
}

impl Sessions {
    /// Makes a session for a user who has shown who it is. An older session of the client is not part of it:
    /// [sign that out](Self::sign_out), or [rotate](Session::rotate) it. One round trip.
    ///
    /// Whose token is lost on the way to the client has a session that nobody uses, until it is idle for too long.
    pub fn create<'a>(&'a self, user: &'a str, device: &'a Device) -> Create<'a> {
        let (roles, attributes) = Default::default();
        Create { sessions: self, user, device, roles, attributes, token: None, fault: None }
    }

    /// A token for [`Create::token`].
    ///
    /// # Errors
    /// `Invalid` for a name that is no user's; `Internal` when the operating system gives no random bytes.
    pub fn new_token(&self, user: &str) -> Result<SessionToken> {
        check_user(user)?;
        let inner = &self.inner;
        SessionToken::random(&inner.secrets, inner.name(), inner.shard(user), None)
    }
}

impl Create<'_> {
    /// What the user may do; signed with the session. Up to 64 names.
    pub fn roles<I: IntoIterator<Item: Into<String>>>(mut self, roles: I) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// An attribute that it has from the start.
    pub fn set<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        match encode(self.sessions, name, value) {
            Ok(json) => self.attributes.push((field(name), json)),
            Err(error) => self.fault = self.fault.or(Some(error)),
        }
        self
    }

    /// The token that it gets, from [`Sessions::new_token`]. Making it again with the same token, after an answer that was lost,
    /// does not make a second one: its id is the request's. It never takes the place of a session that is there. A random one
    /// unless set.
    pub fn token(mut self, token: &SessionToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Makes it unless the user has [as many as allowed](super::SessionsBuilder::max_sessions): none then, and nothing is written.
    ///
    /// # Errors
    /// As `.await` on it.
    pub async fn unless_full(self) -> Result<Option<(SessionToken, Session)>> {
        self.send(false).await
    }

    #[tracing::instrument(name = "session.create", level = "debug", skip_all)]
    async fn send(self, evicts: bool) -> Result<Option<(SessionToken, Session)>> {
        let Self { sessions, user, device, roles, attributes, token, fault } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }
        check_user(user)?;
        check_roles(&roles)?;
        if attributes.len() > 128 {
            return Err(Error::invalid("a session has 128 attributes at most"));
        }
        let inner = &sessions.inner;
        let token = token.map_or_else(|| sessions.new_token(user), Ok)?;
        let spot = token
            .spot(&inner.secrets, inner.name())
            .ok()
            .filter(|spot| spot.global.is_none() && spot.shard == inner.shard(user));
        let spot = spot.ok_or_else(|| Error::invalid("the token was not made for this user"))?;
        let settings = &inner.settings;
        let identity = Identity::new(
            user,
            roles,
            0,
            0,
            device,
            &settings.fingerprint,
            inner.secrets.signing(),
        )?;
        let ip = device.ip.map_or(String::new(), |ip| ip.to_string());
        let draft = Draft { identity, spot, attributes, evicts, ticket: None, ip };
        let session = sessions.make(draft, true).await?;
        Ok(session.map(|session| (token, session)))
    }
}

impl Sessions {
    /// Makes what the draft says; none when there is no room, no global session or no ticket.
    pub(super) async fn make(&self, draft: Draft<'_>, is_dated: bool) -> Result<Option<Session>> {
        self.keep_swept();
        let inner = &self.inner;
        let (russet, clock) = (&inner.russet, inner.russet.clock());
        let Draft { mut identity, spot, attributes, evicts, ticket, ip } = draft;
        for _ in 0..TRIES {
            identity.created = clock.now_ms();
            if is_dated {
                let age = i64::try_from(inner.settings.max_age.as_millis()).unwrap_or(i64::MAX);
                identity.ends = identity.created.saturating_add(age);
            }
            let signed = identity.sign(inner.secrets.signing(), inner.name(), spot.id)?;
            let new = New {
                user: &identity.user,
                app: identity.app.as_deref(),
                signed: &signed,
                created: identity.created,
                ends: identity.ends,
                idle: inner.settings.idle_timeout,
                most: if spot.global.is_none() { inner.settings.max_sessions } else { 0 },
                evicts,
                ip: &ip,
                ticket,
                attributes: attributes.clone(),
            };
            let ((word, now), reached) = scripts::create(russet, &inner.place, spot, &new).await?;
            clock.learn(now);
            match word.as_str() {
                "made" => {
                    metrics::counter!("russet_sessions_created_total", "sessions" => inner.name.clone())
                        .increment(1);
                    let text = |(name, json): (String, Vec<u8>)| {
                        [name, String::from_utf8_lossy(&json).into_owned()]
                    };
                    let record = Record::read(attributes.into_iter().flat_map(text).collect());
                    let (above, reached) = (Record::default(), Some(reached));
                    let parts = Parts { spot, identity, record, above, reached };
                    return Ok(Some(Session::new(self, parts)));
                }
                "clock" => {}
                "taken" => {
                    return Err(Error::invalid("the token is that of another session"));
                }
                _ => return Ok(None),
            }
        }
        let message = format_args!(
            "sessions of {}: the server's clock changed during {TRIES} tries",
            inner.name()
        );
        Err(Error::new(ErrorKind::Refused, Advice::Retry, message))
    }
}

impl<'a> IntoFuture for Create<'a> {
    type Output = Result<(SessionToken, Session)>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let made = self.send(true).await?;
            made.ok_or_else(|| {
                Error::internal("a session was not made, and its script did not say why")
            })
        }
        .boxed()
    }
}

impl AsRef<Session> for SignedIn {
    fn as_ref(&self) -> &Session {
        &self.session
    }
}

pub(super) fn check_roles(roles: &[String]) -> Result<()> {
    if roles.len() > MOST_ROLES {
        return Err(Error::invalid(format_args!("a session has {MOST_ROLES} roles at most")));
    }
    roles.iter().try_for_each(|role| check_name("name of a role", role))
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{Russet, testing::TestServer};

    #[tokio::test]
    async fn a_clock_that_is_wrong_by_a_day_is_set_right_before_a_session_is_dated() {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let sessions = Sessions::builder(&russet, "web").secret([7; 32]).build().unwrap();
        russet.clock().learn(russet.clock().now_ms() - 86_400_000);
        let (_, session) = sessions.create("u", &Device::unknown()).await.unwrap();
        let age = SystemTime::now().duration_since(session.created()).unwrap_or_default();
        assert!(age.as_secs() < 3_600, "made {age:?} ago");
    }

    #[tokio::test]
    async fn what_is_written_down_of_a_session_that_has_ended_leaves_no_record() {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let sessions = Sessions::builder(&russet, "web").secret([7; 32]).build().unwrap();
        let (token, session) = sessions.create("u", &Device::unknown()).await.unwrap();
        let _ = sessions.sign_out(&token).await.unwrap();
        let device = Device::unknown();
        let (spot, ip) = (session.spot(), Some("192.0.2.1"));
        sessions.try_note(spot, "address_changed", ip, &device, Some(&session)).await;
        assert_eq!(sessions.activity(9).await.unwrap().len(), 1);
        let records = server.command(&["KEYS", "*:record:*"]).await.unwrap();
        assert!(records.texts().is_empty(), "{records:?}");
    }
}
