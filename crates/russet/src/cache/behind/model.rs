//! What the model of `writes/model.rs` needs of the queue.

#[cfg(test)]
use std::time::Duration;

use super::scripts::{self, Bound};
use crate::{
    cache::scripts::Place,
    client::{Call, raw::Value},
    id::Id,
    keys::cache as keys,
};

pub(in crate::cache) struct Claim {
    entry: u64,
    pub(in crate::cache) sequence: u64,
    pub(in crate::cache) value: Option<u64>,
}

pub(in crate::cache) fn put(place: &Place, value: Option<u64>, ttl: Duration) -> Call {
    let text = value.map(|value| value.to_string());
    scripts::put(place, text.as_deref().map(str::as_bytes), ttl, 10)
}

/// The number that a put got.
pub(in crate::cache) fn sequence(answer: &Value) -> u64 {
    match answer {
        Value::List(answers) => number(answers.get(1)),
        other => panic!("{other:?}"),
    }
}

/// Without the flusher's lease, as one that is slow and was taken over: the order must hold all the same.
pub(in crate::cache) fn claim(place: &Place, flusher: Id) -> Call {
    scripts::claim(place.slot(), flusher, Duration::from_millis(1), Bound::UpTo(u64::MAX >> 2), 10)
}

pub(in crate::cache) fn claim_all(place: &Place) -> Call {
    claim(place, Id::random().unwrap())
}

pub(in crate::cache) fn claimed(answer: Value) -> Vec<Claim> {
    let Value::List(answers) = answer else { panic!("{answer:?}") };
    let claims = answers.get(1..).unwrap_or_default().chunks_exact(3);
    let claims = claims.filter_map(|claim| {
        let Value::Text(queued) = &claim[2] else { return None };
        let queued = String::from_utf8(queued.clone()).unwrap();
        let (head, payload) = queued.split_once(' ')?;
        let sequence = head.split_once("seq=")?.1.parse().ok()?;
        Some(Claim { entry: number(Some(&claim[0])), sequence, value: payload.parse().ok() })
    });
    claims.collect()
}

pub(in crate::cache) fn ack(place: &Place, flusher: Id, claims: &[Claim]) -> Call {
    let stored: Vec<_> =
        claims.iter().map(|claim| (claim.entry, place.key(), claim.sequence.to_string())).collect();
    scripts::ack(place.slot(), flusher, &stored)
}

/// Deletes all that a key has left.
pub(in crate::cache) fn everything(place: &Place) -> Vec<Call> {
    let parts = [
        place.entry().clone(),
        keys::waiters(place.key()),
        keys::ticket(place.key()),
        keys::dirty(),
        keys::writes(),
        keys::sequence(),
        keys::flusher(),
    ];
    let mut call = Call::write("DEL", place.slot());
    for part in &parts {
        call = call.key(part);
    }
    vec![call]
}

fn number(answer: Option<&Value>) -> u64 {
    match answer {
        Some(Value::Text(text)) => std::str::from_utf8(text).unwrap().parse().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}
