//! What a name may be, and how it is written into a key.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};

/// The longest name of an object, a counter or a member, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// Bytes that stand for themselves in a key; every other one is percent-encoded. So two names never
/// make one key, and no name can change the slot, leave the namespace or match an ACL pattern of another.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// Refuses an empty or over-long name; `what` says whose name it is.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    check_length(what, name, MAX_NAME)
}

/// Refuses an empty text or one of more than `most` bytes.
pub(crate) fn check_length(what: &str, text: &str, most: usize) -> Result<()> {
    match text.len() {
        0 => Err(Error::invalid(format_args!("the {what} is empty"))),
        length if length > most => Err(Error::invalid(format_args!(
            "the {what} has {length} bytes, more than the {most} allowed"
        ))),
        _ => Ok(()),
    }
}

/// The name as it stands in a key.
pub(crate) fn encode(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// The name that stands in a key like this; none when it is not UTF-8.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    percent_decode_str(encoded).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_1_to_256_bytes() {
        assert!(check_name("queue name", "").is_err());
        assert!(check_name("queue name", &"x".repeat(256)).is_ok());
        let error = check_name("queue name", &"x".repeat(257)).unwrap_err();
        assert_eq!(error.to_string(), "the queue name has 257 bytes, more than the 256 allowed");
    }

    proptest! {
        #[test]
        fn two_names_never_make_one_key(a in ".*", b in ".*") {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }

        #[test]
        fn a_name_comes_back_from_its_key(name in ".*") {
            prop_assert_eq!(decode(&encode(&name)), Some(name));
        }

        #[test]
        fn a_key_holds_only_plain_characters(name in ".*") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-%".contains(c);
            prop_assert!(encode(&name).chars().all(plain));
        }
    }
}
