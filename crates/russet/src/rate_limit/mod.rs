//! How often a subject may do something.

mod builder;
mod check;
mod limit;
mod scripts;

use std::{fmt, sync::Arc};

pub use builder::{RateLimiterBuilder, WhenAway};
pub use check::{Allowance, Check, DecidedBy};
pub use limit::Limit;

use crate::{
    client::{Call, Russet},
    error::Result,
    keys::Slot,
};

/// Lets each subject do something so often: one or several limits, checked in one step.
///
/// A subject is a user, an address, a key of an API, 1 to 256 bytes of any content; each lies in a slot of its own. A call
/// counts for all limits when all of them allow it, and for none otherwise. The server's clock decides, and each key ends by
/// itself when it limits nothing any more. A cheap clone. Each call is one round trip.
///
/// ```
/// # use russet::testing::TestServer;
/// use std::time::Duration;
/// use russet::{Limit, RateLimiter, Russet};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let api = RateLimiter::builder(&russet, "api")
///     .limit(Limit::gcra(100, Duration::from_secs(86_400)).burst(20))
///     .limit(Limit::fixed(1_000, Duration::from_secs(366 * 86_400)))
///     .build()?;
///
/// let allowance = api.check("user_7").await?;
/// assert!(allowance.is_allowed && allowance.remaining == 19);
/// let upload = api.check("user_7").cost(20).await?;
/// assert!(!upload.is_allowed);
/// println!("again in {:?}", upload.retry_after);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    name: String,
    /// As they were set, and as a script takes them.
    given: Vec<Limit>,
    limits: Vec<limit::Ready>,
    when_away: WhenAway,
    allowed: metrics::Counter,
    denied: metrics::Counter,
}

impl RateLimiter {
    /// Settings for the limiter of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> RateLimiterBuilder {
        RateLimiterBuilder::new(russet, name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its limits, in the order in which they were set.
    pub fn limits(&self) -> &[Limit] {
        &self.inner.given
    }

    /// How much of the narrowest limit is left to this subject. Nothing is counted.
    ///
    /// # Errors
    /// `Invalid` when the subject is not 1 to 256 bytes long; otherwise as every read, see
    /// [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "rate_limit.remaining", level = "debug", skip_all, fields(limiter = self.inner.name))]
    pub async fn remaining(&self, subject: &str) -> Result<u64> {
        let inner = &*self.inner;
        let left: Vec<u64> =
            inner.russet.run(scripts::remaining(&inner.slot(subject)?, &inner.limits)).await?;
        Ok(left.into_iter().min().unwrap_or_default())
    }

    /// Forgets what this subject did, as after a successful login; `false` when nothing was known of it.
    ///
    /// # Errors
    /// `Invalid` when the subject is not 1 to 256 bytes long; `Unknown` when the answer was lost.
    #[tracing::instrument(name = "rate_limit.reset", level = "debug", skip_all, fields(limiter = self.inner.name))]
    pub async fn reset(&self, subject: &str) -> Result<bool> {
        let inner = &*self.inner;
        let call = Call::write("DEL", &inner.slot(subject)?);
        let call = inner.limits.iter().fold(call, |call, limit| call.key(&limit.part));
        let keys: u64 = inner.russet.run(call).await?;
        Ok(keys > 0)
    }
}

impl Inner {
    fn slot(&self, subject: &str) -> Result<Slot> {
        Slot::subject(self.russet.names(), "rate_limit", &self.name, subject)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, limits, when_away, .. } = &*self.inner;
        f.debug_struct("RateLimiter")
            .field("name", name)
            .field("limits", limits)
            .field("when_away", when_away)
            .finish()
    }
}
