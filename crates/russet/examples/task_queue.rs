//! The tutorial's `TaskQueue` and `ReliableMessageProcessor`: handlers by the name of the task, and workers that run them.
//!
//! `cargo run --example task_queue --features testing`; with `REDIS_URL` set it uses that server.
//!
//! `register_task` is `handler`, with a type for the data; `start_worker` is `run_until`; what fails is tried again after a
//! backoff, by whoever is free, and what nobody can do is kept with its reason.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use russet::{BoxError, Queue, Task, TaskContext, Waited, Worker};
use serde::{Deserialize, Serialize};
use support::{Outcome, connect, server};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    email: String,
    subject: String,
}

impl Task for SendEmail {
    const NAME: &'static str = "send_email";
}

#[derive(Serialize, Deserialize)]
struct ProcessImage {
    image_path: String,
    operations: Vec<String>,
}

impl Task for ProcessImage {
    const NAME: &'static str = "process_image";
}

/// A task that no worker here knows.
#[derive(Serialize, Deserialize)]
struct MakeCoffee;

impl Task for MakeCoffee {
    const NAME: &'static str = "make_coffee";
}

/// What the handlers share: here, an outbox.
#[derive(Clone, Default)]
struct App {
    sent: Arc<Mutex<Vec<String>>>,
}

async fn send_email(mail: SendEmail, ctx: TaskContext<App>) -> Result<String, BoxError> {
    if mail.email.ends_with("@flaky.example") && ctx.attempt() == 1 {
        return Err("the mail server hung up".into());
    }
    let line = format!("{}: {}", mail.email, mail.subject);
    ctx.state().sent.lock().map_err(|_| "the outbox is broken")?.push(line);
    Ok(format!("sent to {}", mail.email))
}

async fn process_image(image: ProcessImage, ctx: TaskContext<App>) -> Result<String, BoxError> {
    // A step whose effect is not repeated when the task is delivered again.
    let _ = ctx.progress("resizing").await?;
    let resized = ctx.once("resize", async || Ok(image.operations.join("+"))).await?;
    Ok(format!("{} {resized}", image.image_path))
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    let keep = Duration::from_secs(86_400);
    let queue = Queue::builder(&russet, "default")
        .keep_results(keep)
        .backoff(Duration::from_millis(10), Duration::from_secs(300))
        .build()?;
    let app = App::default();

    let mail = |email: &str| SendEmail { email: email.into(), subject: "welcome".into() };
    let first = queue.enqueue(mail("ada@example.com")).await?.id;
    let flaky = queue.enqueue(mail("bob@flaky.example")).await?.id;
    // The tutorial makes ids from the millisecond: two tasks of one have one id. And a customer who clicks twice:
    let welcome = queue.enqueue(mail("eve@example.com")).unique("welcome:eve").await?;
    let again = queue.enqueue(mail("eve@example.com")).unique("welcome:eve").await?;
    assert!(welcome.is_new && !again.is_new && welcome.id == again.id);
    let image = ProcessImage {
        image_path: "/uploads/photo.jpg".into(),
        operations: vec!["resize".into(), "watermark".into()],
    };
    let image = queue.enqueue(image).delay(Duration::from_millis(100)).await?.id;
    let unknown = queue.enqueue(MakeCoffee).await?.id;

    let worker = Worker::builder(&queue)
        .state(app.clone())
        .concurrency(3)
        .handler(send_email)
        .handler(process_image)
        .build()?;
    let all = [first, flaky, welcome.id, image, unknown];
    let shutdown = async {
        for id in all {
            // Woken by the end of the task, wherever it comes.
            while let Ok(Waited::Pending) = queue.wait_for(id, Duration::from_secs(30)).await {}
        }
    };
    worker.run_until(shutdown).await?;

    let status = queue.status(flaky).await?.ok_or("its result is kept")?;
    assert_eq!(status.attempts, 2);
    println!(
        "{}: tried twice, {}",
        status.name,
        String::from_utf8_lossy(&status.result.unwrap_or_default())
    );
    let status = queue.status(image).await?.ok_or("its result is kept")?;
    println!("{}: {}", status.name, String::from_utf8_lossy(&status.result.unwrap_or_default()));
    let dead = queue.dead(0, 10).await?;
    assert!(dead.len() == 1 && dead[0].id == unknown);
    println!("{}: {}", dead[0].name, dead[0].errors[0].message);
    let sent = app.sent.lock().map_err(|_| "the outbox is broken")?.len();
    assert_eq!(sent, 3);
    println!(
        "shown: {sent} mails and an image done once each, a failure tried again, an unknown task kept"
    );
    Ok(())
}
