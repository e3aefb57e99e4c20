//! Random ids: of processes, leases and requests. Never a clock, a counter or a host name, which a restart repeats.

use std::fmt;

use crate::error::{Advice, Error, ErrorKind, Result};

/// 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(u128);

impl Id {
    /// A new id from the operating system's generator.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|cause| {
            let message = "the operating system gives no random bytes";
            Error::caused_by(ErrorKind::Internal, Advice::GiveUp, message, cause)
        })?;
        Ok(Self(u128::from_ne_bytes(bytes)))
    }

    /// The id that is written like this; none for anything else.
    #[cfg(feature = "lock")]
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_written = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_written).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}
