//! Throw-away Redis and Valkey servers.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::eventually::Attempts;
use super::process::{Process, ignore_ended};
use super::program;
use super::reply::{Connection, Reply};
use super::server_builder::TestServerBuilder;
use super::watchdog::Watchdog;

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody took the chosen one.
const PORT_ATTEMPTS: u32 = 5;

/// A Redis or Valkey server for a test, gone with its data when the value is dropped.
///
/// The program is the one that `RUSSET_TEST_SERVER` names (a name or a path), else the first of `redis-server` and
/// `valkey-server` on `PATH`. It listens on a free port of 127.0.0.1, or on a Unix socket, and keeps its files in
/// a temporary folder of its own.
///
/// Nothing is left running: when the test process ends in any way, a panic, an abort or SIGKILL, a small shell
/// that watches it kills the server and removes the folder. A server in a `static`, which is never dropped, is
/// ended the same way. The methods work from any tokio runtime, so one server can serve several tests.
///
/// # Examples
///
/// ```
/// use russet::testing::TestServer;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let server = TestServer::start().await?;
/// server.command(&["SET", "greeting", "hello"]).await?;
/// assert_eq!(server.command(&["GET", "greeting"]).await?.text(), Some("hello"));
/// assert_eq!(server.calls("get").await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestServer {
    endpoint: Endpoint,
    /// Where clients speak TLS.
    secure: Option<SocketAddr>,
    password: Option<String>,
    command: Command,
    // Ended before the watchdog, which removes the folder.
    process: Mutex<Arc<Process>>,
    watchdog: Arc<Watchdog>,
    _ports: Vec<TcpSocket>,
}

impl TestServer {
    /// Starts a server on a free TCP port, without password and without persistence.
    ///
    /// # Errors
    ///
    /// When there is no server program (the message says how to install one), or when the server ended or did not
    /// answer within 30 seconds (the message holds the end of its log).
    pub async fn start() -> io::Result<TestServer> {
        Self::builder().start().await
    }

    /// Starts with other settings.
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder::default()
    }

    pub(super) async fn launch(settings: TestServerBuilder) -> io::Result<TestServer> {
        let program = program::find()?;
        let watchdog = Arc::new(Watchdog::start()?);
        let mut attempt = 1;
        loop {
            let mut ports = Vec::new();
            let endpoint = if settings.unix_socket {
                Endpoint::Unix(watchdog.folder().join("redis.sock"))
            } else {
                Endpoint::Tcp(free_port(&mut ports)?)
            };
            let mut command = settings.command(&program, &endpoint, watchdog.folder())?;
            if settings.cluster {
                // The default, the port plus 10,000, may be taken or beyond the last one.
                let bus = free_port(&mut ports)?;
                command.args(["--cluster-port", &bus.port().to_string()]);
            }
            let secure = settings.tls.as_ref().map(|_| free_port(&mut ports)).transpose()?;
            if let Some(secure) = secure {
                command.args(["--tls-port", &secure.port().to_string()]);
            }
            let password = settings.password.as_deref();
            match run(&command, &endpoint, password, &watchdog).await {
                Ok(process) => {
                    return Ok(TestServer {
                        endpoint,
                        secure,
                        password: settings.password,
                        command,
                        process: Mutex::new(Arc::new(process)),
                        watchdog,
                        _ports: ports,
                    });
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The address as a URL: `redis://127.0.0.1:<port>`, with `:<password>@` before the host when there is one, or
    /// `unix://<path>`, in the same way with `:<password>@` before the path. `rediss` with TLS.
    pub fn url(&self) -> String {
        if let Some(secure) = self.secure {
            let password = self.password.as_ref().map(|password| format!(":{password}@"));
            return format!("rediss://{}{secure}", password.unwrap_or_default());
        }
        match (&self.endpoint, &self.password) {
            (Endpoint::Tcp(address), None) => format!("redis://{address}"),
            (Endpoint::Tcp(address), Some(password)) => format!("redis://:{password}@{address}"),
            (Endpoint::Unix(path), None) => format!("unix://{}", path.display()),
            (Endpoint::Unix(path), Some(password)) => {
                format!("unix://:{password}@{}", path.display())
            }
        }
    }

    /// The TCP port, or `None` on a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Some(address.port()),
            Endpoint::Unix(_) => None,
        }
    }

    /// The path of the Unix socket, or `None` on TCP.
    pub fn socket(&self) -> Option<&Path> {
        match &self.endpoint {
            Endpoint::Tcp(_) => None,
            Endpoint::Unix(path) => Some(path),
        }
    }

    /// The password that clients must send, if there is one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The process id of the server that was started last.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// The temporary folder with the server's files; its log is `server.log`.
    pub fn dir(&self) -> &Path {
        self.watchdog.folder()
    }

    /// Whether the process that was started last has not ended. A paused one runs.
    pub fn is_running(&self) -> bool {
        self.process().exited().is_none()
    }

    /// Where clients are to connect.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.secure.map_or_else(|| self.endpoint.clone(), Endpoint::Tcp)
    }

    /// The port of clients: with TLS, if it is spoken.
    pub fn client_port(&self) -> Option<u16> {
        self.secure.map(|secure| secure.port()).or_else(|| self.port())
    }

    pub(super) fn speaks_tls(&self) -> bool {
        self.secure.is_some()
    }

    /// Kills the server with SIGKILL and waits until the process has ended and nothing listens any more.
    ///
    /// What the server had not written to its folder is lost, as in a crash of the process. Does nothing when the
    /// server is not running.
    ///
    /// # Errors
    ///
    /// When the address still answers after 30 seconds.
    pub async fn kill(&self) -> io::Result<()> {
        self.process().kill().await?;
        self.silent().await
    }

    /// Ends the server with SIGTERM and waits as [`kill`](Self::kill) does.
    ///
    /// The server saves what its settings tell it to: nothing by default, all with
    /// [`append_only`](TestServerBuilder::append_only).
    ///
    /// # Errors
    ///
    /// When it has not ended within 30 seconds, for example because it is paused.
    pub async fn stop(&self) -> io::Result<()> {
        let process = self.process();
        ignore_ended(process.signal(Signal::TERM))?;
        timeout(STOP_DEADLINE, process.wait())
            .await
            .map_err(|_| late("the server did not stop", STOP_DEADLINE))??;
        self.silent().await
    }

    /// Starts the server again with the same address, settings and folder; stops it first if it runs.
    ///
    /// The data is what the server had saved: see [`append_only`](TestServerBuilder::append_only).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await?;
        let password = self.password.as_deref();
        let process = run(&self.command, &self.endpoint, password, &self.watchdog).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(process);
        Ok(())
    }

    /// Stops the server with SIGSTOP: connections stay open and are accepted, nothing is answered.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub fn pause(&self) -> io::Result<()> {
        self.process().pause()
    }

    /// Continues a paused server: it answers what came meanwhile.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub fn resume(&self) -> io::Result<()> {
        self.process().resume()
    }

    /// Sends one command on a connection of its own and returns the reply.
    ///
    /// # Errors
    ///
    /// When the server answers with an error (the message is the server's), cannot be reached, or does not answer
    /// within 30 seconds.
    pub async fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> io::Result<Reply> {
        let call = async {
            let mut connection = Connection::open(&self.endpoint, self.password.as_deref()).await?;
            connection.call(words).await
        };
        timeout(CALL_DEADLINE, call)
            .await
            .map_err(|_| late("the server did not answer", CALL_DEADLINE))?
    }

    /// How often the server has run this command since it started, calls from scripts included.
    ///
    /// The name is the one of `INFO commandstats`: lower case, a subcommand after a bar (`config|get`). The calls
    /// of this type's own methods count as well: `ping`, `info`, and `auth` with a password; and a server may call
    /// some while it starts. Compare two readings.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub async fn calls(&self, command: &str) -> io::Result<u64> {
        let stats = self.command(&["INFO", "commandstats"]).await?;
        let calls = info_field(&stats, &format!("cmdstat_{command}"))
            .and_then(|fields| fields.split(',').find_map(|one| one.strip_prefix("calls=")));
        Ok(calls.and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    /// The CPU time that the server has used since it started, in user and system mode, in microseconds.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub async fn cpu_micros(&self) -> io::Result<u64> {
        let info = self.command(&["INFO", "cpu"]).await?;
        ["used_cpu_sys", "used_cpu_user"]
            .iter()
            .map(|name| info_field(&info, name).and_then(micros))
            .sum::<Option<u64>>()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "INFO cpu has no CPU times"))
    }

    fn process(&self) -> Arc<Process> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&process)
    }

    /// Waits until connections are refused.
    async fn silent(&self) -> io::Result<()> {
        let mut attempts = Attempts::within(STOP_DEADLINE);
        while self.endpoint.connect().await.is_ok() {
            attempts.pause("the address still takes connections".to_owned()).await?;
        }
        Ok(())
    }
}

/// Chooses a free port and keeps it: until the socket is dropped the system gives this port to nobody who asks
/// for a free one, and the server can listen there all the same, because this socket does not listen.
fn free_port(kept: &mut Vec<TcpSocket>) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let address = socket.local_addr()?;
    // Only Linux lets another socket listen on a port that is bound like this.
    if cfg!(target_os = "linux") {
        kept.push(socket);
    }
    Ok(address)
}

/// Starts the process and waits until it answers.
async fn run(
    command: &Command,
    endpoint: &Endpoint,
    password: Option<&str>,
    watchdog: &Arc<Watchdog>,
) -> io::Result<Process> {
    let log = watchdog.folder().join("server.log");
    let output = File::create(&log)?;
    let (process, _) =
        Process::spawn(command, Stdio::from(output.try_clone()?), Stdio::from(output), watchdog)?;
    let mut attempts = Attempts::within(START_DEADLINE);
    loop {
        let error = match attempts.run(is_ready(&process, endpoint, password)).await {
            Ok(()) => return Ok(process),
            Err(error) => error,
        };
        if let Some(status) = process.exited() {
            return Err(failed(&log, command, &status.to_string()));
        }
        attempts.pause(error).await?;
    }
}

/// The server answers, and it is ours: on the same port could be the server of another process.
async fn is_ready(
    process: &Process,
    endpoint: &Endpoint,
    password: Option<&str>,
) -> io::Result<()> {
    let mut connection = Connection::open(endpoint, password).await?;
    connection.call(&["PING"]).await?;
    let info = connection.call(&["INFO", "server"]).await?;
    let answering = info_field(&info, "process_id").unwrap_or("unknown");
    if answering == process.id().to_string() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "process {answering} answers there, but the server was started as process {}",
            process.id()
        )))
    }
}

fn failed(log: &PathBuf, command: &Command, status: &str) -> io::Error {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let kind = if log.contains("Address already in use") {
        io::ErrorKind::AddrInUse
    } else {
        io::ErrorKind::Other
    };
    let lines: Vec<&str> = log.trim_end().lines().collect();
    let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
    io::Error::new(
        kind,
        format!(
            "{} ended while it was starting ({status}):\n{}",
            command.get_program().display(),
            last.join("\n")
        ),
    )
}

fn late(what: &str, deadline: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {deadline:?}"))
}

fn info_field<'a>(info: &'a Reply, name: &str) -> Option<&'a str> {
    info.text()?
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_end)
}

/// `12.000345` seconds as microseconds.
fn micros(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.')?;
    let fraction = format!("{fraction:0<6}");
    Some(whole.parse::<u64>().ok()? * 1_000_000 + fraction.get(..6)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use super::{TestServer, is_ready, micros, run};
    use crate::testing::process::Process;
    use crate::testing::watchdog::Watchdog;

    #[tokio::test]
    async fn the_server_of_another_process_is_not_taken_for_ours() -> io::Result<()> {
        let other = TestServer::start().await?;
        let watchdog = Arc::new(Watchdog::start()?);
        let mut idle = Command::new("tail");
        idle.args(["-f", "/dev/null"]);
        let (ours, _) = Process::spawn(&idle, Stdio::null(), Stdio::null(), &watchdog)?;
        let error = is_ready(&ours, &other.endpoint, None).await.err().map(|e| e.to_string());
        assert!(error.is_some_and(|text| text.contains(&other.pid().to_string())));
        Ok(())
    }

    #[tokio::test]
    async fn a_taken_port_is_reported_as_taken() -> io::Result<()> {
        let other = TestServer::start().await?;
        let watchdog = Arc::new(Watchdog::start()?);
        let second = run(&other.command, &other.endpoint, None, &watchdog).await;
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        assert_eq!(other.command(&["PING"]).await?.text(), Some("PONG"));
        Ok(())
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(micros("12.000345"), Some(12_000_345));
        assert_eq!(micros("0.5"), Some(500_000));
        assert_eq!(micros("none"), None);
    }
}
