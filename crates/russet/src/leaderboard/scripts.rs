//! The only door to the board's Lua.

use super::{Inner, Ties, place::Place};
use crate::{
    client::Call,
    script::{Script, script},
};

static ADD: Script = script!("leaderboard/add", include "now_ms", include "board", include "board_cut", include "board_set");
static INCREMENT: Script = script!("leaderboard/increment", include "now_ms", include "board", include "board_cut", include "board_set");
static ADD_MANY: Script = script!("leaderboard/add_many", include "now_ms", include "board", include "board_cut", include "board_set");
static REMOVE: Script = script!("leaderboard/remove", include "now_ms", include "board", include "board_cut", flags "allow-oom");
static TRIM: Script = script!("leaderboard/trim", include "now_ms", include "board", include "board_cut", flags "allow-oom");
static PAGE: Script =
    script!("leaderboard/page", include "now_ms", include "board", flags "no-writes");
static AROUND: Script =
    script!("leaderboard/around", include "now_ms", include "board", flags "no-writes");
static STANDING: Script =
    script!("leaderboard/standing", include "now_ms", include "board", flags "no-writes");
static COUNT: Script =
    script!("leaderboard/count", include "now_ms", include "board", flags "no-writes");

/// Not idempotent: sent again after a lost answer, it could undo an increment made in between.
pub(super) fn add(inner: &Inner, place: &Place, member: &str, score: f64) -> Call {
    write(&ADD, inner, place).arg(member).arg(score)
}

pub(super) fn increment(inner: &Inner, place: &Place, member: &str, by: f64) -> Call {
    write(&INCREMENT, inner, place).arg(member).arg(by)
}

/// What many scores do to those that are there.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Set,
    Sum,
}

pub(super) fn add_many(inner: &Inner, place: &Place, how: How, members: &[(String, f64)]) -> Call {
    let how = match how {
        How::Set => "set",
        How::Sum => "sum",
    };
    let call = write(&ADD_MANY, inner, place).arg(how);
    members.iter().fold(call, |call, (member, score)| call.arg(*score).arg(member))
}

pub(super) fn remove(inner: &Inner, place: &Place, member: &str) -> Call {
    write(&REMOVE, inner, place).arg(member)
}

pub(super) fn trim(inner: &Inner, place: &Place, best: i64) -> Call {
    write(&TRIM, inner, place).arg(best)
}

pub(super) fn page(inner: &Inner, place: &Place, first: i64, last: i64) -> Call {
    read(&PAGE, inner, place).arg(first).arg(last)
}

pub(super) fn around(inner: &Inner, place: &Place, member: &str, neighbours: usize) -> Call {
    read(&AROUND, inner, place).arg(member).arg(neighbours)
}

pub(super) fn standing(inner: &Inner, place: &Place, member: &str) -> Call {
    read(&STANDING, inner, place).arg(member)
}

pub(super) fn count(inner: &Inner, place: &Place) -> Call {
    read(&COUNT, inner, place)
}

fn write(script: &'static Script, inner: &Inner, place: &Place) -> Call {
    call(script, inner, place, place.ends_ms)
}

/// A board that has ended is read as the empty one that it is.
fn read(script: &'static Script, inner: &Inner, place: &Place) -> Call {
    call(script, inner, place, if place.until_ms > 0 { place.ends_ms } else { 0 })
}

fn call(script: &'static Script, inner: &Inner, place: &Place, ends_ms: i64) -> Call {
    let keys: Vec<_> = std::iter::once(&place.scores).chain(&place.places).collect();
    let ties = match inner.ties {
        Ties::RedisOrder => "redis",
        Ties::Shared => "shared",
        Ties::FirstToReach => "first",
    };
    Call::script(script, &inner.slot, &keys)
        .arg(ties)
        .arg(inner.max_size.unwrap_or(0))
        .arg(place.from_ms)
        .arg(place.until_ms)
        .arg(ends_ms)
}
