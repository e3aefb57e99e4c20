//! A bare connection to the server: whether anything lives behind the address, and the moment it ends.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::address::Address;

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// An open connection that asks for nothing.
pub(super) struct Probe(Box<dyn Stream>);

impl Probe {
    pub(super) async fn connect(address: &Address) -> std::io::Result<Self> {
        Ok(Self(match address {
            Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Address::Port(port) => Box::new(TcpStream::connect(("127.0.0.1", *port)).await?),
        }))
    }

    /// Whether the server says anything at all within `patience`: while it loads its data it answers an error,
    /// a stopped process nothing.
    pub(super) async fn answers(mut self, patience: Duration) -> bool {
        let mut byte = [0];
        let exchange = async {
            self.0.write_all(b"PING\r\n").await?;
            self.0.read(&mut byte).await
        };
        matches!(timeout(patience, exchange).await, Ok(Ok(1)))
    }

    /// Resolves when the server ends, or closes the connection for another reason.
    pub(super) async fn ended(&mut self) {
        let mut ignored = [0; 64];
        while matches!(self.0.read(&mut ignored).await, Ok(1..)) {}
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}
