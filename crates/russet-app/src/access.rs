//! Who reaches the server, by which name, and who must sign in for what it does.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use ipnet::IpNet;
use url::{Host, Url};

use crate::Failure;

/// How others reach the server.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Ask for a login before anything is changed, on a loopback address too
    #[arg(long)]
    require_login: bool,

    /// How others call this server: https://NAME[:PORT]. Needed for an address that other machines reach, together with
    /// --trusted-proxy; then whoever changes something must be signed in
    #[arg(long, value_name = "URL", env = "PUBLIC_URL", hide_env = true, value_parser = public_name)]
    public_url: Option<PublicName>,

    /// The proxies in front that speak TLS, by address or network: nobody else is answered, and what they say of the
    /// client's address in X-Forwarded-For is believed. They must pass the Host header on
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TRUSTED_PROXY",
        hide_env = true,
        value_delimiter = ',',
        value_parser = network
    )]
    trusted_proxy: Vec<IpNet>,
}

/// Who reaches the server, and what that means for its routes and cookies.
#[derive(Debug, Clone, Default)]
pub struct Access {
    needs_login: bool,
    public: Option<PublicName>,
    proxies: Vec<IpNet>,
}

/// The name and port that stand in a public URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicName(String);

impl AccessArgs {
    /// What was said, held against the address that is listened on.
    ///
    /// # Errors
    /// What would let passwords or sessions travel in the clear, or could not be reached by its name.
    pub fn check(self, listen: SocketAddr) -> Result<Access, Failure> {
        let Self { require_login, public_url, trusted_proxy } = self;
        match (&public_url, trusted_proxy.is_empty()) {
            (None, true) if listen.ip().is_loopback() => {}
            (Some(_), false) => {}
            (None, true) => {
                return Err(format!(
                    "{listen} is no loopback address: others reach it, so their passwords and sessions need TLS. Put a proxy in \
                     front that speaks it, and say how: --public-url https://NAME --trusted-proxy ADDRESS. Without these, \
                     russet listens on loopback addresses only, such as 127.0.0.1:5000"
                )
                .into());
            }
            (Some(_), true) => {
                return Err("--public-url needs --trusted-proxy, the address of the proxy that speaks TLS for it: \
                            russet itself speaks plain HTTP"
                    .into());
            }
            (None, false) => {
                return Err("--trusted-proxy needs --public-url, the name by which others call the proxy: requests for \
                            other names are refused"
                    .into());
            }
        }
        let needs_login = require_login || public_url.is_some();
        Ok(Access { needs_login, public: public_url, proxies: trusted_proxy })
    }
}

impl Access {
    /// As on a loopback address; with `needs_login` as with `--require-login`.
    #[must_use]
    pub fn on_loopback(needs_login: bool) -> Self {
        Self { needs_login, ..Self::default() }
    }

    /// As behind a proxy of these addresses that is called by this `https://` URL.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn public(url: &str, proxies: &[&str]) -> Result<Self, String> {
        let proxies = proxies.iter().map(|proxy| network(proxy)).collect::<Result<_, _>>()?;
        Ok(Self { needs_login: true, public: Some(public_name(url)?), proxies })
    }

    /// Whether one must be signed in to change something.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        self.needs_login
    }

    /// Whether cookies go over plain http: on a loopback address, where no TLS is.
    #[must_use]
    pub fn has_plain_cookies(&self) -> bool {
        self.public.is_none()
    }

    /// The proxies that are believed.
    #[must_use]
    pub fn proxies(&self) -> &[IpNet] {
        &self.proxies
    }

    /// Whether a connection may come from this address.
    #[must_use]
    pub fn takes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.proxies.is_empty()
            || peer.is_loopback()
            || self.proxies.iter().any(|proxy| proxy.contains(&peer))
    }

    /// Whether the server is called by this name, as it stands in a `Host` header.
    #[must_use]
    pub fn answers_to(&self, host: &str) -> bool {
        if self.public.as_ref().is_some_and(|name| host.eq_ignore_ascii_case(&name.0)) {
            return true;
        }
        let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
        let host = authority.host().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The URL that people open, for a server that listens here.
    #[must_use]
    pub fn url(&self, listening: SocketAddr) -> String {
        match &self.public {
            Some(PublicName(name)) => format!("https://{name}"),
            None => format!("http://{listening}"),
        }
    }
}

fn public_name(text: &str) -> Result<PublicName, String> {
    let wrong = || "expected https://NAME or https://NAME:PORT, and nothing behind".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "https" || !is_bare || !url.username().is_empty() || url.password().is_some()
    {
        return Err(wrong());
    }
    // A port that is https's own is none, as in a Host header.
    let host = match url.host().ok_or_else(wrong)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => format!("[{address}]"),
    };
    Ok(PublicName(url.port().map_or(host.clone(), |port| format!("{host}:{port}"))))
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "expected an address or a network, such as 10.0.0.7 or 10.0.0.0/24".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn checked(
        listen: &str,
        login: bool,
        url: Option<&str>,
        proxy: &[&str],
    ) -> Result<Access, Failure> {
        let args = AccessArgs {
            require_login: login,
            public_url: url.map(|url| public_name(url).unwrap()),
            trusted_proxy: proxy.iter().map(|proxy| network(proxy).unwrap()).collect(),
        };
        args.check(listen.parse().unwrap())
    }

    #[test]
    fn others_reach_it_only_by_tls_and_a_name_and_then_must_sign_in() {
        let url = Some("https://russet.example");
        for loopback in ["127.0.0.1:5000", "[::1]:80", "127.8.8.8:1"] {
            let open = checked(loopback, false, None, &[]).unwrap();
            assert!(!open.needs_login() && open.has_plain_cookies(), "{loopback}");
            assert!(checked(loopback, true, None, &[]).unwrap().needs_login());
            // A proxy on the same machine makes it reachable all the same.
            let public = checked(loopback, false, url, &["127.0.0.1"]).unwrap();
            assert!(public.needs_login() && !public.has_plain_cookies(), "{loopback}");
        }
        for other in ["0.0.0.0:5000", "[::]:5000", "192.168.1.1:80"] {
            let public = checked(other, false, url, &["10.0.0.0/8"]).unwrap();
            assert!(public.needs_login() && !public.has_plain_cookies(), "{other}");
            for (url, proxy) in [(None, &[][..]), (url, &[]), (None, &["10.0.0.1"])] {
                assert!(checked(other, true, url, proxy).is_err(), "{other} {url:?} {proxy:?}");
            }
        }
        assert!(checked("127.0.0.1:1", false, url, &[]).is_err());
        assert!(checked("127.0.0.1:1", false, None, &["127.0.0.1"]).is_err());
    }

    #[test]
    fn a_public_url_is_a_name_under_https() {
        for (url, name) in [
            ("https://russet.example", "russet.example"),
            ("https://Russet.Example/", "russet.example"),
            ("https://russet.example:443", "russet.example"),
            ("https://russet.example:8443", "russet.example:8443"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ] {
            assert_eq!(public_name(url).unwrap(), PublicName(name.to_owned()));
        }
        for wrong in [
            "http://russet.example",
            "russet.example",
            "https://a/b",
            "https://u:p@a",
            "https://a/?b",
            "",
        ] {
            assert!(public_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_answers_to_loopback_names_and_its_own_and_to_no_others() {
        let (here, public) =
            (Access::default(), Access::public("https://russet.example:8443", &[]).unwrap());
        for host in ["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000", "127.1.2.3"] {
            assert!(here.answers_to(host) && public.answers_to(host), "{host}");
        }
        assert!(public.answers_to("Russet.example:8443"));
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.1",
            "",
            "localhost.evil:80",
            "a@b@c",
            "russet.example",
            "russet.example:8443.evil.example",
        ] {
            assert!(!here.answers_to(host) && !public.answers_to(host), "{host}");
        }
    }

    #[test]
    fn with_proxies_nobody_else_is_taken() {
        let access = Access::public("https://a.example", &["10.0.0.0/8", "2001:db8::1"]).unwrap();
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "127.0.0.1"] {
            assert!(access.takes(peer.parse().unwrap()), "{peer}");
        }
        for peer in ["192.168.1.1", "2001:db8::2"] {
            assert!(!access.takes(peer.parse().unwrap()), "{peer}");
            assert!(Access::default().takes(peer.parse().unwrap()));
        }
    }
}
