//! A name for each request, in its log lines, its answer and its errors.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

/// The header that carries the id in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters of an id that a client may choose.
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of one request: up to 64 characters out of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id that the client sent, if it is one; others could forge log lines.
    fn accept(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ((1..=LONGEST).contains(&text.len()) && text.bytes().all(sane))
            .then(|| Self(text.to_owned()))
    }

    /// A new random id of 32 hexadecimal digits.
    fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of the request that the current task is answering, under [`propagate`].
#[must_use]
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Middleware: takes the client's `x-request-id` when it is a sane one, else makes one; puts it into the span
/// of the request's log lines, into [`current`] and into the response.
///
/// ```
/// use axum::{Router, middleware, routing::get};
/// use russet_axum::request_id;
///
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(middleware::from_fn(request_id::propagate));
/// ```
pub async fn propagate(request: Request, next: Next) -> Response {
    let id =
        request.headers().get(HEADER).and_then(RequestId::accept).unwrap_or_else(RequestId::random);
    let span = tracing::info_span!("request", id = id.as_str(), method = %request.method(), path = request.uri().path());
    let header = HeaderValue::try_from(id.as_str());
    let mut response = CURRENT.scope(id, next.run(request)).instrument(span).await;
    if let Ok(header) = header {
        response.headers_mut().insert(HEADER, header);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &[u8]) -> Option<RequestId> {
        HeaderValue::from_bytes(text).ok().as_ref().and_then(RequestId::accept)
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(accepted(b"a-B_c.9"), Some(RequestId("a-B_c.9".into())));
        assert!(accepted(&[b'a'; 64]).is_some());
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_not_taken() {
        for bad in [&b""[..], b"a b", b"a\tb", b"caf\xc3\xa9", b"x=1", b"\"", &[b'a'; 65]] {
            assert_eq!(accepted(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn made_ids_differ_and_would_be_accepted() {
        let (one, two) = (RequestId::random(), RequestId::random());
        assert_ne!(one, two);
        assert_eq!(accepted(one.as_str().as_bytes()), Some(one));
    }
}
