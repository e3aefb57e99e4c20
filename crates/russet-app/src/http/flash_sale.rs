//! `/api/demo/flash_sale`: 1,000 buyers, 100 units.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use russet_axum::ApiError;
use russet_axum::extract::Json;

use super::openapi::ErrorBody;
use crate::AppState;
use crate::flash_sale::Sale;

/// Opens a sale: 1,000 buyers come for 100 units at the same moment. One sale at a time.
#[utoipa::path(post, path = "/api/demo/flash_sale", operation_id = "open_flash_sale", tag = "demonstration", responses(
    (status = 202, description = "It goes on by itself", body = Sale),
    (status = 429, description = "Another run is under way", body = ErrorBody),
))]
pub async fn start(State(app): State<AppState>) -> Result<(StatusCode, Json<Sale>), ApiError> {
    app.flash_sale.start().map_err(|busy| {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, busy.to_string())
            .retry_after(Duration::from_secs(1))
    })?;
    Ok((StatusCode::ACCEPTED, Json(app.flash_sale.show())))
}

/// The last sale of this process, as it stands now.
#[utoipa::path(get, path = "/api/demo/flash_sale", operation_id = "flash_sale", tag = "demonstration", responses(
    (status = 200, description = "Its buyers and the stock", body = Sale),
))]
pub async fn show(State(app): State<AppState>) -> Json<Sale> {
    Json(app.flash_sale.show())
}
