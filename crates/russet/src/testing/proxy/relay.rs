//! One connection through the proxy.

use std::future::pending;
use std::io::{self, Read};
use std::net;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Mode;
use super::counts::Counts;
use super::lane::Lane;
use crate::testing::endpoint::{Endpoint, Stream};

/// Where a connection stands between a request and its answer.
#[derive(PartialEq, Eq)]
enum Trip {
    /// Nothing was sent since the last answer began.
    Answered,
    /// The client has sent something that is not answered yet.
    Asking,
}

/// What becomes of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doom {
    /// Lost as a whole, and the connection reset.
    Lost,
    /// After so many bytes the connection is closed.
    CutAfter(usize),
    /// After so many bytes nothing comes any more.
    StallAfter(usize),
}

/// Resets the client when it is dropped, unless the connection came to its natural end.
struct Client {
    stream: TcpStream,
    /// The same socket, for reads that ask the system instead of tokio's last event.
    direct: net::TcpStream,
    ended: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.set_zero_linger();
        }
    }
}

struct Relay<'a> {
    client: Client,
    server: Stream,
    to_server: Lane,
    to_client: Lane,
    client_ended: bool,
    server_ended: bool,
    trip: Trip,
    /// Bytes were lost while the proxy hung.
    swallowed: bool,
    /// This connection took the order to lose a reply, or the rest of one.
    doomed: Option<Doom>,
    /// The rest of a reply was withheld, and nothing more goes to the client.
    withheld: bool,
    mode: &'a watch::Sender<Mode>,
    counts: &'a Counts,
    buffer: Vec<u8>,
}

/// Carries bytes between the client and the server until one of them ends.
pub(super) async fn relay(
    client: TcpStream,
    upstream: &Endpoint,
    mode: &watch::Sender<Mode>,
    half_closes: watch::Receiver<u64>,
    counts: &Counts,
) -> io::Result<()> {
    let client = Client::new(client)?;
    let mut changes = mode.subscribe();
    if *changes.borrow_and_update() == Mode::Hang {
        // Whatever comes meanwhile is lost: the connection is reset when the proxy works again.
        let _ = changes.wait_for(|mode| *mode != Mode::Hang).await;
        return Ok(());
    }
    let server = upstream.connect().await?;
    Relay::new(client, server, mode, counts).run(changes, half_closes).await
}

impl Client {
    fn new(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        let direct = stream.into_std()?;
        let stream = TcpStream::from_std(direct.try_clone()?)?;
        Ok(Client { stream, direct, ended: false })
    }
}

impl<'a> Relay<'a> {
    fn new(
        client: Client,
        server: Stream,
        mode: &'a watch::Sender<Mode>,
        counts: &'a Counts,
    ) -> Relay<'a> {
        Relay {
            client,
            server,
            to_server: Lane::default(),
            to_client: Lane::default(),
            client_ended: false,
            server_ended: false,
            trip: Trip::Answered,
            swallowed: false,
            doomed: None,
            withheld: false,
            mode,
            counts,
            buffer: vec![0; 256 * 1024],
        }
    }

    async fn run(
        mut self,
        mut changes: watch::Receiver<Mode>,
        mut half_closes: watch::Receiver<u64>,
    ) -> io::Result<()> {
        loop {
            let hangs = *changes.borrow_and_update() == Mode::Hang;
            if self.swallowed && !hangs {
                return Ok(());
            }
            let is_cut = self.withheld && matches!(self.doomed, Some(Doom::CutAfter(_)));
            if self.client_ended && self.to_server.is_empty()
                || is_cut && self.to_client.is_empty()
                || self.server_ended && self.to_client.is_empty() && !hangs
            {
                self.client.ended = true;
                return Ok(());
            }
            let now = Instant::now();
            let ready = |lane: &Lane| !hangs && lane.due().is_some_and(|due| due <= now);
            let later = [self.to_server.due(), self.to_client.due()];
            let later = later.into_iter().flatten().filter(|due| !hangs && *due > now).min();
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
                Ok(()) = half_closes.changed() => {
                    self.withheld = true;
                    self.to_client = Lane::default();
                    let _ = self.client.direct.shutdown(net::Shutdown::Write);
                }
                read = self.client.stream.readable(), if !self.client_ended && self.to_server.has_room() => {
                    read?;
                    self.read_client()?;
                }
                read = self.server.readable(), if !self.server_ended && self.to_client.has_room() => {
                    read?;
                    if self.read_server() {
                        return Ok(());
                    }
                }
                write = self.server.writable(), if ready(&self.to_server) => {
                    write?;
                    self.write_server(now);
                }
                write = self.client.stream.writable(), if ready(&self.to_client) => {
                    write?;
                    self.write_client(now)?;
                }
                () = wait_until(later) => {}
            }
        }
    }

    fn read_client(&mut self) -> io::Result<()> {
        while self.to_server.has_room() {
            match self.client.stream.try_read(&mut self.buffer) {
                Ok(length) if self.take_from_client(length) => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what the client had sent before the answer that is about to be delivered: it belongs to the same
    /// round trip. Tokio may not have heard of these bytes yet, so the system is asked.
    fn read_client_now(&mut self) {
        while self.to_server.has_room() && !self.client_ended {
            // An error is left for the next ordinary read.
            match (&self.client.direct).read(&mut self.buffer) {
                Ok(length) if self.take_from_client(length) => {}
                _ => break,
            }
        }
    }

    /// Takes `length` bytes from the buffer; `false` at the client's end.
    fn take_from_client(&mut self, length: usize) -> bool {
        if length == 0 {
            self.client_ended = true;
            return false;
        }
        let mode = *self.mode.borrow();
        if mode == Mode::Hang {
            self.swallowed = true;
            return true;
        }
        if Doom::of(mode).is_some() {
            // One connection only takes the order, and takes it away for the others.
            self.mode.send_if_modified(|mode| {
                if let Mode::DropReplyAfter(others) = mode {
                    if self.trip == Trip::Asking {
                        // More of a request that was counted already.
                        return false;
                    }
                    if *others > 0 {
                        *others -= 1;
                        return true;
                    }
                }
                let doom = Doom::of(*mode);
                if doom.is_some() {
                    self.doomed = doom;
                    *mode = Mode::Forward;
                }
                doom.is_some()
            });
        }
        self.trip = Trip::Asking;
        self.counts.add_sent(length);
        self.to_server.push(due(mode), self.buffer.get(..length).unwrap_or_default());
        true
    }

    /// Reads from the server; `true` when the answer is to be lost and the connection with it.
    fn read_server(&mut self) -> bool {
        while self.to_client.has_room() {
            let length = match self.server.try_read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A killed server resets its connections.
                Ok(0) | Err(_) => {
                    self.server_ended = true;
                    break;
                }
                Ok(length) => length,
            };
            let mode = *self.mode.borrow();
            if mode == Mode::Hang {
                self.swallowed = true;
                continue;
            }
            if self.withheld {
                continue;
            }
            let length = match &mut self.doomed {
                Some(doom) if self.to_server.is_empty() => match doom {
                    Doom::Lost => return true,
                    Doom::CutAfter(rest) | Doom::StallAfter(rest) => {
                        let length = length.min(*rest);
                        *rest -= length;
                        self.withheld = *rest == 0;
                        length
                    }
                },
                _ => length,
            };
            self.counts.add_received(length);
            self.to_client.push(due(mode), self.buffer.get(..length).unwrap_or_default());
        }
        false
    }

    fn write_server(&mut self, now: Instant) {
        let piece = piece(*self.mode.borrow());
        if self.to_server.write(now, piece, |bytes| self.server.try_write(bytes)).is_err() {
            // The server reads no more. What it had answered before is still to be delivered.
            self.to_server = Lane::default();
        }
    }

    fn write_client(&mut self, now: Instant) -> io::Result<()> {
        // Both before the write: after it, the client may send its next request, and the test may read the counts.
        self.read_client_now();
        if self.trip == Trip::Asking {
            self.trip = Trip::Answered;
            self.counts.add_round_trip();
        }
        let piece = piece(*self.mode.borrow());
        self.to_client.write(now, piece, |bytes| self.client.stream.try_write(bytes))
    }
}

impl Doom {
    fn of(mode: Mode) -> Option<Doom> {
        match mode {
            Mode::DropNextReply | Mode::DropReplyAfter(_) => Some(Doom::Lost),
            Mode::CutReplyAt(bytes) => Some(Doom::CutAfter(bytes)),
            Mode::StallReplyAt(bytes) => Some(Doom::StallAfter(bytes)),
            _ => None,
        }
    }
}

fn piece(mode: Mode) -> Option<usize> {
    match mode {
        Mode::Slice(bytes) => Some(bytes),
        _ => None,
    }
}

/// When bytes that arrive now may go on.
fn due(mode: Mode) -> Instant {
    let now = Instant::now();
    match mode {
        Mode::Delay(by) => now + by,
        _ => now,
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
