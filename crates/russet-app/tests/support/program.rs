//! The real program in a process of its own, on a data folder that leaves nothing behind.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use russet::testing::WorkerProcess;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Answer, request};

/// What `russet` reads from the environment, which must be the test's alone.
const VARIABLES: [&str; 22] = [
    "REDIS_URL",
    "REDIS_CA_FILE",
    "REDIS_CERT_FILE",
    "REDIS_KEY_FILE",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "REDIS_DB",
    "DATABASE_URL",
    "DB_HOST",
    "DB_PORT",
    "DB_USER",
    "DB_PASSWORD",
    "DB_NAME",
    "SECRET_KEY",
    "SECRET_KEY_PREVIOUS",
    "PUBLIC_URL",
    "TRUSTED_PROXY",
    "USER_WRITES",
    "TEMP_CLEANUP_ZONE",
    "DEBUG",
    "RUST_LOG",
];

/// How long a start or an end may take.
const LONG: Duration = Duration::from_secs(40);

/// Waits for the end of its input, then ends every process that works in the folder, and removes it. A russet that
/// is killed at the same moment may still start a server, so it looks until it finds none.
const GUARD: &str = r#"
trap '' HUP INT TERM
while read -r line; do :; done
while
    left=$(ls -ld /proc/[0-9]*/cwd 2>/dev/null | sed -n "s|.* /proc/\([0-9]*\)/cwd -> $1\(/.*\)\{0,1\}$|\1|p")
    [ -n "$left" ]
do
    kill -s KILL $left
    sleep 0.1
done
rm -rf -- "$1"
"#;

/// A folder for `--data-dir`. When it is dropped, or the test process ends in any way, so does the private server
/// that a killed russet left on it.
pub struct DataFolder {
    root: PathBuf,
    path: PathBuf,
    guard: Child,
}

impl DataFolder {
    pub fn new() -> DataFolder {
        DataFolder::named("data")
    }

    /// With a name of one's own for the data folder.
    pub fn named(name: &str) -> DataFolder {
        let root = tempfile::tempdir().expect("a folder").keep().canonicalize().unwrap();
        let path = root.join(name);
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "russet-guard"])
            .arg(&root)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        link_server(&root).expect("a server program");
        DataFolder { root, path, guard }
    }

    /// What `--data-dir` names.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Beside the data folder, for other files of the test.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file of the private server.
    pub fn redis(&self, name: &str) -> PathBuf {
        self.path.join("redis").join(name)
    }

    /// The server processes that work on this data, by id.
    pub fn servers(&self) -> Vec<u32> {
        let folder = self.path.join("redis");
        let works_here = |pid: &u32| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            (name.starts_with("redis") || name.starts_with("valkey"))
                && std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder)
        };
        let processes = std::fs::read_dir("/proc").expect("a system with /proc");
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(works_here).collect()
    }

    /// The only server on this data.
    #[track_caller]
    pub fn server(&self) -> u32 {
        let servers = self.servers();
        assert_eq!(servers.len(), 1, "servers on the data: {servers:?}");
        servers[0]
    }

    /// `russet COMMAND` on this folder, with nothing configured by the environment.
    pub fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut russet = Command::new(env!("CARGO_BIN_EXE_russet"));
        russet.arg(command).arg("--data-dir").arg(&self.path).args(arguments);
        // Where the guard finds it.
        russet.current_dir(&self.root);
        for variable in VARIABLES {
            russet.env_remove(variable);
        }
        // It would be one task more in the counts of who tests at that minute of the day.
        russet.env("TEMP_CLEANUP", "off");
        if self.root.join("bin").exists() {
            russet.env("PATH", self.root.join("bin"));
        }
        russet
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// With `RUSSET_TEST_SERVER`, that program is the only server on russet's PATH.
fn link_server(root: &Path) -> io::Result<()> {
    let Some(name) = std::env::var_os("RUSSET_TEST_SERVER").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
        .ok_or_else(|| io::Error::other("RUSSET_TEST_SERVER is no program here"))?
        .canonicalize()?;
    std::fs::create_dir(root.join("bin"))?;
    let own_name = Path::new(&name).file_name().unwrap_or(&name);
    std::os::unix::fs::symlink(program, root.join("bin").join(own_name))
}

/// Sends a signal by its name, such as `STOP`.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("/bin/sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid.to_string()])
        .status()
        .expect("a shell");
    assert!(status.success(), "no process {pid}");
}

/// A `russet serve` that answers.
pub struct Serve {
    pub process: WorkerProcess,
    pub address: SocketAddr,
}

impl Serve {
    /// Starts it on a free port and waits until it says where it listens.
    pub async fn start(folder: &DataFolder) -> Serve {
        Serve::run(&Serve::command(folder, &[])).await
    }

    pub fn command(folder: &DataFolder, arguments: &[&str]) -> Command {
        folder.command("serve", &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    pub async fn run(command: &Command) -> Serve {
        let mut process = WorkerProcess::command(command).expect("a process");
        let serving = async {
            loop {
                let line = process.line_starting("").await.expect("a line with the address");
                if let Some((_, rest)) = line.split_once("serving http://") {
                    return rest.split(' ').next().unwrap().parse().expect("an address");
                }
            }
        };
        let address = tokio::time::timeout(LONG, serving).await;
        match address {
            Ok(address) => Serve { process, address },
            Err(_) => panic!("it does not serve; it printed\n{}", process.output()),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        call(self.address, Method::GET, path, None).await.expect("an answer")
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        call(self.address, Method::POST, path, Some(body)).await.expect("an answer")
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        call(self.address, Method::PUT, path, Some(body)).await.expect("an answer")
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) -> ExitStatus {
        self.process.terminate().expect("it runs");
        ended(&self.process).await
    }

    /// SIGKILL.
    pub async fn kill(self) {
        self.process.kill().await.expect("it is killed");
    }
}

/// Waits for the end of a process, not for ever.
pub async fn ended(process: &WorkerProcess) -> ExitStatus {
    match tokio::time::timeout(LONG, process.wait()).await {
        Ok(status) => status.expect("a status"),
        Err(_) => panic!("it does not end; it printed\n{}", process.output()),
    }
}

/// Runs a command to its end; the status code and everything that it printed.
pub async fn finished(command: &Command) -> (i32, String) {
    let process = WorkerProcess::command(command).expect("a process");
    let status = ended(&process).await;
    (status.code().expect("no signal"), process.output())
}

/// One request on a connection of its own.
pub async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> io::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let exchange = async {
        let mut request = request(method, path, body);
        request.headers_mut().insert("host", address.to_string().parse().expect("a host"));
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        Answer::read(answer.map(Body::new)).await
    };
    tokio::select! {
        answer = exchange => answer,
        // It goes on to its end when the answer is there already.
        Err(error) = connection => Err(io::Error::other(error)),
    }
}

/// Writes what a program is to read from its input.
pub fn write(path: &Path, text: &str) {
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("a file");
}
