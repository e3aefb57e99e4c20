//! `russet bench`: each block beside the raw commands of its server, in the same run.

mod cache;
mod case;
mod http;
mod lock;
mod queue;
mod report;
mod runner;
mod session;
mod stats;
mod stock;

use russet::testing::TestServer;

pub use report::{Measured, table};
pub use runner::Effort;

use crate::Failure;
use case::Case;
use runner::measure;

/// The blocks that have cases, in the order in which they run.
pub const BLOCKS: &[&str] = &["cache", "queue", "lock", "session", "stats", "stock", "http"];

/// Measures the cases of one block, or of all, against a server of their own; of these only the one with this name, if
/// there is a name. `next` hears what is done next.
///
/// # Errors
/// A block or a case that does not exist, a server that cannot be started, or what an operation meets.
pub async fn run(
    block: Option<&str>,
    case: Option<&str>,
    effort: Effort,
    mut next: impl FnMut(&str),
) -> Result<Vec<Measured>, Failure> {
    if let Some(unknown) = block.filter(|block| !BLOCKS.contains(block)) {
        return Err(format!("there is no block {unknown}; there are {}", BLOCKS.join(", ")).into());
    }
    let mut measured = Vec::new();
    for name in BLOCKS.iter().filter(|name| block.is_none_or(|block| block == **name)) {
        // A server for each block: the data of one must not weigh on the figures of another.
        next(&format!("{name}: filling the server"));
        let server = TestServer::start().await?;
        for one in cases(name, &server, effort).await? {
            if case.is_none_or(|case| case == one.name) {
                next(&format!("{name}: {}", one.name));
                measured.push(measure(&server, &one, effort).await?);
            }
        }
    }
    if let (Some(case), true) = (case, measured.is_empty()) {
        return Err(format!("there is no case {case}").into());
    }
    Ok(measured)
}

async fn cases(block: &str, server: &TestServer, effort: Effort) -> Result<Vec<Case>, Failure> {
    match block {
        "cache" => cache::cases(server).await,
        "queue" => queue::cases(server, effort).await,
        "lock" => lock::cases(server).await,
        "session" => session::cases(server).await,
        "stats" => stats::cases(server).await,
        "stock" => stock::cases(server, effort).await,
        "http" => http::cases(server).await,
        other => Err(format!("the block {other} has no cases").into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_case_runs_and_counts() -> Result<(), Failure> {
        let effort = Effort { rounds: 1, round: Duration::from_millis(20) };
        for block in ["cache", "queue", "lock", "session", "stock", "http"] {
            for one in run(Some(block), None, effort, |_| {}).await? {
                // A hit in the process asks nobody.
                let asks = if one.case == "hit_near" { 0.0 } else { 0.001 };
                assert!(one.ops_per_s > 0.0 && one.round_trips_per_op >= asks, "{one:?}");
            }
        }
        assert!(run(Some("cache"), Some("nothing"), effort, |_| {}).await.is_err());
        assert!(run(Some("nothing"), None, effort, |_| {}).await.is_err());
        Ok(())
    }
}
