//! What a client holds, and what Redis knows of it.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use super::secrets::{Secrets, random, same, sha256};
use crate::error::{Error, Result};

/// Where the random part ends and the number of the shard stands.
const SHARD: usize = 32;
/// A token, and one that names the global session above it.
const LENGTHS: [usize; 2] = [SHARD + 1, SHARD + 1 + 16];

/// What a client holds to prove its session: 32 random bytes, where in Redis the session is, and a signature.
///
/// Whoever has it is signed in, so it is handed out once, and shown only by [`expose`](Self::expose): it has no `Display`,
/// and its `Debug` says nothing. Redis has its hash alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

/// The public name of a session: the first 16 bytes of its token's SHA-256. Nobody signs in with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

/// Where a session is, and under which other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) shard: u8,
    pub(super) id: SessionId,
    pub(super) global: Option<SessionId>,
}

/// What a token is that names no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// It has not the form of one.
    Malformed,
    /// No key of ours has signed it.
    Forged,
}

impl SessionToken {
    /// The text that goes into a cookie or a header: letters, digits, `-`, `_` and one `.`.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A new one in this shard.
    pub(super) fn random(
        secrets: &Secrets,
        sessions: &str,
        shard: u8,
        global: Option<SessionId>,
    ) -> Result<Self> {
        let mut bytes = random()?.to_vec();
        bytes.push(shard);
        bytes.extend(global.iter().flat_map(|id| id.0));
        let signature = secrets.signing().sign_token(sessions, &bytes);
        Ok(Self([BASE64.encode(&bytes), BASE64.encode(signature)].join(".")))
    }

    /// Where its session is, if one of our keys has signed it.
    pub(super) fn spot(&self, secrets: &Secrets, sessions: &str) -> Result<Spot, NoToken> {
        let (bytes, signature) = self.0.split_once('.').ok_or(NoToken::Malformed)?;
        let decode = |text: &str| BASE64.decode(text).map_err(|_| NoToken::Malformed);
        let (bytes, signature) = (decode(bytes)?, decode(signature)?);
        if !LENGTHS.contains(&bytes.len()) {
            return Err(NoToken::Malformed);
        }
        let is_ours =
            |keys: &super::secrets::Keys| same(&keys.sign_token(sessions, &bytes), &signature);
        secrets.by(is_ours).ok_or(NoToken::Forged)?;
        let global = bytes.get(SHARD + 1..).and_then(|rest| rest.try_into().ok()).map(SessionId);
        let shard = bytes.get(SHARD).copied().ok_or(NoToken::Malformed)?;
        Ok(Spot { shard, id: SessionId::of(&bytes), global })
    }
}

impl SessionId {
    fn of(token: &[u8]) -> Self {
        let hash = sha256(token);
        Self(std::array::from_fn(|i| hash[i]))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<String> for SessionToken {
    /// What a client has sent: any text. It is looked at when it is used.
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SessionToken {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let is_written = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_written);
        let number =
            number.ok_or_else(|| Error::invalid("the id of a session is 32 hexadecimal digits"))?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(bytes: &[u8]) -> Secrets {
        Secrets::new(&bytes.iter().map(|byte| vec![*byte; 32]).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_token_says_where_its_session_is() {
        let secrets = secrets(&[1]);
        let global = SessionToken::random(&secrets, "web", 63, None).unwrap();
        let above = global.spot(&secrets, "web").unwrap();
        assert_eq!((above.shard, above.global), (63, None));
        let app = SessionToken::random(&secrets, "web", 63, Some(above.id)).unwrap();
        assert_eq!(app.spot(&secrets, "web").unwrap().global, Some(above.id));
        assert_eq!(above.id.to_string().parse::<SessionId>().unwrap(), above.id);
    }

    #[test]
    fn a_token_with_one_changed_character_is_refused() {
        let secrets = secrets(&[1]);
        let token = SessionToken::random(&secrets, "web", 3, None).unwrap();
        for at in 0..token.0.len() {
            let mut changed = token.0.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = SessionToken::from(String::from_utf8(changed).unwrap());
            assert!(changed.spot(&secrets, "web").is_err(), "at {at}");
        }
        for bad in ["", ".", "a.b", "ä.ö", &token.0[1..], &token.0[..token.0.len() - 1]] {
            assert!(SessionToken::from(bad).spot(&secrets, "web").is_err(), "{bad}");
        }
        assert_eq!(token.spot(&secrets, "other"), Err(NoToken::Forged));
    }

    #[test]
    fn an_older_secret_is_believed_while_it_is_named() {
        let old = SessionToken::random(&secrets(&[1]), "web", 3, None).unwrap();
        assert!(old.spot(&secrets(&[2, 1]), "web").is_ok());
        assert_eq!(old.spot(&secrets(&[2]), "web"), Err(NoToken::Forged));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = SessionToken::random(&secrets(&[1]), "web", 3, None).unwrap();
        assert_eq!(format!("{token:?}"), "SessionToken");
    }
}
