//! What a Bloom filter knows of the keys: asked after a nil only, told before a value becomes visible.

use super::{CacheBuilder, Inner, Loaded, Source, fill::Seen, nulls::NullCap};
use crate::{
    bloom::{BloomFilter, Verdict},
    codec::Codec,
    error::Result,
};

/// What stands between the store and those who ask for things that do not exist.
#[derive(Clone, Default)]
pub(super) struct Guard {
    pub(super) filter: Option<BloomFilter>,
    pub(super) nulls: NullCap,
}

impl<K: ?Sized, V, C: Codec> CacheBuilder<K, V, C> {
    /// Asks this filter before a load: a key that it does not know is answered `None`, and costs the store nothing. The
    /// filter is asked after a nil only, which makes a miss one round trip longer, a hit none.
    ///
    /// [`put`](super::Cache::put) inserts its key before the value is visible; whoever creates records in another way
    /// [inserts](BloomFilter::insert) before the record is visible. [`get_with`](super::Cache::get_with), whose closure always has a value, does not ask the filter, and
    /// inserts what it has loaded. A filter that is not ready, or that cannot be reached, hides nothing. Its items are
    /// the keys of this cache, by their [`CacheKey`](crate::CacheKey) text. Defaults to none.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use std::time::Duration;
    /// use russet::{BloomFilter, BoxError, Cache, Loader};
    ///
    /// struct UserTable;
    /// impl Loader<u64, String> for UserTable {
    ///     async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
    ///         Ok((*id < 100).then(|| format!("User {id}")))
    ///     }
    /// }
    ///
    /// let known = BloomFilter::builder(&russet, "user_ids").settle(Duration::ZERO).build()?;
    /// known.rebuild_from(0..100_u64).await?;
    /// let users = Cache::builder(&russet, "users").loader(UserTable).bloom(&known).build()?;
    /// assert_eq!(users.get(&42).await?.as_deref(), Some("User 42"));
    /// assert_eq!(users.get(&404).await?, None);
    /// assert_eq!((users.stats().loads, users.stats().filtered), (1, 1));
    /// # Ok(()) }
    /// ```
    pub fn bloom(mut self, filter: &BloomFilter) -> Self {
        self.guard.filter = Some(filter.clone());
        self
    }

    /// How often in a second this process stores that there is no such thing; beyond it the answer is `None` all the same,
    /// and is not remembered. So a flood of different unknown keys does not fill Redis. Defaults to 1,000.
    pub fn max_nulls_per_second(mut self, nulls: u32) -> Self {
        self.guard.nulls = NullCap::new(nulls);
        self
    }
}

impl Inner {
    /// The answer to a key that was not there, if the filter is certain that there is no such thing.
    pub(super) async fn filtered(&self, key: &str, seen: &Seen) -> Option<Loaded> {
        self.filtered_many(&[(key, seen)]).await.into_iter().next().flatten()
    }

    /// The same for each of up to 1,000 keys, in one round trip.
    pub(super) async fn filtered_many(&self, keys: &[(&str, &Seen)]) -> Vec<Option<Loaded>> {
        let mut answers = vec![None; keys.len()];
        let Some(filter) = &self.guard.filter else { return answers };
        // What stands there, or is being loaded, exists.
        let asked: Vec<_> =
            (0..keys.len()).filter(|at| matches!(keys[*at].1, Seen::Nothing)).collect();
        if asked.is_empty() {
            return answers;
        }
        let texts: Vec<&str> = asked.iter().map(|at| keys[*at].0).collect();
        let verdicts = match filter.verdicts(&texts).await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                tracing::debug!(cache = %self.name, %error, "the filter was not asked");
                return answers;
            }
        };
        for (at, verdict) in asked.into_iter().zip(verdicts) {
            if verdict == Verdict::Absent {
                self.counting.filtered(1);
                let source = Source::Miss;
                answers[at] =
                    Some(Loaded { payload: None, source, fresh_until: None, is_due: false });
            }
        }
        answers
    }

    /// Lets the filter know a key, before a value of it becomes visible.
    pub(super) async fn make_known(&self, key: &str) -> Result<()> {
        if let Some(filter) = &self.guard.filter {
            filter.insert(key).await?;
        }
        Ok(())
    }

    /// The same for up to 1,000 keys, in one round trip.
    pub(super) async fn make_all_known(&self, keys: &[&str]) -> Result<()> {
        if let (Some(filter), false) = (&self.guard.filter, keys.is_empty()) {
            filter.insert_many(keys).await?;
        }
        Ok(())
    }

    /// The same for what was loaded without asking the filter. That it fails is no error of the caller's, who has the value.
    pub(super) async fn make_found_known(&self, key: &str) {
        if let Err(error) = self.make_known(key).await {
            tracing::warn!(cache = %self.name, %error, "the filter does not know what was loaded");
        }
    }
}
