//! The routes.

pub mod account;
pub mod applications;
pub mod chat;
pub mod counters;
pub mod demo;
pub mod flash_sale;
pub mod guard;
pub mod health;
pub mod home;
pub mod killed_worker;
pub mod leaderboard;
pub mod metrics;
mod names;
pub mod openapi;
pub mod overview;
pub mod reservations;
pub mod rules;
pub mod sign_in;
pub mod stock;
pub mod tasks;
pub mod users;
pub mod views;
pub mod windows;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post};
use russet_axum::{CsrfLayer, RateLimitLayer, SessionLayer, error, panic, request_id};

use crate::AppState;

/// The application: every route, in the order of the request's way through the layers from the bottom up.
pub fn app(state: AppState) -> Router {
    let mut router = Router::new();
    let joins = RateLimitLayer::new(state.joins.clone(), chat::who_joins());
    for (path, methods) in api().into_iter().chain(pages()) {
        router = router.route(path, methods);
    }
    router
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(joins)
        .layer(from_fn_with_state(state.clone(), rules::enforce))
        .layer(CsrfLayer::new())
        .layer(sessions(&state))
        .merge(applications::routes(&state))
        .layer(from_fn_with_state(state.access.clone(), guard::refuse_other_sites))
        .layer(from_fn(panic::catch))
        .layer(from_fn(metrics::measure))
        .layer(from_fn(guard::harden))
        .layer(from_fn(request_id::propagate))
        .with_state(state)
}

/// Who is signed in, by a cookie.
fn sessions(state: &AppState) -> SessionLayer {
    let layer = SessionLayer::new(state.accounts.sessions().clone())
        .trusted_proxies(state.access.proxies().iter().copied());
    if state.access.has_plain_cookies() { layer.dangerously_plain_cookies() } else { layer }
}

/// What programs use; all of it stands in `/openapi.json`, and nothing else does.
pub fn api() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![
        ("/api/users", get(users::list).post(users::create)),
        ("/api/users/{id}", get(users::find).put(users::put).delete(users::delete)),
        ("/api/stats/page_views", get(views::count)),
        ("/api/leaderboard", get(leaderboard::top)),
        // A player may be called "update".
        ("/api/leaderboard/update", post(leaderboard::update).get(leaderboard::standing_of_update)),
        ("/api/leaderboard/{player}", get(leaderboard::standing)),
        ("/api/counters", get(counters::top)),
        ("/api/counters/{name}", get(counters::get).post(counters::add)),
        ("/api/counters/{name}/series", get(counters::series)),
        ("/api/windows/{name}", get(windows::get).post(windows::add)),
        ("/api/stock", get(stock::list)),
        ("/api/stock/{product}", get(stock::get).put(stock::set).delete(stock::remove)),
        ("/api/stock/{product}/adjust", post(stock::adjust)),
        ("/api/reservations", get(reservations::list).post(reservations::reserve)),
        ("/api/reservations/{id}", get(reservations::get).delete(reservations::cancel)),
        ("/api/reservations/{id}/extend", post(reservations::extend)),
        ("/api/reservations/{id}/confirm", post(reservations::confirm)),
        ("/api/tasks", get(tasks::look).post(tasks::create)),
        ("/api/tasks/{id}", get(tasks::find).delete(tasks::cancel)),
        ("/api/login", post(account::login)),
        ("/api/logout", post(account::logout)),
        ("/api/session", get(account::session)),
        ("/api/sessions", get(account::list).delete(account::end_all)),
        ("/api/sessions/others", delete(account::end_others)),
        ("/api/sessions/{id}", delete(account::end_one)),
        ("/api/chat/{room}/messages", get(chat::messages)),
        ("/api/chat/{room}/ws", get(chat::join)),
        ("/api/overview", get(overview::overview)),
        ("/api/demo/cold_key", post(demo::cold_key)),
        ("/api/demo/killed_worker", get(killed_worker::show).post(killed_worker::start)),
        ("/api/demo/flash_sale", get(flash_sale::show).post(flash_sale::start)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics::render)),
    ]
}

/// What people look at.
fn pages() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![
        ("/", get(home::home)),
        ("/chat", get(home::chat)),
        ("/shop", get(home::shop)),
        ("/docs", get(home::docs)),
        ("/login", get(sign_in::page).post(sign_in::sign_in)),
        ("/logout", post(sign_in::sign_out)),
        ("/sso/{application}", get(applications::ticket)),
        ("/sessions", get(sign_in::sessions).post(sign_in::end)),
        ("/openapi.json", get(openapi::document)),
        ("/assets/{file}", get(home::asset)),
    ]
}
