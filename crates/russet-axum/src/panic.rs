//! A handler that panics costs its own request only.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::error::ApiError;

/// Middleware: answers 500 in the one shape of [`crate::error`] when the handler panics, and logs why.
///
/// Without it the connection is closed without an answer.
pub async fn catch(request: Request, next: Next) -> Response {
    // The request is gone afterwards, so nobody can see what the panic left half done in it.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            ApiError::internal(format!("a handler panicked: {}", message(&*panic))).into_response()
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
