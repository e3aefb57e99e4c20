//! One question to all servers at the same time, each with a time of its own.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Inner, Node,
    guard::RedlockGuard,
    votes::{NoMajority, NodeVote, Sum, sum},
};
use crate::{
    client::{Call, FromReply},
    error::Result,
    id::Id,
    lock::{
        holding::{Holding, safe},
        scripts,
    },
};

/// Asks for all votes. What came of a round that did not win is taken back.
pub(super) async fn vote(lock: &Arc<Inner>) -> Result<Option<RedlockGuard>> {
    let mut asked = Votes { lock: lock.clone(), owner: Id::random()?, may_stand: true };
    let owner = asked.owner;
    let sent = Instant::now();
    let ours = owner.to_string();
    let votes = all(
        lock,
        |node| scripts::vote(&node.place, owner, lock.lease),
        |before: Option<String>| before.is_none_or(|before| before == ours),
    );
    let votes = votes.await;
    let until = |vote: &NodeVote| match vote.is_ours() {
        true => sent + safe(lock.lease),
        false => sent,
    };
    let until = votes.iter().map(until).collect();
    let holding = Holding::of(lock.quorum, until, sent, lock.lease);
    match sum(&votes, lock.quorum) {
        // It took so long that nothing is left of it.
        Sum::Yes if holding.is_lost() => Ok(None),
        Sum::Yes => {
            asked.may_stand = false;
            Ok(Some(RedlockGuard::new(lock, owner, holding)))
        }
        Sum::No => Ok(None),
        Sum::Unknown => Err(NoMajority::error(lock.object(), votes, lock.quorum)),
    }
}

/// Makes a call at every server; `is_yes` says what its answer means.
pub(super) async fn all<T: FromReply>(
    lock: &Inner,
    call: impl Fn(&Node) -> Call,
    is_yes: impl Fn(T) -> bool,
) -> Vec<NodeVote> {
    let asked =
        lock.nodes.iter().map(|node| timeout(lock.node_timeout, node.russet.run(call(node))));
    let votes = join_all(asked).await.into_iter().map(|answer| match answer {
        Ok(Ok(answer)) => match is_yes(answer) {
            true => NodeVote::Voted,
            false => NodeVote::Refused,
        },
        Ok(Err(error)) => NodeVote::Failed(error),
        Err(_) => NodeVote::TimedOut(lock.node_timeout),
    });
    votes.collect()
}

/// Votes that were asked for, and may stand for nobody.
struct Votes {
    lock: Arc<Inner>,
    owner: Id,
    may_stand: bool,
}

impl Drop for Votes {
    fn drop(&mut self) {
        if self.may_stand {
            for server in 0..self.lock.nodes.len() {
                end_in_background(&self.lock, self.owner, server);
            }
        }
    }
}

/// Takes the vote of a server back, and tries again for as long as it could still be there.
pub(super) fn end_in_background(lock: &Arc<Inner>, owner: Id, server: usize) {
    let Some(Node { russet, place }) = lock.nodes.get(server) else { return };
    let (russet, place) = (russet.clone(), place.clone());
    let (lease, pause) = (lock.lease, lock.node_timeout);
    russet.clone().runtime().spawn(async move {
        let end = Instant::now() + lease;
        while let Err(error) = russet.run::<bool>(scripts::vote_end(&place, owner)).await {
            if Instant::now() >= end || !error.is_outage() {
                tracing::debug!(lock = place.object(), %error, "a vote was left to its lease");
                return;
            }
            sleep(pause).await;
        }
    });
}
