use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{BoxFuture, FutureExt as _};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::{Layer, Service};

use super::extract::Session;
use super::origin::is_cross_site;
use super::visitor::Visitor;
use crate::error::ApiError;
use crate::extract::chain;
use crate::server::BodyTooSlow;

const HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FIELD: &str = "_csrf";

/// Keeps requests away that another site has made the browser send (cross-site request forgery).
///
/// What changes something (any method but GET, HEAD, OPTIONS and TRACE) must come from a page of this origin or from no page, by
/// `Sec-Fetch-Site`, or by `Origin` where a browser sends no other; so must an upgrade to a WebSocket. Of somebody who is
/// signed in it must also have a token of this session, in the header `X-CSRF-Token` or the form field `_csrf`; a form of several
/// parts (`multipart/form-data`) needs the header.
/// What is refused is answered with 403, one and the same for all reasons, logged, and written down beside the session.
///
/// It stands inside of [`SessionLayer`](super::SessionLayer): further up in the chain of `layer` calls.
#[derive(Clone, Copy, Debug)]
#[must_use = "a layer does nothing before it is on a router"]
pub struct CsrfLayer {
    max_form_bytes: usize,
    needs_token: bool,
}

/// What [`CsrfLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct CsrfService<S> {
    inner: S,
    layer: CsrfLayer,
}

impl CsrfLayer {
    /// A layer with the settings that each setter names as its default.
    pub fn new() -> Self {
        Self { max_form_bytes: 64 * 1024, needs_token: true }
    }

    /// The most bytes of a form that is read for its token; a longer one is answered with 413, unless the token is in the header. Defaults to 64 KiB.
    pub fn max_form_bytes(mut self, bytes: usize) -> Self {
        self.max_form_bytes = bytes;
        self
    }

    /// Asks for no token.
    ///
    /// What is left is what the browser says of the page that sends: an old browser that says nothing can be made to do anything that
    /// its user may do.
    pub fn dangerously_without_tokens(mut self) -> Self {
        self.needs_token = false;
        self
    }

    /// The request, if it may go on.
    async fn check(self, request: Request) -> Result<Request, ApiError> {
        let is_unsafe = !request.method().is_safe();
        if !is_unsafe && !request.headers().contains_key(header::UPGRADE) {
            return Ok(request);
        }
        let visitor = request.extensions().get::<Visitor>().cloned().ok_or_else(|| {
            ApiError::internal("a CsrfLayer has no SessionLayer around it: put that behind it")
        })?;
        if is_cross_site(request.headers()) {
            let session = visitor.session().await.ok().flatten();
            return Err(refusal("csrf_cross_site", &visitor, session.as_ref()).await);
        }
        if !is_unsafe || !self.needs_token {
            return Ok(request);
        }
        let Some(session) = visitor.session().await? else { return Ok(request) };
        let (token, request) = self.token(request).await?;
        match token {
            Some(token) if session.is_csrf_token(&token) => Ok(request),
            Some(_) => Err(refusal("csrf_token_wrong", &visitor, Some(&session)).await),
            None => Err(refusal("csrf_token_missing", &visitor, Some(&session)).await),
        }
    }

    async fn token(self, request: Request) -> Result<(Option<String>, Request), ApiError> {
        if let Some(token) = request.headers().get(HEADER) {
            return Ok((Some(String::from_utf8_lossy(token.as_bytes()).into_owned()), request));
        }
        if !is_form(request.headers()) {
            return Ok((None, request));
        }
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, self.max_form_bytes).collect().await.map_err(bad_body)?;
        let bytes = body.to_bytes();
        Ok((field(&bytes), Request::from_parts(parts, Body::from(bytes))))
    }
}

impl Default for CsrfLayer {
    fn default() -> Self {
        Self::new()
    }
}

/// The one answer, after the reason was written down.
async fn refusal(reason: &str, visitor: &Visitor, session: Option<&Session>) -> ApiError {
    tracing::warn!(reason, address = ?visitor.address(), "a request was refused");
    if let Some(session) = session {
        let noted = visitor.sessions().note_activity(reason, session, visitor.device()).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "what was suspicious could not be written down");
        }
    }
    ApiError::new(
        StatusCode::FORBIDDEN,
        "the request was not sent by a page of this application: load the page again",
    )
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn field(form: &Bytes) -> Option<String> {
    let mut fields = form_urlencoded::parse(form);
    fields.find(|(name, _)| name == FIELD).map(|(_, value)| value.into_owned())
}

fn bad_body(error: BoxError) -> ApiError {
    let has = |is: fn(&(dyn std::error::Error + 'static)) -> bool| chain(&*error).any(is);
    let answer = if has(|error| error.is::<LengthLimitError>()) {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
    } else if has(|error| error.is::<BodyTooSlow>()) {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body arrived too slowly")
    } else {
        ApiError::bad_request("the body could not be read")
    };
    answer.caused_by(error)
}

impl<S> Layer<S> for CsrfLayer {
    type Service = CsrfService<S>;

    fn layer(&self, inner: S) -> CsrfService<S> {
        CsrfService { inner, layer: *self }
    }
}

impl<S> Service<Request> for CsrfService<S>
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
        let layer = self.layer;
        async move {
            match layer.check(request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => Ok(refusal.into_response()),
            }
        }
        .boxed()
    }
}
