//! The only door to the shop's Lua.

use std::time::Duration;

use super::{Hold, HoldState, Stock, builder::Settings};
use crate::{
    client::{Call, Reached, Russet},
    clock::from_millis,
    error::{Error, Result},
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
    let call = place
        .write(&RESERVE, settings)
        .arg(encode(wanted.id))
        .arg(encode(wanted.product))
        .arg(wanted.quantity)
        .arg(millis(wanted.hold))
        .arg(user(wanted.user))
        .arg(settings.user_limit.unwrap_or(0))
        .arg(millis(settings.user_limit_period))
        .idempotent();
    let ((outcome, number, new), reached): ((String, i64, i64), _) =
        russet.run_durable(call).await?;
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
    let call = place.write(&CHANGE, settings).arg(encode(request));
    let call = match amount {
        Amount::Set(total) => call.arg("set").arg(encode(product)).arg(total),
        Amount::Add(units) => call.arg("add").arg(encode(product)).arg(units),
    };
    let ((outcome, total, reserved, sold), reached): ((String, u64, u64, u64), _) =
        russet.run_durable(call.idempotent()).await?;
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
    Ok(russet.run_durable(place.write(&REMOVE, settings).arg(encode(product))).await?.0)
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

pub(super) async fn get(russet: &Russet, place: &Place, product: &str) -> Result<Option<Stock>> {
    let counts: Option<(u64, u64, u64)> = russet.run(place.call(&GET).arg(encode(product))).await?;
    counts.map(|counts| stock(place, counts)).transpose()
}

pub(super) async fn list(
    russet: &Russet,
    place: &Place,
    after: Option<&str>,
    n: usize,
) -> Result<Vec<(String, Stock)>> {
    let after = after.map_or("-".to_owned(), |after| ["(", &encode(after)].concat());
    let listed: Vec<(String, (u64, u64, u64))> =
        russet.run(place.call(&LIST).arg(after).arg(n)).await?;
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
