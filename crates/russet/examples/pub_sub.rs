//! The tutorial's `RedisPubSub`: callbacks for channels.
//!
//! `cargo run --example pub_sub --features testing`; it starts a server of its own, since it kills connections.
//!
//! First the textbook's class: one thread, which listens to what was subscribed when it started, calls the callbacks one after
//! the other, and ends with its connection. Then the same with russet.

mod support;

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use russet::{
    BoxError, Event, PubSub, raw,
    testing::{TestServer, eventually},
};
use serde::{Deserialize, Serialize};
use support::{Outcome, connect};

const LONG: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Notice {
    kind: String,
    message: String,
}

fn notice(kind: &str, message: &str) -> Notice {
    Notice { kind: kind.to_owned(), message: message.to_owned() }
}

type TextbookCallback = Box<dyn Fn(&str) + Send>;

/// The textbook's class, with the driver's subscription in its thread.
#[derive(Clone, Default)]
struct Textbook {
    callbacks: Arc<Mutex<HashMap<String, Vec<TextbookCallback>>>>,
}

impl Textbook {
    /// Starts the thread at the first call; later calls add to the map, and to nothing else.
    async fn subscribe(&self, url: &str, channel: &str, callback: TextbookCallback) -> Outcome {
        let first = {
            let mut callbacks = self.callbacks.lock().map_err(|_| "poisoned")?;
            callbacks.entry(channel.to_owned()).or_default().push(callback);
            callbacks.values().flatten().count() == 1
        };
        if first {
            let mut connection = redis::Client::open(url)?.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            let textbook = self.clone();
            tokio::spawn(async move {
                let mut messages = connection.into_on_message();
                while let Some(message) = messages.next().await {
                    textbook.call(message.get_channel_name(), message.get_payload_bytes());
                }
                // `except Exception as e: print(…)`, and the thread is over.
                println!("  the textbook's thread has ended");
            });
        }
        Ok(())
    }

    fn call(&self, channel: &str, payload: &[u8]) {
        let Ok(callbacks) = self.callbacks.lock() else { return };
        for callback in callbacks.get(channel).into_iter().flatten() {
            callback(&String::from_utf8_lossy(payload));
        }
    }
}

/// Kills every subscribed connection, as a proxy, a failover or a timeout does.
async fn cut(server: &TestServer) -> Outcome {
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let server = TestServer::start().await?;
    let url = server.url();
    let russet = connect(&url).await?;
    println!("The textbook's way");
    let lost = textbook(&server, &url, &russet).await?;
    println!("With russet");
    let heard = with_russet(&server, &russet).await?;
    println!(
        "shown: of 3 messages the textbook's subscribers missed {lost}; russet's heard all {heard}"
    );
    Ok(())
}

async fn textbook(server: &TestServer, url: &str, russet: &russet::Russet) -> Outcome<u64> {
    let heard = Arc::new(AtomicU64::new(0));
    let count = || -> TextbookCallback {
        let heard = heard.clone();
        Box::new(move |_| {
            heard.fetch_add(1, Ordering::SeqCst);
        })
    };
    let textbook = Textbook::default();
    textbook.subscribe(url, "notifications", count()).await?;
    textbook.subscribe(url, "alerts", count()).await?;
    let publish = async |channel: &str| -> Outcome<Option<String>> {
        Ok(raw::command(russet, &["PUBLISH", channel, "{}"]).await?.into_text())
    };
    publish("notifications").await?;
    eventually(LONG, async || match heard.load(Ordering::SeqCst) {
        1 => Ok(()),
        n => Err(n),
    })
    .await;
    let receivers = publish("alerts").await?;
    println!("  subscribed after the thread had started: {receivers:?} receivers of an alert");
    assert_eq!(receivers.as_deref(), Some("0"));

    cut(server).await?;
    eventually(LONG, async || match publish("notifications").await {
        Ok(Some(receivers)) if receivers == "0" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    println!("  after its connection was cut nobody is there, and nobody is told");
    Ok(3 - heard.load(Ordering::SeqCst))
}

async fn with_russet(server: &TestServer, russet: &russet::Russet) -> Outcome<u64> {
    let pubsub = PubSub::new(russet);
    let heard = Arc::new(AtomicU64::new(0));
    let gaps = Arc::new(AtomicU64::new(0));
    let handler = |name: &'static str| {
        let (heard, gaps) = (heard.clone(), gaps.clone());
        move |event: Event<Notice>| {
            match event {
                Event::Message(notice) => {
                    println!("  {name}: {}: {}", notice.kind, notice.message);
                    heard.fetch_add(1, Ordering::SeqCst);
                }
                Event::Gap => {
                    println!("  {name}: something was missed, read the state anew");
                    gaps.fetch_add(1, Ordering::SeqCst);
                }
                other => println!("  {name}: {other:?}"),
            }
            async { Ok::<_, BoxError>(()) }
        }
    };
    let _notifications = pubsub.on("notifications", handler("notifications")).await?;
    // These two harm nobody: one fails each time, the other never ends.
    let failing = async |_: Event<Notice>| Err::<(), Box<dyn Error + Send + Sync>>("no".into());
    let _failing = pubsub.on("notifications", failing).await?;
    let _hanging = pubsub.on("notifications", |_: Event<Notice>| std::future::pending()).await?;

    pubsub.publish("notifications", &notice("info", "maintenance at noon")).await?;
    // At any time; when it returns, the next message is heard.
    let _alerts = pubsub.on("alerts", handler("alerts")).await?;
    pubsub.publish("alerts", &notice("warning", "CPU usage is high")).await?;
    cut(server).await?;
    eventually(LONG, async || match gaps.load(Ordering::SeqCst) {
        2 => Ok(()),
        n => Err(format!("{n} of 2 callbacks know of the gap")),
    })
    .await;
    pubsub.publish("notifications", &notice("info", "maintenance is over")).await?;
    eventually(LONG, async || match heard.load(Ordering::SeqCst) {
        3 => Ok(()),
        n => Err(format!("{n} of 3 messages")),
    })
    .await;
    Ok(heard.load(Ordering::SeqCst))
}
