//! Which objects of a kind there are, for operators: a bounded look over the keys of each server.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use redis::FromRedisValue;

use super::{Russet, send::Errand};
use crate::{
    error::{Advice, Error, ErrorKind, Result},
    keys,
};

/// How long a server's keys are looked at.
const TIME: Duration = Duration::from_millis(200);
const STEP: usize = 500;

impl Russet {
    /// The names of the objects of a kind, sorted, and whether all keys were looked at: 200 ms for each primary, in steps of
    /// 500 keys. Not for a path that serves a request.
    pub(crate) async fn objects(&self, kind: &str) -> Result<(Vec<String>, bool)> {
        let router = self.router();
        let (pattern, mut names, mut is_complete) =
            (keys::all_of(self.names(), kind), BTreeSet::new(), true);
        let errand = Errand::new(router, TIME);
        for link in errand.primaries().await? {
            let (started, mut cursor) = (Instant::now(), 0_u64);
            let errand = Errand::new(router, TIME);
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
                let answer = errand.ask(&link, vec![scan]).await?.into_iter().next();
                let found =
                    <(u64, Vec<String>)>::from_redis_value(answer.unwrap_or(redis::Value::Nil));
                let (next, keys) = found.map_err(|refusal| {
                    let message = format_args!("the keys cannot be looked at: {refusal}");
                    Error::new(ErrorKind::Refused, Advice::GiveUp, message)
                })?;
                names.extend(keys.iter().filter_map(|key| keys::object_of(key, kind)));
                cursor = next;
                if cursor == 0 || started.elapsed() > TIME {
                    break;
                }
            }
            is_complete &= cursor == 0;
        }
        Ok((names.into_iter().collect(), is_complete))
    }
}
