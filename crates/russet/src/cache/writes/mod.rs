//! Writing: through the writer, by policy, in an order that leaves nothing stale.
//!
//! The argument is in `docs/design/cache-writes.md`.

mod announce;
mod builder;
mod change;
mod debts;
mod many;
#[cfg(test)]
mod model;
mod policy;
mod put;
mod scripts;
mod update;
mod writer;
mod written;

pub(super) use self::{
    change::Change,
    debts::Debts,
    policy::{BehindSettings, WriteSettings},
    writer::{DynWriter, Encoded, Flow},
};
pub use self::{
    many::PutItem,
    policy::{Backlog, WritePolicy},
    put::Put,
    writer::{Write, Writer},
    written::{CachedCopy, Written},
};
