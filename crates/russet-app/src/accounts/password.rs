//! Passwords: what they may be, and how they are kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::{OnceCell, Semaphore};

use super::AccountError;

/// Characters of a new password: no rules of what they must be (ASVS 5.0, 6.2).
const SHORTEST: usize = 12;
const LONGEST: usize = 256;

/// The long ones of the passwords that are guessed first.
const GUESSED: [&str; 12] = [
    "passwordpassword",
    "password1234",
    "password12345",
    "password123456",
    "qwertyuiop123",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "123456789012",
    "1234567890123",
    "administrator",
    "iloveyou1234",
    "letmeinletmein",
];

/// The letters and digits that nobody mistakes for each other: 32 of them.
const PLAIN: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 100 random bits.
const GENERATED: usize = 20;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody has typed. It is never shown.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Whatever was typed: at a login it is right or wrong.
    #[must_use]
    pub fn typed(text: String) -> Self {
        Self(text)
    }

    /// A new one of 20 random letters and digits.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; GENERATED];
        getrandom::fill(&mut bytes)?;
        // 32 characters: five bits of each byte, all equally likely.
        Ok(Self(bytes.iter().map(|byte| char::from(PLAIN[usize::from(byte % 32)])).collect()))
    }

    /// Whether it may be the new password of this account.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn check(&self, account: &str) -> Result<(), &'static str> {
        let characters = self.0.chars().count();
        let lower = self.0.to_lowercase();
        let mut all = lower.chars();
        let first = all.next();
        if characters < SHORTEST {
            Err("the password has fewer than 12 characters")
        } else if characters > LONGEST {
            Err("the password has more than 256 characters")
        } else if all.all(|c| Some(c) == first) {
            Err("the password is one character repeated")
        } else if lower.contains(account) && characters < account.len() + SHORTEST / 2 {
            Err("the password is little more than the account's name")
        } else if GUESSED.contains(&lower.as_str()) {
            Err("the password is one of those that are guessed first")
        } else {
            Ok(())
        }
    }

    /// Its text, to be written into a file of its owner.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Hashes and compares passwords by argon2id (19 MiB, two passes), off the threads that serve requests, few at a time. A
/// cheap clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// The hash of a password that nobody knows.
    nobodys: Arc<OnceCell<String>>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        // Each takes 19 MiB and a processor; one is left to those who do not sign in.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))),
            nobodys: Arc::default(),
        }
    }

    /// What is kept of a password, in the PHC format.
    ///
    /// # Errors
    /// `Busy` when too many wait.
    pub async fn hash(&self, password: Password) -> Result<String, AccountError> {
        self.run(move || {
            Argon2::default().hash_password(password.0.as_bytes()).map(|hash| hash.to_string())
        })
        .await?
        .map_err(AccountError::Hash)
    }

    /// Whether the password is that of the hash. Without a hash it is not, and that takes the same time.
    ///
    /// # Errors
    /// `Busy` when too many wait; `Hash` for a hash that is none.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, AccountError> {
        let is_somebodys = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self
                .nobodys
                .get_or_try_init(async || self.hash(Password::generate()?).await)
                .await?
                .clone(),
        };
        let verified = self.run(move || {
            let hash = PasswordHash::new(&hash)?;
            // A password that is too long to be one costs no more than another.
            let typed = if password.0.len() > 4 * LONGEST { "" } else { &password.0 };
            match Argon2::default().verify_password(typed.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        });
        Ok(verified.await?.map_err(AccountError::Hash)? && is_somebodys)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let turn = self.turns.clone().acquire_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| AccountError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Until it is done, also when the caller is gone.
            let _turn = turn;
            work()
        });
        done.await.map_err(AccountError::Thread)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn password(text: &str) -> Password {
        Password::typed(text.to_owned())
    }

    #[test]
    fn a_password_is_long_and_not_the_first_guess_and_may_be_anything_else() {
        for good in [
            "correct horse",
            "äöü 中文 字字字字字字",
            &"x y".repeat(80),
            "all lower case",
            "123456789013",
        ] {
            assert_eq!(password(good).check("ada"), Ok(()), "{good}");
        }
        for wrong in
            ["", "elevenchars", "aaaaaaaaaaaa", "Password1234", "administrator", &"x y".repeat(86)]
        {
            assert!(password(wrong).check("ada").is_err(), "{wrong}");
        }
        assert!(password("margaret.hamilton1").check("margaret.hamilton").is_err());
    }

    #[test]
    fn generated_ones_are_long_and_differ_and_are_not_shown() {
        let (one, two) = (Password::generate().unwrap(), Password::generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.check("admin"), Ok(()));
        assert_eq!(one.expose().len(), GENERATED);
        assert_eq!(format!("{one:?}"), "Password");
    }

    #[tokio::test]
    async fn the_right_password_is_right_and_every_hash_has_its_salt() {
        let passwords = Passwords::new();
        let (one, two) =
            tokio::join!(passwords.hash(password("secret")), passwords.hash(password("secret")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(passwords.verify(password("secret"), Some(one.clone())).await.unwrap());
        assert!(!passwords.verify(password("Secret"), Some(one.clone())).await.unwrap());
        assert!(!passwords.verify(password(&"secret".repeat(1_000)), Some(one)).await.unwrap());
        assert!(!passwords.verify(password("secret"), None).await.unwrap());
        assert!(passwords.verify(password("secret"), Some("no hash".to_owned())).await.is_err());
    }

    #[tokio::test]
    async fn who_is_unknown_takes_as_much_work_as_a_wrong_password() {
        let passwords = Passwords::new();
        let hash = passwords.hash(password("secret")).await.unwrap();
        passwords.verify(password("wrong"), None).await.unwrap();
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        // The shortest of several, by turns: other work on this machine only makes them longer.
        for _ in 0..8 {
            let begun = Instant::now();
            passwords.verify(password("wrong"), Some(hash.clone())).await.unwrap();
            known = known.min(begun.elapsed());
            let begun = Instant::now();
            passwords.verify(password("wrong"), None).await.unwrap();
            unknown = unknown.min(begun.elapsed());
        }
        let ratio = unknown.as_secs_f64() / known.as_secs_f64();
        assert!((0.33..3.0).contains(&ratio), "known {known:?}, unknown {unknown:?}");
    }
}
