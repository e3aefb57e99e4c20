//! "Flash sale": 1,000 buyers, 100 units, and every call a real one.
//!
//! A shop of its own, in which each buyer may have one unit. Some who hold one change their mind, some never pay: what they held is
//! free again, by their call or by the end of the hold, and goes to others. It ends when every unit is sold and every buyer has
//! been told; then what the buyers were told is compared with what the shop says.

mod buyer;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::{Inventory, Russet, Stock, StockChange};
use russet_axum::ApiError;
use serde::Serialize;
use tokio::sync::{Barrier, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use crate::Failure;
use crate::http::stock::StockView;
use buyer::{Buyer, State};

/// How many buyers come at the same moment.
const BUYERS: u16 = 1_000;
/// How many units there are.
const UNITS: u64 = 100;
/// How long a buyer may think: who has not paid by then has nothing any more.
const HOLD: Duration = Duration::from_secs(2);
/// How long an order is remembered, and a purchase counts: longer than a sale takes.
const REMEMBER: Duration = Duration::from_secs(300);
/// Between two looks at the stock.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a sale may take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demonstration; one sale at a time. A cheap clone.
#[derive(Debug, Clone)]
pub struct FlashSale {
    shop: Inventory,
    room: Arc<Semaphore>,
    story: Arc<Mutex<Arc<Story>>>,
    stop: CancellationToken,
    runs: TaskTracker,
}

/// What has happened so far.
#[derive(Debug)]
struct Story {
    product: String,
    phase: Mutex<Phase>,
    buyers: Vec<AtomicU8>,
    stock: Mutex<Option<Stock>>,
    looks: AtomicU64,
    error: Mutex<Option<String>>,
}

/// Where a sale is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SalePhase)]
pub enum Phase {
    /// There was none yet.
    #[default]
    Idle,
    /// The buyers are at it.
    Open,
    /// Everything is sold, and everybody has been told.
    Over,
    /// It could not be shown.
    Failed,
}

/// A sale, as it stands now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sale {
    phase: Phase,
    /// A letter for each buyer: `w` waits, `h` holds a unit, `b` bought it, `c` cancelled, `e` did not pay in time, `s` found all sold, `f` got an
    /// error.
    buyers: String,
    /// The shop's record of the product.
    stock: Option<StockView>,
    /// How many buyers were told that they have bought.
    bought: u64,
    /// How often the record was looked at.
    looks: u64,
    /// Why it could not be shown.
    error: Option<String>,
}

/// Another sale is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another run is under way")]
pub struct Busy;

impl FlashSale {
    pub(crate) fn new(russet: &Russet) -> russet::Result<Self> {
        let shop = Inventory::builder(russet, "flash-sale")
            .hold(HOLD)
            .request_window(REMEMBER)
            .user_limit(1)
            .user_limit_period(REMEMBER)
            .build()?;
        Ok(Self {
            shop,
            room: Arc::new(Semaphore::new(1)),
            story: Arc::new(Mutex::new(Arc::new(Story::new(String::new(), 0)))),
            stop: CancellationToken::new(),
            runs: TaskTracker::new(),
        })
    }

    /// Opens a sale, which goes on by itself.
    ///
    /// # Errors
    /// When there is one already.
    pub fn start(&self) -> Result<(), Busy> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| Busy)?;
        // A product of its own: what an earlier sale left is no part of it.
        let story = Arc::new(Story::new(format!("unit-{:08x}", rand::random::<u32>()), BUYERS));
        story.enter(Phase::Open);
        *lock(&self.story) = story.clone();
        self.runs.spawn(self.clone().run(story, room));
        Ok(())
    }

    /// The last sale.
    #[must_use]
    pub fn show(&self) -> Sale {
        let story = lock(&self.story).clone();
        story.show()
    }

    /// Ends a sale that is under way.
    pub async fn close(&self) {
        self.stop.cancel();
        self.runs.close();
        self.runs.wait().await;
    }

    async fn run(self, story: Arc<Story>, _room: OwnedSemaphorePermit) {
        let played = tokio::select! {
            played = tokio::time::timeout(PATIENCE, self.play(&story)) => {
                played.unwrap_or_else(|_| Err(format!("the sale was not over within {PATIENCE:?}").into()))
            }
            () = self.stop.cancelled() => Err("the server stops".into()),
        };
        match played {
            Ok(()) => story.enter(Phase::Over),
            Err(error) => {
                tracing::warn!(%error, "the flash sale could not be shown");
                // What a client learns of Redis is the same everywhere.
                let told = error.downcast_ref::<russet::Error>().cloned().map(ApiError::from);
                let told = told.map_or_else(|| error.to_string(), |told| told.to_string());
                *lock(&story.error) = Some(told);
                story.enter(Phase::Failed);
            }
        }
    }

    async fn play(&self, story: &Arc<Story>) -> Result<(), Failure> {
        self.clear_away().await?;
        let StockChange::Done { stock, .. } = self.shop.set_stock(&story.product, UNITS).await?
        else {
            return Err("the product of the sale is another one's".into());
        };
        *lock(&story.stock) = Some(stock);
        // They are dropped, and with that ended, when the sale ends early.
        let mut buyers = JoinSet::new();
        let line = Arc::new(Barrier::new(usize::from(BUYERS)));
        for number in 0..BUYERS {
            let buyer = Buyer { number, shop: self.shop.clone(), story: story.clone() };
            buyers.spawn(buyer.come(line.clone()));
        }
        let mut looking = tokio::time::interval(LOOK_AGAIN);
        looking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = buyers.join_next() => match done {
                    Some(done) => done?,
                    None => break,
                },
                _ = looking.tick() => self.look(story).await?,
            }
        }
        self.look(story).await?;
        story.adds_up()
    }

    /// Notes how the record of the product stands.
    async fn look(&self, story: &Story) -> Result<(), Failure> {
        let stock = buyer::again_and_again(|| self.shop.get(&story.product)).await?;
        *lock(&story.stock) = Some(stock.ok_or("the product of the sale is gone")?);
        story.looks.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Takes the products of earlier sales out of the shop; one that somebody still holds goes the next time.
    async fn clear_away(&self) -> Result<(), Failure> {
        for (product, _) in self.shop.products(None, 100).await? {
            self.shop.remove(&product).await?;
        }
        Ok(())
    }
}

impl Story {
    fn new(product: String, buyers: u16) -> Self {
        Self {
            product,
            phase: Mutex::default(),
            buyers: (0..buyers).map(|_| AtomicU8::new(State::Waits as u8)).collect(),
            stock: Mutex::default(),
            looks: AtomicU64::new(0),
            error: Mutex::default(),
        }
    }

    fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// What a buyer is at.
    fn is_now(&self, buyer: u16, state: State) {
        if let Some(place) = self.buyers.get(usize::from(buyer)) {
            place.store(state as u8, Ordering::SeqCst);
        }
    }

    /// Whether nothing will be free any more.
    fn is_sold_out(&self) -> bool {
        lock(&self.stock).is_some_and(|stock| stock.sold == stock.total)
    }

    fn bought(&self) -> u64 {
        let all = self.buyers.iter();
        all.filter(|buyer| buyer.load(Ordering::SeqCst) == State::Bought as u8).count() as u64
    }

    /// What the buyers were told is what the record says.
    fn adds_up(&self) -> Result<(), Failure> {
        let failed = self.buyers.iter();
        let failed = failed.filter(|buyer| buyer.load(Ordering::SeqCst) == State::Failed as u8);
        let failed = failed.count();
        if failed > 0 {
            return Err(format!("{failed} buyers got an error").into());
        }
        let (bought, stock) = (self.bought(), lock(&self.stock).ok_or("nobody looked")?);
        if bought == stock.sold && stock.reserved == 0 && stock.free + stock.sold == stock.total {
            return Ok(());
        }
        Err(format!("it does not add up: {bought} buyers bought, and the record says {stock:?}")
            .into())
    }

    fn show(&self) -> Sale {
        // The phase before the rest: what is over is shown with its end.
        let phase = *lock(&self.phase);
        let buyers = self.buyers.iter().map(|buyer| char::from(buyer.load(Ordering::SeqCst)));
        let stock = *lock(&self.stock);
        Sale {
            phase,
            buyers: buyers.collect(),
            stock: stock.map(|stock| StockView::of(self.product.clone(), stock)),
            bought: self.bought(),
            looks: self.looks.load(Ordering::SeqCst),
            error: lock(&self.error).clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
