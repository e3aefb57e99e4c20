use super::{Inner, Lock, scripts};
use crate::error::Result;

impl Lock {
    /// Takes the lock away from the holder with this fence, as [`status`](Self::status) shows it, and gives it to who waits
    /// longest; whether that holder still had it. For operators: the holder goes on until its next renewal, or until the store
    /// refuses its fence. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// let lock = russet::Lock::builder(&russet, "resource_1").build()?;
    /// let stuck = lock.acquire().await?;
    /// assert!(lock.force_release(stuck.fence()).await?);
    /// assert!(lock.try_acquire().await?.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn force_release(&self, fence: u64) -> Result<bool> {
        let Inner { russet, place, .. } = &*self.inner;
        scripts::force(russet, place, fence).await
    }
}
