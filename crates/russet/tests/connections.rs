//! How many connections a process has: none before something needs it, and never more than the guide says.

#![cfg(feature = "cache")]

mod support;

use std::error::Error;
use std::time::Duration;

use russet::testing::{TestCluster, TestServer, eventually};
use russet::{BoxError, Cache, Durability, Russet, raw};
use support::clients_are;
use tokio::sync::oneshot;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

/// Lets one process load and the other wait for it.
async fn wait(leads: &Russet, waits: &Russet) -> Outcome {
    let cache = |russet| Cache::<u64, u64>::builder(russet, "waited").fill_lease(LONG).build();
    let (leads, waits) = (cache(leads)?, cache(waits)?);
    let (started, has_started) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let leader = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            Ok::<_, BoxError>(1)
        };
        leads.get_with(&1, load).await
    });
    has_started.await?;
    let waiting = waits.clone();
    let waiter =
        tokio::spawn(async move { waiting.get_with(&1, async || Ok::<_, BoxError>(2)).await });
    let is_waiting = async || if waits.stats().waits > 0 { Ok(()) } else { Err("nobody waits") };
    eventually(LONG, is_waiting).await;
    let _ = go_on.send(());
    assert_eq!((leader.await??, waiter.await??), (1, 1));
    Ok(())
}

/// One after the other: calls, a wait, a renewal, a durable write.
async fn each_is_opened_when_it_is_needed(url: &str, nodes: &[TestServer]) -> Outcome {
    let other = Russet::builder().url(url).connect_timeout(LONG).connect().await?;
    let russet = Russet::builder().url(url).connect_timeout(LONG).connect().await?;
    for key in 0..50 {
        for russet in [&russet, &other] {
            raw::command(russet, &["GET", &key.to_string()]).await?;
        }
    }
    clients_are(nodes, 2 * nodes.len()).await;
    wait(&other, &russet).await?;
    clients_are(nodes, 2 * nodes.len() + 1).await;
    other.close().await;
    clients_are(nodes, nodes.len() + 1).await;
    let brief = Duration::from_millis(300);
    let renewed = Cache::<u64, u64>::builder(&russet, "renewed").fill_lease(brief).build()?;
    let load = async || {
        clients_are(nodes, nodes.len() + 2).await;
        Ok::<_, BoxError>(1)
    };
    renewed.get_with(&1, load).await?;
    let timeout = Duration::from_millis(1);
    let durable = russet.durability(Durability::Replicated { replicas: 1, timeout });
    raw::durable(&durable, &["SET", "k", "v"]).await?;
    clients_are(nodes, nodes.len() + 3).await;
    // Clones and further calls need no more.
    let clone = russet.clone();
    for key in 0..50 {
        raw::command(&clone, &["GET", &key.to_string()]).await?;
    }
    clients_are(nodes, nodes.len() + 3).await;
    russet.close().await;
    clients_are(nodes, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_process_on_one_server_has_one_to_four() -> Outcome {
    let server = TestServer::start().await?;
    each_is_opened_when_it_is_needed(&server.url(), std::slice::from_ref(&server)).await
}

#[tokio::test]
async fn a_process_on_a_cluster_has_one_a_node_and_one_more_for_each_purpose_and_node_that_needs_it()
-> Outcome {
    let cluster = TestCluster::start().await?;
    each_is_opened_when_it_is_needed(&cluster.url(), cluster.nodes()).await
}
