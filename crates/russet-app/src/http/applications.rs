//! `/app/shop` and `/app/chat`: two applications under one sign-on, each with a cookie of its own. Neither sees the password, nor the
//! token of the session above it: a ticket, good once and for a minute, opens its session.
//!
//! Who comes without a session is sent to `/sso/{application}`, which asks for a login if there was none, and from there with a ticket to
//! `/app/{application}/enter`. A random `state`, kept in a cookie meanwhile, lets only the browser in that has asked:
//! else somebody could send a link that signs others in as himself.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use cookie::{Cookie, SameSite, time};
use russet::Sso;
use russet_axum::extract::{Path, Query};
use russet_axum::session::Next;
use russet_axum::{ApiError, CsrfLayer, Session, SessionLayer, Visitor, error};
use serde::Deserialize;

use super::home::{page as rendered, remember};
use crate::AppState;
use crate::pages::{Application, Choice, Preferences};

/// The applications.
const ALL: [&str; 2] = ["shop", "chat"];
/// How long the way through the login may take.
const PATIENCE: time::Duration = time::Duration::minutes(15);
/// The attribute that an application keeps in its own session.
const NOTE: &str = "note";
/// The most characters of it.
const LONGEST_NOTE: usize = 60;

/// Which application a request is for.
#[derive(Debug, Clone, Copy)]
struct Name(&'static str);

impl Name {
    fn path(self) -> &'static str {
        if self.0 == "shop" { "/app/shop" } else { "/app/chat" }
    }
}

/// What comes back with the ticket.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    state: String,
    #[serde(default)]
    ticket: String,
}

/// The form of what an application keeps.
#[derive(Debug, Deserialize)]
struct NoteForm {
    note: String,
}

/// All applications, each behind layers of its own.
pub fn routes(state: &AppState) -> Router<AppState> {
    ALL.into_iter().fold(Router::new(), |all, name| {
        let one = Router::new()
            .route("/", get(show).post(keep))
            .route("/enter", get(enter))
            .route("/leave", post(leave))
            .route("/logout", post(sign_out))
            .method_not_allowed_fallback(error::no_method)
            .layer(Extension(Name(name)))
            .layer(CsrfLayer::new())
            .layer(sessions(state, name));
        all.nest(Name(name).path(), one)
    })
}

fn sessions(state: &AppState, name: &'static str) -> SessionLayer {
    // The name is one of ours: it can be that of a cookie.
    let layer = super::sessions(state).application(name);
    layer.clone().cookie_name(name).unwrap_or(layer)
}

/// `GET /app/{application}`: what it knows; who is not signed in to it is sent to the sign-on.
async fn show(
    State(app): State<AppState>,
    Extension(name): Extension<Name>,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
    session: Option<Session>,
) -> Result<Response, ApiError> {
    if let Some(redirect) = remember(choice, &Uri::from_static(name.path())) {
        return Ok(redirect);
    }
    let Some(session) = session else { return ask(&app, name) };
    let csrf = session.csrf_token()?;
    let note = session.get(NOTE)?.unwrap_or_default();
    rendered(&page(name, &headers, Some((session.user().to_owned(), csrf)), note))
}

/// Sends the browser to the sign-on, and lets it remember that it has asked.
fn ask(app: &AppState, name: Name) -> Result<Response, ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(error.to_string()))?;
    let state = format!("{:032x}", u128::from_ne_bytes(bytes));
    let to = ["/sso/", name.0, "?state=", &state].concat();
    let mut response = Redirect::to(&to).into_response();
    set_state(&mut response, app, name, &state)?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /sso/{application}`, on the side of the sign-on: back with a ticket, after a login if nobody is signed in.
pub async fn ticket(
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let known = ALL.into_iter().find(|known| *known == name);
    let name = known.ok_or_else(|| ApiError::not_found("there is no such application"))?;
    let Some(session) = visitor.session().await? else {
        return Ok(Redirect::to(&Next::after("/login", &uri)).into_response());
    };
    let ticket = Sso::new(visitor.sessions()).ticket(&session, name).await?;
    // Whatever a client has sent as state is one parameter, and no header.
    let state: String = form_urlencoded::byte_serialize(asked.state.as_bytes()).collect();
    let to = ["/app/", name, "/enter?state=", &state, "&ticket=", ticket.expose()].concat();
    Ok(Redirect::to(&to).into_response())
}

/// `GET /app/{application}/enter`: opens the session that the ticket stands for. Else a page that leads back to the start.
async fn enter(
    State(app): State<AppState>,
    Extension(Name(name)): Extension<Name>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response, ApiError> {
    let signed_in = if remembers(&app, Name(name), &headers, &asked.state) {
        let sso = Sso::new(visitor.sessions());
        sso.redeem(&asked.ticket, name, visitor.device()).await?
    } else {
        tracing::warn!(
            application = name,
            "a ticket came with a browser that has not asked for it"
        );
        None
    };
    let mut response = match signed_in {
        Some(signed_in) => {
            visitor.adopt(signed_in).await?;
            Redirect::to(Name(name).path()).into_response()
        }
        None => {
            let page = rendered(&page(Name(name), &headers, None, String::new()))?;
            (StatusCode::FORBIDDEN, page).into_response()
        }
    };
    set_state(&mut response, &app, Name(name), "")?;
    Ok(response)
}

/// `POST /app/{application}`: keeps a note in the application's own session.
async fn keep(
    Extension(name): Extension<Name>,
    session: Session,
    Form(NoteForm { note }): Form<NoteForm>,
) -> Result<Redirect, ApiError> {
    if note.chars().count() > LONGEST_NOTE {
        return Err(ApiError::bad_request(format!("a note has {LONGEST_NOTE} characters at most")));
    }
    session.set(NOTE, &note).await?;
    Ok(Redirect::to(name.path()))
}

/// `POST /app/{application}/leave`: ends this application's session alone.
async fn leave(visitor: Visitor) -> Result<Redirect, ApiError> {
    visitor.sign_out().await?;
    Ok(Redirect::to("/sessions"))
}

/// `POST /app/{application}/logout`: ends the session above it, and with it those of all applications.
async fn sign_out(visitor: Visitor, session: Session) -> Result<Redirect, ApiError> {
    Sso::new(visitor.sessions()).sign_out_all(&session).await?;
    visitor.forget().await?;
    Ok(Redirect::to("/login"))
}

fn page(
    Name(name): Name,
    headers: &HeaderMap,
    signed_in: Option<(String, String)>,
    note: String,
) -> Application {
    let prefs = Preferences::of(headers);
    let t = prefs.messages();
    let title = if name == "shop" { t.app_shop } else { t.app_chat };
    Application { t, prefs, name, title, signed_in, note }
}

fn state_cookie(app: &AppState, Name(name): Name) -> String {
    let prefix = if app.access.has_plain_cookies() { "" } else { "__Host-" };
    [prefix, name, "-state"].concat()
}

/// Sets the cookie of those who have asked; with nothing in it, takes it away.
fn set_state(
    response: &mut Response,
    app: &AppState,
    name: Name,
    state: &str,
) -> Result<(), ApiError> {
    let cookie = Cookie::build((state_cookie(app, name), state.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(!app.access.has_plain_cookies())
        .max_age(PATIENCE);
    let cookie = if state.is_empty() { cookie.removal() } else { cookie };
    let value = HeaderValue::try_from(cookie.build().to_string()).map_err(ApiError::internal)?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

fn remembers(app: &AppState, name: Name, headers: &HeaderMap, state: &str) -> bool {
    let own = state_cookie(app, name);
    let mut lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    !state.is_empty()
        && lines.any(|line| {
            let mut cookies = Cookie::split_parse(line).flatten();
            cookies.any(|cookie| cookie.name() == own && cookie.value() == state)
        })
}
