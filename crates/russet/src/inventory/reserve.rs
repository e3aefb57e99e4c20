use std::{
    future::IntoFuture,
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, FutureExt};

use super::{
    Inner, Inventory,
    builder::check_time,
    check_id, check_product,
    scripts::{self, Reserved, Wanted},
};
use crate::{
    client::Reached,
    clock::from_millis,
    error::{Error, Result},
    id::Id,
    names::check_name,
};

/// A reservation on its way; made by [`Inventory::reserve`], sent by `.await`.
#[must_use = "nothing is reserved before it is awaited"]
pub struct Reserve<'a> {
    inner: &'a Inner,
    product: &'a str,
    quantity: u64,
    user: Option<&'a str>,
    hold: Duration,
    request: Option<&'a str>,
}

/// What became of a wish to reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reservation {
    /// The units are reserved.
    Held(Held),
    /// Fewer units are free than were asked for, or there is no such product. Nothing was written.
    Insufficient {
        /// How many are free.
        available: u64,
    },
    /// The user would have more than one may have. Nothing was written.
    OverLimit {
        /// How many more this user may have.
        allowed: u64,
    },
}

/// Units that are reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// What the reservation is confirmed or cancelled by: the request id, or a random one of 32 hexadecimal digits.
    pub id: String,
    /// Until when it holds, by the server's clock.
    pub until: SystemTime,
    /// Whether this call made it; not so when its request was done before.
    pub is_new: bool,
    /// What the write had reached, by the handle's [durability](crate::Russet::durability).
    pub reached: Reached,
}

impl Inventory {
    /// Reserves units of a product, 1 to 2^53, all or none. One round trip.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = russet::testing::TestServer::start().await?;
    /// # let russet = russet::Russet::connect(&server.url()).await?;
    /// use russet::{Inventory, Reservation};
    ///
    /// let shop = Inventory::builder(&russet, "shop").user_limit(2).build()?;
    /// shop.set_stock("ticket", 3).await?;
    /// let Reservation::Held(held) = shop.reserve("ticket", 2).user("ada").request_id("order 7").await?
    /// else { return Err("they are there".into()) };
    /// assert_eq!(held.id, "order 7");
    ///
    /// let again = shop.reserve("ticket", 1).user("ada").await?;
    /// assert_eq!(again, Reservation::OverLimit { allowed: 0 });
    /// let too_many = shop.reserve("ticket", 2).user("bob").await?;
    /// assert_eq!(too_many, Reservation::Insufficient { available: 1 });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, and nothing is written, for a quantity, a name or a time that is out of its range, without a user where
    /// users have a limit, and for a request id that stands for another reservation. `Unknown` when the answer was lost
    /// and could not be asked for until the deadline: the units may be reserved, until the reservation's end.
    pub fn reserve<'a>(&'a self, product: &'a str, quantity: u64) -> Reserve<'a> {
        let inner = &*self.inner;
        Reserve { inner, product, quantity, user: None, hold: inner.settings.hold, request: None }
    }
}

impl<'a> Reserve<'a> {
    /// Whose it is: 1 to 256 bytes. Nobody's unless set.
    pub fn user(mut self, user: &'a str) -> Self {
        self.user = Some(user);
        self
    }

    /// How long it holds, 1 ms to 366 days. Defaults to the handle's.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// A name of this reservation, 1 to 256 bytes, as that of an order: the same call with the same name reserves nothing
    /// more and gives the first answer, also when the reservation has ended meanwhile. It is the reservation's id, and
    /// remembered as long as that. Who knows it can confirm and cancel: an application whose users send ids checks whose
    /// [`reservation`](Inventory::reservation) it is. A random one unless set.
    pub fn request_id(mut self, request: &'a str) -> Self {
        self.request = Some(request);
        self
    }

    fn check(&self) -> Result<String> {
        check_product(self.product)?;
        self.inner.check_units("the quantity", self.quantity, 1)?;
        check_time("hold", self.hold, Duration::from_millis(1))?;
        match self.user {
            Some(user) => check_name("name of a user", user)?,
            None if self.inner.settings.user_limit.is_some() => {
                return Err(Error::invalid(format_args!(
                    "{}: users have a limit, and the reservation names no user",
                    self.inner.name()
                )));
            }
            None => {}
        }
        match self.request {
            Some(request) => check_id(request).map(|()| request.to_owned()),
            None => Ok(Id::random()?.to_string()),
        }
    }

    #[tracing::instrument(name = "inventory.reserve", level = "debug", skip_all, fields(shop = self.inner.name()))]
    async fn send(self) -> Result<Reservation> {
        let id = self.check()?;
        let inner = self.inner;
        let Self { product, quantity, user, hold, .. } = self;
        inner.keep_swept();
        let wanted = Wanted { id: &id, product, quantity, user, hold };
        let (reserved, reached) =
            scripts::reserve(&inner.russet, &inner.place, &inner.settings, wanted).await?;
        match reserved {
            Reserved::Held { until_ms, is_new } => {
                inner.metrics.held.increment(u64::from(is_new));
                let until = from_millis(until_ms);
                Ok(Reservation::Held(Held { id, until, is_new, reached }))
            }
            Reserved::Insufficient(available) => {
                inner.metrics.refused.increment(1);
                Ok(Reservation::Insufficient { available })
            }
            Reserved::Over(allowed) => {
                inner.metrics.refused.increment(1);
                Ok(Reservation::OverLimit { allowed })
            }
            Reserved::Other => Err(Error::invalid(format_args!(
                "{}: the request id stands for another reservation, of another product, quantity or user",
                inner.name()
            ))),
        }
    }
}

impl<'a> IntoFuture for Reserve<'a> {
    type Output = Result<Reservation>;
    type IntoFuture = BoxFuture<'a, Result<Reservation>>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
