//! What keeps other sites' pages away, and whoever comes around the proxy.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use russet_axum::ApiError;

use crate::access::Access;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The same for every answer: nothing is loaded from elsewhere, nothing inline runs, nobody frames a page.
const HARDENING: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Middleware: adds the security headers.
pub async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HARDENING {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Middleware: refuses requests that a page of another site makes the browser send, with 403.
///
/// Writes from another origin and WebSockets, which a browser opens to any host; and everything under a host name that is not this server's: a name on the
/// internet that resolves to loopback would be the same origin to the browser (DNS rebinding). Where there are proxies, also what
/// comes from elsewhere: it would have come without TLS.
pub async fn refuse_other_sites(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let refusal = if peer.is_some_and(|peer| !access.takes(peer)) {
        Some("this server answers to its proxy only")
    } else if !is_known_host(&access, request.headers()) {
        Some("this server answers to its own name, to localhost and loopback addresses only")
    } else if is_sensitive(&request) && is_cross_site(request.headers()) {
        Some("pages of other sites must not change anything here")
    } else {
        None
    };
    match refusal {
        Some(why) => ApiError::new(StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    }
}

/// Whether another site must not make a browser send it.
fn is_sensitive(request: &Request) -> bool {
    !request.method().is_safe() || request.headers().contains_key(header::UPGRADE)
}

fn is_known_host(access: &Access, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    access.answers_to(host.to_str().unwrap_or_default())
}

/// Programs send neither header; browsers send at least one of them.
fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != text(header::HOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_write_from_another_origin_is_cross_site() {
        assert!(is_cross_site(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(is_cross_site(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(is_cross_site(&headers(&[
            ("origin", "http://evil.example"),
            ("host", "localhost:5000")
        ])));
        assert!(is_cross_site(&headers(&[("origin", "null"), ("host", "localhost:5000")])));
    }

    #[test]
    fn a_write_from_the_own_page_or_a_program_is_not() {
        assert!(!is_cross_site(&headers(&[])));
        assert!(!is_cross_site(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(!is_cross_site(&headers(&[
            ("origin", "http://localhost:5000"),
            ("host", "localhost:5000")
        ])));
    }
}
