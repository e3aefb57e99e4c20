//! What the driver and the server report, in russet's own words.

use std::time::Duration;

use redis::{ErrorKind as DriverKind, RedisError, ServerError};

use super::call::Effect;
use crate::error::{Advice, Error, ErrorKind};

/// How long to leave a server alone that is loading, failing over or full.
const RECOVERING: Duration = Duration::from_millis(200);

/// The server answered, with an error.
pub(super) fn refused(subject: &str, error: &ServerError) -> Error {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    let (kind, advice) = match code {
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "READONLY"
        | "NOREPLICAS" | "MISCONF" | "OOM" => (ErrorKind::Refused, Advice::RetryAfter(RECOVERING)),
        "NOAUTH" | "WRONGPASS" | "NOPERM" => (ErrorKind::Refused, Advice::GiveUp),
        "WRONGTYPE" => (ErrorKind::Codec, Advice::Bug),
        _ => (ErrorKind::Internal, Advice::Bug),
    };
    Error::new(kind, advice, format_args!("{subject}: the server answered {code} {details}"))
}

/// Opening a connection failed.
pub(super) fn not_connected(address: &str, error: &RedisError) -> Error {
    let refused = error.kind() == DriverKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    let (kind, advice) = if refused {
        (ErrorKind::Refused, Advice::GiveUp)
    } else {
        (ErrorKind::Unreachable, Advice::RetryAfter(RECOVERING))
    };
    Error::new(
        kind,
        advice,
        format_args!("no connection to the Redis server at {address}: {error}"),
    )
}

/// There is no connection, and there was none when the call was made.
pub(super) fn unreachable(subject: &str, why: &Error) -> Error {
    let advice = match why.advice() {
        Advice::GiveUp => Advice::GiveUp,
        _ => Advice::RetryAfter(RECOVERING),
    };
    Error::new(why.kind(), advice, format_args!("{subject}: nothing was sent, {why}"))
}

/// The call was sent, and its answer did not come.
pub(super) fn unanswered(subject: &str, effect: Effect, how: &str) -> Error {
    match effect {
        Effect::Read => {
            let message = format_args!("{subject}: no answer, {how}");
            Error::new(ErrorKind::Timeout, Advice::RetryAfter(RECOVERING), message)
        }
        Effect::Idempotent => {
            let message = format_args!(
                "{subject}: no answer, {how}; it may have happened, and may be done again"
            );
            Error::new(ErrorKind::Unknown, Advice::RetryAfter(RECOVERING), message)
        }
        Effect::Once => {
            let message =
                format_args!("{subject}: no answer, {how}; it may or may not have happened");
            Error::new(ErrorKind::Unknown, Advice::GiveUp, message)
        }
    }
}
