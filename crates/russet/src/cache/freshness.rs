//! How long an entry is fresh, and what it is still good for afterwards.

use std::time::Duration;

/// What a cache does with entries near and after the end of their time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    /// How long before its end an entry is loaded anew, behind the callers.
    pub(super) ahead: Duration,
    /// How long after its end it is still served while it is loaded anew.
    pub(super) while_revalidating: Duration,
    /// How long after its end it is served when the load fails.
    pub(super) if_error: Duration,
}

/// What an entry that was read is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fresh,
    /// Fresh, and to be loaded anew behind the caller.
    Early,
    /// No longer fresh; served all the same, and loaded anew behind the caller.
    Stale,
    /// Served only when the load fails.
    Expired,
    /// Kept for processes with other settings.
    Over,
}

impl Freshness {
    /// How long an entry is kept after its end.
    pub(super) fn grace(&self) -> Duration {
        self.while_revalidating.max(self.if_error)
    }

    /// Whether entries must say until when they are fresh.
    pub(super) fn is_wanted(&self) -> bool {
        !(self.ahead + self.grace()).is_zero()
    }

    /// `fresh_until` and `now` by the server's clock, in milliseconds.
    pub(super) fn judge(&self, fresh_until: Option<i64>, now: i64) -> Verdict {
        let Some(fresh_until) = fresh_until else { return Verdict::Fresh };
        let since = now.saturating_sub(fresh_until);
        if since < -millis(self.ahead) {
            Verdict::Fresh
        } else if since < 0 {
            Verdict::Early
        } else if since < millis(self.while_revalidating) {
            Verdict::Stale
        } else if since < millis(self.if_error) {
            Verdict::Expired
        } else {
            Verdict::Over
        }
    }

    /// How long an entry is to be neither loaded anew nor judged, from now on.
    pub(super) fn undue_for(&self, fresh_until: i64, now: i64) -> Duration {
        let left = fresh_until.saturating_sub(now).saturating_sub(millis(self.ahead));
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_passes_through_its_states() {
        let freshness = Freshness {
            ahead: Duration::from_millis(20),
            while_revalidating: Duration::from_millis(30),
            if_error: Duration::from_millis(100),
        };
        let verdicts =
            [79, 80, 99, 100, 129, 130, 199, 200].map(|now| freshness.judge(Some(100), now));
        use Verdict::{Early, Expired, Fresh, Over, Stale};
        assert_eq!(verdicts, [Fresh, Early, Early, Stale, Stale, Expired, Expired, Over]);
        assert_eq!(freshness.judge(None, 1_000), Fresh, "without a mark Redis ends it");
        assert_eq!(freshness.grace(), Duration::from_millis(100));
        let undue = [0, 79, 80, 200].map(|now| freshness.undue_for(100, now).as_millis());
        assert_eq!(undue, [80, 1, 0, 0]);
    }

    #[test]
    fn without_settings_an_entry_ends_at_its_end() {
        let freshness = Freshness::default();
        assert!(!freshness.is_wanted());
        assert_eq!(freshness.judge(Some(100), 99), Verdict::Fresh);
        assert_eq!(freshness.judge(Some(100), 100), Verdict::Over);
    }
}
