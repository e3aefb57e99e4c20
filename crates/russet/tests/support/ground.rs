//! What the module tests run on: one server, or a Cluster when `RUSSET_TEST_TOPOLOGY` is `cluster`.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::io;

use russet::testing::{Reply, TestCluster, TestServer};

/// The tests that cannot run on a Cluster, and why. Whatever else does not run there is a failure.
pub const NOT_ON_A_CLUSTER: [(&str, &str); 39] = [
    (
        "a_miss_costs_three_round_trips_and_six_commands_and_a_hit_one_get",
        "counts at one proxy and resets the statistics of one server",
    ),
    (
        "many_keys_are_read_in_one_round_trip_and_loaded_in_one_batch",
        "one round trip there is one for each node; tests/cluster.rs counts those",
    ),
    (
        "a_short_load_opens_no_connection_for_renewals",
        "counts the connections of one server, which is one a node there",
    ),
    (
        "an_unusable_entry_on_a_server_that_takes_no_writes_is_loaded_past",
        "makes the server a replica with REPLICAOF, which a node refuses",
    ),
    ("each_call_is_one_round_trip", "counts at one proxy"),
    ("many_puts_and_invalidations_are_one_round_trip", "counts at one proxy"),
    (
        "a_write_costs_what_its_policy_needs",
        "counts round trips, which are one for each node there",
    ),
    (
        "a_hit_is_one_get_and_a_put_one_round_trip",
        "counts round trips, which are one for each node there",
    ),
    (
        "a_server_that_throws_away_what_it_was_given_is_refused",
        "sets one server's policy, and one is asked",
    ),
    ("a_full_server_refuses_puts_and_still_drains", "fills one server"),
    ("a_put_says_how_safe_it_is", "starts a server of its own kind"),
    (
        "crash::a_killed_server_that_syncs_each_write_loses_no_acknowledged_put",
        "starts a server of its own kind and restarts it",
    ),
    ("while_redis_is_away_records_are_written_and_old_copies_dropped_afterwards", "cuts one proxy"),
    ("a_filter_costs_a_round_trip_after_a_nil_only", "one round trip there is one for each node"),
    ("each_call_of_the_filter_is_one_round_trip", "one round trip there is one for each node"),
    (
        "a_lost_answer_is_unknown_and_not_sent_again",
        "loses it at one proxy; tests/cluster.rs has it",
    ),
    ("an_addition_takes_at_most_nine_commands", "counts the commands of one server"),
    ("an_update_takes_at_most_five_commands", "counts the commands of one server"),
    (
        "a_batch_is_one_round_trip_and_three_commands_a_bucket",
        "counts at one proxy, and the commands of one server",
    ),
    (
        "the_top_100_of_very_many_names_is_exact_and_scans_nothing",
        "makes a user of one server, and reads its statistics",
    ),
    ("each_call_under_each_rule_costs_what_its_docs_say", "counts the commands of one server"),
    ("nothing_old_is_left_after_a_cut_connection", "cuts the one connection at one proxy"),
    (
        "a_connection_that_says_nothing_costs_the_maximum_age",
        "silences the one connection at one proxy",
    ),
    (
        "a_million_members_cost_at_most_twice_what_ten_thousand_do",
        "compares the time of one server with itself",
    ),
    (
        "publish_tells_how_many_connections_of_the_node_heard_it",
        "a subscriber may be at another node than the one asked",
    ),
    (
        "a_cut_connection_gives_a_gap_and_messages_flow_again",
        "cuts the one connection at one proxy",
    ),
    (
        "a_server_that_is_away_ends_subscribe_by_its_deadline_and_a_closed_handle_ends_all",
        "hangs at one proxy",
    ),
    ("a_publication_whose_answer_is_lost_is_unknown_and_not_sent_again", "loses it at one proxy"),
    ("a_pattern_that_is_not_allowed_harms_no_other_subscription", "makes a user of one server"),
    (
        "acquire_and_release_are_two_round_trips_and_ten_commands",
        "counts the commands of one server",
    ),
    ("who_waits_sends_nothing_while_the_lock_is_held", "counts the commands of one server"),
    ("a_place_in_line_is_renewed_once_in_half_of_its_time", "counts the commands of one server"),
    ("the_fence_grows_over_a_restart_without_data", "restarts one server"),
    ("each_call_is_one_round_trip_and_at_most_five_commands", "counts the commands of one server"),
    ("a_check_is_one_round_trip_and_at_most_four_commands", "counts the commands of one server"),
    ("a_step_takes_few_commands", "counts the commands of one server"),
    ("without_redis_the_policy_decides", "cuts one proxy"),
    (
        "each_call_is_one_round_trip_and_a_fresh_session_is_not_written",
        "counts the commands of one server",
    ),
    (
        "signing_out_everywhere_takes_as_long_for_ten_thousand_sessions_as_for_ten",
        "compares the time of one server with itself",
    ),
];

/// The servers of a test.
pub enum Ground {
    One(Box<TestServer>),
    Cluster(Box<TestCluster>),
}

fn on_cluster() -> bool {
    match std::env::var("RUSSET_TEST_TOPOLOGY").as_deref() {
        Ok("cluster") => true,
        Ok("") | Ok("single") | Err(_) => false,
        Ok(other) => panic!("RUSSET_TEST_TOPOLOGY is single or cluster, not {other}"),
    }
}

/// Whether this test is to return at once, being one of those that cannot run on a Cluster.
pub fn needs_one_server() -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let listed = NOT_ON_A_CLUSTER.iter().find(|(name, _)| *name == test);
    let (name, reason) =
        listed.unwrap_or_else(|| panic!("{test} is not on the list of exceptions"));
    if on_cluster() {
        println!("not on a Cluster: {name}: {reason}");
    }
    on_cluster()
}

impl Ground {
    pub async fn start() -> io::Result<Self> {
        Ok(match on_cluster() {
            true => Self::Cluster(Box::new(TestCluster::start().await?)),
            false => Self::One(Box::new(TestServer::start().await?)),
        })
    }

    pub fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// The server of a test that `needs_one_server`.
    pub fn only(&self) -> &TestServer {
        match self {
            Self::One(server) => server,
            Self::Cluster(_) => panic!("the test is not on the list of exceptions"),
        }
    }

    fn nodes(&self) -> &[TestServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// Runs a command where its key is; one about the server itself at all nodes, and puts the answers together.
    pub async fn command(&self, words: &[&str]) -> io::Result<Reply> {
        let cluster = match self {
            Self::One(server) => return server.command(words).await,
            Self::Cluster(cluster) => cluster,
        };
        match words {
            ["KEYS" | "DBSIZE" | "CONFIG" | "SCRIPT" | "CLIENT", ..] => {
                let mut replies = Vec::new();
                for node in cluster.nodes() {
                    replies.push(node.command(words).await?);
                }
                Ok(together(replies))
            }
            [_, key, ..] => cluster.command(key, words).await,
            other => panic!("where does {other:?} go?"),
        }
    }

    pub async fn calls(&self, command: &str) -> io::Result<u64> {
        let mut calls = 0;
        for node in self.nodes() {
            calls += node.calls(command).await?;
        }
        Ok(calls)
    }

    /// How many connections to all nodes are subscribed to this channel.
    pub async fn subscribers(&self, channel: &str) -> io::Result<i64> {
        let mut subscribers = 0;
        for node in self.nodes() {
            let counted = node.command(&["PUBSUB", "NUMSUB", channel]).await?;
            subscribers += counted.list().get(1).and_then(Reply::int).unwrap_or_default();
        }
        Ok(subscribers)
    }

    pub async fn kill(&self) -> io::Result<()> {
        for node in self.nodes() {
            node.kill().await?;
        }
        Ok(())
    }
}

/// Lists and different texts one behind the other, numbers added.
fn together(replies: Vec<Reply>) -> Reply {
    let numbers: Option<i64> = replies.iter().map(Reply::int).sum();
    let items: Vec<_> = replies.iter().flat_map(|reply| reply.list().to_vec()).collect();
    match numbers {
        Some(sum) => Reply::Int(sum),
        None if items.is_empty() && replies.iter().all(|reply| reply.text().is_some()) => {
            let mut texts: Vec<_> = replies.iter().filter_map(Reply::text).collect();
            texts.dedup();
            Reply::Text(texts.concat().into())
        }
        None => Reply::List(items),
    }
}
