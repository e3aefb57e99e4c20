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

/// Whether every route can be served: Redis and the database both answer, and this process's worker works.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "They do", body = Status),
    (status = 503, description = "The text says what is away", body = ErrorBody),
))]
pub async fn ready(State(app): State<AppState>) -> Result<Json<Status>, ApiError> {
    let (redis, database) = tokio::join!(app.russet.health(), app.db.ping());
    let worker = app.worker.is_some_and(|worker| !worker.is_alive());
    let reasons: Vec<(String, _)> = [
        redis.err().map(|error| (error.to_string(), "the Redis server is away")),
        database.err().map(|error| (error.to_string(), "the database is away")),
    ]
    .into_iter()
    .chain([worker.then(|| ("no claim loop has turned".into(), "the worker does not work"))])
    .flatten()
    .collect();
    if reasons.is_empty() {
        return Ok(Json(Status { status: "ready" }));
    }
    let (causes, texts): (Vec<_>, Vec<_>) = reasons.into_iter().unzip();
    Err(ApiError::unavailable(texts.join("; ")).caused_by(causes.join("; ")))
}
