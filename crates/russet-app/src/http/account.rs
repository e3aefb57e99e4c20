//! `/api/login`, `/api/logout`, `/api/session` and `/api/sessions`: who is signed in, and where.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{StatusCode, header};
use russet::SignedOut;
use russet_axum::extract::{Json, Path};
use russet_axum::session::OwnSession;
use russet_axum::{ApiError, Session, Visitor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::{ErrorBody, RefusedBody};
use super::tasks::seconds;
use crate::AppState;
use crate::accounts::{AccountError, Login, Password};

/// A name and a password; JSON, or the fields of a form.
#[derive(Deserialize, ToSchema)]
pub struct LoginBody {
    /// The account's name.
    #[schema(example = "admin")]
    pub(super) username: String,
    /// Its password.
    #[schema(example = "correct horse battery")]
    pub(super) password: String,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct Who {
    /// The account; null when nobody is signed in.
    user: Option<String>,
    /// What it may do: `admin` may do everything.
    roles: Vec<String>,
    /// What requests that change something must send as `X-CSRF-Token`, or a form as `_csrf`; null when nobody is signed in.
    csrf_token: Option<String>,
    /// The session's public name.
    session_id: Option<String>,
    /// When it ends however much it is used, in seconds since 1970.
    ends: Option<f64>,
    /// Whether one must be signed in to change something here.
    needs_login: bool,
}

/// A session of whoever asks. Times are seconds since 1970.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    /// Its public name: nobody signs in with it.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// When it was made.
    created: u64,
    /// When it was used last.
    last_seen: u64,
    /// When it ends however much it is used.
    ends: u64,
    /// The address that it was made from.
    ip: Option<String>,
    /// The address that it was used from last.
    last_ip: Option<String>,
    /// What its device said it was.
    user_agent: String,
    /// The applications that it has signed in to.
    apps: Vec<String>,
}

/// Signs in: a new session, whose token is in the cookie. One that the client had before ends.
#[utoipa::path(post, path = "/api/login", operation_id = "login", tag = "account",
    request_body(content((LoginBody = "application/json"), (LoginBody = "application/x-www-form-urlencoded"))),
    responses(
    (status = 200, description = "Signed in", body = Who,
     headers(("set-cookie" = String, description = "The session, for programs and browsers that keep cookies"))),
    (status = 400, description = "A field is missing", body = ErrorBody),
    (status = 401, description = "No such account, or another password: which of them is not told", body = ErrorBody),
    (status = 403, description = "A page of another site sent it, or the CSRF token of the session before is missing", body = ErrorBody),
    (status = 429, description = "Too many tries, for this account or from this address: Retry-After says when", body = ErrorBody),
    (status = 503, description = "Redis or the database is away: nobody is signed in", body = ErrorBody),
    RefusedBody,
))]
pub async fn login(
    State(app): State<AppState>,
    visitor: Visitor,
    request: Request,
) -> Result<Json<Who>, ApiError> {
    let body: LoginBody = fields(request).await?;
    let session = sign_in(&app, &visitor, body).await?;
    Ok(Json(Who::of(&app, Some(&session))?))
}

/// Signs out: the session ends. Without one nothing happens.
#[utoipa::path(post, path = "/api/logout", operation_id = "logout", tag = "account", responses(
    (status = 204, description = "Nobody is signed in now"),
    (status = 403, description = "The CSRF token is missing or wrong", body = ErrorBody),
    (status = 503, description = "Redis is away: the session goes on", body = ErrorBody),
))]
pub async fn logout(visitor: Visitor) -> Result<StatusCode, ApiError> {
    visitor.sign_out().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in, and the token for what changes something.
#[utoipa::path(get, path = "/api/session", operation_id = "session", tag = "account", responses(
    (status = 200, description = "Who asks; user is null when nobody is signed in", body = Who),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn session(
    State(app): State<AppState>,
    session: Option<Session>,
) -> Result<Json<Who>, ApiError> {
    Ok(Json(Who::of(&app, session.as_ref())?))
}

/// Lists the own sessions, the oldest first.
#[utoipa::path(get, path = "/api/sessions", operation_id = "sessions", tag = "account", responses(
    (status = 200, description = "The sessions", body = [SessionBody]),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn list(visitor: Visitor, session: Session) -> Result<Json<Vec<SessionBody>>, ApiError> {
    Ok(Json(own(&visitor, &session).await?.into_iter().map(SessionBody::from).collect()))
}

/// Signs out everywhere: ends all own sessions, this one too.
#[utoipa::path(delete, path = "/api/sessions", operation_id = "end_sessions", tag = "account", responses(
    (status = 204, description = "All are ended"),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 403, description = "The CSRF token is missing or wrong", body = ErrorBody),
    (status = 503, description = "Redis is away: the sessions go on", body = ErrorBody),
))]
pub async fn end_all(visitor: Visitor, session: Session) -> Result<StatusCode, ApiError> {
    visitor.sessions().sign_out_everywhere(session.user()).await?;
    visitor.forget().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs out everywhere else: ends all own sessions but this one.
#[utoipa::path(delete, path = "/api/sessions/others", operation_id = "end_other_sessions", tag = "account", responses(
    (status = 204, description = "The others are ended"),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 403, description = "The CSRF token is missing or wrong", body = ErrorBody),
    (status = 503, description = "Redis is away: the sessions go on", body = ErrorBody),
))]
pub async fn end_others(visitor: Visitor, session: Session) -> Result<StatusCode, ApiError> {
    visitor.sessions().sign_out_others(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of the own sessions.
#[utoipa::path(delete, path = "/api/sessions/{id}", operation_id = "end_session", tag = "account",
    params(("id" = String, Path, description = "The session's public name", example = "0123456789abcdef0123456789abcdef")),
    responses(
    (status = 204, description = "It is ended"),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 403, description = "The CSRF token is missing or wrong", body = ErrorBody),
    (status = 404, description = "You have no such session", body = ErrorBody),
    (status = 503, description = "Redis is away: the session goes on", body = ErrorBody),
))]
pub async fn end_one(
    visitor: Visitor,
    session: Session,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    end(&visitor, &session, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of somebody's sessions.
pub(super) async fn end(visitor: &Visitor, session: &Session, id: &str) -> Result<(), ApiError> {
    let unknown = || ApiError::not_found("you have no such session");
    let id = id.parse().map_err(|_| unknown())?;
    match visitor.sessions().revoke(session.user(), id).await? {
        SignedOut::Done { .. } if session.id() == id => visitor.forget().await,
        SignedOut::Done { .. } => Ok(()),
        SignedOut::Unknown => Err(unknown()),
    }
}

/// Somebody's sessions.
pub(super) async fn own(visitor: &Visitor, session: &Session) -> Result<Vec<OwnSession>, ApiError> {
    let all = visitor.sessions().list(session.user()).await?;
    Ok(all.into_iter().map(|info| OwnSession::new(info, session)).collect())
}

/// Signs in who has the password.
pub(super) async fn sign_in(
    app: &AppState,
    visitor: &Visitor,
    LoginBody { username, password }: LoginBody,
) -> Result<Session, ApiError> {
    // Without a socket, as in tests, there is no address: then all are one.
    let address = visitor.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    match app.accounts.check(&username, Password::typed(password), address).await? {
        Login::Right(account) => {
            let roles = account.roles.split_whitespace();
            let session = visitor.sign_in(&account.name).roles(roles).await?;
            if app.accounts.is_as_before(&account).await? {
                tracing::info!(account = account.name, %address, "signed in");
                return Ok(session);
            }
            visitor.sign_out().await?;
            Err(wrong())
        }
        Login::Wrong => Err(wrong()),
        Login::TooMany(wait) => {
            // In whole seconds, so that who waits as long as that is let in.
            let wait = Duration::from_secs(wait.as_secs() + 1);
            let error =
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "there were too many tries: wait");
            Err(error.retry_after(wait))
        }
    }
}

fn wrong() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong")
}

/// The body, JSON or a form.
pub(super) async fn fields<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_form =
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !is_form {
        let Json(body) = Json::from_request(request, &()).await?;
        return Ok(body);
    }
    let axum::Form(body) = axum::Form::from_request(request, &()).await.map_err(bad_form)?;
    Ok(body)
}

fn bad_form(rejection: FormRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
        }
        // Not what is in it: it may be a password.
        _ => ApiError::bad_request("a field is missing or wrong"),
    }
}

impl Who {
    fn of(app: &AppState, session: Option<&Session>) -> Result<Self, ApiError> {
        Ok(Self {
            user: session.map(|session| session.user().to_owned()),
            roles: session.map_or(Vec::new(), |session| session.roles().to_vec()),
            csrf_token: session.map(|session| session.csrf_token()).transpose()?,
            session_id: session.map(|session| session.id().to_string()),
            ends: session.map(|session| seconds(session.ends())),
            needs_login: app.access.needs_login(),
        })
    }
}

impl From<OwnSession> for SessionBody {
    fn from(own: OwnSession) -> Self {
        Self {
            id: own.id,
            current: own.current,
            created: own.created,
            last_seen: own.last_seen,
            ends: own.ends,
            ip: own.ip.map(|ip| ip.to_string()),
            last_ip: own.last_ip.map(|ip| ip.to_string()),
            user_agent: own.user_agent,
            apps: own.apps,
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Redis(error) => error.into(),
            AccountError::Database(error) => error.into(),
            AccountError::Busy => {
                Self::unavailable("too many sign in at the same time").caused_by(error)
            }
            other => Self::internal(other),
        }
    }
}
