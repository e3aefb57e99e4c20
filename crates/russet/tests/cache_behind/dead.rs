//! Writes that the store refuses while it takes others.

use std::time::Duration;

use russet::testing::eventually;

use crate::table::{Table, behind, name};
use crate::{LONG, Outcome, evict, ground, leftovers};

#[tokio::test]
async fn a_refused_write_dies_alone_and_can_be_brought_back() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    table.refuse(7, true);
    let users = behind(&russet, &table).write_attempts(2).build()?;
    for id in 0..50 {
        users.put(&id, &name(id)).await?;
    }
    let dead = eventually(LONG, async || {
        // Others are taken all the time: the store is there.
        users.put(&1, &name("again")).await.map_err(|error| error.to_string())?;
        let dead = users.dead_writes(10).await.map_err(|error| error.to_string())?;
        dead.into_iter().next().ok_or_else(|| "none is dead".to_owned())
    })
    .await;
    assert_eq!((dead.key.as_str(), dead.value.as_deref(), dead.attempts), ("7", Some("7"), 2));
    assert!(dead.error.contains("constraint"), "{dead:?}");
    assert!(dead.since.elapsed()? < LONG);
    assert_eq!(users.flush().await?.dead, 1);
    assert_eq!((table.count(), users.stats().dead), (49, 1));
    // It is still what readers see.
    evict(&server, 7).await?;
    assert_eq!(users.get(&7).await?, Some(name(7)));

    assert!(!users.redrive(&8).await?);
    table.refuse(7, false);
    assert!(users.redrive(&7).await?);
    assert_eq!(users.flush().await?.dead, 0);
    assert_eq!((table.row(7), leftovers(&server).await?), (Some(name(7)), 0));
    Ok(())
}

#[tokio::test]
async fn a_later_put_takes_the_place_of_a_dead_write() -> Outcome {
    let (server, russet) = ground().await?;
    let table = Table::default();
    let users = behind(&russet, &table).write_attempts(1).build()?;
    let kill = async |id: u64| {
        table.refuse(id, true);
        users.put(&id, &name("refused")).await?;
        eventually(LONG, async || {
            users.put(&1, &name("again")).await.map_err(|error| error.to_string())?;
            match users.dead_writes(10).await.map_err(|error| error.to_string())?.len() {
                0 => Err("none is dead".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        table.refuse(id, false);
        Ok::<_, russet::Error>(())
    };
    kill(7).await?;
    users.put(&7, &name("better")).await?;
    assert_eq!(users.flush().await?.dead, 0);
    assert_eq!(table.row(7).as_deref(), Some("better"));

    kill(8).await?;
    assert_eq!(users.redrive_all().await?, 1);
    assert_eq!(users.flush().await?.dead, 0);
    assert_eq!(table.row(8).as_deref(), Some("refused"));

    kill(9).await?;
    assert!(users.discard(&9).await? && !users.discard(&9).await?);
    assert_eq!((users.get(&9).await?, table.row(9)), (None, None));
    users.flush().await?;
    assert_eq!(leftovers(&server).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_write_that_recovers_is_not_dead() -> Outcome {
    let (_server, russet) = ground().await?;
    let table = Table::default();
    table.refuse(7, true);
    let users = behind(&russet, &table).linger(Duration::from_millis(5)).build()?;
    users.put(&7, &name("Ada")).await?;
    users.put(&8, &name("Bob")).await?;
    eventually(LONG, async || match users.stats().flush_errors {
        0 => Err("nothing was refused"),
        _ => Ok(()),
    })
    .await;
    table.refuse(7, false);
    assert_eq!(users.flush().await?.dead, 0);
    assert_eq!((table.row(7).as_deref(), table.row(8).as_deref()), (Some("Ada"), Some("Bob")));
    Ok(())
}
