//! `/api/stats/page_views`.

use axum::extract::State;
use russet::Counters;
use russet_axum::ApiError;
use russet_axum::extract::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::ErrorBody;
use crate::AppState;

/// The counter's name.
const PAGE_VIEWS: &str = "page_views";

/// How often pages were viewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PageViews {
    /// Ever.
    pub total_views: u64,
    /// Since midnight UTC.
    pub daily_views: u64,
}

/// Counts one view and tells how many there are.
#[utoipa::path(get, path = "/api/stats/page_views", tag = "statistics", responses(
    (status = 200, description = "The views, this one included", body = PageViews),
    (status = 503, description = "Redis is away; the text says whether the view may have been counted", body = ErrorBody),
))]
pub async fn count(State(app): State<AppState>) -> Result<Json<PageViews>, ApiError> {
    Ok(Json(add(&app.views).await?))
}

/// Counts one view.
pub(super) async fn add(views: &Counters) -> russet::Result<PageViews> {
    let counts = views.add(PAGE_VIEWS, 1).await?;
    Ok(PageViews { total_views: counts.total, daily_views: counts.day })
}

/// The views without counting one.
pub(super) async fn read(views: &Counters) -> russet::Result<PageViews> {
    let counts = views.get(PAGE_VIEWS).await?;
    Ok(PageViews { total_views: counts.total, daily_views: counts.day })
}
