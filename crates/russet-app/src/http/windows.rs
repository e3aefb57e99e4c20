//! `/api/windows`: how much came in the last so many seconds.

use std::time::Duration;

use axum::extract::State;
use russet::SlidingWindow;
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::counters::one;
use super::names::check_shown;
use super::openapi::{ErrorBody, RefusedBody};
use crate::AppState;

/// The longest window: a day.
const LONGEST: u64 = 86_400;

/// Which window of a name.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Length {
    /// How long it is, in seconds; windows of one name and different lengths count by themselves. Default 60.
    #[param(minimum = 1, maximum = 86_400)]
    seconds: Option<u64>,
}

/// What came.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// How much, from 1 on. Default 1.
    #[serde(default = "one")]
    #[schema(minimum = 1, example = 1)]
    amount: u64,
}

/// What is in a window.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowView {
    name: String,
    /// How long it is.
    seconds: u64,
    /// What came in it, exact to a sixtieth of its length or less.
    count: u64,
    /// The same for each second.
    rate: f64,
}

/// How much came in the last so many seconds.
#[utoipa::path(get, path = "/api/windows/{name}", operation_id = "get_window", tag = "statistics",
    params(("name" = String, Path, description = "1 to 256 bytes, without control characters", example = "requests"), Length), responses(
    (status = 200, description = "What is in the window now", body = WindowView),
    (status = 400, description = "Not a name, or a parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn get(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(length): Query<Length>,
) -> Result<Json<WindowView>, ApiError> {
    let (window, seconds) = length.window(&app, &name)?;
    let count = window.count().await?;
    Ok(Json(WindowView::of(name, seconds, count)))
}

/// Counts something that comes now.
#[utoipa::path(post, path = "/api/windows/{name}", operation_id = "add_to_window", tag = "statistics", request_body = Arrival,
    params(("name" = String, Path, description = "1 to 256 bytes, without control characters", example = "requests"), Length), responses(
    (status = 200, description = "What is in the window with it", body = WindowView),
    (status = 400, description = "Not a name, or a field or parameter is wrong", body = ErrorBody),
    (status = 503, description = "Redis is away; the text says whether it may have been counted", body = ErrorBody),
    RefusedBody,
))]
pub async fn add(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(length): Query<Length>,
    Json(arrival): Json<Arrival>,
) -> Result<Json<WindowView>, ApiError> {
    let (window, seconds) = length.window(&app, &name)?;
    let count = window.add(arrival.amount).await?;
    Ok(Json(WindowView::of(name, seconds, count)))
}

impl Length {
    /// The window, and how many seconds it has.
    fn window(&self, app: &AppState, name: &str) -> Result<(SlidingWindow, u64), ApiError> {
        check_shown("name", name)?;
        let seconds = self.seconds.unwrap_or(60);
        if !(1..=LONGEST).contains(&seconds) {
            return Err(ApiError::bad_request(format!("seconds must be 1 to {LONGEST}")));
        }
        let window = Duration::from_secs(seconds);
        // Buckets of whole milliseconds: sixty of them, or a hundred, which every whole second has.
        let buckets = if seconds.is_multiple_of(3) { 60 } else { 100 };
        let built = SlidingWindow::builder(&app.russet, name)
            .window(window)
            .bucket(window / buckets)
            // Names are the clients', and a label lives as long as the process.
            .metrics_label("api")
            .build()?;
        Ok((built, seconds))
    }
}

impl WindowView {
    fn of(name: String, seconds: u64, count: u64) -> Self {
        Self { name, seconds, count, rate: count as f64 / seconds as f64 }
    }
}
