//! What a process owes to a node that it lost, before it may use it again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often the epoch is given its whole time again.
const KEEP: Duration = Duration::from_secs(3_600);

/// What this process knows of a node's epoch, and whether it may go by it.
#[derive(Default)]
pub(super) struct Debt(Mutex<State>);

#[derive(Default)]
struct State {
    known: Option<u64>,
    owed: Owed,
    /// Grows with each fault, so that paying an older one does not settle a newer one.
    faults: u64,
    kept: Option<Instant>,
}

/// Why a new epoch is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    #[default]
    Nothing,
    /// The node was away: others may have failed to reach it, and one of them may have begun an epoch since.
    UnlessNewer,
    /// A write or an invalidation of this process did not reach it.
    Always,
}

/// A debt that is about to be paid.
pub(super) struct Due {
    pub(super) known: u64,
    pub(super) unless_newer: bool,
    faults: u64,
}

impl Debt {
    /// A node that may have anything of former times.
    pub(super) fn of_newcomer() -> Self {
        Self(Mutex::new(State { owed: Owed::Always, ..State::default() }))
    }

    /// The epoch to go by; `None` when a debt has to be paid first, or none was read yet.
    pub(super) fn epoch(&self) -> Option<u64> {
        let state = self.lock();
        state.known.filter(|_| state.owed == Owed::Nothing)
    }

    /// The last epoch that was read.
    pub(super) fn known(&self) -> u64 {
        self.lock().known.unwrap_or(0)
    }

    pub(super) fn due(&self) -> Option<Due> {
        let state = self.lock();
        let unless_newer = state.owed == Owed::UnlessNewer;
        let known = state.known.unwrap_or(0);
        (state.owed != Owed::Nothing).then_some(Due { known, unless_newer, faults: state.faults })
    }

    /// Notes a fault; answers whether it is the first one since the last payment.
    pub(super) fn owe(&self, owed: Owed) -> bool {
        let mut state = self.lock();
        let is_first = state.owed == Owed::Nothing;
        state.owed = state.owed.max(owed);
        state.faults += 1;
        is_first
    }

    /// The debt was paid with this epoch. What was owed meanwhile stays owed.
    pub(super) fn paid(&self, due: &Due, epoch: u64) {
        let mut state = self.lock();
        state.known = state.known.max(Some(epoch));
        if state.faults == due.faults {
            state.owed = Owed::Nothing;
        }
    }

    /// Takes over what was read in front of an answer; true when the answer is of the epoch that it was asked by.
    pub(super) fn learn(&self, read: Option<u64>, asked_by: Option<u64>) -> bool {
        let mut state = self.lock();
        if read.is_some() && read == asked_by {
            return true;
        }
        if read.is_some() && read >= state.known {
            state.known = read;
        } else if state.known == asked_by {
            // It has forgotten its epoch, or came back as it was at an earlier time. An answer that was under way while
            // another caller began an epoch tells neither.
            state.owed = state.owed.max(Owed::UnlessNewer);
            // No fault of its own: an epoch that is being begun at this moment settles it, and the next answer tells if not.
        }
        false
    }

    /// Whether it is time to keep the epoch; true once.
    pub(super) fn is_to_be_kept(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let is_due = state.kept.is_none_or(|kept| now.duration_since(kept) > KEEP);
        if is_due {
            state.kept = Some(now);
        }
        is_due
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_while_a_debt_is_paid_is_not_forgiven() {
        let debt = Debt::default();
        assert!(debt.epoch().is_none() && debt.due().is_none());
        assert!(!debt.learn(Some(5), None) && debt.epoch() == Some(5));
        assert!(debt.owe(Owed::UnlessNewer) && !debt.owe(Owed::Always));
        let due = debt.due().unwrap();
        assert!(!due.unless_newer && due.known == 5 && debt.epoch().is_none());
        debt.owe(Owed::Always);
        debt.paid(&due, 6);
        assert!(debt.epoch().is_none());
        debt.paid(&debt.due().unwrap(), 7);
        assert_eq!(debt.epoch(), Some(7));
    }

    #[test]
    fn an_answer_from_before_an_epoch_began_does_not_end_it() {
        // The first calls of all, and calls that were under way while another one began the epoch.
        for (read, asked_by) in [(None, None), (Some(4), None), (Some(4), Some(3)), (None, Some(4))]
        {
            let debt = Debt::default();
            debt.learn(Some(5), None);
            assert!(!debt.learn(read, asked_by));
            assert_eq!(debt.epoch(), Some(5), "{read:?} {asked_by:?}");
        }
    }

    #[test]
    fn callers_who_find_no_epoch_at_the_same_time_begin_one() {
        let debt = Debt::default();
        debt.learn(None, None);
        let due = debt.due().unwrap();
        debt.learn(None, None);
        debt.paid(&due, 6);
        assert_eq!(debt.epoch(), Some(6));
    }

    #[test]
    fn an_epoch_that_went_back_or_is_gone_is_no_epoch() {
        for read in [None, Some(4)] {
            let debt = Debt::default();
            debt.learn(Some(5), None);
            assert!(debt.learn(Some(5), Some(5)));
            assert!(!debt.learn(read, Some(5)));
            let due = debt.due().unwrap();
            assert!(due.unless_newer && due.known == 5);
        }
    }
}
