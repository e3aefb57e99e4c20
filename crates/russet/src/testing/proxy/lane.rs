//! Bytes on their way in one direction, each with the time at which it may go on.

use std::collections::VecDeque;
use std::io;

use tokio::time::Instant;

/// Reading pauses while this much waits, as a full socket buffer would make it.
const ROOM: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Lane {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    length: usize,
}

impl Lane {
    pub(super) fn has_room(&self) -> bool {
        self.length < ROOM
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn push(&mut self, due: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.length += bytes.len();
            self.chunks.push_back((due, bytes.to_vec()));
        }
    }

    /// When the first bytes may go on.
    pub(super) fn due(&self) -> Option<Instant> {
        self.chunks.front().map(|(due, _)| *due)
    }

    /// Writes what is due with `write`, until that would block; one piece of `most` bytes at the most, if that is set.
    pub(super) fn write(
        &mut self,
        now: Instant,
        most: Option<usize>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while let Some((due, chunk)) = self.chunks.front_mut() {
            if *due > now {
                break;
            }
            let piece = most.map_or(chunk.len(), |most| most.min(chunk.len()));
            match write(chunk.get(..piece).unwrap_or_default()) {
                Ok(written) => {
                    chunk.drain(..written);
                    self.length -= written;
                    if chunk.is_empty() {
                        self.chunks.pop_front();
                    }
                    if most.is_some() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
