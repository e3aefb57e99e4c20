//! The only door to the limiter's Lua.

use super::limit::Ready;
use crate::{
    client::Call,
    keys::{Part, Slot},
    script::{Script, script},
};

static CHECK: Script = script!("rate_limit/check", include "now_us", include "rate_limit");
static REMAINING: Script =
    script!("rate_limit/remaining", include "now_us", include "rate_limit", flags "no-writes");

pub(super) fn check(slot: &Slot, limits: &[Ready], cost: u64) -> Call {
    with_limits(Call::script(&CHECK, slot, &parts(limits)).arg(cost), limits)
}

pub(super) fn remaining(slot: &Slot, limits: &[Ready]) -> Call {
    with_limits(Call::script(&REMAINING, slot, &parts(limits)), limits)
}

fn parts(limits: &[Ready]) -> Vec<&Part> {
    limits.iter().map(|limit| &limit.part).collect()
}

fn with_limits(call: Call, limits: &[Ready]) -> Call {
    limits.iter().fold(call, |call, limit| {
        call.arg(limit.kind).arg(limit.most).arg(limit.time_us).arg(limit.more)
    })
}
