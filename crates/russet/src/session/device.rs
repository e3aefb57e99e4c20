//! What is known of a client's device, and what is done when it changes.

use std::net::IpAddr;

use super::secrets::Keys;

/// The most bytes that are kept of what a device says of itself.
const MOST: usize = 512;

/// From where and with what a client comes, as the request says it.
///
/// What a client says of itself is kept without control characters and up to 512 bytes, so that it cannot write lines of a log
/// or headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Device {
    pub(super) ip: Option<IpAddr>,
    pub(super) user_agent: String,
    pub(super) language: String,
}

/// What of a device makes its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FingerprintPart {
    /// Its `User-Agent`. It changes when a browser is updated.
    UserAgent,
    /// Its `Accept-Language`.
    Language,
    /// The network it comes from: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address. Telephones change it
    /// often.
    Network,
}

/// What is done when a session is used from another device, or from another address, than before. It is written down in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// The session is valid.
    Allow,
    /// The session ends: its owner has to sign in again.
    RequireLogin,
    /// This client is refused; whoever comes as before goes on.
    Reject,
}

impl Device {
    /// A device of which nothing is known.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The address that it comes from.
    pub fn ip(mut self, ip: impl Into<IpAddr>) -> Self {
        // An IPv4 address that came over an IPv6 socket is the same address.
        self.ip = Some(ip.into().to_canonical());
        self
    }

    /// What it says it is.
    pub fn user_agent(mut self, agent: &str) -> Self {
        self.user_agent = plain(agent);
        self
    }

    /// The languages that it asks for.
    pub fn language(mut self, language: &str) -> Self {
        self.language = plain(language);
        self
    }

    pub(super) fn fingerprint(&self, keys: &Keys, parts: &[FingerprintPart]) -> [u8; 32] {
        let network = self.ip.map_or(Vec::new(), network);
        let texts: Vec<&[u8]> = parts
            .iter()
            .flat_map(|part| match part {
                FingerprintPart::UserAgent => [b"agent" as &[u8], self.user_agent.as_bytes()],
                FingerprintPart::Language => [b"language", self.language.as_bytes()],
                FingerprintPart::Network => [b"network", network.as_slice()],
            })
            .collect();
        keys.fingerprint(&texts)
    }
}

fn network(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3].to_vec(),
        IpAddr::V6(ip) => ip.octets()[..6].to_vec(),
    }
}

fn plain(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MOST {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_bounded_and_plain() {
        let device =
            Device::unknown().user_agent(&("a\r\nSet-Cookie: x\0".to_owned() + &"ä".repeat(400)));
        assert!(device.user_agent.starts_with("aSet-Cookie: xä"));
        assert!(device.user_agent.len() <= MOST && !device.user_agent.contains('\n'));
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        let device = Device::unknown().ip("::ffff:10.1.2.3".parse::<IpAddr>().unwrap());
        assert_eq!(device.ip, Some("10.1.2.3".parse().unwrap()));
    }
}
