//! What every handler works with.

use std::sync::Arc;
use std::time::Duration;

use russet::{
    Counters, Inventory, Leaderboard, Limit, Queue, RateLimiter, Russet, WhenAway, Worker,
};

use crate::access::Access;
use crate::accounts::Accounts;
use crate::chat::Chat;
use crate::db::Database;
use crate::flash_sale::FlashSale;
use crate::http::demo::Demo;
use crate::jobs::{self, Work};
use crate::killed_worker::KilledWorker;
use crate::secret_key::SecretKeys;
use crate::users::{Users, UsersSettings};

/// Handles to the stores and the blocks on them. A cheap clone.
#[derive(Clone)]
pub struct AppState {
    /// The connection to Redis.
    pub russet: Russet,
    /// The record store.
    pub db: Database,
    /// The users, through the cache.
    pub users: Users,
    /// Page views.
    pub views: Counters,
    /// What clients count over HTTP.
    pub counters: Counters,
    /// The shop.
    pub shop: Inventory,
    /// The game's scores.
    pub board: Leaderboard,
    /// The application's tasks.
    pub tasks: Queue,
    /// The worker of this process, if there is one; it is [`run`](Worker::run_until) by whoever made it.
    pub worker: Option<Arc<Worker<Work>>>,
    /// The rooms to talk in.
    pub chat: Chat,
    /// How often one may join a room, over all processes.
    pub joins: RateLimiter,
    /// Who may sign in.
    pub accounts: Accounts,
    /// Who may do what, and by which names the server is called.
    pub access: Access,
    /// The demonstration of the cache on the home page.
    pub demo: Demo,
    /// The demonstration of the shop on the home page.
    pub flash_sale: FlashSale,
    /// The demonstration of the queue on the home page.
    pub killed_worker: KilledWorker,
}

/// The most players that the leaderboard keeps; the lowest fall off.
const MOST_PLAYERS: u64 = 1_000_000;
/// How many units of a product a user may have, and how long one has to pay.
const MOST_UNITS: u64 = 10;
const HOLD: Duration = Duration::from_secs(300);

impl AppState {
    /// Everything on one connection and one database; nothing is sent yet.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn new(russet: Russet, db: Database) -> russet::Result<Self> {
        Self::with_users(russet, db, UsersSettings::default())
    }

    /// The same with other settings for the users.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub fn with_users(
        russet: Russet,
        db: Database,
        settings: UsersSettings,
    ) -> russet::Result<Self> {
        Ok(Self {
            users: Users::new(&russet, db.clone(), settings)?,
            views: Counters::builder(&russet, "site").build()?,
            counters: Counters::builder(&russet, "api").build()?,
            shop: Inventory::builder(&russet, Inventory::DEFAULT_SHOP)
                .hold(HOLD)
                .user_limit(MOST_UNITS)
                .build()?,
            board: Leaderboard::builder(&russet, "game").max_size(MOST_PLAYERS).build()?,
            tasks: jobs::queue(&russet)?,
            worker: None,
            chat: Chat::new(&russet)?,
            joins: RateLimiter::builder(&russet, "chat-joins")
                .limit(Limit::gcra(120, Duration::from_secs(60)).burst(60))
                .when_away(WhenAway::Allow)
                .build()?,
            flash_sale: FlashSale::new(&russet)?,
            // Nobody else knows the key: whoever serves more than one process names one.
            accounts: Accounts::new(&russet, db.clone(), &SecretKeys::random())?,
            access: Access::default(),
            killed_worker: KilledWorker::new(&russet)?,
            demo: Demo::new(&russet, db.clone())?,
            russet,
            db,
        })
    }
}
