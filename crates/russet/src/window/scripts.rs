//! The only door to the window's Lua.

use super::Inner;
use crate::{
    client::Call,
    script::{Script, script},
};

static ADD: Script = script!("window/add", include "now_ms", include "window");
static COUNT: Script =
    script!("window/count", include "now_ms", include "window", flags "no-writes");

pub(super) fn add(window: &Inner, amount: u64) -> Call {
    let call = Call::script(&ADD, &window.slot, &[&window.part]);
    call.arg(amount).arg(window.bucket_ms).arg(window.buckets)
}

pub(super) fn count(window: &Inner) -> Call {
    let call = Call::script(&COUNT, &window.slot, &[&window.part]);
    call.arg(window.bucket_ms).arg(window.buckets)
}
