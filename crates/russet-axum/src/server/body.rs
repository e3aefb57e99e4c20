//! A request body with a size limit and a lowest rate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// The request body arrived more slowly than the server allows.
#[derive(Debug, Clone, Copy)]
pub struct BodyTooSlow;

impl std::fmt::Display for BodyTooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request body arrived too slowly")
    }
}

impl std::error::Error for BodyTooSlow {}

#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    pub(super) max_bytes: usize,
    pub(super) min_bytes_per_second: u32,
    pub(super) grace: Duration,
}

/// Fails with `LengthLimitError` past the size limit, and with [`BodyTooSlow`] below the lowest rate.
pub(super) struct GuardedBody {
    inner: Limited<Incoming>,
    limits: BodyLimits,
    received: u64,
    waited: Duration,
    wait: Option<Wait>,
}

/// One wait for the client: since when, and how long at most.
struct Wait {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl GuardedBody {
    pub(super) fn new(incoming: Incoming, limits: BodyLimits) -> Self {
        let too_long = incoming.size_hint().lower() > limits.max_bytes as u64;
        // A body that announces too much fails at its first byte, before any of it is kept.
        let room = if too_long { 0 } else { limits.max_bytes };
        Self {
            inner: Limited::new(incoming, room),
            limits,
            received: 0,
            waited: Duration::ZERO,
            wait: None,
        }
    }

    /// The waiting time that the bytes so far have earned and that is not used up yet.
    fn patience(&self) -> Duration {
        let rate = f64::from(self.limits.min_bytes_per_second);
        let earned = self.limits.grace + Duration::from_secs_f64(self.received as f64 / rate);
        earned.saturating_sub(self.waited)
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(wait) = self.wait.take() {
                    self.waited += wait.since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    self.received += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let patience = self.patience();
                let wait = self.wait.get_or_insert_with(|| {
                    let since = Instant::now();
                    Wait { since, end: Box::pin(sleep_until(since + patience)) }
                });
                ready!(wait.end.as_mut().poll(cx));
                Poll::Ready(Some(Err(BodyTooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
