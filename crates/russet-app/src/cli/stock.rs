//! `russet stock`: the units of a shop's products, and who holds some.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use russet::{Hold, Inventory, Russet, Stock, StockChange};
use serde_json::{Value, json};

use super::operator::{Operator, exit_codes};
use super::report::{Report, shown, table, when};
use crate::Failure;
use crate::http::tasks::seconds;

/// See and set the units of a shop's products; see the reservations that hold
///
/// Without a server it asks the private one of the russet that runs on the data folder. Nothing asks first.
#[derive(Debug, Args)]
#[command(after_help = exit_codes!("3 there is no such product, 4 the total would be less than what is reserved and sold"))]
pub(super) struct StockCommand {
    #[command(subcommand)]
    verb: Verb,

    /// The shop
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    shop: String,

    #[command(flatten)]
    operator: Operator,
}

/// The total is below what is gone from it.
const TOO_LOW: u8 = 4;

#[derive(Debug, Subcommand)]
enum Verb {
    /// The units of a product, or of all of them
    Get {
        /// The product
        product: Option<String>,
        /// How many products at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// Those behind this one
        #[arg(long, value_name = "PRODUCT", conflicts_with = "product")]
        after: Option<String>,
    },
    /// Set how many units of a product there are in all, those that are reserved and sold among them
    Set {
        /// The product; made if it is not there
        product: String,
        /// All of its units
        #[arg(value_parser = clap::value_parser!(u64).range(..=1 << 53))]
        total: u64,
        /// The name of this call: asked twice, done once
        #[arg(long, value_name = "NAME")]
        request_id: Option<String>,
    },
    /// The reservations that hold, the next one to end first
    Reservations {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// Without the first so many
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u64,
    },
}

impl StockCommand {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { verb, shop, operator } = self;
        operator.report(async |russet| verb.done(russet, &shop).await).await
    }
}

impl Verb {
    async fn done(self, russet: &Russet, shop: &str) -> Result<Report, Failure> {
        let shop = Inventory::builder(russet, shop).build()?;
        Ok(match self {
            Self::Get { product: Some(product), .. } => match shop.get(&product).await? {
                Some(stock) => one(&product, &stock),
                None => Report::missing(
                    format!("there is no such product: {}", shown(&product)),
                    Value::Null,
                ),
            },
            Self::Get { product: None, limit, after } => {
                let products = shop.products(after.as_deref(), limit.into()).await?;
                let is_full = products.len() == usize::from(limit);
                let last = products.last().filter(|_| is_full).map(|(product, _)| product.clone());
                all(&products, last)
            }
            Self::Set { product, total, request_id } => {
                let mut change = shop.set_stock(&product, total);
                if let Some(request) = &request_id {
                    change = change.request_id(request);
                }
                match change.await? {
                    StockChange::Done { stock, .. } => one(&product, &stock),
                    StockChange::TooLow { stock } => Report::refused(
                        format!(
                            "{total} is less than what is reserved and sold: {}",
                            stock.reserved + stock.sold
                        ),
                        in_json(&product, &stock),
                        TOO_LOW,
                    ),
                }
            }
            Self::Reservations { limit, offset } => {
                reservations(&shop.reservations(offset, limit.into()).await?)
            }
        })
    }
}

fn one(product: &str, stock: &Stock) -> Report {
    let Stock { total, free, reserved, sold, .. } = stock;
    let text = format!("{free} free, {reserved} reserved, {sold} sold, {total} in all");
    Report::said(text, in_json(product, stock))
}

fn all(products: &[(String, Stock)], last: Option<String>) -> Report {
    let head = ["product", "free", "reserved", "sold", "total"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for (product, stock) in products {
        let numbers = [stock.free, stock.reserved, stock.sold, stock.total];
        lines.push([vec![shown(product)], numbers.map(|n| n.to_string()).to_vec()].concat());
    }
    let mut text = if products.is_empty() { "no products\n".to_owned() } else { table(&lines) };
    if let Some(last) = &last {
        text += &format!("there may be more: --after {}\n", shown(last));
    }
    let products: Vec<_> =
        products.iter().map(|(product, stock)| in_json(product, stock)).collect();
    Report::said(text, json!({ "products": products, "after": last }))
}

fn reservations(holds: &[Hold]) -> Report {
    let head = ["reservation", "product", "units", "user", "ends"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for hold in holds {
        lines.push(vec![
            shown(&hold.id),
            shown(&hold.product),
            hold.quantity.to_string(),
            hold.user.as_deref().map_or_else(String::new, shown),
            when(hold.until),
        ]);
    }
    let text = if holds.is_empty() { "no reservations".to_owned() } else { table(&lines) };
    let holds: Vec<_> = holds
        .iter()
        .map(|hold| {
            json!({
                "id": hold.id, "product": hold.product, "quantity": hold.quantity, "user": hold.user,
                "until": seconds(hold.until),
            })
        })
        .collect();
    Report::said(text, json!({ "reservations": holds }))
}

fn in_json(product: &str, stock: &Stock) -> Value {
    json!({
        "product": product, "free": stock.free, "reserved": stock.reserved, "sold": stock.sold, "total": stock.total,
    })
}
