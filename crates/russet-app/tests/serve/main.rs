//! The real program: how it starts, what it refuses, what survives, and that nothing is left running.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod board;
mod chat;
mod counter;
mod doctor;
mod flights;
mod life;
mod lock;
mod operator;
mod queue;
mod refusals;
mod schedule;
mod seed;
mod session;
mod settings;
mod stock;
mod takeover;
mod worker;
