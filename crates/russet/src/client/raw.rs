//! Plain commands on russet's own connection, for benchmarks and diagnosis.
//!
//! No namespace, no promise: keys are taken as they are, and the lost answer of any command is `Unknown`. On a Cluster a
//! command with a key goes to the key's node, one without to any primary.

use redis::FromRedisValue;

use super::{Reached, Russet, call::Call};
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
    russet.run(Call::raw(words, first_key(words))).await
}

/// Runs one write with the [durability](crate::Russet::durability) of the handle, and tells what it reached: one round
/// trip, and what the wait takes.
///
/// # Errors
/// As [`command`], and `Invalid` for a durability of no replicas or no time.
pub async fn durable(russet: &Russet, words: &[impl AsRef<[u8]>]) -> Result<(Value, Reached)> {
    russet.run_durable(Call::raw(words, first_key(words))).await
}

/// Runs commands in one pipeline: one round trip.
///
/// # Errors
/// As [`command`]; those after the failed one have run all the same.
pub async fn pipeline(russet: &Russet, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Value>> {
    let calls: Vec<_> = commands.iter().map(|words| Call::raw(words, first_key(words))).collect();
    russet.run_many(&calls).await
}

/// The first key of a command, as most have it. A wrong guess costs a redirect and no more, since the node knows better.
fn first_key(words: &[impl AsRef<[u8]>]) -> Option<&[u8]> {
    const WITHOUT: [&str; 24] = [
        "ACL",
        "AUTH",
        "BGREWRITEAOF",
        "BGSAVE",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DBSIZE",
        "ECHO",
        "FLUSHALL",
        "FLUSHDB",
        "HELLO",
        "INFO",
        "KEYS",
        "LASTSAVE",
        "LATENCY",
        "PING",
        "PUBLISH",
        "SCAN",
        "SCRIPT",
        "SLOWLOG",
        "TIME",
        "WAIT",
    ];
    let command = words.first()?.as_ref().to_ascii_uppercase();
    let place = match command.as_slice() {
        b"EVAL" | b"EVAL_RO" | b"EVALSHA" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" => {
            if words.get(2)?.as_ref() == b"0" {
                return None;
            }
            3
        }
        b"BITOP" | b"OBJECT" | b"XINFO" | b"XGROUP" | b"MEMORY" => 2,
        name if WITHOUT.iter().any(|without| without.as_bytes() == name) => return None,
        _ => 1,
    };
    words.get(place).map(AsRef::as_ref)
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

#[cfg(test)]
mod tests {
    use super::first_key;

    #[test]
    fn the_first_key_is_found() {
        let key = |text: &str| {
            let words: Vec<_> = text.split(' ').collect();
            first_key(&words).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        assert_eq!(key("get a").as_deref(), Some("a"));
        assert_eq!(key("EVALSHA sha 2 a b").as_deref(), Some("a"));
        assert_eq!(key("OBJECT ENCODING a").as_deref(), Some("a"));
        for without in ["ping", "EVAL text 0 x", "CONFIG GET maxmemory", "GET"] {
            assert_eq!(key(without), None, "{without}");
        }
    }
}
