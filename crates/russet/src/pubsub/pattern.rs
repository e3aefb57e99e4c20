//! Patterns of channel names.

use crate::{error::Result, names::check_name};

/// `*` stands for any text, and nothing else is special.
///
/// The server compares names as they are encoded, in which `*` may begin or end inside of an encoded byte: so it tells too
/// much, and what it tells is compared again here.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Box<str>);

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        check_name("pattern of channels", pattern)?;
        Ok(Self(pattern.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let mut literals = self.0.split('*');
        let Some(mut rest) = literals.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut literals: Vec<_> = literals.collect();
        let Some(last) = literals.pop() else { return rest.is_empty() };
        for literal in literals {
            let Some(at) = rest.find(literal) else { return false };
            rest = &rest[at + literal.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_nothing_else_is_special() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        for (pattern, name) in [
            ("*", "x"),
            ("news.*", "news.sport"),
            ("news.*", "news."),
            ("*.sport", "news.sport"),
            ("a*b*c", "a1b2b3c"),
            ("a**b", "ab"),
            ("news", "news"),
            ("é*", "éa"),
            ("a?[b]\\", "a?[b]\\"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("news.*", "new"),
            ("news", "news.sport"),
            ("a*5", "a%"),
            ("ab*bc", "abc"),
            ("a?", "ab"),
            ("[ab]", "a"),
            ("*b*c", "abd"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(Pattern::new("").is_err() && Pattern::new(&"*".repeat(257)).is_err());
    }
}
