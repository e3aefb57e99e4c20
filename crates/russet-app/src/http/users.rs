//! `/api/users`: records in SQL, read through the cache.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use russet::{Sent, Source, metered};
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::openapi::{ErrorBody, RefusedBody};
use crate::AppState;
use crate::db::{NewUser, User};
use crate::users::{check_email, check_name};

/// Where the answer came from: `near`, `hit`, `stale`, `miss` or `bypass`.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// How many commands were sent to Redis for it.
const X_REDIS_COMMANDS: HeaderName = HeaderName::from_static("x-redis-commands");
/// How long it took, in milliseconds.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The last second of the year 9999: what every date library can print.
const LATEST: f64 = 253_402_300_799.0;

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Only users with a larger id; the last id of the page before. Default 0.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many at most. Default 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A user as it is sent.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UserBody {
    /// Only with PUT, where it repeats the path's.
    id: Option<i64>,
    /// 1 to 100 characters.
    #[schema(example = "Ada Lovelace")]
    name: String,
    /// An e-mail address, at most 254 bytes.
    #[schema(example = "ada@example.com")]
    email: String,
    /// Seconds since 1970 UTC. Default: now, or what is stored.
    #[schema(minimum = 0)]
    created_at: Option<f64>,
}

/// Lists users by id, from the database.
#[utoipa::path(get, path = "/api/users", tag = "users", params(Page), responses(
    (status = 200, description = "The users", body = [User]),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "The database is away", body = ErrorBody),
))]
pub async fn list(
    State(app): State<AppState>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<User>>, ApiError> {
    let (after, limit) = (page.after.unwrap_or(0), page.limit.unwrap_or(20));
    if after < 0 {
        return Err(ApiError::bad_request("after must be 0 or more"));
    }
    if !(1..=100).contains(&limit) {
        return Err(ApiError::bad_request("limit must be 1 to 100"));
    }
    Ok(Json(app.users.list(after, limit).await?))
}

/// Stores a new user under a new id.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = UserBody, responses(
    (status = 201, description = "The user as it was stored", body = User,
     headers(("location" = String, description = "Its path"))),
    (status = 400, description = "A field is missing or wrong", body = ErrorBody),
    (status = 503, description = "The database is away: nothing was stored", body = ErrorBody),
    RefusedBody,
))]
pub async fn create(
    State(app): State<AppState>,
    Json(body): Json<UserBody>,
) -> Result<Response, ApiError> {
    if body.id.is_some() {
        return Err(ApiError::bad_request(
            "a new user gets its id from the server; PUT stores under a chosen one",
        ));
    }
    let user = app.users.create(body.checked()?).await?;
    Ok(created(user))
}

/// Finds a user, through the cache.
#[utoipa::path(get, path = "/api/users/{id}", tag = "users",
    params(("id" = i64, Path, description = "The user's id", minimum = 1, example = 1)), responses(
    (status = 200, description = "The user", body = User, headers(
        ("x-cache" = String, description = "near: the memory of this process; hit: Redis, also an absence that it remembers, and an id that was never made; stale: past its end, because the database is away; miss: the database; bypass: the database, because Redis is away"),
        ("x-redis-commands" = u64, description = "Commands sent to Redis for this answer"),
        ("server-timing" = String, description = "How long it took, in milliseconds"))),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such user", body = ErrorBody),
    (status = 503, description = "Not cached, and the database is away", body = ErrorBody),
))]
pub async fn find(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let start = Instant::now();
    let (found, sent) = metered(app.users.find(id)).await;
    let found = found?;
    let answer = match found.user {
        Some(user) => Json(user).into_response(),
        None => no_such_user().into_response(),
    };
    Ok(with_evidence(answer, found.source, sent, start.elapsed()))
}

/// Stores a user under this id, over the one that is there.
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", request_body = UserBody,
    params(("id" = i64, Path, description = "The user's id", minimum = 1, example = 1)), responses(
    (status = 200, description = "There was one: the user as it is now", body = User),
    (status = 201, description = "There was none: the user as it was stored", body = User,
     headers(("location" = String, description = "Its path"))),
    (status = 400, description = "Not an id, or a field is missing or wrong", body = ErrorBody),
    (status = 503, description = "The database is away: nothing was stored", body = ErrorBody),
    RefusedBody,
))]
pub async fn put(
    State(app): State<AppState>,
    Path(id): Path<String>,
    Json(body): Json<UserBody>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    if body.id.is_some_and(|other| other != id) {
        return Err(ApiError::bad_request("the id in the body is not the one in the path"));
    }
    let (user, new) = app.users.put(id, body.checked()?).await?;
    Ok(if new { created(user) } else { Json(user).into_response() })
}

/// Deletes a user.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "users",
    params(("id" = i64, Path, description = "The user's id", minimum = 1, example = 1)), responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such user", body = ErrorBody),
    (status = 503, description = "The database is away: nothing was deleted", body = ErrorBody),
))]
pub async fn delete(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = parse_id(&id)?;
    if app.users.delete(id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_user()) }
}

impl UserBody {
    fn checked(self) -> Result<NewUser, ApiError> {
        check_name(&self.name)
            .and_then(|()| check_email(&self.email))
            .map_err(ApiError::bad_request)?;
        if self.created_at.is_some_and(|time| !(0.0..=LATEST).contains(&time)) {
            return Err(ApiError::bad_request(
                "created_at must be seconds from 1970 to the year 9999",
            ));
        }
        Ok(NewUser { name: self.name, email: self.email, created_at: self.created_at })
    }
}

/// Only as it is written in `Location`: `+5`, `05` and the like would be second addresses of the same user.
fn parse_id(text: &str) -> Result<i64, ApiError> {
    let id = text.parse::<i64>().ok();
    id.filter(|id| *id > 0 && id.to_string() == text).ok_or_else(|| {
        ApiError::bad_request(format!("the id must be a whole number from 1 to {}", i64::MAX))
    })
}

fn created(user: User) -> Response {
    let location = format!("/api/users/{}", user.id);
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(user)).into_response()
}

fn no_such_user() -> ApiError {
    ApiError::not_found("there is no user with this id")
}

fn with_evidence(mut answer: Response, source: Source, sent: Sent, took: Duration) -> Response {
    let headers = answer.headers_mut();
    headers.insert(
        X_CACHE,
        HeaderValue::from_static(match source {
            Source::Near => "near",
            Source::Hit => "hit",
            Source::Stale => "stale",
            Source::Miss => "miss",
            _ => "bypass",
        }),
    );
    headers.insert(X_REDIS_COMMANDS, HeaderValue::from(sent.commands));
    if let Ok(timing) = HeaderValue::try_from(format!("lookup;dur={:.3}", took.as_secs_f64() * 1e3))
    {
        headers.insert(SERVER_TIMING, timing);
    }
    answer
}
