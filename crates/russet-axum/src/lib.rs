//! Pieces of russet for services on axum.
//!
//! - [`Server`]: serves a router with limits for everything that a client can make last.
//! - [`session`]: who is signed in, by a cookie; and protection against requests that another site makes a browser send.
//! - [`request_id`]: a name for each request, in its log lines, its answer and its errors.
//! - [`error`]: one JSON shape for every error; `russet::Error` maps to the right status by `?`.
//! - [`extract`]: axum's `Json`, `Path` and `Query` with refusals in that shape.
//! - [`mod@panic`]: a handler that panics answers 500 in that shape.
//! - `rate_limit` (a feature of this name): a layer that lets each client call so often, and says so in the answer's headers.
//!
//! ```
//! use axum::{Router, middleware, routing::get};
//! use russet_axum::{error, panic, request_id};
//!
//! let app: Router = Router::new()
//!     .route("/", get(async || "hello"))
//!     .fallback(error::no_route)
//!     .method_not_allowed_fallback(error::no_method)
//!     .layer(middleware::from_fn(panic::catch))
//!     .layer(middleware::from_fn(request_id::propagate));
//! ```

pub mod error;
pub mod extract;
pub mod panic;
#[cfg(feature = "rate_limit")]
pub mod rate_limit;
pub mod request_id;
pub mod server;
pub mod session;

pub use error::ApiError;
#[cfg(feature = "rate_limit")]
pub use rate_limit::RateLimitLayer;
pub use server::Server;
pub use session::{CsrfLayer, Session, SessionLayer, Visitor};
