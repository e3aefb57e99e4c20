//! One open connection: dialled, logged in, asked the time.

use std::{io, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{
    AsyncConnectionConfig, RedisResult, Value,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    fault,
    settings::{Address, Settings},
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
        generation: u64,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, i64)> {
        let (mut wire, driver) = within(settings, async {
            match &settings.address {
                Address::Tcp { host, port } => start(settings, dial(host, *port).await?).await,
                Address::Unix(path) => start(settings, UnixStream::connect(path).await?).await,
            }
        })
        .await?;
        let ended = CancellationToken::new();
        let end = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = driver => end.cancel(),
                () = end.cancelled() => {}
            }
            on_end();
        });
        let server_ms = within(settings, greet(&mut wire)).await?;
        Ok((Self { wire, generation, ended }, server_ms))
    }

    /// Whether the server answers on this connection within the time of a connect.
    pub(super) async fn answers(&self, at_most: Duration) -> bool {
        let mut wire = self.wire.clone();
        matches!(timeout(at_most, ping(&mut wire)).await, Ok(Ok(())))
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

/// Opens the kind of connection that only receives messages.
pub(super) async fn open_subscription(settings: &Settings) -> Result<PubSub> {
    within(settings, async {
        match &settings.address {
            Address::Tcp { host, port } => {
                PubSub::new(&settings.login, dial(host, *port).await?).await
            }
            Address::Unix(path) => {
                PubSub::new(&settings.login, UnixStream::connect(path).await?).await
            }
        }
    })
    .await
}

async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn start<S>(
    settings: &Settings,
    stream: S,
) -> RedisResult<(MultiplexedConnection, BoxFuture<'static, ()>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The deadline of a call is russet's own; the driver sets none.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (wire, driver) =
        MultiplexedConnection::new_with_config(&settings.login, stream, config).await?;
    Ok((wire, driver.boxed()))
}

/// Proves that the server serves (while it loads its data it answers an error) and learns its time.
async fn greet(wire: &mut MultiplexedConnection) -> RedisResult<i64> {
    ping(wire).await?;
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(wire).await?;
    Ok(seconds * 1_000 + micros / 1_000)
}

async fn ping(wire: &mut MultiplexedConnection) -> RedisResult<()> {
    redis::cmd("PING").query_async::<Value>(wire).await?;
    Ok(())
}

async fn within<T>(settings: &Settings, step: impl Future<Output = RedisResult<T>>) -> Result<T> {
    let address = settings.address.to_string();
    match timeout(settings.connect_timeout, step).await {
        Ok(done) => done.map_err(|error| fault::not_connected(&address, &error)),
        Err(_) => Err(Error::new(
            ErrorKind::Unreachable,
            Advice::RetryAfter(settings.connect_timeout),
            format_args!(
                "no connection to the Redis server at {address}: no answer within {:?}",
                settings.connect_timeout
            ),
        )),
    }
}
