//! How a call gets its answer: deadlines, lost answers, scripts the server does not know.

use redis::{Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use super::{
    Russet,
    call::{Call, Effect},
    connection::Connection,
    fault, meter,
};
use crate::error::{Error, Result};

/// What an answer can be read as: numbers, text, bytes, `Option`, `Vec`, tuples.
pub(crate) use redis::FromRedisValue as FromReply;

impl Russet {
    /// Sends one call: one round trip.
    ///
    /// # Errors
    /// By the deadline at the latest: see [`ErrorKind`](crate::ErrorKind).
    pub(crate) async fn run<T: FromReply>(&self, call: Call) -> Result<T> {
        let call = &call;
        let subject = || call.subject();
        let answer = self.attempt(call.effect, subject, |connection| one(connection, call)).await?;
        decode(call, answer)
    }

    /// Sends the calls in one pipeline: one round trip, in order. The first error is returned.
    ///
    /// # Errors
    /// As [`run`](Self::run); calls after the failed one have run all the same.
    pub(crate) async fn run_many<T: FromReply>(&self, calls: &[Call]) -> Result<Vec<T>> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let effect = strictest(calls);
        let subject = || first.subject();
        let answers = self.attempt(effect, subject, |connection| many(connection, calls)).await?;
        calls.iter().zip(answers).map(|(call, answer)| decode(call, answer)).collect()
    }

    async fn attempt<A, F>(
        &self,
        effect: Effect,
        subject: impl Fn() -> String,
        exchange: impl Fn(Connection) -> F,
    ) -> Result<A>
    where
        F: Future<Output = RedisResult<A>>,
    {
        let link = self.link();
        let timeout = link.settings().timeout;
        let deadline = Instant::now() + timeout;
        loop {
            let connection = link.connection(deadline).await;
            let connection = connection.map_err(|why| fault::unreachable(&subject(), &why))?;
            match timeout_at(deadline, exchange(connection.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(lost)) => {
                    link.lost(&connection);
                    // Where doing it twice is no harm, the next connection gets it too.
                    if effect == Effect::Once {
                        return Err(fault::unanswered(&subject(), effect, &lost.to_string()));
                    }
                }
                Err(_) => {
                    link.unanswered(&connection);
                    let how = format!("within {timeout:?}");
                    return Err(fault::unanswered(&subject(), effect, &how));
                }
            }
        }
    }
}

/// One call, sent again with its text when the server does not know the script.
async fn one(mut connection: Connection, call: &Call) -> RedisResult<Value> {
    meter::count(1);
    let answer = connection.wire.send_packed_command(&call.cmd).await?;
    if !is_unknown_script(&answer) {
        return Ok(answer);
    }
    let Some(with_source) = call.with_source() else { return Ok(answer) };
    meter::count(1);
    connection.wire.send_packed_command(&with_source).await
}

/// A pipeline; the calls whose script the server did not know follow in a second one.
async fn many(mut connection: Connection, calls: &[Call]) -> RedisResult<Vec<Value>> {
    let mut pipeline = Pipeline::with_capacity(calls.len());
    for call in calls {
        pipeline.add_command(call.cmd.clone());
    }
    meter::count(calls.len());
    let mut answers = connection.wire.send_packed_commands(&pipeline, 0, calls.len()).await?;

    let mut again = Pipeline::new();
    let mut places = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        if !answers.get(place).is_some_and(is_unknown_script) {
            continue;
        }
        if let Some(with_source) = call.with_source() {
            again.add_command(with_source);
            places.push(place);
        }
    }
    if !places.is_empty() {
        meter::count(places.len());
        let repaired = connection.wire.send_packed_commands(&again, 0, places.len()).await?;
        for (place, answer) in places.into_iter().zip(repaired) {
            answers[place] = answer;
        }
    }
    Ok(answers)
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// What may be done with all of them, should the answers be lost.
fn strictest(calls: &[Call]) -> Effect {
    let effects = || calls.iter().map(|call| call.effect);
    if effects().any(|effect| effect == Effect::Once) {
        Effect::Once
    } else if effects().any(|effect| effect == Effect::Idempotent) {
        Effect::Idempotent
    } else {
        Effect::Read
    }
}

fn decode<T: FromReply>(call: &Call, answer: Value) -> Result<T> {
    if let Value::ServerError(error) = &answer {
        return Err(fault::refused(&call.subject(), error));
    }
    T::from_redis_value(answer).map_err(|cause| {
        Error::internal(format_args!(
            "{}: an answer of an unexpected form, {cause}",
            call.subject()
        ))
    })
}
