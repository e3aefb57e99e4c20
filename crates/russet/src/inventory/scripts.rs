//! The only door to the shop's Lua.

use std::time::Duration;

use super::{Hold, HoldState, Stock, builder::Settings};
use tokio::time::Instant;

use crate::{
    client::{Call, FromReply, Reached, Russet},
    clock::from_millis,
    error::{Advice, Error, ErrorKind, Result},
    keys::{Part, Slot, inventory as keys},
    names::{decode, encode},
    script::{Script, script},
};

static RESERVE: Script =
    script!("inventory/reserve", include "now_ms", include "inventory", include "inventory_write");
static SETTLE: Script = script!("inventory/settle", include "now_ms", include "inventory", include "inventory_write", flags "allow-oom");
static EXTEND: Script = script!("inventory/extend", include "now_ms", include "inventory", include "inventory_write", flags "allow-oom");
static CHANGE: Script =
    script!("inventory/change", include "now_ms", include "inventory", include "inventory_write");
static REMOVE: Script = script!("inventory/remove", include "now_ms", include "inventory", include "inventory_write", flags "allow-oom");
static SWEEP: Script = script!("inventory/sweep", include "now_ms", include "inventory", include "inventory_write", flags "allow-oom");
static GET: Script =
    script!("inventory/get", include "now_ms", include "inventory", flags "no-writes");
static LIST: Script =
    script!("inventory/list", include "now_ms", include "inventory", flags "no-writes");
static RESERVATIONS: Script =
    script!("inventory/reservations", include "now_ms", include "inventory", flags "no-writes");

/// How many a sweep takes at most.
const SWEPT: u64 = 500;

/// Where a shop is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    slot: Slot,
    parts: [Part; 6],
}

impl Place {
    pub(super) fn new(slot: Slot) -> Self {
        Self { slot, parts: keys::all() }
    }

    pub(super) fn object(&self) -> &str {
        self.slot.object()
    }

    fn call(&self, script: &'static Script) -> Call {
        Call::script(script, &self.slot, &self.parts.each_ref())
    }

    /// A script that may return what is due.
    fn write(&self, script: &'static Script, settings: &Settings) -> Call {
        self.call(script).arg(millis(settings.request_window))
    }
}

/// Makes a call again for as long as more is due than one of them returns: each has returned some of it.
async fn until_returned<T: FromReply>(
    russet: &Russet,
    place: &Place,
    call: impl Fn() -> Call,
    has_more: impl Fn(&T) -> bool,
) -> Result<(T, Reached)> {
    let deadline = russet.deadline();
    loop {
        let (answer, reached) = russet.run_durable(call()).await?;
        if !has_more(&answer) {
            return Ok((answer, reached));
        }
        in_time(place, deadline)?;
    }
}

/// The same for a read, which leaves what is due to a sweep.
async fn until_swept<T: FromReply>(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    call: impl Fn() -> Call,
    has_more: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = russet.deadline();
    loop {
        let answer = russet.run_until(deadline, call()).await?;
        if !has_more(&answer) {
            return Ok(answer);
        }
        in_time(place, deadline)?;
        sweep(russet, place, settings).await?;
    }
}

fn in_time(place: &Place, deadline: Instant) -> Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    let message =
        format_args!("{}: more reservations end than could be returned in time", place.object());
    Err(Error::new(ErrorKind::Refused, Advice::Retry, message))
}

/// What somebody wants to reserve.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    pub(super) product: &'a str,
    pub(super) quantity: u64,
    pub(super) user: Option<&'a str>,
    pub(super) hold: Duration,
}

pub(super) enum Reserved {
    Held {
        until_ms: i64,
        is_new: bool,
    },
    Insufficient(u64),
    Over(u64),
    /// The id is of another one.
    Other,
}

/// The id makes it one that can be asked for twice.
pub(super) async fn reserve(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    wanted: Wanted<'_>,
) -> Result<(Reserved, Reached)> {
    let call = || {
        place
            .write(&RESERVE, settings)
            .arg(encode(wanted.id))
            .arg(encode(wanted.product))
            .arg(wanted.quantity)
            .arg(millis(wanted.hold))
            .arg(user(wanted.user))
            .arg(settings.user_limit.unwrap_or(0))
            .arg(millis(settings.user_limit_period))
            .idempotent()
    };
    let has_more = |(outcome, ..): &(String, i64, i64)| outcome == "more";
    let ((outcome, number, new), reached) = until_returned(russet, place, call, has_more).await?;
    let units = u64::try_from(number).unwrap_or_default();
    let reserved = match outcome.as_str() {
        "held" => Reserved::Held { until_ms: number, is_new: new == 1 },
        "insufficient" => Reserved::Insufficient(units),
        "over" => Reserved::Over(units),
        _ => Reserved::Other,
    };
    Ok((reserved, reached))
}

/// Ends it as sold or as cancelled, once.
pub(super) async fn settle(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    id: &str,
    state: &str,
) -> Result<(String, Reached)> {
    let call = place.write(&SETTLE, settings).arg(encode(id)).arg(state).idempotent();
    russet.run_durable(call).await
}

/// Done twice, it ends a little later.
pub(super) async fn extend(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    id: &str,
    hold: Duration,
) -> Result<((String, i64), Reached)> {
    let call = place.write(&EXTEND, settings).arg(encode(id)).arg(millis(hold)).idempotent();
    russet.run_durable(call).await
}

/// How a total changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Set(u64),
    Add(i64),
}

pub(super) enum Changed {
    Done,
    TooLow,
    TooMany,
    /// The id is of another one.
    Other,
}

pub(super) async fn change(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    request: &str,
    product: &str,
    amount: Amount,
) -> Result<(Changed, Stock, Reached)> {
    let call = || {
        let call = place.write(&CHANGE, settings).arg(encode(request));
        match amount {
            Amount::Set(total) => call.arg("set").arg(encode(product)).arg(total),
            Amount::Add(units) => call.arg("add").arg(encode(product)).arg(units),
        }
        .idempotent()
    };
    let has_more = |(outcome, ..): &(String, u64, u64, u64)| outcome == "more";
    let ((outcome, total, reserved, sold), reached) =
        until_returned(russet, place, call, has_more).await?;
    let changed = match outcome.as_str() {
        "done" => Changed::Done,
        "too_low" => Changed::TooLow,
        "too_many" => Changed::TooMany,
        _ => Changed::Other,
    };
    Ok((changed, stock(place, (total, reserved, sold))?, reached))
}

/// A product that was made anew between two tries would go too.
pub(super) async fn remove(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    product: &str,
) -> Result<i64> {
    let call = || place.write(&REMOVE, settings).arg(encode(product));
    Ok(until_returned(russet, place, call, |answer| *answer == -2).await?.0)
}

pub(super) struct Swept {
    pub(super) has_more: bool,
    pub(super) next_due: Option<Duration>,
}

pub(super) async fn sweep(russet: &Russet, place: &Place, settings: &Settings) -> Result<Swept> {
    let call = place.write(&SWEEP, settings).idempotent();
    let (expired, forgotten, next_due): (u64, u64, i64) = russet.run(call).await?;
    let next_due = u64::try_from(next_due).ok().map(Duration::from_millis);
    Ok(Swept { has_more: expired >= SWEPT || forgotten >= SWEPT, next_due })
}

pub(super) async fn get(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    product: &str,
) -> Result<Option<Stock>> {
    let call = || place.call(&GET).arg(encode(product));
    let has_more = |counts: &Option<(i64, u64, u64)>| counts.is_some_and(|(total, ..)| total < 0);
    let counts = until_swept(russet, place, settings, call, has_more).await?;
    counts
        .map(|(total, reserved, sold)| {
            stock(place, (u64::try_from(total).unwrap_or_default(), reserved, sold))
        })
        .transpose()
}

pub(super) async fn list(
    russet: &Russet,
    place: &Place,
    settings: &Settings,
    after: Option<&str>,
    n: usize,
) -> Result<Vec<(String, Stock)>> {
    let after = after.map_or("-".to_owned(), |after| ["(", &encode(after)].concat());
    let call = || place.call(&LIST).arg(after.as_str()).arg(n);
    let has_more = |listed: &Vec<(String, (u64, u64, u64))>| {
        listed.first().is_some_and(|(name, _)| name.is_empty())
    };
    let listed = until_swept(russet, place, settings, call, has_more).await?;
    listed
        .into_iter()
        .map(|(product, counts)| Ok((name(place, &product)?, stock(place, counts)?)))
        .collect()
}

pub(super) async fn reservations(
    russet: &Russet,
    place: &Place,
    id: Option<&str>,
    offset: u64,
    n: usize,
) -> Result<Vec<Hold>> {
    let offset = offset.min(1 << 53);
    let call = place.call(&RESERVATIONS).arg(id.map_or(String::new(), encode)).arg(offset).arg(n);
    let listed: Vec<(String, String, u64, i64, String, String)> = russet.run(call).await?;
    listed
        .into_iter()
        .map(|(id, state, quantity, ms, product, user)| {
            Ok(Hold {
                id: name(place, &id)?,
                product: name(place, &product)?,
                quantity,
                user: user.strip_prefix('@').map(|user| name(place, user)).transpose()?,
                until: from_millis(ms),
                state: match state.as_str() {
                    "held" => HoldState::Held,
                    "sold" => HoldState::Sold,
                    "cancelled" => HoldState::Cancelled,
                    _ => HoldState::Expired,
                },
            })
        })
        .collect()
}

/// A user as it stands in a record: `-` is nobody, and no name begins with `@`.
fn user(user: Option<&str>) -> String {
    user.map_or("-".to_owned(), |user| ["@", &encode(user)].concat())
}

fn stock(place: &Place, (total, reserved, sold): (u64, u64, u64)) -> Result<Stock> {
    let free = total.checked_sub(reserved).and_then(|rest| rest.checked_sub(sold));
    let free = free.ok_or_else(|| {
        Error::internal(format_args!(
            "{}: {reserved} reserved and {sold} sold are more than the total, {total}",
            place.object()
        ))
    })?;
    Ok(Stock { total, free, reserved, sold })
}

fn name(place: &Place, encoded: &str) -> Result<String> {
    let name = decode(encoded);
    name.ok_or_else(|| Error::internal(format_args!("{}: {encoded} is no name", place.object())))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
