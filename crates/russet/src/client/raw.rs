//! Plain commands on russet's own connection, for benchmarks and diagnosis.
//!
//! No namespace, no slot, no promise: keys are taken as they are, and the lost answer of any command is `Unknown`.

use redis::FromRedisValue;

use super::{Russet, call::Call};
use crate::error::Result;

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing there.
    Nil,
    /// A whole number.
    Int(i64),
    /// Text or bytes.
    Text(Vec<u8>),
    /// A list of answers.
    List(Vec<Value>),
}

/// Runs one command: one round trip.
///
/// # Errors
/// The server's refusal, or no answer by the deadline.
pub async fn command(russet: &Russet, words: &[impl AsRef<[u8]>]) -> Result<Value> {
    russet.run(Call::raw(words)).await
}

/// Runs commands in one pipeline: one round trip.
///
/// # Errors
/// As [`command`]; those after the failed one have run all the same.
pub async fn pipeline(russet: &Russet, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Value>> {
    let calls: Vec<_> = commands.iter().map(|words| Call::raw(words)).collect();
    russet.run_many(&calls).await
}

impl Value {
    /// The answer as text; `None` when it is none, or not UTF-8.
    pub fn into_text(self) -> Option<String> {
        match self {
            Value::Text(bytes) => String::from_utf8(bytes).ok(),
            Value::Int(number) => Some(number.to_string()),
            Value::Nil | Value::List(_) => None,
        }
    }
}

impl FromRedisValue for Value {
    fn from_redis_value(answer: redis::Value) -> Result<Self, redis::ParsingError> {
        Ok(match answer {
            redis::Value::Nil => Value::Nil,
            redis::Value::Int(number) => Value::Int(number),
            redis::Value::BulkString(bytes) => Value::Text(bytes),
            redis::Value::SimpleString(text) => Value::Text(text.into()),
            redis::Value::Okay => Value::Text(b"OK".to_vec()),
            redis::Value::Array(answers) => Value::List(
                answers.into_iter().map(Self::from_redis_value).collect::<Result<_, _>>()?,
            ),
            // The other forms belong to a protocol version that russet does not ask for.
            other => Value::Text(FromRedisValue::from_redis_value(other)?),
        })
    }
}
