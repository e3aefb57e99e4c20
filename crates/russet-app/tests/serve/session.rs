//! `russet session`: what operators see of sessions, and what they end.

use axum::http::Method;
use serde_json::{Value, json};

use super::accounts::{first_password, login, send};
use crate::support::program::{DataFolder, Serve, finished};

#[tokio::test]
async fn operators_list_sessions_end_them_and_read_their_logs() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let run = async |arguments: &[&str]| {
        let (code, output) = finished(&folder.command("session", arguments)).await;
        let value = serde_json::from_str::<Value>(&output);
        (code, value.unwrap_or_else(|_| panic!("{output}")))
    };
    let password = first_password(&folder);
    let mut cookies = Vec::new();
    for _ in 0..3 {
        cookies.push(login(serve.address, "admin", &password).await.0);
    }
    let is_in = async |nth: usize| {
        let headers = [("cookie", cookies[nth].as_str())];
        let who = send(serve.address, Method::GET, "/api/session", &headers, Value::Null).await;
        who.json()["user"] == "admin"
    };
    let (code, listed) = run(&["ls", "Admin", "--json"]).await;
    assert_eq!((code, listed.as_array().unwrap().len()), (0, 3));
    let id = listed[0]["id"].as_str().unwrap();
    let (code, shown) = run(&["show", "admin", id, "--json"]).await;
    assert_eq!((code, &shown["roles"], &shown["ip"]), (0, &json!(["admin"]), &json!("127.0.0.1")));
    assert_eq!(run(&["show", "other", id, "--json"]).await, (3, Value::Null));
    assert_eq!(run(&["revoke", "other", id, "--json"]).await.0, 3);
    assert!(is_in(0).await);

    assert_eq!(run(&["revoke", "admin", id, "--json"]).await, (0, json!({"revoked": true})));
    assert!(!is_in(0).await && is_in(1).await);
    assert_eq!(run(&["revoke", "admin", id, "--json"]).await.0, 3);
    assert_eq!(run(&["revoke-user", "admin", "--json"]).await.0, 0);
    assert!(!is_in(1).await && !is_in(2).await);
    let (_, log) = run(&["log", "--json"]).await;
    let reasons: Vec<_> =
        log.as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"revoked"), "{reasons:?}");

    // Another device with somebody's cookie is suspicious.
    let (cookie, _) = login(serve.address, "admin", &password).await;
    let stolen = [("cookie", cookie.as_str()), ("user-agent", "thief")];
    let who = send(serve.address, Method::GET, "/api/session", &stolen, Value::Null).await;
    assert_eq!(who.json()["user"], Value::Null);
    let (_, activity) = run(&["log", "--activity", "--json"]).await;
    assert_eq!(
        (&activity[0]["what"], &activity[0]["user"]),
        (&json!("device_changed"), &json!("admin"))
    );
    assert_eq!(activity[0]["user_agent"], "thief");
    for arguments in [&["ls", "admin"][..], &["log"], &["log", "--activity"], &["ls", "nobody"]] {
        let (code, text) = finished(&folder.command("session", arguments)).await;
        assert_eq!(code, 0, "{text}");
        assert!(!text.contains(cookie.split_once('=').unwrap().1), "{text}");
    }
    assert!(serve.stop().await.success());
}

#[tokio::test]
async fn without_the_key_sessions_are_not_shown_and_can_be_ended() {
    let folder = DataFolder::new();
    let server = russet::testing::TestServer::start().await.unwrap();
    let url = server.url();
    let serve = Serve::run(&Serve::command(&folder, &["--redis-url", &url])).await;
    let (cookie, _) = login(serve.address, "admin", &first_password(&folder)).await;
    let elsewhere = DataFolder::new();
    let command =
        |verb: &[&str]| elsewhere.command("session", &[verb, &["--redis-url", &url]].concat());
    let (code, output) = finished(&command(&["ls", "admin"])).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("--secret-key-file"), "{output}");
    let (code, output) = finished(&command(&["revoke-user", "admin"])).await;
    assert_eq!(code, 0, "{output}");
    assert!(!elsewhere.path().exists(), "and no key was made");
    let headers = [("cookie", cookie.as_str())];
    send(serve.address, Method::GET, "/api/sessions", &headers, Value::Null).await.error(401);
    assert!(serve.stop().await.success());
}
