use std::fmt;

use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Deserializer};
use url::Url;

/// Where somebody wanted to go before having to sign in: always a path of this site, whatever the request says.
///
/// Anything else, as `https://evil.example`, `//evil.example` or `/\evil.example`, is `/`: nobody can send a link to our login that
/// leads to a page of theirs (open redirect). It is written with percent signs, so that it is safe in headers. As an answer it
/// is a redirect by 303.
///
/// ```
/// use axum::extract::{Form, Query};
/// use russet_axum::session::Next;
///
/// # #[derive(serde::Deserialize)]
/// #[derive(Default)]
/// struct Login {
/// #   #[serde(default)]
///     next: Next, // with #[serde(default)]
/// }
///
/// async fn login(Query(login): Query<Login>) -> Next {
///     login.next
/// }
///
/// assert_eq!(Next::from("/chat?room=a b").as_str(), "/chat?room=a%20b");
/// assert_eq!(Next::from("//evil.example").as_str(), "/");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

impl Next {
    /// The path, with its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A link to this login page that leads back to where a request wanted to go: `/login?next=%2Fchat`.
    #[must_use]
    pub fn after(login: &str, wanted: &Uri) -> String {
        let next = Self::from(wanted.path_and_query().map_or("/", |path| path.as_str()));
        let query: String = form_urlencoded::byte_serialize(next.0.as_bytes()).collect();
        [login, "?next=", &query].concat()
    }
}

impl From<&str> for Next {
    fn from(text: &str) -> Self {
        Self(local(text).unwrap_or_else(|| "/".to_owned()))
    }
}

impl Default for Next {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Next {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

impl IntoResponse for Next {
    fn into_response(self) -> Response {
        Redirect::to(&self.0).into_response()
    }
}

/// The path as a browser would read it, if it is one of ours.
fn local(text: &str) -> Option<String> {
    // Browsers leave out tabs and line ends, and read a backslash as a slash.
    if !text.starts_with('/') || text.contains(|c: char| c.is_control() || c == '\\') {
        return None;
    }
    let here = Url::parse("http://here.invalid").ok()?;
    let there = here.join(text).ok()?;
    if there.origin() != here.origin() {
        return None;
    }
    // What was `/.//evil.example` is `//evil.example` now.
    let path = &there[url::Position::BeforePath..];
    (!path.starts_with("//")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_site_is_kept() {
        for path in ["/", "/chat", "/a/b?c=d&e=%2F%2Fx#f", "/a//b", "/?next=https://evil.example"] {
            assert_eq!(Next::from(path).as_str(), path);
        }
        assert_eq!(Next::from("/a/../b").as_str(), "/b");
        assert_eq!(Next::from("/ä\u{a0}").as_str(), "/%C3%A4%C2%A0");
    }

    #[test]
    fn everything_that_leads_elsewhere_is_the_front_page() {
        for text in [
            "",
            "chat",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            " //evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/x\r\nSet-Cookie: a=b",
            "/\0",
            "data:text/html,x",
        ] {
            assert_eq!(Next::from(text).as_str(), "/", "{text:?}");
        }
    }

    #[test]
    fn a_link_to_the_login_leads_back() {
        let link = Next::after("/login", &"/chat?room=a&x=%26".parse().unwrap());
        assert_eq!(link, "/login?next=%2Fchat%3Froom%3Da%26x%3D%2526");
        assert_eq!(Next::after("/login", &"//evil.example".parse().unwrap()), "/login?next=%2F");
    }
}
