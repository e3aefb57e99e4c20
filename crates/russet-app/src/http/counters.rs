//! `/api/counters`: counts by minute, hour, day and month.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use russet::{Counts, Granularity, Point, Top};
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::names::{check_limit, check_shown};
use super::openapi::{ErrorBody, RefusedBody};
use super::tasks::seconds;
use crate::AppState;

/// The last second of the year 9998: the last one that is counted by month.
const LATEST: f64 = 253_370_764_799.0;

/// How long the buckets are.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Granularity)]
pub enum Buckets {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
    /// A month, UTC.
    Month,
}

impl From<Buckets> for Granularity {
    fn from(buckets: Buckets) -> Self {
        match buckets {
            Buckets::Minute => Self::Minute,
            Buckets::Hour => Self::Hour,
            Buckets::Day => Self::Day,
            Buckets::Month => Self::Month,
        }
    }
}

/// Which names.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Largest {
    /// Of the current `minute`, `hour`, `day` or `month`; without it, of all that was ever counted.
    #[param(value_type = Option<String>, example = "day")]
    granularity: Option<Buckets>,
    /// How many names at most. Default 10.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// Which stretch of time.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Stretch {
    /// `minute`, `hour`, `day` or `month`.
    #[param(value_type = String, example = "hour")]
    granularity: Buckets,
    /// From the bucket of this time on: seconds since 1970 UTC. Default: as far back as buckets are kept.
    #[param(minimum = 0)]
    from: Option<f64>,
    /// To the last bucket that begins before this time. Default: now.
    #[param(minimum = 0)]
    to: Option<f64>,
}

/// What is to be counted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// How much, from 1 on. Default 1.
    #[serde(default = "one")]
    #[schema(minimum = 1, example = 1)]
    amount: u64,
    /// When it happened: seconds since 1970 UTC. Default now.
    #[schema(minimum = 0)]
    at: Option<f64>,
}

pub(super) fn one() -> u64 {
    1
}

/// The counts of a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counted {
    name: String,
    /// Ever.
    total: u64,
    /// In the minute: the current one, or that of the time given.
    minute: u64,
    /// In the hour.
    hour: u64,
    /// In the day, UTC.
    day: u64,
    /// In the month, UTC.
    month: u64,
}

/// A name among the largest.
#[derive(Debug, Serialize, ToSchema)]
pub struct CounterLine {
    name: String,
    count: u64,
}

/// A bucket of a series.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bucket {
    /// When it begins: seconds since 1970 UTC.
    start: f64,
    count: u64,
}

/// The names with the largest counts.
#[utoipa::path(get, path = "/api/counters", operation_id = "top_counters", tag = "statistics", params(Largest), responses(
    (status = 200, description = "The names, the largest count first", body = [CounterLine]),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn top(
    State(app): State<AppState>,
    Query(wanted): Query<Largest>,
) -> Result<Json<Vec<CounterLine>>, ApiError> {
    let limit = check_limit(wanted.limit.unwrap_or(10))?;
    let top = match wanted.granularity {
        Some(buckets) => app.counters.top(buckets.into(), limit).await?,
        None => app.counters.top_total(limit).await?,
    };
    Ok(Json(top.into_iter().map(|Top { name, count }| CounterLine { name, count }).collect()))
}

/// The counts of a name; 0 for one that was never counted.
#[utoipa::path(get, path = "/api/counters/{name}", operation_id = "get_counter", tag = "statistics",
    params(("name" = String, Path, description = "1 to 256 bytes, without control characters", example = "sign-ups")), responses(
    (status = 200, description = "Its counts now", body = Counted),
    (status = 400, description = "Not a name", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn get(
    State(app): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Counted>, ApiError> {
    check_shown("name", &name)?;
    let counts = app.counters.get(&name).await?;
    Ok(Json(Counted::of(name, counts)))
}

/// Counts something.
#[utoipa::path(post, path = "/api/counters/{name}", operation_id = "add_to_counter", tag = "statistics", request_body = Addition,
    params(("name" = String, Path, description = "1 to 256 bytes, without control characters", example = "sign-ups")), responses(
    (status = 200, description = "The counts with it", body = Counted),
    (status = 400, description = "Not a name, or a field is wrong", body = ErrorBody),
    (status = 503, description = "Redis is away; the text says whether it may have been counted", body = ErrorBody),
    RefusedBody,
))]
pub async fn add(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Json(addition): Json<Addition>,
) -> Result<Json<Counted>, ApiError> {
    check_shown("name", &name)?;
    if addition.amount == 0 {
        return Err(ApiError::bad_request("amount must be 1 or more"));
    }
    let counts = match time_of("at", addition.at)? {
        Some(time) => app.counters.add_at(&name, addition.amount, time).await?,
        None => app.counters.add(&name, addition.amount).await?,
    };
    Ok(Json(Counted::of(name, counts)))
}

/// A name's count in each bucket of a stretch of time, at most 1,000.
#[utoipa::path(get, path = "/api/counters/{name}/series", operation_id = "counter_series", tag = "statistics",
    params(("name" = String, Path, description = "1 to 256 bytes, without control characters", example = "sign-ups"), Stretch), responses(
    (status = 200, description = "The buckets, the oldest first, with 0 where nothing was counted", body = [Bucket]),
    (status = 400, description = "Not a name, a parameter is missing or out of range, or there are more than 1,000 buckets", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn series(
    State(app): State<AppState>,
    Path(name): Path<String>,
    Query(stretch): Query<Stretch>,
) -> Result<Json<Vec<Bucket>>, ApiError> {
    check_shown("name", &name)?;
    let (from, to) = (time_of("from", stretch.from)?, time_of("to", stretch.to)?);
    let of = stretch.granularity.into();
    let points = match (from, to) {
        (Some(from), Some(to)) => app.counters.series(&name, of, from..to).await?,
        (Some(from), None) => app.counters.series(&name, of, from..).await?,
        (None, Some(to)) => app.counters.series(&name, of, ..to).await?,
        (None, None) => app.counters.series(&name, of, ..).await?,
    };
    let bucket = |Point { start, count }| Bucket { start: seconds(start), count };
    Ok(Json(points.into_iter().map(bucket).collect()))
}

impl Counted {
    fn of(name: String, Counts { total, minute, hour, day, month }: Counts) -> Self {
        Self { name, total, minute, hour, day, month }
    }
}

fn time_of(field: &str, time: Option<f64>) -> Result<Option<SystemTime>, ApiError> {
    if time.is_some_and(|time| !(0.0..=LATEST).contains(&time)) {
        return Err(ApiError::bad_request(format!(
            "{field} must be seconds from 1970 to the year 9998"
        )));
    }
    Ok(time.map(|time| UNIX_EPOCH + Duration::from_secs_f64(time)))
}
