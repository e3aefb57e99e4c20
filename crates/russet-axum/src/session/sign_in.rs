use std::future::IntoFuture;

use futures_util::future::{BoxFuture, FutureExt as _};
use russet::{Create, SignedIn};
use serde::Serialize;

use super::extract::Session;
use super::visitor::Visitor;
use crate::error::ApiError;

/// Somebody who is being signed in; made by [`Visitor::sign_in`], sent by `.await`.
#[must_use = "nobody is signed in before it is awaited"]
pub struct SignIn<'a> {
    visitor: &'a Visitor,
    create: Create<'a>,
}

impl<'a> SignIn<'a> {
    pub(super) fn new(visitor: &'a Visitor, create: Create<'a>) -> Self {
        Self { visitor, create }
    }

    /// What the user may do; see [`Create::roles`].
    pub fn roles<I: IntoIterator<Item: Into<String>>>(mut self, roles: I) -> Self {
        self.create = self.create.roles(roles);
        self
    }

    /// An attribute that the session has from the start; see [`Create::set`].
    pub fn set<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.create = self.create.set(name, value);
        self
    }
}

impl<'a> IntoFuture for SignIn<'a> {
    type Output = Result<Session, ApiError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { visitor, create } = self;
        async move {
            let (token, session) = create.await?;
            visitor.adopt(SignedIn { token, session }).await
        }
        .boxed()
    }
}
