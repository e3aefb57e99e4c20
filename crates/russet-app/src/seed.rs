//! Made-up users, players and products, always the same ones.

use std::ops::RangeInclusive;

use futures_util::future::try_join_all;
use russet::StockChange;

use crate::db::User;
use crate::{AppState, Failure};

/// The milestone of a database that has been filled: users who were all deleted do not come back.
const FIRST_START: &str = "first_start";
/// Users and players of the first start.
const FIRST_USERS: u32 = 100;
const FIRST_PLAYERS: u32 = 10;
/// What the shop has on its first start.
const FIRST_PRODUCTS: [(&str, u64); 5] = [
    ("egremont-russet", 100),
    ("bramley", 50),
    ("apple-juice", 200),
    ("cider", 20),
    ("apple-pie", 5),
];
/// How many go in one step.
const BATCH: u32 = 1_000;
/// When the first user joined: the data does not depend on the day it is made.
const EPOCH: f64 = 1_700_000_000.0;

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ivan",
    "Jean",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Radia",
];
const LAST_NAMES: [&str; 16] = [
    "Appleby",
    "Bramley",
    "Cox",
    "Discovery",
    "Egremont",
    "Fuji",
    "Gala",
    "Howgate",
    "Idared",
    "Jonagold",
    "Kidd",
    "Laxton",
    "Mutsu",
    "Newton",
    "Orleans",
    "Pippin",
];

/// Fills new stores, so that nothing is blank at first sight: a database once in its life, a leaderboard and a
/// shop when they are empty. What cannot be filled is logged and left.
pub async fn first_start(state: &AppState) {
    let filled = async {
        if !state.db.has_passed(FIRST_START).await? {
            if state.db.count_users().await? == 0 {
                users(state, FIRST_USERS, |_| {}).await?;
            }
            state.db.pass(FIRST_START).await?;
        }
        if state.board.count().await? == 0 {
            players(state, FIRST_PLAYERS, |_| {}).await?;
        }
        if state.shop.products(None, 1).await?.is_empty() {
            products(state).await?;
        }
        Ok::<_, Failure>(())
    };
    if let Err(error) = filled.await {
        tracing::warn!(%error, "the first users, players and products could not be made");
    }
}

/// Makes the users 1 to `count` that do not exist; answers how many those were.
///
/// # Errors
/// When a store fails; running it again completes it.
pub async fn users(
    state: &AppState,
    count: u32,
    mut progress: impl FnMut(u32),
) -> Result<u64, Failure> {
    let mut new = 0;
    for batch in batches(count) {
        let last = *batch.end();
        new += state.users.insert_missing(&batch.map(user).collect::<Vec<_>>()).await?;
        progress(last);
    }
    Ok(new)
}

/// Makes the players 1 to `count` that have no score; answers how many those were.
///
/// # Errors
/// When Redis fails; running it again completes it.
pub async fn players(
    state: &AppState,
    count: u32,
    mut progress: impl FnMut(u32),
) -> Result<u64, Failure> {
    let mut new = 0;
    for batch in batches(count) {
        let last = *batch.end();
        let all: Vec<(String, f64)> = batch.map(player).collect();
        let scores = try_join_all(all.iter().map(|(name, _)| state.board.score(name))).await?;
        let missing = all
            .into_iter()
            .zip(scores)
            .filter(|(_, score)| score.is_none())
            .map(|(player, _)| player);
        new += state.board.add_many(missing).await?;
        progress(last);
    }
    Ok(new)
}

/// Makes the products of the first start.
///
/// # Errors
/// When Redis fails; running it again completes it.
pub async fn products(state: &AppState) -> Result<(), Failure> {
    for (product, total) in FIRST_PRODUCTS {
        // Another process may be at it: nothing is taken away.
        if let StockChange::TooLow { .. } = state.shop.set_stock(product, total).await? {
            tracing::debug!(product, "somebody has it already");
        }
    }
    Ok(())
}

fn batches(count: u32) -> impl Iterator<Item = RangeInclusive<u32>> {
    (1..=count)
        .step_by(BATCH as usize)
        .map(move |first| first..=count.min(first.saturating_add(BATCH - 1)))
}

fn user(number: u32) -> User {
    let bits = mix(number.into());
    let pick =
        |names: &[&'static str; 16], shift: u32| names[(bits >> shift) as usize % names.len()];
    let (first, last) = (pick(&FIRST_NAMES, 0), pick(&LAST_NAMES, 8));
    User {
        id: number.into(),
        name: format!("{first} {last}"),
        email: format!("{}.{}{number}@example.com", first.to_lowercase(), last.to_lowercase()),
        created_at: EPOCH + f64::from(number) * 60.0,
    }
}

fn player(number: u32) -> (String, f64) {
    (format!("player{number}"), (mix(!u64::from(number)) % 1_000 * 10) as f64)
}

/// SplitMix64: the same bits for a number on every machine and in every version.
fn mix(number: u64) -> u64 {
    let bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_the_same_for_ever() {
        let first = user(1);
        assert_eq!(
            (first.name.as_str(), first.email.as_str()),
            ("Donald Fuji", "donald.fuji1@example.com")
        );
        assert_eq!(first.created_at, 1_700_000_060.0);
        assert_eq!(player(1), ("player1".to_owned(), 9_120.0));
    }

    #[test]
    fn batches_cover_every_number_once() {
        for count in [0, 1, 999, 1_000, 1_001, 2_500] {
            let numbers: Vec<u32> = batches(count).flatten().collect();
            assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        }
    }
}
