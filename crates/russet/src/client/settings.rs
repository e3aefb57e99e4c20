//! Where the server is and how to speak to it, read from a URL and the builder.

use std::{borrow::Cow, fmt, path::PathBuf, time::Duration};

use redis::RedisConnectionInfo;
use url::Url;

use crate::error::{Error, Result};

/// The address part of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Everything a connection needs.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) address: Address,
    pub(super) login: RedisConnectionInfo,
    /// How long a call may take, waiting for a connection included.
    pub(super) timeout: Duration,
    /// How long opening a connection may take.
    pub(super) connect_timeout: Duration,
}

/// What a URL says; the builder's setters stand above it.
pub(super) struct ParsedUrl {
    pub(super) address: Address,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

const FORMS: &str = "redis://[user:password@]host[:port][/database] or \
                     unix://[user:password@]/path/to/socket[?db=database]";

impl ParsedUrl {
    /// Reads a server URL.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong with it. The text itself is left out: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(&with_host(text))
            .map_err(|cause| refuse(format_args!("is not a URL ({cause})")))?;
        let (address, database) = match url.scheme() {
            "redis" | "valkey" => (tcp(&url)?, path_database(&url)?),
            "unix" | "redis+unix" | "valkey+unix" => (socket(&url)?, query_database(&url)?),
            "rediss" | "valkeys" | "redis+sentinel" | "redis+cluster" => {
                return Err(refuse(format_args!(
                    "has the scheme {}, which this version cannot speak",
                    url.scheme()
                )));
            }
            other => return Err(refuse(format_args!("has the unknown scheme {other}"))),
        };
        let user = Some(decode(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decode).transpose()?.filter(|word| !word.is_empty());
        Ok(Self { address, user, password, database })
    }
}

/// The URL of a socket has no host, which the syntax of URLs allows only without a login.
fn with_host(text: &str) -> Cow<'_, str> {
    let authority = text.split_once("unix://").and_then(|(_, rest)| rest.split_once('/'));
    match authority {
        Some((login, path)) if login.ends_with('@') => {
            let scheme = text.len() - login.len() - 1 - path.len();
            Cow::Owned([&text[..scheme], login, "socket/", path].concat())
        }
        _ => Cow::Borrowed(text),
    }
}

fn tcp(url: &Url) -> Result<Address> {
    // IPv6 hosts stand in brackets in a URL, and without them in an address.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(refuse("names no host"));
    }
    Ok(Address::Tcp { host: host.to_owned(), port: url.port().unwrap_or(6379) })
}

fn socket(url: &Url) -> Result<Address> {
    let path = decode(url.path())?;
    if !path.starts_with('/') || path.len() < 2 {
        return Err(refuse("names no socket"));
    }
    Ok(Address::Unix(path.into()))
}

fn path_database(url: &Url) -> Result<i64> {
    match url.path().trim_start_matches('/') {
        "" => Ok(0),
        number => database(number),
    }
}

fn query_database(url: &Url) -> Result<i64> {
    match url.query_pairs().find(|(name, _)| name == "db") {
        None => Ok(0),
        Some((_, number)) => database(&number),
    }
}

fn database(number: &str) -> Result<i64> {
    let parsed = number.parse::<u16>().map(i64::from);
    parsed.map_err(|_| refuse(format_args!("names the database {number:?}, which is not a number")))
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| refuse("has a part that is not UTF-8"))
}

fn refuse(what: impl fmt::Display) -> Error {
    Error::invalid(format_args!("the server URL {what}; expected {FORMS}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ParsedUrl {
        ParsedUrl::parse(text).unwrap()
    }

    #[test]
    fn a_host_a_port_a_login_and_a_database_are_read() {
        let url = parse("redis://app:p%40ss@cache.example:6380/2");
        assert_eq!(url.address.to_string(), "cache.example:6380");
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("p@ss")));
        assert_eq!(url.database, 2);
    }

    #[test]
    fn the_shortest_form_means_the_usual_port_and_the_first_database() {
        let url = parse("redis://127.0.0.1");
        assert_eq!((url.address.to_string().as_str(), url.database), ("127.0.0.1:6379", 0));
        assert_eq!(parse("redis://[::1]").address.to_string(), "[::1]:6379");
    }

    #[test]
    fn a_socket_is_read() {
        let url = parse("unix://:secret@/run/redis/server.sock?db=1");
        assert_eq!(url.address.to_string(), "/run/redis/server.sock");
        assert_eq!((url.password.as_deref(), url.database), (Some("secret"), 1));
    }

    #[test]
    fn a_wrong_url_is_refused_without_telling_its_password() {
        for wrong in [
            "",
            "localhost",
            "http://x",
            "redis://:pw@",
            "redis://x/one",
            "unix://",
            "rediss://:pw@x",
        ] {
            let error = ParsedUrl::parse(wrong).err().unwrap().to_string();
            assert!(
                error.starts_with("the server URL ") && !error.contains("pw@"),
                "{wrong}: {error}"
            );
        }
    }
}
