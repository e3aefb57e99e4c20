//! `russet doctor` on the private server, on one with a mistake, and on none.

use russet::testing::TestServer;
use serde_json::Value;

use crate::support::program::{DataFolder, Serve, finished};

#[tokio::test]
async fn the_private_server_of_a_running_russet_has_nothing_worse_than_notes() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let (code, output) = finished(&folder.command("doctor", &[])).await;
    assert_eq!(code, 0, "{output}");
    assert!(!output.contains("warning:") && !output.contains("critical:"), "{output}");
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_server_that_evicts_what_must_stay_is_a_warning_with_advice() {
    let folder = DataFolder::new();
    let server = TestServer::builder()
        .arg("maxmemory", "64mb")
        .arg("maxmemory-policy", "allkeys-lru")
        .start()
        .await
        .unwrap();
    let url = server.url();
    let (code, output) = finished(&folder.command("doctor", &["--redis-url", &url])).await;
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("allkeys-lru") && output.contains("noeviction"), "{output}");

    let (code, output) =
        finished(&folder.command("doctor", &["--json", "--redis-url", &url])).await;
    assert_eq!(code, 3, "{output}");
    let findings: Vec<Value> = serde_json::from_str(&output).unwrap();
    let eviction =
        findings.iter().find(|finding| finding["text"].to_string().contains("allkeys-lru"));
    let eviction = eviction.unwrap_or_else(|| panic!("{output}"));
    assert_eq!(eviction["severity"], "warning");
    assert!(eviction["server"].as_str().is_some_and(|server| url.ends_with(server)), "{output}");
}

#[tokio::test]
async fn without_a_server_it_says_what_to_name() {
    let folder = DataFolder::new();
    let (code, output) = finished(&folder.command("doctor", &[])).await;
    assert_eq!(code, 1, "{output}");
    assert!(
        output.contains("there is no data folder") && output.contains("--redis-url"),
        "{output}"
    );
    assert!(!folder.path().exists());
    let away = ["--redis-url", "redis://127.0.0.1:1"];
    let (code, output) = finished(&folder.command("doctor", &away)).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("no connection to the Redis server at 127.0.0.1:1"), "{output}");
}
