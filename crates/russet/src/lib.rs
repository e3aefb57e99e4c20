//! The application layer on top of Redis and Valkey.

// The ground is one for all blocks; a part of it that the chosen ones do not use is no mistake.
#![cfg_attr(
    not(all(feature = "cache", feature = "counters", feature = "leaderboard")),
    allow(dead_code, unused_imports, unused_macros)
)]

mod backoff;
mod clock;
mod cluster_slot;
mod codec;
mod error;
mod id;
mod keys;
mod names;
mod script;
mod service;
mod wake;

mod client;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "counters")]
mod counters;
#[cfg(feature = "leaderboard")]
mod leaderboard;

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheBuilder, CacheKey, CacheStats, Found, Loader, Put, Source};
pub use client::{
    Durability, Finding, Health, Reached, Russet, RussetBuilder, Sent, Severity, metered, raw,
};
pub use codec::{Codec, Json};
pub use error::{Advice, BoxError, Error, ErrorKind, Result};

#[cfg(feature = "counters")]
pub use counters::{Counters, CountersBuilder, Counts, Granularity, Point, Top};
#[cfg(feature = "leaderboard")]
pub use leaderboard::{Leaderboard, LeaderboardBuilder, Ranked, Standing};
