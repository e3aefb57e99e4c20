//! The tutorial's `InventoryManager` as it is meant there, under a lock for each product: what `Lock` makes of it.
//!
//! `cargo run --example inventory_with_lock --features testing`; with `REDIS_URL` set it uses that server.
//!
//! The stock is in a store of the application's own, which Redis cannot change in one step: here a table in memory, as a row of SQL
//! would be. Every buyer waits for its turn instead of being turned away, a lock that is lost cancels the purchase, and the store
//! refuses who comes with the fence of an earlier holder. For stock that can live in Redis the block `Inventory` needs no lock: see the
//! example `inventory`.

mod support;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russet::{ErrorKind, Lock, Russet};
use support::{Outcome, connect, server};

const UNITS: u64 = 100;
const BUYERS: u64 = 50;

/// A row: `UPDATE stock SET free = …, fence = … WHERE fence <= …`.
#[derive(Clone, Copy, Debug)]
struct Row {
    free: u64,
    sold: u64,
    fence: u64,
}

#[derive(Clone)]
struct Table(Arc<Mutex<Row>>);

impl Table {
    fn read(&self) -> Row {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the row was written: not for a fence that is smaller than the last one.
    fn write(&self, row: Row) -> bool {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = row.fence >= stored.fence;
        if is_current {
            *stored = row;
        }
        is_current
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    buyers(&russet).await?;
    one_who_was_overtaken(&russet).await?;
    println!("shown: under a lock with a fence, free + sold = total, and every buyer has its turn");
    Ok(())
}

/// 50 buyers at once want 5 of 100 each.
async fn buyers(russet: &Russet) -> Outcome {
    let table = Table(Arc::new(Mutex::new(Row { free: UNITS, sold: 0, fence: 0 })));
    let lock = Lock::builder(russet, "stock_of_product_001").build()?;
    let buying = (0..BUYERS).map(|_| {
        let (lock, table) = (lock.clone(), table.clone());
        async move {
            lock.with(async |held| {
                let row = table.read();
                // What the look-up of a real store takes; without the lock they would all read the same row.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let enough = row.free >= 5;
                enough
                    && table.write(Row {
                        free: row.free - 5,
                        sold: row.sold + 5,
                        fence: held.fence(),
                    })
            })
            .await
        }
    });
    let bought = futures_util::future::try_join_all(buying).await?;
    let bought = bought.into_iter().filter(|has_bought| *has_bought).count() as u64;
    let row = table.read();
    println!("{bought} of {BUYERS} have bought, the others found it sold: {row:?}");
    assert_eq!((bought, row.free, row.sold), (UNITS / 5, 0, UNITS));
    Ok(())
}

/// A purchase that stood still beyond its lease: the next one goes on, and the late write changes nothing.
async fn one_who_was_overtaken(russet: &Russet) -> Outcome {
    let table = Table(Arc::new(Mutex::new(Row { free: UNITS, sold: 0, fence: 0 })));
    let brief = Duration::from_millis(200);
    let lock =
        Lock::builder(russet, "stock_of_product_002").lease(brief).watchdog(false).build()?;
    let late = lock.acquire().await?;
    let (read, fence) = (table.read(), late.fence());

    let next = lock.acquire().await?; // waits until the lease has ended
    assert!(late.is_lost(), "the first one was told before");
    let row = table.read();
    assert!(table.write(Row { free: row.free - 5, sold: row.sold + 5, fence: next.fence() }));
    assert!(
        !table.write(Row { free: read.free - 5, sold: read.sold + 5, fence }),
        "the store refuses it"
    );
    assert_eq!((table.read().free, table.read().sold), (UNITS - 5, 5));

    // A body under `with` does not get as far as that.
    let body = late.with(async |_| unreachable!("the lock is lost")).await;
    assert!(body.is_err_and(|error| error.kind() == ErrorKind::Lost));
    println!("who was overtaken is told, cancelled, and refused by the store");
    Ok(())
}
