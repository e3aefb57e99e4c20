//! One open connection: dialled, logged in, asked the time.

use std::{collections::HashMap, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{
    AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    address::Address,
    dial::dial,
    fault,
    places::{Place, Target},
    replies::Replies,
    settings::Settings,
    tls::Tls,
};
use crate::error::{Advice, Error, ErrorKind, Result};

/// A connection that many calls share; the answers come in the order of the calls.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) wire: MultiplexedConnection,
    /// Which connection of its link this is, so that a late report cannot close its successor.
    pub(super) generation: u64,
    ended: CancellationToken,
}

impl Connection {
    /// Opens a connection; `on_end` runs when it is lost, however that happens.
    pub(super) async fn open(
        settings: &Settings,
        target: &Target,
        generation: u64,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, i64)> {
        within(settings, target, async {
            let place = target.place().await?;
            let is_left = place.clone();
            tokio::select! {
                opened = Self::open_at(settings, place, generation, on_end) => opened,
                // Not waited for any longer than it is the right one: it may be silent because it was replaced.
                () = is_left.is_left() => Err(fault::replaced(&is_left.address)),
            }
        })
        .await
    }

    async fn open_at(
        settings: &Settings,
        place: Place,
        generation: u64,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, i64)> {
        let (server, is_primary) = (place.address.clone(), place.must_be_primary());
        let (mut wire, driver) = start(&server, settings.tls.as_ref(), &settings.login).await?;
        let ended = CancellationToken::new();
        let end = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = driver => {}
                () = end.cancelled() => {}
                // Nothing that a server answers after it was replaced may reach a caller.
                () = place.is_left() => {
                    tracing::warn!(server = %place.address, "another server has its place now");
                }
            }
            end.cancel();
            on_end();
        });
        // Also when what follows fails, or is not waited for any longer.
        let opened = ended.drop_guard();
        let server_ms = greet(&mut wire, &server, is_primary).await?;
        Ok((Self { wire, generation, ended: opened.disarm() }, server_ms))
    }

    /// Whether the server answers on this connection within the time of a connect.
    pub(super) async fn answers(&self, at_most: Duration) -> bool {
        let mut wire = self.wire.clone();
        let ping = async { redis::cmd("PING").query_async::<Value>(&mut wire).await };
        matches!(timeout(at_most, ping).await, Ok(Ok(_)))
    }

    /// Ends the connection when the calls that wait on it have had their time.
    pub(super) fn close_after(&self, patience: Duration) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = sleep(patience) => ended.cancel(),
                () = ended.cancelled() => {}
            }
        });
    }

    /// Ends the connection: every call that waits on it fails at once.
    pub(super) fn close(&self) {
        self.ended.cancel();
    }

    /// Whether it was lost or closed.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

/// A connection beside the links, for questions about the servers themselves. It ends when it is dropped.
pub(super) struct Aside {
    pub(super) wire: MultiplexedConnection,
    _end: DropGuard,
}

impl Aside {
    /// Connects and logs in.
    pub(super) async fn open(
        address: &Address,
        tls: Option<&Tls>,
        login: &RedisConnectionInfo,
    ) -> Result<Self> {
        let (wire, driver) = start(address, tls, login).await?;
        let end = CancellationToken::new();
        let guard = end.clone().drop_guard();
        tokio::spawn(async move {
            tokio::select! {
                () = driver => {}
                () = end.cancelled() => {}
            }
        });
        Ok(Self { wire, _end: guard })
    }
}

/// Opens the kind of connection that receives messages and nothing else.
pub(super) async fn open_subscription(
    settings: &Settings,
    target: &Target,
) -> Result<(Replies, Place)> {
    within(settings, target, async {
        let place = target.place().await?;
        let failed = |error| fault::not_connected(&place.address, &error);
        let stream = dial(&place.address, settings.tls.as_ref()).await;
        let stream = stream.map_err(|error| failed(error.into()))?;
        Ok((Replies::open(stream, &settings.login).await.map_err(failed)?, place))
    })
    .await
}

/// Connects and logs in; the second value has to be polled for the first to work.
async fn start(
    address: &Address,
    tls: Option<&Tls>,
    login: &RedisConnectionInfo,
) -> Result<(MultiplexedConnection, BoxFuture<'static, ()>)> {
    let connect = async {
        let stream = dial(address, tls).await?;
        // The deadline of a call is russet's own; the driver sets none.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        MultiplexedConnection::new_with_config(login, stream, config).await
    };
    let (wire, driver) = connect.await.map_err(|error| fault::not_connected(address, &error))?;
    Ok((wire, driver.boxed()))
}

/// Proves that the server serves (while it loads its data it answers an error), learns its time, and checks its
/// role where that matters: by `HELLO`, since `ROLE` is among the commands that a careful ACL takes away.
async fn greet(
    wire: &mut MultiplexedConnection,
    address: &Address,
    must_be_primary: bool,
) -> Result<i64> {
    let mut greeting = Pipeline::new();
    greeting.cmd("PING").cmd("TIME");
    if must_be_primary {
        greeting.cmd("HELLO");
    }
    let asked = async {
        let answers = wire.send_packed_commands(&greeting, 0, greeting.len()).await?;
        let mut answers = answers.into_iter().map(Value::extract_error);
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        next()?;
        let (seconds, micros): (i64, i64) = redis::from_redis_value(next()?)?;
        let role = match must_be_primary {
            false => None,
            true => redis::from_redis_value::<HashMap<String, Value>>(next()?)?.remove("role"),
        };
        RedisResult::Ok((seconds * 1_000 + micros / 1_000, role))
    };
    let (server_ms, role) = asked.await.map_err(|error| fault::not_connected(address, &error))?;
    let is_primary =
        role.is_some_and(|role| matches!(role, Value::BulkString(role) if role == b"master"));
    if must_be_primary && !is_primary {
        return Err(Error::new(
            ErrorKind::Unreachable,
            Advice::RetryAfter(fault::RECOVERING),
            format_args!(
                "the Redis server at {address} is not a primary, though its sentinels say so"
            ),
        ));
    }
    Ok(server_ms)
}

async fn within<T>(
    settings: &Settings,
    target: &Target,
    step: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(settings.connect_timeout, step).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unreachable,
            Advice::RetryAfter(settings.connect_timeout),
            format_args!(
                "no connection to the Redis server at {target}: no answer within {:?}",
                settings.connect_timeout
            ),
        ))
    })
}
