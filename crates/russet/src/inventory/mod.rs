//! Stock that adds up: reservations that go back by themselves, and no lock.

mod builder;
mod change;
mod read;
mod reserve;
mod scripts;
mod settle;
mod sweeper;

use std::{fmt, sync::Arc};

pub use builder::InventoryBuilder;
pub use change::{ChangeStock, StockChange};
pub use read::{Hold, HoldState, Stock};
pub use reserve::{Held, Reservation, Reserve};
pub use settle::{ExtendedHold, Settlement};

use crate::{
    client::Russet,
    error::{Error, Result},
    names::check_name,
};
use builder::Settings;
use scripts::Place;
use sweeper::Sweeper;

/// The most units of a product, 2^53: up to here every whole number is exact in a script.
const MOST_UNITS: u64 = 1 << 53;

/// The products of a shop, how many units of each are free, reserved and sold, and the reservations.
///
/// `free + reserved + sold = total`, for each product, at every moment and after any crash: each change is one script, and
/// what is neither reserved nor sold is free. A reservation holds for a while; when nobody confirms it until then, its units
/// are free again from that moment on. There is no lock, and nothing waits.
///
/// Reserving, confirming, cancelling and changing have an id, the caller's or a random one, so that a repeated call changes
/// nothing and a lost answer is asked for again. What was done is remembered for the
/// [`request_window`](InventoryBuilder::request_window).
///
/// All products of a shop share a slot of a Cluster. A product's name, a user's and an id have 1 to 256 bytes of any content.
/// A cheap clone; all handles of one name are the same shop. Each call is one round trip.
///
/// A process that dies leaves its reservations to their end. What is due is taken back in the record by whatever script of
/// the shop runs next, and every half second by each handle that has made a call.
///
/// ```
/// # use russet::testing::TestServer;
/// use std::time::Duration;
/// use russet::{Inventory, Reservation, Russet, Settlement};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let shop = Inventory::builder(&russet, "shop").hold(Duration::from_secs(1_800)).build()?;
/// shop.set_stock("product_001", 100).await?;
///
/// match shop.reserve("product_001", 5).user("user_7").request_id("order 1").await? {
///     Reservation::Held(held) => match shop.confirm(&held.id).await? {
///         Settlement::Sold { .. } => println!("sold"),
///         other => println!("too late: {other:?}"),
///     },
///     Reservation::Insufficient { available } => println!("only {available} left"),
///     Reservation::OverLimit { allowed } => println!("at most {allowed} for this user"),
/// }
/// let stock = shop.get("product_001").await?.ok_or("no such product")?;
/// assert_eq!((stock.free, stock.reserved, stock.sold, stock.total), (95, 0, 5, 100));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Inventory {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    place: Place,
    settings: Settings,
    sweeper: Sweeper,
    metrics: Metrics,
}

/// Reservations, by what became of them.
struct Metrics {
    held: metrics::Counter,
    refused: metrics::Counter,
    sold: metrics::Counter,
    cancelled: metrics::Counter,
}

impl Inventory {
    /// The shop of those who need one only.
    pub const DEFAULT_SHOP: &str = "default";

    /// Settings for the shop of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, shop: &str) -> InventoryBuilder {
        InventoryBuilder::new(russet, shop)
    }
}

impl Inner {
    /// `inventory:<shop>` as it stands in its keys, for spans and messages.
    fn name(&self) -> &str {
        self.place.object()
    }

    fn check_units(&self, what: &str, units: u64, least: u64) -> Result<()> {
        if (least..=MOST_UNITS).contains(&units) {
            return Ok(());
        }
        Err(Error::invalid(format_args!(
            "{}: {what} must be {least} to 2^53, not {units}",
            self.name()
        )))
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory").field("shop", &self.inner.name()).finish_non_exhaustive()
    }
}

/// Refuses what is no name of a product.
fn check_product(product: &str) -> Result<()> {
    check_name("name of a product", product)
}

/// Refuses what is no id of a reservation.
fn check_id(id: &str) -> Result<()> {
    check_name("id of a reservation", id)
}
