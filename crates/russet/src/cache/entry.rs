//! The one string that stands in Redis for a key: a value, a null or a lease.
//!
//! `V1[;field=value]* payload`, `N1[;field=value]* ` or `L1 id`. The letter says what it is, so that a user's value
//! can be any text, also one that looks like a mark. The digit is the format's version; unknown fields are skipped, so
//! that newer processes can add some while older ones still run.

use bytes::Bytes;

use crate::id::Id;

const VALUE: &[u8] = b"V1 ";
const NULL: &[u8] = b"N1 ";
const LEASE: &[u8] = b"L1 ";

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The payload, still encoded.
    Value(Bytes),
    /// The system of record has no such thing.
    Null,
    /// Somebody is loading it.
    Lease,
    /// Written by a version that this one cannot read: neither used nor overwritten.
    Foreign,
}

impl Entry {
    pub(super) fn read(bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        let Some(head) = bytes.iter().position(|byte| *byte == b' ') else { return Self::Foreign };
        match (bytes.first(), bytes.get(1), bytes.get(2)) {
            (Some(b'V'), Some(b'1'), Some(b' ' | b';')) => Self::Value(bytes.slice(head + 1..)),
            (Some(b'N'), Some(b'1'), Some(b' ' | b';')) => Self::Null,
            (Some(b'L'), ..) => Self::Lease,
            _ => Self::Foreign,
        }
    }

    /// The stored form of a payload, or of the null that stands for its absence.
    pub(super) fn write(payload: Option<&[u8]>) -> Vec<u8> {
        match payload {
            Some(payload) => [VALUE, payload].concat(),
            None => NULL.to_vec(),
        }
    }

    /// The stored form of a lease.
    pub(super) fn lease(id: Id) -> Vec<u8> {
        [LEASE, id.to_string().as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let payload = Bytes::from_static(b"{\"name\":\"N1 L1 V1\"}");
        assert_eq!(Entry::read(Entry::write(Some(&payload))), Entry::Value(payload));
        assert_eq!(Entry::read(Entry::write(Some(b""))), Entry::Value(Bytes::new()));
        assert_eq!(Entry::read(Entry::write(None)), Entry::Null);
        assert_eq!(Entry::read(Entry::lease(Id::random().unwrap())), Entry::Lease);
    }

    #[test]
    fn fields_of_a_newer_process_are_skipped() {
        let read = |text: &str| Entry::read(text.as_bytes().to_vec());
        assert_eq!(read("V1;fresh=17;version=3 42"), Entry::Value(Bytes::from_static(b"42")));
        assert_eq!(read("N1;fresh=17 "), Entry::Null);
    }

    #[test]
    fn another_format_is_neither_a_value_nor_absent() {
        for text in ["", "V", "V2 42", "X1 42", "42", "\"V1\""] {
            assert_eq!(Entry::read(text.as_bytes().to_vec()), Entry::Foreign, "{text}");
        }
    }
}
