//! Everything that reads a shop. What is due counts as returned, whether or not a script has returned it yet.

use std::time::SystemTime;

use super::{Inventory, check_id, check_product, scripts};
use crate::error::{Error, Result};

/// How many products or reservations one call lists at most.
const MOST_LISTED: usize = 1_000;

/// The units of a product. `free + reserved + sold = total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stock {
    /// All of them.
    pub total: u64,
    /// Those that can be reserved.
    pub free: u64,
    /// Those that somebody holds.
    pub reserved: u64,
    /// Those that are sold.
    pub sold: u64,
}

/// A reservation as it stands in the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// What it is confirmed or cancelled by.
    pub id: String,
    /// Of which product.
    pub product: String,
    /// How many units.
    pub quantity: u64,
    /// Whose it is; nobody's when the call named no user.
    pub user: Option<String>,
    /// Until when it holds, or would have held.
    pub until: SystemTime,
    /// Whether it holds, or as what it has ended.
    pub state: HoldState,
}

/// Whether a reservation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// It holds.
    Held,
    /// Its units are sold.
    Sold,
    /// It was cancelled.
    Cancelled,
    /// Its time has passed.
    Expired,
}

impl Inventory {
    /// The units of a product at one moment; `None` when the shop has no such product. One round trip.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long; otherwise as every read, see [`ErrorKind`](crate::ErrorKind).
    #[tracing::instrument(name = "inventory.get", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn get(&self, product: &str) -> Result<Option<Stock>> {
        check_product(product)?;
        let inner = &*self.inner;
        inner.keep_swept();
        scripts::get(&inner.russet, &inner.place, &inner.settings, product).await
    }

    /// Up to `n` products, 1 to 1,000, with their units, ordered by name as it is in the key; those behind `after`, or the
    /// first ones. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # let shop = russet::Inventory::builder(&russet, "shop").build()?;
    /// # for product in ["a", "b", "c"] { let _ = shop.set_stock(product, 1).await?; }
    /// let mut after = None;
    /// loop {
    ///     let page = shop.products(after.as_deref(), 2).await?;
    ///     let Some((last, _)) = page.last() else { break };
    ///     after = Some(last.clone());
    ///     for (product, stock) in page {
    ///         println!("{product}: {} of {} are free", stock.free, stock.total);
    ///     }
    /// }
    /// # assert_eq!(after.as_deref(), Some("c"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when `n` is out of its range; otherwise as every read.
    #[tracing::instrument(name = "inventory.products", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn products(&self, after: Option<&str>, n: usize) -> Result<Vec<(String, Stock)>> {
        self.check_listed(n)?;
        let inner = &*self.inner;
        inner.keep_swept();
        scripts::list(&inner.russet, &inner.place, &inner.settings, after, n).await
    }

    /// A reservation, also one that has ended and is remembered; `None` when there is no such one. One round trip.
    ///
    /// # Errors
    /// `Invalid` when the id is not 1 to 256 bytes long; otherwise as every read.
    #[tracing::instrument(name = "inventory.reservation", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn reservation(&self, id: &str) -> Result<Option<Hold>> {
        check_id(id)?;
        let inner = &*self.inner;
        Ok(scripts::reservations(&inner.russet, &inner.place, Some(id), 0, 1).await?.pop())
    }

    /// Up to `n` reservations that hold, 1 to 1,000, without the first `offset`; the next one to end comes first. One round
    /// trip.
    ///
    /// # Errors
    /// `Invalid` when `n` is out of its range; otherwise as every read.
    #[tracing::instrument(name = "inventory.reservations", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn reservations(&self, offset: u64, n: usize) -> Result<Vec<Hold>> {
        self.check_listed(n)?;
        let inner = &*self.inner;
        scripts::reservations(&inner.russet, &inner.place, None, offset, n).await
    }

    fn check_listed(&self, n: usize) -> Result<()> {
        if (1..=MOST_LISTED).contains(&n) {
            return Ok(());
        }
        Err(Error::invalid(format_args!(
            "{}: a listing must be of 1 to {MOST_LISTED}, not {n}",
            self.inner.name()
        )))
    }
}
