//! Keys that should expire, and do not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, FromRedisValue};

use super::{Found, Severity};
use crate::client::{link::Link, send::Errand};
use crate::error::Result;
use crate::keys::must_expire;

/// How long a server's keys are looked at.
pub(super) const TIME: Duration = Duration::from_millis(200);
const STEP: usize = 500;
/// How many keys a finding names.
const NAMED: usize = 3;

/// The keys of this namespace without an end, as far as one look goes.
pub(super) async fn keys(
    errand: &Errand<'_>,
    link: &Arc<Link>,
    namespace: &str,
) -> Result<Option<Found>> {
    let started = Instant::now();
    let (mut cursor, mut seen, mut stray) = (0_u64, 0, Vec::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg([namespace, ":*"].concat()).arg("COUNT").arg(STEP);
        let answer = errand.ask(link, vec![scan]).await?.into_iter().next();
        // A user who may not look finds nothing.
        let Some(Ok((next, keys))) = answer.map(<(u64, Vec<String>)>::from_redis_value) else {
            return Ok(None);
        };
        let keys: Vec<_> = keys.into_iter().filter(|key| must_expire(key)).collect();
        seen += keys.len();
        let expiry = |key: &String| {
            let mut cmd = Cmd::new();
            cmd.arg("PTTL").arg(key);
            cmd
        };
        let left = match keys.is_empty() {
            true => Vec::new(),
            false => errand.ask(link, keys.iter().map(expiry).collect()).await?,
        };
        let lasting = keys.into_iter().zip(left).filter(|(_, left)| *left == redis::Value::Int(-1));
        stray.extend(lasting.map(|(key, _)| key));
        cursor = next;
        if cursor == 0 || started.elapsed() > TIME {
            break;
        }
    }
    if stray.is_empty() {
        return Ok(None);
    }
    let more = if cursor == 0 { "" } else { ", and not all keys were looked at" };
    let named = stray.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" ");
    let text = format!(
        "{} of {seen} keys that should expire have no time to live{more}: {named}",
        stray.len()
    );
    Ok(Some(Found {
        severity: Severity::Warning,
        check: "expiry",
        text,
        advice: "Another program has changed them (PERSIST, SET, a restored dump): delete them",
    }))
}
