//! A layer that lets each client call so often.
//!
//! Each answer tells the client how much is left, as the IETF's draft-ietf-httpapi-ratelimit-headers-10 has it: `RateLimit-Policy`
//! lists the limits, `RateLimit` the one of which least is left, both as structured fields.
//!
//! ```text
//! RateLimit-Policy: "api";q=20;w=12
//! RateLimit: "api";r=19;t=1
//! ```
//!
//! `q` calls can come at once and within `w` seconds; `r` of them are left, and all of them are there again in `t` seconds. A
//! limiter of several limits has a policy for each, `"api-1"` and on, in their order.
//!
//! A call that comes too often is answered with 429 in the one shape of [`crate::error`], with `Retry-After`. It never reaches
//! the handler, and its body is not read.
//!
//! While Redis is away the limiter's [policy](russet::WhenAway) decides: `Fail` and `Deny` answer 503, since the client did nothing
//! wrong, and `Allow` lets the call through, without the headers.

mod headers;
mod key;

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use russet::{Allowance, DecidedBy, RateLimiter};
use tower::{Layer, Service};

use crate::ApiError;
pub use key::{Key, by, by_async, by_header, by_ip};

/// Lets each client call so often: one or several limiters, each with what it tells clients apart by.
///
/// Each check is a round trip. They are made in their order, and the first that denies ends it: what the ones before it have counted
/// stays counted, so the strictest comes first.
///
/// ```
/// # use russet::testing::TestServer;
/// use std::time::Duration;
/// use axum::{Router, http::HeaderName, routing::get};
/// use russet::{Limit, RateLimiter, Russet, WhenAway};
/// use russet_axum::rate_limit::{RateLimitLayer, by_header, by_ip};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// let russet = Russet::connect(&url).await?;
/// let minute = Duration::from_secs(60);
/// let guests = RateLimiter::builder(&russet, "address")
///     .limit(Limit::gcra(100, minute).burst(20))
///     .when_away(WhenAway::Allow)
///     .build()?;
/// let keys = RateLimiter::builder(&russet, "key").limit(Limit::fixed(1_000, minute)).build()?;
///
/// let app: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(RateLimitLayer::new(guests, by_ip()).and(keys, by_header(HeaderName::from_static("x-api-key"))));
/// # drop(app);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RateLimitLayer {
    checks: Arc<Vec<Check>>,
}

/// The service of a [`RateLimitLayer`].
#[derive(Clone)]
pub struct RateLimit<S> {
    checks: Arc<Vec<Check>>,
    inner: S,
}

#[derive(Clone)]
struct Check {
    limiter: RateLimiter,
    key: Key,
    cost: u64,
}

impl RateLimitLayer {
    /// One check for each request: of the subject that `key` gives, by `limiter`. A request without a subject is not limited.
    #[must_use]
    pub fn new(limiter: RateLimiter, key: Key) -> Self {
        Self { checks: Arc::new(vec![Check { limiter, key, cost: 1 }]) }
    }

    /// One more check behind the others.
    #[must_use]
    pub fn and(mut self, limiter: RateLimiter, key: Key) -> Self {
        Arc::make_mut(&mut self.checks).push(Check { limiter, key, cost: 1 });
        self
    }

    /// As how many calls each request counts in the check that was added last. Defaults to 1.
    ///
    /// A cost of 0, or above what a limit could ever allow, makes each request fail with 400.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        if let Some(last) = Arc::make_mut(&mut self.checks).last_mut() {
            last.cost = cost;
        }
        self
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit { checks: self.checks.clone(), inner }
    }
}

impl<S> Service<Request> for RateLimit<S>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that was asked whether it is ready answers.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let checks = self.checks.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let mut told = Vec::new();
            let mut response = match ask(&checks, &parts, &mut told).await {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await?.into_response(),
                Err(refusal) => refusal.into_response(),
            };
            headers::tell(&mut response, &told);
            Ok(response)
        })
    }
}

/// Makes the checks, and notes what each of them said.
async fn ask<'a>(
    checks: &'a [Check],
    parts: &Parts,
    told: &mut Vec<(&'a RateLimiter, Allowance)>,
) -> Result<(), ApiError> {
    for Check { limiter, key, cost } in checks {
        let Some(subject) = key.of(parts).await? else { continue };
        let allowance = limiter.check(&subject).cost(*cost).await?;
        match (allowance.decided_by, allowance.is_allowed) {
            (DecidedBy::Policy, true) => {}
            (DecidedBy::Policy, false) => {
                return Err(ApiError::unavailable(
                    "the Redis server is away: whether this is too often cannot be told",
                ));
            }
            (DecidedBy::Limits, is_allowed) => {
                told.push((limiter, allowance));
                if !is_allowed {
                    let refusal = ApiError::new(
                        StatusCode::TOO_MANY_REQUESTS,
                        "this is too often: see the Retry-After header",
                    );
                    return Err(refusal.retry_after(allowance.retry_after));
                }
            }
        }
    }
    Ok(())
}
