use crate::error::Result;

/// What is in a topic; see [`Topic::stats`](super::Topic::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// How many messages are kept.
    pub messages: u64,
    /// Its groups, in the server's order.
    pub groups: Vec<GroupStats>,
}

/// How far a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// Its name.
    pub name: String,
    /// How many messages nobody of the group has taken yet; `None` when the server cannot tell.
    pub lag: Option<u64>,
    /// How many are in the hands of subscribers.
    pub pending: u64,
    /// How many subscribers the server lists: those that took messages lately, also when they have died since. One that only
    /// waits may be missing.
    pub subscribers: u64,
    /// How many messages were dropped by their age or number before anybody of the group took them, as long as the group
    /// has not read on; `None` when the server cannot tell.
    pub missed: Option<u64>,
}

impl TopicStats {
    /// Reads the script's answer.
    pub(super) fn read(answer: (u64, Vec<(String, u64, u64, i64)>)) -> Result<Self> {
        let (messages, groups) = answer;
        let groups = groups.into_iter().map(|(name, subscribers, pending, behind)| {
            // Counts what was published, not what is still there.
            let behind = u64::try_from(behind).ok();
            GroupStats {
                name,
                lag: behind.map(|behind| behind.min(messages)),
                pending,
                subscribers,
                missed: behind.map(|behind| behind.saturating_sub(messages)),
            }
        });
        Ok(Self { messages, groups: groups.collect() })
    }
}
