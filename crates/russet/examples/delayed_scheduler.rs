//! The tutorial's `DelayedTaskScheduler`: e-mails later, temporary files cleaned at a time, and again and again.
//!
//! `cargo run --example delayed_scheduler --features testing`; with `REDIS_URL` set it uses that server.
//!
//! First the textbook's way, command by command: two schedulers read the same due task, and both run it; and a task that was
//! cancelled after it was read runs all the same. Then the same with russet.

mod support;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use russet::{
    BoxError, Cancelled, Queue, Rescheduled, Russet, Scheduler, Task, TaskContext, TaskId,
    TaskState, Timetable, Worker, raw,
};
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
struct CleanupTempFiles {
    directory: String,
}

impl Task for CleanupTempFiles {
    const NAME: &'static str = "cleanup_temp_files";
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

async fn cleanup(task: CleanupTempFiles, _: TaskContext<App>) -> Result<usize, BoxError> {
    let mut removed = 0;
    for file in fs::read_dir(&task.directory)? {
        fs::remove_file(file?.path())?;
        removed += 1;
    }
    Ok(removed)
}

#[tokio::main]
async fn main() -> Outcome {
    let (_server, url) = server().await?;
    let russet = connect(&url).await?;
    textbook(&russet).await?;
    with_russet(&russet, &url).await?;
    println!(
        "shown: two schedulers run each task once, a cancelled one not at all, a failed one again"
    );
    Ok(())
}

async fn textbook(russet: &Russet) -> Outcome {
    let schedule = format!("{}-textbook-schedule", russet.namespace());
    let run = async |words: &[&str]| {
        let told = raw::command(russet, words).await?;
        Ok::<_, russet::Error>(told.into_text().unwrap_or_default())
    };
    run(&["ZADD", &schedule, "1", "welcome"]).await?;
    // Each of two schedulers: ZRANGEBYSCORE, the handler, ZREM.
    let read_by_one = run(&["ZCOUNT", &schedule, "0", "2"]).await?;
    let read_by_other = run(&["ZCOUNT", &schedule, "0", "2"]).await?;
    // cancel_task comes when both have read it, and says True.
    let cancelled = run(&["ZREM", &schedule, "welcome"]).await?;
    println!("textbook: read by {read_by_one} and {read_by_other}: the e-mail is sent twice");
    println!("textbook: cancelled ({cancelled}), and sent all the same");
    assert_eq!([read_by_one, read_by_other, cancelled], ["1", "1", "1"]);
    Ok(())
}

async fn with_russet(russet: &Russet, url: &str) -> Outcome {
    let uploads = tempfile::tempdir()?;
    for n in 0..3 {
        fs::write(uploads.path().join(format!("upload-{n}")), "x")?;
    }
    let scheduler = Scheduler::new(&queue(russet)?);
    let mail = |email: &str| SendEmail { email: email.into(), subject: "welcome".into() };

    // schedule_task(delay_seconds) and schedule_task(execute_at); the times are short so that the example is.
    let welcome = scheduler.after(Duration::from_millis(300), mail("ada@example.com")).await?.id;
    let flaky = scheduler.after(Duration::from_millis(50), mail("bob@flaky.example")).await?.id;
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let cleaning = scheduler.at(tomorrow, clean(uploads.path())).await?.id;
    assert_eq!(scheduler.reschedule(cleaning, SystemTime::now()).await?, Rescheduled::Done);

    // cancel_task: it says what became of it.
    let unwanted = scheduler.after(Duration::from_millis(10), mail("eve@example.com")).await?.id;
    assert_eq!(scheduler.cancel(unwanted).await?, Cancelled::Done);

    // And what the tutorial has not: again and again, on the clock of a time zone.
    let nightly = "30 3 * * *";
    let registered =
        scheduler.cron("nightly", nightly, "Asia/Shanghai", clean(uploads.path())).await?;
    let next = Timetable::cron(nightly, "Asia/Shanghai")?.after(SystemTime::now()).next();
    assert_eq!(registered.next, next);
    // For an example it is not waited for: as if the clock showed that time, for two schedulers at once.
    let other = Scheduler::new(&queue(&connect(url).await?)?);
    let at = next.ok_or("it comes")?;
    let (one, another) = tokio::join!(scheduler.tick_at(at), other.tick_at(at));
    let ticks: Vec<TaskId> = [one?.tasks, another?.tasks].concat();
    assert!(ticks.len() == 1 && ticks[0].time() == at);
    println!("russet: two schedulers have enqueued the nightly task {} time", ticks.len());

    // start_scheduler, twice; stop_scheduler waits for what runs.
    let app = App::default();
    let worker = |scheduler: &Scheduler| {
        let builder = Worker::builder(scheduler.queue()).state(app.clone());
        builder.handler(send_email).handler(cleanup).build()
    };
    let (here, there) = (worker(&scheduler)?, worker(&other)?);
    let all = [welcome, flaky, cleaning, ticks[0]];
    let done = || async {
        for id in all {
            while !is_completed(&scheduler, id).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let (one, another) = tokio::join!(here.run_until(done()), there.run_until(done()));
    one.and(another)?;

    for id in all {
        let status = scheduler.status(id).await?.ok_or("its result is kept")?;
        let result = String::from_utf8_lossy(status.result.as_deref().unwrap_or_default());
        println!("russet: {} after {} attempts: {result}", status.name, status.attempts);
    }
    let mut sent = app.sent.lock().map_err(|_| "the outbox is broken")?.clone();
    sent.sort();
    assert_eq!(sent, ["ada@example.com: welcome", "bob@flaky.example: welcome"]);
    assert_eq!(fs::read_dir(uploads.path())?.count(), 0);
    let cancelled = scheduler.status(unwanted).await?.ok_or("it is kept")?;
    assert!(matches!(cancelled.state, TaskState::Cancelled { .. }));
    assert!(scheduler.remove("nightly").await?);
    Ok(())
}

fn queue(russet: &Russet) -> Result<Queue, russet::Error> {
    // Kept for a day; a failed task is tried again soon.
    let (soon, day) = (Duration::from_millis(10), Duration::from_secs(86_400));
    Queue::builder(russet, "chores").keep_results(day).backoff(soon, soon).build()
}

fn clean(directory: &Path) -> CleanupTempFiles {
    CleanupTempFiles { directory: directory.display().to_string() }
}

async fn is_completed(scheduler: &Scheduler, id: TaskId) -> bool {
    let status = scheduler.status(id).await.ok().flatten();
    status.is_some_and(|status| matches!(status.state, TaskState::Completed { .. }))
}
