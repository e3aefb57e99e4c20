//! Cases of the stock: reservations of one product, as in a flash sale.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use russet::{Inventory, Reservation, Russet, Settlement, StockChange, raw, testing::TestServer};

use super::{
    case::{CALLERS, Case, Took, Work},
    runner::Effort,
};
use crate::Failure;

const PRODUCT: &str = "ticket";
/// More than any run reserves.
const UNITS: u64 = 1 << 40;
/// How many there are to confirm or cancel in a round of a second: more than can be.
const SETTLED: f64 = 150_000.0;

pub async fn cases(server: &TestServer, effort: Effort) -> Result<Vec<Case>, Failure> {
    let russet = Russet::connect(&server.url()).await?;
    let shop = Inventory::builder(&russet, "bench").hold(Duration::from_secs(3_600)).build()?;
    let StockChange::Done { .. } = shop.set_stock(PRODUCT, UNITS).await? else {
        return Err("the stock of the bench is taken".into());
    };
    let settled = (SETTLED * effort.round.as_secs_f64()).ceil().max(1.0) as u64;
    let mut cases = vec![reserve(&russet, &shop)];
    for (name, is_sold) in [("confirm", true), ("cancel", false)] {
        cases.push(settle(&russet, &shop, name, is_sold, settled));
    }
    Ok(cases)
}

fn reserve(russet: &Russet, shop: &Inventory) -> Case {
    let shop = shop.clone();
    let ours = Work::new(move |number| {
        let shop = shop.clone();
        async move {
            let order = ["order ", &number.to_string()].concat();
            let wish = shop.reserve(PRODUCT, 1).user("ada").request_id(&order);
            let Reservation::Held(_) = wish.await? else { return Err("not reserved".into()) };
            Ok(Took::AllOfIt)
        }
    });
    Case::new("stock", "reserve", ours).floor("HINCRBY, HSET, ZADD in a pipeline", floor(russet))
}

/// Each operation is of a reservation of its own, made before the round.
fn settle(
    russet: &Russet,
    shop: &Inventory,
    name: &'static str,
    is_sold: bool,
    settled: u64,
) -> Case {
    let next = Arc::new(AtomicU64::new(0));
    let made = Arc::new(AtomicU64::new(0));
    let order = move |number: u64| [name, " ", &number.to_string()].concat();
    let fill = {
        let (shop, next, made) = (shop.clone(), next.clone(), made.clone());
        Work::new(move |_| {
            let (shop, next, made) = (shop.clone(), next.clone(), made.clone());
            async move {
                let (first, left) = (made.load(Ordering::Relaxed), next.load(Ordering::Relaxed));
                let last = left + settled;
                let orders = stream::iter(first..last).map(|number| {
                    let shop = &shop;
                    async move {
                        let order = order(number);
                        let wish = shop.reserve(PRODUCT, 1).request_id(&order);
                        wish.await.map(|_| ())
                    }
                });
                orders.buffer_unordered(CALLERS).try_collect::<Vec<_>>().await?;
                made.fetch_max(last, Ordering::Relaxed);
                Ok(Took::AllOfIt)
            }
        })
    };
    let ours = {
        let shop = shop.clone();
        Work::new(move |_| {
            let (shop, next) = (shop.clone(), next.clone());
            async move {
                let order = order(next.fetch_add(1, Ordering::Relaxed));
                let settled =
                    if is_sold { shop.confirm(&order).await? } else { shop.cancel(&order).await? };
                if settled == Settlement::Unknown {
                    return Err("more was settled than was reserved for it".into());
                }
                Ok(Took::AllOfIt)
            }
        })
    };
    let case = Case::new("stock", name, ours).before(fill);
    case.floor("HINCRBY, HSET, ZADD in a pipeline", floor(russet))
}

/// What a reservation writes, without a question.
fn floor(russet: &Russet) -> Work {
    let russet = russet.clone();
    Work::new(move |number| {
        let russet = russet.clone();
        async move {
            let number = number.to_string();
            let words = [
                vec!["HINCRBY", "floor:stock", PRODUCT, "1"],
                vec!["HSET", "floor:holds", &number, "V1 held 1 1795656159979 ticket @ada 0"],
                vec!["ZADD", "floor:due", "1795656159979", &number],
            ];
            let commands = words.map(|words| words.into_iter().map(Vec::from).collect::<Vec<_>>());
            raw::pipeline(&russet, &commands).await?;
            Ok(Took::AllOfIt)
        }
    })
}
