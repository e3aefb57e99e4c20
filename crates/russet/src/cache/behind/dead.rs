//! Writes that the store refused too often: kept with their error, until somebody decides.

use std::time::{Duration, SystemTime};

use super::{Behind, queue::Queue, scripts};
use crate::{
    cache::{
        entry::{Entry, Stored},
        scripts::Place,
    },
    error::{BoxError, Error, Result},
};

/// A write that the store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadWrite<V> {
    /// The text of its key.
    pub key: String,
    /// The value; `None` for a delete.
    pub value: Option<V>,
    /// What the store said last.
    pub error: String,
    /// How often it was tried by the process that gave up.
    pub attempts: u32,
    /// When that was, by the server's clock.
    pub since: SystemTime,
}

/// The same as it is stored.
pub(super) struct Buried {
    key: String,
    /// `D1;attempts=8;since=<ms> <error>`
    record: Vec<u8>,
    queued: Entry,
}

impl Buried {
    pub(super) fn decode<V>(
        self,
        decode: impl FnOnce(&[u8]) -> Result<V, BoxError>,
        cache: &str,
    ) -> Result<DeadWrite<V>> {
        let value = match &self.queued {
            Entry::Stored(Stored { payload: Some(payload), .. }) => {
                Some(decode(payload).map_err(|cause| {
                    Error::codec(format_args!("cache {cache}: a value of another form"), cause)
                })?)
            }
            _ => None,
        };
        let record = String::from_utf8_lossy(&self.record);
        let (head, error) = record.split_once(' ').unwrap_or_default();
        let field = |name: &str| {
            let fields = head.split(';').filter_map(|field| field.split_once('='));
            let number = fields.into_iter().find(|(field, _)| *field == name);
            number.and_then(|(_, value)| value.parse::<u64>().ok()).unwrap_or_default()
        };
        Ok(DeadWrite {
            value,
            error: error.to_owned(),
            attempts: u32::try_from(field("attempts")).unwrap_or(u32::MAX),
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(field("since")),
            key: self.key,
        })
    }
}

impl Queue {
    pub(super) async fn list_dead(&self, most: usize) -> Result<Vec<Buried>> {
        let mut buried = Vec::new();
        let counts: Vec<u64> = self.of_each(scripts::count_dead).await?;
        for (partition, _) in self.partitions().zip(counts).filter(|(_, count)| *count > 0) {
            let slot = self.slot(partition);
            let mut cursor = 0;
            while buried.len() < most {
                let call = scripts::list_dead(slot, cursor);
                let (next, found): (u64, Vec<(String, Vec<u8>)>) = self.russet.run(call).await?;
                let queued: Vec<_> =
                    found.iter().map(|(key, _)| scripts::queued_of(slot, key)).collect();
                let queued: Vec<Option<Vec<u8>>> = self.russet.run_many(&queued).await?;
                // One that was put again meanwhile is dead no more.
                let found = found.into_iter().zip(queued).filter_map(|((key, record), queued)| {
                    Some(Buried { key, record, queued: Entry::read(queued?) })
                });
                buried.extend(found);
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        buried.truncate(most);
        Ok(buried)
    }
}

impl Behind {
    pub(super) async fn redrive(&self, place: &Place) -> Result<bool> {
        let again = self.queue.russet.run(scripts::redrive(place)).await?;
        self.mark(place);
        Ok(again)
    }

    pub(super) async fn redrive_all(&self) -> Result<usize> {
        let mut again = 0;
        loop {
            let buried = self.queue.list_dead(500).await?;
            let places: Vec<_> = buried.into_iter().map(|one| self.queue.place(one.key)).collect();
            let calls: Vec<_> = places.iter().map(scripts::redrive).collect();
            let done: Vec<bool> = self.queue.russet.run_many(&calls).await?;
            for place in &places {
                self.mark(place);
            }
            let brought = done.iter().filter(|done| **done).count();
            again += brought;
            if brought == 0 {
                return Ok(again);
            }
        }
    }

    pub(super) async fn discard(&self, place: &Place) -> Result<bool> {
        self.queue.russet.run(scripts::discard(place)).await
    }
}
