use std::{collections::HashSet, sync::Arc};

use super::{Inner, Limit, RateLimiter};
use crate::{
    client::Russet,
    error::{Error, Result},
    names::check_name,
};

/// The most limits of one limiter.
const MOST_LIMITS: usize = 10;

/// What a check answers while Redis cannot be asked, or refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAway {
    /// The error: the caller decides. The default.
    #[default]
    Fail,
    /// The call goes through: what is behind the limiter can take it.
    Allow,
    /// It does not: what is behind must never be used more often.
    Deny,
}

/// The settings of a [`RateLimiter`]; made by [`RateLimiter::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RateLimiterBuilder {
    russet: Russet,
    name: String,
    limits: Vec<Limit>,
    when_away: WhenAway,
}

impl RateLimiterBuilder {
    pub(super) fn new(russet: &Russet, name: &str) -> Self {
        let when_away = WhenAway::default();
        Self { russet: russet.clone(), name: name.to_owned(), limits: Vec::new(), when_away }
    }

    /// One more limit, up to 10. There must be one.
    ///
    /// Another number in a limit of the same kind and period counts at once, for what came before too.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// What a check answers while Redis cannot be asked. Defaults to the error, [`WhenAway::Fail`].
    pub fn when_away(mut self, policy: WhenAway) -> Self {
        self.when_away = policy;
        self
    }

    /// Checks the settings and makes the handle; nothing is sent.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 256 bytes long, there is no limit or more than 10, a limit is out of its range,
    /// or two are of the same kind and period.
    pub fn build(self) -> Result<RateLimiter> {
        let Self { russet, name, limits, when_away } = self;
        check_name("name of a rate_limit", &name)?;
        if !(1..=MOST_LIMITS).contains(&limits.len()) {
            return Err(Error::invalid(format_args!(
                "rate_limit {name}: it takes 1 to {MOST_LIMITS} limits, not {}",
                limits.len()
            )));
        }
        let ready = limits.iter().map(Limit::ready).collect::<Result<Vec<_>>>()?;
        let parts: HashSet<_> = ready.iter().map(|limit| &limit.part).collect();
        if parts.len() < ready.len() {
            return Err(Error::invalid(format_args!(
                "rate_limit {name}: two limits are of the same kind and period"
            )));
        }
        let allowed =
            metrics::counter!("russet_rate_limit_allowed_total", "limiter" => name.clone());
        let denied = metrics::counter!("russet_rate_limit_denied_total", "limiter" => name.clone());
        let (given, limits) = (limits, ready);
        let inner = Inner { russet, name, given, limits, when_away, allowed, denied };
        Ok(RateLimiter { inner: Arc::new(inner) })
    }
}
