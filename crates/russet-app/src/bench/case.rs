//! What is measured: an operation of russet, and the server's own commands for the same end.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use russet::testing::Proxy;

use crate::Failure;

/// How many callers run an operation at a time, over one connection.
pub const CALLERS: usize = 64;

/// One line of the table.
pub struct Case {
    pub block: &'static str,
    pub name: &'static str,
    pub callers: usize,
    /// Operations that one run of the work does, where one is too short to be timed.
    pub at_once: u32,
    pub ours: Work,
    /// What is done before each round, and is no part of it.
    pub before: Option<Work>,
    /// Whether a round is one run of each caller, however long that takes.
    pub once: bool,
    pub floor: Option<Floor>,
    pub round_trips: RoundTrips,
    /// Bytes that one more item takes in Redis, where items are what the case is about.
    pub bytes_per_item: Option<f64>,
    /// Of how many operations the commands are told, by their names.
    pub batch: Option<u32>,
}

/// The same end by the server's own commands, without what the block promises.
pub struct Floor {
    /// The commands, for the table.
    pub commands: &'static str,
    pub work: Work,
    pub before: Option<Work>,
}

/// How the round trips of an operation are counted.
pub enum RoundTrips {
    /// By the library: the operation runs in its caller's task.
    Metered,
    /// On the way to the server: the operation runs elsewhere, and this one goes through the proxy.
    Proxied(Proxy, Work),
}

/// One operation, done again and again; its number differs each time.
#[derive(Clone)]
pub struct Work(Arc<dyn Fn(u64) -> BoxFuture<'static, Result<Took, Failure>> + Send + Sync>);

/// Which time of an operation counts.
pub enum Took {
    /// From its call to its end.
    AllOfIt,
    /// Only this part is what the case is about.
    Part(Duration),
}

impl Case {
    pub fn new(block: &'static str, name: &'static str, ours: Work) -> Self {
        Self {
            block,
            name,
            callers: CALLERS,
            at_once: 1,
            ours,
            before: None,
            once: false,
            floor: None,
            round_trips: RoundTrips::Metered,
            bytes_per_item: None,
            batch: None,
        }
    }

    /// One caller, and so many operations in one run of the work.
    pub fn alone(mut self, at_once: u32) -> Self {
        (self.callers, self.at_once) = (1, at_once);
        self
    }

    /// So many callers, and so many operations in one run of the work.
    pub fn callers(mut self, callers: usize, at_once: u32) -> Self {
        (self.callers, self.at_once) = (callers, at_once);
        self
    }

    /// Before each round this is done.
    pub fn before(mut self, work: Work) -> Self {
        self.before = Some(work);
        self
    }

    /// A round takes away what was filled in before it: one caller, once, so many operations.
    pub fn drains(mut self, items: u32, fill: Work) -> Self {
        (self.callers, self.at_once, self.once, self.before) = (1, items, true, Some(fill));
        self
    }

    pub fn floor(mut self, commands: &'static str, work: Work) -> Self {
        self.floor = Some(Floor { commands, work, before: None });
        self
    }

    /// A floor that takes away what was filled in before each of its rounds.
    pub fn draining_floor(mut self, commands: &'static str, fill: Work, work: Work) -> Self {
        self.floor = Some(Floor { commands, work, before: Some(fill) });
        self
    }

    pub fn round_trips(mut self, round_trips: RoundTrips) -> Self {
        self.round_trips = round_trips;
        self
    }

    /// The commands of so many operations are told below the table.
    pub fn batch(mut self, operations: u32) -> Self {
        self.batch = Some(operations);
        self
    }

    pub fn bytes_per_item(mut self, bytes: f64) -> Self {
        self.bytes_per_item = Some(bytes);
        self
    }
}

impl Work {
    pub fn new<F, R>(operation: F) -> Self
    where
        F: Fn(u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Took, Failure>> + Send + 'static,
    {
        Self(Arc::new(move |number| operation(number).boxed()))
    }

    pub async fn run(&self, number: u64) -> Result<Took, Failure> {
        (self.0)(number).await
    }
}
