//! What `russet queue` prints.

use std::time::Duration;

use russet::{QueueCounts, RateLimit, TaskDetails, TaskError, TaskState};
use serde_json::{Value, json};

use crate::cli::report::{Report, body, shown, spoken, table, when};
use crate::http::tasks::{place, seconds};

/// A queue of the list.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) counts: QueueCounts,
}

/// Some tasks of a state.
pub(super) struct Page {
    /// The state, in words.
    pub(super) of: String,
    pub(super) tasks: Vec<TaskDetails>,
    /// Where the next page begins.
    pub(super) next: Option<u64>,
}

pub(super) fn queues(rows: Vec<Row>, is_complete: bool) -> Report {
    let head = ["queue", "ready", "scheduled", "running", "retrying", "dead", "oldest waits", ""];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for Row { name, counts } in &rows {
        let numbers =
            [counts.ready, counts.scheduled, counts.running, counts.retrying, counts.dead];
        let mut line = vec![shown(name)];
        line.extend(numbers.map(|number| number.to_string()));
        line.push(counts.oldest_waits.map_or_else(String::new, spoken));
        let paused = counts.is_paused.then(|| "paused".to_owned());
        let limit = counts.rate_limit.map(|limit| format!("limit {}", rate(limit)));
        line.push(paused.into_iter().chain(limit).collect::<Vec<_>>().join(", "));
        lines.push(line);
    }
    let mut text = table(&lines);
    if !is_complete {
        text += "not all keys were looked at: there may be more queues\n";
    }
    let queues: Vec<_> = rows
        .iter()
        .map(|Row { name, counts }| {
            let mut queue = json!({ "name": name });
            if let (Value::Object(queue), Value::Object(counts)) = (&mut queue, counted(counts)) {
                queue.extend(counts);
            }
            queue
        })
        .collect();
    Report::said(text, json!({ "queues": queues, "is_complete": is_complete }))
}

pub(super) fn counts(counts: &QueueCounts) -> Report {
    let rows = [
        ("scheduled", counts.scheduled),
        ("ready", counts.ready),
        ("running", counts.running),
        ("retrying", counts.retrying),
        ("dead", counts.dead),
        ("kept outcomes", counts.kept),
        ("completed ever", counts.completed),
        ("failed attempts ever", counts.failed),
    ];
    let lines: Vec<_> = rows.iter().map(|(what, n)| vec![(*what).into(), n.to_string()]).collect();
    let mut text = table(&lines);
    if let Some(waits) = counts.oldest_waits {
        text += &format!("the oldest ready one waits {}\n", spoken(waits));
    }
    if let Some(limit) = counts.rate_limit {
        text += &format!("limit {}\n", rate(limit));
    }
    if counts.is_paused {
        text += "paused\n";
    }
    Report::said(text, counted(counts))
}

fn counted(counts: &QueueCounts) -> Value {
    json!({
        "scheduled": counts.scheduled, "ready": counts.ready, "running": counts.running,
        "retrying": counts.retrying, "dead": counts.dead, "kept": counts.kept,
        "completed": counts.completed, "failed": counts.failed, "is_paused": counts.is_paused,
        "oldest_waits": counts.oldest_waits.map(|waits| waits.as_secs_f64()),
        "rate_limit": counts.rate_limit.map(limit_json),
    })
}

/// How fast the queue gives tasks now.
pub(super) fn limit(limit: Option<RateLimit>) -> Report {
    let text = limit.map_or("no limit".to_owned(), |limit| format!("limit {}", rate(limit)));
    Report::said(text, json!({ "rate_limit": limit.map(limit_json) }))
}

fn rate(limit: RateLimit) -> String {
    format!("{} in {:?}, {} at once", limit.tasks(), limit.time(), limit.at_once())
}

fn limit_json(limit: RateLimit) -> Value {
    json!({"tasks": limit.tasks(), "seconds": limit.time().as_secs_f64(), "at_once": limit.at_once()})
}

pub(super) fn page(page: Page) -> Report {
    let head = ["id", "name", "attempts", "when", "told last"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for task in &page.tasks {
        let status = &task.status;
        let error = status.errors.last().map(|error| shown(&error.message));
        let progress = status.progress.as_deref().map(|told| shown(&body(told).to_string()));
        lines.push(vec![
            status.id.to_string(),
            shown(&status.name),
            status.attempts.to_string(),
            place(status.state).1.map_or_else(String::new, when),
            progress.filter(|_| is_running(task)).or(error).unwrap_or_default(),
        ]);
    }
    let mut text =
        if page.tasks.is_empty() { format!("no {} tasks\n", page.of) } else { table(&lines) };
    if let Some(next) = page.next {
        text += &format!("there may be more: --from {next}\n");
    }
    let tasks: Vec<_> = page.tasks.iter().map(details).collect();
    Report::said(text, json!({ "tasks": tasks, "next": page.next }))
}

fn is_running(task: &TaskDetails) -> bool {
    matches!(task.status.state, TaskState::Running { .. })
}

pub(super) fn task(found: Option<TaskDetails>) -> Report {
    let Some(task) = found else {
        let text = "there is no task with this id, or nothing is kept of it".to_owned();
        return Report::missing(text, Value::Null);
    };
    let status = &task.status;
    let (state, at) = place(status.state);
    let mut lines = Vec::new();
    let mut line = |what: &str, text: String| lines.push(vec![what.to_owned(), shown(&text)]);
    line("id", status.id.to_string());
    line("name", status.name.clone());
    line("state", at.map_or(state.to_owned(), |at| format!("{state}, {}", when(at))));
    line("priority", status.id.priority().to_string());
    line(
        "attempts",
        match task.max_attempts {
            0 => status.attempts.to_string(),
            most => format!("{} of {most}", status.attempts),
        },
    );
    if let TaskState::Running { fence } = status.state {
        line("fence", fence.to_string());
    }
    for (what, time) in [("timeout", task.timeout), ("result kept", task.keep_result)] {
        if let Some(time) = time {
            line(what, format!("{time:?}"));
        }
    }
    if let Some(unique) = &task.unique {
        line("unique", unique.clone());
    }
    for (name, value) in &task.headers {
        line("header", format!("{name}: {value}"));
    }
    if !task.body.is_empty() {
        line("body", body(&task.body).to_string());
    }
    if let Some(progress) = &status.progress {
        line("progress", body(progress).to_string());
    }
    if let Some(result) = &status.result {
        line("result", body(result).to_string());
    }
    for TaskError { at, attempt, message, .. } in &status.errors {
        line("error", format!("attempt {attempt}, {}: {message}", when(*at)));
    }
    Report::said(table(&lines), details(&task))
}

/// Everything that is known of a task.
fn details(task: &TaskDetails) -> Value {
    let status = &task.status;
    let (state, at) = place(status.state);
    let fence = match status.state {
        TaskState::Running { fence } => Some(fence),
        _ => None,
    };
    let error = |error: &TaskError| json!({ "at": seconds(error.at), "attempt": error.attempt, "error": error.message });
    let read = |bytes: &Vec<u8>| body(bytes);
    let in_seconds = |time: Duration| time.as_secs_f64();
    json!({
        "id": status.id.to_string(), "name": status.name, "state": state, "at": at.map(seconds), "fence": fence,
        "priority": status.id.priority(), "attempts": status.attempts,
        "max_attempts": (task.max_attempts > 0).then_some(task.max_attempts),
        "timeout": task.timeout.map(in_seconds), "keep_result": task.keep_result.map(in_seconds),
        "unique": task.unique, "headers": task.headers,
        "body": Some(&task.body).filter(|body| !body.is_empty()).map(read),
        "progress": status.progress.as_ref().map(read), "result": status.result.as_ref().map(read),
        "errors": status.errors.iter().map(error).collect::<Vec<_>>(),
    })
}
