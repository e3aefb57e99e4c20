use crate::client::Reached;

/// What has become of a write; the record is written, or queued for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// What stands in the cache now.
    pub copy: CachedCopy,
    /// How safe a queued write was when it was acknowledged, by the [durability](crate::Russet::durability) of the
    /// handle. `None` where nothing is queued: the record is in the store, or the cache is all there is.
    pub reached: Option<Reached>,
}

/// What stands in the cache after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CachedCopy {
    /// What was written, or something newer.
    Stored,
    /// Nothing: the next look-up loads.
    Dropped,
    /// Redis did not answer, and an old copy may be read until its TTL. It is dropped in the background as soon as Redis
    /// is back, if this process lives that long.
    Late,
}
