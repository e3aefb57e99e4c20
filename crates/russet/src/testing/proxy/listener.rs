//! The proxy's port: takes connections, and ends them when it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Mode;
use super::counts::Counts;
use super::relay::relay;
use crate::testing::endpoint::Endpoint;

/// What a test asks of the proxy's thread.
#[derive(Debug)]
pub(super) enum Order {
    Set(Mode),
    Cut,
    HalfClose,
}

pub(super) struct Listener {
    upstream: Endpoint,
    counts: Arc<Counts>,
    address: SocketAddr,
    /// Bound without listening, so that nobody gets the port while connections are refused.
    _port: TcpSocket,
    listening: Option<TcpListener>,
    mode: watch::Sender<Mode>,
    /// Counts the orders to close one half of each connection.
    half_closes: watch::Sender<u64>,
    open: JoinSet<()>,
}

impl Listener {
    /// Chooses a port; an order to set a mode makes it listen there.
    pub(super) fn bind(upstream: Endpoint, counts: Arc<Counts>) -> io::Result<Listener> {
        let port = bound(([127, 0, 0, 1], 0).into())?;
        let address = port.local_addr()?;
        Ok(Listener {
            upstream,
            counts,
            address,
            _port: port,
            listening: None,
            mode: watch::channel(Mode::Forward).0,
            half_closes: watch::channel(0).0,
            open: JoinSet::new(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the channel of orders is closed.
    pub(super) async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<io::Result<()>>)>,
    ) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some((order, done)) => {
                        let _ = done.send(self.obey(order).await);
                    }
                    None => return,
                },
                accepted = accept(self.listening.as_ref()) => {
                    if let Ok(client) = accepted {
                        self.take(client);
                    }
                }
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Cut => self.open.shutdown().await,
            Order::HalfClose => self.half_closes.send_modify(|count| *count += 1),
            Order::Set(Mode::Refuse) => {
                self.mode.send_replace(Mode::Refuse);
                self.listening = None;
                self.open.shutdown().await;
            }
            Order::Set(mode) => {
                self.mode.send_replace(mode);
                if self.listening.is_none() {
                    self.listening = Some(listen(self.address)?);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, client: TcpStream) {
        self.counts.add_connection();
        let (upstream, mode) = (self.upstream.clone(), self.mode.clone());
        let counts = Arc::clone(&self.counts);
        let half_closes = self.half_closes.subscribe();
        self.open.spawn(async move {
            // An error is one of the network, which the client sees as well.
            let _ = relay(client, &upstream, &mode, half_closes, &counts).await;
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(1024)
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
