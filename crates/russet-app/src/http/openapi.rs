//! `/openapi.json`: the routes of [`super::api`], described.

use russet_axum::extract::Json;
use serde::Serialize;
use utoipa::{IntoResponses, OpenApi, ToSchema};

use super::{
    account, chat, counters, demo, flash_sale, health, killed_worker, leaderboard, metrics,
    overview, reservations, stock, tasks, users, views, windows,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "russet",
        description = "Users in SQL behind a cache; counters, a leaderboard, a shop, tasks and chat rooms in Redis. \
                       Whatever changes something is answered with 403 when a page of another site sent it, or when the \
                       client is signed in and sends no X-CSRF-Token. Where `needs_login` of /api/session is true, it is \
                       answered with 401 when nobody is signed in, and so is joining a chat room.",
    ),
    paths(
        users::list, users::create, users::find, users::put, users::delete,
        views::count,
        leaderboard::top, leaderboard::update, leaderboard::standing, leaderboard::standing_of_update,
        counters::top, counters::get, counters::add, counters::series,
        windows::get, windows::add,
        stock::list, stock::get, stock::set, stock::adjust, stock::remove,
        reservations::list, reservations::reserve, reservations::get, reservations::extend, reservations::confirm,
        reservations::cancel,
        tasks::look, tasks::create, tasks::find, tasks::cancel,
        account::login, account::logout, account::session,
        account::list, account::end_all, account::end_others, account::end_one,
        chat::messages, chat::join,
        overview::overview,
        demo::cold_key, killed_worker::start, killed_worker::show,
        flash_sale::start, flash_sale::show,
        health::alive, health::ready, metrics::render,
    ),
    tags(
        (name = "users", description = "Records in SQL, read through the cache"),
        (name = "statistics", description = "Page views, the leaderboard, counters and windows, in Redis"),
        (name = "shop", description = "Stock that adds up, and reservations that go back by themselves"),
        (name = "tasks", description = "Work for later, by whatever worker is free"),
        (name = "account", description = "Who is signed in, and where"),
        (name = "chat", description = "Rooms, live and kept"),
        (name = "demonstration", description = "What the cache, the queue and the shop do, measured"),
        (name = "operation", description = "Health and figures"),
    ),
)]
struct Document;

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong, for people.
    #[schema(example = "there is no user with this id")]
    error: String,
    /// The request's id, as in the `x-request-id` header and the log.
    request_id: Option<String>,
}

/// How a route that takes a body refuses one before it reads what is in it.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "it describes what the extractor answers")]
pub(super) enum RefusedBody {
    /// The body arrived too slowly
    #[response(status = 408)]
    TooSlow(#[to_schema] ErrorBody),
    /// The body is too long
    #[response(status = 413)]
    TooLong(#[to_schema] ErrorBody),
    /// The body is not declared as JSON
    #[response(status = 415)]
    NotJson(#[to_schema] ErrorBody),
}

/// The OpenAPI 3.1 document of the API.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
