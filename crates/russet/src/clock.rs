//! The server's clock as this process knows it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// An estimate of the server's time, good for naming things. Decisions are the server's own, inside its scripts.
///
/// It goes on with the machine's steady clock: setting this machine's time of day changes nothing.
#[derive(Debug)]
pub(crate) struct ServerClock {
    started: Instant,
    /// The server's time when this clock started.
    server_ms: AtomicI64,
}

impl Default for ServerClock {
    fn default() -> Self {
        let server_ms = AtomicI64::new(millis(SystemTime::now()));
        Self { started: Instant::now(), server_ms }
    }
}

impl ServerClock {
    /// Takes over what the server just told.
    pub(crate) fn learn(&self, server_ms: i64) {
        self.server_ms.store(server_ms - self.elapsed_ms(), Ordering::Relaxed);
    }

    /// The server's time now, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.server_ms.load(Ordering::Relaxed) + self.elapsed_ms()
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Milliseconds since 1970; negative before.
pub(crate) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// The time that many milliseconds after 1970; the epoch itself when the platform cannot express it.
pub(crate) fn from_millis(ms: i64) -> SystemTime {
    let distance = Duration::from_millis(ms.unsigned_abs());
    let time =
        if ms < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_decides_what_time_it_is() {
        let clock = ServerClock::default();
        clock.learn(86_400_000);
        assert!((86_400_000..86_460_000).contains(&clock.now_ms()));
    }

    #[test]
    fn times_before_1970_come_back() {
        assert_eq!(millis(from_millis(-1_500)), -1_500);
    }
}
