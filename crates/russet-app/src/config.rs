//! Flags over environment over defaults.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use russet::{Russet, RussetBuilder};

use crate::Failure;
use crate::jobs::Times;

/// What clap prints below the flags.
pub const ENVIRONMENT: &str = "\
Environment (a flag stands above its variable):
  REDIS_URL, REDIS_CA_FILE       as --redis-url and --redis-ca-file
  REDIS_CERT_FILE, REDIS_KEY_FILE  as --redis-cert-file and --redis-key-file
  REDIS_HOST, REDIS_PORT,        the Redis server, piece by piece, when there is no URL
  REDIS_PASSWORD, REDIS_DB       [defaults: localhost, 6379, none, 0]
  DATABASE_URL                   as --database-url
  DB_HOST, DB_PORT, DB_USER,     a MySQL or MariaDB server, piece by piece, when there is no URL
  DB_PASSWORD, DB_NAME           [defaults: localhost, 3306, root, none, redis_demo]
  SECRET_KEY                     the secret key itself, at least 32 bytes; it signs sessions
  SECRET_KEY_PREVIOUS            keys that have signed before and are still believed, with spaces between them
  PUBLIC_URL, TRUSTED_PROXY      as --public-url and --trusted-proxy
  USER_WRITES                    as --user-writes
  TEMP_CLEANUP                   as --temp-cleanup
  TEMP_CLEANUP_ZONE              as --temp-cleanup-zone
  DEBUG                          true or 1: as --debug
  RUST_LOG                       log filter by module, above --debug, e.g. russet=trace

Exit codes: 0 stopped in order, 1 could not start or run, 2 wrong usage.";

/// When the folder `temp` is cleaned.
#[derive(Debug, Clone, Args)]
pub struct CleanupArgs {
    /// When files of the folder temp are deleted that nobody has changed for a day: a cron expression, or off. All
    /// processes on one Redis must agree
    #[arg(
        long,
        value_name = "CRON",
        env = "TEMP_CLEANUP",
        hide_env = true,
        default_value = "30 3 * * *",
        value_parser = cron_or_off
    )]
    temp_cleanup: String,

    /// The time zone of these times
    #[arg(
        long,
        value_name = "ZONE",
        env = "TEMP_CLEANUP_ZONE",
        hide_env = true,
        default_value = "UTC",
        value_parser = zone
    )]
    temp_cleanup_zone: String,
}

/// The word for no times at all.
const OFF: &str = "off";

impl CleanupArgs {
    /// The times; none when it is off.
    #[must_use]
    pub fn times(&self) -> Option<Times> {
        let (expression, zone) = (self.temp_cleanup.clone(), self.temp_cleanup_zone.clone());
        (expression != OFF).then_some(Times::Cron { expression, zone })
    }
}

fn cron_or_off(text: &str) -> Result<String, String> {
    if text != OFF {
        Times::Cron { expression: text.to_owned(), zone: "UTC".to_owned() }.check()?;
    }
    Ok(text.to_owned())
}

fn zone(text: &str) -> Result<String, String> {
    Times::Cron { expression: "@daily".to_owned(), zone: text.to_owned() }.check()?;
    Ok(text.to_owned())
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// The Redis servers, and the folder.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The record store: sqlite:path or mysql://user:password@host[:port]/name. Without one, russet.db in the data folder
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env = true)]
    database_url: Option<String>,
}

/// Where the Redis data is.
#[derive(Debug, Clone, Args)]
pub struct RedisArgs {
    /// Folder for everything kept on disk: database, private Redis server, secret key
    #[arg(long, global = true, value_name = "FOLDER", default_value = "./russet-data")]
    pub data_dir: PathBuf,

    /// The Redis or Valkey servers: redis://[user:password@]host[:port][/db], unix:///path,
    /// redis+sentinel://host,host/name or redis+cluster://host,host; rediss… speaks TLS.
    /// Without one, a private server is started in the data folder
    #[arg(long, global = true, value_name = "URL", env = "REDIS_URL", hide_env = true)]
    redis_url: Option<String>,

    /// Who vouches for the servers' certificates, a PEM file, instead of the system's authorities
    #[arg(long, global = true, value_name = "FILE", env = "REDIS_CA_FILE", hide_env = true)]
    redis_ca_file: Option<PathBuf>,

    /// Our certificate, a PEM file, for servers that ask for one
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REDIS_CERT_FILE",
        hide_env = true,
        requires = "redis_key_file"
    )]
    redis_cert_file: Option<PathBuf>,

    /// The key of that certificate, a PEM file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REDIS_KEY_FILE",
        hide_env = true,
        requires = "redis_cert_file"
    )]
    redis_key_file: Option<PathBuf>,
}

impl RedisArgs {
    /// The configured servers; `None` means a private one.
    ///
    /// # Errors
    /// A piece that is not what it should be.
    pub fn server(&self) -> Result<Option<RussetBuilder>, Failure> {
        let server = redis(self.redis_url.as_deref(), |name| std::env::var(name).ok())?;
        Ok(server.map(|mut server| {
            if let Some(file) = &self.redis_ca_file {
                server = server.ca_file(file);
            }
            if let (Some(certificate), Some(key)) = (&self.redis_cert_file, &self.redis_key_file) {
                server = server.client_certificate(certificate, key);
            }
            server
        }))
    }
}

impl RedisArgs {
    /// The same for another process, by its environment: others cannot read the passwords there.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let text = |name, value: &Option<String>| Some((name, value.clone()?.into()));
        let file = |name, path: &Option<PathBuf>| {
            Some((name, std::path::absolute(path.as_ref()?).ok()?.into()))
        };
        [
            text("REDIS_URL", &self.redis_url),
            file("REDIS_CA_FILE", &self.redis_ca_file),
            file("REDIS_CERT_FILE", &self.redis_cert_file),
            file("REDIS_KEY_FILE", &self.redis_key_file),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl StoreArgs {
    /// The configured database; `None` means the one in the data folder.
    ///
    /// # Errors
    /// A kind of database that this russet does not know, a piece that is not what it should be.
    pub fn database(&self) -> Result<Option<String>, Failure> {
        database(self.database_url.as_deref(), |name| std::env::var(name).ok())
    }
}

/// A data folder that is there.
///
/// # Errors
/// When it is not.
pub fn existing(data_dir: &Path) -> Result<&Path, Failure> {
    if data_dir.is_dir() {
        return Ok(data_dir);
    }
    Err(format!(
        "there is no data folder {}: name a server with --redis-url, or another folder with --data-dir",
        data_dir.display()
    )
    .into())
}

fn redis(
    url: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<RussetBuilder>, Failure> {
    if let Some(url) = url.filter(|url| !url.is_empty()) {
        return Ok(Some(Russet::builder().url(url)));
    }
    let piece = |name| variable(name).filter(|value| !value.is_empty());
    let (host, port, database) = (piece("REDIS_HOST"), piece("REDIS_PORT"), piece("REDIS_DB"));
    let password = piece("REDIS_PASSWORD");
    if host.is_none() && port.is_none() && database.is_none() && password.is_none() {
        return Ok(None);
    }
    let port = number("REDIS_PORT", port, 6379)?;
    let database = number("REDIS_DB", database, 0)?;
    let host = url_host(host.as_deref());
    let mut server = Russet::builder().url(format!("redis://{host}:{port}/{database}"));
    if let Some(password) = password {
        server = server.password(password);
    }
    Ok(Some(server))
}

const NON_HOST: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

fn database(
    url: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, Failure> {
    if let Some(url) = url.filter(|url| !url.is_empty()) {
        let scheme = url.split(':').next().unwrap_or_default();
        if DATABASES.contains(&scheme) {
            return Ok(Some(url.to_owned()));
        }
        let known = DATABASES.join(": or ");
        return Err(format!("the database URL begins with {scheme}:, and not with {known}:").into());
    }
    let piece = |name| variable(name).filter(|value| !value.is_empty());
    let [host, port, user, password, name] =
        ["DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"].map(piece);
    if [&host, &port, &user, &password, &name].into_iter().all(Option::is_none) {
        return Ok(None);
    }
    if !DATABASES.contains(&"mysql") {
        return Err(
            "DB_HOST and its like name a MySQL server, which this russet was built without: \
                    unset them, or name a file with --database-url sqlite:path"
                .into(),
        );
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let host = url_host(host.as_deref());
    let port = number("DB_PORT", port, 3306)?;
    let user = encode(user.as_deref().unwrap_or("root"));
    let password = password.map_or_else(String::new, |password| format!(":{}", encode(&password)));
    let name = encode(name.as_deref().unwrap_or("redis_demo"));
    Ok(Some(format!("mysql://{user}{password}@{host}:{port}/{name}")))
}

/// The databases that this build can use, by the scheme of their URL.
const DATABASES: &[&str] =
    if cfg!(feature = "mysql") { &["sqlite", "mysql", "mariadb"] } else { &["sqlite"] };

fn number(name: &str, value: Option<String>, default: u16) -> Result<u16, Failure> {
    let Some(text) = value else { return Ok(default) };
    let parsed = text.parse();
    Ok(parsed.map_err(|_| format!("{name} is {text:?}, which is no number up to 65535"))?)
}

/// A host as it stands in a URL, `localhost` when there is none.
fn url_host(host: Option<&str>) -> String {
    match host {
        // An IPv6 address stands in brackets.
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => utf8_percent_encode(host, NON_HOST).to_string(),
        None => "localhost".to_owned(),
    }
}

/// Reads `HOST:PORT` with a host that is an address or `localhost`.
///
/// # Errors
/// Anything else.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:5000".to_owned()),
    }
}

/// Reads a duration such as `500ms`, `2s` or `0`.
///
/// # Errors
/// Anything else, and more than a minute.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let parsed = number.parse::<u64>().ok().and_then(|number| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "" if number == 0 => Some(Duration::ZERO),
        _ => None,
    });
    match parsed {
        Some(duration) if duration <= Duration::from_secs(60) => Ok(duration),
        Some(_) => Err("expected at most 60s".to_owned()),
        None => Err("expected a number of ms or s, such as 500ms".to_owned()),
    }
}

/// Whether DEBUG says so.
#[must_use]
pub fn debug_wanted(value: Option<&str>) -> bool {
    value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn variables<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    /// Where a builder would connect to, as its handle prints it.
    async fn server(url: Option<&str>, pairs: &[(&str, &str)]) -> Option<String> {
        let builder = redis(url, variables(pairs)).unwrap()?;
        Some(format!("{:?}", builder.connect_lazily().unwrap()))
    }

    #[tokio::test]
    async fn nothing_set_means_a_private_server() {
        assert_eq!(server(None, &[]).await, None);
        assert_eq!(server(Some(""), &[("REDIS_HOST", "")]).await, None);
    }

    #[tokio::test]
    async fn a_url_stands_above_the_pieces() {
        let found = server(Some("redis://one:1"), &[("REDIS_HOST", "two")]).await.unwrap();
        assert!(found.contains("one:1"), "{found}");
    }

    #[tokio::test]
    async fn pieces_have_the_usual_defaults() {
        let found = server(None, &[("REDIS_HOST", "cache")]).await.unwrap();
        assert!(found.contains("cache:6379"), "{found}");
        let found = server(None, &[("REDIS_PORT", "7000")]).await.unwrap();
        assert!(found.contains("localhost:7000"), "{found}");
        let found = server(None, &[("REDIS_HOST", "::1")]).await.unwrap();
        assert!(found.contains("[::1]:6379"), "{found}");
    }

    #[test]
    fn a_wrong_port_is_named() {
        let refused =
            redis(None, variables(&[("REDIS_PORT", "tcp://10.0.0.1:6379")])).err().unwrap();
        assert!(refused.to_string().contains("REDIS_PORT"), "{refused}");
    }

    #[test]
    fn a_database_is_named_by_its_url() {
        assert_eq!(database(None, variables(&[])).unwrap(), None);
        let url = database(Some("sqlite:a.db"), variables(&[("DB_HOST", "db")])).unwrap();
        assert_eq!(url.as_deref(), Some("sqlite:a.db"));
        let refused =
            database(Some("oracle://root:pw@localhost/x"), variables(&[])).unwrap_err().to_string();
        assert!(refused.contains("begins with oracle:") && !refused.contains("pw"), "{refused}");
    }

    #[test]
    #[cfg(feature = "mysql")]
    fn a_database_is_named_piece_by_piece_with_the_tutorials_defaults() {
        let url = |pairs| database(None, variables(pairs)).unwrap().unwrap();
        assert_eq!(url(&[("DB_HOST", "db")]), "mysql://root@db:3306/redis%5Fdemo");
        assert_eq!(
            url(&[
                ("DB_USER", "a:b"),
                ("DB_PASSWORD", "p@s/s"),
                ("DB_NAME", "x"),
                ("DB_PORT", "1")
            ]),
            "mysql://a%3Ab:p%40s%2Fs@localhost:1/x"
        );
        assert!(database(None, variables(&[("DB_PORT", "many")])).is_err());
    }

    #[test]
    fn an_address_to_listen_on_has_a_port() {
        for good in ["127.0.0.1:5000", "localhost:0", "[::1]:80", "0.0.0.0:1"] {
            assert!(listen_address(good).is_ok(), "{good}");
        }
        assert!(listen_address("5000").is_err());
        assert!(listen_address("example.com:80").is_err());
    }

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2s").unwrap(), Duration::from_secs(2));
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        for wrong in ["", "5", "ms", "-1s", "1m", "1.5s", "61s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_is_true_or_one() {
        assert!(debug_wanted(Some("True")) && debug_wanted(Some("1")));
        assert!(!debug_wanted(Some("False")) && !debug_wanted(Some("")) && !debug_wanted(None));
    }
}
