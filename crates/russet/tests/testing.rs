//! What `russet::testing` promises to the tests that are built on it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use russet::testing::{Reply, TestServer, eventually, is_running};

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
    server.command(&["CONFIG", "GET", "port"]).await?;
    assert_eq!(server.calls("config|get").await?, 1);
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
