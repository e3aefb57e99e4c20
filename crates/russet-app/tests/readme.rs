//! What the README says is what happens: its first code, and the walk with curl.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot do ends it"
)]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use russet::{
    Russet, Source,
    testing::{TestServer, eventually},
};
use russet_app::users::UsersSettings;
use russet_app::{AppState, db::Database, http, seed};
use russet_axum::Server;
use tokio::net::TcpListener;

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

#[test]
fn the_first_code_stands_by_line_30_and_is_part_of_an_example_that_runs() {
    let trimmed = |text: &str| text.lines().map(|line| line.trim().to_owned() + "\n").collect();
    let example: String = trimmed(&read("crates/russet/examples/first_cache.rs"));
    for readme in READMES {
        let text = read(readme);
        let mut lines = (1..).zip(text.lines()).skip_while(|(_, line)| *line != "```rust").skip(1);
        let end = lines.find(|(_, line)| *line == "```").unwrap().0;
        assert!(end <= 30, "{readme}: the first code ends on line {end}");
        let code: String = trimmed(&blocks(&text, "rust")[0]);
        assert!(example.contains(&code), "{readme}: not in the example:\n{code}");
    }
}

#[test]
fn both_languages_show_the_same_code() {
    let [english, chinese] = READMES.map(read);
    for language in ["rust", "console"] {
        assert_eq!(blocks(&english, language), blocks(&chinese, language));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_answers_what_the_readme_prints() {
    let (address, _data) = application().await;
    for block in blocks(&read(READMES[0]), "console") {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").expect("a command and its answer");
            let mut printed = String::new();
            while let Some(answer) = lines.next_if(|line| !line.starts_with("$ ")) {
                printed += answer;
            }
            let answered = run(&command.replace("localhost:5000", &address.to_string())).await;
            assert_eq!(stable(&answered), stable(&printed), "{command}");
        }
    }
}

#[test]
fn what_differs_from_run_to_run_is_all_that_the_walk_ignores() {
    let one = r#"{"id":1,"created_at":1795644377.5,"request_id":"a5","ms":1.5,"unprotected":{"sql_queries":998}}"#;
    let two = r#"{"id":1,"created_at":9.25,"request_id":"b6","ms":20,"unprotected":{"sql_queries":1000}}"#;
    assert_eq!(stable(one), stable(two));
    assert_ne!(stable(one), stable(&two.replace("\"id\":1", "\"id\":2")));
    assert_ne!(stable(one), stable(&two.replace("1000", "1")));
}

/// The application as `russet serve` starts it on an empty folder.
async fn application() -> (SocketAddr, (TestServer, tempfile::TempDir)) {
    let server = TestServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(&Database::url_in(folder.path())).await.unwrap();
    let russet = Russet::connect(&server.url()).await.unwrap();
    let settings = UsersSettings { settle: Duration::from_secs(1), ..UsersSettings::default() };
    let state = AppState::with_users(russet, db, settings).unwrap();
    seed::first_start(&state).await;
    ready(&state).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        Server::new().serve(listener, http::app(state), std::future::pending()).await
    });
    (address, (server, folder))
}

/// Waits as long as a reader needs to type: until the process keeps copies, and the filter knows the ids. Touches no user of
/// the walk.
async fn ready(state: &AppState) {
    let rebuilder = state.users.keep_ids().unwrap();
    let mut unknown = 1_000_000;
    eventually(Duration::from_secs(60), async || {
        unknown += 1;
        let near = state.users.find(50).await.unwrap().source;
        match (near, state.users.find(unknown).await.unwrap().source) {
            (Source::Near, Source::Hit) => Ok(()),
            sources => Err(format!("{sources:?}")),
        }
    })
    .await;
    // The application's own would go on with it.
    rebuilder.stop().await;
}

async fn run(command: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    let done = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

/// The text without what differs from run to run: times, ids of requests, and how many of 1,000 callers found
/// the cache still empty, as long as it is most of them.
fn stable(text: &str) -> String {
    let mut text = text.to_owned();
    for name in
        ["\"created_at\":", "\"request_id\":", "\"ms\":", "\"id\":\"", "\"until\":", "\"left\":"]
    {
        text = masked(&text, name, |_| "…".to_owned());
    }
    masked(&text, "\"unprotected\":{\"sql_queries\":", |count| {
        if count.parse().is_ok_and(|count: u32| count > 500) { "most".into() } else { count.into() }
    })
}

/// Replaces what follows a name, up to the next comma or brace.
fn masked(text: &str, name: &str, mask: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(name);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', '}']).unwrap_or(part.len());
        result += &[name, &mask(&part[..end]), &part[end..]].concat();
    }
    result
}

/// The code blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
