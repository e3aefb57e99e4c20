//! The tutorial's `InventoryManager`: stock that is lost, and stock that adds up.
//!
//! `cargo run --example inventory --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's commands: a buyer who never comes back takes the stock along, since the record of the reservation
//! ends and nothing returns what it held; and a second `cancel` returns it twice. Then concurrent buyers with russet, who
//! need no lock.

mod support;

use std::time::Duration;

use russet::testing::eventually;
use russet::{Inventory, Reservation, Russet, Settlement, StockChange, raw};
use support::{Outcome, connect, server};

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;
    buyers(&russet).await?;
    a_buyer_who_never_comes_back(&russet).await?;
    println!("shown: free + reserved + sold = total, and what nobody buys comes back");
    Ok(())
}

async fn textbook(russet: &Russet) -> Outcome {
    let key = |part: &str| format!("{}-textbook-{part}", russet.namespace());
    let (stock, reservation) = (key("stock"), key("reservation"));
    let run = async |words: &[&str]| raw::command(russet, words).await;
    let left = async || run(&["GET", &stock]).await.map(|value| value.into_text());

    run(&["SET", &stock, "100"]).await?;
    // reserve_stock, under its lock; then the record ends by its TTL.
    run(&["SET", &stock, "95"]).await?;
    run(&["HSET", &reservation, "quantity", "5"]).await?;
    run(&["PEXPIRE", &reservation, "1"]).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let record = run(&["EXISTS", &reservation]).await?.into_text();
    println!(
        "textbook: the record is gone ({record:?}), the stock is {:?} for ever",
        left().await?
    );
    assert_eq!(left().await?.as_deref(), Some("95"));

    // cancel_reservation twice: both read the record before either has the lock.
    for _ in 0..2 {
        run(&["INCRBY", &stock, "5"]).await?;
    }
    println!("textbook: cancelled twice, {:?} of 100 are there", left().await?);
    assert_eq!(left().await?.as_deref(), Some("105"));
    run(&["DEL", &stock, &reservation]).await?;
    Ok(())
}

/// The tutorial's test with more buyers: 50 want 5 of 100 each, three in ten change their mind.
async fn buyers(russet: &Russet) -> Outcome {
    let shop = Inventory::builder(russet, "shop").hold(Duration::from_secs(1_800)).build()?;
    let StockChange::Done { .. } = shop.set_stock("product_001", 100).await? else {
        return Err("nothing is reserved yet".into());
    };
    let buying = (0..50).map(|number| {
        let shop = shop.clone();
        async move {
            let user = format!("user_{number}");
            match shop.reserve("product_001", 5).user(&user).request_id(&user).await? {
                Reservation::Held(held) if number % 10 < 7 => {
                    assert!(matches!(shop.confirm(&held.id).await?, Settlement::Sold { .. }));
                    Ok((1, 0))
                }
                Reservation::Held(held) => {
                    assert!(matches!(shop.cancel(&held.id).await?, Settlement::Cancelled { .. }));
                    Ok((0, 0))
                }
                Reservation::Insufficient { .. } | Reservation::OverLimit { .. } => {
                    Ok::<_, russet::Error>((0, 1))
                }
            }
        }
    });
    let bought = futures_util::future::try_join_all(buying).await?;
    let sold: u64 = bought.iter().map(|(sold, _)| sold).sum();
    let refused: u64 = bought.iter().map(|(_, refused)| refused).sum();
    let stock = shop.get("product_001").await?.ok_or("it was set")?;
    println!("russet: {sold} have bought, {refused} were refused: {stock:?}");
    assert_eq!((stock.sold, stock.reserved), (sold * 5, 0));
    assert_eq!(stock.free + stock.reserved + stock.sold, stock.total);

    // A request that is repeated changes nothing.
    let _ = shop.set_stock("product_002", 50).await?;
    for _ in 0..3 {
        let Reservation::Held(_) = shop.reserve("product_002", 2).request_id("order 7").await?
        else {
            return Err("50 are free".into());
        };
        assert!(matches!(shop.confirm("order 7").await?, Settlement::Sold { .. }));
    }
    assert_eq!(shop.get("product_002").await?.map(|stock| stock.sold), Some(2));
    println!("russet: one order, sent three times, has bought once");
    Ok(())
}

async fn a_buyer_who_never_comes_back(russet: &Russet) -> Outcome {
    let shop = Inventory::builder(russet, "tickets").build()?;
    let _ = shop.set_stock("ticket", 1).await?;
    let hold = Duration::from_millis(100);
    let Reservation::Held(lost) = shop.reserve("ticket", 1).hold(hold).await? else {
        return Err("it is free".into());
    };
    let held =
        eventually(Duration::from_secs(30), async || match shop.reserve("ticket", 1).await {
            Ok(Reservation::Held(held)) => Ok(held),
            other => Err(format!("{other:?}")),
        })
        .await;
    println!("russet: the ticket was free again after its time");
    assert_eq!(shop.confirm(&lost.id).await?, Settlement::Expired);
    assert!(matches!(shop.confirm(&held.id).await?, Settlement::Sold { .. }));
    Ok(())
}
