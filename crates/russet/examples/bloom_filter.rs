//! The tutorial's `init_bloom_filter` and `might_exist`: which ids can exist, in 1.2 bytes each.
//!
//! `cargo run --example bloom_filter --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, which hides users who exist: its hash is another one in each process, new users are not
//! in it, and neither is anyone when its key is lost. Then the same with russet.

use std::{
    collections::hash_map::RandomState, error::Error, hash::BuildHasher, sync::Mutex,
    time::Duration,
};

use russet::{BloomFilter, BoxError, ItemSource, Russet, Verdict, raw, testing::TestServer};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const USERS: u64 = 2_000;

/// A table of users.
struct Database(Mutex<u64>);

impl Database {
    fn users(&self) -> u64 {
        self.0.lock().map(|users| *users).unwrap_or_default()
    }

    fn add_user(&self) -> u64 {
        self.0.lock().map(|mut users| (*users, *users += 1).0).unwrap_or_default()
    }
}

impl ItemSource for Database {
    type Item = u64;

    /// `SELECT id FROM users WHERE id > ? ORDER BY id LIMIT 1000`
    async fn page(&self, after: Option<&u64>) -> Result<Vec<u64>, BoxError> {
        let first = after.map_or(0, |last| last + 1);
        Ok((first..self.users()).take(1_000).collect())
    }
}

/// The textbook's filter: three bits of a million, by a hash that is seeded anew in each process.
struct Textbook<'a> {
    russet: &'a Russet,
    key: &'a str,
    process: RandomState,
}

impl Textbook<'_> {
    fn bits(&self, id: u64) -> [String; 3] {
        [0, 1, 2].map(|i| (self.process.hash_one((id, i)) % 1_000_000).to_string())
    }

    async fn add(&self, id: u64) -> Outcome {
        for bit in self.bits(id) {
            raw::command(self.russet, &["SETBIT", self.key, &bit, "1"]).await?;
        }
        Ok(())
    }

    async fn might_exist(&self, id: u64) -> Outcome<bool> {
        for bit in self.bits(id) {
            let set = raw::command(self.russet, &["GETBIT", self.key, &bit]).await?;
            if set != raw::Value::Int(1) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn hidden(&self) -> Outcome<usize> {
        let mut hidden = 0;
        for id in (0..USERS).step_by(10) {
            hidden += usize::from(!self.might_exist(id).await?);
        }
        Ok(hidden)
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = match std::env::var("REDIS_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let server = TestServer::start().await?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let russet = Russet::connect(&url).await?;
    let (key, name) = (
        format!("example:bloom:{}", std::process::id()),
        format!("example users {}", std::process::id()),
    );
    let db = Database(Mutex::new(USERS));
    let asked = USERS as usize / 10;

    println!("The textbook's way");
    let first = Textbook { russet: &russet, key: &key, process: RandomState::new() };
    for id in 0..USERS {
        first.add(id).await?;
    }
    assert_eq!(first.hidden().await?, 0);
    let other = Textbook { russet: &russet, key: &key, process: RandomState::new() };
    let hidden = other.hidden().await?;
    println!("  another process hides {hidden} of {asked} users that exist");
    assert!(hidden > asked / 2);
    raw::command(&russet, &["DEL", &key]).await?;
    let lost = first.hidden().await?;
    println!("  the key is lost: {lost} of {asked} are hidden");
    assert_eq!(lost, asked);

    println!("With russet");
    let filter = |russet: &Russet| {
        let builder = BloomFilter::builder(russet, &name).expected_items(2_000);
        builder.false_positive_rate(0.01).settle(Duration::ZERO).build()
    };
    let known = filter(&russet)?;
    println!("  before it is built it says {:?}", known.verdict(&1).await?);
    known.rebuild(&db).await?;
    let process = filter(&Russet::connect(&url).await?)?;
    let users: Vec<u64> = (0..USERS).collect();
    let mut found = 0;
    for ids in users.chunks(1_000) {
        found += process.might_contain_many(ids).await?.into_iter().filter(|found| *found).count();
    }
    println!("  another process finds {found} of {USERS} users");
    assert_eq!(found, users.len());
    let unknown: Vec<u64> = (1_000_000..1_001_000).collect();
    let maybe =
        known.might_contain_many(&unknown).await?.into_iter().filter(|maybe| *maybe).count();
    println!("  of 1,000 ids that do not exist it lets {maybe} pass");
    assert!(maybe < 40);

    // Insert first, then make the row visible.
    let next = db.users();
    known.insert(&next).await?;
    assert_eq!(db.add_user(), next);
    assert!(process.might_contain(&next).await?);

    let status = known.status().await?.ok_or("it was built")?;
    println!(
        "  {} bits, {:.0} % of them set, about {} users",
        status.bits,
        status.fill_ratio * 100.0,
        status.estimated_items
    );
    // An operator's accident: all that the filter has.
    let pattern =
        format!("{}:{{bloom:example%20users%20{}*", russet.namespace(), std::process::id());
    if let raw::Value::List(keys) = raw::command(&russet, &["KEYS", &pattern]).await? {
        for key in keys.into_iter().filter_map(raw::Value::into_text) {
            raw::command(&russet, &["DEL", &key]).await?;
        }
    }
    let lost = filter(&russet)?.verdict(&1).await?;
    println!("  its keys are lost: it says {lost:?}, which hides nobody");
    assert_eq!(lost, Verdict::Unready);
    known.delete().await?;
    println!("shown: {hidden} hidden users became 0, and {maybe} of 1,000 unknown ids pass");
    Ok(())
}
