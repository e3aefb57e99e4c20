//! Accounts of the real program: the first administrator, operators who add others, and what is told to nobody.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use axum::body::Body;
use axum::http::{Method, Request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use russet::testing::TestServer;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::Answer;
use crate::support::program::{DataFolder, Serve, finished, write};

/// Like [`Serve::post`], with these headers.
pub async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(path).header("host", address.to_string());
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Body::from(body.to_string())).unwrap()).await;
    let answer = Answer::read(answer.unwrap().map(Body::new)).await.unwrap();
    drop(sender);
    let _ = connection.await;
    answer
}

/// The cookie and the CSRF token of a new session.
pub async fn login(address: SocketAddr, name: &str, password: &str) -> (String, String) {
    let body = json!({ "username": name, "password": password });
    let answer = send(address, Method::POST, "/api/login", &[], body).await;
    let token = answer.json()["csrf_token"].as_str().unwrap().to_owned();
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    (cookie, token)
}

/// The password of the first administrator.
pub fn first_password(folder: &DataFolder) -> String {
    let text = std::fs::read_to_string(folder.path().join("admin-password")).unwrap();
    text.trim().to_owned()
}

/// Runs a command whose input is this line.
pub fn with_input(folder: &DataFolder, arguments: &[&str], line: &str) -> (i32, String) {
    let mut command = folder.command(arguments[0], &arguments[1..]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may refuse before it reads.
    let _ = writeln!(child.stdin.take().unwrap(), "{line}");
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_whose_password_stands_in_a_private_file_alone() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let file = folder.path().join("admin-password");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let password = first_password(&folder);
    assert_eq!(password.len(), 20, "random characters");
    let link = format!("sign in at http://{}/login as admin", serve.address);
    let mut serve = serve;
    let told = async {
        loop {
            let line = serve.process.line_starting("").await.unwrap();
            if line.contains(&link) {
                break;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(40), told).await.expect("the link");
    let (cookie, _) = login(serve.address, "admin", &password).await;
    let headers = [("cookie", cookie.as_str())];
    let who = send(serve.address, Method::GET, "/api/session", &headers, Value::Null).await;
    assert_eq!(who.json()["roles"], json!(["admin"]));
    let output = serve.process.output();
    assert!(!output.contains(&password), "the password is not told");
    assert!(serve.stop().await.success());

    // Later starts make no other one, and the session is still good: the key was kept.
    let serve = Serve::start(&folder).await;
    assert_eq!(first_password(&folder), password);
    let who = send(serve.address, Method::GET, "/api/session", &headers, Value::Null).await;
    assert_eq!(who.json()["user"], "admin");
    login(serve.address, "admin", &password).await;
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_start_that_was_killed_half_way_is_completed_by_the_next() {
    let folder = DataFolder::new();
    std::fs::create_dir(folder.path()).unwrap();
    // As it is after the file was written, and before the account was.
    write(&folder.path().join("admin-password"), "left-by-the-first-start\n");
    let serve = Serve::start(&folder).await;
    login(serve.address, "admin", "left-by-the-first-start").await;
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn operators_add_accounts_change_passwords_and_remove_accounts() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let run = |arguments: &[&str], line: &str| with_input(&folder, arguments, line);
    let (code, output) = run(&["account", "add", "Ada"], "correct horse battery");
    assert_eq!((code, output.trim()), (0, "ada may sign in"));
    assert_eq!(run(&["account", "add", "ada"], "correct horse battery").0, 1);
    let (code, output) = run(&["account", "add", "bob"], "too short");
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("fewer than 12") && !output.contains("too short"), "{output}");
    assert_eq!(run(&["account", "add", "no name"], "correct horse battery").0, 2);

    let (cookie, _) = login(serve.address, "ada", "correct horse battery").await;
    let headers = [("cookie", cookie.as_str())];
    let (code, output) = run(&["account", "password", "ada", "--json"], "another long one");
    assert_eq!(
        (code, serde_json::from_str::<Value>(&output).unwrap()),
        (0, json!({"changed": true}))
    );
    let sessions = send(serve.address, Method::GET, "/api/sessions", &headers, Value::Null).await;
    sessions.error(401);
    let (cookie, _) = login(serve.address, "ada", "another long one").await;

    let (code, output) = run(&["account", "ls", "--json"], "");
    let accounts: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (code, &accounts[0]["name"], &accounts[1]["name"]),
        (0, &json!("ada"), &json!("admin"))
    );
    assert!(!output.contains("argon2"), "{output}");
    assert_eq!(run(&["account", "remove", "ada"], "").0, 0);
    assert_eq!(run(&["account", "remove", "ada"], "").0, 3);
    assert_eq!(run(&["account", "password", "ada"], "another long one").0, 3);
    let headers = [("cookie", cookie.as_str())];
    let sessions = send(serve.address, Method::GET, "/api/sessions", &headers, Value::Null).await;
    sessions.error(401);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn a_changed_secret_key_is_believed_while_the_old_one_is_named() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let (url, file) = (server.url(), folder.beside("keys"));
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let serve = async |lines: &str, previous: Option<&str>| {
        write(&file, lines);
        let file = file.to_str().unwrap();
        let mut command =
            Serve::command(&folder, &["--redis-url", &url, "--secret-key-file", file]);
        command.envs(previous.map(|key| ("SECRET_KEY_PREVIOUS", key)));
        Serve::run(&command).await
    };
    let first = serve(old, None).await;
    let (cookie, _) = login(first.address, "admin", &first_password(&folder)).await;
    assert!(first.stop().await.success());
    for (lines, previous, is_believed) in [
        (format!("{new}\n{old}\n"), None, true),
        (new.to_owned(), Some(old), true),
        (new.to_owned(), None, false),
    ] {
        let serve = serve(&lines, previous).await;
        let headers = [("cookie", cookie.as_str())];
        let who = send(serve.address, Method::GET, "/api/session", &headers, Value::Null).await;
        assert_eq!(who.json()["user"].is_string(), is_believed, "{previous:?}");
        assert!(serve.stop().await.success());
    }
}

#[tokio::test]
async fn an_address_that_others_reach_asks_for_a_login() {
    let folder = DataFolder::new();
    // A connection from this machine is taken as the proxy's health check is.
    let arguments =
        ["--public-url", "https://russet.example", "--trusted-proxy", "10.0.0.1,10.0.1.0/24"];
    let command = folder.command("serve", &[&["--listen", "0.0.0.0:0"], &arguments[..]].concat());
    let serve = Serve::run(&command).await;
    let address = SocketAddr::from(([127, 0, 0, 1], serve.address.port()));
    let user = json!({"name": "Ada", "email": "a@b.co"});
    let post = async |headers: &[(&str, &str)]| {
        send(address, Method::POST, "/api/users", headers, user.clone()).await
    };
    post(&[]).await.error(401);
    let password = first_password(&folder);
    let body = json!({ "username": "admin", "password": password });
    let answer = send(address, Method::POST, "/api/login", &[], body).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-id=") && cookie.contains("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let token = answer.json()["csrf_token"].as_str().unwrap().to_owned();
    post(&[("cookie", cookie)]).await.error(403);
    assert_eq!(post(&[("cookie", cookie), ("x-csrf-token", &token)]).await.status, 201);
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn tokens_and_passwords_are_neither_in_redis_nor_in_the_log() {
    let folder = DataFolder::new();
    let server = TestServer::start().await.unwrap();
    let mut command = Serve::command(&folder, &["--redis-url", &server.url()]);
    // All of it, that of the libraries too.
    command.env("RUST_LOG", "trace");
    let serve = Serve::run(&command).await;
    let address = serve.address;
    let password = first_password(&folder);
    let (cookie, csrf) = login(address, "admin", &password).await;
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    send(address, Method::GET, "/api/session", &headers, Value::Null).await.json();
    send(address, Method::GET, "/sessions", &headers, Value::Null).await;
    let user = json!({"name": "Ada", "email": "a@b.co"});
    send(address, Method::POST, "/api/users", &headers, user.clone()).await.json();
    let wrong = [("cookie", cookie.as_str()), ("x-csrf-token", "wrong")];
    send(address, Method::POST, "/api/users", &wrong, user).await.error(403);
    let typed =
        json!({ "username": "typed-into-the-wrong-field", "password": "another-wrong-one" });
    send(address, Method::POST, "/api/login", &[], typed).await.error(401);

    let secrets = {
        let token = cookie.split_once('=').unwrap().1;
        let (random, signature) = token.split_once('.').unwrap();
        // What stands before the signature would do for who knows the key, so no part of it may be there.
        [random, signature, &csrf, &password, "typed-into-the-wrong-field", "another-wrong-one"]
            .map(str::to_owned)
    };
    let log = serve.process.output();
    assert!(log.contains("signed in") && log.contains("a try to sign in failed"), "{log}");
    let dump = dump(&server).await;
    assert!(dump.contains("admin") && dump.contains("csrf_token_wrong"), "it shows what is there");
    for secret in &secrets {
        assert!(!dump.contains(secret.as_str()), "in Redis: {secret}");
        assert!(!log.contains(secret.as_str()), "in the log: {secret}");
    }
    assert!(serve.stop().await.success());
}

/// All that is in the server, as its own snapshot has it.
async fn dump(server: &TestServer) -> String {
    for command in [&["CONFIG", "SET", "rdbcompression", "no"][..], &["SAVE"]] {
        server.command(command).await.unwrap();
    }
    let mut path = std::path::PathBuf::new();
    for part in ["dir", "dbfilename"] {
        path.push(server.command(&["CONFIG", "GET", part]).await.unwrap().texts()[1]);
    }
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[tokio::test]
async fn passwords_do_not_come_over_the_network_in_the_clear() {
    let folder = DataFolder::new();
    for (arguments, word) in [
        (&["--listen", "0.0.0.0:0"][..], "--trusted-proxy"),
        (&["--listen", "0.0.0.0:0", "--require-login"], "--public-url"),
        (&["--listen", "0.0.0.0:0", "--public-url", "https://a.example"], "--trusted-proxy"),
        (&["--trusted-proxy", "10.0.0.1"], "--public-url"),
    ] {
        let (code, output) = finished(&folder.command("serve", arguments)).await;
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(word), "{arguments:?}: {output}");
        assert!(!folder.path().exists());
    }
    for url in ["http://a.example", "a.example", "https://a.example/path"] {
        let arguments = ["--public-url", url, "--trusted-proxy", "10.0.0.1"];
        let (code, output) = finished(&folder.command("serve", &arguments)).await;
        assert_eq!(code, 2, "{url}: {output}");
    }
}
