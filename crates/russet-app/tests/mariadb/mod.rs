//! A throw-away MariaDB server, ended with the test process.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use russet::testing::{WorkerProcess, eventually};

/// Everything in it would end a URL or a statement if it were not encoded.
pub const PASSWORD: &str = "p@ss/w:rd'%";
const PASSWORD_IN_URL: &str = "p%40ss%2Fw%3Ard%27%25";

pub struct MariaDb {
    folder: PathBuf,
    port: u16,
    process: WorkerProcess,
}

/// Why there is none: `make test-all` installs it and asks for it, `make test` uses one that is there.
pub fn is_left_out() -> bool {
    let missing = find("mariadbd").is_none() || find("mariadb-install-db").is_none();
    let wanted = std::env::var("RUSSET_TEST_MARIADB").is_ok_and(|value| value == "required");
    assert!(
        !(missing && wanted),
        "no mariadbd or mariadb-install-db here: apt-get install mariadb-server-core mariadb-client-core"
    );
    if missing {
        println!("left out: there is no MariaDB server on this machine");
    }
    missing
}

impl MariaDb {
    pub async fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mariadb-{name}"));
        // What a killed run left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let install = Command::new(find("mariadb-install-db").unwrap())
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .args(as_root())
            .output();
        let install = install.unwrap();
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        let password = PASSWORD.replace('\'', "''");
        let statements = format!(
            "CREATE USER IF NOT EXISTS 'app'@'%' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO 'app'@'%';\n"
        );
        fs::write(folder.join("init.sql"), statements).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = run(&folder, port);
        let server = Self { folder, port, process };
        server.answers().await;
        server
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://app:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    pub async fn kill(&self) {
        self.process.kill().await.unwrap();
    }

    pub async fn restart(&mut self) {
        self.process = run(&self.folder, self.port);
        self.answers().await;
    }

    /// Makes an empty database.
    pub async fn create(&self, database: &str) {
        let pool = sqlx::MySqlPool::connect(&self.url("mysql")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::query(create).execute(&pool).await.unwrap();
        pool.close().await;
    }

    async fn answers(&self) {
        eventually(Duration::from_secs(30), async || {
            sqlx::MySqlPool::connect(&self.url("mysql")).await.map(drop)
        })
        .await;
    }
}

fn run(folder: &Path, port: u16) -> WorkerProcess {
    let mut command = Command::new(find("mariadbd").unwrap());
    let path = |name: &str| folder.join(name).display().to_string();
    command
        .arg("--no-defaults")
        .args(as_root())
        .args([format!("--datadir={}", path("data")), format!("--socket={}", path("s.sock"))])
        .args([format!("--port={port}"), format!("--init-file={}", path("init.sql"))])
        .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=16M"]);
    WorkerProcess::command(&command).unwrap()
}

/// The server refuses to run as root unless it is told to.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
