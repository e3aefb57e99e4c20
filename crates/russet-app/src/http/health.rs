//! `/healthz` and `/readyz`.

use axum::extract::State;
use russet_axum::ApiError;
use russet_axum::extract::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::ErrorBody;
use crate::AppState;

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    status: &'static str,
}

/// Whether the process runs: it does when it answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses(
    (status = 200, description = "It does", body = Status),
))]
pub async fn alive() -> Json<Status> {
    Json(Status { status: "alive" })
}

/// Whether every route can be served: Redis and the database both answer.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "Both answer", body = Status),
    (status = 503, description = "The text says what is away", body = ErrorBody),
))]
pub async fn ready(State(app): State<AppState>) -> Result<Json<Status>, ApiError> {
    let (redis, database) = tokio::join!(app.russet.health(), app.db.ping());
    let reasons: Vec<_> = [
        redis.err().map(|error| (error.to_string(), "the Redis server is away")),
        database.err().map(|error| (error.to_string(), "the database is away")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if reasons.is_empty() {
        return Ok(Json(Status { status: "ready" }));
    }
    let (causes, texts): (Vec<_>, Vec<_>) = reasons.into_iter().unzip();
    Err(ApiError::unavailable(texts.join("; ")).caused_by(causes.join("; ")))
}
