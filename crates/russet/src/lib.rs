//! The application layer on top of Redis and Valkey.

mod backoff;
mod clock;
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

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheBuilder, CacheKey, CacheStats, Found, Loader, Put, Source};
pub use client::{Health, Russet, RussetBuilder, Sent, metered, raw};
pub use codec::{Codec, Json};
pub use error::{Advice, BoxError, Error, ErrorKind, Result};
