//! What a server URL says.

use std::{borrow::Cow, fmt};

use url::Url;

use super::address::Address;
use crate::error::{Error, Result};

/// The parts of a URL; the builder's setters stand above them.
pub(super) struct ParsedUrl {
    pub(super) servers: Servers,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

/// Whose addresses they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Servers {
    One(Address),
    Sentinels { addresses: Vec<Address>, primary: String },
    Cluster(Vec<Address>),
}

const FORMS: &str = "redis://[user:password@]host[:port][/database], \
    unix://[user:password@]/path/to/socket[?db=database], \
    redis+sentinel://[user:password@]host[:port][,host[:port]...]/primary[/database] or \
    redis+cluster://[user:password@]host[:port][,host[:port]...], with rediss for TLS";

const SERVER_PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

impl ParsedUrl {
    /// Reads a server URL.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong with it. The text itself is left out: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (first, others) = split_hosts(text);
        let url = read(&with_host(&first))?;
        let hosts = |port| {
            let others = others.iter().map(|other| tcp(&read(other)?, port));
            std::iter::once(tcp(&url, port)).chain(others).collect::<Result<Vec<_>>>()
        };
        let scheme = url.scheme().replace("valkey", "redis");
        let (servers, database) = match scheme.as_str() {
            "redis" | "rediss" if others.is_empty() => {
                (Servers::One(tcp(&url, SERVER_PORT)?), path_database(url.path())?)
            }
            "redis" | "rediss" => {
                return Err(refuse(
                    "names several hosts, which only redis+sentinel and redis+cluster can have",
                ));
            }
            "unix" | "redis+unix" => (Servers::One(socket(&url)?), query_database(&url)?),
            "redis+sentinel" | "rediss+sentinel" => {
                let path = url.path().trim_start_matches('/');
                let (primary, database) = path.split_once('/').unwrap_or((path, ""));
                let primary = decode(primary)?;
                if primary.is_empty() {
                    return Err(refuse("names no primary that the sentinels could tell"));
                }
                let addresses = hosts(SENTINEL_PORT)?;
                (Servers::Sentinels { addresses, primary }, path_database(database)?)
            }
            "redis+cluster" | "rediss+cluster" => {
                if path_database(url.path())? != 0 {
                    return Err(refuse("names a database, of which a Cluster has only the first"));
                }
                (Servers::Cluster(hosts(SERVER_PORT)?), 0)
            }
            other => return Err(refuse(format_args!("has the unknown scheme {other}"))),
        };
        let user = Some(decode(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decode).transpose()?.filter(|word| !word.is_empty());
        Ok(Self { servers, tls: scheme.starts_with("rediss"), user, password, database })
    }
}

/// A URL has one host: the first of a list stays in it, each of the others becomes a URL of its own.
fn split_hosts(text: &str) -> (Cow<'_, str>, Vec<String>) {
    let whole = || (Cow::Borrowed(text), Vec::new());
    let Some((scheme, rest)) = text.split_once("://") else { return whole() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let hosts_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (login, hosts) = authority.split_at(hosts_at);
    let mut hosts = hosts.split(',').map(str::trim);
    match (hosts.next(), hosts.collect::<Vec<_>>()) {
        (Some(first), others) if !others.is_empty() => {
            let others = others.into_iter().map(|host| format!("redis://{host}")).collect();
            (Cow::Owned([scheme, "://", login, first, tail].concat()), others)
        }
        _ => whole(),
    }
}

fn read(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|cause| refuse(format_args!("is not a URL ({cause})")))
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

fn tcp(url: &Url, port: u16) -> Result<Address> {
    // IPv6 hosts stand in brackets in a URL, and without them in an address.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(refuse("names no host"));
    }
    Ok(Address::Tcp { host: host.to_owned(), port: url.port().unwrap_or(port) })
}

fn socket(url: &Url) -> Result<Address> {
    let path = decode(url.path())?;
    if !path.starts_with('/') || path.len() < 2 {
        return Err(refuse("names no socket"));
    }
    Ok(Address::Unix(path.into()))
}

fn path_database(path: &str) -> Result<i64> {
    match path.trim_start_matches('/') {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ParsedUrl {
        ParsedUrl::parse(text).unwrap()
    }

    fn one(text: &str) -> String {
        match parse(text).servers {
            Servers::One(address) => address.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn texts(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(Address::to_string).collect()
    }

    #[test]
    fn a_host_a_port_a_login_and_a_database_are_read() {
        let text = "redis://app:p%40ss@cache.example:6380/2";
        let url = parse(text);
        assert_eq!(one(text), "cache.example:6380");
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("p@ss")));
        assert_eq!((url.database, url.tls), (2, false));
    }

    #[test]
    fn the_shortest_form_means_the_usual_port_and_the_first_database() {
        assert_eq!((one("redis://127.0.0.1").as_str(), 0), ("127.0.0.1:6379", 0));
        assert_eq!(one("redis://[::1]"), "[::1]:6379");
        assert!(parse("rediss://cache.example").tls && parse("valkeys://cache.example").tls);
    }

    #[test]
    fn a_socket_is_read() {
        let text = "unix://:secret@/run/redis/server.sock?db=1";
        assert_eq!(one(text), "/run/redis/server.sock");
        let url = parse(text);
        assert_eq!((url.password.as_deref(), url.database), (Some("secret"), 1));
    }

    #[test]
    fn sentinels_and_their_primary_are_read() {
        let url = parse("rediss+sentinel://app:p%2Cw@s1,s2:5000,[::1]/my%20primary/3");
        let Servers::Sentinels { addresses, primary } = url.servers else {
            panic!("not sentinels")
        };
        assert_eq!(texts(&addresses), ["s1:26379", "s2:5000", "[::1]:26379"]);
        assert_eq!((primary.as_str(), url.database, url.tls), ("my primary", 3, true));
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("p,w")));
    }

    #[test]
    fn the_nodes_of_a_cluster_are_read() {
        let url = parse("redis+cluster://:pw@h1:7000,h2");
        let Servers::Cluster(seeds) = url.servers else { panic!("not a Cluster") };
        assert_eq!(texts(&seeds), ["h1:7000", "h2:6379"]);
        assert_eq!((url.password.as_deref(), url.tls), (Some("pw"), false));
    }

    #[test]
    fn a_wrong_url_is_refused_without_telling_its_password() {
        for wrong in [
            "",
            "localhost",
            "http://x",
            "redis://:pw@",
            "redis://x/one",
            "redis://:pw@x,y",
            "unix://",
            "redis+sentinel://:pw@x",
            "redis+sentinel://:pw@x/name/one",
            "redis+cluster://:pw@x,y:z",
            "redis+cluster://:pw@x,,y",
            "redis+cluster://:pw@x/1",
        ] {
            let error = ParsedUrl::parse(wrong).err().unwrap().to_string();
            assert!(
                error.starts_with("the server URL ") && !error.contains("pw@"),
                "{wrong}: {error}"
            );
        }
    }
}
