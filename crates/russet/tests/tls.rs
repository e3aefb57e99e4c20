//! TLS: who is trusted, who is not, and that everything else works as without it.

use std::error::Error;
use std::time::Duration;

use russet::testing::{
    Proxy, TestCertificates, TestCluster, TestServer, WorkerProcess, eventually, is_worker,
    worker_report,
};
use russet::{Advice, BoxError, Cache, ErrorKind, Russet, RussetBuilder, raw};

type Outcome = Result<(), Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(30);

/// Whether the server of these tests speaks TLS: Debian's redis-server does, some builds of Valkey do not.
async fn can_speak(certificates: &TestCertificates) -> Result<bool, Box<dyn Error>> {
    match TestServer::builder().tls(certificates).start().await {
        Ok(_) => Ok(true),
        Err(error) if error.to_string().contains("Failed finding TLS support") => {
            println!("not run: this server is built without TLS");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn trusting(certificates: &TestCertificates, url: String) -> RussetBuilder {
    Russet::builder().url(url).ca_file(certificates.authority())
}

fn is_refused(error: &russet::Error) {
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Refused, Advice::GiveUp), "{error}");
}

#[tokio::test]
async fn calls_and_messages_go_over_tls() -> Outcome {
    let certificates = TestCertificates::new()?;
    if !can_speak(&certificates).await? {
        return Ok(());
    }
    let server = TestServer::builder().tls(&certificates).password("s3cret").start().await?;
    assert!(server.url().starts_with("rediss://"));
    let (one, two) = (
        trusting(&certificates, server.url()).connect().await?,
        trusting(&certificates, server.url()).connect().await?,
    );
    let cache = |russet: &Russet| Cache::<str, String>::builder(russet, "users").build();
    let (here, there) = (cache(&one)?, cache(&two)?);
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let leader = tokio::spawn(async move {
        let load = async || {
            let _ = started.send(());
            let _ = may_go_on.await;
            Ok::<_, BoxError>("loaded".to_owned())
        };
        here.get_with("1", load).await
    });
    has_started.await?;
    let waits = there.clone();
    let waiter = tokio::spawn(async move {
        waits.get_with("1", async || Ok::<_, BoxError>("second load".to_owned())).await
    });
    eventually(LONG, async || match there.stats().waits {
        0 => Err("nobody waits"),
        _ => Ok(()),
    })
    .await;
    go_on.send(()).ok();
    assert_eq!((leader.await??, waiter.await??), ("loaded".to_owned(), "loaded".to_owned()));
    Ok(())
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_at_once() -> Outcome {
    let certificates = TestCertificates::new()?;
    if !can_speak(&certificates).await? {
        return Ok(());
    }
    let server = TestServer::builder().tls(&certificates).start().await?;
    let others = TestCertificates::new()?;
    is_refused(&trusting(&others, server.url()).connect().await.unwrap_err());
    is_refused(&Russet::connect(&server.url()).await.unwrap_err());

    let expired = TestCertificates::expired()?;
    let old = TestServer::builder().tls(&expired).start().await?;
    let error = trusting(&expired, old.url()).connect().await.unwrap_err();
    is_refused(&error);
    assert!(error.to_string().contains("expired"), "{error}");

    // A certificate for 127.0.0.1 is none for another name of the same machine.
    let port = server.client_port().unwrap_or_default();
    let error = trusting(&certificates, format!("rediss://127.0.0.2:{port}"));
    let error = error.connect().await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    trusting(&certificates, format!("rediss://localhost:{port}")).connect().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() -> Outcome {
    let certificates = TestCertificates::new()?;
    if !can_speak(&certificates).await? {
        return Ok(());
    }
    let server = TestServer::builder().mutual_tls(&certificates).start().await?;
    let error = trusting(&certificates, server.url()).connect().await.unwrap_err();
    is_refused(&error);
    let (certificate, key) = certificates.client();
    let known = trusting(&certificates, server.url()).client_certificate(certificate, key);
    let russet = known.connect().await?;
    assert_eq!(raw::command(&russet, &["ECHO", "x"]).await?.into_text().as_deref(), Some("x"));
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_was_renewed_is_shown_to_the_next_connection() -> Outcome {
    let (old, new) = (TestCertificates::new()?, TestCertificates::new()?);
    if !can_speak(&old).await? {
        return Ok(());
    }
    let server = TestServer::builder().mutual_tls(&old).start().await?;
    let proxy = Proxy::to(&server).await?;
    let (certificate, key) = old.client();
    let builder = trusting(&old, proxy.url()).client_certificate(&certificate, &key);
    let russet = builder.connect().await?;
    let ping = async || raw::command(&russet, &["PING"]).await;
    ping().await?;

    // Another authority on both sides. Who connects before both of our files are there is refused, and tries again.
    let (shown, its_key) = new.server();
    let mut words: Vec<_> = ["CONFIG", "SET"].map(str::to_owned).to_vec();
    for (name, file) in
        [("tls-cert-file", shown), ("tls-key-file", its_key), ("tls-ca-cert-file", new.authority())]
    {
        words.extend([name.to_owned(), file.display().to_string()]);
    }
    server.command(&words).await?;
    proxy.cut().await?;
    let refused = eventually(LONG, async || match ping().await {
        Err(error) if error.kind() == ErrorKind::Refused => Ok(error),
        other => Err(format!("{other:?}")),
    })
    .await;
    is_refused(&refused);
    std::fs::copy(new.authority(), old.authority())?;
    std::fs::copy(new.client().0, &certificate)?;
    eventually(LONG, async || match ping().await {
        // The certificate is new and its key is not: the old pair is shown, which the server refuses.
        Err(error) => Ok(error),
        Ok(answer) => Err(format!("{answer:?}")),
    })
    .await;
    std::fs::copy(new.client().1, &key)?;
    eventually(LONG, ping).await;
    Ok(())
}

#[tokio::test]
async fn a_cut_tls_connection_is_replaced() -> Outcome {
    let certificates = TestCertificates::new()?;
    if !can_speak(&certificates).await? {
        return Ok(());
    }
    let server = TestServer::builder().tls(&certificates).start().await?;
    let proxy = Proxy::to(&server).await?;
    let russet = trusting(&certificates, proxy.url()).connect().await?;
    for round in 0..3 {
        proxy.cut().await?;
        eventually(LONG, async || raw::command(&russet, &["PING"]).await).await;
        proxy.drop_next_reply().await?;
        let lost = raw::command(&russet, &["INCR", "n"]).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Unknown);
        assert_eq!(server.command(&["GET", "n"]).await?.int(), Some(round + 1));
        eventually(LONG, async || raw::command(&russet, &["PING"]).await).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_cluster_speaks_tls_to_every_node() -> Outcome {
    let certificates = TestCertificates::new()?;
    if !can_speak(&certificates).await? {
        return Ok(());
    }
    let cluster = TestCluster::builder().tls(&certificates).password("s3cret").start().await?;
    let russet = trusting(&certificates, cluster.url()).connect().await?;
    for n in 0..60 {
        let key = format!("key-{n}");
        let slot = cluster.slot(&key).await?;
        assert_eq!(raw::command(&russet, &["INCR", &key]).await?, raw::Value::Int(1));
        if n % 10 == 0 {
            cluster.move_slot(slot, (cluster.owner(slot).await? + 1) % 3).await?;
            assert_eq!(raw::command(&russet, &["INCR", &key]).await?, raw::Value::Int(2));
        }
    }
    Ok(())
}

/// A process that has chosen its provider before: here ring's with another loader of keys, which is what names it.
#[test]
fn another_provider_process() -> Outcome {
    #[derive(Debug)]
    struct Another;
    impl rustls::crypto::KeyProvider for Another {
        fn load_private_key(
            &self,
            _: rustls::pki_types::PrivateKeyDer<'static>,
        ) -> Result<std::sync::Arc<dyn rustls::sign::SigningKey>, rustls::Error> {
            Err(rustls::Error::General("it has none".into()))
        }
    }
    if !is_worker() {
        return Ok(());
    }
    let ring = rustls::crypto::ring::default_provider();
    let another = rustls::crypto::CryptoProvider { key_provider: &Another, ..ring };
    another.install_default().map_err(|_| "a provider was there")?;
    let certificates = TestCertificates::new()?;
    let error = trusting(&certificates, "rediss://127.0.0.1:1".into()).connect_lazily();
    worker_report(&format!("refused: {:?}", error.unwrap_err()));
    Ok(())
}

#[tokio::test]
async fn a_process_with_another_provider_is_told() -> Outcome {
    let mut process = WorkerProcess::spawn("another_provider_process", &[])?;
    let line = process.line_starting("refused: ").await?;
    assert!(
        line.contains("Invalid") && line.contains("has installed the provider Another"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn unusable_files_are_refused_before_anything_is_sent() -> Outcome {
    let certificates = TestCertificates::new()?;
    let url = || "rediss://127.0.0.1:1".to_owned();
    let (certificate, key) = certificates.client();
    let refused = [
        Russet::builder().url(url()).ca_file("/no/such/file"),
        Russet::builder().url(url()).ca_file(&key),
        trusting(&certificates, url()).client_certificate("/no/such/file", &key),
        trusting(&certificates, url()).client_certificate(&certificate, &certificate),
        trusting(&certificates, url()).client_certificate(&certificate, certificates.server().1),
        Russet::builder().url("redis://127.0.0.1:1").ca_file(certificates.authority()),
    ];
    for (number, builder) in refused.into_iter().enumerate() {
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{number}: {error}");
    }
    Ok(())
}
