//! Throw-away servers, a network that can be broken and processes that can be killed, for tests against a real
//! Redis or Valkey.
//!
//! - [`TestServer`] starts `redis-server` or `valkey-server` on a free port or socket, and kills, restarts and
//!   pauses it.
//! - [`TestCluster`] is a Cluster of three primaries whose slots move and whose nodes die.
//! - [`TestSentinel`] is a primary with replicas, and sentinels that let one of them take over.
//! - [`TestCertificates`] are what they need to speak TLS.
//! - [`Proxy`] stands before a server, counts round trips, and cuts, delays, hangs and loses replies.
//! - [`WorkerProcess`] is a real process, made of a test function or any program, that a test can kill and pause.
//! - [`eventually`] waits with a deadline for what has no event to wait for.
//!
//! Errors are [`std::io::Error`]s whose text says what to do. Nothing that is started here outlives the test
//! process, however it ends. Works on Unix systems.

mod certificates;
mod cluster;
mod cluster_builder;
mod endpoint;
mod eventually;
mod output;
mod process;
mod program;
mod proxy;
mod reply;
mod sentinel;
mod sentinel_builder;
mod server;
mod server_builder;
mod watchdog;
mod worker;

pub use certificates::TestCertificates;
pub use cluster::TestCluster;
pub use cluster_builder::TestClusterBuilder;
pub use eventually::eventually;
pub use process::is_running;
pub use proxy::{Mode, Proxy};
pub use reply::Reply;
pub use sentinel::TestSentinel;
pub use sentinel_builder::TestSentinelBuilder;
pub use server::TestServer;
pub use server_builder::TestServerBuilder;
pub use worker::{WorkerProcess, is_worker, worker_env, worker_receive, worker_report};
