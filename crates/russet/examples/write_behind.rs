//! The tutorial's `WriteBehind`: the cache takes the write, the database gets it later.
//!
//! `cargo run --example write_behind --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, a queue in memory: a process that ends takes it along, and one write that the database refuses
//! is dropped without a word. Then russet: what was put is in Redis until the database has it.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use russet::{
    BoxError, Cache, Loader, Russet, Write, WritePolicy, Writer,
    testing::{TestServer, eventually},
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const PATIENCE: Duration = Duration::from_secs(30);
/// The table refuses this row.
const BAD: u64 = 13;

/// Rows with the number of their last write.
#[derive(Clone, Default)]
struct UserTable {
    rows: Arc<Mutex<HashMap<u64, (u64, String)>>>,
    statements: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
}

impl UserTable {
    fn rows(&self) -> MutexGuard<'_, HashMap<u64, (u64, String)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, id: u64) -> Option<String> {
        self.rows().get(&id).map(|(_, name)| name.clone())
    }
}

impl Loader<u64, String> for UserTable {
    async fn load(&self, id: &u64) -> Result<Option<String>, BoxError> {
        Ok(self.name(*id))
    }
}

impl Writer<u64, String> for UserTable {
    async fn write(&self, write: Write<'_, u64, String>) -> Result<Option<u64>, BoxError> {
        self.write_many(&[write]).await.map(|_| None)
    }

    /// `INSERT … VALUES …, … ON CONFLICT (id) DO UPDATE SET … WHERE excluded.seq > users.seq`
    async fn write_many(
        &self,
        writes: &[Write<'_, u64, String>],
    ) -> Result<Vec<Option<u64>>, BoxError> {
        if self.away.load(Ordering::SeqCst) {
            return Err("the database is away".into());
        }
        if self.refuses.load(Ordering::SeqCst) && writes.iter().any(|write| *write.key == BAD) {
            return Err("a row breaks a constraint".into());
        }
        self.statements.fetch_add(1, Ordering::SeqCst);
        let mut rows = self.rows();
        for write in writes {
            let (sequence, name) = rows.entry(*write.key).or_default();
            if write.sequence > Some(*sequence) {
                *sequence = write.sequence.unwrap_or_default();
                write.value.cloned().unwrap_or_default().clone_into(name);
            }
        }
        Ok(Vec::new())
    }
}

/// The textbook's queue in memory.
fn textbook(table: &UserTable) -> (usize, usize) {
    let mut queue: Vec<(u64, String)> = (0..100).map(|id| (id, format!("User {id}"))).collect();
    // One transaction each; an exception is slept over, and what caused it is gone.
    for (id, name) in queue.drain(..50) {
        if id != BAD {
            table.rows().insert(id, (0, name));
            table.statements.fetch_add(1, Ordering::SeqCst);
        }
    }
    // The process ends here.
    (table.rows().len(), queue.len())
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

    println!("The textbook's way: a queue in memory");
    let table = UserTable::default();
    let (written, lost) = textbook(&table);
    println!(
        "  of 100 acknowledged writes {written} are in the database, 1 was refused and forgotten, {lost} ended with the process"
    );
    assert_eq!((written, lost), (49, 50));

    println!("With russet");
    let table = UserTable::default();
    let name = format!("example behind {}", std::process::id());
    let build = |russet: &Russet| {
        Cache::<u64, String>::builder(russet, &name)
            .loader(table.clone())
            .writer(table.clone())
            .write_policy(WritePolicy::Behind)
            .linger(Duration::from_millis(500))
            .write_attempts(2)
            .flush_lease(Duration::from_secs(1))
    };
    let users = build(&russet).build()?;
    for round in 0..10 {
        for id in 0..100 {
            users.put(&id, &format!("User {id}, version {round}")).await?;
        }
    }
    assert_eq!(users.get(&42).await?.as_deref(), Some("User 42, version 9"));
    users.flush().await?;
    let statements = table.statements.swap(0, Ordering::SeqCst);
    println!("  1,000 puts of 100 keys became {statements} statements");
    assert!(table.name(42).as_deref() == Some("User 42, version 9") && statements <= 200);

    table.away.store(true, Ordering::SeqCst);
    for id in 0..100 {
        users.put(&id, &format!("User {id}, while the database was away")).await?;
    }
    users.invalidate(&42).await?;
    let seen = users.get(&42).await?;
    println!(
        "  the database away: {} writes are queued, and readers see {seen:?}",
        users.backlog().await?
    );
    assert_eq!(seen.as_deref(), Some("User 42, while the database was away"));
    // This process's part ends, without a flush: another one takes over.
    drop(users);
    table.away.store(false, Ordering::SeqCst);
    let other = Russet::connect(&url).await?;
    let users = build(&other).build()?;
    users.flush().await?;
    println!("  it ended meanwhile, and another process has written them");
    assert_eq!(table.name(42).as_deref(), Some("User 42, while the database was away"));

    table.refuses.store(true, Ordering::SeqCst);
    users.put(&BAD, &"refused".to_owned()).await?;
    let dead = eventually(PATIENCE, async || {
        users.put(&1, &"taken".to_owned()).await.map_err(|error| error.to_string())?;
        let dead = users.dead_writes(10).await.map_err(|error| error.to_string())?;
        dead.into_iter().next().ok_or_else(|| "none is dead".to_owned())
    })
    .await;
    println!("  refused: key {}, {} attempts, {:?}", dead.key, dead.attempts, dead.error);
    table.refuses.store(false, Ordering::SeqCst);
    assert!(users.redrive(&BAD).await?);
    assert_eq!(users.close().await?.dead, 0);
    println!("  and brought back: the database says {:?}", table.name(BAD));
    assert_eq!(table.name(BAD).as_deref(), Some("refused"));
    for id in 0..100 {
        users.invalidate(&id).await?;
    }

    println!(
        "shown: what was put is read at once, comes to the database in batches, and is not lost"
    );
    Ok(())
}
