//! A shop: what its calls promise, and what is left in Redis.

#![cfg(feature = "inventory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rand::RngExt;
use russet::testing::eventually;
use russet::{
    ErrorKind, ExtendedHold, Held, HoldState, Inventory, Reservation, Settlement, Stock,
    StockChange, metered, raw,
};
use support::{
    Ground, Stage, commands, needs_one_server, patient_stage, random, refused_names, stage,
    strange_names,
};

const LONG: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(20);

fn shop(stage: &Stage) -> Inventory {
    Inventory::builder(&stage.russet, "shop").build().unwrap()
}

/// Total, free, reserved and sold.
fn units(stock: Stock) -> (u64, u64, u64, u64) {
    (stock.total, stock.free, stock.reserved, stock.sold)
}

async fn set(shop: &Inventory, product: &str, total: u64) {
    assert!(matches!(shop.set_stock(product, total).await.unwrap(), StockChange::Done { .. }));
}

async fn held(reserve: russet::Reserve<'_>) -> Held {
    match reserve.await.unwrap() {
        Reservation::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

async fn stock(shop: &Inventory, product: &str) -> (u64, u64, u64, u64) {
    units(shop.get(product).await.unwrap().unwrap())
}

fn is_sold(settlement: Settlement) -> bool {
    matches!(settlement, Settlement::Sold { .. })
}

fn is_cancelled(settlement: Settlement) -> bool {
    matches!(settlement, Settlement::Cancelled { .. })
}

/// Waits until the server's clock has passed this time.
async fn pass(stage: &Stage, time: SystemTime) {
    let ms = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    eventually(LONG, async || {
        let script = "#!lua flags=no-writes\nlocal t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)";
        let key = stage.key("inventory:shop", "stock");
        let now = raw::command(&stage.russet, &["EVAL", script, "1", &key]).await;
        match now.unwrap().into_text().unwrap().parse::<i64>().unwrap() {
            now if now > ms => Ok(()),
            now => Err(format!("it is {now}")),
        }
    })
    .await;
}

#[tokio::test]
async fn units_are_free_reserved_or_sold_and_add_up_at_each_step() {
    let stage = stage().await;
    let shop = shop(&stage);
    assert_eq!(shop.get("ticket").await.unwrap(), None);
    let none = shop.reserve("ticket", 1).await.unwrap();
    assert_eq!(none, Reservation::Insufficient { available: 0 });
    set(&shop, "ticket", 10).await;
    assert_eq!(stock(&shop, "ticket").await, (10, 10, 0, 0));
    let first = held(shop.reserve("ticket", 4)).await;
    let second = held(shop.reserve("ticket", 5)).await;
    assert!(first.is_new && first.id != second.id && first.reached.in_full);
    assert_eq!(stock(&shop, "ticket").await, (10, 1, 9, 0));
    let many = shop.reserve("ticket", 2).await.unwrap();
    assert_eq!(many, Reservation::Insufficient { available: 1 });
    assert!(is_sold(shop.confirm(&first.id).await.unwrap()));
    assert_eq!(stock(&shop, "ticket").await, (10, 1, 5, 4));
    assert!(is_cancelled(shop.cancel(&second.id).await.unwrap()));
    assert_eq!(stock(&shop, "ticket").await, (10, 6, 0, 4));
    // What has ended stays as it ended.
    assert!(is_sold(shop.cancel(&first.id).await.unwrap()));
    assert!(is_cancelled(shop.confirm(&second.id).await.unwrap()));
    assert_eq!(shop.confirm("nothing").await.unwrap(), Settlement::Unknown);
    assert_eq!(stock(&shop, "ticket").await, (10, 6, 0, 4));
}

#[tokio::test]
async fn a_reservation_that_nobody_confirms_is_free_from_its_end_on() {
    let stage = patient_stage().await;
    // Nobody sweeps: what calls answer does not depend on it.
    let shop = Inventory::builder(&stage.russet, "shop").sweep_every(LONG).build().unwrap();
    set(&shop, "ticket", 3).await;
    let kept = held(shop.reserve("ticket", 1)).await;
    let lost = held(shop.reserve("ticket", 2).hold(BRIEF)).await;
    pass(&stage, lost.until).await;
    assert_eq!(stock(&shop, "ticket").await, (3, 2, 1, 0));
    assert_eq!(shop.confirm(&lost.id).await.unwrap(), Settlement::Expired);
    assert_eq!(shop.cancel(&lost.id).await.unwrap(), Settlement::Expired);
    let ended = ExtendedHold::Ended(Settlement::Expired);
    assert_eq!(shop.extend(&lost.id, LONG).await.unwrap(), ended);
    assert_eq!(shop.reservation(&lost.id).await.unwrap().unwrap().state, HoldState::Expired);
    assert_eq!(shop.reservations(0, 10).await.unwrap().len(), 1);
    // Another one can have them, and the call takes the end into the record.
    let other = held(shop.reserve("ticket", 2)).await;
    assert_eq!(stock(&shop, "ticket").await, (3, 0, 3, 0));
    let due = stage.server.command(&["ZCARD", &stage.key("inventory:shop", "due")]).await.unwrap();
    assert_eq!(due.int(), Some(2));
    assert_eq!(shop.confirm(&lost.id).await.unwrap(), Settlement::Expired);
    assert!(is_sold(shop.confirm(&other.id).await.unwrap()));
    assert!(is_sold(shop.confirm(&kept.id).await.unwrap()));
    assert_eq!(stock(&shop, "ticket").await, (3, 0, 0, 3));
}

#[tokio::test]
async fn a_quiet_shop_takes_back_in_its_record_what_is_due() {
    let stage = patient_stage().await;
    let shop = shop(&stage);
    set(&shop, "ticket", 2_000).await;
    let wishes = (0..1_200).map(|_| held(shop.reserve("ticket", 1).hold(BRIEF)));
    futures_util::future::join_all(wishes).await;
    // The raw record, which nobody touches but the handle's own loop.
    eventually(LONG, async || {
        let key = stage.key("inventory:shop", "stock");
        let record = stage.server.command(&["HGET", &key, "ticket"]).await.unwrap();
        match record.text() {
            Some("V1 2000 0 0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let due = stage.server.command(&["EXISTS", &stage.key("inventory:shop", "due")]).await.unwrap();
    assert_eq!(due.int(), Some(0));
}

/// A shop of 3,000 units, each held by a reservation of its own whose time has passed, and which nobody sweeps.
async fn all_due(stage: &Stage, name: &str) -> Inventory {
    let hour = Duration::from_secs(3_600);
    let builder = Inventory::builder(&stage.russet, name).sweep_every(hour).user_limit(3_000);
    let shop = builder.build().unwrap();
    set(&shop, "ticket", 3_000).await;
    let wishes = (0..3_000).map(|_| held(shop.reserve("ticket", 1).user("ada").hold(hour)));
    futures_util::future::join_all(wishes).await;
    let none = shop.reserve("ticket", 1).user("bob").await.unwrap();
    assert_eq!(none, Reservation::Insufficient { available: 0 });
    let age = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 1, id) end return 1";
    let due = stage.key(&format!("inventory:{name}"), "due");
    raw::command(&stage.russet, &["EVAL", age, "1", &due]).await.unwrap();
    shop
}

#[tokio::test]
async fn more_reservations_that_are_due_than_a_call_returns_make_no_call_refuse() {
    let stage = patient_stage().await;
    let reserves = all_due(&stage, "reserves").await;
    held(reserves.reserve("ticket", 2_999).user("bob")).await;
    assert_eq!(stock(&reserves, "ticket").await, (3_000, 1, 2_999, 0));
    // What is too much all the same is told by the right number.
    let refuses = all_due(&stage, "refuses").await;
    let many = refuses.reserve("ticket", 3_001);
    let many = many.user("ada").await.unwrap();
    assert_eq!(many, Reservation::OverLimit { allowed: 3_000 });
    let limited = all_due(&stage, "limited").await;
    held(limited.reserve("ticket", 3_000).user("ada")).await;
    let changes = all_due(&stage, "changes").await;
    set(&changes, "ticket", 0).await;
    let removes = all_due(&stage, "removes").await;
    assert_eq!(removes.remove("ticket").await.unwrap(), Some(true));
    let reads = all_due(&stage, "reads").await;
    assert_eq!(stock(&reads, "ticket").await, (3_000, 3_000, 0, 0));
    let lists = all_due(&stage, "lists").await;
    let listed = lists.products(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(units(listed[0].1), (3_000, 3_000, 0, 0));
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_and_gives_the_first_answer() {
    let stage = patient_stage().await;
    let shop = shop(&stage);
    set(&shop, "ticket", 10).await;
    let first = held(shop.reserve("ticket", 2).user("ada").request_id("order: 1")).await;
    assert_eq!(first.id, "order: 1");
    for _ in 0..3 {
        let again = held(shop.reserve("ticket", 2).user("ada").request_id("order: 1").hold(LONG));
        let again = again.await;
        assert_eq!((again.until, again.is_new), (first.until, false));
    }
    assert!(is_sold(shop.confirm("order: 1").await.unwrap()));
    assert!(is_sold(shop.confirm("order: 1").await.unwrap()));
    assert!(!held(shop.reserve("ticket", 2).user("ada").request_id("order: 1")).await.is_new);
    assert_eq!(stock(&shop, "ticket").await, (10, 8, 0, 2));
    for other in [
        shop.reserve("ticket", 3).user("ada").request_id("order: 1"),
        shop.reserve("other", 2).user("ada").request_id("order: 1"),
        shop.reserve("ticket", 2).user("bob").request_id("order: 1"),
        shop.reserve("ticket", 2).request_id("order: 1"),
    ] {
        let error = other.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }

    // The ids of changes are not those of reservations.
    let first = shop.adjust("ticket", 5).request_id("order: 1").await.unwrap();
    let StockChange::Done { stock: left, .. } = first else { panic!("{first:?}") };
    assert_eq!(units(left), (15, 13, 0, 2));
    set(&shop, "ticket", 30).await;
    assert_eq!(shop.adjust("ticket", 5).request_id("order: 1").await.unwrap(), first);
    assert_eq!(stock(&shop, "ticket").await, (30, 28, 0, 2));
    for other in [
        shop.adjust("ticket", 6).request_id("order: 1"),
        shop.set_stock("ticket", 5).request_id("order: 1"),
        shop.adjust("other", 5).request_id("order: 1"),
    ] {
        assert_eq!(other.await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let first = shop.set_stock("ticket", 40).request_id("2").await.unwrap();
    let _ = shop.adjust("ticket", -1).await.unwrap();
    assert_eq!(shop.set_stock("ticket", 40).request_id("2").await.unwrap(), first);
    assert_eq!(stock(&shop, "ticket").await, (39, 37, 0, 2));
}

#[tokio::test]
async fn extend_sets_how_long_a_reservation_holds_from_now_on() {
    let stage = patient_stage().await;
    let shop = shop(&stage);
    set(&shop, "ticket", 3).await;
    let first = held(shop.reserve("ticket", 1).hold(LONG)).await;
    let ExtendedHold::Held { until } = shop.extend(&first.id, LONG * 10).await.unwrap() else {
        panic!("it holds")
    };
    assert!(until >= first.until + LONG * 8);
    assert_eq!(shop.reservation(&first.id).await.unwrap().unwrap().until, until);
    let ExtendedHold::Held { until } = shop.extend(&first.id, BRIEF).await.unwrap() else {
        panic!("it holds")
    };
    pass(&stage, until).await;
    assert_eq!(shop.confirm(&first.id).await.unwrap(), Settlement::Expired);
    assert_eq!(stock(&shop, "ticket").await, (3, 3, 0, 0));
    let unknown = ExtendedHold::Ended(Settlement::Unknown);
    assert_eq!(shop.extend("nothing", LONG).await.unwrap(), unknown);
    let sold = held(shop.reserve("ticket", 1)).await;
    assert!(is_sold(shop.confirm(&sold.id).await.unwrap()));
    let ended = shop.extend(&sold.id, LONG).await.unwrap();
    assert!(matches!(ended, ExtendedHold::Ended(Settlement::Sold { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_user_has_no_more_than_the_limit_reserved_and_bought_together() {
    let stage = patient_stage().await;
    let builder = Inventory::builder(&stage.russet, "shop").user_limit(3);
    let shop = builder.request_window(Duration::from_secs(1)).build().unwrap();
    set(&shop, "ticket", 100).await;
    set(&shop, "poster", 100).await;
    let over = |allowed| Reservation::OverLimit { allowed };
    let bought = held(shop.reserve("ticket", 1).user("ada")).await;
    let second = held(shop.reserve("ticket", 1).user("ada")).await;
    assert_eq!(shop.reserve("ticket", 2).user("ada").await.unwrap(), over(1));
    assert!(is_sold(shop.confirm(&bought.id).await.unwrap()));
    assert_eq!(shop.reserve("ticket", 2).user("ada").await.unwrap(), over(1));
    assert!(is_cancelled(shop.cancel(&second.id).await.unwrap()));
    let lost = held(shop.reserve("ticket", 2).user("ada").hold(BRIEF)).await;
    assert_eq!(shop.reserve("ticket", 1).user("ada").await.unwrap(), over(0));
    pass(&stage, lost.until).await;
    held(shop.reserve("ticket", 2).user("ada")).await;
    // Of each product, each user.
    held(shop.reserve("poster", 3).user("ada")).await;
    held(shop.reserve("ticket", 3).user("bob")).await;
    let nobody = shop.reserve("ticket", 1).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Invalid, "{nobody}");
    // Another handle has no limit.
    let free = Inventory::builder(&stage.russet, "shop").build().unwrap();
    held(free.reserve("ticket", 50).user("ada")).await;
    assert_eq!(shop.reserve("ticket", 1).user("ada").await.unwrap(), over(0));
}

#[tokio::test]
async fn what_is_remembered_is_forgotten_after_its_time() {
    let stage = patient_stage().await;
    let second = Duration::from_secs(1);
    let builder = Inventory::builder(&stage.russet, "shop").user_limit(2).request_window(second);
    let shop = builder.user_limit_period(second).build().unwrap();
    set(&shop, "ticket", 3).await;
    let sold = held(shop.reserve("ticket", 2).user("ada")).await;
    assert!(is_sold(shop.confirm(&sold.id).await.unwrap()));
    let lost = held(shop.reserve("ticket", 1).user("bob").hold(BRIEF)).await;
    assert_eq!(
        shop.reserve("ticket", 1).user("ada").await.unwrap(),
        Reservation::OverLimit { allowed: 0 }
    );
    eventually(LONG, async || {
        let keys: Vec<_> = stage.keys().await.into_iter().map(|stored| stored.key).collect();
        if keys.len() == 2 { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    assert_eq!(shop.confirm(&sold.id).await.unwrap(), Settlement::Unknown);
    assert_eq!(shop.reservation(&lost.id).await.unwrap(), None);
    assert_eq!(stock(&shop, "ticket").await, (3, 1, 0, 2));
    held(shop.reserve("ticket", 1).user("ada")).await;
}

#[tokio::test]
async fn a_total_is_never_below_what_is_reserved_and_sold() {
    let stage = stage().await;
    let shop = shop(&stage);
    set(&shop, "ticket", 10).await;
    let sold = held(shop.reserve("ticket", 3)).await;
    assert!(is_sold(shop.confirm(&sold.id).await.unwrap()));
    held(shop.reserve("ticket", 4)).await;
    let before = stage.keys().await;
    for too_low in [shop.set_stock("ticket", 6), shop.adjust("ticket", -4)] {
        let StockChange::TooLow { stock } = too_low.await.unwrap() else { panic!("7 are taken") };
        assert_eq!(units(stock), (10, 3, 4, 3));
    }
    assert_eq!(stage.keys().await, before);
    let done = shop.adjust("ticket", -3).await.unwrap();
    assert!(matches!(done, StockChange::Done { stock, .. } if units(stock) == (7, 0, 4, 3)));
    let made = shop.adjust("new", 2).await.unwrap();
    assert!(matches!(made, StockChange::Done { stock, .. } if units(stock) == (2, 2, 0, 0)));
    // The largest number, and one more.
    set(&shop, "many", 1 << 53).await;
    let error = shop.adjust("many", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let half = held(shop.reserve("many", (1 << 53) - 1)).await;
    assert_eq!(stock(&shop, "many").await, (1 << 53, 1, (1 << 53) - 1, 0));
    assert!(is_sold(shop.confirm(&half.id).await.unwrap()));
    assert_eq!(stock(&shop, "many").await, (1 << 53, 1, 0, (1 << 53) - 1));

    assert_eq!(shop.remove("ticket").await.unwrap(), None);
    assert_eq!(shop.remove("new").await.unwrap(), Some(true));
    assert_eq!(shop.remove("new").await.unwrap(), Some(false));
    assert_eq!(shop.get("new").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_refused_writes_nothing() {
    let stage = stage().await;
    let builder = Inventory::builder(&stage.russet, "shop").user_limit(5).sweep_every(LONG);
    let shop = builder.build().unwrap();
    set(&shop, "ticket", 3).await;
    held(shop.reserve("ticket", 1).user("ada").request_id("one")).await;
    let before = stage.keys().await;
    for wish in [
        shop.reserve("ticket", 0).user("ada"),
        shop.reserve("ticket", (1 << 53) + 1).user("ada"),
        shop.reserve("ticket", 1).user("ada").hold(Duration::ZERO),
        shop.reserve("ticket", 1).user("ada").hold(Duration::from_secs(400 * 86_400)),
        shop.reserve("ticket", 2).user("ada").request_id("one"),
    ] {
        let error = wish.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    for name in refused_names() {
        assert!(shop.reserve(&name, 1).user("ada").await.is_err());
        assert!(shop.reserve("ticket", 1).user(&name).await.is_err());
        assert!(shop.reserve("ticket", 1).user("ada").request_id(&name).await.is_err());
        assert!(shop.set_stock(&name, 1).await.is_err());
        assert!(shop.adjust("ticket", 1).request_id(&name).await.is_err());
        assert!(shop.confirm(&name).await.is_err() && shop.cancel(&name).await.is_err());
        assert!(shop.extend(&name, LONG).await.is_err() && shop.get(&name).await.is_err());
        assert!(shop.remove(&name).await.is_err() && shop.reservation(&name).await.is_err());
        assert!(Inventory::builder(&stage.russet, &name).build().is_err());
    }
    assert!(shop.set_stock("ticket", (1 << 53) + 1).await.is_err());
    assert!(shop.adjust("ticket", i64::MIN).await.is_err());
    assert!(shop.products(None, 0).await.is_err() && shop.reservations(0, 1_001).await.is_err());
    assert_eq!(
        shop.reserve("ticket", 3).user("ada").await.unwrap(),
        Reservation::Insufficient { available: 2 }
    );
    assert_eq!(
        shop.reserve("ticket", 5).user("ada").await.unwrap(),
        Reservation::OverLimit { allowed: 4 }
    );
    assert_eq!(shop.cancel("two").await.unwrap(), Settlement::Unknown);
    assert_eq!(stage.keys().await, before);
    let shop = || Inventory::builder(&stage.russet, "shop");
    assert!(shop().hold(Duration::ZERO).build().is_err());
    assert!(shop().request_window(BRIEF).build().is_err());
    assert!(shop().user_limit(0).build().is_err());
    assert!(shop().user_limit_period(BRIEF).build().is_err());
    assert!(shop().sweep_every(Duration::ZERO).build().is_err());
}

#[tokio::test]
async fn products_and_reservations_are_listed_with_any_names() {
    let stage = patient_stage().await;
    let shop = shop(&stage);
    let names = strange_names();
    for (n, name) in names.iter().enumerate() {
        set(&shop, name, 10 + n as u64).await;
        let hold = LONG * (1 + n as u32);
        held(shop.reserve(name, 1).user(name).request_id(name).hold(hold)).await;
    }
    let mut listed = BTreeMap::new();
    let mut after = None;
    loop {
        let page = shop.products(after.as_deref(), 5).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        listed.extend(page);
    }
    assert_eq!(listed.len(), names.len());
    for (n, name) in names.iter().enumerate() {
        assert_eq!(units(listed[name]), (10 + n as u64, 9 + n as u64, 1, 0));
    }
    let mut open = shop.reservations(0, 10).await.unwrap();
    open.extend(shop.reservations(10, 100).await.unwrap());
    assert_eq!(open.iter().map(|hold| hold.id.as_str()).collect::<Vec<_>>(), names);
    for hold in &open {
        assert_eq!(
            (&hold.product, hold.user.as_ref(), hold.quantity),
            (&hold.id, Some(&hold.id), 1)
        );
        assert_eq!(shop.reservation(&hold.id).await.unwrap().as_ref(), Some(hold));
    }
    let nobody = held(shop.reserve("a", 1)).await;
    assert_eq!(shop.reservation(&nobody.id).await.unwrap().unwrap().user, None);
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    let stage = stage().await;
    let shop = shop(&stage);
    let trips = async |work: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>| {
        metered(work).await.1.round_trips
    };
    macro_rules! once {
        ($($call:expr),+ $(,)?) => {$(
            let _ = $call.await.unwrap(); // the script is known
            let sent = trips(Box::pin(async { let _ = $call.await.unwrap(); })).await;
            assert_eq!(sent, 1, stringify!($call));
        )+};
    }
    once!(
        shop.set_stock("ticket", 100).into_future(),
        shop.adjust("ticket", 1).into_future(),
        shop.reserve("ticket", 1).into_future(),
        shop.reserve("ticket", 1).user("ada").request_id("one").into_future(),
        shop.extend("one", LONG),
        shop.confirm("one"),
        shop.cancel("one"),
        shop.get("ticket"),
        shop.products(None, 10),
        shop.reservation("one"),
        shop.reservations(0, 10),
        shop.remove("nothing"),
    );
}

#[tokio::test]
async fn a_step_takes_few_commands() {
    if needs_one_server() {
        return;
    }
    let server = Ground::start().await.unwrap();
    let russet = support::connect(&server.url()).await;
    let hour = Duration::from_secs(3_600);
    let shop = Inventory::builder(&russet, "shop").sweep_every(hour).build().unwrap();
    set(&shop, "ticket", 100).await;
    // The script itself is one of them.
    let mut counted = Vec::new();
    for round in ["the server learns the scripts", "counted"] {
        let mut of_round = Vec::new();
        macro_rules! count {
            ($($name:literal $most:literal: $call:expr),+ $(,)?) => {$(
                let before = commands(&server).await;
                let _ = $call.await.unwrap();
                of_round.push(($name, $most, commands(&server).await - before));
            )+};
        }
        count! {
            "reserve" 8: shop.reserve("ticket", 1).request_id(round).into_future(),
            "again" 3: shop.reserve("ticket", 1).request_id(round).into_future(),
            "refused" 5: shop.reserve("ticket", 1_000).into_future(),
            "extend" 6: shop.extend(round, LONG),
            "confirm" 10: shop.confirm(round),
            "again" 3: shop.confirm(round),
            "get" 4: shop.get("ticket"),
        }
        counted = of_round;
    }
    println!("{counted:?}");
    for (name, most, used) in counted {
        assert!(used <= most, "{name}: {used} commands");
    }
}

/// What the record must be at any moment, looked at in one step: the first fault, or nothing.
const AUDIT: &str = "#!lua flags=no-writes
local stock = redis.call('HGETALL', KEYS[1])
local reserved, bought, held = {}, {}, 0
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local state, quantity, _, product = string.match(all[i + 1], '^V1%S* (%a+) (%d+) (%d+) (%S+)')
  if state == 'held' then
    reserved[product] = (reserved[product] or 0) + quantity
    held = held + 1
    if not redis.call('ZSCORE', KEYS[3], all[i]) then return all[i] .. ' is held and never due' end
  elseif state == 'sold' then bought[product] = (bought[product] or 0) + quantity end
end
if redis.call('ZCARD', KEYS[3]) ~= held then return 'what is due is not what is held' end
for i = 1, #stock, 2 do
  local total, r, s = string.match(stock[i + 1], '^V1 (%d+) (%d+) (%d+)$')
  if tonumber(r) ~= (reserved[stock[i]] or 0) then return stock[i] .. ': reserved ' .. r end
  if tonumber(s) ~= (bought[stock[i]] or 0) then return stock[i] .. ': sold ' .. s end
  if r + s > tonumber(total) then return stock[i] .. ': oversold' end
end
return ''";

#[tokio::test]
async fn random_steps_leave_what_a_model_has() {
    let stage = patient_stage().await;
    let shop = shop(&stage);
    let mut random = random();
    let mut model: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    let mut open: Vec<(String, String, u64)> = Vec::new();
    let keys = ["stock", "holds", "due"].map(|part| stage.key("inventory:shop", part));
    for _ in 0..400 {
        let product = format!("p{}", random.random_range(0..3));
        let units = random.random_range(1..8_u64);
        let (total, reserved, sold) = model.get(&product).copied().unwrap_or_default();
        match random.random_range(0..6) {
            0 => {
                let done = shop.set_stock(&product, units * 4).await.unwrap();
                let fits = units * 4 >= reserved + sold;
                assert_eq!(matches!(done, StockChange::Done { .. }), fits, "{done:?}");
                if fits {
                    model.insert(product, (units * 4, reserved, sold));
                }
            }
            1..=3 => match shop.reserve(&product, units).await.unwrap() {
                Reservation::Held(held) => {
                    assert!(units <= total - reserved - sold);
                    model.insert(product.clone(), (total, reserved + units, sold));
                    open.push((held.id, product, units));
                }
                other => {
                    let available = total - reserved - sold;
                    assert!(units > available);
                    assert_eq!(other, Reservation::Insufficient { available });
                }
            },
            ending if !open.is_empty() => {
                let (id, product, units) = open.swap_remove(random.random_range(0..open.len()));
                let (_, reserved, sold) = model.get_mut(&product).unwrap();
                *reserved -= units;
                if ending == 4 {
                    *sold += units;
                    assert!(is_sold(shop.confirm(&id).await.unwrap()));
                } else {
                    assert!(is_cancelled(shop.cancel(&id).await.unwrap()));
                }
            }
            _ => {}
        }
        for (product, (total, reserved, sold)) in &model {
            let free = total - reserved - sold;
            assert_eq!(stock(&shop, product).await, (*total, free, *reserved, *sold));
        }
        let words = ["EVAL", AUDIT, "3", &keys[0], &keys[1], &keys[2]];
        let fault = raw::command(&stage.russet, &words).await.unwrap();
        assert_eq!(fault.into_text().as_deref(), Some(""));
    }
}

#[tokio::test]
async fn a_shop_of_another_name_is_another_shop() {
    let stage = stage().await;
    let one = Inventory::builder(&stage.russet, Inventory::DEFAULT_SHOP).build().unwrap();
    let two = Inventory::builder(&stage.russet, "two").build().unwrap();
    set(&one, "ticket", 1).await;
    assert_eq!(two.get("ticket").await.unwrap(), None);
    let there = stage.keys().await.iter().all(|key| key.key.contains("{inventory:default}"));
    assert!(there);
}
