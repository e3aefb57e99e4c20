use std::{error::Error as StdError, fmt, time::Duration};

use crate::error::{Advice, Error, ErrorKind};

/// What became of a call at one server of a [`Redlock`](super::Redlock).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeVote {
    /// It did what was asked: it voted for us, or kept or ended its vote.
    Voted,
    /// It answered that its vote is another one's, or nobody's.
    Refused,
    /// It did not answer within this time; what was asked may have been done.
    TimedOut(Duration),
    /// It could not be asked.
    Failed(Error),
}

/// Why no majority came together, by server, in the order in which they were given: the source of the error.
#[derive(Clone, Debug)]
pub struct NoMajority {
    /// What became of the call at each server.
    pub votes: Vec<NodeVote>,
    /// How many had to vote.
    pub needed: usize,
}

impl NodeVote {
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Voted)
    }

    fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }
}

/// What the servers say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Yes,
    No,
    /// Too many did not answer.
    Unknown,
}

pub(super) fn sum(votes: &[NodeVote], quorum: usize) -> Sum {
    let ours = votes.iter().filter(|vote| vote.is_ours()).count();
    let refused = votes.iter().filter(|vote| vote.is_refused()).count();
    if ours >= quorum {
        Sum::Yes
    } else if ours + refused >= quorum {
        // Enough of them answered, and others have some of the votes.
        Sum::No
    } else {
        Sum::Unknown
    }
}

impl NoMajority {
    /// The error of a call on this object.
    pub(super) fn error(object: &str, votes: Vec<NodeVote>, needed: usize) -> Error {
        let wait = Advice::RetryAfter(Duration::from_millis(200));
        Error::caused_by(ErrorKind::Unreachable, wait, object, Self { votes, needed })
    }
}

impl fmt::Display for NodeVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Voted => f.write_str("voted"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut(time) => write!(f, "no answer within {time:?}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for NoMajority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.votes.iter().filter(|vote| vote.is_ours()).count();
        let (of, needed) = (self.votes.len(), self.needed);
        write!(f, "{ours} of {of} servers voted, {needed} have to")?;
        for (number, vote) in (1..).zip(&self.votes) {
            write!(f, "; server {number}: {vote}")?;
        }
        Ok(())
    }
}

impl StdError for NoMajority {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_not_who_refuses() {
        let late = || NodeVote::TimedOut(Duration::from_millis(50));
        use NodeVote::{Refused, Voted};
        assert_eq!(sum(&[Voted, Voted, Refused], 2), Sum::Yes);
        assert_eq!(sum(&[Voted, Voted, late()], 2), Sum::Yes);
        assert_eq!(sum(&[Voted, Refused, late()], 2), Sum::No);
        assert_eq!(sum(&[Voted, late(), late()], 2), Sum::Unknown);
        let error = NoMajority::error("redlock:x", vec![Voted, late(), Refused], 2);
        let text = "redlock:x: 1 of 3 servers voted, 2 have to; server 1: voted; server 2: no answer within 50ms; server 3: refused";
        assert_eq!(error.to_string(), text);
    }
}
