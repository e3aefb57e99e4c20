//! `/api/overview`: what runs, for the home page.

use axum::extract::State;
use russet_axum::extract::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::leaderboard::Line;
use super::views::{self, PageViews};
use crate::AppState;

/// What runs. What is away is `null`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// The Redis server.
    pub redis: Option<Redis>,
    /// The database.
    pub database: Option<Sql>,
    /// The page views; asking does not count one.
    pub page_views: Option<PageViews>,
    /// The ten best players.
    pub leaderboard: Option<Vec<Line>>,
}

/// The Redis server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Redis {
    /// `redis` or `valkey`.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Bytes of memory it uses.
    pub used_memory: u64,
    /// Commands it has run since it started.
    pub commands: u64,
}

/// The database.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sql {
    /// `sqlite`, `mysql` or `mariadb`.
    pub kind: &'static str,
    /// Its version.
    pub version: String,
    /// How many users it holds.
    pub users: i64,
    /// By how many milliseconds each look-up of a user is slowed down.
    pub slowed_by_ms: u64,
}

/// What runs, with the figures of the home page.
#[utoipa::path(get, path = "/api/overview", tag = "operation", responses(
    (status = 200, description = "What is away is null", body = Overview),
))]
pub async fn overview(State(app): State<AppState>) -> Json<Overview> {
    Json(look(&app, views::read(&app.views)).await)
}

/// Asks everything at once; the caller says whether the views are counted or read.
pub(super) async fn look(
    app: &AppState,
    page_views: impl Future<Output = russet::Result<PageViews>>,
) -> Overview {
    let (health, views, top, sql) =
        tokio::join!(app.russet.health(), page_views, app.board.top(10), database(app));
    Overview {
        redis: health.ok().map(|health| Redis {
            server: health.server,
            version: health.version,
            used_memory: health.used_memory,
            commands: health.commands,
        }),
        database: sql.ok(),
        page_views: views.ok(),
        leaderboard: top.ok().map(|ranked| ranked.into_iter().map(Line::from).collect()),
    }
}

async fn database(app: &AppState) -> Result<Sql, crate::db::DbError> {
    let slowed_by_ms = u64::try_from(app.db.slow().as_millis()).unwrap_or(u64::MAX);
    let version = app.db.version().await?;
    let users = app.db.count_users().await?;
    Ok(Sql { kind: version.kind, version: version.number, users, slowed_by_ms })
}
