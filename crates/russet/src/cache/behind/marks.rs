//! Which partitions may have something to flush.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// Known to this process; the rest is found by its sweep.
#[derive(Default)]
pub(super) struct Marks {
    marks: Mutex<HashMap<u32, Mark>>,
}

#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) due: Instant,
    /// This process has put something there. A partition that a sweep has found is another's, as long as that one lives.
    pub(super) own: bool,
}

impl Marks {
    /// Marks a partition; answers whether the flusher has to be told.
    pub(super) fn add(&self, partition: u32, due: Instant, own: bool) -> bool {
        let mut marks = self.lock();
        match marks.get_mut(&partition) {
            Some(mark) => {
                let earlier = due < mark.due && (own || !mark.own);
                mark.own |= own;
                if earlier {
                    mark.due = due;
                }
                earlier
            }
            None => {
                marks.insert(partition, Mark { due, own });
                true
            }
        }
    }

    /// Takes marks that are due, the most urgent first.
    pub(super) fn take_due(&self, now: Instant, most: usize) -> Vec<(u32, Mark)> {
        let mut marks = self.lock();
        let mut due: Vec<_> = marks
            .iter()
            .filter(|(_, mark)| mark.due <= now)
            .map(|(partition, mark)| (*partition, *mark))
            .collect();
        due.sort_by_key(|(_, mark)| mark.due);
        due.truncate(most);
        for (partition, _) in &due {
            marks.remove(partition);
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().values().map(|mark| mark.due).min()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
