//! What is signed, and with which of the keys.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Advice, Error, ErrorKind, Result};

/// The fewest bytes of a secret.
const LEAST: usize = 32;

/// The keys of one secret, one for each purpose, so that a signature of one kind is none of another.
#[derive(Clone)]
pub(super) struct Keys {
    token: [u8; 32],
    record: [u8; 32],
    device: [u8; 32],
}

/// The keys that sign, and those that are still believed.
#[derive(Clone)]
pub(super) struct Secrets {
    /// The first one signs.
    keys: Vec<Keys>,
}

impl Keys {
    fn new(secret: &[u8]) -> Self {
        let derive = |purpose: &str| mac(secret, &[b"russet session v1", purpose.as_bytes()]);
        Self { token: derive("token"), record: derive("record"), device: derive("device") }
    }

    /// The signature of a token.
    pub(super) fn sign_token(&self, sessions: &str, token: &[u8]) -> [u8; 32] {
        mac(&self.token, &[sessions.as_bytes(), token])
    }

    /// The signature of an identity, which is good for this id only.
    pub(super) fn sign_record(&self, sessions: &str, id: &[u8], identity: &[u8]) -> [u8; 32] {
        mac(&self.record, &[sessions.as_bytes(), id, identity])
    }

    /// What stands for a device: nobody learns from a dump of Redis what it was.
    pub(super) fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.device, parts)
    }
}

impl Secrets {
    /// The first secret signs.
    ///
    /// # Errors
    /// `Invalid` when there is none, or one is too short to resist guessing.
    pub(super) fn new(secrets: &[Vec<u8>]) -> Result<Self> {
        if secrets.is_empty() {
            return Err(Error::invalid("sessions need a secret, of 32 random bytes at least"));
        }
        if let Some(short) = secrets.iter().find(|secret| secret.len() < LEAST) {
            return Err(Error::invalid(format_args!(
                "a secret of sessions must have {LEAST} bytes at least, not {}",
                short.len()
            )));
        }
        Ok(Self { keys: secrets.iter().map(|secret| Keys::new(secret)).collect() })
    }

    /// The keys that sign.
    pub(super) fn signing(&self) -> &Keys {
        &self.keys[0]
    }

    /// The keys by which the check holds.
    pub(super) fn by(&self, holds: impl Fn(&Keys) -> bool) -> Option<&Keys> {
        self.keys.iter().find(|keys| holds(keys))
    }
}

/// HMAC-SHA256 (RFC 2104) over parts whose lengths are part of it, so that no two lists of parts are one text.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // An HMAC takes a key of any length: what is longer than a block is hashed first.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether both are the same, in a time that does not depend on where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// 32 bytes from the operating system's generator.
pub(super) fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|cause| {
        let message = "the operating system gives no random bytes";
        Error::caused_by(ErrorKind::Internal, Advice::GiveUp, message, cause)
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_parts_are_told_apart() {
        assert_ne!(mac(b"key", &[b"ab", b"c"]), mac(b"key", &[b"a", b"bc"]));
        assert_ne!(mac(b"key", &[b"abc"]), mac(b"yek", &[b"abc"]));
    }

    #[test]
    fn a_signature_for_one_purpose_is_none_for_another() {
        let keys = Keys::new(&[7; 32]);
        assert_ne!(keys.sign_token("web", b"x"), keys.fingerprint(&[b"web", b"x"]));
        assert_ne!(keys.sign_record("web", b"a", b"x"), keys.sign_record("web", b"b", b"x"));
        assert_ne!(keys.sign_token("web", b"x"), keys.sign_token("api", b"x"));
    }
}
