use std::future::IntoFuture;

use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Inner, Inventory, MOST_UNITS, Stock, check_product,
    scripts::{self, Amount, Changed},
};
use crate::{
    client::Reached,
    error::{Error, Result},
    id::Id,
    names::check_name,
};

/// A change of how many units there are; made by [`Inventory::set_stock`] and [`Inventory::adjust`], sent by `.await`.
#[must_use = "nothing is changed before it is awaited"]
pub struct ChangeStock<'a> {
    inner: &'a Inner,
    product: &'a str,
    amount: Amount,
    request: Option<&'a str>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum StockChange {
    /// It is done, by this call or by the first one of its request.
    Done {
        /// The product as the change left it.
        stock: Stock,
        /// What the write had reached, by the handle's [durability](crate::Russet::durability).
        reached: Reached,
    },
    /// The total would be less than what is reserved and sold. Nothing was written.
    TooLow {
        /// The product as it is.
        stock: Stock,
    },
}

impl Inventory {
    /// Sets how many units of a product there are in all, 0 to 2^53: those that are reserved and sold among them. A product
    /// that is not there yet is made. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{Inventory, Reservation, StockChange};
    /// # let shop = Inventory::builder(&russet, "shop").build()?;
    /// shop.set_stock("ticket", 10).await?;
    /// let Reservation::Held(_) = shop.reserve("ticket", 8).await? else {
    ///     return Err("10 are free".into());
    /// };
    /// let StockChange::TooLow { stock } = shop.set_stock("ticket", 7).await? else {
    ///     return Err("8 are reserved".into());
    /// };
    /// assert_eq!((stock.reserved, stock.total), (8, 10));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, for a total or a name that is out of its range, and for a request id that stands
    /// for another change. `Unknown` when the answer was lost and could not be asked for until the deadline.
    pub fn set_stock<'a>(&'a self, product: &'a str, total: u64) -> ChangeStock<'a> {
        ChangeStock { inner: &self.inner, product, amount: Amount::Set(total), request: None }
    }

    /// Adds units to a product's total, or takes some away. A product that is not there yet is made. One round trip.
    ///
    /// # Errors
    /// As [`set_stock`](Self::set_stock), and `Invalid` when the total would be above 2^53.
    pub fn adjust<'a>(&'a self, product: &'a str, units: i64) -> ChangeStock<'a> {
        ChangeStock { inner: &self.inner, product, amount: Amount::Add(units), request: None }
    }

    /// Takes a product out of the shop, with what is known of it. `None` while units of it are reserved: nothing was
    /// written then; otherwise whether it was there. One round trip.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; `Unknown` when the answer was lost.
    #[tracing::instrument(name = "inventory.remove", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn remove(&self, product: &str) -> Result<Option<bool>> {
        check_product(product)?;
        let inner = &*self.inner;
        inner.keep_swept();
        let answer = scripts::remove(&inner.russet, &inner.place, &inner.settings, product).await?;
        Ok(match answer {
            1 => Some(true),
            0 => Some(false),
            _ => None,
        })
    }
}

impl<'a> ChangeStock<'a> {
    /// A name of this change, 1 to 256 bytes: the same call with the same name changes nothing and gives the first answer,
    /// for the shop's [`request_window`](super::InventoryBuilder::request_window). A random one unless set.
    pub fn request_id(mut self, request: &'a str) -> Self {
        self.request = Some(request);
        self
    }

    #[tracing::instrument(name = "inventory.change", level = "debug", skip_all, fields(shop = self.inner.name()))]
    async fn send(self) -> Result<StockChange> {
        let inner = self.inner;
        check_product(self.product)?;
        match self.amount {
            Amount::Set(total) => inner.check_units("the total", total, 0)?,
            Amount::Add(units) if units.unsigned_abs() > MOST_UNITS => {
                return Err(Error::invalid(format_args!(
                    "{}: an adjustment must be -2^53 to 2^53, not {units}",
                    inner.name()
                )));
            }
            Amount::Add(_) => {}
        }
        let request = match self.request {
            Some(request) => check_name("request id", request).map(|()| request.to_owned())?,
            None => Id::random()?.to_string(),
        };
        inner.keep_swept();
        let (place, settings) = (&inner.place, &inner.settings);
        let (changed, stock, reached) =
            scripts::change(&inner.russet, place, settings, &request, self.product, self.amount)
                .await?;
        match changed {
            Changed::Done => Ok(StockChange::Done { stock, reached }),
            Changed::TooLow => Ok(StockChange::TooLow { stock }),
            Changed::TooMany => Err(Error::invalid(format_args!(
                "{}: the total of {} must be at most 2^53; it is {}",
                inner.name(),
                self.product,
                stock.total
            ))),
            Changed::Other => Err(Error::invalid(format_args!(
                "{}: the request id stands for another change of a stock",
                inner.name()
            ))),
        }
    }
}

impl<'a> IntoFuture for ChangeStock<'a> {
    type Output = Result<StockChange>;
    type IntoFuture = BoxFuture<'a, Result<StockChange>>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
