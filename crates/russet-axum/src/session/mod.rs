//! Who is signed in, by a cookie: [`russet::Sessions`] in an axum application.
//!
//! [`SessionLayer`] gives each request a [`Visitor`], who can sign in and out; [`Session`] as an argument of a handler asks for
//! somebody who is signed in. What a route does not look at costs nothing: the session is loaded when it is first asked for, in
//! one round trip for the whole request. [`CsrfLayer`] keeps requests away that another site made the browser send.
//!
//! ```
//! # use russet::testing::TestServer;
//! use axum::{Router, extract::Form, routing::{get, post}};
//! use russet::{Russet, Sessions};
//! use russet_axum::{ApiError, CsrfLayer, Session, SessionLayer, Visitor};
//!
//! # #[derive(serde::Deserialize)]
//! # struct Login { name: String, password: String }
//! # fn is_password_of(name: &str, password: &str) -> bool { name == "ann" && password == "correct horse" }
//! async fn me(session: Session) -> String {
//!     format!("signed in as {}", session.user())
//! }
//!
//! async fn login(visitor: Visitor, Form(login): Form<Login>) -> Result<&'static str, ApiError> {
//!     if !is_password_of(&login.name, &login.password) {
//!         return Err(ApiError::unauthorized());
//!     }
//!     visitor.sign_in(&login.name).await?; // a new session; one that the browser had before ends
//!     Ok("welcome")
//! }
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = TestServer::start().await?;
//! # let (url, key) = (server.url(), [7; 32]);
//! let sessions = Sessions::builder(&Russet::connect(&url).await?, "web").secret(key).build()?;
//!
//! let app: Router = Router::new()
//!     .route("/me", get(me))
//!     .route("/login", post(login))
//!     .route("/logout", post(async |visitor: Visitor| visitor.sign_out().await))
//!     .nest("/sessions", russet_axum::session::own_sessions())
//!     .layer(CsrfLayer::new())
//!     .layer(SessionLayer::new(sessions)); // __Host- cookie, HttpOnly, Secure, SameSite=Lax
//! # use axum::{body::Body, http::{Request, StatusCode}};
//! # use tower::ServiceExt;
//! # let form = Body::from("name=ann&password=correct+horse");
//! # let login = Request::post("/login").header("content-type", "application/x-www-form-urlencoded").body(form)?;
//! # let answer = app.clone().oneshot(login).await?;
//! # let cookie = answer.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
//! # let me = Request::get("/me").header("cookie", cookie).body(Body::empty())?;
//! # let answer = app.clone().oneshot(me).await?;
//! # assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await?, "signed in as ann");
//! # let answer = app.oneshot(Request::get("/me").body(Body::empty())?).await?;
//! # assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) }
//! ```
//!
//! A form of somebody who is signed in has a field `_csrf` with [`Session::csrf_token`](russet::Session::csrf_token); a script sends
//! the same in the header `X-CSRF-Token`.
//!
//! Nobody is let in while Redis is away: what asks for a session is answered with 503, in the shape of every [error](crate::error).
//! No cookie, one of an unknown, expired or forged session, and one from another device get one and the same answer, 401;
//! the log says which it was.
//!
//! A cookie is cleared by signing out alone, and not because its session was refused: the answer to a request that was under
//! way while somebody signed in would take away the new one.

mod address;
mod cookie;
mod csrf;
mod extract;
mod layer;
mod next;
mod origin;
mod own;
mod require;
mod sign_in;
mod visitor;

pub use cookie::BadCookieName;
pub use csrf::{CsrfLayer, CsrfService};
pub use extract::Session;
pub use ipnet::IpNet;
pub use layer::{SessionLayer, SessionService};
pub use next::Next;
pub use own::{OwnSession, own_sessions};
pub use require::{Require, RequireService};
pub use sign_in::SignIn;
pub use visitor::Visitor;
