use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use super::visitor::Visitor;
use crate::error::ApiError;

/// Somebody who is signed in, as an argument of a handler: everything that a [`russet::Session`] can.
///
/// Who is not signed in gets 401; with `Option<Session>` the handler decides. While Redis is away both answer 503.
#[derive(Clone, Debug)]
pub struct Session(russet::Session);

impl Session {
    /// Refuses who has not this role.
    ///
    /// # Errors
    /// 403.
    pub fn require_role(&self, role: &str) -> Result<(), ApiError> {
        if self.0.has_role(role) { Ok(()) } else { Err(ApiError::forbidden()) }
    }

    /// Whether it is this one of a user's sessions, or the application's under it.
    pub(super) fn is(&self, id: russet::SessionId) -> bool {
        self.0.global().unwrap_or(self.0.id()) == id
    }
}

impl Deref for Session {
    type Target = russet::Session;

    fn deref(&self) -> &russet::Session {
        &self.0
    }
}

impl AsRef<russet::Session> for Session {
    fn as_ref(&self) -> &russet::Session {
        &self.0
    }
}

impl From<russet::Session> for Session {
    fn from(session: russet::Session) -> Self {
        Self(session)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| ApiError::internal("there is no SessionLayer around this route"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let session = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
        session.await?.ok_or_else(ApiError::unauthorized)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        Visitor::from_request_parts(parts, state).await?.session().await
    }
}
