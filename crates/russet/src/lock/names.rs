use super::Lock;
use crate::{client::Russet, error::Result};

/// Which locks there are, as far as one look goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockNames {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// Whether all keys were looked at.
    pub is_complete: bool,
}

impl Lock {
    /// The locks of this namespace, for operators: those that are held, or were within the last day. A look at the keys of
    /// each primary of at most 200 ms, in steps of 500 keys; a server with millions of other keys takes longer than that, and
    /// then some locks may be left out. Locks of a [`Redlock`](super::Redlock) are not among them.
    ///
    /// Acquiring keeps no list of locks, because every caller would pay for it; so this is not for a path that serves requests.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use russet::Lock;
    ///
    /// let guard = Lock::builder(&russet, "resource_1").build()?.acquire().await?;
    /// let found = Lock::names(&russet).await?;
    /// assert_eq!((found.names, found.is_complete), (vec!["resource_1".to_owned()], true));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When a server cannot be asked, or does not let this user look (`SCAN`).
    pub async fn names(russet: &Russet) -> Result<LockNames> {
        let (names, is_complete) = russet.objects("lock").await?;
        Ok(LockNames { names, is_complete })
    }
}
