use std::future::IntoFuture;

use futures_util::future::{BoxFuture, FutureExt};

use super::{
    create::check_roles,
    handle::{Parts, Session},
    record::Record,
    scripts,
    token::SessionToken,
};
use crate::error::{Error, Result};

/// A session that gets another id; made by [`Session::rotate`], sent by `.await`.
#[must_use = "the id is the old one before it is awaited"]
pub struct Rotate<'a> {
    session: &'a Session,
    roles: Option<Vec<String>>,
}

impl Session {
    /// Gives the session another id, another token and another secret for CSRF tokens, as is due when somebody gets more rights (session
    /// fixation): attributes and deadlines stay. The old token is unknown at once. The sessions of applications under it end. One round trip.
    pub fn rotate(&self) -> Rotate<'_> {
        Rotate { session: self, roles: None }
    }
}

impl Rotate<'_> {
    /// Other roles than before.
    pub fn roles<I: IntoIterator<Item: Into<String>>>(mut self, roles: I) -> Self {
        self.roles = Some(roles.into_iter().map(Into::into).collect());
        self
    }

    #[tracing::instrument(name = "session.rotate", level = "debug", skip_all)]
    async fn send(self) -> Result<Option<(SessionToken, Session)>> {
        let Self { session, roles } = self;
        check_roles(roles.as_deref().unwrap_or_default())?;
        let (sessions, old) = (session.sessions(), session.spot());
        let inner = &sessions.inner;
        let token = SessionToken::random(&inner.secrets, inner.name(), old.shard, old.global)?;
        let Ok(spot) = token.spot(&inner.secrets, inner.name()) else {
            return Err(Error::internal("a token of our own is none"));
        };
        let identity = session.identity().renewed(roles)?;
        let signed = identity.sign(inner.secrets.signing(), inner.name(), spot.id)?;
        let ((word, _, fields), reached) =
            scripts::rotate(&inner.russet, &inner.place, old, spot.id, &signed).await?;
        if word != "done" {
            return Ok(None);
        }
        let record = Record::read(fields);
        let above = Record::default();
        let parts = Parts { spot, identity, record, above, reached: Some(reached) };
        Ok(Some((token, Session::new(sessions, parts))))
    }
}

impl<'a> IntoFuture for Rotate<'a> {
    /// None when the session has ended.
    type Output = Result<Option<(SessionToken, Session)>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
