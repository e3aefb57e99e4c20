//! "1,000 callers, one cold key": how many queries reach the database without and with protection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use russet::{Cache, Russet};
use russet_axum::ApiError;
use russet_axum::extract::Json;
use serde::Serialize;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::openapi::ErrorBody;
use crate::AppState;
use crate::db::{Database, User};
use crate::users::UsersError;

const CALLERS: usize = 1_000;

/// How long the query takes at least, in both runs. One that takes no time is over before the second caller has
/// come: then nothing is to be seen, on a machine like this one and with a database as small as this.
const QUERY: Duration = Duration::from_millis(100);

/// A cache of its own, and room for one run at a time. A cheap clone.
#[derive(Clone)]
pub struct Demo {
    cache: Cache<i64, User>,
    db: Database,
    room: Arc<Semaphore>,
}

/// What both ways cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColdKey {
    /// How many callers asked at the same moment, each time.
    callers: usize,
    /// How long the query took at least, each time.
    query_ms: u64,
    /// Look into the cache; on a miss read the database and store the result.
    unprotected: Run,
    /// The same through `Cache::find_with`.
    protected: Run,
}

/// One run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    /// Queries that reached the database.
    sql_queries: u64,
    /// Callers that got an error instead of an answer, such as a time limit that passed on a busy machine.
    failed: usize,
    /// Until the last caller had its answer.
    ms: f64,
}

impl Demo {
    pub(crate) fn new(russet: &Russet, db: Database) -> russet::Result<Self> {
        let cache = Cache::builder(russet, "demo").build()?;
        Ok(Self { cache, db, room: Arc::new(Semaphore::new(1)) })
    }

    /// Lets all callers go at the same moment, on a key that is not cached.
    async fn run(&self, way: Way, id: i64) -> Result<Run, ApiError> {
        self.cache.invalidate(&id).await?;
        let start = Arc::new(Start { line: Barrier::new(CALLERS), sql_queries: AtomicU64::new(0) });
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(self.clone().caller(way, id, start.clone()));
        }
        let began = Instant::now();
        let mut errors = Vec::new();
        while let Some(done) = callers.join_next().await {
            errors.extend(done.map_err(ApiError::internal)?.err());
        }
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let failed = errors.len();
        match errors.pop() {
            Some(error) if failed == CALLERS => Err(error.into()),
            _ => Ok(Run { sql_queries: start.sql_queries.load(Ordering::Relaxed), failed, ms }),
        }
    }

    /// How long the query takes at least, in milliseconds.
    pub(super) fn query_ms(&self) -> u64 {
        u64::try_from(self.query().as_millis()).unwrap_or(u64::MAX)
    }

    fn query(&self) -> Duration {
        self.db.slow().max(QUERY)
    }

    async fn caller(self, way: Way, id: i64, start: Arc<Start>) -> Result<(), UsersError> {
        start.line.wait().await;
        let load = async || {
            start.sql_queries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.query() - self.db.slow()).await;
            self.db.find_user(id).await
        };
        match way {
            Way::Protected => {
                self.cache.find_with(&id, load).await?;
            }
            Way::Unprotected => {
                if self.cache.get(&id).await?.is_none()
                    && let Some(user) = load().await?
                {
                    self.cache.put(&id, &user).await?;
                }
            }
        }
        Ok(())
    }
}

/// How a caller asks.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The classic cache-aside: everyone who misses loads.
    Unprotected,
    /// One caller loads, the others wait for its result.
    Protected,
}

/// Where the callers line up, and what they cost.
struct Start {
    line: Barrier,
    sql_queries: AtomicU64,
}

/// Runs 1,000 callers on one cold key, without and with protection. One run at a time.
#[utoipa::path(post, path = "/api/demo/cold_key", tag = "demonstration", responses(
    (status = 200, description = "The queries that reached the database, counted", body = ColdKey),
    (status = 404, description = "There is no user to ask for", body = ErrorBody),
    (status = 429, description = "Another run is under way", body = ErrorBody),
    (status = 503, description = "Redis or the database is away", body = ErrorBody),
))]
pub async fn cold_key(State(app): State<AppState>) -> Result<Json<ColdKey>, ApiError> {
    let demo = &app.demo;
    let Ok(_alone) = demo.room.try_acquire() else {
        let busy = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "another run is under way");
        return Err(busy.retry_after(std::time::Duration::from_secs(1)));
    };
    let users = app.users.list(0, 1).await?;
    let id = users
        .first()
        .map(|user| user.id)
        .ok_or_else(|| ApiError::not_found("there is no user to ask for"))?;
    let unprotected = demo.run(Way::Unprotected, id).await?;
    let protected = demo.run(Way::Protected, id).await?;
    Ok(Json(ColdKey { callers: CALLERS, query_ms: demo.query_ms(), unprotected, protected }))
}
