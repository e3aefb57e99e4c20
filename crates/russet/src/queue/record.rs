//! How a task stands in Redis: `V1;field=value;field=value name body`.
//!
//! The digit is the version. A reader skips the fields that it does not know. Those of version 1: `n` counted attempts, `a`
//! most attempts (5 when it is missing), `t` longest run in ms, `k` how long the result is kept in ms, `u` the unique key, `d`
//! how long after it was made it was to be ready in ms, `h` headers as `name:value,name:value`, each encoded.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::options::Headers;
use crate::names::encode;

/// How many attempts a task has when its record does not say.
pub(super) const DEFAULT_ATTEMPTS: u32 = 5;

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    /// Attempts that ended and counted.
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_result: Option<Duration>,
    /// Encoded, as it stands in a key.
    pub(super) unique: Option<String>,
    pub(super) delay: Duration,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl Record {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut head = String::from("V1");
        // Writing to a text does not fail.
        if self.max_attempts != DEFAULT_ATTEMPTS {
            let _ = write!(head, ";a={}", self.max_attempts);
        }
        if let Some(timeout) = self.timeout {
            let _ = write!(head, ";t={}", timeout.as_millis());
        }
        if let Some(keep) = self.keep_result {
            let _ = write!(head, ";k={}", keep.as_millis());
        }
        if let Some(unique) = &self.unique {
            let _ = write!(head, ";u={unique}");
        }
        if !self.delay.is_zero() {
            let _ = write!(head, ";d={}", self.delay.as_millis());
        }
        if !self.headers.is_empty() {
            let pair =
                |(name, value): (&String, &String)| [&encode(name), ":", &encode(value)].concat();
            let _ =
                write!(head, ";h={}", self.headers.iter().map(pair).collect::<Vec<_>>().join(","));
        }
        let _ = write!(head, " {} ", self.name);
        let mut record = head.into_bytes();
        record.extend_from_slice(&self.body);
        record
    }

    /// None for a record of another version.
    pub(super) fn read(record: Vec<u8>) -> Option<Self> {
        let first = record.iter().position(|byte| *byte == b' ')?;
        let second = first + 1 + record[first + 1..].iter().position(|byte| *byte == b' ')?;
        let fields = std::str::from_utf8(&record[..first]).ok()?.strip_prefix("V1")?;
        let name = std::str::from_utf8(&record[first + 1..second]).ok()?.to_owned();
        let mut read = Self { name, max_attempts: DEFAULT_ATTEMPTS, ..Self::default() };
        for (field, value) in fields.split(';').filter_map(|field| field.split_once('=')) {
            let millis = || value.parse().ok().map(Duration::from_millis);
            match field {
                "n" => read.attempts = value.parse().ok()?,
                "a" => read.max_attempts = value.parse().ok()?,
                "t" => read.timeout = millis(),
                "k" => read.keep_result = millis(),
                "u" => read.unique = Some(value.to_owned()),
                "d" => read.delay = millis().unwrap_or_default(),
                "h" => read.headers = headers(value),
                _ => {}
            }
        }
        read.body = Bytes::from(record).slice(second + 1..);
        Some(read)
    }
}

fn headers(pairs: &str) -> Headers {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = pairs.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_plain_one_is_short() {
        let record = Record {
            name: "send_email".into(),
            attempts: 0,
            max_attempts: 3,
            timeout: Some(Duration::from_secs(1)),
            keep_result: Some(Duration::from_secs(60)),
            unique: Some("a%20b".into()),
            delay: Duration::from_millis(5),
            headers: [("trace;a".into(), "b, =:c".into()), ("é".into(), "".into())].into(),
            body: Bytes::from_static(b"{\"a\": 1}\0 x"),
        };
        assert_eq!(Record::read(record.write()).unwrap(), record);
        let plain =
            Record { name: "x".into(), max_attempts: 5, body: "{}".into(), ..Record::default() };
        assert_eq!(plain.write(), b"V1 x {}");
    }

    #[test]
    fn unknown_fields_are_skipped_and_another_version_is_none() {
        let read = Record::read(b"V1;n=2;z=new name {}".to_vec()).unwrap();
        assert_eq!((read.attempts, read.name.as_str()), (2, "name"));
        assert!(Record::read(b"V2 name {}".to_vec()).is_none());
        assert!(Record::read(b"V1 name".to_vec()).is_none());
    }
}
