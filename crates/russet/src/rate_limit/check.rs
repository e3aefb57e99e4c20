use std::{future::IntoFuture, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};

use super::{Inner, RateLimiter, WhenAway, scripts};
use crate::error::{Error, Result};

/// A call that asks whether it may go on; made by [`RateLimiter::check`], sent by `.await`.
#[must_use = "nothing is checked before it is awaited"]
pub struct Check<'a> {
    inner: &'a Inner,
    subject: &'a str,
    cost: u64,
}

/// Whether a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Allowance {
    /// Whether it may.
    pub is_allowed: bool,
    /// The most of the limit that is narrowest for this subject now: the one of which least is left.
    pub limit: u64,
    /// Which of the limiter's [`limits`](RateLimiter::limits) that is.
    pub narrowest: usize,
    /// How much of that limit is left, this call counted.
    pub remaining: u64,
    /// When the same call would be allowed, if nobody else calls; zero when it is.
    pub retry_after: Duration,
    /// When all of that limit is there again.
    pub reset_after: Duration,
    /// Who decided.
    pub decided_by: DecidedBy,
}

/// Who decided on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    /// The limits.
    Limits,
    /// The [policy](WhenAway), since Redis could not be asked: the other fields say nothing.
    Policy,
}

impl RateLimiter {
    /// Asks whether this subject may go on, and counts it if it may: a call that is denied costs nothing. One round trip.
    ///
    /// # Errors
    /// `Invalid` for a subject that is not 1 to 256 bytes long, and for a cost of 0 or above what a limit could ever allow.
    /// When Redis cannot be asked, unless the limiter has a [policy](super::RateLimiterBuilder::when_away) for that.
    pub fn check<'a>(&'a self, subject: &'a str) -> Check<'a> {
        Check { inner: &self.inner, subject, cost: 1 }
    }
}

impl Check<'_> {
    /// As how many calls this one counts. Defaults to 1.
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    #[tracing::instrument(name = "rate_limit.check", level = "debug", skip_all, fields(limiter = self.inner.name))]
    async fn send(self) -> Result<Allowance> {
        let Self { inner, subject, cost } = self;
        let slot = inner.slot(subject)?;
        let least = inner.limits.iter().map(|limit| limit.most).min().unwrap_or_default();
        if !(1..=least).contains(&cost) {
            return Err(Error::invalid(format_args!(
                "rate_limit {}: a cost must be 1 to {least}, or it is never allowed, not {cost}",
                inner.name
            )));
        }
        let answer = inner.russet.run(scripts::check(&slot, &inner.limits, cost)).await;
        let allowance = match (answer, inner.when_away) {
            (Ok((allowed, answers)), _) => inner.allowance(allowed, answers),
            (Err(error), WhenAway::Allow | WhenAway::Deny) if error.is_outage() => {
                tracing::warn!(limiter = inner.name, %error, "the policy decides");
                Allowance::by_policy(inner.when_away)
            }
            (Err(error), _) => return Err(error),
        };
        let counter = if allowance.is_allowed { &inner.allowed } else { &inner.denied };
        counter.increment(1);
        Ok(allowance)
    }
}

impl<'a> IntoFuture for Check<'a> {
    type Output = Result<Allowance>;
    type IntoFuture = BoxFuture<'a, Result<Allowance>>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}

impl Inner {
    fn allowance(&self, allowed: i64, answers: Vec<(u64, u64, u64)>) -> Allowance {
        let waits = answers.iter().map(|(_, wait, _)| *wait);
        let retry_after = Duration::from_micros(waits.max().unwrap_or_default());
        let places = self.limits.iter().zip(&answers).enumerate();
        let (narrowest, (limit, remaining, reset)) = places
            .min_by_key(|(_, (_, (left, ..)))| *left)
            .map_or((0, (0, 0, 0)), |(place, (limit, (left, _, reset)))| {
                (place, (limit.most, *left, *reset))
            });
        Allowance {
            is_allowed: allowed == 1,
            limit,
            narrowest,
            remaining,
            retry_after,
            reset_after: Duration::from_micros(reset),
            decided_by: DecidedBy::Limits,
        }
    }
}

impl Allowance {
    fn by_policy(policy: WhenAway) -> Self {
        Self {
            is_allowed: policy == WhenAway::Allow,
            limit: 0,
            narrowest: 0,
            remaining: 0,
            retry_after: Duration::ZERO,
            reset_after: Duration::ZERO,
            decided_by: DecidedBy::Policy,
        }
    }
}
