//! The connections that servers have.

use std::time::Duration;

use russet::testing::{TestServer, eventually};

/// How many connections clients have, for calls and for messages.
pub async fn clients(nodes: &[TestServer]) -> std::io::Result<usize> {
    let mut open = 0;
    for node in nodes {
        for kind in ["normal", "pubsub"] {
            let list = node.command(&["CLIENT", "LIST", "TYPE", kind]).await?;
            open += list.text().unwrap_or_default().lines().count();
        }
        // The one that asks.
        open -= 1;
    }
    Ok(open)
}

/// Waits until there are so many, and stay: a Cluster is asked for its layout on one that is open for a moment.
pub async fn clients_are(nodes: &[TestServer], expected: usize) {
    eventually(Duration::from_secs(30), async || {
        for _ in 0..3 {
            let open = clients(nodes).await.map_err(|error| error.to_string())?;
            if open != expected {
                return Err(format!("{open} connections, not {expected}"));
            }
            tokio::time::sleep(Duration::from_millis(70)).await;
        }
        Ok(())
    })
    .await;
}
