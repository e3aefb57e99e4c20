//! The pages, seen and used in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;

#[path = "pages/access.rs"]
mod access;
#[path = "pages/chat.rs"]
mod chat;
#[path = "pages/docs.rs"]
mod docs;
#[path = "pages/home.rs"]
mod home;
#[path = "pages/killed_worker.rs"]
mod killed_worker;
#[path = "pages/looks.rs"]
mod looks;
#[path = "pages/pictures.rs"]
mod pictures;
#[path = "pages/sale.rs"]
mod sale;
#[path = "pages/shop.rs"]
mod shop;
#[path = "pages/sign_in.rs"]
mod sign_in;
