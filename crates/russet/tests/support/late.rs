//! A control for claims about time: how late a plain timer was beside the call.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What a call answered, and when.
pub struct Timed<T> {
    pub answer: T,
    pub took: Duration,
    /// How long after the deadline the call ended, less how late the timer was.
    pub beyond: Duration,
}

/// Makes a call beside a plain timer for its deadline, which the same task waits for: a machine that gives the task no
/// turn makes both late. What it cannot see is a call that blocks its thread.
pub async fn beside_a_timer<T>(deadline: Duration, call: impl Future<Output = T>) -> Timed<T> {
    let started = Instant::now();
    let mut timer = pin!(tokio::time::sleep(deadline));
    let mut call = pin!(call);
    let mut rang_after = None;
    let answer = poll_fn(|context| {
        if rang_after.is_none() && timer.as_mut().poll(context).is_ready() {
            rang_after = Some(started.elapsed());
        }
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    let took = started.elapsed();
    let beyond = took.saturating_sub(rang_after.unwrap_or(deadline).max(deadline));
    Timed { answer, took, beyond }
}
