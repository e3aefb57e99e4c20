//! What `russet::testing` promises to the tests that are built on it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use russet::testing::{
    Proxy, Reply, TestServer, WorkerProcess, eventually, is_running, is_worker, worker_env,
    worker_receive, worker_report,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

type Outcome = Result<(), Box<dyn Error>>;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_started_server_answers_on_its_own_port() -> Outcome {
    let (one, two) = (TestServer::start().await?, TestServer::start().await?);
    assert_ne!(one.port(), two.port());
    assert_eq!(one.url(), format!("redis://127.0.0.1:{}", one.port().unwrap_or(0)));
    one.command(&["SET", "k", "1"]).await?;
    assert_eq!(one.command(&["GET", "k"]).await?.int(), Some(1));
    assert_eq!(two.command(&["GET", "k"]).await?, Reply::Nil);
    Ok(())
}

#[tokio::test]
async fn a_server_on_a_unix_socket_listens_on_no_port() -> Outcome {
    let server = TestServer::builder().unix_socket().start().await?;
    assert_eq!(server.port(), None);
    assert!(server.socket().is_some_and(|path| path.starts_with(server.dir())));
    let port = server.command(&["CONFIG", "GET", "port"]).await?;
    assert_eq!(port.texts(), ["port", "0"]);
    Ok(())
}

#[tokio::test]
async fn a_password_is_asked_for() -> Outcome {
    let server = TestServer::builder().password("s3cret").start().await?;
    assert!(server.url().contains(":s3cret@"));
    assert_eq!(server.command(&["PING"]).await?.text(), Some("PONG"));
    let refused = server.command(&["AUTH", "wrong"]).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("WRONGPASS")));
    let bad = TestServer::builder().password("a@b").start().await;
    assert!(bad.is_err_and(|error| error.to_string().contains("URL")));
    Ok(())
}

#[tokio::test]
async fn an_argument_reaches_the_server() -> Outcome {
    let server = TestServer::builder().arg("maxmemory", "8mb").start().await?;
    let found = server.command(&["CONFIG", "GET", "maxmemory"]).await?;
    assert_eq!(found.texts(), ["maxmemory", "8388608"]);
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() -> Outcome {
    let error = TestServer::builder().arg("maxmemory", "eight").start().await.err();
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("maxmemory"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_killed_server_is_gone_when_kill_returns() -> Outcome {
    for builder in [TestServer::builder(), TestServer::builder().unix_socket()] {
        let server = builder.start().await?;
        let pid = server.pid();
        server.kill().await?;
        assert!(!is_running(pid));
        assert!(server.command(&["PING"]).await.is_err());
        server.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_keeps_its_address_and_what_was_acknowledged() -> Outcome {
    for builder in [TestServer::builder(), TestServer::builder().unix_socket()] {
        let server = builder.append_only().start().await?;
        let (url, pid) = (server.url(), server.pid());
        for round in 1..=3 {
            server.command(&["INCR", "n"]).await?;
            server.kill().await?;
            server.restart().await?;
            assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(round));
        }
        assert_eq!(server.url(), url);
        assert_ne!(server.pid(), pid);
        server.restart().await?;
        assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(3));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_persistence_forgets() -> Outcome {
    let server = TestServer::start().await?;
    server.command(&["SET", "k", "1"]).await?;
    server.restart().await?;
    assert_eq!(server.command(&["GET", "k"]).await?, Reply::Nil);
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_after_resume() -> Outcome {
    let server = TestServer::start().await?;
    server.pause()?;
    let asked = server.command(&["PING"]);
    tokio::pin!(asked);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut asked).await;
    assert!(early.is_err(), "a paused server answered");
    server.resume()?;
    assert_eq!(asked.await?.text(), Some("PONG"));
    Ok(())
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_folder() -> Outcome {
    let server = TestServer::builder().append_only().start().await?;
    let (pid, folder) = (server.pid(), PathBuf::from(server.dir()));
    assert!(is_running(pid) && folder.is_dir());
    server.pause()?;
    drop(server);
    assert!(!is_running(pid));
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn commands_and_cpu_are_counted_by_the_server() -> Outcome {
    let server = TestServer::start().await?;
    assert_eq!(server.calls("set").await?, 0);
    server.command(&["SET", "k", "v"]).await?;
    server.command(&["EVAL", "return redis.call('SET', KEYS[1], 'w')", "1", "k"]).await?;
    assert_eq!(server.calls("set").await?, 2);
    let before = server.calls("config|get").await?;
    server.command(&["CONFIG", "GET", "port"]).await?;
    assert_eq!(server.calls("config|get").await? - before, 1);
    let before = server.cpu_micros().await?;
    server.command(&["EVAL", "for i = 1, 2000000 do local s = i end", "0"]).await?;
    assert!(server.cpu_micros().await? > before);
    Ok(())
}

#[tokio::test]
async fn a_server_error_is_an_error_with_its_text() -> Outcome {
    let server = TestServer::start().await?;
    let error = server.command(&["NOSUCH"]).await.err().map(|error| error.to_string());
    assert!(error.is_some_and(|text| text.contains("unknown command")));
    Ok(())
}

#[tokio::test]
async fn a_server_can_be_used_from_a_spawned_task() -> Outcome {
    let work = tokio::spawn(async {
        let server = TestServer::start().await?;
        server.restart().await?;
        server.kill().await
    });
    work.await??;
    Ok(())
}

#[tokio::test]
async fn eventually_answers_the_first_success() {
    let mut attempts = 0;
    let value = eventually(DEADLINE, async || {
        attempts += 1;
        if attempts == 3 { Ok(attempts) } else { Err(attempts) }
    })
    .await;
    assert_eq!(value, 3);
}

#[tokio::test]
async fn eventually_panics_at_the_deadline_with_the_last_error() -> Outcome {
    let hopeless = eventually(Duration::from_millis(20), async || Err::<(), _>("still 7 left"));
    let panic = tokio::spawn(hopeless).await.err().ok_or("it ended")?.into_panic();
    let text = panic.downcast::<String>().map_err(|_| "the panic has no text")?;
    assert!(text.contains("still 7 left") && text.contains("testing.rs"), "{text}");
    Ok(())
}

#[tokio::test]
async fn eventually_gives_up_an_attempt_that_hangs() -> Outcome {
    let hangs = eventually(Duration::from_millis(20), async || {
        std::future::pending::<Result<(), &str>>().await
    });
    let panic = tokio::spawn(hangs).await.err().ok_or("it ended")?.into_panic();
    let text = panic.downcast::<String>().map_err(|_| "the panic has no text")?;
    assert!(text.contains("hung"), "{text}");
    Ok(())
}

/// A bare client: what it writes is exactly what it is told to.
struct Client(TcpStream);

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";
/// How long nothing must happen where nothing is expected.
const QUIET: Duration = Duration::from_millis(150);

impl Client {
    async fn connect(proxy: &Proxy) -> io::Result<Client> {
        let stream = TcpStream::connect(proxy.address()).await?;
        stream.set_nodelay(true)?;
        Ok(Client(stream))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    async fn receive(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        timeout(DEADLINE, self.0.read_exact(&mut bytes)).await??;
        Ok(bytes)
    }

    async fn ping(&mut self) -> io::Result<()> {
        self.send(PING).await?;
        assert_eq!(self.receive(PONG.len()).await?, PONG);
        Ok(())
    }

    /// Reads until the connection ends; true when it was reset or closed, false when it stays silent.
    async fn is_closed(&mut self, within: Duration) -> bool {
        let mut byte = [0];
        matches!(timeout(within, self.0.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }
}

#[tokio::test]
async fn a_proxy_carries_to_a_port_and_to_a_unix_socket() -> Outcome {
    for builder in [TestServer::builder(), TestServer::builder().unix_socket()] {
        let server = builder.password("pw").start().await?;
        let proxy = Proxy::to(&server).await?;
        assert_eq!(proxy.url(), format!("redis://:pw@{}", proxy.address()));
        let mut client = Client::connect(&proxy).await?;
        client.send(b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n").await?;
        assert_eq!(client.receive(5).await?, b"+OK\r\n");
        client.ping().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_call_is_one_round_trip() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let (mut one, mut two) = (Client::connect(&proxy).await?, Client::connect(&proxy).await?);
    for calls in 1..=200_u64 {
        one.ping().await?;
        two.ping().await?;
        assert_eq!(proxy.round_trips(), 2 * calls);
        assert_eq!(proxy.bytes_sent(), 2 * calls * PING.len() as u64);
        assert_eq!(proxy.bytes_received(), 2 * calls * PONG.len() as u64);
    }
    assert_eq!(proxy.connections(), 2);
    proxy.reset_counts();
    assert_eq!((proxy.round_trips(), proxy.bytes_sent(), proxy.connections()), (0, 0, 0));
    one.ping().await?;
    assert_eq!(proxy.round_trips(), 1);
    Ok(())
}

#[tokio::test]
async fn a_pipeline_written_in_one_go_is_one_round_trip() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    for commands in [1, 10, 100, 1000, 2000] {
        let (request, answer) = (PING.repeat(commands), PONG.repeat(commands));
        for _ in 0..20 {
            proxy.reset_counts();
            client.send(&request).await?;
            assert_eq!(client.receive(answer.len()).await?, answer);
            assert_eq!(proxy.round_trips(), 1, "{commands} commands");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_request_in_several_segments_is_one_round_trip() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    proxy.reset_counts();
    for byte in 0..PING.len() {
        client.send(&PING[byte..=byte]).await?;
        eventually(DEADLINE, async || match proxy.bytes_sent() {
            sent if sent == byte as u64 + 1 => Ok(()),
            sent => Err(format!("{sent} bytes arrived")),
        })
        .await;
    }
    assert_eq!(client.receive(PONG.len()).await?, PONG);
    assert_eq!(proxy.round_trips(), 1);
    Ok(())
}

#[tokio::test]
async fn a_request_after_the_answer_began_is_another_round_trip() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.send(&PING.repeat(2)).await?;
    client.receive(1).await?;
    client.send(PING).await?;
    client.receive(3 * PONG.len() - 1).await?;
    assert_eq!(proxy.round_trips(), 2);
    Ok(())
}

#[tokio::test]
async fn a_large_value_passes_unchanged_in_both_directions() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    let value: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let header = format!("*2\r\n$4\r\nECHO\r\n${}\r\n", value.len());
    let request = [header.as_bytes(), &value, b"\r\n"].concat();
    let answer = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    client.send(&request).await?;
    assert!(client.receive(answer.len()).await? == answer);
    Ok(())
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_new_connections_work() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let (mut one, mut two) = (Client::connect(&proxy).await?, Client::connect(&proxy).await?);
    one.ping().await?;
    two.ping().await?;
    proxy.cut().await?;
    assert!(one.is_closed(DEADLINE).await && two.is_closed(DEADLINE).await);
    let mut three = Client::connect(&proxy).await?;
    three.ping().await?;
    assert_eq!(proxy.connections(), 3);
    Ok(())
}

#[tokio::test]
async fn a_refusing_proxy_has_no_connections_until_it_is_healed() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    proxy.refuse().await?;
    assert!(client.is_closed(DEADLINE).await);
    let refused = Client::connect(&proxy).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused));
    proxy.heal().await?;
    Client::connect(&proxy).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_hanging_proxy_swallows_and_notices_nothing() -> Outcome {
    let server = TestServer::builder().append_only().start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut asking = Client::connect(&proxy).await?;
    let mut idle = Client::connect(&proxy).await?;
    asking.ping().await?;
    idle.ping().await?;
    proxy.hang().await?;
    asking.send(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n").await?;
    let mut late = Client::connect(&proxy).await?;
    late.send(PING).await?;
    assert!(!asking.is_closed(QUIET).await && !late.is_closed(QUIET).await);
    assert_eq!(server.command(&["EXISTS", "n"]).await?.int(), Some(0));

    proxy.heal().await?;
    assert!(asking.is_closed(DEADLINE).await && late.is_closed(DEADLINE).await);
    idle.ping().await?;

    proxy.hang().await?;
    server.kill().await?;
    assert!(!idle.is_closed(QUIET).await, "the end of the server was noticed");
    proxy.heal().await?;
    assert!(idle.is_closed(DEADLINE).await);
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_in_each_direction_and_keeps_the_order() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    let delay = Duration::from_millis(60);
    proxy.delay(delay).await?;
    let start = Instant::now();
    client.ping().await?;
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());

    client.send(b"*2\r\n$4\r\nECHO\r\n$1\r\na\r\n").await?;
    proxy.heal().await?;
    client.send(b"*2\r\n$4\r\nECHO\r\n$1\r\nb\r\n").await?;
    assert_eq!(client.receive(14).await?, b"$1\r\na\r\n$1\r\nb\r\n");
    Ok(())
}

#[tokio::test]
async fn a_dropped_reply_belongs_to_a_request_that_was_executed() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let (mut client, mut other) = (Client::connect(&proxy).await?, Client::connect(&proxy).await?);
    client.ping().await?;
    other.ping().await?;
    proxy.drop_next_reply().await?;
    client.send(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n").await?;
    assert!(client.is_closed(DEADLINE).await);
    assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(1));
    other.ping().await?;
    Client::connect(&proxy).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn the_reply_after_some_others_is_dropped() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    proxy.drop_reply_after(2).await?;
    client.ping().await?;
    client.ping().await?;
    client.send(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n").await?;
    assert!(client.is_closed(DEADLINE).await);
    assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(1));
    Client::connect(&proxy).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_slicing_proxy_hands_on_everything_in_small_pieces() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    proxy.slice(1).await?;
    let mut client = Client::connect(&proxy).await?;
    let word = "x".repeat(100);
    client.send(format!("*2\r\n$4\r\nECHO\r\n$100\r\n{word}\r\n").as_bytes()).await?;
    let expected = format!("$100\r\n{word}\r\n");
    assert_eq!(client.receive(expected.len()).await?, expected.as_bytes());
    Ok(())
}

#[tokio::test]
async fn a_reply_is_cut_or_stalled_at_a_byte_of_choice() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut cut = Client::connect(&proxy).await?;
    cut.ping().await?;
    proxy.cut_reply_at(3).await?;
    cut.send(PING).await?;
    assert_eq!(cut.receive(3).await?, b"+PO");
    assert!(cut.is_closed(DEADLINE).await);
    let mut stalled = Client::connect(&proxy).await?;
    proxy.stall_reply_at(3).await?;
    stalled.send(PING).await?;
    assert_eq!(stalled.receive(3).await?, b"+PO");
    assert!(!stalled.is_closed(QUIET).await);
    Client::connect(&proxy).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_half_closed_connection_still_takes_what_is_written() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    proxy.half_close().await?;
    assert!(client.is_closed(DEADLINE).await);
    client.send(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n").await?;
    eventually(DEADLINE, async || match server.command(&["GET", "n"]).await {
        Ok(reply) if reply.int() == Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_proxy_serves_again_when_its_server_was_restarted() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    server.kill().await?;
    assert!(client.is_closed(DEADLINE).await);
    // The reset may come before connecting has ended.
    if let Ok(mut early) = Client::connect(&proxy).await {
        assert!(early.is_closed(DEADLINE).await);
    }
    server.restart().await?;
    Client::connect(&proxy).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_port_and_its_connections() -> Outcome {
    let server = TestServer::start().await?;
    let proxy = Proxy::to(&server).await?;
    let address = proxy.address();
    let mut client = Client::connect(&proxy).await?;
    client.ping().await?;
    drop(proxy);
    assert!(client.is_closed(DEADLINE).await);
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

/// The worker of the tests below: echoes orders until it is told to end.
#[test]
fn worker_echoes() -> Outcome {
    let Some(greeting) = worker_env("GREETING") else { return Ok(()) };
    worker_report(&format!("ready {greeting}"));
    loop {
        match worker_receive()?.as_str() {
            "end" => return Ok(()),
            "fail" => return Err("told to fail".into()),
            order => worker_report(&format!("echo {order}")),
        }
    }
}

/// Starts a server, names it, and then waits to be killed.
#[tokio::test]
async fn worker_starts_a_server() -> Outcome {
    if !is_worker() {
        return Ok(());
    }
    let server = TestServer::builder().append_only().start().await?;
    worker_report(&format!("pid {}", server.pid()));
    worker_report(&format!("folder {}", server.dir().display()));
    let order = worker_receive()?;
    assert_ne!(order, "panic");
    match order.as_str() {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        order => Err(order.into()),
    }
}

#[tokio::test]
async fn a_worker_runs_talks_and_ends() -> Outcome {
    let mut worker = WorkerProcess::spawn("worker_echoes", &[("GREETING", "hello")])?;
    assert_eq!(worker.line_starting("ready").await?, "ready hello");
    for order in ["one", "two"] {
        worker.send(order)?;
        assert_eq!(worker.line_starting("echo").await?, format!("echo {order}"));
    }
    worker.send("end")?;
    assert!(worker.wait().await?.success());
    assert!(worker.output().contains("test result: ok. 1 passed"), "{}", worker.output());
    Ok(())
}

#[tokio::test]
async fn a_worker_that_fails_ends_without_success() -> Outcome {
    let mut worker = WorkerProcess::spawn("worker_echoes", &[("GREETING", "hello")])?;
    worker.send("fail")?;
    assert!(!worker.wait().await?.success());
    let error = worker.line_starting("no such line").await.err().map(|error| error.to_string());
    assert!(error.is_some_and(|text| text.contains("told to fail")));
    Ok(())
}

#[tokio::test]
async fn a_killed_worker_is_gone_when_kill_returns() -> Outcome {
    let mut worker = WorkerProcess::spawn("worker_echoes", &[("GREETING", "hello")])?;
    worker.line_starting("ready").await?;
    let pid = worker.pid();
    let status = worker.kill().await?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert!(!is_running(pid));
    assert!(worker.pause().is_err() && worker.terminate().is_err());
    assert_eq!(worker.kill().await?, status);
    Ok(())
}

#[tokio::test]
async fn a_paused_worker_does_nothing_until_resume() -> Outcome {
    let mut worker = WorkerProcess::spawn("worker_echoes", &[("GREETING", "hello")])?;
    worker.line_starting("ready").await?;
    for round in 1..=3 {
        worker.pause()?;
        worker.send(&format!("{round}"))?;
        assert!(worker.line_starting_within(QUIET, "echo").await.is_err());
        worker.resume()?;
        assert_eq!(worker.line_starting("echo").await?, format!("echo {round}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_worker_leaves_no_process_even_when_it_is_paused() -> Outcome {
    let mut worker = WorkerProcess::spawn("worker_echoes", &[("GREETING", "hello")])?;
    worker.line_starting("ready").await?;
    worker.pause()?;
    let pid = worker.pid();
    drop(worker);
    assert!(!is_running(pid));
    Ok(())
}

#[tokio::test]
async fn any_program_can_be_a_worker() -> Outcome {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo \"$WORD from $PWD\"; echo oops >&2; exit 7"]);
    command.env("WORD", "hello").current_dir("/");
    let mut worker = WorkerProcess::command(&command)?;
    assert_eq!(worker.line_starting("hello").await?, "hello from /");
    assert_eq!(worker.wait().await?.code(), Some(7));
    assert!(worker.output().contains("oops"));
    Ok(())
}

#[tokio::test]
async fn the_temporary_files_of_a_worker_end_with_it() -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", "echo made $(mktemp); exec sleep 60"]);
    let mut worker = WorkerProcess::command(&command)?;
    let line = worker.line_starting("made /").await?;
    let file = PathBuf::from(line.trim_start_matches("made "));
    assert!(file.is_file(), "{line}");
    drop(worker);
    assert!(!file.exists(), "{line}");
    Ok(())
}

#[tokio::test]
async fn what_a_worker_started_ends_with_it() -> Outcome {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "tail -f /dev/null & echo \"child $!\"; wait"]);
    let mut worker = WorkerProcess::command(&command)?;
    let line = worker.line_starting("child ").await?;
    let child: u32 = line.trim_start_matches("child ").parse()?;
    assert!(is_running(child));
    worker.kill().await?;
    eventually(DEADLINE, async || if is_running(child) { Err("it runs") } else { Ok(()) }).await;
    Ok(())
}

#[tokio::test]
async fn a_runner_that_ends_in_any_way_leaves_no_server_and_no_folder() -> Outcome {
    for end in ["kill", "panic", "abort", "exit"] {
        let mut runner = WorkerProcess::spawn("worker_starts_a_server", &[])?;
        let pid: u32 = runner.line_starting("pid ").await?.trim_start_matches("pid ").parse()?;
        let folder = runner.line_starting("folder ").await?;
        let folder = PathBuf::from(folder.trim_start_matches("folder "));
        assert!(is_running(pid) && folder.is_dir(), "{end}");
        if end == "kill" {
            runner.kill().await?;
        } else {
            runner.send(end)?;
            runner.wait().await?;
        }
        eventually(DEADLINE, async || match (is_running(pid), folder.exists()) {
            (false, false) => Ok(()),
            left => Err(format!("after {end}, (process, folder) are {left:?}")),
        })
        .await;
    }
    Ok(())
}
