use std::fmt;
use std::str::FromStr;

/// The most characters of a name.
const LONGEST: usize = 32;

/// The name of an account: 1 to 32 of the characters `a-z 0-9 . _ -`, the first of them a letter or a digit. Capitals that are
/// typed are the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName(String);

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let name = name.trim().to_ascii_lowercase();
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=LONGEST).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte));
        if fits {
            return Ok(Self(name));
        }
        Err(
            "a name has 1 to 32 of the characters a-z, 0-9, dot, _ and -, and begins with a letter or a digit",
        )
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_capitals_do_not_make_another() {
        assert_eq!("Ada.L-1_".parse::<AccountName>().unwrap().as_str(), "ada.l-1_");
        assert!("x".repeat(32).parse::<AccountName>().is_ok());
        for wrong in ["", " ", ".ada", "-", "a b", "ädä", "a/b", "a:b", "a\nb", &"x".repeat(33)] {
            assert!(wrong.parse::<AccountName>().is_err(), "{wrong:?}");
        }
    }
}
