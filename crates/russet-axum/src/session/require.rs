use std::borrow::Cow;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{BoxFuture, FutureExt as _};
use tower::{Layer, Service};

use super::visitor::Visitor;
use crate::error::ApiError;

/// Lets only those in who are signed in, or have a role: 401 and 403 for the others. For whole routers, by `route_layer`.
///
/// ```
/// use axum::{Router, routing::get};
/// use russet_axum::session::Require;
///
/// let office: Router = Router::new()
///     .route("/office", get(async || "all doors"))
///     .route_layer(Require::role("admin"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing before it is on a router"]
pub struct Require {
    role: Option<Cow<'static, str>>,
}

/// What [`Require`] makes of a service.
#[derive(Clone, Debug)]
pub struct RequireService<S> {
    inner: S,
    require: Require,
}

impl Require {
    /// Who is signed in.
    pub fn session() -> Self {
        Self { role: None }
    }

    /// Who is signed in and has this role.
    pub fn role(role: impl Into<Cow<'static, str>>) -> Self {
        Self { role: Some(role.into()) }
    }

    async fn check(&self, visitor: Option<Visitor>) -> Result<(), ApiError> {
        let visitor = visitor
            .ok_or_else(|| ApiError::internal("there is no SessionLayer around this route"))?;
        let session = visitor.session().await?.ok_or_else(ApiError::unauthorized)?;
        self.role.as_ref().map_or(Ok(()), |role| session.require_role(role))
    }
}

impl<S> Layer<S> for Require {
    type Service = RequireService<S>;

    fn layer(&self, inner: S) -> RequireService<S> {
        RequireService { inner, require: self.clone() }
    }
}

impl<S> Service<Request> for RequireService<S>
where
    S: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let waiting = self.inner.clone();
        // The one that has said that it is ready.
        let mut inner = std::mem::replace(&mut self.inner, waiting);
        let require = self.require.clone();
        async move {
            let visitor = request.extensions().get::<Visitor>().cloned();
            match require.check(visitor).await {
                Ok(()) => inner.call(request).await,
                Err(refusal) => Ok(refusal.into_response()),
            }
        }
        .boxed()
    }
}
