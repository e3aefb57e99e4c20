//! Waiting for what has no event to wait for: the one place where tests sleep.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Calls `attempt` until it answers `Ok`, with short pauses (1 ms, growing to 50 ms), and returns its value.
///
/// # Panics
///
/// At the deadline, with the last error, the number of attempts and the place of the call. An attempt that hangs
/// is given up at the deadline too.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use russet::testing::eventually;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut seen = 0;
/// let value = eventually(Duration::from_secs(5), async || {
///     seen += 1;
///     if seen == 3 { Ok(seen) } else { Err(format!("seen is {seen}")) }
/// })
/// .await;
/// assert_eq!(value, 3);
/// # }
/// ```
#[track_caller]
pub fn eventually<T, E: Display>(
    deadline: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let mut attempts = Attempts::within(deadline);
        loop {
            let error = match attempts.run(attempt()).await {
                Ok(value) => return value,
                Err(error) => error,
            };
            if let Err(last) = attempts.pause(error).await {
                #[expect(clippy::panic, reason = "a failed expectation of a test")]
                {
                    panic!("{caller}: {last}");
                }
            }
        }
    }
}

/// The pauses between attempts, up to a deadline.
pub(super) struct Attempts {
    deadline: Duration,
    end: Instant,
    pause: Duration,
    count: u32,
}

impl Attempts {
    pub(super) fn within(deadline: Duration) -> Attempts {
        Attempts { deadline, end: Instant::now() + deadline, pause: FIRST_PAUSE, count: 0 }
    }

    /// Runs one attempt, until the deadline at most.
    pub(super) async fn run<T, E: Display>(
        &mut self,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        self.count += 1;
        match timeout_at(self.end, attempt).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the last attempt hung until the deadline".to_owned()),
        }
    }

    /// Waits before the next attempt; fails with `last` when there is no time for one.
    pub(super) async fn pause(&mut self, last: String) -> io::Result<()> {
        if Instant::now() + self.pause >= self.end {
            let (deadline, count) = (self.deadline, self.count);
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not within {deadline:?}, after {count} attempts: {last}"),
            ));
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
