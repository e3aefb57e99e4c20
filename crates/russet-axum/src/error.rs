//! One shape for every error that a client sees: `{"error": "…", "request_id": "…"}`.
//!
//! The client learns what it can act on; the cause goes to the log, under the same request id.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::BoxError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::request_id;

/// An answer that is not a success.
///
/// `russet::Error` becomes one by `?`: bad input 400, a Redis server that is away 503 with `Retry-After`,
/// everything else 500.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    details: Vec<(&'static str, Value)>,
    cause: Option<BoxError>,
}

/// The body of every error.
#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl ApiError {
    /// An answer with this status; `message` is shown to the client.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            details: Vec::new(),
            cause: None,
        }
    }

    /// 400: the request is wrong, and `message` says what about it.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: nobody is signed in. The answer is the same whatever the reason is.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "you are not signed in")
    }

    /// 403: whoever is signed in may not do this.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "you may not do this")
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 503: something that this answer needs is away, and `message` says what. Asks the client to wait a second.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Duration::from_secs(1))
    }

    /// 500: the client learns no more than that.
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on the server")
            .caused_by(cause)
    }

    /// Adds the `Retry-After` header, in whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a field to the body, for what a client can go on with, such as how many there are when they are not enough. Those of the one
    /// shape cannot be replaced.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use russet_axum::ApiError;
    ///
    /// let refusal = ApiError::new(StatusCode::CONFLICT, "not so many are free").with("available", 3);
    /// # let _ = refusal;
    /// ```
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        if !["error", "request_id"].contains(&field) {
            self.details.push((field, value.into()));
        }
        self
    }

    /// Adds the cause, which is logged and never sent.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn log(&self) {
        let status = self.status.as_u16();
        let cause = self.cause.as_ref().map(tracing::field::display);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(status, cause, "{}", self.message),
            status_code if status_code.is_server_error() => {
                tracing::error!(status, cause, "{}", self.message)
            }
            _ => tracing::debug!(status, cause, "{}", self.message),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let id = request_id::current();
        let body = ErrorBody {
            error: &self.message,
            request_id: id.as_ref().map(request_id::RequestId::as_str),
            details: self
                .details
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            let part = u64::from(wait.subsec_nanos() > 0);
            let seconds = wait.as_secs().saturating_add(part).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<russet::Error> for ApiError {
    fn from(error: russet::Error) -> Self {
        use russet::{Advice, ErrorKind};
        let wait = match error.advice() {
            Advice::RetryAfter(wait) => wait,
            _ => Duration::from_secs(1),
        };
        let answer = match error.kind() {
            ErrorKind::Invalid => return Self::bad_request(error.to_string()),
            ErrorKind::Unreachable => {
                Self::unavailable("the Redis server is away: nothing was changed")
            }
            ErrorKind::Timeout => {
                Self::unavailable("the Redis server is away: it did not answer in time")
            }
            ErrorKind::Unknown => Self::unavailable(
                "the Redis server is away: it is not known whether the change was made",
            ),
            ErrorKind::Refused => {
                Self::unavailable("the Redis server refused: nothing was changed")
            }
            _ => return Self::internal(error),
        };
        answer.retry_after(wait).caused_by(error)
    }
}

/// The answer for a path that no route has: 404.
///
/// Use as `Router::fallback`.
pub async fn no_route() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

/// The answer for a method that the path's route does not have: 405.
///
/// Use as `Router::method_not_allowed_fallback`.
pub async fn no_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}
