//! `/api/demo/killed_worker`: a worker process is killed, and its tasks come back.

use axum::extract::State;
use axum::http::StatusCode;
use russet_axum::ApiError;
use russet_axum::extract::Json;

use super::openapi::ErrorBody;
use crate::AppState;
use crate::killed_worker::{NotStarted, Show};

/// Starts a run: twelve tasks, a worker process that is killed in the middle of them, and a second one. One run at a time.
#[utoipa::path(post, path = "/api/demo/killed_worker", operation_id = "kill_worker", tag = "demonstration", responses(
    (status = 202, description = "It goes on by itself", body = Show),
    (status = 429, description = "Another run is under way", body = ErrorBody),
    (status = 503, description = "Redis is away, or this process starts no workers", body = ErrorBody),
))]
pub async fn start(State(app): State<AppState>) -> Result<(StatusCode, Json<Show>), ApiError> {
    app.killed_worker.start().map_err(|error| match error {
        NotStarted::Busy => ApiError::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
            .retry_after(std::time::Duration::from_secs(1)),
        NotStarted::NoLauncher => ApiError::unavailable(error.to_string()),
    })?;
    Ok((StatusCode::ACCEPTED, Json(app.killed_worker.show().await?)))
}

/// The last run, as it stands now.
#[utoipa::path(get, path = "/api/demo/killed_worker", operation_id = "killed_worker", tag = "demonstration", responses(
    (status = 200, description = "Its processes and tasks", body = Show),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn show(State(app): State<AppState>) -> Result<Json<Show>, ApiError> {
    Ok(Json(app.killed_worker.show().await?))
}
