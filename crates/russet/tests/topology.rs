//! The list of what does not run on a Cluster names every such test, and no other.

mod support;

use support::NOT_ON_A_CLUSTER;

/// By the module that the names of their tests begin with.
const SOURCES: [(&str, &str); 20] = [
    ("", include_str!("bloom.rs")),
    ("", include_str!("cache.rs")),
    ("", include_str!("cache_behind/main.rs")),
    ("crash::", include_str!("cache_behind/crash.rs")),
    ("", include_str!("cache_fill.rs")),
    ("", include_str!("cache_freshness.rs")),
    ("", include_str!("cache_known.rs")),
    ("", include_str!("cache_near.rs")),
    ("", include_str!("cache_write.rs")),
    ("", include_str!("counters.rs")),
    ("", include_str!("counters_many.rs")),
    ("", include_str!("inventory.rs")),
    ("", include_str!("leaderboard.rs")),
    ("", include_str!("leaderboard_rules.rs")),
    ("", include_str!("lock.rs")),
    ("", include_str!("pubsub.rs")),
    ("", include_str!("rate_limit.rs")),
    ("", include_str!("session.rs")),
    ("", include_str!("topic.rs")),
    ("", include_str!("window.rs")),
];

#[test]
fn the_list_of_exceptions_is_true() {
    let mut leave = Vec::new();
    for (module, source) in SOURCES {
        for test in source.split("\nasync fn ").skip(1) {
            let (name, body) = test.split_once('(').unwrap();
            if body.lines().nth(1).is_some_and(|line| line.contains("if needs_one_server()")) {
                leave.push([module, name].concat());
            }
        }
    }
    leave.sort_unstable();
    leave.dedup();
    let mut listed = NOT_ON_A_CLUSTER.map(|(name, _)| name.to_owned());
    listed.sort_unstable();
    assert_eq!(leave, listed);
    let calls: usize =
        SOURCES.iter().map(|(_, source)| source.matches("needs_one_server()").count()).sum();
    assert_eq!(calls, 41, "a call that is not the first line of a test");
}
