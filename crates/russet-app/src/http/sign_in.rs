//! The pages `/login` and `/sessions`: forms, which work without script.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use russet_axum::extract::Query;
use russet_axum::session::{Next, OwnSession};
use russet_axum::{ApiError, Session, Visitor};
use serde::Deserialize;

use super::account::{self, LoginBody, fields};
use super::home::{page as rendered, remember};
use crate::AppState;
use crate::pages::{Choice, Login, OwnSessions, Preferences};

/// Where to go after the login.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    next: Next,
}

/// The form of the login.
#[derive(Deserialize)]
struct LoginForm {
    #[serde(flatten)]
    login: LoginBody,
    #[serde(default)]
    next: Next,
}

/// The form of a session that is to end: its id, `others` or `all`.
#[derive(Debug, Deserialize)]
struct EndForm {
    end: String,
}

/// `GET /login`: the form, or who is signed in already.
pub async fn page(
    Query(choice): Query<Choice>,
    Query(wanted): Query<Wanted>,
    uri: Uri,
    headers: HeaderMap,
    session: Option<Session>,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    rendered(&form(&headers, wanted.next, session.as_ref())?)
}

/// `POST /login`: the form again when it was wrong, else where one wanted to go.
pub async fn sign_in(
    State(app): State<AppState>,
    visitor: Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let LoginForm { login, next } = fields(request).await?;
    let refused = match account::sign_in(&app, &visitor, login).await {
        Ok(_) => return Ok(next.into_response()),
        Err(error) => error,
    };
    let status = refused.status();
    let mut page = form(&headers, next, None)?;
    page.error = match status {
        StatusCode::UNAUTHORIZED => page.t.login_wrong,
        StatusCode::TOO_MANY_REQUESTS => page.t.login_too_many,
        StatusCode::SERVICE_UNAVAILABLE => page.t.login_away,
        _ => return Err(refused),
    };
    // With the headers of the error, which is logged by that.
    let wait = refused.into_response().headers_mut().remove(header::RETRY_AFTER);
    let mut response = (status, rendered(&page)?).into_response();
    response.headers_mut().extend(wait.map(|wait| (header::RETRY_AFTER, wait)));
    Ok(response)
}

/// `POST /logout`.
pub async fn sign_out(visitor: Visitor) -> Result<Redirect, ApiError> {
    visitor.sign_out().await?;
    Ok(Redirect::to("/login"))
}

/// `GET /sessions`: where one is signed in; who is not is led to the login and back.
pub async fn sessions(
    Query(choice): Query<Choice>,
    uri: Uri,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &uri) {
        return Ok(redirect);
    }
    let Some(session) = visitor.session().await? else {
        return Ok(Redirect::to(&Next::after("/login", &uri)).into_response());
    };
    let prefs = Preferences::of(&headers);
    let mut sessions: Vec<OwnSession> = account::own(&visitor, &session).await?;
    sessions.reverse();
    rendered(&OwnSessions {
        t: prefs.messages(),
        prefs,
        user: session.user(),
        csrf: session.csrf_token()?,
        sessions,
    })
}

/// `POST /sessions`: ends one of them, all others, or all.
pub async fn end(
    visitor: Visitor,
    session: Session,
    request: Request,
) -> Result<Redirect, ApiError> {
    let EndForm { end } = fields(request).await?;
    match end.as_str() {
        "all" => {
            account::end_all(visitor, session).await?;
            return Ok(Redirect::to("/login"));
        }
        "others" => {
            account::end_others(visitor, session).await?;
        }
        id => match account::end(&visitor, &session, id).await {
            // Somebody else, or its time, was faster.
            Err(error) if error.status() == StatusCode::NOT_FOUND => {}
            ended => ended?,
        },
    }
    Ok(Redirect::to("/sessions"))
}

fn form(headers: &HeaderMap, next: Next, session: Option<&Session>) -> Result<Login, ApiError> {
    let prefs = Preferences::of(headers);
    let signed_in = session
        .map(|session| Ok::<_, ApiError>((session.user().to_owned(), session.csrf_token()?)));
    Ok(Login { t: prefs.messages(), prefs, next, signed_in: signed_in.transpose()?, error: "" })
}
