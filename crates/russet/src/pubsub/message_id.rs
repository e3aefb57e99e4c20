use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use crate::{
    clock::{from_millis, millis},
    error::{Error, Result},
};

/// Which message of a topic: the server's time in milliseconds when it was published, and a number that tells those of one
/// millisecond apart. Later messages have larger ids. As text it is `1795654586789-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    ms: u64,
    seq: u64,
}

impl MessageId {
    /// When the message was published, by the server's clock.
    pub fn time(self) -> SystemTime {
        from_millis(i64::try_from(self.ms).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for MessageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-');
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        };
        let id = parts.and_then(|(ms, seq)| Some(Self { ms: number(ms)?, seq: number(seq)? }));
        id.ok_or_else(|| Error::invalid("the text is no id of a message, such as 1795654586789-0"))
    }
}

/// From where on a group reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Everything that is still kept.
    #[default]
    Oldest,
    /// What is published from now on.
    Now,
    /// What was published at this time or later, by the server's clock.
    At(SystemTime),
    /// What follows this message.
    After(MessageId),
}

impl Start {
    /// The last id that is not read any more, as the server takes it.
    pub(super) fn position(self) -> String {
        match self {
            Self::Oldest => "0-0".to_owned(),
            Self::Now => "$".to_owned(),
            Self::At(time) => match u64::try_from(millis(time)) {
                Ok(ms) if ms > 0 => MessageId { ms: ms - 1, seq: u64::MAX }.to_string(),
                _ => "0-0".to_owned(),
            },
            Self::After(id) => id.to_string(),
        }
    }
}

/// Milliseconds of a setting that is 1 ms to a hundred years.
pub(super) fn checked_millis(what: &str, time: Duration) -> Result<u64> {
    const MOST: u64 = 100 * 366 * 86_400_000;
    match u64::try_from(time.as_millis()) {
        Ok(ms) if (1..=MOST).contains(&ms) => Ok(ms),
        _ => Err(Error::invalid(format_args!(
            "{what} must be 1 millisecond to 100 years, not {time:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_text() {
        let id: MessageId = "1795654586789-3".parse().unwrap();
        assert_eq!(id.to_string(), "1795654586789-3");
        assert!("1795654586789-2".parse::<MessageId>().unwrap() < id);
        for other in ["", "1", "1-", "-1", "+1-1", "1-2-3", "$", "1-18446744073709551616"] {
            assert!(other.parse::<MessageId>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_time_begins_with_its_millisecond() {
        let at = Start::At(SystemTime::UNIX_EPOCH + Duration::from_millis(5));
        assert_eq!(at.position(), "4-18446744073709551615");
        assert_eq!(Start::At(SystemTime::UNIX_EPOCH).position(), "0-0");
    }
}
