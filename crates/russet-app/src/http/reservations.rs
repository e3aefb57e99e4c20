//! `/api/reservations`: what buyers hold, until they pay.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use russet::{ExtendedHold, Hold, HoldState, Reservation, Settlement};
use russet_axum::extract::{Json, Path, Query};
use russet_axum::{ApiError, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::counters::one;
use super::names::{check_limit, check_shown};
use super::openapi::{ErrorBody, RefusedBody};
use super::stock::no_such_product;
use super::tasks::seconds;
use crate::AppState;
use crate::accounts::ADMINISTRATOR;

/// The longest hold, in seconds: a day.
const LONGEST_HOLD: f64 = 86_400.0;
/// The furthest that a list begins.
const FURTHEST: u64 = 1_000_000;

/// A wish to reserve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Of which product.
    #[schema(example = "cider")]
    product: String,
    /// How many units, all or none. Default 1.
    #[serde(default = "one")]
    #[schema(minimum = 1, example = 1)]
    quantity: u64,
    /// Whose it is: 1 to 256 bytes, without control characters. Where a login is needed, it is who is signed in, whatever stands here; elsewhere
    /// that is the default. Each user has at most ten units of a product within thirty days, reserved and bought together.
    #[schema(example = "ada")]
    user: Option<String>,
    /// How many seconds it holds. Default 300.
    #[schema(minimum = 0.001, maximum = 86_400)]
    hold: Option<f64>,
    /// The name of this call, 1 to 256 bytes, as that of an order: within a day, the same call again reserves nothing more and gives the first
    /// answer. It is the reservation's id; who knows it can confirm and cancel. A random one unless given.
    request_id: Option<String>,
}

/// How long it is to hold from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// In seconds, be that longer or shorter than before.
    #[schema(minimum = 0.001, maximum = 86_400, example = 300)]
    hold: f64,
}

/// Which of those that hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Without the first so many. Default 0.
    #[param(minimum = 0, maximum = 1_000_000)]
    offset: Option<u64>,
    /// How many at most. Default 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// A reservation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationView {
    id: String,
    product: String,
    quantity: u64,
    /// `null` when it is nobody's.
    user: Option<String>,
    /// `held`, `sold`, `cancelled` or `expired`.
    state: &'static str,
    /// Until when it holds, or would have held: seconds since 1970 UTC, by the clock of the Redis server.
    until: f64,
    /// How many seconds are left of that; 0 when it does not hold.
    left: f64,
}

/// What became of a reservation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Settled {
    id: String,
    /// `sold` or `cancelled`.
    state: &'static str,
}

/// A wish that cannot be fulfilled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InsufficientBody {
    /// What is wrong, for people.
    error: String,
    /// The request's id, as in the `x-request-id` header and the log.
    request_id: Option<String>,
    /// How many units this user could have.
    available: u64,
}

/// A reservation that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedBody {
    /// What is wrong, for people.
    error: String,
    /// The request's id, as in the `x-request-id` header and the log.
    request_id: Option<String>,
    /// `sold`, `cancelled` or `expired`.
    state: String,
}

/// Reserves units of a product for a while.
#[utoipa::path(post, path = "/api/reservations", operation_id = "reserve", tag = "shop", request_body = Wish, responses(
    (status = 201, description = "They are reserved", body = ReservationView, headers(("location" = String, description = "Its path"))),
    (status = 200, description = "The call was made before: the reservation as it is by now", body = ReservationView,
     headers(("location" = String, description = "Its path"))),
    (status = 400, description = "A field is missing or wrong, or the request_id is that of another call", body = ErrorBody),
    (status = 404, description = "No such product", body = ErrorBody),
    (status = 409, description = "Not so many are free, or this user may have", body = InsufficientBody),
    (status = 503, description = "Redis is away; with a request_id the same call can be made again", body = ErrorBody),
    RefusedBody,
))]
pub async fn reserve(
    State(app): State<AppState>,
    visitor: Visitor,
    Json(wish): Json<Wish>,
) -> Result<Response, ApiError> {
    check_shown("product", &wish.product)?;
    let user = buyer(&app, &visitor, wish.user).await?;
    if let Some(request) = &wish.request_id {
        check_shown("request_id", request)?;
    }
    let mut reserve = app.shop.reserve(&wish.product, wish.quantity).user(&user);
    if let Some(hold) = wish.hold {
        reserve = reserve.hold(checked_hold(hold)?);
    }
    if let Some(request) = &wish.request_id {
        reserve = reserve.request_id(request);
    }
    let held = match reserve.await? {
        Reservation::Held(held) => held,
        Reservation::Insufficient { available: 0 }
            if app.shop.get(&wish.product).await?.is_none() =>
        {
            return Err(no_such_product());
        }
        Reservation::Insufficient { available } => {
            return Err(conflict("not so many are free").with("available", available));
        }
        Reservation::OverLimit { allowed } => {
            return Err(conflict("this user may not have so many").with("available", allowed));
        }
    };
    // One that was made before may have ended since.
    let before = if held.is_new { None } else { app.shop.reservation(&held.id).await? };
    let hold = before.map_or("held", |hold| name(hold.state));
    let view = ReservationView {
        left: if hold == "held" { left(held.until) } else { 0.0 },
        product: wish.product,
        quantity: wish.quantity,
        user: Some(user),
        state: hold,
        until: seconds(held.until),
        id: held.id,
    };
    let status = if held.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/reservations/{}", encoded(&view.id));
    Ok((status, [(header::LOCATION, location)], Json(view)).into_response())
}

/// The reservations that hold, the next to end first.
#[utoipa::path(get, path = "/api/reservations", operation_id = "list_reservations", tag = "shop", params(Page), responses(
    (status = 200, description = "The reservations", body = [ReservationView]),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn list(
    State(app): State<AppState>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ReservationView>>, ApiError> {
    let (offset, limit) = (page.offset.unwrap_or(0), check_limit(page.limit.unwrap_or(20))?);
    if offset > FURTHEST {
        return Err(ApiError::bad_request(format!("offset must be 0 to {FURTHEST}")));
    }
    let holds = app.shop.reservations(offset, limit).await?;
    Ok(Json(holds.into_iter().map(ReservationView::from).collect()))
}

/// A reservation, also one that ended within a day.
#[utoipa::path(get, path = "/api/reservations/{id}", operation_id = "get_reservation", tag = "shop",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "How it stands", body = ReservationView),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such reservation, or it ended a day ago", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn get(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ReservationView>, ApiError> {
    check_shown("id", &id)?;
    let hold = app.shop.reservation(&id).await?.ok_or_else(no_such_reservation)?;
    Ok(Json(hold.into()))
}

/// Makes a reservation hold for so long from now on.
#[utoipa::path(post, path = "/api/reservations/{id}/extend", operation_id = "extend_reservation", tag = "shop", request_body = Extension,
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It holds", body = ReservationView),
    (status = 400, description = "Not an id, or a field is missing or wrong", body = ErrorBody),
    (status = 404, description = "No such reservation, or it ended a day ago", body = ErrorBody),
    (status = 409, description = "It has ended", body = EndedBody),
    (status = 503, description = "Redis is away; extending it again does no harm", body = ErrorBody),
    RefusedBody,
))]
pub async fn extend(
    State(app): State<AppState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Json(Extension { hold }): Json<Extension>,
) -> Result<Json<ReservationView>, ApiError> {
    check_shown("id", &id)?;
    check_owner(&app, &visitor, &id).await?;
    match app.shop.extend(&id, checked_hold(hold)?).await? {
        ExtendedHold::Held { .. } => get(State(app), Path(id)).await,
        ExtendedHold::Ended(settlement) => Err(ended(settlement)),
    }
}

/// Sells what is reserved. Done again, it gives the same answer.
#[utoipa::path(post, path = "/api/reservations/{id}/confirm", operation_id = "confirm_reservation", tag = "shop",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The units are sold", body = Settled),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such reservation, or it ended a day ago", body = ErrorBody),
    (status = 409, description = "It was cancelled, or its time has passed", body = EndedBody),
    (status = 503, description = "Redis is away; confirming it again does no harm", body = ErrorBody),
))]
pub async fn confirm(
    State(app): State<AppState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Json<Settled>, ApiError> {
    check_shown("id", &id)?;
    check_owner(&app, &visitor, &id).await?;
    match app.shop.confirm(&id).await? {
        Settlement::Sold { .. } => Ok(Json(Settled { id, state: "sold" })),
        other => Err(ended(other)),
    }
}

/// Gives back what is reserved. Done again, it gives the same answer.
#[utoipa::path(delete, path = "/api/reservations/{id}", operation_id = "cancel_reservation", tag = "shop",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The units are free again", body = Settled),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such reservation, or it ended a day ago", body = ErrorBody),
    (status = 409, description = "It was confirmed, or its time has passed", body = EndedBody),
    (status = 503, description = "Redis is away; cancelling it again does no harm", body = ErrorBody),
))]
pub async fn cancel(
    State(app): State<AppState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Json<Settled>, ApiError> {
    check_shown("id", &id)?;
    check_owner(&app, &visitor, &id).await?;
    match app.shop.cancel(&id).await? {
        Settlement::Cancelled { .. } => Ok(Json(Settled { id, state: "cancelled" })),
        other => Err(ended(other)),
    }
}

/// Who buys: who is signed in, where that is needed, and nobody else.
async fn buyer(
    app: &AppState,
    visitor: &Visitor,
    named: Option<String>,
) -> Result<String, ApiError> {
    if let Some(named) = named.filter(|_| !app.access.needs_login()) {
        check_shown("user", &named)?;
        return Ok(named);
    }
    let session = visitor.session().await?;
    let user = session.map(|session| session.user().to_owned());
    user.ok_or_else(|| ApiError::bad_request("user is missing, and nobody is signed in"))
}

/// Where a login is needed, a reservation is its owner's and an administrator's; for others there is none.
async fn check_owner(app: &AppState, visitor: &Visitor, id: &str) -> Result<(), ApiError> {
    if !app.access.needs_login() {
        return Ok(());
    }
    let session = visitor.session().await?.ok_or_else(ApiError::unauthorized)?;
    let hold = app.shop.reservation(id).await?.ok_or_else(no_such_reservation)?;
    let is_own = hold.user.as_deref() == Some(session.user());
    if is_own || session.has_role(ADMINISTRATOR) { Ok(()) } else { Err(no_such_reservation()) }
}

impl From<Hold> for ReservationView {
    fn from(hold: Hold) -> Self {
        let is_held = hold.state == HoldState::Held;
        Self {
            state: name(hold.state),
            until: seconds(hold.until),
            left: if is_held { left(hold.until) } else { 0.0 },
            id: hold.id,
            product: hold.product,
            quantity: hold.quantity,
            user: hold.user,
        }
    }
}

fn name(state: HoldState) -> &'static str {
    match state {
        HoldState::Held => "held",
        HoldState::Sold => "sold",
        HoldState::Cancelled => "cancelled",
        HoldState::Expired => "expired",
    }
}

/// By this machine's clock: for a countdown that is exact enough.
fn left(until: SystemTime) -> f64 {
    until.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64()
}

fn checked_hold(hold: f64) -> Result<Duration, ApiError> {
    if (0.001..=LONGEST_HOLD).contains(&hold) {
        return Ok(Duration::from_secs_f64(hold));
    }
    Err(ApiError::bad_request(format!("hold must be 0.001 to {LONGEST_HOLD} seconds")))
}

/// An id is the client's own text.
fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn conflict(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, message)
}

fn ended(settlement: Settlement) -> ApiError {
    let (message, state) = match settlement {
        Settlement::Sold { .. } => ("the reservation was confirmed before", "sold"),
        Settlement::Cancelled { .. } => ("the reservation was cancelled before", "cancelled"),
        Settlement::Expired => ("the time of the reservation has passed", "expired"),
        Settlement::Unknown => return no_such_reservation(),
    };
    conflict(message).with("state", state)
}

fn no_such_reservation() -> ApiError {
    ApiError::not_found("there is no reservation with this id")
}
