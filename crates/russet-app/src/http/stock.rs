//! `/api/stock`: how many there are of each product.

use axum::extract::State;
use axum::http::StatusCode;
use russet::{Stock, StockChange};
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::names::{check_limit, check_shown};
use super::openapi::{ErrorBody, RefusedBody};
use crate::AppState;

/// Which products.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Products {
    /// Only products behind this one; the last of the page before.
    after: Option<String>,
    /// How many at most. Default 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// How many there are to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// All of them, the reserved and sold ones among them.
    #[schema(minimum = 0, example = 100)]
    total: u64,
    /// The name of this call: within a day, the same call again changes nothing and gives the first answer.
    request_id: Option<String>,
}

/// How many come or go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// How many more, or fewer when it is negative.
    #[schema(example = 10)]
    units: i64,
    /// The name of this call: within a day, the same call again changes nothing and gives the first answer.
    request_id: Option<String>,
}

/// The units of a product. `free + reserved + sold = total`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StockView {
    pub(crate) product: String,
    /// All of them.
    pub(crate) total: u64,
    /// Those that can be reserved.
    pub(crate) free: u64,
    /// Those that somebody holds.
    pub(crate) reserved: u64,
    /// Those that are sold.
    pub(crate) sold: u64,
}

/// A total that cannot be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TooLowBody {
    /// What is wrong, for people.
    error: String,
    /// The request's id, as in the `x-request-id` header and the log.
    request_id: Option<String>,
    /// How many are reserved.
    reserved: u64,
    /// How many are sold.
    sold: u64,
}

/// The products with their units, ordered by name.
#[utoipa::path(get, path = "/api/stock", operation_id = "list_stock", tag = "shop", params(Products), responses(
    (status = 200, description = "The products", body = [StockView]),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn list(
    State(app): State<AppState>,
    Query(products): Query<Products>,
) -> Result<Json<Vec<StockView>>, ApiError> {
    let limit = check_limit(products.limit.unwrap_or(20))?;
    let after = products.after.filter(|after| !after.is_empty());
    let listed = app.shop.products(after.as_deref(), limit).await?;
    Ok(Json(listed.into_iter().map(|(product, stock)| StockView::of(product, stock)).collect()))
}

/// The units of a product.
#[utoipa::path(get, path = "/api/stock/{product}", operation_id = "get_stock", tag = "shop",
    params(("product" = String, Path, description = "Its name", example = "cider")), responses(
    (status = 200, description = "The units", body = StockView),
    (status = 400, description = "Not a name", body = ErrorBody),
    (status = 404, description = "No such product", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn get(
    State(app): State<AppState>,
    Path(product): Path<String>,
) -> Result<Json<StockView>, ApiError> {
    check_shown("product", &product)?;
    let stock = app.shop.get(&product).await?.ok_or_else(no_such_product)?;
    Ok(Json(StockView::of(product, stock)))
}

/// Sets how many units there are in all; makes the product when there is none.
#[utoipa::path(put, path = "/api/stock/{product}", operation_id = "set_stock", tag = "shop", request_body = Total,
    params(("product" = String, Path, description = "Its name: 1 to 256 bytes, without control characters", example = "cider")), responses(
    (status = 200, description = "The units as they are now, or were after the first call of this name", body = StockView),
    (status = 400, description = "Not a name, or a field is missing or wrong", body = ErrorBody),
    (status = 409, description = "More are reserved and sold", body = TooLowBody),
    (status = 503, description = "Redis is away; setting it again does no harm", body = ErrorBody),
    RefusedBody,
))]
pub async fn set(
    State(app): State<AppState>,
    Path(product): Path<String>,
    Json(Total { total, request_id }): Json<Total>,
) -> Result<Json<StockView>, ApiError> {
    check_shown("product", &product)?;
    let mut change = app.shop.set_stock(&product, total);
    if let Some(request) = &request_id {
        change = change.request_id(request);
    }
    let changed = change.await?;
    done(product, changed)
}

/// Adds units, or takes some away; makes the product when there is none.
#[utoipa::path(post, path = "/api/stock/{product}/adjust", operation_id = "adjust_stock", tag = "shop", request_body = Adjustment,
    params(("product" = String, Path, description = "Its name: 1 to 256 bytes, without control characters", example = "cider")), responses(
    (status = 200, description = "The units as they are now, or were after the first call of this name", body = StockView),
    (status = 400, description = "Not a name, or a field is missing or wrong", body = ErrorBody),
    (status = 409, description = "Fewer would be left than are reserved and sold", body = TooLowBody),
    (status = 503, description = "Redis is away; with a request_id the same call can be made again", body = ErrorBody),
    RefusedBody,
))]
pub async fn adjust(
    State(app): State<AppState>,
    Path(product): Path<String>,
    Json(Adjustment { units, request_id }): Json<Adjustment>,
) -> Result<Json<StockView>, ApiError> {
    check_shown("product", &product)?;
    let mut change = app.shop.adjust(&product, units);
    if let Some(request) = &request_id {
        change = change.request_id(request);
    }
    let changed = change.await?;
    done(product, changed)
}

/// Takes a product out of the shop.
#[utoipa::path(delete, path = "/api/stock/{product}", operation_id = "remove_stock", tag = "shop",
    params(("product" = String, Path, description = "Its name", example = "cider")), responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "Not a name", body = ErrorBody),
    (status = 404, description = "No such product", body = ErrorBody),
    (status = 409, description = "Units of it are reserved", body = ErrorBody),
    (status = 503, description = "Redis is away; removing it again does no harm", body = ErrorBody),
))]
pub async fn remove(
    State(app): State<AppState>,
    Path(product): Path<String>,
) -> Result<StatusCode, ApiError> {
    check_shown("product", &product)?;
    match app.shop.remove(&product).await? {
        Some(true) => Ok(StatusCode::NO_CONTENT),
        Some(false) => Err(no_such_product()),
        None => Err(ApiError::new(StatusCode::CONFLICT, "units of it are reserved")),
    }
}

fn done(product: String, changed: StockChange) -> Result<Json<StockView>, ApiError> {
    match changed {
        StockChange::Done { stock, .. } => Ok(Json(StockView::of(product, stock))),
        StockChange::TooLow { stock } => {
            let refusal = "the total would be less than what is reserved and sold";
            let refusal = ApiError::new(StatusCode::CONFLICT, refusal);
            Err(refusal.with("reserved", stock.reserved).with("sold", stock.sold))
        }
    }
}

impl StockView {
    pub(crate) fn of(product: String, stock: Stock) -> Self {
        let Stock { total, free, reserved, sold, .. } = stock;
        Self { product, total, free, reserved, sold }
    }
}

pub(super) fn no_such_product() -> ApiError {
    ApiError::not_found("there is no product of this name")
}
