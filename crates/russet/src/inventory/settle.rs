use std::time::{Duration, SystemTime};

use super::{Inventory, builder::check_time, check_id, scripts};
use crate::{client::Reached, clock::from_millis, error::Result};

/// As what a reservation has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settlement {
    /// Its units are sold, by this call or before.
    Sold {
        /// What the write had reached, by the handle's [durability](crate::Russet::durability).
        reached: Reached,
    },
    /// It was cancelled, by this call or before: its units are free again.
    Cancelled {
        /// What the write had reached, by the handle's [durability](crate::Russet::durability).
        reached: Reached,
    },
    /// Its time had passed: its units are free again, and may be somebody else's.
    Expired,
    /// There is no such reservation, or it ended so long ago that it is forgotten.
    Unknown,
}

/// What became of a wish to extend a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ExtendedHold {
    /// It holds until then, by the server's clock.
    Held {
        /// The new end.
        until: SystemTime,
    },
    /// It has ended before, as this; nothing was changed.
    Ended(Settlement),
}

impl Inventory {
    /// Sells what is reserved. Done again, it gives the same answer. One round trip.
    ///
    /// The end of a reservation is exact: after it nothing is sold, so that the units cannot be two users'. Who takes money
    /// outside extends the reservation by the longest time that a payment may take, pays, and confirms; or authorises the
    /// payment, confirms, and captures it when the answer is `Sold`. Who pays first and confirms afterwards must be ready to
    /// pay back.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// # use russet::{Inventory, Reservation, Settlement};
    /// # let shop = Inventory::builder(&russet, "shop").build()?;
    /// # shop.set_stock("ticket", 3).await?;
    /// if let Reservation::Held(held) = shop.reserve("ticket", 2).await? {
    ///     assert!(matches!(shop.confirm(&held.id).await?, Settlement::Sold { .. }));
    ///     assert!(matches!(shop.cancel(&held.id).await?, Settlement::Sold { .. })); // too late
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when the id is not 1 to 256 bytes long. `Unknown` when the answer was lost and could not be asked for until
    /// the deadline: ask again.
    pub async fn confirm(&self, id: &str) -> Result<Settlement> {
        self.settle(id, "sold").await
    }

    /// Gives back what is reserved. Done again, it gives the same answer. One round trip.
    ///
    /// # Errors
    /// As [`confirm`](Self::confirm).
    pub async fn cancel(&self, id: &str) -> Result<Settlement> {
        self.settle(id, "cancelled").await
    }

    /// Makes a reservation hold for so long from now on, 1 ms to 366 days, be that longer or shorter than before. One round
    /// trip.
    ///
    /// # Errors
    /// `Invalid` for an id or a time that is out of its range; otherwise as [`confirm`](Self::confirm).
    #[tracing::instrument(name = "inventory.extend", level = "debug", skip_all, fields(shop = self.inner.name()))]
    pub async fn extend(&self, id: &str, hold: Duration) -> Result<ExtendedHold> {
        check_id(id)?;
        check_time("hold", hold, Duration::from_millis(1))?;
        let inner = &*self.inner;
        inner.keep_swept();
        let ((state, until_ms), reached) =
            scripts::extend(&inner.russet, &inner.place, &inner.settings, id, hold).await?;
        Ok(match state.as_str() {
            "held" => ExtendedHold::Held { until: from_millis(until_ms) },
            ended => ExtendedHold::Ended(Settlement::of(ended, reached)),
        })
    }

    #[tracing::instrument(name = "inventory.settle", level = "debug", skip_all, fields(shop = self.inner.name(), wanted))]
    async fn settle(&self, id: &str, wanted: &'static str) -> Result<Settlement> {
        check_id(id)?;
        let inner = &*self.inner;
        inner.keep_swept();
        let (state, reached) =
            scripts::settle(&inner.russet, &inner.place, &inner.settings, id, wanted).await?;
        let settlement = Settlement::of(&state, reached);
        match settlement {
            Settlement::Sold { .. } if wanted == "sold" => inner.metrics.sold.increment(1),
            Settlement::Cancelled { .. } if wanted == "cancelled" => {
                inner.metrics.cancelled.increment(1);
            }
            _ => {}
        }
        Ok(settlement)
    }
}

impl Settlement {
    fn of(state: &str, reached: Reached) -> Self {
        match state {
            "sold" => Self::Sold { reached },
            "cancelled" => Self::Cancelled { reached },
            "expired" => Self::Expired,
            _ => Self::Unknown,
        }
    }
}
