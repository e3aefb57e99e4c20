//! How a lock is taken: a turn in the process, then the lock or a place in line at the server.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Inner,
    held::{self, Held},
    scripts::{self, Acquired},
};
use crate::{error::Result, id::Id};

/// How long a caller waits for a lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    None,
    Until(Instant),
    Endless,
}

/// How long it may take until messages are heard; without them a wait ends by its time alone.
const LISTENING: Duration = Duration::from_secs(1);

impl Inner {
    /// Takes the lock, with this as its first entry; none when patience ended before.
    pub(super) async fn take(
        self: &Arc<Self>,
        entry: Option<Id>,
        patience: Patience,
    ) -> Result<Option<Held>> {
        let began = Instant::now();
        let mut asked = Asked { lock: self, owner: Id::random()?, entry, may_stand: false };
        let end = match patience {
            Patience::Until(end) if end > began => Some(end),
            Patience::Endless => None,
            // Who does not wait needs no turn: it takes the lock only when nobody is in line at the server.
            Patience::None | Patience::Until(_) => {
                return Ok(match asked.ask(None).await? {
                    Asking::Ours(held) => Some(held),
                    Asking::Taken(_) => None,
                });
            }
        };
        let _turn = match end {
            None => self.line.turn().await,
            Some(end) => match timeout_at(end, self.line.turn()).await {
                Ok(turn) => turn,
                Err(_) => return Ok(None),
            },
        };
        let mut is_waiting = self.line.is_contended();
        loop {
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let mut waiter = None;
            if is_waiting {
                // Registered here before the script records it: a message in between would find nobody.
                waiter = Some(self.russet.inbox().waiter(LISTENING.min(left)).await);
            }
            match asked.ask(waiter.as_ref().map(|waiter| waiter.address())).await? {
                Asking::Ours(held) => {
                    self.line.found_contended(is_waiting);
                    self.meters.waited.record(began.elapsed());
                    return Ok(Some(held));
                }
                Asking::Taken(holder) => {
                    if let Some(mut waiter) = waiter {
                        // Half of the place's time, to renew it; or when the holder's time ends, unless it is renewed.
                        let renewal = scripts::place_time(self.lease) / 2;
                        let at_most = renewal.min(holder + Duration::from_millis(1));
                        waiter.news(at_most.min(left)).await;
                    }
                    if end.is_some_and(|end| Instant::now() >= end) {
                        return Ok(None);
                    }
                    is_waiting = true;
                }
            }
        }
    }
}

enum Asking {
    Ours(Held),
    /// By one who has so much time left.
    Taken(Duration),
}

/// A lock that was asked for. It, or a place in line, may stand for nobody when the answer was lost or the caller dropped:
/// dropped in that state, it is given back in the background.
struct Asked<'a> {
    lock: &'a Arc<Inner>,
    owner: Id,
    entry: Option<Id>,
    may_stand: bool,
}

impl Asked<'_> {
    async fn ask(&mut self, waiter: Option<String>) -> Result<Asking> {
        let Inner { russet, place, lease, .. } = &**self.lock;
        let is_in_line = self.may_stand || waiter.is_some();
        self.may_stand = true;
        let sent = Instant::now();
        let answer =
            scripts::acquire(russet, place, self.owner, self.entry, *lease, waiter).await?;
        Ok(match answer {
            Acquired::Ours { fence } => {
                self.may_stand = false;
                Asking::Ours(Held::new(self.lock, self.owner, self.entry, fence, sent))
            }
            Acquired::Taken { left } => {
                self.may_stand = is_in_line;
                Asking::Taken(left)
            }
        })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.may_stand {
            held::release_in_background(self.lock, self.owner, self.entry);
        }
    }
}
