//! Every route, as programs and browsers see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod accounts;
mod applications;
mod chat;
mod counters;
mod document;
mod errors;
mod operation;
mod pages;
mod policies;
mod requests;
mod shop;
mod statistics;
mod tasks;
mod users;
