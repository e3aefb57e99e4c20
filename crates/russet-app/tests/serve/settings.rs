//! Which server and which database: flags over environment over defaults.

use std::process::Command;
use std::time::Duration;

use russet::testing::{TestCertificates, TestServer, eventually};
use russet_app::db::Database;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::program::{DataFolder, Serve, finished, write};

/// The keys in a database of the server.
async fn keys(server: &TestServer) -> Vec<String> {
    let keys = server.command(&["KEYS", "*"]).await.unwrap();
    keys.texts().into_iter().map(str::to_owned).collect()
}

/// Serves with these settings, uses the stores, and stops.
async fn used(folder: &DataFolder, arguments: &[&str], variables: &[(&str, &str)]) {
    let mut command = Serve::command(folder, arguments);
    command.envs(variables.iter().copied());
    use_once(&command).await;
    assert!(!folder.path().join("redis").exists(), "no private server was made");
}

async fn use_once(command: &Command) {
    let serve = Serve::run(command).await;
    serve.get("/api/stats/page_views").await.json();
    assert_eq!(serve.get("/readyz").await.status, 200);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_url_names_the_server_and_a_flag_stands_above_its_variable() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    used(&folder, &["--redis-url", &server.url()], &[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    assert!(!keys(&server).await.is_empty());

    let server = TestServer::start().await.unwrap();
    used(&folder, &[], &[("REDIS_URL", &server.url()), ("REDIS_PORT", "1")]).await;
    assert!(!keys(&server).await.is_empty());
}

#[tokio::test]
async fn pieces_name_the_server_its_password_and_its_database() {
    let folder = DataFolder::new();
    let server = TestServer::builder().password("s3cret-word").start().await.unwrap();
    let port = server.port().unwrap().to_string();
    let pieces = [
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", port.as_str()),
        ("REDIS_PASSWORD", "s3cret-word"),
        ("REDIS_DB", "3"),
    ];
    used(&folder, &[], &pieces).await;
    assert!(keys(&server).await.is_empty(), "nothing is in database 0");
    let info = server.command(&["INFO", "keyspace"]).await.unwrap();
    assert!(info.text().unwrap().contains("db3:keys="), "{info:?}");
}

#[tokio::test]
async fn a_socket_is_a_server_too() {
    let folder = DataFolder::new();
    let server = TestServer::builder().unix_socket().start().await.unwrap();
    used(&folder, &["--redis-url", &server.url()], &[]).await;
    assert!(!keys(&server).await.is_empty());
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_one_of_flags_or_variables() {
    let certificates = TestCertificates::new().unwrap();
    let server = match TestServer::builder().mutual_tls(&certificates).start().await {
        Ok(server) => server,
        Err(error) if error.to_string().contains("Failed finding TLS support") => {
            println!("not run: this server is built without TLS");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let (url, authority) = (server.url(), certificates.authority().display().to_string());
    let (certificate, key) = certificates.client();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let trust = ["--redis-url", &url, "--redis-ca-file", &authority];
    let flags =
        [&trust[..], &["--redis-cert-file", &certificate, "--redis-key-file", &key]].concat();
    let variables = [
        ("REDIS_URL", url.as_str()),
        ("REDIS_CA_FILE", &authority),
        ("REDIS_CERT_FILE", &certificate),
        ("REDIS_KEY_FILE", &key),
    ];
    let folder = DataFolder::new();
    used(&folder, &flags, &[]).await;
    used(&folder, &[], &variables).await;
    assert!(!keys(&server).await.is_empty());

    // The operator's commands take the same.
    let (code, output) = finished(&folder.command("doctor", &flags)).await;
    assert!([0, 3].contains(&code), "{output}");
    let (code, output) = finished(&folder.command("doctor", &trust)).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("no connection to the Redis server"), "{output}");
    let half = [&trust[..], &["--redis-cert-file", &certificate]].concat();
    let (code, output) = finished(&folder.command("serve", &half)).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("--redis-key-file"), "{output}");
}

#[tokio::test]
async fn a_configured_server_that_is_away_does_not_keep_it_from_serving_users() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    server.kill().await.unwrap();
    let serve = Serve::run(&Serve::command(&folder, &["--redis-url", &server.url()])).await;
    let user = serve.get("/api/users/1").await;
    assert_eq!((user.header("x-cache"), user.json()["id"].as_i64()), ("bypass", Some(1)));
    serve.get("/readyz").await.error(503);
    assert!(serve.stop().await.success());
    assert_eq!(folder.servers(), [0_u32; 0]);
}

#[tokio::test]
async fn a_write_without_redis_is_not_hidden_by_an_old_copy_after_a_kill() {
    let folder = DataFolder::new();
    let server = TestServer::builder().append_only().start().await.unwrap();
    let command = Serve::command(&folder, &["--redis-url", &server.url()]);
    let serve = Serve::run(&command).await;
    serve.get("/api/users/1").await.json();
    assert!(serve.get("/api/users/1").await.is_cached());
    server.kill().await.unwrap();
    let new = json!({"name": "New", "email": "new@example.com"});
    assert_eq!(serve.put("/api/users/1", new).await.status, 200);
    serve.kill().await;
    server.restart().await.unwrap();
    let serve = Serve::run(&command).await;
    eventually(Duration::from_secs(20), async || {
        let answer = serve.get("/api/users/1").await;
        assert_eq!(answer.json()["name"], "New", "as a {}", answer.header("x-cache"));
        if answer.is_cached() { Ok(()) } else { Err(answer.header("x-cache").to_owned()) }
    })
    .await;
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn the_write_policy_is_a_flag_above_a_variable_and_a_stop_drains_the_queue() {
    let folder = DataFolder::new();
    let (code, help) = finished(&folder.command("serve", &["--help"])).await;
    assert!(code == 0 && help.contains("--user-writes") && help.contains("USER_WRITES"), "{help}");
    let (code, output) = finished(&Serve::command(&folder, &["--user-writes", "sideways"])).await;
    assert!(code == 2 && output.contains("around, through, behind"), "{output}");

    let db = format!("sqlite:{}", folder.path().join("russet.db").display());
    let mut command = Serve::command(&folder, &[]);
    command.env("USER_WRITES", "behind");
    let serve = Serve::run(&command).await;
    for id in 1..=50 {
        let new = json!({"name": format!("Queued {id}"), "email": "queued@example.com"});
        assert_eq!(serve.put(&format!("/api/users/{id}"), new).await.status, 200);
    }
    assert!(serve.stop().await.success());
    let users = Database::open(&db).await.unwrap().list_users(0, 50).await.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.name.clone()).collect();
    assert_eq!(names, (1..=50).map(|id| format!("Queued {id}")).collect::<Vec<_>>());

    // The flag stands above the variable: what is written around the queue is in the database at once.
    let mut command = Serve::command(&folder, &["--user-writes", "around"]);
    command.env("USER_WRITES", "behind");
    let serve = Serve::run(&command).await;
    let new = json!({"name": "At once", "email": "queued@example.com"});
    serve.put("/api/users/1", new).await.json();
    assert_eq!(serve.get("/api/users?limit=1").await.json()[0]["name"], "At once");
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_database_elsewhere_is_used_by_flag_or_variable() {
    let folder = DataFolder::new();
    let (one, two) = (folder.beside("one.db"), folder.beside("two.db"));
    let url = |path: &std::path::Path| format!("sqlite:{}", path.display());
    let mut command = Serve::command(&folder, &["--database-url", &url(&one)]);
    command.env("DATABASE_URL", url(&two));
    use_once(&command).await;
    assert!(one.exists() && !two.exists() && !folder.path().join("russet.db").exists());
    let mut command = Serve::command(&folder, &[]);
    command.env("DATABASE_URL", url(&two));
    use_once(&command).await;
    let db = Database::open(&url(&two)).await.unwrap();
    assert_eq!(db.count_users().await.unwrap(), 100);
}

#[tokio::test]
async fn a_good_secret_key_is_taken_from_a_file_or_the_environment_and_not_written_down() {
    let folder = DataFolder::new();
    let key = "0123456789abcdef0123456789abcdef";
    let mut command = Serve::command(&folder, &[]);
    command.env("SECRET_KEY", key);
    use_once(&command).await;
    let file = folder.beside("key");
    write(&file, &format!("{key}\n"));
    let mut command = Serve::command(&folder, &["--secret-key-file", file.to_str().unwrap()]);
    command.env("SECRET_KEY", "short, and not looked at");
    use_once(&command).await;
    assert!(!folder.path().join("secret-key").exists());
}

#[tokio::test]
async fn the_program_takes_bodies_up_to_64_kib() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let user = |name: String| json!({"name": name, "email": "a@b.co"});
    let over = serve.post("/api/users", user("x".repeat(64 * 1024))).await;
    assert_eq!(over.error(413), "the body is too long");
    let under = serve.post("/api/users", user("x".repeat(60 * 1024))).await;
    assert!(under.error(400).contains("100 characters"));
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_the_socket_too() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let mut stream = TcpStream::connect(serve.address).await.unwrap();
    let request = "GET /api/users/1 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(serve.stop().await.success());
}
