//! The first lines of the README, as a program.
//!
//! `cargo run --example first_cache --features testing`; with `REDIS_URL` set it uses that server.

use serde::{Deserialize, Serialize};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

struct Database;

impl Database {
    async fn load_user(&self, id: u64) -> Outcome<User> {
        println!("  the database is asked for user {id}");
        Ok(User { id, name: "Ada".to_owned() })
    }
}

#[rustfmt::skip]
async fn readme(redis_url: String, db: &Database) -> Outcome<User> {
    use std::time::Duration;
    use russet::{Cache, Russet};

    let russet = Russet::connect(&redis_url).await?;
    let users = Cache::builder(&russet, "users").ttl(Duration::from_secs(600)).build()?;

    // A hit is one GET. On a miss the closure runs once in the whole fleet, and who asks meanwhile gets its result.
    let user: User = users.get_with(&42, async || db.load_user(42).await).await?;

    // After the record has changed. A load that is still under way can no longer store what it read.
    users.invalidate(&42).await?;
    Ok(user)
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = match std::env::var("REDIS_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let server = russet::testing::TestServer::start().await?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let user = readme(url, &Database).await?;
    assert_eq!(user, User { id: 42, name: "Ada".to_owned() });
    println!("shown: the first lines of the README cache {user:?}");
    Ok(())
}
