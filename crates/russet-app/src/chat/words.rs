//! What a room, a name and a message may look like.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most characters of each.
const LONGEST_ROOM: usize = 40;
const LONGEST_NAME: usize = 40;
const LONGEST_TEXT: usize = 1_000;

/// A room: 1 to 40 of the characters `a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Room(String);

/// Somebody's name: 1 to 40 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name(String);

/// Who talks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Speaker {
    /// By which name.
    pub name: Name,
    /// Whether it is that of an account, whose owner is signed in.
    pub signed_in: bool,
}

/// A message: 1 to 1,000 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl FromStr for Room {
    type Err = &'static str;

    fn from_str(room: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=LONGEST_ROOM).contains(&room.len()) && room.bytes().all(plain) {
            return Ok(Self(room.to_owned()));
        }
        Err("room must be 1 to 40 of the characters a-z, 0-9 and -")
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let name = name.trim();
        if name.is_empty() {
            Err("name is missing or empty")
        } else if name.chars().count() > LONGEST_NAME {
            Err("name has more than 40 characters")
        } else if name.chars().any(is_hidden) {
            Err("name has a control character")
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

impl FromStr for Text {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            Err("text is missing or empty")
        } else if text.chars().count() > LONGEST_TEXT {
            Err("text has more than 1,000 characters")
        } else if text.chars().any(|c| c != '\n' && is_hidden(c)) {
            Err("text has a control character")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// Control characters, and those that turn the direction of the line, also of what stands behind.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Text> for String {
    fn from(Text(text): Text) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_of_people_pass() {
        for text in ["Ada", "小林", "<b>bold</b>", " José ", "👩‍🚀", &"x".repeat(40)] {
            assert!(text.parse::<Name>().is_ok() && text.parse::<Text>().is_ok(), "{text:?}");
        }
        assert!("two\nlines".parse::<Text>().is_ok());
        assert_eq!(" Ada ".parse(), Ok(Name("Ada".to_owned())));
    }

    #[test]
    fn empty_long_and_hidden_ones_are_refused() {
        for text in ["", "  ", "\n", "a\0b", "a\u{7f}", "a\tb", "\u{202e}adA", "a\u{2028}b"] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
            assert!(text.parse::<Text>().is_err(), "{text:?}");
        }
        assert!("two\nlines".parse::<Name>().is_err());
        assert!("x".repeat(41).parse::<Name>().is_err());
        assert!("字".repeat(1_000).parse::<Text>().is_ok());
        assert!("字".repeat(1_001).parse::<Text>().is_err());
    }

    #[test]
    fn a_room_is_plain() {
        for room in ["lobby", "rust-2026", "a", &"x".repeat(40)] {
            assert!(room.parse::<Room>().is_ok(), "{room}");
        }
        for room in ["", "Lobby", "a b", "a/b", "a:b", "*", "房间", &"x".repeat(41)] {
            assert!(room.parse::<Room>().is_err(), "{room}");
        }
    }
}
