//! The one string that stands in Redis for a key: a value, a null, a lease or the guard of a strict write.
//!
//! `V1[;field=value]* payload`, `N1[;field=value]* `, `L1 id` or `W1;alone=1 id=end`. The letter says what it is, so
//! that a user's value can be any text, also one that looks like a mark. The digit is the format's version; unknown fields are skipped, so
//! that newer processes can add some while older ones still run. `fresh` is put in by the scripts (`lua/lib/stamp.lua`).

use bytes::Bytes;

use crate::id::Id;

const VALUE: &[u8] = b"V1 ";
const NULL: &[u8] = b"N1 ";
const LEASE: &[u8] = b"L1 ";

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Stored(Stored),
    /// Somebody is loading it.
    Lease,
    /// The guard of a strict write, or written by a version that this one cannot read: neither used nor overwritten.
    Foreign,
}

/// What was loaded, or put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Still encoded; none when the system of record has no such thing.
    pub(super) payload: Option<Bytes>,
    /// In milliseconds of the server's clock; none when it is fresh as long as it is there.
    pub(super) fresh_until: Option<i64>,
}

impl Entry {
    pub(super) fn read(bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        let Some(head) = bytes.iter().position(|byte| *byte == b' ') else { return Self::Foreign };
        match (bytes.first(), bytes.get(1), bytes.get(2)) {
            (Some(b'V'), Some(b'1'), Some(b' ' | b';')) => Self::Stored(Stored {
                payload: Some(bytes.slice(head + 1..)),
                fresh_until: field(&bytes[..head], b"fresh"),
            }),
            (Some(b'N'), Some(b'1'), Some(b' ' | b';')) => {
                Self::Stored(Stored { payload: None, fresh_until: None })
            }
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

    /// The same of a record whose version is known, so that an older one cannot replace it.
    pub(super) fn versioned(payload: Option<&[u8]>, version: u64) -> Vec<u8> {
        let letter = if payload.is_some() { 'V' } else { 'N' };
        let mut entry = format!("{letter}1;version={version} ").into_bytes();
        entry.extend_from_slice(payload.unwrap_or_default());
        entry
    }

    /// The stored form of a lease.
    pub(super) fn lease(id: Id) -> Vec<u8> {
        [LEASE, id.to_string().as_bytes()].concat()
    }
}

/// The number in a field of a head.
fn field(head: &[u8], name: &[u8]) -> Option<i64> {
    let mut fields = head.split(|byte| *byte == b';').skip(1);
    let value = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(payload: impl Into<Bytes>, fresh_until: Option<i64>) -> Entry {
        Entry::Stored(Stored { payload: Some(payload.into()), fresh_until })
    }

    const NOTHING: Entry = Entry::Stored(Stored { payload: None, fresh_until: None });

    #[test]
    fn what_is_written_is_read() {
        let payload = Bytes::from_static(b"{\"name\":\"N1 L1 V1\"}");
        assert_eq!(Entry::read(Entry::write(Some(&payload))), value(payload, None));
        assert_eq!(Entry::read(Entry::write(Some(b""))), value("", None));
        assert_eq!(Entry::read(Entry::write(None)), NOTHING);
        assert_eq!(Entry::read(Entry::versioned(Some(b"42"), 3)), value("42", None));
        assert_eq!(Entry::read(Entry::versioned(None, 3)), NOTHING);
        assert_eq!(Entry::read(Entry::lease(Id::random().unwrap())), Entry::Lease);
    }

    #[test]
    fn fields_of_a_newer_process_are_skipped() {
        let read = |text: &str| Entry::read(text.as_bytes().to_vec());
        assert_eq!(read("V1;version=3;fresh=17 42"), value("42", Some(17)));
        for unknown in ["V1;version=3 42", "V1;refresh=17 42", "V1;fresh=soon 42", "V1;fresh 42"] {
            assert_eq!(read(unknown), value("42", None), "{unknown}");
        }
        assert_eq!(read("N1;fresh=17 "), NOTHING);
    }

    #[test]
    fn another_format_is_neither_a_value_nor_absent() {
        for text in ["", "V", "V2 42", "X1 42", "42", "\"V1\""] {
            assert_eq!(Entry::read(text.as_bytes().to_vec()), Entry::Foreign, "{text}");
        }
    }
}
