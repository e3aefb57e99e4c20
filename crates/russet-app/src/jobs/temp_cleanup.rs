//! The application's own recurring task: the folder `temp` is cleaned, by whichever process is there.

use std::time::Duration;

use russet::{Error, ErrorKind, Missed, Queue, Scheduler};

use super::{CleanupTempFiles, Job, Recurs, Times};

/// Its name in the schedule.
pub const TEMP_CLEANUP: &str = "temp_cleanup";
/// How long a process waits before it tries again to register, at first and at most.
const WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Sees to it that the folder `temp` is cleaned at these times, or never. Ends when the server has it so; until then it tries
/// again, since a process starts although its server is away.
pub async fn keep_registered(queue: &Queue, times: Option<&Times>) {
    let mut wait = WAIT;
    while let Err(error) = register(queue, times).await {
        // What no further try would change: another version's entry, too many entries.
        if [ErrorKind::Invalid, ErrorKind::Codec].contains(&error.kind()) {
            tracing::error!(%error, "the folder temp is not cleaned at its times");
            return;
        }
        tracing::warn!(%error, "the times at which the folder temp is cleaned are not registered yet");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// The same for any number of processes, at each start: what stands there already is left as it is.
async fn register(queue: &Queue, times: Option<&Times>) -> Result<(), Error> {
    let scheduler = Scheduler::new(queue);
    let Some(times) = times else {
        return scheduler.remove(TEMP_CLEANUP).await.map(drop);
    };
    let recurs = Recurs {
        times: times.clone(),
        priority: 0,
        jitter: Duration::ZERO,
        missed: Missed::default(),
        is_alone: true,
    };
    let job = Job::CleanupTempFiles(CleanupTempFiles::default());
    job.recur(&scheduler, TEMP_CLEANUP, &recurs).await.map(drop)
}
