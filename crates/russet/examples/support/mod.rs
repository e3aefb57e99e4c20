//! What the examples share: a server of their own, unless `REDIS_URL` names one.

#![allow(dead_code, reason = "each example uses its part")]

use std::error::Error;

use russet::{Russet, testing::TestServer};

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A server that ends when it is dropped, or none when `REDIS_URL` is set; and its address.
pub async fn server() -> Outcome<(Option<TestServer>, String)> {
    if let Ok(url) = std::env::var("REDIS_URL") {
        return Ok((None, url));
    }
    let server = TestServer::start().await?;
    let url = server.url();
    Ok((Some(server), url))
}

/// A connection with a namespace of this run, so that an example finds nothing of the one before.
pub async fn connect(url: &str) -> Outcome<Russet> {
    let namespace = format!("example-{}", std::process::id());
    Ok(Russet::builder().url(url).namespace(namespace).connect().await?)
}
