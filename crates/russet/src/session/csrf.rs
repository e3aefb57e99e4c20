//! Tokens that show that a form was ours.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use super::{
    Session,
    secrets::{mac, random, same},
};
use crate::error::Result;

impl Session {
    /// A token for forms and requests of this session that change something. Each call writes it otherwise, so that compressed
    /// pages do not give it away (BREACH, 2013); all are good until the session ends or gets another id.
    ///
    /// # Errors
    /// `Internal` when the operating system gives no random bytes.
    pub fn csrf_token(&self) -> Result<String> {
        let mask = random()?;
        let hidden = xor(mask, self.csrf_mac());
        Ok(BASE64.encode([mask, hidden].concat()))
    }

    /// Whether a token was made for this session.
    pub fn is_csrf_token(&self, token: &str) -> bool {
        let bytes = BASE64.decode(token).unwrap_or_default();
        let (Some(mask), Some(hidden)) = (bytes.first_chunk::<32>(), bytes.last_chunk::<32>())
        else {
            return false;
        };
        bytes.len() == 64 && same(&xor(*mask, *hidden), &self.csrf_mac())
    }

    fn csrf_mac(&self) -> [u8; 32] {
        mac(self.identity().csrf(), &[b"russet csrf v1", self.id().as_bytes()])
    }
}

fn xor(one: [u8; 32], other: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|i| one[i] ^ other[i])
}
