//! The doctor finds what was planted, and nothing that was not.

use std::error::Error;
use std::time::Duration;

use russet::testing::{Proxy, TestCluster, TestServer, TestServerBuilder, eventually};
use russet::{Cache, Finding, Russet, Severity};
use tokio::net::TcpStream;

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

/// A server of which the doctor has nothing to say, but that it stands alone.
fn well() -> TestServerBuilder {
    let server = TestServer::builder().append_only().password("s3cret");
    server.arg("maxmemory", "1gb").arg("maxmemory-policy", "noeviction")
}

async fn examine(server: &TestServer) -> Result<Vec<Finding>, Box<dyn Error>> {
    Ok(Russet::connect(&server.url()).await?.doctor().await?)
}

fn checks(findings: &[Finding]) -> Vec<(Severity, &str)> {
    findings.iter().map(|finding| (finding.severity, finding.check)).collect()
}

#[tokio::test]
async fn a_server_that_is_well_is_told_that_it_stands_alone() -> Outcome {
    let server = well().start().await?;
    let findings = examine(&server).await?;
    assert_eq!(checks(&findings), [(Severity::Note, "replication")], "{findings:?}");
    let address = ([127, 0, 0, 1], server.port().unwrap_or_default()).into();
    let replica = well().replica_of(address).start().await?;
    eventually(LONG, async || match examine(&server).await.map_err(|error| error.to_string())? {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    })
    .await;
    drop(replica);
    Ok(())
}

#[tokio::test]
async fn each_planted_setting_is_found_alone() -> Outcome {
    use Severity::{Note, Warning};
    let planted = [
        ("appendfsync", "no", Warning, "persistence", "kernel"),
        ("appendfsync", "everysec", Note, "persistence", "each second"),
        ("appendonly", "no", Warning, "persistence", "a restart loses everything"),
        ("maxmemory", "0", Warning, "memory", "no limit"),
        ("maxmemory-policy", "allkeys-lru", Warning, "eviction", "drops keys (allkeys-lru)"),
        ("stop-writes-on-bgsave-error", "no", Warning, "persistence", "nobody notices"),
        ("timeout", "60", Note, "connections", "idle for 60 s"),
        ("requirepass", "", Note, "password", "no password"),
    ];
    let server = well().start().await?;
    let russet = Russet::connect(&server.url()).await?;
    for (name, value, severity, check, text) in planted {
        let before = server.command(&["CONFIG", "GET", name]).await?;
        server.command(&["CONFIG", "SET", name, value]).await?;
        let findings = russet.doctor().await?;
        // Put right again before anything else: another connection may need the password.
        let before = before.texts().get(1).copied().unwrap_or_default().to_owned();
        russet::raw::command(&russet, &["CONFIG", "SET", name, &before]).await?;
        let others = findings.iter().filter(|finding| finding.check != "replication");
        let others: Vec<_> = others.collect();
        assert_eq!(others.len(), 1, "{name} {value}: {findings:?}");
        assert_eq!((others[0].severity, others[0].check), (severity, check));
        assert!(others[0].text.contains(text) && !others[0].advice.is_empty(), "{}", others[0]);
    }
    Ok(())
}

#[tokio::test]
async fn memory_that_is_nearly_full_is_found() -> Outcome {
    let server = well().start().await?;
    let used = Russet::connect(&server.url()).await?.health().await?.used_memory;
    server.command(&["CONFIG", "SET", "maxmemory", &(used * 110 / 100).to_string()]).await?;
    let findings = examine(&server).await?;
    assert_eq!(checks(&findings)[0], (Severity::Warning, "memory"), "{findings:?}");
    assert!(findings[0].text.contains("bytes are used"), "{}", findings[0]);
    Ok(())
}

#[tokio::test]
async fn a_snapshot_that_failed_is_found() -> Outcome {
    let server = well().arg("enable-protected-configs", "yes").start().await?;
    // Nobody can make a file there.
    server.command(&["CONFIG", "SET", "dir", "/proc"]).await?;
    server.command(&["BGSAVE"]).await?;
    eventually(LONG, async || match examine(&server).await.map_err(|error| error.to_string())? {
        found if checks(&found)[0] == (Severity::Critical, "persistence") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn scripts_that_pile_up_are_found() -> Outcome {
    let server = well().start().await?;
    for n in 0..=500 {
        server.command(&["SCRIPT", "LOAD", &format!("return {n}")]).await?;
    }
    let findings = examine(&server).await?;
    assert_eq!(checks(&findings)[0], (Severity::Warning, "scripts"), "{findings:?}");
    Ok(())
}

#[tokio::test]
async fn connections_that_run_out_are_found() -> Outcome {
    let server = well().arg("maxclients", "20").start().await?;
    let port = server.port().unwrap_or_default();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(TcpStream::connect(("127.0.0.1", port)).await?);
    }
    let findings = examine(&server).await?;
    assert_eq!(checks(&findings)[0], (Severity::Warning, "connections"), "{findings:?}");
    Ok(())
}

#[tokio::test]
async fn a_replica_and_its_broken_link_are_found() -> Outcome {
    let primary = well().start().await?;
    let proxy = Proxy::to(&primary).await?;
    let replica = well().replica_of(proxy.address()).start().await?;
    let russet = Russet::connect(&replica.url()).await?;
    eventually(LONG, async || match checks(&russet.doctor().await.unwrap_or_default()) {
        found if found == [(Severity::Critical, "role")] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    replica.command(&["CONFIG", "SET", "replica-read-only", "no"]).await?;
    let writable = [(Severity::Critical, "role"), (Severity::Warning, "replication")];
    assert_eq!(checks(&russet.doctor().await?), writable);
    replica.command(&["CONFIG", "SET", "replica-read-only", "yes"]).await?;
    proxy.refuse().await?;
    let both = [(Severity::Critical, "replication"), (Severity::Critical, "role")];
    eventually(LONG, async || match checks(&russet.doctor().await.unwrap_or_default()) {
        found if found == both => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_cached_value_that_never_ends_is_found_and_named() -> Outcome {
    let server = well().start().await?;
    let russet = Russet::connect(&server.url()).await?;
    let cache: Cache<u64, u64> = Cache::builder(&russet, "users").build()?;
    for n in 0..2_000 {
        cache.put(&n, &n).await?;
    }
    russet::Leaderboard::builder(&russet, "game").build()?.add("me", 1.0).await?;
    russet::Counters::builder(&russet, "site").build()?.add("views", 1).await?;
    let quiet = russet.doctor().await?;
    assert!(quiet.iter().all(|finding| finding.check != "expiry"), "{quiet:?}");
    let keys = server.command(&["KEYS", "*:entry:1234"]).await?;
    let stray = keys.texts()[0].to_owned();
    server.command(&["PERSIST", &stray]).await?;
    let findings = russet.doctor().await?;
    let found = findings.iter().find(|finding| finding.check == "expiry").ok_or("not found")?;
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.text.starts_with("1 of ") && found.text.contains(&stray), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_user_who_may_not_ask_is_told_so() -> Outcome {
    let server = well().start().await?;
    let rights =
        ["ACL", "SETUSER", "app", "on", ">pw", "~russet:*", "&russet:*", "+@all", "-@dangerous"];
    server.command(&rights).await?;
    let russet = Russet::builder().url(server.url()).user("app").password("pw").connect().await?;
    let findings = russet.doctor().await?;
    assert_eq!(checks(&findings), [(Severity::Note, "permissions")], "{findings:?}");
    assert!(findings[0].text.contains("INFO and CONFIG GET"), "{}", findings[0]);
    Ok(())
}

#[tokio::test]
async fn all_primaries_of_a_cluster_are_examined() -> Outcome {
    let settings = TestCluster::builder().arg("cluster-require-full-coverage", "yes");
    let cluster = settings.start().await?;
    let russet = Russet::connect(&cluster.url()).await?;
    let findings = russet.doctor().await?;
    let alone: Vec<_> = findings.iter().filter(|finding| finding.check == "replication").collect();
    assert_eq!(alone.len(), 3);
    assert_ne!(alone[0].server, alone[1].server);
    assert!(findings.iter().all(|finding| finding.severity < Severity::Critical), "{findings:?}");
    let slot = cluster.slot("lost").await?;
    let owner = cluster.owner(slot).await?;
    for node in cluster.nodes() {
        node.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]).await?;
    }
    eventually(LONG, async || {
        let findings = russet.doctor().await.map_err(|error| error.to_string())?;
        let broken = findings.iter().filter(|finding| finding.check == "cluster").count();
        if broken == 3 { Ok(()) } else { Err(format!("{broken} say so, {owner}: {findings:?}")) }
    })
    .await;
    Ok(())
}
