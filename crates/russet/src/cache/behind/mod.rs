//! Write-behind: writes wait in Redis, in order, and a flusher on any process brings them to the store in batches.
//!
//! The argument that none is lost and none comes too late is in `docs/design/write-behind.md`.

mod calls;
mod dead;
mod failing;
mod flusher;
mod marks;
#[cfg(test)]
pub(super) mod model;
mod queue;
pub(super) mod scripts;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::{flusher::Flusher, marks::Marks, queue::Queue};
use super::{
    stats::Counting,
    writes::{BehindSettings, Flow},
};
use crate::{
    client::Russet,
    error::{Error, Result},
    keys::Slot,
    service::Service,
};

pub use self::{calls::Flushed, dead::DeadWrite};

/// The queued writes of a cache, and this process's part in flushing them.
pub(super) struct Behind {
    queue: Arc<Queue>,
    service: Service,
}

/// Where the entries of a cache lie, and who is told of changes.
pub(super) struct Places {
    pub(super) slots: Arc<[Slot]>,
    pub(super) changes: Arc<str>,
}

impl Behind {
    pub(super) fn start(
        russet: &Russet,
        name: &str,
        places: Places,
        settings: BehindSettings,
        counting: Arc<Counting>,
        flow: Arc<dyn Flow>,
    ) -> Result<Self> {
        let marks = Marks::default();
        let queue = Queue::new(russet, name, places, settings, counting, flow, marks);
        let queue = Arc::new(queue);
        let flusher = Arc::new(Flusher::new(queue.clone())?);
        let service = Service::start_on(russet.runtime(), "flusher", move |_| {
            let flusher = flusher.clone();
            async move { flusher.round().await }
        });
        Ok(Self { queue, service })
    }

    /// Waits until everything that is queued now is in the store, or dead.
    async fn flush(&self) -> Result<()> {
        let targets = self.queue.last_sequences().await?;
        let (done, is_done) = oneshot::channel();
        self.queue.request(targets, done);
        self.service.wake();
        is_done
            .await
            .map_err(|_| Error::invalid(format_args!("cache {}: it is closed", self.queue.name())))
    }

    async fn close(&self) {
        self.service.join().await;
        self.queue.reject_requests();
    }
}
