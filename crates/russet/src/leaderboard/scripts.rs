//! The only door to the board's Lua.

use crate::{
    client::Call,
    keys::{Part, Slot},
    script::{Script, script},
};

static ADD: Script = script!("leaderboard/add", include "trim");
static INCREMENT: Script = script!("leaderboard/increment", include "trim");
static ADD_MANY: Script = script!("leaderboard/add_many", include "trim");
static AROUND: Script = script!("leaderboard/around", flags "no-writes");

/// Not idempotent: sent again after a lost answer, it could undo an increment made in between.
pub(super) fn add(
    slot: &Slot,
    scores: &Part,
    member: &str,
    score: f64,
    max_size: Option<u64>,
) -> Call {
    Call::script(&ADD, slot, &[scores]).arg(member).arg(score).arg(size(max_size))
}

pub(super) fn increment(
    slot: &Slot,
    scores: &Part,
    member: &str,
    by: f64,
    max_size: Option<u64>,
) -> Call {
    Call::script(&INCREMENT, slot, &[scores]).arg(member).arg(by).arg(size(max_size))
}

pub(super) fn add_many(
    slot: &Slot,
    scores: &Part,
    members: &[(String, f64)],
    max_size: Option<u64>,
) -> Call {
    let call = Call::script(&ADD_MANY, slot, &[scores]).arg(size(max_size));
    members.iter().fold(call, |call, (member, score)| call.arg(*score).arg(member))
}

pub(super) fn around(slot: &Slot, scores: &Part, member: &str, neighbours: usize) -> Call {
    Call::script(&AROUND, slot, &[scores]).arg(member).arg(neighbours)
}

/// The script's own word for no bound.
fn size(max_size: Option<u64>) -> u64 {
    max_size.unwrap_or(0)
}
