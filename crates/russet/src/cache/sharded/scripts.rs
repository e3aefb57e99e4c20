//! What a node of a sharded cache is asked beside the entries: its epoch.

use std::time::Duration;

use crate::{
    client::{Call, Russet},
    error::{Error, Result},
    keys::{Slot, cache as keys},
    script::{Script, script},
};

static RAISE_EPOCH: Script = script!("cache/raise_epoch", include "now_ms");

/// How long a node remembers its epoch when nobody asks for it. Forgotten, it begins a new one.
const EPOCH_TTL: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Reads the epoch, in front of what is read or written by it.
pub(super) fn epoch(home: &Slot) -> Call {
    Call::read("GET", home).key(&keys::epoch())
}

/// The epoch as it was read; `None` when the node has none.
pub(super) fn read_epoch(answer: Option<&impl AsRef<[u8]>>) -> Option<u64> {
    std::str::from_utf8(answer?.as_ref()).ok()?.parse().ok()
}

/// Begins a new epoch, or only if there is none that is newer than this one; answers which one it is now.
pub(super) async fn raise(
    russet: &Russet,
    home: &Slot,
    known: u64,
    unless_newer: bool,
) -> Result<u64> {
    let call = Call::script(&RAISE_EPOCH, home, &[&keys::epoch()]).arg(known);
    let call = call.arg(u8::from(unless_newer)).arg(EPOCH_TTL.as_millis() as u64).idempotent();
    let epoch: String = russet.run(call).await?;
    epoch.parse().map_err(|_| Error::internal("cache/raise_epoch answered no number"))
}

/// Keeps the epoch for its whole time again.
pub(super) async fn keep(russet: &Russet, home: &Slot) -> Result<()> {
    let call = Call::write("PEXPIRE", home).key(&keys::epoch());
    russet.run::<i64>(call.arg(EPOCH_TTL.as_millis() as u64).idempotent()).await?;
    Ok(())
}
