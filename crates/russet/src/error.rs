use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// An error of the caller's own code, as loaders return it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What every fallible call of russet returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on which object, and what the caller should do about it.
///
/// Match on [`advice`](Error::advice) to react, on [`kind`](Error::kind) to tell cases apart;
/// the cause stays reachable through [`source`](StdError::source). Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    advice: Advice,
    message: String,
    source: Option<BoxError>,
}

/// The cases that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input was refused before anything was sent: nothing was written.
    Invalid,
    /// The server could not be reached: nothing was sent.
    Unreachable,
    /// A read was not answered by the deadline: nothing was changed.
    Timeout,
    /// A write was sent and its answer was lost: it may or may not have happened.
    Unknown,
    /// The server answered that it will not do it now or for this user; nothing was written.
    Refused,
    /// A value could not be encoded, or what is stored is not of the expected type.
    Codec,
    /// The caller's own loader failed; [`source`](StdError::source) is its error.
    Load,
    /// The caller's own writer failed; [`source`](StdError::source) is its error. The record may have changed all the
    /// same, as after a lost answer.
    Write,
    /// The lock was lost before the work that it protects had ended: that was cancelled, and may have been done in part.
    Lost,
    /// A mistake inside russet, or another program changed its keys.
    Internal,
}

/// What to do with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Trying again at once is safe and may help.
    Retry,
    /// Trying again is safe, and pointless before this time has passed.
    RetryAfter(Duration),
    /// Trying the same again will not help, or is not known to be safe.
    GiveUp,
    /// The program has to be changed.
    Bug,
}

impl Error {
    /// Which of the cases it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the caller should do.
    pub fn advice(&self) -> Advice {
        self.0.advice
    }

    pub(crate) fn new(kind: ErrorKind, advice: Advice, message: impl fmt::Display) -> Self {
        Self(Arc::new(Inner { kind, advice, message: message.to_string(), source: None }))
    }

    pub(crate) fn caused_by(
        kind: ErrorKind,
        advice: Advice,
        message: impl fmt::Display,
        source: impl Into<BoxError>,
    ) -> Self {
        let source = Some(source.into());
        Self(Arc::new(Inner { kind, advice, message: message.to_string(), source }))
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, Advice::Bug, message)
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, Advice::Bug, message)
    }

    pub(crate) fn codec(object: impl fmt::Display, source: BoxError) -> Self {
        Self::caused_by(ErrorKind::Codec, Advice::Bug, object, source)
    }

    /// Whether the server, and not the call, is what failed: another try may succeed later.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Unknown | ErrorKind::Refused
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_object_and_the_cause() {
        let cause = std::io::Error::other("no such table");
        let error = Error::caused_by(ErrorKind::Load, Advice::GiveUp, "cache users", cause);
        assert_eq!(error.to_string(), "cache users: no such table");
        assert!(error.source().is_some());
    }
}
