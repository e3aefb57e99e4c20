//! Counts what a piece of work sends to the server, so that budgets can be seen and tested.

use std::cell::Cell;

tokio::task_local! {
    static SENT: Cell<Sent>;
}

/// What was sent to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Commands, each script call being one.
    pub commands: u64,
    /// Round trips; the commands of a pipeline share one.
    pub round_trips: u64,
}

/// Runs the future and counts what russet sends to the server for it.
///
/// Only what this task sends is counted, not what it spawns.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = russet::testing::TestServer::start().await?;
/// # let russet = russet::Russet::connect(&server.url()).await?;
/// let (health, sent) = russet::metered(russet.health()).await;
/// assert_eq!(sent.round_trips, 1);
/// # health?;
/// # Ok(()) }
/// ```
pub async fn metered<F: Future>(work: F) -> (F::Output, Sent) {
    SENT.scope(Cell::default(), async move {
        let output = work.await;
        (output, SENT.with(Cell::get))
    })
    .await
}

/// One round trip with this many commands.
pub(super) fn count(commands: usize) {
    // Outside of `metered` there is nobody to tell.
    let _ = SENT.try_with(|sent| {
        let Sent { commands: before, round_trips } = sent.get();
        sent.set(Sent { commands: before + commands as u64, round_trips: round_trips + 1 });
    });
}
