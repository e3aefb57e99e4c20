use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use russet::{SessionInfo, SignedOut};
use serde::Serialize;

use super::extract::Session;
use super::visitor::Visitor;
use crate::error::ApiError;
use crate::extract::{Json, Path};

/// One of the sessions of whoever asks. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OwnSession {
    /// Its public name: nobody signs in with it.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it was made.
    pub created: u64,
    /// When it was used last.
    pub last_seen: u64,
    /// When it ends however much it is used.
    pub ends: u64,
    /// The address that it was made from.
    pub ip: Option<IpAddr>,
    /// The address that it was used from last.
    pub last_ip: Option<IpAddr>,
    /// What its device said it was: any text, to be shown as text.
    pub user_agent: String,
    /// The applications that it has signed in to.
    pub apps: Vec<String>,
}

/// Routes by which everybody who is signed in sees and ends the own sessions; to be nested.
///
/// | route | does |
/// | --- | --- |
/// | `GET /` | lists them: `[OwnSession]`, the oldest first |
/// | `DELETE /` | ends them all, this one too: 204 |
/// | `DELETE /others` | ends all but this one: 204 |
/// | `DELETE /{id}` | ends one: 204, and 404 when it is none of this user's |
pub fn own_sessions<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(list).delete(end_all))
        .route("/others", delete(end_others))
        .route("/{id}", delete(end_one))
}

async fn list(visitor: Visitor, session: Session) -> Result<Json<Vec<OwnSession>>, ApiError> {
    let all = visitor.sessions().list(session.user()).await?;
    Ok(Json(all.into_iter().map(|info| OwnSession::new(info, &session)).collect()))
}

async fn end_all(visitor: Visitor, session: Session) -> Result<StatusCode, ApiError> {
    visitor.sessions().sign_out_everywhere(session.user()).await?;
    visitor.forget().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_others(visitor: Visitor, session: Session) -> Result<StatusCode, ApiError> {
    visitor.sessions().sign_out_others(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_one(
    visitor: Visitor,
    session: Session,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found("you have no such session");
    let id = id.parse().map_err(|_| unknown())?;
    match visitor.sessions().revoke(session.user(), id).await? {
        SignedOut::Done { .. } if session.is(id) => visitor.forget().await?,
        SignedOut::Done { .. } => {}
        SignedOut::Unknown => return Err(unknown()),
    }
    Ok(StatusCode::NO_CONTENT)
}

impl OwnSession {
    /// What its owner is shown of it, asked by this session.
    #[must_use]
    pub fn new(info: SessionInfo, asking: &Session) -> Self {
        Self {
            id: info.id.to_string(),
            current: asking.is(info.id),
            created: seconds(info.created),
            last_seen: seconds(info.last_seen),
            ends: seconds(info.ends),
            ip: info.ip,
            last_ip: info.last_ip,
            user_agent: info.user_agent,
            apps: info.apps.into_iter().map(|app| app.app).collect(),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
