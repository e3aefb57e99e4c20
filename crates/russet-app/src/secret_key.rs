//! The application's secret key: given, or generated and kept in the data folder.

use std::fmt;
use std::path::Path;

use crate::Failure;
use crate::data_dir::read_or_generate;

/// The fewest bytes that a key may have.
const SHORTEST: usize = 32;

/// Words that documentation and tutorials print where a key should stand.
const KNOWN: [&str; 6] =
    ["your-secret-key", "your_secret_key", "changeme", "change-me", "secret-key", "password"];

/// A key of at least 32 bytes. Its text is never printed.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes the key from `file`, else from `given`, else from `secret-key` in the data folder, where it is
    /// generated when there is none.
    ///
    /// # Errors
    /// A file that cannot be read; a key that is short, known or one character repeated.
    pub fn load(
        file: Option<&Path>,
        given: Option<&str>,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        match (file, given) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    format!("the secret key file {} cannot be read: {error}", file.display())
                })?;
                Self::check(text.trim(), "--secret-key-file")
            }
            (None, Some(text)) => Self::check(text, "SECRET_KEY"),
            (None, None) => {
                Self::check(&read_or_generate(&data_dir.join("secret-key"))?, "secret-key")
            }
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn check(text: &str, source: &str) -> Result<Self, Failure> {
        let lower = text.to_lowercase();
        let advice = "generate one with `openssl rand -hex 32`, or leave it unset and russet does";
        if KNOWN.iter().any(|known| lower.contains(known)) {
            return Err(format!("the key in {source} is a known default: {advice}").into());
        }
        if text.len() < SHORTEST {
            return Err(
                format!("the key in {source} has fewer than {SHORTEST} bytes: {advice}").into()
            );
        }
        if text.bytes().all(|byte| Some(byte) == text.bytes().next()) {
            return Err(format!("the key in {source} is one character repeated: {advice}").into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        SecretKey::check(text, "SECRET_KEY").unwrap_err().to_string()
    }

    #[test]
    fn a_known_default_a_short_and_a_monotonous_key_are_refused() {
        assert!(refusal("your-secret-key").contains("known default"));
        assert!(
            refusal("your-secret-key-your-secret-key-your-secret-key").contains("known default")
        );
        assert!(refusal("0123456789abcdef0123456789abcde").contains("fewer than 32"));
        assert!(refusal("").contains("fewer than 32"));
        assert!(refusal(&"a".repeat(40)).contains("repeated"));
    }

    #[test]
    fn a_generated_key_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let fresh = SecretKey::load(None, None, temp.path()).unwrap();
        let again = SecretKey::load(None, None, temp.path()).unwrap();
        assert_eq!(fresh.as_bytes(), again.as_bytes());
    }

    #[test]
    fn a_file_stands_above_the_environment() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("key");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let key = SecretKey::load(Some(&file), Some("too short"), temp.path()).unwrap();
        assert_eq!(key.as_bytes(), b"0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn it_is_not_printed() {
        let key = SecretKey::check("0123456789abcdef0123456789abcdef", "SECRET_KEY").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
}
