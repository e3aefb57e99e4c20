//! What passed through a proxy.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[derive(Debug, Default)]
pub(super) struct Counts {
    round_trips: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    connections: AtomicU64,
}

impl Counts {
    pub(super) fn add_round_trip(&self) {
        self.round_trips.fetch_add(1, SeqCst);
    }

    pub(super) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, SeqCst);
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, SeqCst);
    }

    pub(super) fn add_connection(&self) {
        self.connections.fetch_add(1, SeqCst);
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.round_trips.load(SeqCst)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(SeqCst)
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(SeqCst)
    }

    pub(super) fn reset(&self) {
        for count in [&self.round_trips, &self.sent, &self.received, &self.connections] {
            count.store(0, SeqCst);
        }
    }
}
