//! The program `russet`: a web application on Redis and SQL, complete in one command.
//!
//! - [`access`]: who reaches the server, and who must sign in for what.
//! - [`accounts`]: who may sign in.
//! - [`cli`]: the commands, `serve`, `worker`, `queue`, `seed`, `bench` and `doctor`.
//! - [`mod@bench`]: what each block costs, beside the raw commands of the server.
//! - [`config`]: flags over environment over defaults.
//! - [`redis_server`]: the private Redis server that `serve` starts when none is configured.
//! - [`db`]: the record store.
//! - [`chat`]: rooms to talk in.
//! - [`jobs`]: what tasks do, and the worker that does them.
//! - [`users`]: the users' records through the cache.
//! - [`flash_sale`]: 1,000 buyers and 100 units.
//! - [`killed_worker`]: a worker process is killed, and its tasks come back.
//! - [`http`]: the routes; [`http::app`] makes the router that the tests call without a socket.
//! - [`pages`]: the pages that people see, in two languages.

pub mod access;
pub mod accounts;
pub mod bench;
pub mod chat;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod db;
pub mod flash_sale;
pub mod http;
pub mod jobs;
pub mod killed_worker;
pub mod pages;
pub mod redis_server;
pub mod secret_key;
pub mod seed;
pub mod state;
pub mod users;

pub use state::AppState;

/// An error that ends the program; its text is a sentence for the person who started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
