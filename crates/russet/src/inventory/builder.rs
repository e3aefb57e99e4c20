use std::{sync::Arc, time::Duration};

use super::{Inner, Inventory, MOST_UNITS, Metrics, scripts::Place, sweeper::Sweeper};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::Slot,
};

const BRIEF: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The settings of an [`Inventory`]; made by [`Inventory::builder`].
///
/// They are of the handle, not of the shop: processes of one shop may differ.
#[derive(Clone, Debug)]
#[must_use]
pub struct InventoryBuilder {
    russet: Russet,
    shop: String,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) hold: Duration,
    pub(super) request_window: Duration,
    pub(super) user_limit: Option<u64>,
    pub(super) user_limit_period: Duration,
    pub(super) sweep_every: Duration,
}

impl InventoryBuilder {
    pub(super) fn new(russet: &Russet, shop: &str) -> Self {
        let settings = Settings {
            hold: Duration::from_secs(1_800),
            request_window: DAY,
            user_limit: None,
            user_limit_period: 30 * DAY,
            sweep_every: Duration::from_millis(500),
        };
        Self { russet: russet.clone(), shop: shop.to_owned(), settings }
    }

    /// How long a reservation holds, 1 ms to 366 days; a call can say otherwise. Defaults to 30 minutes.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.settings.hold = hold;
        self
    }

    /// For how long a request id, and what became of a reservation, is remembered after it has ended: 1 s to 366 days.
    /// Defaults to 24 hours.
    pub fn request_window(mut self, window: Duration) -> Self {
        self.settings.request_window = window;
        self
    }

    /// How many units of one product a user may have, reserved and bought together. Each reservation must name its user
    /// then. What was reserved by a handle without a limit is not counted. No limit unless set.
    pub fn user_limit(mut self, units: u64) -> Self {
        self.settings.user_limit = Some(units);
        self
    }

    /// How long what a user has bought counts for the [`user_limit`](Self::user_limit), from the last purchase of that
    /// product on: 1 s to 366 days. Defaults to 30 days.
    pub fn user_limit_period(mut self, period: Duration) -> Self {
        self.settings.user_limit_period = period;
        self
    }

    /// How often this handle looks for what is due while the shop is quiet, 1 ms to 366 days. Defaults to 500 ms.
    ///
    /// It bounds how long a reservation can stay in the record after its end; what calls answer does not depend on it.
    pub fn sweep_every(mut self, pause: Duration) -> Self {
        self.settings.sweep_every = pause;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, or a setting is out of its range.
    pub fn build(self) -> Result<Inventory> {
        let Self { russet, shop, settings } = self;
        check_time("hold", settings.hold, BRIEF)?;
        check_time("request_window", settings.request_window, Duration::from_secs(1))?;
        check_time("user_limit_period", settings.user_limit_period, Duration::from_secs(1))?;
        check_time("sweep_every", settings.sweep_every, BRIEF)?;
        if let Some(limit) = settings.user_limit.filter(|limit| !(1..=MOST_UNITS).contains(limit)) {
            return Err(Error::invalid(format_args!("user_limit must be 1 to 2^53, not {limit}")));
        }
        let place = Place::new(Slot::of(russet.names(), "inventory", &shop)?);
        let metrics = Metrics {
            held: metrics::counter!("russet_inventory_held_total", "shop" => shop.clone()),
            refused: metrics::counter!("russet_inventory_refused_total", "shop" => shop.clone()),
            sold: metrics::counter!("russet_inventory_sold_total", "shop" => shop.clone()),
            cancelled: metrics::counter!("russet_inventory_cancelled_total", "shop" => shop),
        };
        let sweeper = Sweeper::default();
        let inner = Inner { russet, place, settings, sweeper, metrics };
        Ok(Inventory { inner: Arc::new(inner) })
    }
}

pub(super) fn check_time(what: &str, time: Duration, least: Duration) -> Result<()> {
    if (least..=LONGEST).contains(&time) {
        return Ok(());
    }
    Err(Error::invalid(format_args!("{what} must be {least:?} to 366 days, not {time:?}")))
}
