//! What the driver and the server report, in russet's own words.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use redis::{ErrorKind as DriverKind, RedisError, ServerError};

use super::{address::Address, call::Effect};
use crate::error::{Advice, Error, ErrorKind};

/// How long to leave a server alone that is loading, failing over or full.
pub(super) const RECOVERING: Duration = Duration::from_millis(200);

/// The server answered, with an error.
pub(super) fn refused(subject: &str, error: &ServerError) -> Error {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    let (kind, advice) = match code {
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "READONLY"
        | "NOREPLICAS" | "MISCONF" | "OOM" => (ErrorKind::Refused, Advice::RetryAfter(RECOVERING)),
        "NOAUTH" | "WRONGPASS" | "NOPERM" => (ErrorKind::Refused, Advice::GiveUp),
        "MOVED" | "ASK" => {
            let message = format_args!(
                "{subject}: the server belongs to a Cluster, which a URL of redis+cluster reaches"
            );
            return Error::new(ErrorKind::Refused, Advice::GiveUp, message);
        }
        "WRONGTYPE" => (ErrorKind::Codec, Advice::Bug),
        _ => (ErrorKind::Internal, Advice::Bug),
    };
    Error::new(kind, advice, format_args!("{subject}: the server answered {code} {details}"))
}

/// Opening a connection failed.
pub(super) fn not_connected(address: &Address, error: &RedisError) -> Error {
    let refused = error.kind() == DriverKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
        || is_of_tls(error);
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

/// Whether a certificate was refused, ours or theirs, or the two sides do not speak the same TLS.
fn is_of_tls(error: &RedisError) -> bool {
    // The driver keeps the error of the stream behind a pointer of its own.
    let cause =
        error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn StdError + Send + Sync>>());
    let of_stream = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let inside = of_stream.and_then(io::Error::get_ref);
    inside.is_some_and(|inside| inside.is::<rustls::Error>())
}

/// Another server took the place of this one while a connection to it was opened.
pub(super) fn replaced(address: &Address) -> Error {
    let message = format_args!("another server has the place of the one at {address} now");
    Error::new(ErrorKind::Unreachable, Advice::RetryAfter(RECOVERING), message)
}

/// The sentinels answer, and know no primary of this name.
pub(super) fn no_primary(name: &str) -> Error {
    let message = format_args!("the sentinels know no primary {name}");
    Error::new(ErrorKind::Unreachable, Advice::RetryAfter(RECOVERING), message)
}

/// A node did not tell the layout of its Cluster.
pub(super) fn no_layout(address: &Address, error: &RedisError) -> Error {
    match error.detail() {
        Some(detail) if detail.contains("cluster support disabled") => {
            let message = format_args!(
                "the Redis server at {address} belongs to no Cluster: a URL of redis reaches it"
            );
            Error::new(ErrorKind::Refused, Advice::GiveUp, message)
        }
        _ => not_connected(address, error),
    }
}

/// The nodes of a Cluster send a call from one to the other.
pub(super) fn sent_around(subject: &str) -> Error {
    let message = format_args!(
        "{subject}: nothing was done, the nodes of the Cluster do not agree where its slot is"
    );
    Error::new(ErrorKind::Refused, Advice::RetryAfter(RECOVERING), message)
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
