//! The only door to the topics' Lua.

use super::{message_id::MessageId, topic::Inner};
use crate::{
    client::Call,
    error::{Error, Result},
    script::{Script, script},
};

static PUBLISH: Script = script!("pubsub/publish", include "now_ms");
static CREATE: Script = script!("pubsub/create", include "named");
static CLAIM: Script = script!("pubsub/claim", flags "allow-oom");
static WAIT: Script = script!("pubsub/wait", include "named");
static ACK: Script = script!("pubsub/ack", flags "allow-oom");
static EXTEND: Script = script!("pubsub/extend", flags "allow-oom");
static LEAVE: Script = script!("pubsub/leave", flags "allow-oom");
static SWEEP: Script = script!("pubsub/sweep", include "named", flags "allow-oom");
static SEEK: Script = script!("pubsub/seek", include "named");
static REMOVE: Script = script!("pubsub/remove", flags "allow-oom");
static STATS: Script = script!("pubsub/stats", include "named", flags "no-writes");

pub(super) fn publish<C>(topic: &Inner<C>, body: &[u8]) -> Call {
    Call::script(&PUBLISH, &topic.slot, &[&topic.log, &topic.waiters])
        .arg(super::record::VERSION)
        .arg(body)
        .arg(topic.keep_ms)
        .arg(topic.keep_at_most.unwrap_or(0))
}

/// Done twice, the group is there.
pub(super) fn create<C>(topic: &Inner<C>, group: &str, position: &str) -> Call {
    let call = Call::script(&CREATE, &topic.slot, &[&topic.log]);
    call.arg(group).arg(position).arg(topic.keep_ms).idempotent()
}

/// A claim whose answer is lost is not repeated: those messages come back when their lease ends.
pub(super) fn claim<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    most: usize,
    reclaim: Option<(u64, &str)>,
) -> Call {
    let (lease_ms, cursor) = reclaim.unwrap_or((0, ""));
    let call = Call::script(&CLAIM, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(most).arg(lease_ms).arg(cursor)
}

/// Done twice, the waiter is recorded.
pub(super) fn wait<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    waiter: &str,
    ttl_ms: u64,
) -> Call {
    let call = Call::script(&WAIT, &topic.slot, &[&topic.log, &topic.waiters]);
    call.arg(group).arg(consumer).arg(waiter).arg(ttl_ms).idempotent()
}

pub(super) fn ack<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    id: MessageId,
    deliveries: u64,
) -> Call {
    let call = Call::script(&ACK, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(id.to_string()).arg(deliveries)
}

/// Done twice, the lease begins anew.
pub(super) fn extend<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    id: MessageId,
    deliveries: u64,
) -> Call {
    let call = Call::script(&EXTEND, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(id.to_string()).arg(deliveries).idempotent()
}

/// Done twice, the consumer is gone.
pub(super) fn leave<C>(topic: &Inner<C>, group: &str, consumer: &str) -> Call {
    let call = Call::script(&LEAVE, &topic.slot, &[&topic.log, &topic.waiters]);
    call.arg(group).arg(consumer).idempotent()
}

/// Done twice, they are gone.
pub(super) fn sweep<C>(topic: &Inner<C>, group: &str, idle_ms: u64) -> Call {
    Call::script(&SWEEP, &topic.slot, &[&topic.log]).arg(group).arg(idle_ms).idempotent()
}

pub(super) fn seek<C>(topic: &Inner<C>, group: &str, position: &str) -> Call {
    Call::script(&SEEK, &topic.slot, &[&topic.log]).arg(group).arg(position)
}

pub(super) fn remove<C>(topic: &Inner<C>, group: &str) -> Call {
    Call::script(&REMOVE, &topic.slot, &[&topic.log]).arg(group)
}

pub(super) fn stats<C>(topic: &Inner<C>) -> Call {
    Call::script(&STATS, &topic.slot, &[&topic.log])
}

/// The id that the server gave.
pub(super) fn id(text: &str) -> Result<MessageId> {
    text.parse().map_err(|_| Error::internal("the server gave a message an id of another form"))
}
