//! Where a rebuild gets the items from.

use std::{borrow::Cow, future::Future, sync::Arc};

use crate::{cache_key::CacheKey, error::BoxError};

use super::ask::MAX_BATCH;

/// Pages through all items that exist, in the system of record: what a [rebuild](super::BloomFilter::rebuild) reads.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// # use std::time::Duration;
/// use russet::{BloomFilter, BoxError, ItemSource};
///
/// struct UserIds;
///
/// impl ItemSource for UserIds {
///     type Item = u64;
///     async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
///         // SELECT id FROM users WHERE id > ? ORDER BY id LIMIT 1000
///         let first = after.map_or(1, |last| last + 1);
///         Ok((first..=2_500).take(1_000).collect())
///     }
/// }
///
/// let known = BloomFilter::builder(&russet, "user_ids").settle(Duration::ZERO).build()?;
/// known.rebuild(&UserIds).await?;
/// assert!(known.might_contain(&2_500).await? && !known.might_contain(&2_501).await?);
/// # Ok(()) }
/// ```
pub trait ItemSource: Send + Sync + 'static {
    /// What the filter holds: the key of a cache, say.
    type Item: CacheKey + Send;

    /// The next items behind this one in an order that does not change; none when there are no more. Rows that are
    /// visible when the rebuild begins to read must be among them; those that come later are inserted by who makes them.
    ///
    /// # Errors
    /// Whatever the store says. It ends the rebuild; the live filter stays.
    fn page(
        &self,
        after: Option<&Self::Item>,
    ) -> impl Future<Output = Result<Vec<Self::Item>, BoxError>> + Send;
}

impl<S: ItemSource> ItemSource for Arc<S> {
    type Item = S::Item;

    async fn page(&self, after: Option<&Self::Item>) -> Result<Vec<Self::Item>, BoxError> {
        (**self).page(after).await
    }
}

/// Items in batches of a call's size; an empty one is the end.
pub(super) trait Batches: Send {
    fn next(&mut self) -> impl Future<Output = Result<Vec<Cow<'static, str>>, BoxError>> + Send;
}

/// A source, and how far it was read.
pub(super) struct Paged<'a, S: ItemSource> {
    source: &'a S,
    last: Option<S::Item>,
    /// The rest of a page that is larger than a batch, the next one at the end.
    rest: Vec<Cow<'static, str>>,
}

/// Items that are there.
pub(super) struct Listed<I>(pub(super) I);

impl<'a, S: ItemSource> Paged<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        Self { source, last: None, rest: Vec::new() }
    }
}

impl<S: ItemSource> Batches for Paged<'_, S> {
    async fn next(&mut self) -> Result<Vec<Cow<'static, str>>, BoxError> {
        if self.rest.is_empty() {
            let page = self.source.page(self.last.as_ref()).await?;
            self.rest = page.iter().rev().map(owned).collect();
            self.last = page.into_iter().next_back();
        }
        let left = self.rest.len().saturating_sub(MAX_BATCH);
        Ok(self.rest.split_off(left))
    }
}

impl<I: Iterator<Item: CacheKey> + Send> Batches for Listed<I> {
    async fn next(&mut self) -> Result<Vec<Cow<'static, str>>, BoxError> {
        Ok(self.0.by_ref().take(MAX_BATCH).map(|item| owned(&item)).collect())
    }
}

fn owned(item: &impl CacheKey) -> Cow<'static, str> {
    Cow::Owned(item.cache_key().into_owned())
}
