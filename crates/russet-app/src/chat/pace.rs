//! How fast one may talk.

use std::time::Duration;
use tokio::time::Instant;

/// So many at once, and then one each time.
const BURST: u32 = 10;
const EACH: Duration = Duration::from_millis(500);

/// The pace of one conversation.
#[derive(Debug)]
pub struct Pace {
    /// When all that was said will be paid off.
    paid_at: Instant,
}

impl Pace {
    /// Of somebody who has said nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { paid_at: Instant::now() }
    }

    /// Counts a message; answers how long to wait when it comes too early, and then it does not count.
    ///
    /// # Errors
    /// The time until the next one is taken.
    pub fn step(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let paid_at = self.paid_at.max(now) + EACH;
        let early = paid_at.saturating_duration_since(now).saturating_sub(EACH * BURST);
        if !early.is_zero() {
            return Err(early);
        }
        self.paid_at = paid_at;
        Ok(())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_and_then_two_a_second() {
        // Time is put back instead of waited for.
        let mut pace = Pace::new();
        for nth in 0..BURST {
            assert_eq!(pace.step(), Ok(()), "{nth}");
        }
        let early = pace.step();
        assert!(early.is_err_and(|wait| wait <= EACH), "{early:?}");
        pace.paid_at -= EACH;
        assert_eq!(pace.step(), Ok(()));
        assert!(pace.step().is_err());
    }

    #[test]
    fn silence_saves_up_ten_and_no_more() {
        let mut pace = Pace::new();
        pace.paid_at -= EACH * 1_000;
        let taken = (0..100).filter(|_| pace.step().is_ok()).count();
        assert!((BURST as usize..BURST as usize + 3).contains(&taken), "{taken}");
    }
}
