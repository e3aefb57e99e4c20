//! The pages and what they load.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use russet_axum::ApiError;
use russet_axum::extract::{Path, Query};

use super::stock::StockView;
use super::{overview, views};
use crate::AppState;
use crate::pages::{self, Choice, Docs, Home, Preferences, Store, Talk};

/// How many products the shop's page shows.
const MOST_PRODUCTS: usize = 100;

/// `/`: what runs, and each part of it to try. Counts one page view.
pub async fn home(
    State(app): State<AppState>,
    Query(choice): Query<Choice>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    let prefs = Preferences::of(&headers);
    let now = overview::look(&app, views::add(&app.views)).await;
    // Without a database the page is shown all the same, with the id that most have.
    let first_user =
        app.users.list(0, 1).await.ok().and_then(|users| Some(users.first()?.id)).unwrap_or(1);
    let query_ms = app.demo.query_ms();
    page(&Home { t: prefs.messages(), prefs, now, first_user, query_ms })
}

/// `/chat`: rooms to talk in.
pub async fn chat(
    Query(choice): Query<Choice>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    let prefs = Preferences::of(&headers);
    page(&Talk { t: prefs.messages(), prefs })
}

/// `/shop`: reserve, and pay before the time ends.
pub async fn shop(
    State(app): State<AppState>,
    Query(choice): Query<Choice>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    let prefs = Preferences::of(&headers);
    let products = app.shop.products(None, MOST_PRODUCTS).await.ok();
    let shown = |(product, stock)| StockView::of(product, stock);
    let products = products.map(|products| products.into_iter().map(shown).collect());
    page(&Store { t: prefs.messages(), prefs, products })
}

/// `/docs`: the API, rendered from its own document.
pub async fn docs(
    Query(choice): Query<Choice>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    let prefs = Preferences::of(&headers);
    page(&Docs { t: prefs.messages(), prefs })
}

/// `/assets/…`.
pub async fn asset(Path(file): Path<String>) -> Result<Response, ApiError> {
    let (kind, text) =
        pages::asset(&file).ok_or_else(|| ApiError::not_found("there is nothing at this path"))?;
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response())
}

/// A link that chooses a language or a theme leads back to the page, which then is in it.
pub(super) fn remember(choice: Choice, uri: &Uri) -> Option<Response> {
    let cookies: Vec<HeaderValue> = choice.cookies().collect();
    if cookies.is_empty() {
        return None;
    }
    // What else the address says stays: where a login leads to.
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let others = pairs.filter(|(name, _)| !["lang", "theme"].contains(&name.as_ref()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
    let path = uri.path();
    let back = if query.is_empty() { path.to_owned() } else { [path, "?", &query].concat() };
    let mut response = Redirect::to(&back).into_response();
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Some(response)
}

pub(super) fn page(template: &impl Template) -> Result<Response, ApiError> {
    let html = template.render().map_err(ApiError::internal)?;
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::VARY, "cookie, accept-language")];
    Ok((headers, Html(html)).into_response())
}
