//! What the program does not start with, and the sentence that it says.

use std::net::TcpListener;

use crate::support::program::{DataFolder, Serve, finished, write};

/// The last line of the output of a `serve` that could not start, with exit code 1.
async fn refusal(folder: &DataFolder, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Serve::command(folder, arguments);
    command.envs(variables.iter().copied());
    let (code, output) = finished(&command).await;
    assert_eq!(code, 1, "{output}");
    let sentence =
        output.rsplit_once("russet: ").map(|(_, sentence)| sentence.to_owned()).unwrap_or_default();
    assert!(!sentence.is_empty(), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    assert_eq!(folder.servers(), [0_u32; 0]);
    sentence
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_before_anything_is_made() {
    for address in ["0.0.0.0:0", "[::]:0", "192.168.1.1:5000"] {
        let folder = DataFolder::new();
        let (code, output) = finished(&folder.command("serve", &["--listen", address])).await;
        assert_eq!(code, 1);
        assert!(output.contains("loopback addresses only"), "{output}");
        assert!(!folder.path().exists());
    }
}

#[tokio::test]
async fn without_a_server_program_it_says_how_to_install_one() {
    let folder = DataFolder::new();
    let sentence = refusal(&folder, &[], &[("PATH", "/nowhere")]).await;
    assert!(sentence.contains("neither redis-server nor valkey-server is on PATH"), "{sentence}");
    let install = sentence.lines().nth(1).unwrap().trim();
    assert!(install.split(' ').count() >= 3, "one line to paste: {install}");
    if std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("ID=debian")) {
        assert_eq!(install, "sudo apt-get install redis-server");
    }
    assert!(sentence.contains("--redis-url"), "{sentence}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = DataFolder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (code, output) = finished(&folder.command("serve", &["--listen", &address])).await;
    assert_eq!(code, 1);
    assert!(
        output.contains(&format!("cannot listen on {address}")) && output.contains("--listen"),
        "{output}"
    );
}

#[tokio::test]
async fn a_weak_secret_key_is_refused_without_telling_it() {
    let folder = DataFolder::new();
    for (key, word) in [
        ("too-short-K9", "fewer than 32 bytes"),
        ("your-secret-key-your-secret-key-your-secret-key", "known default"),
        ("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "repeated"),
    ] {
        let sentence = refusal(&folder, &[], &[("SECRET_KEY", key)]).await;
        assert!(sentence.contains(word) && sentence.contains("SECRET_KEY"), "{sentence}");
        assert!(!sentence.contains(key), "{sentence}");
    }
    let file = folder.beside("key");
    write(&file, "short\n");
    let sentence = refusal(&folder, &["--secret-key-file", file.to_str().unwrap()], &[]).await;
    assert!(sentence.contains("--secret-key-file"), "{sentence}");
    let sentence = refusal(&folder, &["--secret-key-file", "/nowhere/key"], &[]).await;
    assert!(sentence.contains("/nowhere/key"), "{sentence}");
}

#[tokio::test]
async fn a_database_that_it_cannot_use_is_refused_without_telling_its_password() {
    let folder = DataFolder::new();
    let url = "postgres://root:hunter2@localhost/app";
    let sentence = refusal(&folder, &[], &[("DATABASE_URL", url)]).await;
    assert!(sentence.contains("begins with postgres:"), "{sentence}");
    assert!(!sentence.contains("hunter2"), "{sentence}");
    let away = [("DB_PORT", "1"), ("DB_PASSWORD", "hunter2"), ("DB_NAME", "app")];
    for variables in [&away[..], &[("DATABASE_URL", "mysql://root:hunter2@localhost:1/app")]] {
        let sentence = refusal(&folder, &[], variables).await;
        assert!(sentence.contains("mysql:app at localhost:1 cannot be used"), "{sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
    let file = folder.beside("notes.txt");
    write(&file, &"these are notes, and no database\n".repeat(100));
    let url = format!("sqlite:{}", file.display());
    let sentence = refusal(&folder, &["--database-url", &url], &[]).await;
    assert!(sentence.contains("notes.txt cannot be used"), "{sentence}");
    let sentence = refusal(&folder, &["--database-url", "sqlite:/nowhere/russet.db"], &[]).await;
    assert!(sentence.contains("/nowhere/russet.db cannot be used"), "{sentence}");
}

#[tokio::test]
async fn a_redis_server_that_is_none_is_refused() {
    let folder = DataFolder::new();
    for (variable, value, word) in [
        ("REDIS_URL", "http://localhost", "unknown scheme"),
        ("REDIS_URL", "redis://:hunter2@localhost/x", "not a number"),
        ("REDIS_PORT", "port", "REDIS_PORT"),
        ("REDIS_PORT", "70000", "REDIS_PORT"),
        ("REDIS_DB", "-1", "REDIS_DB"),
    ] {
        let sentence = refusal(&folder, &[], &[(variable, value)]).await;
        assert!(sentence.contains(word), "{variable}={value}: {sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
}

#[tokio::test]
async fn a_data_folder_that_is_none_is_refused() {
    let folder = DataFolder::new();
    write(folder.path(), "a file\n");
    let sentence = refusal(&folder, &[], &[]).await;
    assert!(
        sentence.contains("the data folder") && sentence.contains("cannot be used"),
        "{sentence}"
    );
}

#[tokio::test]
async fn wrong_usage_ends_with_code_2_and_help_with_0() {
    let folder = DataFolder::new();
    for arguments in [
        &["--nothing"][..],
        &["--listen", "5000"],
        &["--listen", "example.com:80"],
        &["--slow-database", "5"],
        &["--slow-database", "2m"],
        &["surplus"],
    ] {
        let (code, output) = finished(&folder.command("serve", arguments)).await;
        assert_eq!(code, 2, "{arguments:?}: {output}");
        assert!(output.contains("--help"), "{arguments:?}: {output}");
    }
    let (code, output) = finished(&folder.command("seed", &["--users", "-1"])).await;
    assert_eq!(code, 2, "{output}");
    let (code, _) = finished(&folder.command("dance", &[])).await;
    assert_eq!(code, 2);
    let (code, output) = finished(&folder.command("serve", &["--help"])).await;
    assert_eq!(code, 0);
    for word in [
        "--listen",
        "--redis-url",
        "--database-url",
        "--secret-key-file",
        "--slow-database",
        "REDIS_HOST",
        "SECRET_KEY",
        "DEBUG",
        "Exit codes",
    ] {
        assert!(output.contains(word), "{word} is not in\n{output}");
    }
    assert!(!folder.path().exists());
}
