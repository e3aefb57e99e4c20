//! What clients are told apart by.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::HeaderName;
use axum::http::request::Parts;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use crate::ApiError;

type Subject = Result<Option<String>, ApiError>;
type Find = dyn Fn(&Parts) -> BoxFuture<'static, Subject> + Send + Sync;

/// Gives the subject of a request, whose calls are counted together: 1 to 256 bytes, or none when it is not limited.
#[derive(Clone)]
pub struct Key(Arc<Find>);

/// By the address of the client's side of the connection.
///
/// Of an IPv6 address only the first 64 bits count: whoever has one has all that begin like it. Behind a proxy that is the proxy's address:
/// all clients are one subject then, and [`by`] can read the header in which a proxy of your own names the client's.
///
/// The address is what [`Server`](crate::Server) and axum's `into_make_service_with_connect_info` leave with the request; without it
/// each request fails with 500.
#[must_use]
pub fn by_ip() -> Key {
    by_async(|parts| {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let subject = address.map(|ConnectInfo(address)| Some(network(address.ip())));
        ready(subject.ok_or_else(|| {
            ApiError::internal("a rate limit by address, and the request has no ConnectInfo")
        }))
    })
}

/// By the value of a header, such as the key of an API. Requests without it, or with more than 256 bytes in it, are all one subject, so
/// that leaving it out is no way around the limit.
///
/// What the value is worth is not checked here: a client that can make up values has as many subjects.
#[must_use]
pub fn by_header(name: HeaderName) -> Key {
    by(move |parts| {
        let value = parts.headers.get(&name).and_then(|value| value.to_str().ok());
        let value = value.filter(|value| value.len() < 256);
        // No value can be taken for none.
        Some(value.map_or_else(|| "-".to_owned(), |value| format!("@{value}")))
    })
}

/// By whatever this function finds in the request's head; requests for which it gives nothing are not limited.
///
/// ```
/// use russet_axum::rate_limit::by;
///
/// // Only what changes something.
/// let writes = by(|parts| (!parts.method.is_safe()).then(|| "everybody".to_owned()));
/// ```
#[must_use]
pub fn by(find: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Key {
    by_async(move |parts| ready(Ok(find(parts))))
}

/// As [`by`], for what has to be looked up, or can fail: an error is the answer.
///
/// ```
/// use russet_axum::{ApiError, rate_limit::by_async};
///
/// # async fn user_of(token: Option<String>) -> Result<Option<String>, ApiError> { Ok(token) }
/// let users = by_async(|parts| {
///     let token = parts.headers.get("authorization").and_then(|token| token.to_str().ok());
///     user_of(token.map(str::to_owned))
/// });
/// ```
#[must_use]
pub fn by_async<F, R>(find: F) -> Key
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<String>, ApiError>> + Send + 'static,
{
    Key(Arc::new(move |parts| find(parts).boxed()))
}

impl Key {
    pub(super) async fn of(&self, parts: &Parts) -> Subject {
        (self.0)(parts).await
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// What one client has for itself.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_one_network() {
        for (address, network_of_it) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), network_of_it);
        }
    }
}
