use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use cookie::{Cookie, CookieBuilder, SameSite, time};
use russet::SessionToken;

use crate::error::ApiError;

/// What browsers take only over https, for all paths, and from this very host.
const PREFIX: &str = "__Host-";

/// The cookie that carries the token.
#[derive(Clone, Debug)]
pub(super) struct SessionCookie {
    pub(super) name: Cow<'static, str>,
    pub(super) is_plain: bool,
    pub(super) is_strict: bool,
    pub(super) is_persistent: bool,
}

/// A cookie cannot have this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCookieName;

impl Default for SessionCookie {
    fn default() -> Self {
        let name = Cow::Borrowed("id");
        Self { name, is_plain: false, is_strict: false, is_persistent: false }
    }
}

impl SessionCookie {
    pub(super) fn rename(&mut self, name: &str) -> Result<(), BadCookieName> {
        // A name of a header is what HTTP calls a token, as that of a cookie is.
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadCookieName)?;
        self.name = Cow::Owned(name.to_owned());
        Ok(())
    }

    /// The token in these headers. Of two nobody can say which is ours: a cookie of this name that was not set by us is there too.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<SessionToken> {
        let name = self.full_name();
        let mut found = None;
        for header in headers.get_all(header::COOKIE) {
            // Cookies of others may be of any bytes.
            let text = String::from_utf8_lossy(header.as_bytes());
            for cookie in Cookie::split_parse(text.as_ref()).flatten() {
                if cookie.name() == name && found.replace(cookie.value().to_owned()).is_some() {
                    tracing::warn!("a request has two session cookies: none is believed");
                    return None;
                }
            }
        }
        found.filter(|value| !value.is_empty()).map(SessionToken::from)
    }

    pub(super) fn set(
        &self,
        token: &SessionToken,
        ends: SystemTime,
    ) -> Result<HeaderValue, ApiError> {
        let mut cookie = self.build(token.expose());
        if self.is_persistent {
            let left = ends.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
            cookie = cookie.max_age(time::Duration::try_from(left).unwrap_or(time::Duration::MAX));
        }
        header_value(cookie)
    }

    pub(super) fn clear(&self) -> Result<HeaderValue, ApiError> {
        header_value(self.build("").removal())
    }

    fn build<'a>(&'a self, value: &'a str) -> CookieBuilder<'a> {
        Cookie::build((self.full_name(), value))
            .path("/")
            .http_only(true)
            .secure(!self.is_plain)
            .same_site(if self.is_strict { SameSite::Strict } else { SameSite::Lax })
    }

    fn full_name(&self) -> Cow<'_, str> {
        if self.is_plain {
            Cow::Borrowed(self.name.as_ref())
        } else {
            Cow::Owned([PREFIX, self.name.as_ref()].concat())
        }
    }
}

fn header_value(cookie: CookieBuilder<'_>) -> Result<HeaderValue, ApiError> {
    let mut value =
        HeaderValue::try_from(cookie.build().to_string()).map_err(ApiError::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Display for BadCookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a cookie is made of letters, digits and !#$%&'*+-.^_`|~")
    }
}

impl std::error::Error for BadCookieName {}
