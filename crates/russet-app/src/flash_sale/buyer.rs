//! One of the 1,000.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use russet::{ErrorKind, Inventory, Reservation, Settlement};
use tokio::sync::Barrier;
use tokio::time::sleep;

use super::{HOLD, Story};

/// How long one thinks before it pays or changes its mind, in ms; and how long one waits before it asks again.
const THINKS: std::ops::Range<u64> = 200..1_200;
const ASKS_AGAIN: std::ops::Range<u64> = 400..900;

/// What a buyer is at, by the letter that it is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// It has nothing yet.
    Waits = b'w',
    /// It holds a unit.
    Holds = b'h',
    /// It was told that the unit is its own.
    Bought = b'b',
    /// It gave the unit back.
    Cancelled = b'c',
    /// The time to pay has passed.
    Expired = b'e',
    /// It found everything sold.
    SoldOut = b's',
    /// It got an error.
    Failed = b'f',
}

pub(super) struct Buyer {
    pub(super) number: u16,
    pub(super) shop: Inventory,
    pub(super) story: Arc<Story>,
}

impl Buyer {
    /// Comes with all others, and stays until it has bought, given up, or found everything sold.
    pub(super) async fn come(self, line: Arc<Barrier>) {
        line.wait().await;
        let end = self.buy().await.unwrap_or_else(|error| {
            tracing::warn!(%error, buyer = self.number, "a buyer got an error");
            State::Failed
        });
        self.story.is_now(self.number, end);
    }

    async fn buy(&self) -> russet::Result<State> {
        let Self { number, shop, story } = self;
        let (user, product) = (format!("buyer-{number}"), &story.product);
        // A name of the order, so that it can be asked for again when an answer is lost.
        let order = format!("{product} {number}");
        let held = loop {
            let reserve = || shop.reserve(product, 1).user(&user).request_id(&order).into_future();
            match again_and_again(reserve).await? {
                Reservation::Held(held) => break held,
                // Somebody may still give one back.
                _ if story.is_sold_out() => return Ok(State::SoldOut),
                _ => pause(ASKS_AGAIN).await,
            }
        };
        story.is_now(*number, State::Holds);
        let settlement = match number % 10 {
            0 => {
                pause(THINKS).await;
                again_and_again(|| shop.cancel(&held.id)).await?
            }
            1 => {
                // Comes back when the time has passed: it gets nothing then, whoever has the unit by now.
                sleep(HOLD).await;
                again_and_again(|| shop.confirm(&held.id)).await?
            }
            _ => {
                pause(THINKS).await;
                again_and_again(|| shop.confirm(&held.id)).await?
            }
        };
        Ok(match settlement {
            Settlement::Sold { .. } => State::Bought,
            Settlement::Cancelled { .. } => State::Cancelled,
            Settlement::Expired | Settlement::Unknown => State::Expired,
        })
    }
}

/// Until the server answers: each of these calls can be made again.
pub(super) async fn again_and_again<T, R>(call: impl Fn() -> R) -> russet::Result<T>
where
    R: Future<Output = russet::Result<T>>,
{
    loop {
        match call().await {
            Err(error) if is_outage(error.kind()) => pause(ASKS_AGAIN).await,
            answer => return answer,
        }
    }
}

fn is_outage(kind: ErrorKind) -> bool {
    use ErrorKind::{Refused, Timeout, Unknown, Unreachable};
    matches!(kind, Refused | Timeout | Unknown | Unreachable)
}

async fn pause(milliseconds: std::ops::Range<u64>) {
    let milliseconds = rand::rng().random_range(milliseconds);
    sleep(Duration::from_millis(milliseconds)).await;
}
