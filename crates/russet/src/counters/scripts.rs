//! The only door to the counters' Lua.

use super::{
    current::{Buckets, Place},
    write_many::Amounts,
};
use crate::{
    client::Call,
    keys::{Part, Slot},
    script::{Script, script},
};

static ADD: Script = script!("counters/add", include "now_ms", include "count");
static ADD_AT: Script = script!("counters/add_at", include "now_ms", include "count");
static ADD_MANY: Script = script!("counters/add_many", include "now_ms");
static GET: Script = script!("counters/get", include "now_ms", flags "no-writes");
static TOP: Script = script!("counters/top", include "now_ms", flags "no-writes");
static NOW: Script = script!("counters/now", include "now_ms", flags "no-writes");

pub(super) fn add(slot: &Slot, total: &Part, buckets: &Buckets, name: &str, n: u64) -> Call {
    let call = Call::script(&ADD, slot, &keys(total, buckets)).arg(name).arg(n);
    expiries(call.arg(buckets.from_ms).arg(buckets.until_ms), buckets)
}

pub(super) fn add_at(slot: &Slot, total: &Part, buckets: &Buckets, name: &str, n: u64) -> Call {
    expiries(Call::script(&ADD_AT, slot, &keys(total, buckets)).arg(name).arg(n), buckets)
}

/// For no `window` of time, at any time.
pub(super) fn add_many<'a>(
    slot: &Slot,
    total: &'a Part,
    totals: &'a Amounts,
    window: Option<(i64, i64)>,
    buckets: impl Iterator<Item = (&'a Place, &'a Amounts)> + Clone,
) -> Call {
    let parts: Vec<_> =
        std::iter::once(total).chain(buckets.clone().map(|(place, _)| &place.part)).collect();
    let (from_ms, until_ms) = window.unwrap_or_default();
    let call = Call::script(&ADD_MANY, slot, &parts).arg(from_ms).arg(until_ms);
    let call = amounts(call.arg(0), totals);
    buckets.fold(call, |call, (place, names)| amounts(call.arg(place.expiry_ms), names))
}

fn amounts(call: Call, names: &Amounts) -> Call {
    names.iter().fold(call.arg(names.len()), |call, (name, amount)| call.arg(*amount).arg(name))
}

pub(super) fn get(slot: &Slot, total: &Part, buckets: &Buckets, name: &str) -> Call {
    let call = Call::script(&GET, slot, &keys(total, buckets)).arg(name);
    call.arg(buckets.from_ms).arg(buckets.until_ms)
}

pub(super) fn top(slot: &Slot, buckets: &Buckets, bucket: &Part, n: usize) -> Call {
    Call::script(&TOP, slot, &[bucket]).arg(buckets.from_ms).arg(buckets.until_ms).arg(n)
}

pub(super) fn now(slot: &Slot) -> Call {
    Call::script(&NOW, slot, &[])
}

fn keys<'a>(total: &'a Part, buckets: &'a Buckets) -> [&'a Part; 5] {
    let [minute, hour, day, month] = &buckets.places;
    [total, &minute.part, &hour.part, &day.part, &month.part]
}

fn expiries(call: Call, buckets: &Buckets) -> Call {
    buckets.places.iter().fold(call, |call, Place { expiry_ms, .. }| call.arg(expiry_ms))
}
