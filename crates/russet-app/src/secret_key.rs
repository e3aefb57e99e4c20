//! The application's secret keys: given, or generated and kept in the data folder. Sessions are signed with them.

use std::fmt;
use std::path::Path;

use crate::Failure;
use crate::data_dir::read_or_generate;

/// The file of the data folder.
const FILE: &str = "secret-key";

/// The fewest bytes that a key may have.
const SHORTEST: usize = 32;

/// Words that documentation and tutorials print where a key should stand.
const KNOWN: [&str; 6] =
    ["your-secret-key", "your_secret_key", "changeme", "change-me", "secret-key", "password"];

/// A key of at least 32 bytes. Its text is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

/// The key that signs sessions, and those that have signed before and are still believed.
#[derive(Debug, Clone)]
pub struct SecretKeys {
    signing: SecretKey,
    previous: Vec<SecretKey>,
}

impl SecretKeys {
    /// Takes the keys from `file`, one a line, the first of them signing; else the signing key from `given`; else from `secret-key`
    /// in the data folder, where one is generated when there is none. `previous` are more keys that are believed, with spaces
    /// between them.
    ///
    /// # Errors
    /// A file that cannot be read; a key that is short, known or one character repeated.
    pub fn load(
        file: Option<&Path>,
        given: Option<&str>,
        previous: Option<&str>,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        let generated = || read_or_generate(&data_dir.join(FILE));
        Self::from_parts(file, given, previous, generated)
    }

    /// The same for who must not make one: a key of his own would sign nothing that others believe.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when there is no key.
    pub fn load_existing(
        file: Option<&Path>,
        given: Option<&str>,
        previous: Option<&str>,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        let kept = data_dir.join(FILE);
        let missing = "name the secret key of `russet serve`, which signs what is to be read: --secret-key-file or SECRET_KEY";
        let existing = || match std::fs::read_to_string(&kept) {
            Ok(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(Failure::from(missing)),
        };
        Self::from_parts(file, given, previous, existing)
    }

    /// A key that nobody else has, for an application of which nothing outlives the process.
    #[must_use]
    pub fn random() -> Self {
        let bytes: [u8; SHORTEST] = rand::random();
        let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { signing: SecretKey(text), previous: Vec::new() }
    }

    fn from_parts(
        file: Option<&Path>,
        given: Option<&str>,
        previous: Option<&str>,
        otherwise: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Self, Failure> {
        let (text, source) = match (file, given) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    format!("the secret key file {} cannot be read: {error}", file.display())
                })?;
                (text, "--secret-key-file")
            }
            (None, Some(text)) => (text.to_owned(), "SECRET_KEY"),
            (None, None) => (otherwise()?, FILE),
        };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let signing = SecretKey::check(lines.next().unwrap_or_default(), source)?;
        let earlier = lines.map(|line| SecretKey::check(line, source));
        let others = previous.unwrap_or_default().split_whitespace();
        let others = others.map(|key| SecretKey::check(key, "SECRET_KEY_PREVIOUS"));
        Ok(Self { signing, previous: earlier.chain(others).collect::<Result<_, _>>()? })
    }

    /// The key that signs.
    #[must_use]
    pub fn signing(&self) -> &SecretKey {
        &self.signing
    }

    /// The keys that are believed besides.
    #[must_use]
    pub fn also_verify(&self) -> &[SecretKey] {
        &self.previous
    }
}

impl SecretKey {
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

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";
    const THREE: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn a_generated_key_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        assert!(SecretKeys::load_existing(None, None, None, temp.path()).is_err());
        assert!(!temp.path().join(FILE).exists());
        let fresh = SecretKeys::load(None, None, None, temp.path()).unwrap();
        let again = SecretKeys::load(None, None, None, temp.path()).unwrap();
        assert!(fresh.signing() == again.signing());
        let read = SecretKeys::load_existing(None, None, None, temp.path()).unwrap();
        assert!(fresh.signing() == read.signing());
    }

    #[test]
    fn a_file_stands_above_the_environment() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("key");
        std::fs::write(&file, format!("{ONE}\n")).unwrap();
        let keys = SecretKeys::load(Some(&file), Some("too short"), None, temp.path()).unwrap();
        assert_eq!(keys.signing().as_bytes(), ONE.as_bytes());
        assert!(keys.also_verify().is_empty());
    }

    #[test]
    fn earlier_keys_are_further_lines_or_words_of_the_environment_and_are_checked_too() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("key");
        std::fs::write(&file, format!("{ONE}\n\n{TWO}\n")).unwrap();
        let keys = SecretKeys::load(Some(&file), None, Some(THREE), temp.path()).unwrap();
        let others: Vec<_> = keys.also_verify().iter().map(SecretKey::as_bytes).collect();
        assert_eq!(keys.signing().as_bytes(), ONE.as_bytes());
        assert_eq!(others, [TWO.as_bytes(), THREE.as_bytes()]);
        let load = |previous| SecretKeys::load(None, Some(ONE), Some(previous), temp.path());
        let both = [TWO, THREE].join(" ");
        assert_eq!(load(&both).unwrap().also_verify().len(), 2);
        assert!(load("your-secret-key-your-secret-key-your").is_err());
        assert!(load("short").unwrap_err().to_string().contains("SECRET_KEY_PREVIOUS"));
    }

    #[test]
    fn it_is_not_printed() {
        let key = SecretKey::check("0123456789abcdef0123456789abcdef", "SECRET_KEY").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
}
