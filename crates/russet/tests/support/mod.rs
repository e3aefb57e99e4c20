//! One server or Cluster for all tests of a file, and looks at its keys from outside the library.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod clients;
mod ground;
mod late;
mod methods;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use russet::{Russet, testing::Reply};
use tokio::sync::OnceCell;

pub use clients::{clients, clients_are};
pub use ground::{Ground, NOT_ON_A_CLUSTER, needs_one_server};
pub use late::{Timed, beside_a_timer};
pub use methods::public_methods;

/// A connection with a namespace of its own, on the servers that the tests of this file share.
pub struct Stage {
    pub server: &'static Ground,
    pub russet: Russet,
}

/// A key as it stands in the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub key: String,
    /// Milliseconds since 1970; `None` when it does not expire.
    pub expires_ms: Option<i64>,
    /// The value in the server's own serialization.
    dump: Vec<u8>,
}

/// The shared servers; their watchdogs end them with the test process.
pub async fn server() -> &'static Ground {
    static SERVER: OnceCell<Ground> = OnceCell::const_new();
    SERVER.get_or_init(async || Ground::start().await.expect("a server")).await
}

pub async fn stage() -> Stage {
    let server = server().await;
    Stage { server, russet: connect(&server.url()).await }
}

/// The same with a connection whose calls wait out whatever else the machine does.
pub async fn patient_stage() -> Stage {
    let stage = stage().await;
    let russet = patient(&stage.server.url(), stage.russet.namespace()).await;
    Stage { russet, ..stage }
}

/// Connects with a deadline that no busy machine misses.
pub async fn patient(url: &str, namespace: &str) -> Russet {
    let long = Duration::from_secs(60);
    let builder = Russet::builder().url(url).namespace(namespace);
    builder.timeout(long).connect_timeout(long).connect().await.expect("a connection")
}

/// Connects with a namespace that no other test uses.
pub async fn connect(url: &str) -> Russet {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let namespace = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Russet::builder().url(url).namespace(namespace).connect().await.expect("a connection")
}

impl Stage {
    /// All keys of the namespace, by name.
    pub async fn keys(&self) -> Vec<Stored> {
        let pattern = format!("{}:*", self.russet.namespace());
        let reply = self.server.command(&["KEYS", &pattern]).await.unwrap();
        let mut stored = Vec::new();
        for key in reply.texts() {
            let expires_ms = self.server.command(&["PEXPIRETIME", key]).await.unwrap().int();
            let Reply::Text(dump) = self.server.command(&["DUMP", key]).await.unwrap() else {
                continue; // expired meanwhile
            };
            let expires_ms = expires_ms.filter(|ms| *ms >= 0);
            stored.push(Stored { key: key.to_owned(), expires_ms, dump });
        }
        stored.sort();
        stored
    }

    /// The whole key of this part of an object.
    pub fn key(&self, object: &str, part: &str) -> String {
        format!("{}:{{{object}}}:{part}", self.russet.namespace())
    }
}

/// All commands that the server has run, those inside scripts included, its own statistics left out.
pub async fn commands(server: &Ground) -> u64 {
    let stats = server.only().command(&["INFO", "commandstats"]).await.unwrap();
    let lines = stats.text().unwrap().lines();
    lines
        .filter(|line| line.starts_with("cmdstat_") && !line.starts_with("cmdstat_info:"))
        .filter_map(|line| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok())
        .sum()
}

/// Random numbers whose seed is printed when the test fails; `RUSSET_TEST_SEED` repeats them.
pub fn random() -> StdRng {
    let given = std::env::var("RUSSET_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("RUSSET_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Names that break out of a key, a tag, a line or a pattern when they are not encoded, and the longest one.
pub fn strange_names() -> Vec<String> {
    let plain = [
        "a",
        "A",
        "a:b",
        "a}:{b",
        "{a}",
        "a b",
        " ",
        "a\r\nSET x 1",
        "\0",
        "*",
        "?",
        "[a]",
        "/../",
        "%61",
        "é",
        "🦀",
        "total",
    ];
    plain.into_iter().map(str::to_owned).chain(["x".repeat(256)]).collect()
}

/// Names that are no names.
pub fn refused_names() -> [String; 2] {
    [String::new(), "x".repeat(257)]
}
